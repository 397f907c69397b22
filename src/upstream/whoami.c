/*
 * whoami: an origin that answers each request with what it received. Called by link (builtin:whoami, over a socketpair)
 * and by `sallyport whoami`. It speaks HTTP/1.1 through the same codec as the gateway's clients, counts bodies and
 * keeps none of them.
 *
 *   SERVING --last response sent--> LINGERING --EOF or a second--> closed          (a cut response, a broken socket:
 * closed at once)
 */
#include "upstream/whoami.h"

#include "base/json.h"
#include "base/list.h"
#include "base/mem.h"
#include "http/codec.h"
#include "io/stream.h"

#define IDLE_MS 75000
#define LINGER_MS 1000
#define READ_SIZE ((size_t)8 * 1024)
#define READS_PER_WAKE 8
#define ARENA_FIRST_BLOCK 512
/* What the gateway adds to a head (certificates) counts too; it has limits of its own. */
static const struct h1_limits REQUEST_LIMITS = {.head_size = 128 * 1024, .field_count = 1000};
#define ANSWER_MAX ((size_t)2 * 1024 * 1024)

enum visit_state { VISIT_SERVING, VISIT_LINGERING, VISIT_CLOSED };

/* One connection. */
struct visit {
    struct list node;
    struct loop *loop;
    enum visit_state state;
    struct stream *stream;
    struct codec *codec;
    struct loop_timer *timer;
    struct loop_task reap;
    struct sbuf in; /* received and not yet taken by the codec */
    bool has_eof;
    struct question *question; /* or NULL */
};

/* One request: the exchange of the codec. */
struct question {
    struct visit *visit;
    struct codec_stream *stream;
    const struct request_head *head;
    struct arena *arena;
    uint64_t body_length;
};

/* All of the process: one thread, one loop. */
static struct list visits = {&visits, &visits};

/* ---- answers ---- */

static void write_headers(struct json *json, const char *key, const struct headers *headers) {
    json_open_array(json, key);
    for (size_t i = 0; i < headers->count; i++) {
        json_open_object(json, NULL);
        json_string(json, "name", headers->items[i].name);
        json_string(json, "value", headers->items[i].value);
        json_close_object(json);
    }
    json_close_array(json);
}

static void write_answer(struct sbuf *out, const struct question *question, const struct headers *trailers) {
    struct json json;
    json_init(&json, out);
    json_open_object(&json, NULL);
    json_string(&json, "method", question->head->method);
    json_string(&json, "path", question->head->raw_target);
    json_str(&json, "http_version", http_version_name(question->head->version));
    write_headers(&json, "headers", &question->head->headers);
    json_int(&json, "body_length", (int64_t)question->body_length);
    write_headers(&json, "trailers", trailers);
    json_close_object(&json);
    sbuf_append_char(out, '\n');
}

static void send_answer(struct codec_stream *stream, int status, const char *type, struct slice body) {
    struct arena *arena = arena_new(ARENA_FIRST_BLOCK);
    struct response_head head = {
        .version = HTTP_1_1, .status = status, .framing = BODY_LENGTH, .content_length = body.len, .keep_alive = true};
    headers_init(&head.headers, arena);
    headers_add(&head.headers, SLICE("Content-Type"), slice_of(type));
    headers_add(&head.headers, SLICE("Cache-Control"), SLICE("no-store"));
    codec_send_head(stream, &head);
    while (body.len > 0) {
        codec_send_body(stream, slice_first(body, CODEC_BODY_WINDOW));
        body = slice_after(body, CODEC_BODY_WINDOW);
    }
    codec_send_end(stream, NULL);
    codec_finish(stream);
    arena_free(arena);
}

static void send_refusal(struct codec_stream *stream, enum reason reason, const char *detail) {
    struct sbuf body;
    sbuf_init(&body, ANSWER_MAX);
    sbuf_printf(&body, "%s\n", detail && *detail ? detail : reason_sentence(reason));
    send_answer(stream, reason_status(reason), "text/plain; charset=utf-8", sbuf_slice(&body));
    sbuf_fini(&body);
}

/* ---- the codec's events ---- */

static void free_question(struct question *question) {
    question->visit->question = NULL;
    arena_free(question->arena);
}

static void *on_request(void *owner, struct codec_stream *stream, struct request_head *head, struct arena *arena) {
    struct visit *visit = owner;
    struct question *question = ARENA_NEW(arena, struct question);
    *question = (struct question){.visit = visit, .stream = stream, .head = head, .arena = arena};
    visit->question = question;
    if (head->expect_continue) {
        struct response_head go_on = {.version = HTTP_1_1, .status = 100};
        headers_init(&go_on.headers, arena);
        codec_send_informational(stream, &go_on);
    }
    return question;
}

static void on_body(void *exchange, struct slice data) {
    struct question *question = exchange;
    question->body_length += data.len;
    codec_consumed(question->stream, data.len);
}

static void on_end(void *exchange, const struct headers *trailers) {
    struct question *question = exchange;
    struct sbuf body;
    sbuf_init(&body, ANSWER_MAX);
    write_answer(&body, question, trailers);
    send_answer(question->stream, 200, "application/json", sbuf_slice(&body));
    sbuf_fini(&body);
    free_question(question);
}

static void on_broken(void *exchange, enum reason reason, const char *detail) {
    struct question *question = exchange;
    if (reason == REASON_NONE) {
        codec_abort(question->stream);
    } else {
        send_refusal(question->stream, reason, detail);
    }
    free_question(question);
}

static void on_writable(void *exchange) { (void)exchange; /* an answer is given at once, whole */ }

static void on_refused(void *owner, struct codec_stream *stream, const struct h1_fault *fault, struct slice raw_head) {
    (void)owner;
    (void)raw_head;
    send_refusal(stream, fault->reason, fault->detail);
}

static const struct codec_events CODEC_EVENTS = {
    .request = on_request,
    .body = on_body,
    .end = on_end,
    .broken = on_broken,
    .writable = on_writable,
    .refused = on_refused,
};

/* ---- the connection ---- */

static void reap(void *arg) {
    struct visit *visit = arg;
    if (visit->question) {
        codec_abort(visit->question->stream);
        free_question(visit->question);
    }
    codec_free(visit->codec);
    sbuf_fini(&visit->in);
    mem_free(visit);
}

static void close_visit(struct visit *visit, bool reset) {
    if (visit->state == VISIT_CLOSED) {
        return;
    }
    visit->state = VISIT_CLOSED;
    list_remove(&visit->node);
    loop_timer_free(&visit->timer);
    stream_close(&visit->stream, reset);
    loop_defer(visit->loop, &visit->reap);
}

static void on_timeout(void *arg) { close_visit(arg, false); }

/* The client may still be sending: were the socket closed now, the kernel would take back what it has not yet
 * delivered. */
static void linger(struct visit *visit) {
    if (visit->has_eof) {
        close_visit(visit, false);
        return;
    }
    visit->state = VISIT_LINGERING;
    sbuf_clear(&visit->in);
    stream_shutdown_write(visit->stream);
    stream_set_reading(visit->stream, true);
    loop_timer_set(visit->timer, LINGER_MS);
}

static void flush(struct visit *visit) {
    struct sbuf *out = &visit->codec->out;
    while (out->len > 0) {
        ssize_t n = stream_write(visit->stream, sbuf_slice(out));
        if (n == STREAM_BROKEN) {
            close_visit(visit, false);
            return;
        }
        if (n == 0) {
            return;
        }
        sbuf_consume(out, (size_t)n);
        codec_drained(visit->codec);
    }
    if (visit->codec->close_after_out && visit->codec->reset_after_out) {
        close_visit(visit, true);
    } else if (visit->codec->close_after_out) {
        linger(visit);
    }
}

/* Offers the codec what waits, as long as it takes something. */
static void feed(struct visit *visit) {
    while (visit->in.len > 0 && codec_wants_input(visit->codec)) {
        size_t taken = codec_receive(visit->codec, sbuf_slice(&visit->in));
        sbuf_consume(&visit->in, taken);
        if (taken == 0) {
            break;
        }
    }
}

/* Input to answers, answers to the socket, until neither moves. */
static void advance(struct visit *visit) {
    bool had_output;
    do {
        feed(visit);
        if (visit->has_eof && visit->in.len == 0) {
            codec_receive_eof(visit->codec);
        }
        had_output = visit->codec->out.len > 0;
        flush(visit);
    } while (visit->state == VISIT_SERVING && had_output && visit->codec->out.len == 0 && visit->in.len > 0);
    if (visit->state == VISIT_SERVING) {
        stream_set_reading(visit->stream, !visit->has_eof && visit->in.len == 0);
    }
}

/* Takes what arrived. Returns whether there may be more. */
static bool receive(struct visit *visit) {
    char *place = sbuf_reserve(&visit->in, READ_SIZE);
    ssize_t n = stream_read(visit->stream, place, READ_SIZE);
    if (n == STREAM_AGAIN) {
        return false;
    }
    if (n == STREAM_BROKEN || (n == STREAM_EOF && visit->state == VISIT_LINGERING)) {
        close_visit(visit, false);
        return false;
    }
    if (visit->state == VISIT_LINGERING) {
        return true;
    }
    sbuf_commit(&visit->in, (size_t)n);
    visit->has_eof = n == STREAM_EOF;
    loop_timer_set(visit->timer, IDLE_MS);
    advance(visit);
    return (size_t)n == READ_SIZE && visit->state != VISIT_CLOSED && visit->in.len == 0;
}

static void on_stream(void *owner, enum stream_event event) {
    struct visit *visit = owner;
    switch (event) {
    case STREAM_READY:
        break;
    case STREAM_READABLE:
        for (int i = 0; i < READS_PER_WAKE && receive(visit); i++) {
        }
        break;
    case STREAM_WRITABLE:
        if (visit->state == VISIT_SERVING) {
            advance(visit);
        }
        break;
    case STREAM_FAILED:
        close_visit(visit, false);
        break;
    }
}

void whoami_serve(struct loop *loop, int fd) {
    struct visit *visit = NEW(struct visit);
    visit->loop = loop;
    visit->codec = h1c_new(&CODEC_EVENTS, visit, &REQUEST_LIMITS, 0);
    visit->timer = loop_timer_new(loop, on_timeout, visit);
    loop_task_init(&visit->reap, reap, visit);
    sbuf_init(&visit->in, READ_SIZE);
    list_push_back(&visits, &visit->node);
    loop_timer_set(visit->timer, IDLE_MS);
    visit->stream = stream_plain_new(loop, fd, on_stream, visit);
}

void whoami_close_all(struct loop *loop) {
    LIST_EACH (node, next, &visits) {
        struct visit *visit = LIST_ENTRY(node, struct visit, node);
        if (visit->loop == loop) {
            close_visit(visit, false);
        }
    }
}
