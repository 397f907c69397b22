/*
 * crl: certificate revocation lists. A list is parsed as a stream, its signature verified once, at load, against the
 * issuers that the bundle knows; what stays is a compact index of serial numbers whose look-up costs the same for one
 * entry or a million (sec-30, sec-31). Nothing of this is OpenSSL's X509_CRL; OpenSSL sees only the signature check.
 *
 * The index is one position-independent block of bytes (crl_bytes), so that another process can map it.
 */
#ifndef SALLYPORT_PKI_CRL_H
#define SALLYPORT_PKI_CRL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/err.h"
#include "base/slice.h"
#include "pki/cert.h"

struct crl;

/* What became of the loading of one list. */
enum crl_fault {
    CRL_OK,
    CRL_MALFORMED,      /* not DER of a CertificateList, truncated, bytes after the end */
    CRL_UNKNOWN_ISSUER, /* none of the issuers has this name and made this signature */
    CRL_BAD_SIGNATURE,
    CRL_UNSUPPORTED, /* an unknown critical extension, or scoped by issuingDistributionPoint in a way not understood */
};

/* Bytes in pieces: returns how many were put in buf (0 at the end), -1 on error. A CRL of any size passes through 256
 * KiB. */
typedef long crl_read_fn(void *source, void *buf, size_t size);

/* One DER CertificateList from read. issuers: every CA certificate that may have signed it (keyUsage, when present,
 * must have cRLSign). Returns NULL with *fault_out and err ("signature does not verify with CN=..."). */
MUST_CHECK struct crl *crl_load(crl_read_fn *read, void *source, const struct cert_list *issuers,
                                enum crl_fault *fault_out, struct err *err);
/* A file with one DER list, or PEM with one or several "X509 CRL" blocks. Calls found for each one loaded (the
 * reference becomes its own). The first unusable one ends it with -1. Control side. */
MUST_CHECK int crl_load_file(const char *path, const struct cert_list *issuers,
                             void (*found)(void *arg, struct crl *crl), void *arg, enum crl_fault *fault_out,
                             struct err *err);
/* A list that could not be used, for those who must know for which CA (`verify`). */
struct crl_refusal {
    enum crl_fault fault;
    bool issuer_is_known;             /* false: nothing was legible */
    uint8_t issuer_name[SHA256_SIZE]; /* digest of the issuer's canonical name, as the list claims it */
};
struct crl_sink {
    void (*found)(void *arg, struct crl *crl); /* the reference becomes its own */
    /* Not 0: stop, and return that. err says what is wrong. */
    int (*refused)(void *arg, const struct crl_refusal *refusal, const struct err *err);
    void *arg;
};
/* Like crl_load_file, but the sink decides what an unusable list, or a file without any, means. -1 of its own only for
 * a file that cannot be read. */
MUST_CHECK int crl_load_each(const char *path, const struct cert_list *issuers, const struct crl_sink *sink,
                             struct err *err);
/* From the block of another process's crl_bytes() (not copied; must outlive the object). Costs the same for one entry
 * or a million: bounds are checked here and again in each look-up, so a damaged block is an error, or entries that
 * count as revoked, and nothing worse. */
MUST_CHECK struct crl *crl_from_bytes(struct slice block, struct err *err);
struct slice crl_bytes(const struct crl *crl);
/* The block goes with the last reference: release is called for it (memfd_unmap). */
void crl_set_release(struct crl *crl, void (*release)(struct slice *block));
struct crl *crl_ref(struct crl *crl);
void crl_unref(struct crl **crl);

/* Facts. */
const uint8_t *crl_issuer_key(const struct crl *crl); /* SHA256_SIZE bytes: SHA-256 over issuer's SPKI and canonical
                                                         name; see crl_issuer_key_of */
void crl_issuer_key_of(const struct cert *issuer, uint8_t out[SHA256_SIZE]);
const char *crl_issuer_text(const struct crl *crl); /* RFC 2253, for people */
time_t crl_this_update(const struct crl *crl);
time_t crl_next_update(const struct crl *crl); /* 0: the list has none */
bool crl_has_number(const struct crl *crl);
struct slice crl_number(const struct crl *crl); /* big-endian, without leading zeros */
size_t crl_count(const struct crl *crl);
const uint8_t *crl_digest(const struct crl *crl); /* SHA-256 of the DER */
/* Which certificates the list speaks for (issuingDistributionPoint); one for attribute certificates for neither. */
bool crl_covers_leaves(const struct crl *crl);
bool crl_covers_cas(const struct crl *crl);
/* It speaks for other issuers' certificates as well. */
bool crl_is_indirect(const struct crl *crl);
/* It holds only what changed since the list with the base number (RFC 5280 5.2.4), and says nothing without one. */
bool crl_is_delta(const struct crl *crl);
struct slice crl_base_number(const struct crl *crl);
/* One series: same issuer and key, same scope. Of two complete lists, or two deltas, the one with the higher number
 * takes the other's place; a delta takes no complete list's place. */
bool crl_is_same_series(const struct crl *a, const struct crl *b);

struct crl_entry {
    time_t revoked_at;
    int reason; /* RFC 5280 5.3.1; -1: not given */
};
/* serial: content bytes of the INTEGER, big-endian; compared as a number. Of certificates of the list's own issuer.
 * Under 1 microsecond for a million entries. */
bool crl_lookup(const struct crl *crl, struct slice serial, struct crl_entry *entry_out);
/* "keyCompromise" etc.; "unspecified" for -1. Static. */
const char *crl_reason_text(int reason);

#endif
