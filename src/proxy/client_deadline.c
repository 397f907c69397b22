/*
 * client_deadline: how long each state of a client's connection may last (sec-41), by limits of the snapshot in force.
 * Called by client.c at the end of each event and when its timer fires; owns nothing.
 *
 * Time in which we or the upstream are not ready is never the client's: only while it is its turn do idle_timeout and
 * body_rate run.
 */
#include "client_priv.h"
#include "proxy/exchange.h"

/* Lingering ends after LINGER_MS, or when nothing came for LINGER_QUIET_MS (as in nginx). */
#define LINGER_MS 30000
#define LINGER_QUIET_MS 5000
/* A client that half-closed may be gone: so long its request may go on without an answer. */
#define GONE_MS 2000
/* body_rate holds from idle_timeout on, and not in the first second. */
#define RATE_GRACE_MS 1000

static const struct conf_limits *limits_of(const struct client *client) {
    return &client->worker->snapshot->conf->limits;
}

static int64_t now_of(const struct client *client) { return loop_now_ms(client->worker->loop); }

/* Of two times, 0: never. */
static int64_t earlier(int64_t a, int64_t b) { return a && (!b || a < b) ? a : b; }

/* When `from` is over by this limit; 0: never. */
static int64_t after(int64_t from_ms, int64_t limit_ms) { return limit_ms > 0 ? from_ms + limit_ms : 0; }

/* ---- whose turn it is ---- */

/* Is it to bring more of a request's body, also of one that nobody wants any more? */
static bool is_body_awaited(const struct client *client) {
    return !(client->exchange && client->exchange->request_ended) && codec_wants_input(client->codec);
}

/* Is the client to send or to take bytes, or is it waiting for us? */
static bool is_awaited(const struct client *client) {
    return client->codec->out.len > 0 || !client->exchange || is_body_awaited(client);
}

bool client_may_be_gone(const struct client *client) {
    return client->eof && client->exchange && client->exchange->status == 0;
}

void client_settle_turn(struct client *client) {
    bool is_exchange = client->state == CLIENT_EXCHANGE;
    bool awaited = is_exchange && is_awaited(client);
    if (awaited && !client->is_awaited) {
        client->progress_ms = now_of(client);
    }
    client->is_awaited = awaited;

    bool body_awaited = is_exchange && is_body_awaited(client);
    if (client->is_body_awaited && !body_awaited) {
        client->body_waited_ms += now_of(client) - client->body_since_ms;
    } else if (!client->is_body_awaited && body_awaited) {
        client->body_since_ms = now_of(client);
    }
    client->is_body_awaited = body_awaited;
}

/* ---- deadlines ---- */

/* When what has come of the body is less than body_rate asks for. */
static int64_t body_deadline(const struct client *client) {
    const struct conf_limits *limits = limits_of(client);
    if (limits->body_rate == 0 || !client->is_body_awaited) {
        return 0;
    }
    uint64_t bytes = client->exchange ? client->exchange->bytes_in : 0;
    int64_t grace_ms = limits->idle_timeout_ms > RATE_GRACE_MS ? limits->idle_timeout_ms : RATE_GRACE_MS;
    int64_t earned_ms = (int64_t)(bytes / (uint64_t)limits->body_rate * 1000 +
                                  bytes % (uint64_t)limits->body_rate * 1000 / (uint64_t)limits->body_rate);
    return client->body_since_ms - client->body_waited_ms + grace_ms + earned_ms;
}

bool client_is_slow(const struct client *client) {
    int64_t deadline = body_deadline(client);
    return deadline && now_of(client) >= deadline;
}

static int64_t exchange_deadline(const struct client *client) {
    int64_t deadline = client->exchange ? client->judge_at_ms : 0;
    if (client->is_awaited) {
        deadline = earlier(deadline, after(client->progress_ms, limits_of(client)->idle_timeout_ms));
    }
    deadline = earlier(deadline, body_deadline(client));
    return client_may_be_gone(client) ? earlier(deadline, client->eof_ms + GONE_MS) : deadline;
}

static int64_t closing_deadline(const struct client *client) {
    int64_t heard_ms = client->progress_ms > client->state_since_ms ? client->progress_ms : client->state_since_ms;
    int64_t deadline = earlier(client->state_since_ms + LINGER_MS, heard_ms + LINGER_QUIET_MS);
    return earlier(client->drain_by_ms, deadline);
}

int64_t client_deadline(const struct client *client) {
    switch (client->state) {
    case CLIENT_HANDSHAKE:
        return earlier(client->drain_by_ms, after(client->state_since_ms, limits_of(client)->handshake_timeout_ms));
    case CLIENT_IDLE:
        return earlier(client->drain_by_ms, after(client->state_since_ms, limits_of(client)->idle_timeout_ms));
    case CLIENT_HEAD: /* from its first byte, however many follow (sec-41) */
        return after(client->state_since_ms, limits_of(client)->header_timeout_ms);
    case CLIENT_EXCHANGE:
        return exchange_deadline(client);
    case CLIENT_TUNNEL:
        return client->judge_at_ms;
    case CLIENT_CLOSING:
        return closing_deadline(client);
    }
    return 0;
}
