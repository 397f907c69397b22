/*
 * handshake: life of the record of one handshake, and what to tell people when it fails. stream_tls makes, explains and
 * frees it; the callbacks of OpenSSL find it by handshake_of().
 *
 * What our own callbacks refused is already said when OpenSSL reports its failure. The rest is translated here, from
 * OpenSSL's reason codes and the state it stopped in, into the product's reasons and sentences.
 */
#include "handshake_priv.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/clock.h"
#include "base/mem.h"
#include "io/stream_impl.h"

void presented_fini(struct presented *presented) {
    cert_unref(&presented->leaf);
    cert_list_fini(&presented->sent);
    verify_report_fini(&presented->report);
    *presented = (struct presented){0};
}

struct handshake *handshake_new(struct tls_profile *profile, tls_select_fn *select, void *owner) {
    struct handshake *handshake = NEW(struct handshake);
    handshake->profile = tls_profile_ref(profile);
    handshake->select = select;
    handshake->owner = owner;
    handshake->accepted_us = clock_mono_us();
    return handshake;
}

void handshake_free(struct handshake **handshake_ptr) {
    struct handshake *handshake = *handshake_ptr;
    *handshake_ptr = NULL;
    if (!handshake) {
        return;
    }
    presented_fini(&handshake->full);
    presented_fini(&handshake->resumed);
    tls_host_unref(&handshake->host);
    tls_profile_unref(&handshake->profile);
    mem_free(handshake);
}

struct handshake *handshake_of(const SSL *ssl) {
    return SSL_get_app_data(ssl);
}

void handshake_refuse(struct handshake *handshake, enum reason reason, const char *format, ...) {
    if (handshake->reason != REASON_NONE) {
        return;
    }
    handshake->reason = reason;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(handshake->detail, sizeof handshake->detail, format, args);
    va_end(args);
}

/* What OpenSSL says, in words for people. */
static const struct {
    int openssl_reason;
    enum reason reason;
    const char *sentence;
} FAILURES[] = {
    {SSL_R_HTTP_REQUEST, REASON_HANDSHAKE_FAILED, "a plain HTTP request was sent to the TLS port"},
    {SSL_R_HTTPS_PROXY_REQUEST, REASON_HANDSHAKE_FAILED, "a plain HTTP request was sent to the TLS port"},
    {SSL_R_WRONG_VERSION_NUMBER, REASON_HANDSHAKE_FAILED, "the client does not speak TLS"},
    {SSL_R_BAD_PROTOCOL_VERSION_NUMBER, REASON_HANDSHAKE_FAILED, "the client does not speak TLS"},
    {SSL_R_UNSUPPORTED_PROTOCOL, REASON_HANDSHAKE_FAILED, "no protocol version in common"},
    {SSL_R_UNKNOWN_PROTOCOL, REASON_HANDSHAKE_FAILED, "no protocol version in common"},
    {SSL_R_VERSION_TOO_LOW, REASON_HANDSHAKE_FAILED, "no protocol version in common"},
    {SSL_R_NO_PROTOCOLS_AVAILABLE, REASON_HANDSHAKE_FAILED, "no protocol version in common"},
    {SSL_R_INAPPROPRIATE_FALLBACK, REASON_HANDSHAKE_FAILED,
     "the client fell back to an older protocol version than it supports"},
    {SSL_R_NO_SHARED_CIPHER, REASON_HANDSHAKE_FAILED, "no cipher in common"},
    {SSL_R_NO_SUITABLE_KEY_SHARE, REASON_HANDSHAKE_FAILED, "no key exchange group in common"},
    {SSL_R_NO_SHARED_GROUPS, REASON_HANDSHAKE_FAILED, "no key exchange group in common"},
    {SSL_R_NO_SUITABLE_GROUPS, REASON_HANDSHAKE_FAILED, "no key exchange group in common"},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, REASON_HANDSHAKE_FAILED, "no signature algorithm in common"},
    {SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, REASON_HANDSHAKE_FAILED, "no signature algorithm in common"},
    {SSL_R_NO_APPLICATION_PROTOCOL, REASON_HANDSHAKE_FAILED,
     "no application protocol in common (ALPN): the client does not offer http/1.1"},
    {SSL_R_TOO_MUCH_EARLY_DATA, REASON_HANDSHAKE_FAILED, "the client sent early data, which is not accepted"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, REASON_CERTIFICATE_MISSING, "no client certificate was presented"},
    {SSL_R_UNKNOWN_CERTIFICATE_TYPE, REASON_CERTIFICATE_INVALID,
     "the key of the client's certificate is of an unsupported type"},
    {SSL_R_BAD_SIGNATURE, REASON_CERTIFICATE_INVALID,
     "the client did not prove that it holds the private key of its certificate"},
    {SSL_R_WRONG_SIGNATURE_TYPE, REASON_CERTIFICATE_INVALID,
     "the client signed with an algorithm that is not accepted"},
    {SSL_R_WRONG_CURVE, REASON_CERTIFICATE_INVALID,
     "the key of the client's certificate is on a curve that is not accepted"},
};

/* A sentence for the alert that the client sent. */
static void explain_alert(struct handshake *handshake, int alert) {
    bool is_about_us = alert == SSL_AD_UNKNOWN_CA || alert == SSL_AD_BAD_CERTIFICATE ||
                       alert == SSL_AD_CERTIFICATE_UNKNOWN || alert == SSL_AD_CERTIFICATE_EXPIRED ||
                       alert == SSL_AD_UNSUPPORTED_CERTIFICATE;
    handshake_refuse(handshake, REASON_HANDSHAKE_FAILED, "the client %s (alert \"%s\")",
                     is_about_us ? "does not accept the server certificate" : "refused the handshake",
                     SSL_alert_desc_string_long(alert));
}

static void explain_protocol_failure(struct handshake *handshake, const SSL *ssl, unsigned long code) {
    int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
    OSSL_HANDSHAKE_STATE state = SSL_get_state(ssl);
    if (reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256) {
        explain_alert(handshake, reason - SSL_AD_REASON_OFFSET);
        return;
    }
    if (reason == SSL_R_EXCESSIVE_MESSAGE_SIZE && state == TLS_ST_SR_CERT) {
        handshake_refuse(handshake, REASON_CERTIFICATE_TOO_LARGE,
                         "the client's certificate chain is over limits.certificate_chain_size");
        return;
    }
    for (size_t i = 0; i < sizeof FAILURES / sizeof *FAILURES; i++) {
        if (FAILURES[i].openssl_reason == reason) {
            handshake_refuse(handshake, FAILURES[i].reason, "%s", FAILURES[i].sentence);
            return;
        }
    }
    const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;
    text = text ? text : "unknown failure";
    if (state == TLS_ST_SR_CERT) {
        handshake_refuse(handshake, REASON_CERTIFICATE_INVALID, "the client's certificate does not decode: %s", text);
    } else if (state == TLS_ST_SR_CERT_VRFY) {
        handshake_refuse(handshake, REASON_CERTIFICATE_INVALID,
                         "the client's proof of its private key does not hold: %s", text);
    } else {
        handshake_refuse(handshake, REASON_HANDSHAKE_FAILED, "%s", text);
    }
}

bool handshake_explain(struct handshake *handshake, SSL *ssl, int ssl_error, int errnum) {
    unsigned long code = ERR_peek_last_error(); /* the lower-level causes come before it */
    bool is_eof = ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    bool is_gone = is_eof || ssl_error == SSL_ERROR_SYSCALL || ssl_error == SSL_ERROR_ZERO_RETURN;
    if (is_gone && (is_eof || errnum == 0 || ssl_error == SSL_ERROR_ZERO_RETURN)) {
        handshake_refuse(handshake, REASON_HANDSHAKE_FAILED, "the client closed the connection");
    } else if (is_gone) {
        handshake_refuse(handshake, REASON_HANDSHAKE_FAILED, "%s", stream_errno_text(errnum));
    } else {
        explain_protocol_failure(handshake, ssl, code);
    }
    openssl_drain(NULL, "TLS");
    return is_gone;
}
