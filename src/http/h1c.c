/*
 * h1c: the server side of HTTP/1.0 and HTTP/1.1 as a codec. proxy/client feeds it, exchanges answer through it. It owns
 * what it has collected of a head, the chunk decoder and `out`; it copies no body bytes on their way in. One exchange
 * at a time: pipelined requests wait in the owner's input.
 *
 *   HEAD --head--> BODY --last byte--> WAIT --finish--> HEAD          (HEAD --head without body--> WAIT)
 *                  BODY --finish--> REST --last byte--> HEAD          a small rest of a body nobody wants
 *                  BODY --fault, EOF--> BROKEN --finish--> CLOSED     HEAD --fault--> BROKEN
 *                                       WAIT --finish after 101--> TUNNEL
 * Every state goes to CLOSED when the response said so, cannot be completed, or the rest is too large.
 */
#include "base/err.h"
#include "base/mem.h"
#include "codec_priv.h"
#include "h1_reader_priv.h"
#include "http/h1_write.h"

#define ARENA_FIRST_BLOCK 8192
/* An exchange sends only while less than CODEC_OUT_HIGH waits, and then one head or CODEC_BODY_WINDOW: this is never
 * reached. */
#define OUT_LIMIT (4 * 1024 * 1024)

/* Outside of a body: pipelined requests would only wait. */
#define HEAD_ROOM ((size_t)16 * 1024)

enum h1c_state {
    H1C_HEAD,   /* awaiting or collecting a head */
    H1C_BODY,   /* a body is arriving for an exchange */
    H1C_WAIT,   /* the request is complete, the response is not */
    H1C_REST,   /* the exchange is over; what is left of its body is dropped */
    H1C_BROKEN, /* the request will not be completed; input is dropped while the answer goes out */
    H1C_TUNNEL, /* after 101: the bytes are somebody else's */
    H1C_CLOSED,
};

/* One CRLF before a request line is tolerated (RFC 9112 2.2). */
enum leading_line { LEADING_NONE, LEADING_CR, LEADING_DONE };

struct h1c_stream {
    struct codec_stream base;
    void *exchange; /* NULL for a refused request */
    bool is_open;
    /* the request */
    bool is_http_1_0, is_head, keep_alive;
    bool awaits_continue; /* the client may be holding its body back until it sees a 100 */
    enum body_framing framing;
    uint64_t remaining; /* of a LENGTH body */
    struct chunk_decoder decoder;
    uint64_t body_received;
    size_t window_used;
    /* the response */
    enum body_framing out_framing; /* NONE: body bytes are dropped */
    uint64_t out_remaining;        /* of a LENGTH body */
    bool head_sent, end_sent, close_said, is_switched;
    bool is_blocked; /* codec_can_send() was false; the exchange awaits events.writable */
};

struct h1c {
    struct codec base;
    struct h1_limits limits;
    uint64_t max_body;
    enum h1c_state state;
    enum leading_line leading;
    struct h1_reader reader;
    struct h1c_stream stream;
    size_t dropped; /* bytes read in REST */
    bool is_draining, has_eof, is_receiving;
};

static struct h1c *of_codec(struct codec *codec) { return (struct h1c *)(void *)codec; }

static const struct h1c *of_const_codec(const struct codec *codec) { return (const struct h1c *)(const void *)codec; }

static struct h1c *of_stream(struct codec_stream *stream) {
    struct h1c *c = of_codec(stream->codec);
    INVARIANT(&c->stream.base == stream && c->stream.is_open);
    return c;
}

/* ---- states ---- */

/* The only place that changes the state and what the owner can see of it. */
static void set_state(struct h1c *c, enum h1c_state state) {
    c->state = state;
    c->base.in_head = state == H1C_HEAD && h1_reader_has_begun(&c->reader);
    c->base.is_idle = state == H1C_HEAD && !c->base.in_head;
    c->base.close_after_out = state == H1C_CLOSED;
}

/* What has been collected stays until the end: `refused` may still be looking at it. */
static void close_connection(struct h1c *c) {
    chunk_decoder_fini(&c->stream.decoder);
    set_state(c, H1C_CLOSED);
}

/* The message is over, both ways: the next one, if there may be one. */
static void await_head(struct h1c *c) {
    chunk_decoder_fini(&c->stream.decoder);
    h1_reader_reset(&c->reader);
    c->leading = LEADING_NONE;
    set_state(c, c->is_draining || c->has_eof ? H1C_CLOSED : H1C_HEAD);
}

static bool h1c_wants_input(const struct codec *codec) {
    const struct h1c *c = of_const_codec(codec);
    switch (c->state) {
    case H1C_HEAD:
        return c->base.out.len < CODEC_OUT_HIGH;
    case H1C_BODY:
        return c->stream.window_used < CODEC_BODY_WINDOW;
    case H1C_REST:
        return true;
    case H1C_BROKEN:
        return !c->has_eof;
    case H1C_WAIT:
    case H1C_TUNNEL:
    case H1C_CLOSED:
        break;
    }
    return false;
}

static size_t h1c_input_room(const struct codec *codec) {
    const struct h1c *c = of_const_codec(codec);
    return c->state == H1C_BODY ? CODEC_BODY_WINDOW - c->stream.window_used : HEAD_ROOM;
}

/* ---- the request's body ---- */

static void break_request(struct h1c *c, enum reason reason, const char *detail) {
    set_state(c, H1C_BROKEN);
    c->base.events->broken(c->stream.exchange, reason, detail);
}

/* The last byte of the request has come. Trailers go to the exchange's arena. */
static void complete_request(struct h1c *c) {
    struct h1c_stream *stream = &c->stream;
    struct headers *trailers = ARENA_NEW(stream->base.arena, struct headers);
    struct h1_fault fault;
    headers_init(trailers, stream->base.arena);
    if (stream->framing == BODY_CHUNKED && !chunk_trailers(&stream->decoder, stream->base.arena, trailers, &fault)) {
        break_request(c, REASON_BAD_REQUEST, fault.detail);
        return;
    }
    set_state(c, H1C_WAIT);
    c->base.events->end(stream->exchange, trailers);
}

/* Whether the exchange still wants the body after it. */
static bool deliver(struct h1c *c, struct slice data) {
    struct h1c_stream *stream = &c->stream;
    stream->awaits_continue = false;
    stream->body_received += data.len;
    if (c->max_body && stream->body_received > c->max_body) {
        break_request(c, REASON_BODY_TOO_LARGE, "the body is larger than this hostname allows");
        return false;
    }
    stream->window_used += data.len;
    c->base.events->body(stream->exchange, data);
    return c->state == H1C_BODY;
}

static size_t take_length(struct h1c *c, struct slice bytes) {
    struct h1c_stream *stream = &c->stream;
    size_t take = bytes.len < stream->remaining ? bytes.len : (size_t)stream->remaining;
    stream->remaining -= take;
    if (deliver(c, slice_first(bytes, take)) && stream->remaining == 0) {
        complete_request(c);
    }
    return take;
}

static size_t take_chunked(struct h1c *c, struct slice bytes) {
    struct h1c_stream *stream = &c->stream;
    struct slice input = bytes;
    while (input.len && c->state == H1C_BODY) {
        struct slice data;
        enum chunk_state chunk = chunk_decode(&stream->decoder, &input, &data);
        if (data.len && !deliver(c, data)) {
            break;
        }
        if (chunk == CHUNK_DONE) {
            complete_request(c);
        } else if (chunk == CHUNK_BAD) {
            break_request(c, REASON_BAD_REQUEST, stream->decoder.detail);
        }
    }
    return bytes.len - input.len;
}

static size_t take_body(struct h1c *c, struct slice bytes) {
    struct slice allowed = slice_first(bytes, CODEC_BODY_WINDOW - c->stream.window_used);
    return c->stream.framing == BODY_LENGTH ? take_length(c, allowed) : take_chunked(c, allowed);
}

/* How much of a body nobody wants is still to come; for CHUNKED that shows only when it comes. */
static uint64_t rest_of_body(const struct h1c_stream *stream) {
    return stream->framing == BODY_LENGTH ? stream->remaining : 0;
}

static size_t drop_rest(struct h1c *c, struct slice bytes) {
    struct h1c_stream *stream = &c->stream;
    struct slice input = bytes, data;
    if (stream->framing == BODY_LENGTH) {
        size_t take = bytes.len < stream->remaining ? bytes.len : (size_t)stream->remaining;
        stream->remaining -= take;
        if (stream->remaining == 0) {
            await_head(c);
        }
        return take;
    }
    enum chunk_state chunk = chunk_decode(&stream->decoder, &input, &data);
    c->dropped += bytes.len - input.len;
    if (chunk == CHUNK_DONE) {
        await_head(c);
    } else if (chunk == CHUNK_BAD || c->dropped > CODEC_BODY_WINDOW) {
        close_connection(c);
    }
    return bytes.len - input.len;
}

/* ---- the request's head ---- */

static void open_stream(struct h1c *c, struct arena *arena) {
    c->stream = (struct h1c_stream){.base = {.codec = &c->base, .arena = arena}, .is_open = true};
}

/* The owner answers; nothing that comes from this client is understood any more. */
static void refuse(struct h1c *c, struct arena *arena, const struct h1_fault *fault, struct slice raw_head) {
    open_stream(c, arena ? arena : arena_new(ARENA_FIRST_BLOCK));
    c->stream.base.arena_is_ours = true;
    c->stream.is_head = slice_starts_with(raw_head, SLICE("HEAD "));
    c->stream.is_http_1_0 = true; /* the answer must suit whatever this was */
    set_state(c, H1C_BROKEN);
    c->base.events->refused(c->base.owner, &c->stream.base, fault, raw_head);
}

static void open_request(struct h1c *c, struct request_head *head, struct arena *arena) {
    struct h1c_stream *stream = &c->stream;
    bool has_body = head->framing == BODY_CHUNKED || head->content_length > 0;

    open_stream(c, arena);
    stream->is_http_1_0 = head->version == HTTP_1_0;
    stream->is_head = slice_eq_str(head->method, "HEAD");
    stream->keep_alive = head->keep_alive;
    stream->awaits_continue = head->expect_continue;
    stream->framing = head->framing;
    stream->remaining = head->content_length;
    if (head->framing == BODY_CHUNKED) {
        chunk_decoder_init(&stream->decoder, &c->limits);
    }
    c->base.requests++;
    h1_reader_reset(&c->reader);
    set_state(c, has_body ? H1C_BODY : H1C_WAIT);

    void *exchange = c->base.events->request(c->base.owner, &stream->base, head, arena);
    if (!stream->is_open) {
        return; /* answered and finished within the call */
    }
    stream->exchange = exchange;
    INVARIANT(exchange);
    if (!has_body) {
        stream->framing = BODY_NONE;
        complete_request(c);
    } else if (c->max_body && stream->remaining > c->max_body) {
        break_request(c, REASON_BODY_TOO_LARGE, "the body is larger than this hostname allows");
    }
}

static void parse_head(struct h1c *c, struct slice raw_head) {
    struct arena *arena = arena_new(ARENA_FIRST_BLOCK);
    struct request_head *head = ARENA_NEW(arena, struct request_head);
    struct h1_fault fault;
    if (h1_parse_request(raw_head, &c->limits, arena, head, &fault)) {
        open_request(c, head, arena);
    } else {
        refuse(c, arena, &fault, raw_head);
    }
}

/* Takes the CRLF that may stand before a request line. Returns how many bytes of it are here. */
static size_t take_leading_line(struct h1c *c, struct slice bytes) {
    if (c->leading == LEADING_NONE && bytes.ptr[0] == '\r') {
        c->leading = LEADING_CR;
        return 1;
    }
    if (c->leading == LEADING_CR && bytes.ptr[0] == '\n') {
        c->leading = LEADING_DONE;
        return 1;
    }
    if (c->leading == LEADING_CR) {
        refuse(c, NULL, &(struct h1_fault){REASON_BAD_REQUEST, "a bare CR before the request line"}, SLICE("\r"));
        return bytes.len;
    }
    c->leading = LEADING_DONE;
    return 0;
}

static size_t take_head(struct h1c *c, struct slice bytes) {
    struct slice head;
    size_t taken = c->leading == LEADING_DONE ? 0 : take_leading_line(c, bytes);
    if (taken) {
        return taken;
    }
    switch (h1_reader_take(&c->reader, bytes, &taken, &head)) {
    case H1_COMPLETE:
        parse_head(c, head);
        break;
    case H1_INCOMPLETE:
        set_state(c, H1C_HEAD);
        break;
    case H1_BAD:
        refuse(c, NULL,
               &(struct h1_fault){REASON_BAD_REQUEST, "a control character, a bare CR or a bare LF in the head"}, head);
        break;
    case H1_TOO_LARGE:
        refuse(c, NULL, &(struct h1_fault){REASON_HEADER_TOO_LARGE, "the head is too large"}, head);
        break;
    }
    return taken;
}

/* ---- from the owner ---- */

static size_t h1c_receive(struct codec *codec, struct slice bytes) {
    struct h1c *c = of_codec(codec);
    size_t taken = 0;
    INVARIANT(!c->is_receiving);
    c->is_receiving = true;
    while (taken < bytes.len && h1c_wants_input(codec)) {
        struct slice rest = slice_after(bytes, taken);
        switch (c->state) {
        case H1C_HEAD:
            taken += take_head(c, rest);
            break;
        case H1C_BODY:
            taken += take_body(c, rest);
            break;
        case H1C_REST:
            taken += drop_rest(c, rest);
            break;
        default:
            taken = bytes.len; /* BROKEN */
        }
    }
    c->is_receiving = false;
    return taken;
}

static void h1c_receive_eof(struct codec *codec) {
    struct h1c *c = of_codec(codec);
    c->has_eof = true;
    switch (c->state) {
    case H1C_HEAD:
    case H1C_REST:
        close_connection(c);
        break;
    case H1C_BODY:
        break_request(c, REASON_NONE, "the client closed the connection in mid-request");
        break;
    default:
        break;
    }
}

static void h1c_drained(struct codec *codec) {
    struct h1c *c = of_codec(codec);
    struct h1c_stream *stream = &c->stream;
    if (stream->is_open && stream->is_blocked && c->base.out.len <= CODEC_OUT_LOW) {
        stream->is_blocked = false;
        if (stream->exchange) {
            c->base.events->writable(stream->exchange);
        }
    }
}

static void h1c_drain(struct codec *codec) {
    struct h1c *c = of_codec(codec);
    c->is_draining = true;
    if (c->base.is_idle) {
        close_connection(c);
    }
}

static void h1c_refuse(struct codec *codec, const struct h1_fault *fault) {
    struct h1c *c = of_codec(codec);
    INVARIANT(c->base.in_head && !c->is_receiving);
    refuse(c, NULL, fault, sbuf_slice(&c->reader.collected));
}

static void h1c_free(struct codec *codec) {
    struct h1c *c = of_codec(codec);
    INVARIANT(!c->stream.is_open);
    chunk_decoder_fini(&c->stream.decoder);
    h1_reader_fini(&c->reader);
    sbuf_fini(&c->base.out);
    mem_free(c);
}

/* ---- from the exchange ---- */

static void h1c_consumed(struct codec_stream *base, size_t n) {
    struct h1c *c = of_stream(base);
    INVARIANT(n <= c->stream.window_used);
    c->stream.window_used -= n;
}

static void note_written(struct h1c *c) {
    INVARIANT(!c->base.out.overflow);
    c->stream.is_blocked |= !codec_can_send(&c->base);
}

static void h1c_send_informational(struct codec_stream *base, const struct response_head *head) {
    struct h1c *c = of_stream(base);
    INVARIANT(!c->stream.head_sent && !c->stream.is_switched);
    if (c->stream.is_http_1_0) {
        return;
    }
    h1_write_informational(&c->base.out, head);
    if (head->status == 100) {
        c->stream.awaits_continue = false;
    }
    c->stream.is_switched = head->status == 101;
    note_written(c);
}

/* Whether this response is known to be the last, so that its head can say so. */
static bool is_last_response(const struct h1c *c) {
    const struct h1c_stream *stream = &c->stream;
    if (!stream->keep_alive || c->is_draining || c->has_eof || c->state == H1C_BROKEN) {
        return true;
    }
    return c->state == H1C_BODY && (stream->awaits_continue || rest_of_body(stream) > CODEC_BODY_WINDOW);
}

/* What this client understands: RFC 9112 6.1 and 6.3. */
static void choose_framing(struct h1c_stream *stream, struct response_head *head) {
    bool is_unknown = head->framing == BODY_CHUNKED || head->framing == BODY_UNTIL_CLOSE;
    if (!status_has_body(head->status, stream->is_head)) {
        if (is_unknown || head->status == 204) {
            head->framing = BODY_NONE;
            head->content_length = 0;
        }
        stream->out_framing = BODY_NONE;
        return;
    }
    if (is_unknown) {
        head->framing = stream->is_http_1_0 ? BODY_UNTIL_CLOSE : BODY_CHUNKED;
    } else if (head->framing == BODY_NONE) {
        head->framing = BODY_LENGTH;
        head->content_length = 0;
    }
    stream->out_framing = head->framing;
    stream->out_remaining = head->framing == BODY_LENGTH ? head->content_length : 0;
}

static void h1c_send_head(struct codec_stream *base, const struct response_head *head) {
    struct h1c *c = of_stream(base);
    struct h1c_stream *stream = &c->stream;
    struct response_head final = *head;
    INVARIANT(!stream->head_sent && !stream->is_switched);
    final.version = stream->is_http_1_0 ? HTTP_1_0 : HTTP_1_1;
    choose_framing(stream, &final);
    stream->head_sent = true;
    stream->close_said = is_last_response(c) || final.framing == BODY_UNTIL_CLOSE;
    h1_write_response(&c->base.out, &final, stream->close_said);
    note_written(c);
}

static void put_body(struct h1c *c, struct slice data) {
    struct codec *base = &c->base;
    size_t written = base->write && base->out.len == 0 && data.len >= CODEC_BULK ? base->write(base->owner, data) : 0;
    sbuf_append(&base->out, slice_after(data, written));
}

static void h1c_send_body(struct codec_stream *base, struct slice data) {
    struct h1c *c = of_stream(base);
    struct h1c_stream *stream = &c->stream;
    INVARIANT(stream->head_sent && !stream->end_sent);
    switch (stream->out_framing) {
    case BODY_NONE:
        return;
    case BODY_CHUNKED:
        h1_write_chunk(&c->base.out, data);
        break;
    case BODY_LENGTH:
        INVARIANT(data.len <= stream->out_remaining);
        stream->out_remaining -= data.len;
        put_body(c, data);
        break;
    case BODY_UNTIL_CLOSE:
        put_body(c, data);
        break;
    }
    note_written(c);
}

static void h1c_send_end(struct codec_stream *base, const struct headers *trailers) {
    struct h1c *c = of_stream(base);
    INVARIANT(c->stream.head_sent && !c->stream.end_sent && c->stream.out_remaining == 0);
    c->stream.end_sent = true;
    if (c->stream.out_framing == BODY_CHUNKED) {
        h1_write_last_chunk(&c->base.out, trailers);
        note_written(c);
    }
}

static void close_stream(struct h1c_stream *stream) {
    stream->is_open = false;
    if (stream->base.arena_is_ours) {
        arena_free(stream->base.arena);
    }
    stream->base.arena = NULL;
}

static void h1c_abort(struct codec_stream *base) {
    struct h1c *c = of_stream(base);
    c->base.reset_after_out = c->stream.head_sent && !c->stream.end_sent;
    close_stream(&c->stream);
    close_connection(c);
}

static void h1c_finish(struct codec_stream *base) {
    struct h1c *c = of_stream(base);
    struct h1c_stream *stream = &c->stream;
    if (!stream->end_sent && !stream->is_switched) {
        h1c_abort(base);
        return;
    }
    close_stream(stream);
    if (stream->is_switched && c->state == H1C_WAIT) {
        set_state(c, H1C_TUNNEL);
    } else if (stream->is_switched || stream->close_said || c->state == H1C_BROKEN) {
        close_connection(c);
    } else if (c->state == H1C_WAIT) {
        await_head(c);
    } else { /* what is known to be too much has been answered with close_said */
        c->dropped = 0;
        set_state(c, H1C_REST);
    }
}

static const struct codec_ops h1c_ops = {
    .receive = h1c_receive,
    .receive_eof = h1c_receive_eof,
    .wants_input = h1c_wants_input,
    .input_room = h1c_input_room,
    .drained = h1c_drained,
    .drain = h1c_drain,
    .refuse = h1c_refuse,
    .consumed = h1c_consumed,
    .send_informational = h1c_send_informational,
    .send_head = h1c_send_head,
    .send_body = h1c_send_body,
    .send_end = h1c_send_end,
    .finish = h1c_finish,
    .abort = h1c_abort,
    .free = h1c_free,
};

struct codec *h1c_new(const struct codec_events *events, void *owner, const struct h1_limits *limits,
                      uint64_t max_body) {
    struct h1c *c = NEW(struct h1c);
    c->base.ops = &h1c_ops;
    c->base.events = events;
    c->base.owner = owner;
    c->limits = *limits;
    c->max_body = max_body;
    sbuf_init(&c->base.out, OUT_LIMIT);
    h1_reader_init(&c->reader, limits->head_size);
    set_state(c, H1C_HEAD);
    return &c->base;
}
