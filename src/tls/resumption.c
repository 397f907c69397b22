/*
 * resumption: what is remembered of a client, in its ticket (tickets.c) or in our store (sessions.c), and the decision,
 * when it comes back, whether it may be resumed.
 *
 *   it comes back --> same host, mode and CA set? --> within session_timeout of the first authentication? --> the chain
 *   still verifies now, CRLs included? --> resumed, with a new ticket of the same first authentication
 *
 * Any "no": a full handshake, never a failed connection (sec-02).
 *
 * The client is judged again at every resumption, by the one verification there is: that gives a report as good as that
 * of a full handshake (sec-03), and nothing to go stale.
 */
#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include "handshake_priv.h"

/* Tickets of one ClientHello that are looked at. Clients send one or two; each may cost a certificate parsed and a
 * chain verified (sec-35). */
#define TICKETS_TRIED_MAX 4

bool resumption_may_look(struct handshake *handshake) { return handshake->tickets_tried++ < TICKETS_TRIED_MAX; }

bool resumption_is_kept(const SSL *ssl) {
    return SSL_version(ssl) >= TLS1_3_VERSION && (SSL_get_options(ssl) & SSL_OP_NO_TICKET) != 0;
}

void resumption_describe(const struct handshake *handshake, const struct presented *presented,
                         struct ticket_data *out) {
    memcpy(out->binding, handshake->binding, SHA256_SIZE);
    out->first_authenticated = presented->first_authenticated;
    if (!presented->leaf) {
        return;
    }
    memcpy(out->anchor, presented->report.anchor_sha256, SHA256_SIZE);
    out->not_after = presented->report.not_after;
    for (size_t i = 0; i < presented->sent.count; i++) {
        out->sent[out->sent_count++] = cert_der(presented->sent.items[i]);
    }
}

/* What is remembered of the client, as objects. False: a certificate in it does not decode. */
static bool restore_presented(const struct ticket_data *data, struct cert *leaf, struct presented *presented) {
    presented->first_authenticated = (time_t)data->first_authenticated;
    presented->leaf = leaf ? cert_ref(leaf) : NULL;
    for (size_t i = 0; i < data->sent_count; i++) {
        struct cert *cert = cert_from_der(data->sent[i], NULL);
        if (!cert) {
            return false;
        }
        cert_list_add(&presented->sent, cert);
        cert_unref(&cert);
    }
    return true;
}

static bool is_current(const struct handshake *handshake, const struct ticket_data *data, int64_t now) {
    int64_t age = now - data->first_authenticated;
    return CRYPTO_memcmp(data->binding, handshake->binding, SHA256_SIZE) == 0 && age >= 0 &&
           age < tls_profile_session_timeout(handshake->profile) && (data->not_after == 0 || now < data->not_after);
}

/* Judged as in a full handshake: a certificate verifies, or there is none and none is required. */
static bool is_client_acceptable(const struct handshake *handshake, const struct ticket_data *data,
                                 struct presented *presented, time_t now) {
    const struct tls_host *host = handshake->host;
    if (!presented->leaf) {
        verify_none(&presented->report);
        return tls_host_mode(host) != CLIENT_CERTIFICATE_REQUIRE;
    }
    if (tls_host_mode(host) == CLIENT_CERTIFICATE_OFF || !trust_has_anchor(tls_host_trust(host), data->anchor)) {
        return false;
    }
    verify_chain_cached(tls_profile_cache(handshake->profile), tls_host_trust(host), presented->leaf, &presented->sent,
                        now, &presented->report);
    return presented->report.reason == REASON_NONE;
}

bool resumption_decide(struct handshake *handshake, const struct ticket_data *data, struct cert *leaf) {
    time_t now = tls_profile_now(handshake->profile);
    presented_fini(&handshake->resumed);
    handshake->has_resumed = handshake->host && is_current(handshake, data, now) &&
                             restore_presented(data, leaf, &handshake->resumed) &&
                             is_client_acceptable(handshake, data, &handshake->resumed, now);
    return handshake->has_resumed;
}
