/*
 * ocsp: requests and answers of the Online Certificate Status Protocol (RFC 6960), as bytes. Who asks, when, and how
 * long an answer is kept is the caller's business (control; never a worker, never within a handshake); here an answer
 * is believed or not.
 *
 * It is signed by the CA that issued the certificate, or by a responder to which that very CA gave a certificate with
 * id-kp-OCSPSigning; it names the certificate by hashes of that CA's name and key and by serial number; its time is
 * now; its nonce, if it has one, is ours. Anything else is no answer, and no answer is never "good" (sec-33).
 */
#ifndef SALLYPORT_PKI_OCSP_H
#define SALLYPORT_PKI_OCSP_H

#include <stdbool.h>
#include <time.h>

#include "base/err.h"
#include "base/sbuf.h"
#include "base/slice.h"
#include "pki/cert.h"

#define OCSP_RESPONSE_MAX (64 * 1024) /* larger answers are refused */
#define OCSP_NONCE_MIN 1
#define OCSP_NONCE_MAX 32 /* RFC 8954 */

struct ocsp_question {
    const struct cert *cert, *issuer;
    struct slice nonce; /* OCSP_NONCE_MIN to OCSP_NONCE_MAX bytes, or empty: none */
};

/* The DER of an OCSPRequest, appended to out. The certificate is named by SHA-1 hashes, which every responder knows and
 * on which nothing rests. */
MUST_CHECK int ocsp_request_write(const struct ocsp_question *question, struct sbuf *out, struct err *err);

/* What becomes of the bytes of an answer. */
enum ocsp_fault {
    OCSP_OK,
    OCSP_MALFORMED,     /* not the DER of an OCSPResponse, or too large */
    OCSP_UNSUCCESSFUL,  /* tryLater, unauthorized, ... */
    OCSP_NOT_ANSWERED,  /* nothing about this certificate */
    OCSP_BAD_SIGNATURE, /* or a digest or key that is too weak */
    OCSP_BAD_RESPONDER, /* signed by one whom the CA did not entitle */
    OCSP_NOT_CURRENT,   /* from the future, or past its next update */
    OCSP_BAD_NONCE,
    OCSP_UNSUPPORTED, /* a critical extension that is not understood */
};

enum ocsp_status { OCSP_GOOD, OCSP_REVOKED, OCSP_UNKNOWN };

struct ocsp_rules {
    time_t now;
    long skew_seconds;    /* by which clocks may differ */
    long max_age_seconds; /* of an answer without nextUpdate */
    bool needs_nonce;     /* refuse answers without, if one was sent; most responders have them prepared, without */
};

struct ocsp_answer {
    enum ocsp_fault fault;
    /* The rest only with OCSP_OK. */
    enum ocsp_status status;
    time_t this_update, next_update; /* next_update 0: none was given */
    time_t usable_until; /* last moment at which it may be used: next_update, or max_age after this_update */
    time_t revoked_at;   /* with OCSP_REVOKED; never negative */
    int reason;          /* RFC 5280 5.3.1, 0 to 10; -1: not given, or none of them */
    /* The responder's certificate, if it is not the CA itself; the caller may look it up on the CA's lists, unless the
     * CA says that nobody need (id-pkix-ocsp-nocheck). Owned. */
    struct cert *responder;
    bool responder_needs_no_check;
};

/* Fills answer_out in every case; -1 unless OCSP_OK, with err. ocsp_answer_fini in either case. */
MUST_CHECK int ocsp_response_read(struct slice response, const struct ocsp_question *question,
                                  const struct ocsp_rules *rules, struct ocsp_answer *answer_out, struct err *err);
void ocsp_answer_fini(struct ocsp_answer *answer);

/* The http URLs of responders that a certificate names (authorityInfoAccess), at most max; how many. Only those of a
 * verified certificate may be asked (sec-34). The caller frees each with mem_free. */
size_t ocsp_urls(const struct cert *cert, char **urls_out, size_t max);

#endif
