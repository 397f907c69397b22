/*
 * jwt: tokens as text (RFC 7519, compact form of RFC 7515): made by control, checked by workers when a client brings
 * one. Only what this gateway itself would have written is taken: the two algorithms, the published keys, the members
 * of session/claims.h.
 */
#ifndef SALLYPORT_SESSION_JWT_H
#define SALLYPORT_SESSION_JWT_H

#include "pki/cert.h"
#include "session/key_set.h"

#define JWT_SIZE_MAX (8 * 1024)

/* header.payload.signature */
MUST_CHECK int jwt_sign(const struct token_key *key, struct slice payload, struct sbuf *out, struct err *err);

/* Why a token is not taken; the first that is wrong. */
enum jwt_fault {
    JWT_GOOD,
    JWT_MALFORMED, /* not three parts of base64url with JSON in them, a member of another type, too long */
    JWT_ALGORITHM, /* "none", or not that of the key */
    JWT_UNKNOWN_KEY,
    JWT_SIGNATURE,
    JWT_ISSUER,
    JWT_AUDIENCE,
    JWT_HOSTNAME,
    JWT_NOT_YET, /* nbf or iat is to come, by more than a minute */
    JWT_EXPIRED
};
/* For logs. Static. */
const char *jwt_fault_name(enum jwt_fault fault);

/* What a good token says. */
struct session {
    int64_t issued_at, expires_at;
    char *common_name; /* or NULL */
    bool has_certificate;
    uint8_t leaf_sha256[SHA256_SIZE];
    struct cert *certificate; /* a reference, where the token stands in for it; else NULL */
    struct cert_list chain;
};

struct jwt_expected {
    const struct key_set *keys; /* NULL: none is known */
    struct slice issuer, hostname;
    struct slice audience; /* empty: any */
    int64_t now;
};
/* *session_out is filled with JWT_GOOD only; the caller ends with session_fini. */
enum jwt_fault jwt_verify(struct slice token, const struct jwt_expected *expected, struct session *session_out);
void session_fini(struct session *session);

#endif
