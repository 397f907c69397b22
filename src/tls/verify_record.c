/*
 * verify_record: the client's Certificate message, judged. OpenSSL calls in place of its own verification; the
 * judgement is pki/verify's, by the trust of the hostname that sni.c chose, and it is recorded whole in the handshake.
 *
 * request: whatever the verdict, the handshake goes on; each request is answered by it later. require: a bad verdict
 * ends the handshake with the fitting alert. Nothing here, and nobody later, relies on SSL_get_verify_result().
 */
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "handshake_priv.h"

#define KEY_BITS_MAX 8192

/* The X509_V_ERR_* that makes OpenSSL send the alert we want. */
static int error_for_alert(enum reason reason) {
    switch (reason) {
    case REASON_NONE:
        return X509_V_OK;
    case REASON_CERTIFICATE_UNTRUSTED:
        return X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY; /* unknown_ca */
    case REASON_CERTIFICATE_PURPOSE:
        return X509_V_ERR_INVALID_PURPOSE; /* unsupported_certificate */
    case REASON_CERTIFICATE_NOT_YET_VALID:
        return X509_V_ERR_CERT_NOT_YET_VALID; /* bad_certificate */
    case REASON_CERTIFICATE_EXPIRED:
        return X509_V_ERR_CERT_HAS_EXPIRED; /* certificate_expired */
    case REASON_CERTIFICATE_REVOKED:
        return X509_V_ERR_CERT_REVOKED; /* certificate_revoked */
    case REASON_CRL_MISSING:
    case REASON_CRL_EXPIRED:
    case REASON_CRL_INVALID:
        return X509_V_ERR_CRL_PATH_VALIDATION_ERROR; /* certificate_unknown: nothing is known to be wrong with it */
    default:
        return X509_V_ERR_CERT_REJECTED; /* bad_certificate */
    }
}

static void record_certificates(struct presented *presented, X509_STORE_CTX *store, struct verify_cache *cache) {
    presented->leaf = verify_cache_cert_of(cache, X509_STORE_CTX_get0_cert(store));
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store); /* all of the message, leaf first */
    for (int i = 1; i < sk_X509_num(sent); i++) {
        struct cert *cert = cert_from_x509(sk_X509_value(sent, i));
        cert_list_add(&presented->sent, cert);
        cert_unref(&cert);
    }
}

/* Its owner's proof would cost several times what a handshake costs, whoever he is (sec-35). */
static bool is_key_too_long(const struct cert *leaf) {
    const EVP_PKEY *key = X509_get0_pubkey(cert_x509(leaf));
    return key && EVP_PKEY_get_bits(key) > KEY_BITS_MAX;
}

int verify_record(X509_STORE_CTX *store, void *arg) {
    (void)arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct handshake *handshake = handshake_of(ssl);
    if (!handshake || !handshake->host || tls_host_mode(handshake->host) == CLIENT_CERTIFICATE_OFF) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    struct presented *presented = &handshake->full;
    presented_fini(presented);
    struct verify_cache *cache = tls_profile_cache(handshake->profile);
    record_certificates(presented, store, cache);
    time_t now = tls_profile_now(handshake->profile);
    verify_chain_cached(cache, tls_host_trust(handshake->host), presented->leaf, &presented->sent, now,
                        &presented->report);
    presented->first_authenticated = now;

    enum reason reason = presented->report.reason;
    if (reason != REASON_NONE || !ticket_has_room(presented->leaf, &presented->sent)) {
        /* Only what verified is worth remembering, and only whole. The flag is for TLS 1.2, which asks for the key of a
         * ticket it has announced. */
        handshake->is_ticket_withheld = true;
        SSL_set_num_tickets(ssl, 0);
    }
    if (is_key_too_long(presented->leaf)) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_PURPOSE); /* unsupported_certificate */
        handshake_refuse(handshake, REASON_CERTIFICATE_INVALID,
                         "the key of the client's certificate is longer than %d bits", KEY_BITS_MAX);
        return 0;
    }
    X509_STORE_CTX_set_error(store, error_for_alert(reason));
    if (reason != REASON_NONE && tls_host_mode(handshake->host) == CLIENT_CERTIFICATE_REQUIRE) {
        handshake_refuse(handshake, reason, "%s", presented->report.detail);
        return 0;
    }
    return 1;
}
