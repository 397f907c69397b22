/*
 * steps: what happens to a request before its bytes flow, one function a step, in the order of the table at the end.
 * Each writes the facts that are its own (proxy/exchange.h), decides, and says how to go on; none calls another. The
 * driver is in exchange.c.
 */
#include "base/clock.h"
#include "exchange_priv.h"
#include "proxy/forward.h"

/* Endpoints tried for one request at most, so that an upstream with many dead ones is given up. */
#define ATTEMPTS_MAX 4

static enum step_result deny(struct exchange *exchange, enum reason reason, const char *detail) {
    exchange_answer(exchange, reason, detail);
    return STEP_DONE;
}

static struct slice server_name(const struct exchange *exchange) {
    return slice_of(exchange->client->peer->server_name);
}

/* ---- judging ---- */

/* A hostname that requires a certificate has none but verified ones: where the handshake's verdict no longer holds, the
 * connection ends. */
static enum reason judge_required(const struct hostname *hostname, const struct peer *peer) {
    return tls_host_mode(hostname->tls) == CLIENT_CERTIFICATE_REQUIRE ? peer->report.reason : REASON_NONE;
}

/* What no browser makes part of a preflight, a body or an upgrade, would pass unjudged with it. */
static bool is_preflight(const struct request_head *request) {
    bool has_body = request->framing == BODY_CHUNKED || request->content_length > 0;
    return !has_body && request->upgrade.len == 0 && slice_eq_str(request->method, "OPTIONS") &&
           headers_find(&request->headers, SLICE("Origin")) &&
           headers_find(&request->headers, SLICE("Access-Control-Request-Method"));
}

static void judge_policy(const struct exchange *exchange, const struct snapshot *snapshot,
                         const struct hostname *hostname, struct peer *peer, struct verdict *verdict_out,
                         const struct application **application_out) {
    struct facts facts = {.identity = peer_identity(peer),
                          .report = &peer->report,
                          .trust = hostname->trust,
                          .client = &exchange->client->addr,
                          .method = exchange->request->method,
                          .is_preflight = is_preflight(exchange->request)};
    judge_request(snapshot, hostname, server_name(exchange), &exchange->request->target, &facts, NULL, verdict_out,
                  application_out);
}

/* The facts of the report where they are what the verdict is about. */
static const char *detail_of(const struct peer *peer, enum reason reason) {
    return reason == peer->report.reason && peer->report.detail[0] ? peer->report.detail : NULL;
}

enum reason exchange_judge_now(const struct exchange *exchange, const struct snapshot *snapshot,
                               const char **detail_out) {
    struct peer *peer = exchange->client->peer;
    const struct hostname *hostname = snapshot_hostname(snapshot, server_name(exchange));
    *detail_out = NULL;
    if (!hostname) {
        return REASON_MISDIRECTED_REQUEST;
    }
    peer_reverify(peer, hostname->trust, clock_wall());
    enum reason reason = judge_required(hostname, peer);
    if (reason == REASON_NONE && !judge_host(snapshot, hostname, server_name(exchange), exchange->request->has_host,
                                             &exchange->request->target)) {
        reason = REASON_MISDIRECTED_REQUEST;
    }
    if (reason == REASON_NONE) {
        struct verdict verdict;
        const struct application *application;
        peer = session_peer(exchange, snapshot, clock_wall());
        peer_reverify(peer, hostname->trust, clock_wall());
        judge_policy(exchange, snapshot, hostname, peer, &verdict, &application);
        reason = verdict.effect == EFFECT_DENY ? verdict.reason : REASON_NONE;
    }
    *detail_out = detail_of(peer, reason);
    return reason;
}

/* ---- the steps ---- */

void exchange_pin(struct exchange *exchange) {
    exchange->snapshot = snapshot_ref(exchange->client->worker->snapshot);
    exchange->hostname = snapshot_hostname(exchange->snapshot, server_name(exchange));
}

/* The newest snapshot, and the certificate judged by it and by the clock (sec-02, sec-32, sec-46). */
static enum step_result pin(struct exchange *exchange) {
    struct peer *peer = exchange->client->peer;
    exchange_pin(exchange);
    if (!exchange->hostname) {
        exchange_close_after(exchange);
        return deny(exchange, REASON_MISDIRECTED_REQUEST,
                    "the hostname of this TLS connection is no longer served here");
    }
    peer_reverify(peer, exchange->hostname->trust, (time_t)(exchange->started_wall_us / 1000000));
    enum reason reason = judge_required(exchange->hostname, peer);
    if (reason != REASON_NONE) {
        exchange_close_after(exchange);
        return deny(exchange, reason, detail_of(peer, reason));
    }
    return STEP_NEXT;
}

/* The connection stays usable for its own hostname (sec-04, sec-07). */
static enum step_result host(struct exchange *exchange) {
    const struct request_head *request = exchange->request;
    if (!judge_host(exchange->snapshot, exchange->hostname, server_name(exchange), request->has_host,
                    &request->target)) {
        return deny(exchange, REASON_MISDIRECTED_REQUEST, NULL);
    }
    return STEP_NEXT;
}

/* A client that was never asked for a certificate is asked on its next connection. */
static bool was_not_asked(const struct exchange *exchange) {
    return tls_host_mode(exchange->client->peer->host) == CLIENT_CERTIFICATE_OFF &&
           tls_host_mode(exchange->hostname->tls) != CLIENT_CERTIFICATE_OFF;
}

static enum step_result policy(struct exchange *exchange) {
    struct verdict *verdict = &exchange->verdict;
    time_t now = (time_t)(exchange->started_wall_us / 1000000);
    struct peer *peer = session_peer(exchange, exchange->snapshot, now);
    peer_reverify(peer, exchange->hostname->trust, now);
    judge_policy(exchange, exchange->snapshot, exchange->hostname, peer, verdict, &exchange->application);
    if (verdict->effect != EFFECT_DENY) {
        return STEP_NEXT;
    }
    if (was_not_asked(exchange)) {
        exchange_close_after(exchange);
    }
    return deny(exchange, verdict->reason, detail_of(peer, verdict->reason));
}

/* A body whose length is known to be too large is refused before the upstream hears of it; the codec counts the others.
 */
static enum step_result body(struct exchange *exchange) {
    int64_t limit = exchange->snapshot->conf->limits.body_size;
    if (limit > 0 && exchange->request->framing == BODY_LENGTH && exchange->request->content_length > (uint64_t)limit) {
        return deny(exchange, REASON_BODY_TOO_LARGE, NULL);
    }
    return STEP_NEXT;
}

static enum step_result pick(struct exchange *exchange) {
    size_t index = 0;
    exchange->upstream = exchange->hostname->upstream;
    const struct endpoint *endpoint = NULL;
    if (exchange->attempts < ATTEMPTS_MAX) {
        endpoint = pool_pick(exchange->client->worker->pool, exchange->upstream, exchange->tried, &index);
    }
    if (!endpoint) {
        return deny(exchange, exchange->attempts ? REASON_UPSTREAM_UNREACHABLE : REASON_UPSTREAM_UNAVAILABLE, NULL);
    }
    exchange->endpoint = endpoint;
    if (index < 64) {
        exchange->tried |= 1ULL << index;
    }
    return STEP_NEXT;
}

static enum step_result acquire(struct exchange *exchange) {
    exchange->attempts++;
    exchange->end_sent = false;
    exchange->link = link_acquire(exchange->client->worker->pool, exchange->upstream, exchange->endpoint,
                                  exchange->fresh, &relay_link_events, exchange);
    return STEP_NEXT;
}

static enum step_result forward(struct exchange *exchange) {
    exchange->upstream_started_us = clock_mono_us();
    /* Made anew for each attempt: it points into the identity, which goes when the chain is judged otherwise. */
    link_send_head(exchange->link, forward_request(exchange), exchange->arena);
    if (exchange->request->expect_continue && !exchange->continue_sent) {
        relay_await_continue(exchange);
    }
    relay_request(exchange);
    return STEP_WAIT;
}

const struct step exchange_steps[STEP_COUNT] = {
    [STEP_PIN] = {"pin", PHASE_POLICY, pin},
    [STEP_HOST] = {"host", PHASE_POLICY, host},
    [STEP_OWN] = {"own", PHASE_POLICY, access_step},
    [STEP_STATUS] = {"status", PHASE_POLICY, status_step},
    [STEP_POLICY] = {"policy", PHASE_POLICY, policy},
    [STEP_BODY] = {"body", PHASE_REQUEST_BODY, body},
    [STEP_SESSION] = {"session", PHASE_POLICY, session_step},
    [STEP_PICK] = {"pick", PHASE_CONNECT, pick},
    [STEP_LINK] = {"link", PHASE_CONNECT, acquire},
    [STEP_FORWARD] = {"forward", PHASE_CONNECT, forward},
};
