/*
 * tickets: OpenSSL's callbacks around a session ticket. Puts into each what it takes to judge the client again
 * (resumption.c), and hands it there when it comes back. TLS 1.3 sessions are rather kept here (sessions.c): encoding
 * and decoding the client's certificate for a ticket costs OpenSSL more than all of the cryptography. Called by OpenSSL
 * only.
 */
#include <openssl/ssl.h>

#include "session_priv.h"

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
    return resumption_may_look(handshake) ? ticket_keys_open(keys, name, iv, cipher, mac) : TICKET_KEY_NONE;
}

/* ---- issuing ---- */

static int64_t earlier(int64_t a, int64_t b) { return b != 0 && b < a ? b : a; }

/* The client is told how long its session would be honoured at most. */
static void set_lifetime(const struct handshake *handshake, SSL *ssl, const struct presented *presented, int64_t now) {
    int64_t until = presented->first_authenticated + tls_profile_session_timeout(handshake->profile);
    until = earlier(until, presented->leaf ? presented->report.not_after : 0);
    until = earlier(until, presented->report.crl_next_update);
    (void)SSL_SESSION_set_timeout(SSL_get_session(ssl), until > now ? (long)(until - now) : 1);
}

/* Called before a ticket is made. 0 fails the handshake, so: only for failures of our own. */
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
    resumption_describe(handshake, presented, &data);
    set_lifetime(handshake, ssl, presented, now);
    if (resumption_is_kept(ssl)) {
        (void)!session_keep(ssl, &data, presented); /* if not, the ticket names nothing */
        return 1;
    }
    uint8_t bytes[TICKET_DATA_MAX];
    size_t len = ticket_data_encode(&data, bytes);
    INVARIANT(len > 0);
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), bytes, len);
}

/* ---- deciding ---- */

static bool is_resumable(struct handshake *handshake, const SSL *ssl, SSL_SESSION *session) {
    void *bytes = NULL;
    size_t len = 0;
    struct ticket_data data;
    if (SSL_SESSION_get_protocol_version(session) != SSL_version(ssl) ||
        SSL_SESSION_get0_ticket_appdata(session, &bytes, &len) != 1 ||
        !ticket_data_decode(slice_make(bytes, len), &data)) {
        return false;
    }
    X509 *x509 = SSL_SESSION_get0_peer(session);
    struct cert *leaf = x509 ? cert_from_x509(x509) : NULL;
    bool is_good = resumption_decide(handshake, &data, leaf);
    cert_unref(&leaf);
    return is_good;
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
