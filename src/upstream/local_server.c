/*
 * local_server: see the header. One `struct visit` is a connection, one `struct question` a request on it. An answer is
 * made at once and whole, and sent as the client takes it.
 */
#include "upstream/local_server.h"

#include "base/mem.h"
#include "http/codec.h"
#include "io/stream.h"

#define IDLE_MS 75000
#define LINGER_MS 1000
#define READ_SIZE ((size_t)8 * 1024)
#define READS_PER_WAKE 8
/* What the gateway adds to a head (certificates) counts too; it has limits of its own. */
static const struct h1_limits REQUEST_LIMITS = {.head_size = 128 * 1024, .field_count = 1000};
/* The metrics of ten thousand hostnames fit. */
#define ANSWER_MAX ((size_t)64 * 1024 * 1024)

enum visit_state { VISIT_SERVING, VISIT_LINGERING, VISIT_CLOSED };

/* One connection. */
struct visit {
    struct list node;
    struct local_server *server;
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
    struct local_response response;
};

/* ---- answers ---- */

static void free_question(struct question *question) {
    question->visit->question = NULL;
    sbuf_fini(&question->response.body);
    arena_free(question->arena);
}

/* As much of the body as the codec takes now; the rest when it is writable again. */
static void send_body(struct question *question) {
    struct sbuf *body = &question->response.body;
    struct codec *codec = question->visit->codec;
    while (body->len > 0 && codec_can_send(codec)) {
        struct slice piece = slice_first(sbuf_slice(body), CODEC_BODY_WINDOW);
        codec_send_body(question->stream, piece);
        sbuf_consume(body, piece.len);
    }
    if (body->len == 0) {
        codec_send_end(question->stream, NULL);
        codec_finish(question->stream);
        free_question(question);
    }
}

static void send_response(struct question *question) {
    const struct local_response *response = &question->response;
    struct response_head head = {.version = HTTP_1_1,
                                 .status = response->status,
                                 .framing = BODY_LENGTH,
                                 .content_length = response->body.len,
                                 .keep_alive = true};
    headers_init(&head.headers, question->arena);
    headers_add(&head.headers, SLICE("Content-Type"), slice_of(response->type));
    headers_add(&head.headers, SLICE("Cache-Control"), SLICE("no-store"));
    if (response->challenge)
        headers_add(&head.headers, SLICE("WWW-Authenticate"), slice_of(response->challenge));
    codec_send_head(question->stream, &head);
    send_body(question);
}

static void refuse(struct question *question, enum reason reason, const char *detail) {
    question->response.status = reason_status(reason);
    sbuf_printf(&question->response.body, "%s\n", detail && *detail ? detail : reason_sentence(reason));
    send_response(question);
}

/* ---- the codec's events ---- */

static struct question *open_question(struct visit *visit, struct codec_stream *stream, struct arena *arena) {
    struct question *question = ARENA_NEW(arena, struct question);
    *question = (struct question){.visit = visit, .stream = stream, .arena = arena};
    question->response.status = 200;
    question->response.type = "text/plain; charset=utf-8";
    sbuf_init(&question->response.body, ANSWER_MAX);
    visit->question = question;
    return question;
}

static void *on_request(void *owner, struct codec_stream *stream, struct request_head *head, struct arena *arena) {
    struct visit *visit = owner;
    struct question *question = open_question(visit, stream, arena);
    question->head = head;
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
    const struct local_server *server = question->visit->server;
    struct local_request request = {.head = question->head, .body_length = question->body_length, .trailers = trailers};
    server->answer(server->arg, &request, &question->response);
    send_response(question);
}

static void on_broken(void *exchange, enum reason reason, const char *detail) {
    struct question *question = exchange;
    if (reason == REASON_NONE) {
        codec_abort(question->stream);
        free_question(question);
        return;
    }
    refuse(question, reason, detail);
}

static void on_writable(void *exchange) { send_body(exchange); }

static void on_refused(void *owner, struct codec_stream *stream, const struct h1_fault *fault, struct slice raw_head) {
    (void)raw_head;
    refuse(open_question(owner, stream, codec_stream_arena(stream)), fault->reason, fault->detail);
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
    loop_defer(visit->server->loop, &visit->reap);
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
            loop_timer_set(visit->timer, IDLE_MS);
            advance(visit);
        }
        break;
    case STREAM_FAILED:
        close_visit(visit, false);
        break;
    }
}

void local_server_init(struct local_server *server, struct loop *loop,
                       void (*answer)(void *arg, const struct local_request *request, struct local_response *response),
                       void *arg) {
    server->loop = loop;
    server->answer = answer;
    server->arg = arg;
    list_init(&server->visits);
}

void local_server_serve(struct local_server *server, int fd) {
    struct visit *visit = NEW(struct visit);
    visit->server = server;
    visit->codec = h1c_new(&CODEC_EVENTS, visit, &REQUEST_LIMITS, 0);
    visit->timer = loop_timer_new(server->loop, on_timeout, visit);
    loop_task_init(&visit->reap, reap, visit);
    sbuf_init(&visit->in, READ_SIZE);
    list_push_back(&server->visits, &visit->node);
    loop_timer_set(visit->timer, IDLE_MS);
    visit->stream = stream_plain_new(server->loop, fd, on_stream, visit);
}

void local_server_close(struct local_server *server) {
    LIST_EACH (node, next, &server->visits) {
        close_visit(LIST_ENTRY(node, struct visit, node), false);
    }
}
