/*
 * verify: chain x trust x time to a report. The one verification of the product: TLS handshakes, resumptions, live
 * connections after a change of trust, `verify`, `explain` and `tests:` all come here. Decides nothing about what
 * follows from it.
 *
 * Every bundle of the trust is tried; within one, OpenSSL's path building and checks run first (signatures before
 * anything that grows, sec-30), in an own X509_STORE_CTX with every error kept (sec-25); then CRLs by index for each
 * certificate of the verified chain but the anchor.
 */
#ifndef SALLYPORT_PKI_VERIFY_H
#define SALLYPORT_PKI_VERIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/reason.h"
#include "base/trace.h"
#include "pki/cert.h"
#include "pki/trust.h"

struct verify_report {
    enum reason
        reason; /* NONE: verified; CERTIFICATE_MISSING: none presented; else the first by precedence (base/reason.h) */
    uint64_t faults;        /* every reason met, as bits (1ull << reason) */
    uint64_t bundles;       /* bundles that vouch, as bits by index; 0 unless verified */
    int depth;              /* of the certificate at fault: 0 leaf, 1 its issuer, ... */
    int openssl_error;      /* X509_V_ERR_*, or X509_V_OK */
    char detail[256];       /* a sentence with the facts: "certificate expired on 2026-03-01T00:00:00Z" */
    char verified_text[96]; /* certVerified of facts 4.5: "SUCCESS", "NONE", "FAILED:certificate has expired" */
    uint8_t anchor_sha256[SHA256_SIZE]; /* of the chain of the first bundle that vouches, or that came closest; zeros if
                                           none */
    time_t not_after;                   /* earliest notAfter of the verified chain; 0 if none */
    time_t not_before;                  /* latest notBefore of the verified chain */
    time_t crl_next_update; /* earliest moment at which a CRL used here runs out under the bundle's rule; 0: never */
    time_t revoked_at;      /* with CERTIFICATE_REVOKED */
    int revocation_reason;  /* RFC 5280 5.3.1, -1 */
    struct cert_list chain; /* as verified, leaf first, anchor last; empty if none was built */
    time_t judged_at;       /* the `now` of the judgement */
    time_t changes_at;      /* first moment after it at which time alone may change the verdict; 0: never */
};

/* leaf NULL: CERTIFICATE_MISSING. untrusted: what the client sent after the leaf (may be NULL); at most 16 are looked
 * at. The report is filled anew; the caller ends with verify_report_fini. */
void verify_chain(const struct trust *trust, const struct cert *leaf, const struct cert_list *untrusted, time_t now,
                  struct trace *trace, struct verify_report *report_out);
/* The report of a hostname without CA bundle, or of a client that presented nothing. */
void verify_none(struct verify_report *report_out);
void verify_report_fini(struct verify_report *report);
/* A responder says that a certificate of the chain, which verified, is revoked. */
void verify_report_revoke(struct verify_report *report, time_t revoked_at, int revocation_reason, int depth);
/* Can time alone have changed the verdict since? (notAfter, a CRL's nextUpdate, notBefore of a not-yet-valid one) */
bool verify_is_current(const struct verify_report *report, time_t now);

#endif
