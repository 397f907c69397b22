/*
 * h1_probe: owner, exchange and link in one, as small as they can be. Every rule of the codec's contract that the real
 * ones rely on is held to here: views are used during the call only, what was not taken is offered again.
 */
#include "support/h1_probe.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

#define TRANSCRIPT_LIMIT (64 * 1024 * 1024)

struct probe {
    const struct probe_plan *plan;
    struct sbuf *transcript;
    struct sbuf *output;
    struct sbuf body;
    unsigned random;
    /* server */
    struct codec *codec;
    struct codec_stream *stream; /* open exchange */
    struct arena *arena;
    bool is_asked_to_answer, wants_switch;
    size_t unconsumed;
    /* client */
    struct h1_client *client;
    bool is_invalid;
};

static struct h1_limits limits_of(const struct probe_plan *plan) {
    return plan->limits.head_size ? plan->limits : (struct h1_limits){32 * 1024, 100};
}

/* How many bytes the next receive may see more of. */
static size_t next_piece(struct probe *probe, size_t arrived) {
    const struct probe_plan *plan = probe->plan;
    if (arrived == 0 && plan->first_cut) {
        return plan->first_cut;
    }
    if (plan->piece == 0) {
        return SIZE_MAX / 2;
    }
    if (!plan->seed) {
        return plan->piece;
    }
    probe->random = probe->random * 1103515245u + 12345u;
    return 1 + (probe->random >> 16) % plan->piece;
}

/* ---- the transcript ---- */

static void write_line(struct probe *probe, const char *word, struct slice rest) {
    sbuf_append_str(probe->transcript, word);
    sbuf_append(probe->transcript, rest);
    sbuf_append_char(probe->transcript, '\n');
}

static void write_headers(struct probe *probe, const char *word, const struct headers *headers) {
    for (size_t i = 0; i < headers->count; i++) {
        sbuf_printf(probe->transcript, "%s ", word);
        sbuf_append(probe->transcript, headers->items[i].name);
        sbuf_append_str(probe->transcript, ": ");
        sbuf_append(probe->transcript, headers->items[i].value);
        sbuf_append_char(probe->transcript, '\n');
    }
}

static void write_framing(struct probe *probe, enum body_framing framing, uint64_t length) {
    static const char *const names[] = {"none", "length", "chunked", "until-close"};
    sbuf_printf(probe->transcript, " %s", names[framing]);
    if (framing == BODY_LENGTH) {
        sbuf_printf(probe->transcript, " %llu", (unsigned long long)length);
    }
}

static void write_request(struct probe *probe, const struct request_head *head) {
    struct sbuf *out = probe->transcript;
    sbuf_append_str(out, "request ");
    sbuf_append(out, head->method);
    sbuf_append_char(out, ' ');
    sbuf_append(out, head->target.path_and_query);
    sbuf_append_str(out, head->has_host ? " host " : " no host");
    sbuf_append(out, head->target.host);
    write_framing(probe, head->framing, head->content_length);
    sbuf_append_str(out, head->keep_alive ? " keep-alive" : " close");
    sbuf_append_str(out, head->expect_continue ? " expect" : "");
    sbuf_append_str(out, head->upgrade.len ? " upgrade " : "");
    sbuf_append(out, head->upgrade);
    sbuf_append_char(out, '\n');
    write_headers(probe, "header", &head->headers);
}

static void write_body(struct probe *probe) {
    if (probe->body.len) {
        write_line(probe, "body ", sbuf_slice(&probe->body));
    }
    sbuf_clear(&probe->body);
}

/* ---- the exchange ---- */

static void close_exchange(struct probe *probe, bool is_complete) {
    struct codec_stream *stream = probe->stream;
    probe->stream = NULL;
    probe->unconsumed = 0;
    probe->is_asked_to_answer = false;
    if (is_complete) {
        codec_finish(stream);
    } else {
        codec_abort(stream);
    }
    arena_free(probe->arena);
    probe->arena = NULL;
}

static void answer(struct probe *probe, int status) {
    struct response_head head = {.version = HTTP_1_1, .status = status, .framing = BODY_LENGTH, .content_length = 2};
    headers_init(&head.headers, probe->arena);
    if (probe->wants_switch) {
        probe->wants_switch = false;
        head.status = 101;
        headers_add(&head.headers, SLICE("Upgrade"), SLICE("websocket"));
        codec_send_informational(probe->stream, &head);
        close_exchange(probe, true);
        return;
    }
    if (probe->plan->answer == PROBE_LATER) {
        head.framing = BODY_CHUNKED;
    }
    headers_add(&head.headers, SLICE("Server"), SLICE("probe"));
    codec_send_head(probe->stream, &head);
    codec_send_body(probe->stream, SLICE("o"));
    codec_send_body(probe->stream, SLICE("k"));
    codec_send_end(probe->stream, NULL);
    close_exchange(probe, true);
}

static void *on_request(void *owner, struct codec_stream *stream, struct request_head *head, struct arena *arena) {
    struct probe *probe = owner;
    INVARIANT(!probe->stream && codec_stream_codec(stream) == probe->codec && codec_stream_arena(stream) == arena);
    probe->stream = stream;
    probe->arena = arena;
    probe->wants_switch = probe->plan->switches && head->upgrade.len;
    sbuf_clear(&probe->body);
    write_request(probe, head);
    if (probe->plan->answer == PROBE_AT_HEAD) {
        answer(probe, 200);
    }
    return probe;
}

static void on_body(void *exchange, struct slice data) {
    struct probe *probe = exchange;
    INVARIANT(probe->stream && data.len);
    sbuf_append(&probe->body, data);
    probe->unconsumed += data.len;
    INVARIANT(probe->unconsumed <= CODEC_BODY_WINDOW);
    if (!probe->plan->consume_later) {
        probe->unconsumed = 0;
        codec_consumed(probe->stream, data.len);
    }
}

static void on_end(void *exchange, const struct headers *trailers) {
    struct probe *probe = exchange;
    INVARIANT(probe->stream);
    write_body(probe);
    write_headers(probe, "trailer", trailers);
    write_line(probe, "end", SLICE_NONE);
    probe->is_asked_to_answer = true;
    if (probe->plan->answer == PROBE_AT_END) {
        answer(probe, 200);
    }
}

static void on_broken(void *exchange, enum reason reason, const char *detail) {
    struct probe *probe = exchange;
    INVARIANT(probe->stream);
    sbuf_printf(probe->transcript, "broken %s: ", reason_code(reason));
    write_line(probe, detail, SLICE_NONE);
    if (reason == REASON_NONE) {
        close_exchange(probe, false);
    } else {
        probe->wants_switch = false;
        answer(probe, reason_status(reason));
    }
}

static void on_writable(void *exchange) {
    struct probe *probe = exchange;
    INVARIANT(probe->stream && codec_can_send(probe->codec));
}

static void on_refused(void *owner, struct codec_stream *stream, const struct h1_fault *fault, struct slice raw_head) {
    struct probe *probe = owner;
    INVARIANT(!probe->stream && raw_head.len);
    sbuf_printf(probe->transcript, "refused %s: ", reason_code(fault->reason));
    write_line(probe, fault->detail, SLICE_NONE);
    probe->stream = stream;
    probe->arena = codec_stream_arena(stream);
    answer(probe, reason_status(fault->reason));
}

static const struct codec_events server_events = {
    .request = on_request,
    .body = on_body,
    .end = on_end,
    .broken = on_broken,
    .writable = on_writable,
    .refused = on_refused,
};

/* What the owner and the exchange do between two receives. */
static void act_later(struct probe *probe) {
    if (probe->unconsumed && probe->stream) {
        size_t n = probe->unconsumed;
        probe->unconsumed = 0;
        codec_consumed(probe->stream, n);
    }
    if (probe->is_asked_to_answer && probe->stream) {
        answer(probe, 200);
    }
    struct sbuf *out = &probe->codec->out;
    if (probe->output) {
        sbuf_append(probe->output, sbuf_slice(out));
    }
    sbuf_consume(out, out->len);
    codec_drained(probe->codec);
}

static size_t feed_server(struct probe *probe, struct slice input) {
    size_t taken = 0, arrived = 0;
    while (arrived < input.len) {
        size_t piece = next_piece(probe, arrived);
        arrived = piece < input.len - arrived ? arrived + piece : input.len;
        size_t n;
        do {
            n = codec_receive(probe->codec, slice_make(input.ptr + taken, arrived - taken));
            taken += n;
            act_later(probe);
        } while (taken < arrived && codec_wants_input(probe->codec));
    }
    return taken;
}

void probe_server(struct slice input, const struct probe_plan *plan, struct sbuf *transcript, struct sbuf *output) {
    struct h1_limits limits = limits_of(plan);
    struct probe probe = {.plan = plan, .transcript = transcript, .output = output, .random = plan->seed};
    sbuf_init(&probe.body, TRANSCRIPT_LIMIT);
    probe.codec = h1c_new(&server_events, &probe, &limits, plan->max_body);

    size_t taken = feed_server(&probe, input);
    if (!plan->no_eof) {
        codec_receive_eof(probe.codec);
        act_later(&probe);
    }
    if (probe.codec->reset_after_out) {
        write_line(&probe, "reset", SLICE_NONE);
    } else if (probe.codec->close_after_out) {
        write_line(&probe, "close", SLICE_NONE);
    } else if (taken < input.len) {
        write_line(&probe, "tunnel ", slice_after(input, taken));
    } else {
        write_line(&probe, probe.codec->is_idle ? "idle" : probe.codec->in_head ? "in head" : "open", SLICE_NONE);
    }
    if (probe.stream) {
        close_exchange(&probe, false);
    }
    codec_free(probe.codec);
    sbuf_fini(&probe.body);
}

/* ---- the client codec ---- */

static void write_response(struct probe *probe, const char *word, const struct response_head *head) {
    sbuf_printf(probe->transcript, "%s %d ", word, head->status);
    sbuf_append(probe->transcript, head->phrase);
    write_framing(probe, head->framing, head->content_length);
    sbuf_append_str(probe->transcript, head->keep_alive ? " keep-alive\n" : " close\n");
    write_headers(probe, "header", &head->headers);
}

static void on_informational(void *owner, const struct response_head *head) {
    write_response(owner, "informational", head);
}

static void on_head(void *owner, const struct response_head *head) { write_response(owner, "response", head); }

static void on_response_body(void *owner, struct slice data) {
    struct probe *probe = owner;
    INVARIANT(data.len);
    sbuf_append(&probe->body, data);
}

static void on_response_end(void *owner, const struct headers *trailers) {
    struct probe *probe = owner;
    write_body(probe);
    write_headers(probe, "trailer", trailers);
    write_line(probe, "end", SLICE_NONE);
}

static void on_invalid(void *owner, const char *detail) {
    struct probe *probe = owner;
    INVARIANT(!probe->is_invalid);
    probe->is_invalid = true;
    sbuf_clear(&probe->body);
    write_line(probe, "invalid: ", slice_of(detail));
}

static const struct h1_client_events client_events = {
    .informational = on_informational,
    .head = on_head,
    .body = on_response_body,
    .end = on_response_end,
    .invalid = on_invalid,
};

static void feed_client(struct probe *probe, struct slice input) {
    size_t taken = 0, arrived = 0;
    while (arrived < input.len && taken == arrived) {
        size_t piece = next_piece(probe, arrived);
        arrived = piece < input.len - arrived ? arrived + piece : input.len;
        taken += h1_client_receive(probe->client, slice_make(input.ptr + taken, arrived - taken));
    }
    if (probe->is_invalid) {
        return; /* how much was taken says nothing then */
    }
    if (taken < input.len) {
        write_line(probe, "left ", slice_after(input, taken));
    } else if (!probe->plan->no_eof) {
        bool said = h1_client_receive_eof(probe->client);
        write_line(probe, said ? "eof" : "stale", SLICE_NONE);
    }
}

void probe_client(struct slice request, struct slice input, const struct probe_plan *plan, struct sbuf *transcript) {
    struct h1_limits limits = limits_of(plan);
    struct probe probe = {.plan = plan, .transcript = transcript, .random = plan->seed};
    struct arena *arena = arena_new(4096);
    struct request_head head;
    struct h1_fault fault;
    struct sbuf out;
    sbuf_init(&out, TRANSCRIPT_LIMIT);
    sbuf_init(&probe.body, TRANSCRIPT_LIMIT);

    bool is_parsed = h1_parse_request(request, &limits, arena, &head, &fault);
    INVARIANT(is_parsed);
    headers_init(&head.headers, arena);
    probe.client = h1_client_new(&client_events, &probe, &limits, &out);
    h1_client_request(probe.client, &head, arena);
    if (head.framing == BODY_NONE) {
        h1_client_end(probe.client, NULL);
    }
    feed_client(&probe, input);
    write_line(&probe, h1_client_is_reusable(probe.client) ? "reusable" : "not reusable", SLICE_NONE);

    h1_client_free(probe.client);
    sbuf_fini(&probe.body);
    sbuf_fini(&out);
    arena_free(arena);
}

/* ---- chunked bodies ---- */

void probe_chunked(struct slice input, const struct probe_plan *plan, struct sbuf *transcript) {
    struct h1_limits limits = limits_of(plan);
    struct probe probe = {.plan = plan, .transcript = transcript, .random = plan->seed};
    struct arena *arena = arena_new(4096);
    struct chunk_decoder decoder;
    struct headers trailers;
    struct h1_fault fault;
    size_t taken = 0, arrived = 0;
    enum chunk_state state = CHUNK_SIZE;

    sbuf_init(&probe.body, TRANSCRIPT_LIMIT);
    chunk_decoder_init(&decoder, &limits);
    while (arrived < input.len && state != CHUNK_DONE && state != CHUNK_BAD) {
        size_t piece = next_piece(&probe, arrived);
        arrived = piece < input.len - arrived ? arrived + piece : input.len;
        struct slice rest = slice_make(input.ptr + taken, arrived - taken), data;
        do {
            state = chunk_decode(&decoder, &rest, &data);
            sbuf_append(&probe.body, data);
        } while (rest.len && state != CHUNK_DONE && state != CHUNK_BAD);
        taken = arrived - rest.len;
    }
    write_body(&probe);
    if (state == CHUNK_BAD) {
        write_line(&probe, "bad: ", slice_of(decoder.detail));
    } else if (state != CHUNK_DONE) {
        write_line(&probe, "more", SLICE_NONE);
    } else if (chunk_trailers(&decoder, arena, &trailers, &fault)) {
        write_headers(&probe, "trailer", &trailers);
        write_line(&probe, "done ", slice_after(input, taken));
    } else {
        write_line(&probe, "bad trailers: ", slice_of(fault.detail));
    }
    chunk_decoder_fini(&decoder);
    sbuf_fini(&probe.body);
    arena_free(arena);
}

void probe_escape(struct slice bytes, struct sbuf *out) {
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.ptr[i];
        if (c == '\r' || c == '\n' || c == '\t') {
            sbuf_append_str(out, c == '\r' ? "\\r" : c == '\n' ? "\\n" : "\\t");
        } else if (c < 0x20 || c >= 0x7f) {
            sbuf_printf(out, "\\x%02x", c);
        } else {
            sbuf_append_char(out, (char)c);
        }
    }
}
