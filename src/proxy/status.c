/*
 * status: the step that finds the certificate of the request, the connection's or the one that a token stands in for,
 * and asks what OCSP says of it, where one of its bundles wants to know (proxy/statuses.h). Before policy, so that a
 * revoked certificate meets no rule. The request waits, the worker does not; what is not known in time is not good
 * (sec-33).
 *
 * A client that presents a certificate whose status nobody tells is denied whatever the policy: what the policy would
 * make of it, and what the origin would be told, is not known.
 */
#include "exchange_priv.h"

#include "base/log.h"

static enum step_result go_without(struct exchange *exchange, const struct trust_ocsp_rule *rule,
                                   const struct status *status) {
    if (rule->may_be_missing && !status->is_unknown) {
        log_debug("the status of the certificate is not known: %s", status->detail);
        return STEP_NEXT;
    }
    exchange_answer(exchange, REASON_OCSP_UNAVAILABLE, status->detail);
    return STEP_DONE;
}

enum step_result status_step(struct exchange *exchange) {
    const struct trust *trust = exchange->hostname->trust;
    time_t now = (time_t)(exchange->started_wall_us / 1000000);
    struct status status;
    if (!exchange->stand_in) {
        session_find_stand_in(exchange);
    }
    struct peer *peer = session_peer(exchange, exchange->snapshot, now);
    peer_reverify(peer, trust, now);
    if (!trust || !peer->leaf || peer->report.reason != REASON_NONE) {
        return STEP_NEXT;
    }
    struct trust_ocsp_rule rule = trust_ocsp_rule(trust, peer->report.bundles);
    if (rule.ocsp == TRUST_OCSP_OFF) {
        return STEP_NEXT;
    }
    if (!wait_is_ready(&exchange->status_wait)) {
        wait_init(&exchange->status_wait, exchange_go_on, exchange);
    }
    switch (statuses_get(exchange->client->worker->statuses, peer, trust, slice_of(exchange->client->peer->server_name),
                         now, &exchange->status_wait, &status)) {
    case STATUS_WAIT:
        return STEP_WAIT;
    case STATUS_REVOKED:
        peer_revoke(peer, status.revoked_at, status.revocation_reason, status.depth);
        break;
    case STATUS_UNAVAILABLE:
        return go_without(exchange, &rule, &status);
    case STATUS_GOOD:
        break;
    }
    return STEP_NEXT;
}
