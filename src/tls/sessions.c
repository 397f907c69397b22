/*
 * sessions: TLS 1.3 sessions that are kept in the store (session_store.c); the client's ticket is the identifier of the
 * record. OpenSSL calls: tickets.c when it is about to make a ticket, session_find() when a client names one.
 *
 * The session is made anew from the record's few values. It holds no certificate, which is what makes OpenSSL's own
 * sessions dear; what is to be known of the client comes from the record and is judged by resumption.c. The time at
 * which OpenSSL would let it end plays no part: how old it may be was decided there.
 */
#include <openssl/ssl.h>

#include "base/mem.h"
#include "session_priv.h"

static bool set_identifier(SSL *ssl, struct session_store *store, size_t len) {
    struct handshake *handshake = handshake_of(ssl);
    uint8_t id[SESSION_ID_SIZE];
    return session_store_put(store, tls_profile_ticket_keys(handshake->profile), len, id) &&
           SSL_SESSION_set1_id(SSL_get_session(ssl), id, sizeof id) == 1;
}

bool session_keep(SSL *ssl, const struct ticket_data *data, const struct presented *presented) {
    struct session_store *store = ticket_keys_store(tls_profile_ticket_keys(handshake_of(ssl)->profile));
    SSL_SESSION *session = SSL_get_session(ssl);
    const SSL_CIPHER *cipher = SSL_SESSION_get0_cipher(session);
    uint8_t secret[SESSION_SECRET_MAX + 1];
    size_t secret_len = SSL_SESSION_get_master_key(session, secret, sizeof secret);
    if (!store || !cipher || secret_len == 0 || secret_len > SESSION_SECRET_MAX) {
        return false;
    }
    uint16_t number = SSL_CIPHER_get_protocol_id(cipher);
    struct session_record record = {
        .cipher = {(uint8_t)(number >> 8), (uint8_t)number},
        .secret = slice_make(secret, secret_len),
        .leaf = presented->leaf ? cert_der(presented->leaf) : SLICE_NONE,
        .data = *data,
    };
    size_t len = session_record_encode(&record, session_store_draft(store));
    bool is_kept = len > 0 && set_identifier(ssl, store, len);
    mem_wipe(secret, sizeof secret);
    session_store_wipe(store, len);
    return is_kept;
}

static SSL_SESSION *make_session(SSL *ssl, const struct session_record *record) {
    SSL_SESSION *session = SSL_SESSION_new();
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, record->cipher);
    const unsigned char *secret = (const unsigned char *)record->secret.ptr;
    if (session && cipher && SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1 &&
        SSL_SESSION_set_cipher(session, cipher) == 1 &&
        SSL_SESSION_set1_master_key(session, secret, record->secret.len) == 1 &&
        SSL_SESSION_set1_id_context(session, record->data.binding, SHA256_SIZE) == 1) {
        return session;
    }
    SSL_SESSION_free(session);
    return NULL;
}

static SSL_SESSION *resume(struct handshake *handshake, SSL *ssl, struct slice bytes) {
    struct session_record record;
    if (!session_record_decode(bytes, &record)) {
        return NULL;
    }
    struct verify_cache *cache = tls_profile_cache(handshake->profile);
    struct cert *leaf = record.leaf.ptr ? verify_cache_cert(cache, record.leaf) : NULL;
    if (record.leaf.ptr && !leaf) {
        return NULL;
    }
    bool is_good = resumption_decide(handshake, &record.data, leaf);
    cert_unref(&leaf);
    return is_good ? make_session(ssl, &record) : NULL;
}

SSL_SESSION *session_find(SSL *ssl, const unsigned char *id, int id_len, int *copy) {
    struct handshake *handshake = handshake_of(ssl);
    *copy = 0; /* the reference goes to OpenSSL */
    if (!handshake || id_len != SESSION_ID_SIZE || !resumption_is_kept(ssl)) {
        return NULL;
    }
    const struct ticket_keys *keys = tls_profile_ticket_keys(handshake->profile);
    struct session_store *store = ticket_keys_store(keys);
    if (!store || !resumption_may_look(handshake)) {
        return NULL;
    }
    size_t len = session_store_get(store, keys, id);
    SSL_SESSION *session = len > 0 ? resume(handshake, ssl, slice_make(session_store_draft(store), len)) : NULL;
    session_store_wipe(store, len);
    return session;
}
