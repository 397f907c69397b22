/*
 * client: see the header. Made by worker_accept. Owns the stream, the codec, the peer and one timer; the codec's
 * requests go to proxy/exchange, which answers into codec.out. Refuses to do anything within an exchange's call but
 * note that there is work: the end of the event (update()) does it.
 *
 *   event -> read -> codec -> exchange ... --client_kick--> update: feed, flush, state, reading on or off, deadline
 *
 * A connection that is over lingers: what was said goes out, then the write side is shut down, and what the client
 * still sends is dropped for a while, however much it is: closing with bytes unread would send a reset, and that would
 * take with it an answer which is still on its way, or which the client has not read yet.
 */
#include "proxy/client.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "client_priv.h"
#include "proxy/exchange.h"
#include "proxy/forward.h"
#include "proxy/observe.h"
#include "proxy/tunnel.h"
#include "tls/stream_tls.h"

/* Fillings of the worker's buffer for each time the stream is readable; then others have their turn. */
#define READS_PER_EVENT 4
/* So much of what follows a request is read while the exchange goes on. */
#define READ_AHEAD_MAX (16 * 1024)
/* Rounds of feeding and flushing for each update; then the same. */
#define ROUNDS_PER_UPDATE 8
/* What is given to TLS at once. */
#define WRITE_SIZE (64 * 1024)
/* While draining, lingering ends after this. */
#define LINGER_DRAINING_MS 2000
/* What is in progress is judged again this often (sec-32, sec-46). */
#define JUDGE_MS 1000
/* While draining: for the rest of a handshake, and for the first request of a connection that had none. */
#define LAST_HANDSHAKE_MS 2000
#define FIRST_REQUEST_MS 1000

/* ---- state and deadlines ---- */

static int64_t now_of(const struct client *client) { return loop_now_ms(client->worker->loop); }

void client_set_state(struct client *client, enum client_state state) {
    static const char *const labels[] = {
        [CLIENT_HANDSHAKE] = "handshake", [CLIENT_IDLE] = "idle",     [CLIENT_HEAD] = "active",
        [CLIENT_EXCHANGE] = "active",     [CLIENT_TUNNEL] = "tunnel", [CLIENT_CLOSING] = "active"};
    if (client->state != state || !client->state_label) {
        client->state_since_ms = now_of(client);
        client->judge_at_ms = client->state_since_ms + JUDGE_MS;
    }
    if (client->state == CLIENT_HANDSHAKE && state != CLIENT_HANDSHAKE) {
        list_remove(&client->hello_node);
        worker_handshake_over(client->worker);
    }
    client->state = state;
    if (client->state_label == labels[state]) {
        return;
    }
    if (client->state_label) {
        metric_add(METRIC_CONNECTIONS, -1, client->state_label);
    }
    client->state_label = labels[state];
    metric_add(METRIC_CONNECTIONS, 1, client->state_label);
}

/* The timer may fire early and is then set anew: a busy connection moves its deadline with every request and its timer
 * hardly ever. */
static void arm_timer(struct client *client) {
    int64_t deadline = client_deadline(client);
    if (deadline == 0 || (client->timer_at_ms && client->timer_at_ms <= deadline)) {
        return;
    }
    client->timer_at_ms = deadline;
    loop_timer_set(client->timer, deadline - now_of(client));
}

static void note_progress(struct client *client) { client->progress_ms = now_of(client); }

/* ---- the end ---- */

void client_reap(struct client *client) {
    struct worker *worker = client->worker;
    loop_task_cancel(&client->reap);
    metric_add(METRIC_CONNECTIONS, -1, client->state_label);
    if (client->codec) {
        codec_free(client->codec);
    }
    certificate_headers_free(&client->certificate_headers);
    log_fields_free(&client->log_fields);
    peer_free(&client->peer);
    sbuf_fini(&client->in);
    mem_free(client->host_text);
    worker_client_gone(worker, client);
    mem_free(client);
}

static void reap(void *arg) { client_reap(arg); }

void client_close(struct client *client, bool reset) {
    if (client->is_closed) {
        return;
    }
    client->is_closed = true;
    list_remove(&client->judge_node);
    if (client->tunnel) {
        tunnel_close(client->tunnel, ENDING_BY_GATEWAY, REASON_NONE);
    } else if (client->exchange) {
        exchange_abort(client->exchange, ENDING_BY_GATEWAY, REASON_NONE, "the gateway closed the connection");
    }
    client_set_state(client, CLIENT_CLOSING);
    loop_timer_free(&client->timer);
    loop_task_cancel(&client->update);
    stream_close(&client->stream, reset);
    loop_defer(client->worker->loop, &client->reap);
}

/* The connection failed, or the client took it down. */
static void close_gone(struct client *client, const char *detail) {
    if (client->exchange && !client->tunnel) {
        exchange_abort(client->exchange, ENDING_BY_CLIENT, REASON_NONE, detail);
    }
    client_close(client, false);
}

/* What was said is out; a client that is still talking must be able to read it. */
static void begin_closing(struct client *client) {
    if (client->codec->reset_after_out) {
        client_close(client, true);
        return;
    }
    if (client->eof) {
        client_close(client, false);
        return;
    }
    client_set_state(client, CLIENT_CLOSING);
    client->drain_by_ms = client->worker->draining ? now_of(client) + LINGER_DRAINING_MS : 0;
    sbuf_fini(&client->in);
    stream_shutdown_write(client->stream);
    stream_set_reading(client->stream, true);
    arm_timer(client);
}

/* ---- bytes ---- */

/* What is waiting goes to the codec, as far as it takes it; then the end of the input. */
static void feed(struct client *client) {
    while (client->in.len > 0 && codec_wants_input(client->codec)) {
        size_t taken = codec_receive(client->codec, sbuf_slice(&client->in));
        sbuf_consume(&client->in, taken);
        if (taken == 0) {
            break;
        }
    }
    if (client->eof && client->in.len == 0 && !client->is_eof_told) {
        client->is_eof_told = true;
        codec_receive_eof(client->codec);
    }
}

static void take(struct client *client, struct slice bytes) {
    note_progress(client);
    size_t taken = 0;
    if (client->in.len == 0 && codec_wants_input(client->codec)) {
        taken = codec_receive(client->codec, bytes);
    }
    sbuf_append(&client->in, slice_after(bytes, taken));
    INVARIANT(!client->in.overflow);
}

/* During an exchange a little is read ahead, so that a client that goes away is noticed. */
static bool wants_reading(const struct client *client) {
    if (client->eof || client->is_closed) {
        return false;
    }
    if (client->codec->close_after_out) {
        return false;
    }
    if (codec_wants_input(client->codec)) {
        return client->in.len == 0;
    }
    return client->exchange && client->exchange->request_ended && client->in.len < READ_AHEAD_MAX;
}

/* What a client says after the end is dropped, and ends with it. */
static void linger(struct client *client) {
    ssize_t n = stream_discard(client->stream);
    if (n > 0) {
        note_progress(client);
    }
    client->eof = n == STREAM_EOF || n == STREAM_BROKEN;
}

/* Fills the worker's buffer with what there is, as far as it will be wanted. Returns what the last stream_read() said,
 * STREAM_AGAIN also where another would say so. */
static ssize_t fill_buffer(struct client *client, size_t *filled_out) {
    size_t room = codec_wants_input(client->codec) ? codec_input_room(client->codec) : READ_AHEAD_MAX;
    size_t size = room < WORKER_BUFFER_SIZE ? room : WORKER_BUFFER_SIZE, filled = 0;
    ssize_t n = 1;
    while (n > 0 && filled < size) {
        n = stream_read(client->stream, client->worker->buffer + filled, size - filled);
        filled += n > 0 ? (size_t)n : 0;
        if (n > 0 && stream_is_drained(client->stream)) {
            n = STREAM_AGAIN;
        }
    }
    *filled_out = filled;
    return n;
}

static void read_some(struct client *client) {
    ssize_t n = 1;
    for (int i = 0; i < READS_PER_EVENT && n > 0 && wants_reading(client); i++) {
        size_t filled;
        n = fill_buffer(client, &filled);
        if (filled > 0) {
            take(client, slice_make(client->worker->buffer, filled));
        }
    }
    if (n == STREAM_BROKEN) {
        log_debug("connection lost: %s", stream_error(client->stream));
        close_gone(client, "the client went away");
    } else if (n == STREAM_EOF) {
        client->eof = true;
        client->eof_ms = now_of(client);
    }
}

/* Returns what stream_write() does. */
static ssize_t write_piece(struct client *client, struct slice piece) {
    ssize_t n = stream_write(client->stream, piece);
    if (n != STREAM_BROKEN && (size_t)n < piece.len) {
        client->is_blocked = true;
        client->queued = stream_queued(client->stream);
    }
    if (n > 0) {
        note_progress(client);
    }
    return n;
}

/* What the codec has for the client, past its `out`. That the connection is broken shows when the rest is flushed. */
static size_t write_through(void *owner, struct slice bytes) {
    struct client *client = owner;
    ssize_t n = client->is_blocked || client->is_closed ? 0 : write_piece(client, bytes);
    return n > 0 ? (size_t)n : 0;
}

/* false: the connection is gone. */
static bool flush(struct client *client) {
    struct sbuf *out = &client->codec->out;
    while (out->len > 0 && !client->is_blocked) {
        struct slice piece = slice_first(sbuf_slice(out), WRITE_SIZE);
        ssize_t n = write_piece(client, piece);
        if (n == STREAM_BROKEN) {
            log_debug("connection lost: %s", stream_error(client->stream));
            close_gone(client, "the client went away");
            return false;
        }
        if (n > 0) {
            sbuf_consume(out, (size_t)n);
            codec_drained(client->codec);
        }
    }
    return true;
}

/* ---- the end of the event ---- */

static enum client_state next_state(const struct client *client) {
    const struct codec *codec = client->codec;
    if (client->exchange || codec->out.len > 0 || (!codec->is_idle && !codec->in_head)) {
        return CLIENT_EXCHANGE;
    }
    return codec->in_head ? CLIENT_HEAD : CLIENT_IDLE;
}

static void settle(struct client *client) {
    client_set_state(client, next_state(client));
    if (client->state == CLIENT_IDLE) {
        sbuf_fini(&client->codec->out); /* an idle connection holds no buffers */
    }
    if (client->in.len == 0) {
        sbuf_fini(&client->in);
    }
    client_settle_turn(client);
    stream_set_reading(client->stream, wants_reading(client));
    arm_timer(client);
}

static void update_http(struct client *client) {
    for (int round = 0; round < ROUNDS_PER_UPDATE; round++) {
        feed(client);
        if (!flush(client)) {
            return;
        }
        if (client->in.len == 0 || !codec_wants_input(client->codec)) {
            break;
        }
    }
    if (client->codec->close_after_out && client->codec->out.len == 0) {
        begin_closing(client);
        return;
    }
    settle(client);
    if (client->in.len > 0 && codec_wants_input(client->codec)) {
        client_kick(client);
    }
}

static void update_closing(struct client *client) {
    if (client->eof) {
        client_close(client, false);
    }
}

static void update(struct client *client) {
    if (client->is_closed || client->state == CLIENT_HANDSHAKE) {
        return;
    }
    if (client->state == CLIENT_CLOSING) {
        update_closing(client);
    } else if (client->state == CLIENT_TUNNEL) {
        tunnel_update(client->tunnel);
    } else {
        update_http(client);
    }
}

static void on_update(void *arg) {
    struct client *client = arg;
    struct log_scope scope = client_scope(client);
    log_push(&scope);
    update(client);
    log_pop(&scope);
}

void client_kick(struct client *client) {
    if (!client->is_closed) {
        loop_defer(client->worker->loop, &client->update);
    }
}

void client_exchange_begun(struct client *client, struct exchange *exchange) {
    client->exchange = exchange;
    client->requests++;
    client->is_body_awaited = false;
    client->body_waited_ms = 0;
    if (client->worker->draining) {
        codec_drain(client->codec);
    }
    client_set_state(client, CLIENT_EXCHANGE);
}

void client_exchange_done(struct client *client) {
    client->exchange = NULL;
    client->is_body_awaited = false;
    client->body_waited_ms = 0; /* what is left of the body may come as slowly */
    client_kick(client);
}

/* ---- TLS ---- */

static enum reason select_host(void *owner, struct slice server_name, struct tls_host **host_out) {
    struct client *client = owner;
    const struct snapshot *snapshot = client->worker->snapshot;
    const struct hostname *hostname = NULL;
    list_remove(&client->hello_node);
    if (server_name.ptr) {
        hostname = snapshot_hostname(snapshot, server_name);
    } else if (client->worker_listener->index < snapshot->listener_count) {
        hostname = snapshot->listeners[client->worker_listener->index].no_sni;
    }
    if (!hostname) {
        return server_name.ptr ? REASON_UNKNOWN_HOSTNAME : REASON_SNI_MISSING;
    }
    *host_out = tls_host_ref(hostname->tls);
    return REASON_NONE;
}

static void on_ready(struct client *client) {
    const struct snapshot *snapshot = client->worker->snapshot;
    client->peer = stream_tls_take_peer(client->stream);
    client->codec =
        h1c_new(&exchange_codec_events, client, &snapshot->h1_limits, (uint64_t)snapshot->conf->limits.body_size);
    client->codec->write = write_through;
    observe_handshake(client);
    client_set_state(client, CLIENT_IDLE);
    if (client->worker->draining) {
        client->drain_by_ms = now_of(client) + FIRST_REQUEST_MS;
    }
}

static void end_handshake(struct client *client, const char *detail) {
    struct handshake_failure failure = {0};
    stream_tls_failure(client->stream, &failure);
    if (detail) {
        failure.reason = REASON_HANDSHAKE_FAILED;
        snprintf(failure.detail, sizeof failure.detail, "%s", detail);
    }
    log_debug("handshake refused: %s", failure.detail);
    observe_handshake_failure(client, &failure);
    client_close(client, false);
}

static void on_stream(void *owner, enum stream_event event) {
    struct client *client = owner;
    struct log_scope scope = client_scope(client);
    log_push(&scope);
    switch (event) {
    case STREAM_READY:
        on_ready(client);
        break;
    case STREAM_READABLE:
        if (client->state == CLIENT_CLOSING) {
            linger(client);
        } else {
            read_some(client);
        }
        break;
    case STREAM_WRITABLE:
        client->is_blocked = false;
        break;
    case STREAM_FAILED:
        end_handshake(client, NULL);
        break;
    }
    client_kick(client);
    log_pop(&scope);
}

/* ---- the deadline ---- */

static void judge(struct client *client) {
    client->judge_at_ms = now_of(client) + JUDGE_MS;
    if (client->exchange) {
        exchange_judge(client->exchange);
    }
    if (client->tunnel && !client->is_closed) {
        tunnel_tick(client->tunnel);
    }
}

/* The kernel holds megabytes for a slow client: that it takes them shows there, long before the next write has room. */
static bool is_taking(struct client *client) {
    size_t before = client->queued;
    client->queued = stream_queued(client->stream);
    return client->codec->out.len > 0 && client->queued < before;
}

/* A client that neither sends nor takes. */
static void expire_exchange(struct client *client) {
    bool takes_nothing = client->codec->out.len > 0;
    bool is_slow = client_is_slow(client);
    if (!is_slow && is_taking(client)) {
        note_progress(client);
        arm_timer(client);
        return;
    }
    if (client->exchange && client_may_be_gone(client)) {
        close_gone(client, "the client closed the connection while it waited");
        return;
    }
    if (client->exchange) {
        exchange_abort(client->exchange, ENDING_BY_CLIENT, REASON_REQUEST_TIMEOUT,
                       is_slow         ? "the request's body came more slowly than body_rate"
                       : takes_nothing ? "the client took no byte for idle_timeout"
                                       : "no byte of the request's body came for idle_timeout");
    }
    if (takes_nothing || !client->codec->close_after_out) {
        client_close(client, true);
    }
}

static void expire(struct client *client) {
    switch (client->state) {
    case CLIENT_HANDSHAKE:
        end_handshake(client, client->worker->draining ? "the gateway stopped before the handshake was over"
                                                       : "the handshake took longer than handshake_timeout");
        break;
    case CLIENT_HEAD:
        codec_refuse(client->codec,
                     &(struct h1_fault){REASON_REQUEST_TIMEOUT, "the request's head took longer than header_timeout"});
        break;
    case CLIENT_EXCHANGE:
        expire_exchange(client);
        break;
    case CLIENT_IDLE:
    case CLIENT_CLOSING:
        client_close(client, false);
        break;
    case CLIENT_TUNNEL:
        break;
    }
}

static bool is_judging(const struct client *client) {
    return client->tunnel || (client->state == CLIENT_EXCHANGE && client->exchange);
}

static void on_timer(void *arg) {
    struct client *client = arg;
    struct log_scope scope = client_scope(client);
    client->timer_at_ms = 0;
    log_push(&scope);
    if (is_judging(client) && now_of(client) >= client->judge_at_ms) {
        judge(client);
    }
    if (!client->is_closed) {
        int64_t deadline = client_deadline(client);
        if (deadline && now_of(client) >= deadline) {
            expire(client);
        } else {
            arm_timer(client);
        }
    }
    client_kick(client);
    log_pop(&scope);
}

/* ---- from the worker ---- */

struct client *client_open(struct worker *worker, const struct worker_listener *listener, int fd,
                           const struct addr *peer) {
    struct client *client = NEW(struct client);
    char text[ADDR_TEXT_SIZE];
    client->worker = worker;
    client->id = worker->next_client_id++;
    client->listener = listener->address;
    client->worker_listener = listener;
    client->addr = *peer;
    client->host_text = mem_strdup(addr_format_host(peer, text));
    client->accepted_us = clock_mono_us();
    list_init(&client->node);
    list_init(&client->judge_node);
    list_init(&client->hello_node);
    sbuf_init(&client->in, (size_t)2 * WORKER_BUFFER_SIZE);
    client->timer = loop_timer_new(worker->loop, on_timer, client);
    loop_task_init(&client->reap, reap, client);
    loop_task_init(&client->update, on_update, client);
    client->stream = stream_tls_accept(worker->loop, fd, worker->snapshot->tls, select_host, on_stream, client);
    client_set_state(client, CLIENT_HANDSHAKE);
    arm_timer(client);
    return client;
}

void client_drain(struct client *client) {
    if (client->is_closed) { /* in this very turn: its timer is gone, it is reaped at the end */
        return;
    }
    switch (client->state) {
    case CLIENT_HANDSHAKE:
        client->drain_by_ms = now_of(client) + LAST_HANDSHAKE_MS;
        arm_timer(client);
        break;
    case CLIENT_IDLE:
        if (client->requests > 0) {
            client_close(client, false);
            break;
        }
        client->drain_by_ms = now_of(client) + FIRST_REQUEST_MS;
        arm_timer(client);
        break;
    case CLIENT_HEAD:
    case CLIENT_EXCHANGE:
        codec_drain(client->codec);
        client_kick(client);
        break;
    case CLIENT_CLOSING:
        client->drain_by_ms = now_of(client) + LINGER_DRAINING_MS;
        arm_timer(client);
        break;
    case CLIENT_TUNNEL:
        break;
    }
}

bool client_is_judged(const struct client *client) { return !client->is_closed && is_judging(client); }

void client_judge(struct client *client) {
    if (client_is_judged(client)) {
        struct log_scope scope = client_scope(client);
        log_push(&scope);
        judge(client);
        log_pop(&scope);
    }
}

/* ---- for the log ---- */

static void describe(const void *subject, struct sbuf *out) {
    const struct client *client = subject;
    char text[ADDR_TEXT_SIZE];
    sbuf_printf(out, "client=%s", addr_format(&client->addr, text));
    if (client->exchange) {
        sbuf_append_char(out, ' ');
        exchange_describe(client->exchange, out);
    }
}

struct log_scope client_scope(const struct client *client) {
    return (struct log_scope){.describe = describe, .subject = client};
}
