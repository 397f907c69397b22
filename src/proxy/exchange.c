/*
 * exchange: the life of one request: opened by the codec's events, driven through the steps, finished exactly once. It
 * owns the arena, the pinned snapshot, the link while there is one, and its own memory, which goes at the end of the
 * turn. The steps are in steps.c, the bytes in relay.c.
 */
#include "exchange_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/observe.h"
#include "proxy/reply.h"
#include "proxy/tunnel.h"

static void reap(void *arg) {
    struct exchange *exchange = arg;
    brought_token_unref(&exchange->stand_in);
    issued_token_unref(&exchange->token);
    snapshot_unref(&exchange->snapshot);
    arena_free(exchange->arena);
}

static struct exchange *exchange_new(struct client *client, struct codec_stream *stream, struct arena *arena) {
    struct exchange *exchange = ARENA_NEW(arena, struct exchange);
    exchange->client = client;
    exchange->stream = stream;
    exchange->arena = arena;
    exchange->started_us = clock_mono_us();
    exchange->started_wall_us = clock_wall_us();
    ray_id_make(exchange->ray_id);
    /* The codec's window bounds what is held; the last piece may go a little over it. */
    sbuf_init(&exchange->held, 2 * CODEC_BODY_WINDOW);
    loop_task_init(&exchange->reap, reap, exchange);
    client_exchange_begun(client, exchange);
    return exchange;
}

struct exchange *exchange_open(struct client *client, struct codec_stream *stream, struct request_head *head,
                               struct arena *arena) {
    struct exchange *exchange = exchange_new(client, stream, arena);
    exchange->request = head;
    exchange_drive(exchange);
    return exchange;
}

void exchange_refuse(struct client *client, struct codec_stream *stream, const struct h1_fault *fault,
                     struct slice raw_head) {
    (void)raw_head; /* what could not be understood is not logged either */
    struct exchange *exchange = exchange_new(client, stream, codec_stream_arena(stream));
    exchange_pin(exchange);
    exchange_answer(exchange, fault->reason, fault->detail);
}

void exchange_drive(struct exchange *exchange) {
    while (exchange->step < STEP_COUNT) {
        const struct step *step = &exchange_steps[exchange->step];
        exchange->phase = step->phase;
        if (step->run(exchange) != STEP_NEXT) {
            return;
        }
        exchange->step++;
    }
}

void exchange_go_on(void *arg) {
    struct exchange *exchange = arg;
    struct client *client = exchange->client;
    struct log_scope scope = client_scope(client);
    log_push(&scope);
    exchange_drive(exchange);
    client_kick(client);
    log_pop(&scope);
}

/* ---- the end ---- */

enum ending_who exchange_blame(enum reason reason) {
    switch (reason) {
    case REASON_NONE:
        return ENDING_COMPLETE;
    case REASON_METHOD_NOT_ALLOWED:
    case REASON_BAD_REQUEST:
    case REASON_HEADER_TOO_LARGE:
    case REASON_BODY_TOO_LARGE:
    case REASON_REQUEST_TIMEOUT:
        return ENDING_BY_CLIENT;
    case REASON_UPSTREAM_UNREACHABLE:
    case REASON_UPSTREAM_TIMEOUT:
    case REASON_UPSTREAM_INVALID_RESPONSE:
    case REASON_UPSTREAM_UNAVAILABLE:
        return ENDING_BY_UPSTREAM;
    case REASON_SHUTTING_DOWN:
    case REASON_ASSERTION_UNAVAILABLE:
    case REASON_INTERNAL_ERROR:
        return ENDING_BY_GATEWAY;
    default: /* certificates, policy, limits */
        return ENDING_DENIED;
    }
}

void exchange_set_detail(struct exchange *exchange, const char *detail) {
    snprintf(exchange->detail, sizeof exchange->detail, "%s", detail ? detail : "");
}

void exchange_close_after(struct exchange *exchange) { codec_drain(codec_stream_codec(exchange->stream)); }

/* All lines of Accept as one list. */
static struct slice accept_of(const struct exchange *exchange) {
    if (!exchange->request) {
        return SLICE_NONE;
    }
    return headers_join(&exchange->request->headers, SLICE("Accept"), exchange->arena);
}

/* 0: the reason's own. */
static int status_of(const struct exchange *exchange, enum reason reason) {
    const struct verdict *verdict = &exchange->verdict;
    return reason == verdict->reason ? judge_status(verdict, exchange->application) : 0;
}

void exchange_answer(struct exchange *exchange, enum reason reason, const char *detail) {
    const struct hostname *hostname = exchange->hostname;
    INVARIANT(exchange->stream && exchange->status == 0);
    struct reply reply = {.reason = reason,
                          .status = status_of(exchange, reason),
                          .detail = detail,
                          .explain = hostname ? hostname->explain : CONF_EXPLAIN_FULL,
                          .application = exchange->application,
                          .ray_id = exchange->ray_id,
                          .hostname = exchange->client->peer->server_name,
                          .accept = accept_of(exchange),
                          .is_head = exchange->request && slice_eq_str(exchange->request->method, "HEAD"),
                          .now = clock_wall()};
    exchange->status = reply_send(exchange->stream, &reply, exchange->arena, &exchange->bytes_out);
    exchange->response_ended = true;
    exchange->reason = reason;
    if (!exchange->detail[0]) {
        exchange_set_detail(exchange, detail);
    }
    exchange_finish(exchange, exchange_blame(reason));
}

void exchange_answer_page(struct exchange *exchange, const struct reply_page *page) {
    INVARIANT(exchange->stream && exchange->status == 0);
    bool is_head = slice_eq_str(exchange->request->method, "HEAD");
    exchange->status =
        reply_send_page(exchange->stream, page, exchange->ray_id, is_head, exchange->arena, &exchange->bytes_out);
    exchange->response_ended = true;
    exchange_finish(exchange, ENDING_COMPLETE);
}

static void close_stream(struct exchange *exchange) {
    struct codec_stream *stream = exchange->stream;
    exchange->stream = NULL;
    if (!stream) {
        return; /* a tunnel has none */
    }
    if (exchange->response_ended) {
        codec_finish(stream);
    } else {
        codec_abort(stream);
    }
}

void exchange_finish(struct exchange *exchange, enum ending_who who) {
    INVARIANT(!exchange->is_finished);
    exchange->is_finished = true;
    exchange->ending_who = who;
    exchange->step = STEP_COUNT;
    wait_cancel(&exchange->status_wait);
    loop_timer_free(&exchange->expect_timer);
    wait_cancel(&exchange->token_wait);
    if (exchange->link) {
        link_release(&exchange->link);
    }
    sbuf_fini(&exchange->held);
    close_stream(exchange);
    observe_exchange(exchange);
    loop_defer(exchange->client->worker->loop, &exchange->reap);
    client_exchange_done(exchange->client);
}

void exchange_abort(struct exchange *exchange, enum ending_who who, enum reason reason, const char *detail) {
    if (exchange->is_finished) {
        return;
    }
    if (reason != REASON_NONE && exchange->status == 0 && exchange->stream) {
        exchange_close_after(exchange);
        exchange_answer(exchange, reason, detail);
        return;
    }
    exchange->reason = reason;
    exchange_set_detail(exchange, detail);
    exchange_finish(exchange, who);
}

void exchange_judge(struct exchange *exchange) {
    const char *detail = NULL;
    if (exchange->is_finished || exchange->step <= STEP_POLICY) {
        return;
    }
    enum reason reason = exchange_judge_now(exchange, exchange->client->worker->snapshot, &detail);
    if (reason == REASON_NONE) {
        return;
    }
    log_info("ended: the client has lost its right to it: %s", reason_code(reason));
    if (exchange->client->tunnel) {
        exchange_set_detail(exchange, detail);
        tunnel_close(exchange->client->tunnel, ENDING_DENIED, reason);
    } else {
        exchange_abort(exchange, ENDING_DENIED, reason, detail);
    }
}

/* ---- for the log ---- */

static const char *const doing[] = {
    [PHASE_REQUEST_HEAD] = "reading the request",
    [PHASE_POLICY] = "deciding",
    [PHASE_CONNECT] = "connecting to",
    [PHASE_REQUEST_BODY] = "sending the request to",
    [PHASE_RESPONSE_HEAD] = "awaiting the response of",
    [PHASE_RESPONSE_BODY] = "passing on the response of",
    [PHASE_TUNNEL] = "tunnelling to",
};

void exchange_describe(const struct exchange *exchange, struct sbuf *out) {
    sbuf_printf(out, "ray=%s while %s", exchange->ray_id, doing[exchange->phase]);
    if (exchange->phase >= PHASE_CONNECT) {
        sbuf_printf(out, " %s", exchange->endpoint ? exchange->endpoint->name : "an upstream");
    }
}
