/*
 * identity: what a certificate says, as text, in the formats of Cloudflare's rule fields (facts 4.4). Rendered once per
 * connection, at its first request; policy, headers and logs read it. Every text is safe to compare; control characters
 * are escaped by the RFC 2253 forms, and where a name holds NUL, that name is not listed at all (sec-14, sec-18).
 */
#ifndef SALLYPORT_PKI_IDENTITY_H
#define SALLYPORT_PKI_IDENTITY_H

#include <stdbool.h>

#include "base/slice.h"
#include "pki/cert.h"
#include "pki/verify.h"

/* Texts of one kind, in the order of the certificate. */
struct texts {
    struct slice *items;
    size_t count;
};

struct identity {
    struct arena *arena;
    const struct cert *cert;  /* a reference */
    struct slice common_name; /* UTF-8; ptr NULL unless the subject has exactly one CN without NUL or control characters
                                 (sec-19) */
    struct slice issuer_common_name;                  /* the same for the issuer */
    struct slice subject_dn, issuer_dn;               /* RFC 2253, "CN=...,O=..." */
    struct slice subject_dn_legacy, issuer_dn_legacy; /* "/C=.../CN=..." */
    struct slice serial;                              /* upper-case hex, even digits */
    struct slice serial_bytes; /* big-endian, no leading zeros, for numeric comparison; a negative serial is never equal
                                  to anything */
    struct slice issuer_serial; /* of the issuer's certificate in the verified chain; empty when unknown */
    struct slice fingerprint_sha256, fingerprint_sha1; /* lower-case hex */
    struct slice ski, issuer_ski;                      /* upper-case hex; issuer_ski from authorityKeyIdentifier */
    struct slice not_before, not_after;                /* "Mar 21 13:35:00 2022 GMT" */
    struct texts organization, organizational_unit;    /* of the subject */
    struct texts san_dns, san_uri, san_email, san_ip;  /* by type (sec-20); san_ip as text; dNSNames as presented */
    struct texts
        extended_key_usage; /* OIDs, dotted; names for clientAuth and serverAuth are the rule front end's business */
    struct texts certificate_policy; /* OIDs, dotted */
    struct slice der_base64;         /* standard base64, padded, one line */
};

/* report may hold the verified chain (for issuer_serial). The caller frees. */
struct identity *identity_new(const struct cert *cert, const struct verify_report *report);
void identity_free(struct identity **identity);

#endif
