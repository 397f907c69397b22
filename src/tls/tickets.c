/*
 * tickets: resumption without a store. Puts into each session ticket what it takes to judge the client again, and
 * decides, when one comes back, whether it may be resumed. Called by OpenSSL only.
 *
 *   a ticket comes back --> key known? --> same host, mode and CA set? --> within session_timeout of the first
 *   authentication? --> the chain still verifies now, CRLs included? --> resumed, with a new ticket of the same first
 *   authentication
 *
 * Any "no": a full handshake, never a failed connection (sec-02).
 *
 * The chain is judged again at every resumption, by the one verification there is: that gives a report as good as that
 * of a full handshake (sec-03), and nothing to go stale.
 */
#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include "handshake_priv.h"

/* Tickets of one ClientHello that are looked at. Clients send one or two; each costs a certificate parsed and maybe a
 * chain verified (sec-35). */
#define TICKETS_TRIED_MAX 4

int ticket_key_use(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                   int is_sealing) {
    struct handshake *handshake = handshake_of(ssl);
    if (!handshake) {
        return TICKET_KEY_NONE;
    }
    const struct ticket_keys *keys = tls_profile_ticket_keys(handshake->profile);
    if (is_sealing) {
        return handshake->is_ticket_withheld ? TICKET_KEY_NONE : ticket_keys_seal(keys, name, iv, cipher, mac);
    }
    if (handshake->tickets_tried++ >= TICKETS_TRIED_MAX) {
        return TICKET_KEY_NONE;
    }
    return ticket_keys_open(keys, name, iv, cipher, mac);
}

/* ---- issuing ---- */

static int64_t earlier(int64_t a, int64_t b) { return b != 0 && b < a ? b : a; }

static void describe_session(const struct handshake *handshake, const struct presented *presented,
                             struct ticket_data *data) {
    memcpy(data->binding, tls_host_binding(handshake->host), SHA256_SIZE);
    data->first_authenticated = presented->first_authenticated;
    if (!presented->leaf) {
        return;
    }
    memcpy(data->anchor, presented->report.anchor_sha256, SHA256_SIZE);
    data->not_after = presented->report.not_after;
    for (size_t i = 0; i < presented->sent.count; i++) {
        data->sent[data->sent_count++] = cert_der(presented->sent.items[i]);
    }
}

/* Called before a ticket is sealed. 0 fails the handshake, so: only for failures of our own. */
int ticket_generate(SSL *ssl, void *arg) {
    (void)arg;
    struct handshake *handshake = handshake_of(ssl);
    if (!handshake || handshake->is_ticket_withheld) {
        return 1; /* ticket_key_use() will say no */
    }
    bool is_resumed = SSL_session_reused(ssl);
    if (!handshake->host || (is_resumed && !handshake->has_resumed)) {
        return 0;
    }
    struct presented *presented = is_resumed ? &handshake->resumed : &handshake->full;
    int64_t now = tls_profile_now(handshake->profile);
    if (presented->first_authenticated == 0) {
        presented->first_authenticated = (time_t)now;
    }
    struct ticket_data data = {0};
    uint8_t bytes[TICKET_DATA_MAX];
    describe_session(handshake, presented, &data);
    size_t len = ticket_data_encode(&data, bytes);
    INVARIANT(len > 0);

    /* The lifetime that the client is told: no longer than it would be honoured. */
    int64_t until = data.first_authenticated + tls_profile_session_timeout(handshake->profile);
    until = earlier(earlier(until, data.not_after), presented->report.crl_next_update);
    SSL_SESSION *session = SSL_get_session(ssl);
    (void)SSL_SESSION_set_timeout(session, until > now ? (long)(until - now) : 1);
    return SSL_SESSION_set1_ticket_appdata(session, bytes, len);
}

/* ---- deciding ---- */

/* What the ticket says of the client, as objects. False: a certificate in it does not decode. */
static bool restore_presented(const struct ticket_data *data, SSL_SESSION *session, struct presented *presented) {
    X509 *leaf = SSL_SESSION_get0_peer(session);
    presented->leaf = leaf ? cert_from_x509(leaf) : NULL;
    presented->first_authenticated = (time_t)data->first_authenticated;
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

static bool is_session_current(const struct handshake *handshake, const struct ticket_data *data, int64_t now) {
    int64_t age = now - data->first_authenticated;
    return CRYPTO_memcmp(data->binding, tls_host_binding(handshake->host), SHA256_SIZE) == 0 && age >= 0 &&
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
    verify_chain(tls_host_trust(host), presented->leaf, &presented->sent, now, NULL, &presented->report);
    return presented->report.reason == REASON_NONE;
}

static bool is_resumable(struct handshake *handshake, const SSL *ssl, SSL_SESSION *session) {
    void *bytes = NULL;
    size_t len = 0;
    struct ticket_data data;
    time_t now = tls_profile_now(handshake->profile);
    if (!handshake->host || SSL_SESSION_get_protocol_version(session) != SSL_version(ssl) ||
        SSL_SESSION_get0_ticket_appdata(session, &bytes, &len) != 1 ||
        !ticket_data_decode(slice_make(bytes, len), &data) || !is_session_current(handshake, &data, now)) {
        return false;
    }
    presented_fini(&handshake->resumed);
    handshake->has_resumed = restore_presented(&data, session, &handshake->resumed) &&
                             is_client_acceptable(handshake, &data, &handshake->resumed, now);
    return handshake->has_resumed;
}

SSL_TICKET_RETURN ticket_decide(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_len,
                                SSL_TICKET_STATUS status, void *arg) {
    (void)name;
    (void)name_len;
    (void)arg;
    struct handshake *handshake = handshake_of(ssl);
    bool is_open = status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW;
    if (!handshake || !is_open || !session || !is_resumable(handshake, ssl, session)) {
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    /* TLS 1.3 clients use a ticket once: they get the next one. */
    bool is_renewed = status == SSL_TICKET_SUCCESS_RENEW || SSL_version(ssl) >= TLS1_3_VERSION;
    return is_renewed ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
}
