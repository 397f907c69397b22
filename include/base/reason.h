/*
 * reason: the one vocabulary. Policy, headers, pages, logs and metrics name a refusal by these codes and no others.
 * A row: constant, code as people see it, HTTP status of the answer (0: refused handshake, audit line only), the
 * sentence used when nothing more exact is known, and what the client can do about it.
 */
#ifndef SALLYPORT_BASE_REASON_H
#define SALLYPORT_BASE_REASON_H

#include <stdbool.h>

#include "base/slice.h"

/* clang-format off */
#define REASONS(X) \
    X(NONE, "", 200, "", "") \
    /* Certificates, in order of precedence: of several faults the first one here is the reason. */ \
    X(CERTIFICATE_MISSING, "certificate_missing", 403, "no client certificate was presented", "Present a client certificate issued by a CA this hostname trusts.") \
    X(CERTIFICATE_UNTRUSTED, "certificate_untrusted", 403, "the certificate does not chain to a CA of this hostname", "Use a certificate issued by a CA this hostname trusts, and send the intermediates with it.") \
    X(CERTIFICATE_INVALID, "certificate_invalid", 403, "the certificate is not valid", "Ask the issuer for a new certificate.") \
    X(CERTIFICATE_PURPOSE, "certificate_purpose", 403, "the certificate may not be used for client authentication", "Ask the issuer for a certificate with extended key usage clientAuth.") \
    X(CERTIFICATE_NOT_YET_VALID, "certificate_not_yet_valid", 403, "the certificate is not yet valid", "Check the clock of the machine that issued it, or wait.") \
    X(CERTIFICATE_EXPIRED, "certificate_expired", 403, "the certificate has expired", "Renew the certificate.") \
    X(CERTIFICATE_REVOKED, "certificate_revoked", 403, "the certificate has been revoked", "Ask the issuer for a new certificate.") \
    X(CRL_MISSING, "crl_missing", 403, "there is no revocation list for the CA of the certificate", "Nothing is wrong with the request: the operator has to provide the CA's revocation list.") \
    X(CRL_EXPIRED, "crl_expired", 403, "the revocation list of the CA is out of date", "Nothing is wrong with the request: the operator has to renew the CA's revocation list.") \
    X(CRL_INVALID, "crl_invalid", 403, "the revocation list of the CA cannot be used", "Nothing is wrong with the request: the operator has to replace the CA's revocation list.") \
    X(OCSP_UNAVAILABLE, "ocsp_unavailable", 403, "the status of the certificate could not be learnt", "Try again later.") \
    /* Policy */ \
    X(POLICY_NO_MATCH, "policy_no_match", 403, "no policy lets this client in", "Ask the operator to add you to a policy of this application.") \
    X(POLICY_BLOCK, "policy_block", 403, "a policy blocks this client", "Ask the operator why.") \
    X(RULE_BLOCK, "rule_block", 403, "a rule blocks this request", "Ask the operator why.") \
    X(SERVICE_TOKEN_INVALID, "service_token_invalid", 403, "the service token is not valid", "Check the token's id and secret.") \
    X(MISDIRECTED_REQUEST, "misdirected_request", 421, "the request's host does not belong to the hostname of this TLS connection", "Open a new connection for this host.") \
    /* Refused handshakes */ \
    X(UNKNOWN_HOSTNAME, "unknown_hostname", 0, "the client asked for a hostname that is not configured", "") \
    X(SNI_MISSING, "sni_missing", 0, "the client named no hostname", "") \
    X(CERTIFICATE_TOO_LARGE, "certificate_too_large", 0, "the client's certificate chain is over the limit", "") \
    X(HANDSHAKE_FAILED, "handshake_failed", 0, "the TLS handshake failed", "") \
    /* Limits */ \
    X(RATE_LIMITED, "rate_limited", 429, "too many requests", "Slow down and try again later.") \
    X(CONNECTION_LIMIT, "connection_limit", 503, "too many connections", "Try again later.") \
    X(SHUTTING_DOWN, "shutting_down", 503, "the gateway is shutting down", "Try again.") \
    X(ASSERTION_UNAVAILABLE, "assertion_unavailable", 503, "the token for the application could not be signed", "Try again later.") \
    X(INTERNAL_ERROR, "internal_error", 500, "the gateway failed", "Try again; if it stays, tell the operator the ray id.") \
    /* The client's HTTP */ \
    X(METHOD_NOT_ALLOWED, "method_not_allowed", 405, "this method is not served here", "") \
    X(BAD_REQUEST, "bad_request", 400, "the request is malformed", "") \
    X(HEADER_TOO_LARGE, "header_too_large", 431, "the request head is too large", "Send fewer or shorter headers.") \
    X(BODY_TOO_LARGE, "body_too_large", 413, "the request body is too large", "") \
    X(REQUEST_TIMEOUT, "request_timeout", 408, "the request took too long to arrive", "") \
    /* Upstream */ \
    X(UPSTREAM_UNREACHABLE, "upstream_unreachable", 502, "the upstream cannot be reached", "Try again later.") \
    X(UPSTREAM_TIMEOUT, "upstream_timeout", 504, "the upstream did not answer in time", "Try again later.") \
    X(UPSTREAM_INVALID_RESPONSE, "upstream_invalid_response", 502, "the upstream's answer cannot be used", "Tell the operator the ray id.") \
    X(UPSTREAM_UNAVAILABLE, "upstream_unavailable", 503, "no server of the upstream is available", "Try again later.")
/* clang-format on */

enum reason {
#define X(name, code, status, sentence, hint) REASON_##name,
    REASONS(X)
#undef X
        REASON_COUNT
};

/* The code, e.g. "certificate_expired"; "" for REASON_NONE. Static. */
const char *reason_code(enum reason reason);
int reason_status(enum reason reason);
const char *reason_sentence(enum reason reason);
const char *reason_hint(enum reason reason);
/* false for an unknown code. */
bool reason_from_code(struct slice code, enum reason *reason_out);
/* A fault of the certificate or its revocation data: CERTIFICATE_MISSING to OCSP_UNAVAILABLE. */
bool reason_is_certificate(enum reason reason);

#endif
