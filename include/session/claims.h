/*
 * claims: what a token says of a client. The worker, who has seen the certificate, states it (claims_write), control
 * checks it (claims_read), adds what only control says (issuer, times) and makes the token's payload (facts 3.4,
 * RFC 8705 for cnf, and ours under "sallyport").
 *
 * What control does not take a worker's word for: who signs, the header, the issuer, when it was issued, how long it is
 * valid at most, that the application and the hostname are configured. It cannot know whose certificate the worker saw.
 */
#ifndef SALLYPORT_SESSION_CLAIMS_H
#define SALLYPORT_SESSION_CLAIMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sbuf.h"
#include "base/slice.h"

#define CLAIMS_DIGEST_SIZE 32
#define CLAIMS_NAMES_MAX 16         /* of all kinds together */
#define CLAIMS_TEXT_MAX 512         /* bytes of a text */
#define CLAIMS_SIZE_MAX 1500        /* of all texts; what is beyond is left out, and the token says so */
#define CLAIMS_CHAIN_MAX 2          /* intermediates */
#define CLAIMS_CERTIFICATE_MAX 2048 /* DER of leaf and intermediates together */

enum claims_name { CLAIMS_DNS, CLAIMS_URI, CLAIMS_EMAIL, CLAIMS_IP, CLAIMS_NAME_KINDS };

/* Views. Texts are UTF-8; an empty one is not there. */
struct claims {
    struct slice audience; /* 64 hex digits */
    struct slice hostname; /* of the connection */
    int64_t session_s;     /* how long it is to be valid */
    bool has_certificate;  /* the rest; else only this */
    uint8_t leaf_sha256[CLAIMS_DIGEST_SIZE];
    uint8_t anchor_sha256[CLAIMS_DIGEST_SIZE];
    int64_t not_after; /* of the chain */
    struct slice common_name, subject_dn, issuer_dn, serial, ca_bundle;
    struct {
        enum claims_name kind;
        struct slice text;
    } names[CLAIMS_NAMES_MAX];
    size_t name_count;
    bool is_cut; /* there is more than fits */
    /* DER, where the token is to stand in for the certificate (certificate_session); else empty. */
    struct slice certificate;
    struct slice chain[CLAIMS_CHAIN_MAX];
    size_t chain_count;
};

/* Adds a subject alternative name while there is room; else is_cut. */
void claims_add_name(struct claims *claims, enum claims_name kind, struct slice text);
/* Leaves out what is beyond the bounds above, and says so. */
void claims_fit(struct claims *claims);
void claims_write(const struct claims *claims, struct sbuf *out);
/* Everything within the bounds above, or false. */
bool claims_read(struct slice text, struct claims *claims_out);

/* What control says. */
struct claims_terms {
    struct slice issuer;
    int64_t issued_at, expires_at;
};
/* The payload, JSON in one line. */
void claims_write_payload(const struct claims *claims, const struct claims_terms *terms, struct sbuf *out);

#endif
