/*
 * tunnel: see the header. Opened by relay on a 101; from then on the codec is out of it. Owns the upstream stream and
 * what waits in each direction; lives in the exchange's arena and ends with it. Whether the client may still have it is
 * asked by exchange_judge, each second and when a snapshot is published (sec-32).
 *
 *   client.stream --up--> upstream       each direction: open --EOF--> drained --> shut
 *   client.stream <-down- upstream       both shut: complete
 */
#include "proxy/tunnel.h"

#include "base/log.h"
#include "exchange_priv.h"

/* In flight in each direction. */
#define TUNNEL_WINDOW (64 * 1024)
#define TUNNEL_READ (16 * 1024)
/* What the heads' side had left for us comes on top once. */
#define TUNNEL_BUFFER (8 * 1024 * 1024)
#define ROUNDS_PER_UPDATE 8

struct flow {
    struct stream *from, *to;
    enum ending_who source, target; /* whose doing it is when a side breaks */
    struct sbuf waiting;
    uint64_t *count;
    bool eof;     /* from will send no more */
    bool shut;    /* and to has been told */
    bool blocked; /* to is full: its STREAM_WRITABLE will come */
};

struct tunnel {
    struct client *client;
    struct exchange *exchange;
    struct stream *upstream;
    struct flow up, down;
    int64_t active_ms; /* last byte either way */
};

static void note_active(struct tunnel *tunnel) { tunnel->active_ms = loop_now_ms(tunnel->client->worker->loop); }

/* ---- one direction ---- */

enum flow_result { FLOW_OK, FLOW_ENDED };

static enum flow_result break_off(struct tunnel *tunnel, const struct stream *stream, enum ending_who who) {
    log_debug("tunnel broken: %s", stream_error(stream));
    tunnel_close(tunnel, who, REASON_NONE);
    return FLOW_ENDED;
}

static enum flow_result flush(struct tunnel *tunnel, struct flow *flow) {
    while (flow->waiting.len > 0 && !flow->blocked) {
        struct slice piece = slice_first(sbuf_slice(&flow->waiting), TUNNEL_WINDOW);
        ssize_t n = stream_write(flow->to, piece);
        if (n == STREAM_BROKEN) {
            return break_off(tunnel, flow->to, flow->target);
        }
        flow->blocked = (size_t)n < piece.len;
        sbuf_consume(&flow->waiting, (size_t)n);
        if (n > 0) {
            note_active(tunnel);
        }
    }
    return FLOW_OK;
}

/* One read; *more_out: there may be more. */
static enum flow_result fill(struct tunnel *tunnel, struct flow *flow, bool *more_out) {
    char *buffer = tunnel->client->worker->buffer;
    *more_out = false;
    if (flow->eof || flow->waiting.len >= TUNNEL_WINDOW) {
        return FLOW_OK;
    }
    ssize_t n = stream_read(flow->from, buffer, TUNNEL_READ);
    if (n == STREAM_AGAIN) {
        return FLOW_OK;
    }
    if (n == STREAM_BROKEN) {
        return break_off(tunnel, flow->from, flow->source);
    }
    note_active(tunnel);
    if (n == STREAM_EOF) {
        flow->eof = true;
        return FLOW_OK;
    }
    *flow->count += (uint64_t)n;
    sbuf_append(&flow->waiting, slice_make(buffer, (size_t)n));
    *more_out = !stream_is_drained(flow->from);
    return FLOW_OK;
}

/* Moves what can be moved, passes an EOF on, says whether more is wanted. */
static enum flow_result move(struct tunnel *tunnel, struct flow *flow) {
    bool more = true;
    for (int round = 0; round < ROUNDS_PER_UPDATE && more; round++) {
        if (fill(tunnel, flow, &more) == FLOW_ENDED || flush(tunnel, flow) == FLOW_ENDED) {
            return FLOW_ENDED;
        }
    }
    if (flow->waiting.len == 0) {
        sbuf_fini(&flow->waiting); /* a silent tunnel holds no buffers */
    }
    if (flow->eof && flow->waiting.len == 0 && !flow->shut) {
        flow->shut = true;
        stream_shutdown_write(flow->to);
    }
    stream_set_reading(flow->from, !flow->eof && flow->waiting.len < TUNNEL_WINDOW);
    return FLOW_OK;
}

/* ---- the tunnel ---- */

void tunnel_update(struct tunnel *tunnel) {
    if (move(tunnel, &tunnel->up) == FLOW_ENDED || move(tunnel, &tunnel->down) == FLOW_ENDED) {
        return;
    }
    if (tunnel->up.shut && tunnel->down.shut) {
        tunnel_close(tunnel, ENDING_COMPLETE, REASON_NONE);
    }
}

static void on_event(struct tunnel *tunnel, enum stream_event event, struct flow *towards) {
    struct log_scope scope = client_scope(tunnel->client);
    log_push(&scope);
    if (event == STREAM_FAILED) {
        (void)break_off(tunnel, towards->to, towards->target);
    } else {
        towards->blocked = towards->blocked && event != STREAM_WRITABLE;
        tunnel_update(tunnel);
    }
    log_pop(&scope);
}

static void on_client(void *owner, enum stream_event event) {
    struct tunnel *tunnel = owner;
    on_event(tunnel, event, &tunnel->down);
}

static void on_upstream(void *owner, enum stream_event event) {
    struct tunnel *tunnel = owner;
    on_event(tunnel, event, &tunnel->up);
}

static void flow_init(struct flow *flow, struct stream *from, struct stream *to, uint64_t *count) {
    *flow = (struct flow){.from = from, .to = to, .count = count};
    sbuf_init(&flow->waiting, TUNNEL_BUFFER);
}

/* What was there before: the 101 and what the upstream sent behind it, and what the client sent ahead. */
static void take_over_bytes(struct tunnel *tunnel, struct sbuf *rest) {
    struct client *client = tunnel->client;
    struct sbuf *out = &client->codec->out;
    sbuf_append(&tunnel->down.waiting, sbuf_slice(out));
    sbuf_consume(out, out->len);
    sbuf_append(&tunnel->down.waiting, sbuf_slice(rest));
    sbuf_append(&tunnel->up.waiting, sbuf_slice(&client->in));
    INVARIANT(!tunnel->down.waiting.overflow && !tunnel->up.waiting.overflow);
    tunnel->exchange->bytes_out += rest->len;
    tunnel->exchange->bytes_in += client->in.len;
    sbuf_fini(&client->in);
}

struct tunnel *tunnel_open(struct exchange *exchange, struct stream *upstream, struct sbuf *rest) {
    struct client *client = exchange->client;
    struct tunnel *tunnel = ARENA_NEW(exchange->arena, struct tunnel);
    tunnel->client = client;
    tunnel->exchange = exchange;
    tunnel->upstream = upstream;
    flow_init(&tunnel->up, client->stream, upstream, &exchange->bytes_in);
    flow_init(&tunnel->down, upstream, client->stream, &exchange->bytes_out);
    tunnel->up.source = tunnel->down.target = ENDING_BY_CLIENT;
    tunnel->up.target = tunnel->down.source = ENDING_BY_UPSTREAM;
    tunnel->up.eof = client->eof;
    tunnel->down.blocked = client->is_blocked;
    take_over_bytes(tunnel, rest);
    note_active(tunnel);
    stream_set_owner(client->stream, on_client, tunnel);
    stream_set_owner(upstream, on_upstream, tunnel);
    client->tunnel = tunnel;
    client_set_state(client, CLIENT_TUNNEL);
    client_kick(client);
    return tunnel;
}

void tunnel_tick(struct tunnel *tunnel) {
    int64_t idle_ms = tunnel->client->worker->snapshot->conf->limits.idle_timeout_ms;
    if (idle_ms > 0 && loop_now_ms(tunnel->client->worker->loop) - tunnel->active_ms >= idle_ms) {
        log_info("tunnel closed: nothing went through it for idle_timeout");
        tunnel_close(tunnel, ENDING_BY_GATEWAY, REASON_NONE);
    }
}

void tunnel_close(struct tunnel *tunnel, enum ending_who who, enum reason reason) {
    struct client *client = tunnel->client;
    struct exchange *exchange = tunnel->exchange;
    client->tunnel = NULL;
    stream_close(&tunnel->upstream, who != ENDING_COMPLETE);
    sbuf_fini(&tunnel->up.waiting);
    sbuf_fini(&tunnel->down.waiting);
    exchange->reason = reason;
    exchange_finish(exchange, who);
    client_close(client, false);
}
