/*
 * relay: the bytes of an exchange, both ways, between the codec of the client and the link to the upstream, with
 * backpressure: what one side cannot take yet is not asked of the other. The events of both come in here; each is
 * answered by moving what can be moved. What is in flight:
 *
 *   client -> codec window, 64 KiB: held until the link stands, then in link.out until link_can_send() -> upstream
 *   client <- link window, 64 KiB: in codec.out until codec_can_send() <- upstream
 *
 * A window counts bytes as gone only once the other side's buffer is nearly empty, not when they are moved into it: so
 * it bounds both.
 *
 * The response may come before the request has ended: it is passed on, and when it ends, so does the exchange (the
 * codec and the link see to what that means for their connections). `Expect: 100-continue` is passed on, and the
 * upstream's 100 is passed back; for an upstream that says nothing for a second we say it.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "exchange_priv.h"
#include "proxy/forward.h"
#include "proxy/tunnel.h"

#define EXPECT_WAIT_MS 1000

static struct codec *codec_of(const struct exchange *exchange) { return codec_stream_codec(exchange->stream); }

/* Where an exchange that waits is; what an ending is named after. */
static void update_phase(struct exchange *exchange) {
    if (exchange->status != 0) {
        exchange->phase = PHASE_RESPONSE_BODY;
    } else if (exchange->step == STEP_FORWARD) {
        exchange->phase = exchange->request_ended ? PHASE_RESPONSE_HEAD : PHASE_REQUEST_BODY;
    }
}

/* ---- the request ---- */

static void send_body(struct exchange *exchange, struct slice data) {
    exchange->body_started = true;
    exchange->owed_to_client += data.len;
    link_send_body(exchange->link, data);
}

/* Tells the codec what has left us. */
static void settle_request(struct exchange *exchange) {
    if (exchange->owed_to_client > 0 && link_can_send(exchange->link)) {
        codec_consumed(exchange->stream, exchange->owed_to_client);
        exchange->owed_to_client = 0;
        client_kick(exchange->client);
    }
}

void relay_request(struct exchange *exchange) {
    update_phase(exchange);
    if (!exchange->link || exchange->end_sent) {
        return;
    }
    struct sbuf *held = &exchange->held;
    settle_request(exchange);
    if (held->len > 0 && link_can_send(exchange->link)) {
        send_body(exchange, sbuf_slice(held));
        sbuf_consume(held, held->len);
        settle_request(exchange);
    }
    if (held->len == 0 && exchange->request_ended) {
        exchange->end_sent = true;
        link_send_end(exchange->link, exchange->trailers);
    }
}

static void on_request_body(void *arg, struct slice data) {
    struct exchange *exchange = arg;
    exchange->bytes_in += data.len;
    /* Once the link stands the codec's window is what bounds link.out. */
    if (exchange->link && exchange->held.len == 0 && (exchange->body_started || link_can_send(exchange->link))) {
        send_body(exchange, data);
        settle_request(exchange);
        return;
    }
    sbuf_append(&exchange->held, data);
    INVARIANT(!exchange->held.overflow);
}

static void on_request_end(void *arg, const struct headers *trailers) {
    struct exchange *exchange = arg;
    struct headers *passed = ARENA_NEW(exchange->arena, struct headers);
    headers_init(passed, exchange->arena);
    forward_trailers(trailers, &exchange->hostname->request_headers, passed);
    exchange->trailers = passed;
    exchange->request_ended = true;
    relay_request(exchange);
}

/* reason NONE: the client has gone. */
static void on_request_broken(void *arg, enum reason reason, const char *detail) {
    struct exchange *exchange = arg;
    exchange_abort(exchange, ENDING_BY_CLIENT, reason, detail);
}

/* ---- 100 Continue ---- */

static void send_continue(struct exchange *exchange) {
    struct response_head head = {.version = HTTP_1_1, .status = 100};
    headers_init(&head.headers, exchange->arena);
    if (exchange->continue_sent || exchange->status != 0) {
        return;
    }
    exchange->continue_sent = true;
    loop_timer_free(&exchange->expect_timer);
    codec_send_informational(exchange->stream, &head);
    client_kick(exchange->client);
}

static void on_expect_timeout(void *arg) {
    struct exchange *exchange = arg;
    if (exchange->bytes_in == 0) {
        send_continue(exchange);
    }
}

void relay_await_continue(struct exchange *exchange) {
    if (!exchange->expect_timer) {
        exchange->expect_timer = loop_timer_new(exchange->client->worker->loop, on_expect_timeout, exchange);
    }
    loop_timer_set(exchange->expect_timer, EXPECT_WAIT_MS);
}

/* ---- the response ---- */

/* Tells the link what has left us. */
static void settle(struct exchange *exchange) {
    if (exchange->link && exchange->owed > 0 && codec_can_send(codec_of(exchange))) {
        size_t gone = exchange->owed;
        exchange->owed = 0;
        link_consumed(exchange->link, gone);
    }
}

static void on_client_writable(void *arg) { settle(arg); }

static void relay_informational(struct exchange *exchange, const struct response_head *head) {
    if (head->status != 100) {
        codec_send_informational(exchange->stream, forward_response(exchange, head));
        client_kick(exchange->client);
    } else if (exchange->request->expect_continue) {
        send_continue(exchange);
    }
}

static void open_tunnel(struct exchange *exchange, const struct response_head *head) {
    struct sbuf rest;
    sbuf_init(&rest, 2 * CODEC_BODY_WINDOW);
    codec_send_informational(exchange->stream, forward_response(exchange, head));
    codec_finish(exchange->stream);
    exchange->stream = NULL;
    exchange->status = 101;
    exchange->phase = PHASE_TUNNEL;
    struct stream *upstream = link_detach(&exchange->link, &rest);
    (void)tunnel_open(exchange, upstream, &rest);
    sbuf_fini(&rest);
}

static void relay_head(struct exchange *exchange, const struct response_head *head) {
    exchange->upstream_head_us = clock_mono_us();
    exchange->detail[0] = '\0'; /* of an endpoint that was tried before this one */
    loop_timer_free(&exchange->expect_timer);
    if (head->status == 101) {
        open_tunnel(exchange, head);
        return;
    }
    codec_send_head(exchange->stream, forward_response(exchange, head));
    exchange->status = head->status;
    update_phase(exchange);
    client_kick(exchange->client);
}

static void relay_body(struct exchange *exchange, struct slice data) {
    codec_send_body(exchange->stream, data);
    exchange->bytes_out += data.len;
    exchange->owed += data.len;
    settle(exchange);
    client_kick(exchange->client);
}

static void relay_end(struct exchange *exchange, const struct headers *trailers) {
    struct headers passed;
    headers_init(&passed, exchange->arena);
    if (trailers) {
        forward_trailers(trailers, &exchange->hostname->response_headers, &passed);
    }
    codec_send_end(exchange->stream, &passed);
    exchange->response_ended = true;
    exchange_finish(exchange, ENDING_COMPLETE);
}

/* ---- a link that fails ---- */

static const struct {
    enum reason reason;
    const char *detail; /* for the client: it says nothing about who is behind us; NULL: the reason's sentence */
} failures[] = {
    [LINK_UNREACHABLE] = {REASON_UPSTREAM_UNREACHABLE, NULL},
    [LINK_STALE] = {REASON_UPSTREAM_INVALID_RESPONSE, "the upstream closed the connection before it answered"},
    [LINK_CLOSED] = {REASON_UPSTREAM_INVALID_RESPONSE, "the upstream closed the connection before it answered"},
    [LINK_TIMEOUT] = {REASON_UPSTREAM_TIMEOUT, NULL},
    [LINK_INVALID] = {REASON_UPSTREAM_INVALID_RESPONSE, NULL},
};

/* RFC 9110 9.2.2: what may be done twice. */
static bool is_idempotent(struct slice method) {
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (slice_eq_str(method, methods[i])) {
            return true;
        }
    }
    return false;
}

enum reason relay_failure_reason(enum link_failure failure) { return failures[failure].reason; }

enum failure_action relay_judge_failure(const struct exchange *exchange, enum link_failure failure) {
    if (exchange->status != 0) {
        return FAILURE_CUT;
    }
    if (exchange->body_started) {
        return FAILURE_ANSWER;
    }
    if (failure == LINK_UNREACHABLE) {
        return FAILURE_OTHER_ENDPOINT;
    }
    /* A fresh link cannot be stale: once is all. */
    if (failure == LINK_STALE && !exchange->fresh && is_idempotent(exchange->request->method)) {
        return FAILURE_FRESH_LINK;
    }
    return FAILURE_ANSWER;
}

static void relay_failure(struct exchange *exchange, enum link_failure failure, const char *detail) {
    enum failure_action action = relay_judge_failure(exchange, failure);
    if (failure == LINK_UNREACHABLE) {
        exchange->phase = PHASE_CONNECT;
    }
    if (action == FAILURE_FRESH_LINK) {
        log_debug("upstream %s: %s", exchange->endpoint->name, detail);
        metric_add(METRIC_UPSTREAM_RETRIES, 1, exchange->upstream->name);
    } else {
        log_warning("upstream %s: %s", exchange->endpoint->name, detail);
    }
    link_release(&exchange->link);
    exchange->end_sent = false;
    switch (action) {
    case FAILURE_OTHER_ENDPOINT:
        snprintf(exchange->detail, sizeof exchange->detail, "%s: %s", exchange->endpoint->name, detail);
        exchange->step = STEP_PICK;
        exchange_drive(exchange);
        break;
    case FAILURE_FRESH_LINK:
        exchange->fresh = true;
        exchange->step = STEP_LINK;
        exchange_drive(exchange);
        break;
    case FAILURE_ANSWER:
        snprintf(exchange->detail, sizeof exchange->detail, "%s: %s", exchange->endpoint->name, detail);
        exchange_answer(exchange, relay_failure_reason(failure), failures[failure].detail);
        break;
    case FAILURE_CUT:
        exchange_abort(exchange, ENDING_BY_UPSTREAM, relay_failure_reason(failure), detail);
        break;
    }
}

/* ---- the two seams ---- */

/* Every event of a link comes from the loop: the scope says whom its log lines are about. */
#define IN_SCOPE(exchange, call)                                   \
    do {                                                           \
        struct log_scope scope = client_scope((exchange)->client); \
        log_push(&scope);                                          \
        call;                                                      \
        log_pop(&scope);                                           \
    } while (0)

static void on_informational(void *arg, const struct response_head *head) {
    struct exchange *exchange = arg;
    IN_SCOPE(exchange, relay_informational(exchange, head));
}

static void on_head(void *arg, const struct response_head *head) {
    struct exchange *exchange = arg;
    IN_SCOPE(exchange, relay_head(exchange, head));
}

static void on_body(void *arg, struct slice data) {
    struct exchange *exchange = arg;
    IN_SCOPE(exchange, relay_body(exchange, data));
}

static void on_end(void *arg, const struct headers *trailers) {
    struct exchange *exchange = arg;
    IN_SCOPE(exchange, relay_end(exchange, trailers));
}

static void on_link_writable(void *arg) {
    struct exchange *exchange = arg;
    IN_SCOPE(exchange, relay_request(exchange));
}

static void on_failed(void *arg, enum link_failure failure, const char *detail) {
    struct exchange *exchange = arg;
    IN_SCOPE(exchange, relay_failure(exchange, failure, detail));
}

const struct link_events relay_link_events = {
    .informational = on_informational,
    .head = on_head,
    .body = on_body,
    .end = on_end,
    .writable = on_link_writable,
    .failed = on_failed,
};

static void *on_request(void *owner, struct codec_stream *stream, struct request_head *head, struct arena *arena) {
    return exchange_open(owner, stream, head, arena);
}

static void on_refused(void *owner, struct codec_stream *stream, const struct h1_fault *fault, struct slice raw_head) {
    exchange_refuse(owner, stream, fault, raw_head);
}

const struct codec_events exchange_codec_events = {
    .request = on_request,
    .body = on_request_body,
    .end = on_request_end,
    .broken = on_request_broken,
    .writable = on_client_writable,
    .refused = on_refused,
};
