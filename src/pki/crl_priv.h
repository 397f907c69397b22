/* crl_priv: what the files of the CRL loader and of verification share: the block's head, how it is built, and a
 * list's scope. */
#ifndef SALLYPORT_PKI_CRL_PRIV_H
#define SALLYPORT_PKI_CRL_PRIV_H

#include <openssl/x509v3.h>

#include "pki/crl.h"

#define CRL_NUMBER_MAX 20  /* RFC 5280 5.2.3 */
#define CRL_FOREIGN_LEN 18 /* what an indirect list's entry for another issuer costs beside its serial number */
#define CRL_SERIAL_MAX (255 - CRL_FOREIGN_LEN)
#define CRL_POINTS_MAX 64
#define CRL_ALL_REASONS 0x807fu /* every bit of ReasonFlags but "unused", in OpenSSL's numbering */

enum crl_flag {
    CRL_HAS_NUMBER = 1,
    CRL_COVERS_LEAVES = 2,
    CRL_COVERS_CAS = 4,
    CRL_WEAK_DIGEST = 8, /* signed with SHA-1 */
    CRL_NOT_STRICT = 16, /* departs from RFC 5280 in a way that only `strict` minds: no number, or a critical one */
    CRL_IS_DELTA = 32,
    CRL_IS_INDIRECT = 64,
};

/* The fixed part of a block, in the byte order of the machine. After it, without gaps: the digests of the distribution
 * points, the directory (2^bucket_bits + 1 offsets into the records, uint32_t), the records, the issuer's text with its
 * NUL. */
struct crl_head {
    char magic[8];
    uint64_t block_len;
    int64_t this_update, next_update;
    uint64_t entry_count;
    uint64_t records_len;
    uint32_t bucket_bits;
    uint32_t flags;
    uint32_t reasons; /* of onlySomeReasons, CRL_ALL_REASONS without it */
    uint32_t point_count;
    uint32_t text_len; /* with its NUL */
    uint32_t number_len;
    uint8_t number[CRL_NUMBER_MAX];
    uint32_t base_number_len; /* of a delta: BaseCRLNumber */
    uint8_t base_number[CRL_NUMBER_MAX];
    uint32_t unused; /* 0 */
    uint8_t hash_key[16];
    uint8_t issuer_key[SHA256_SIZE];
    uint8_t issuer_name[SHA256_SIZE];
    uint8_t scope[SHA256_SIZE]; /* SHA-256 of the issuingDistributionPoint; zeros without one */
    uint8_t digest[SHA256_SIZE];
};

/* Entries in the order of the list; grows by doubling, one allocation for all. */
struct crl_entries {
    uint8_t *records;
    size_t len, cap;
    uint64_t count;
};

/* issuer_name: of the certificate, in an indirect list and if it is not the list's own issuer; else NULL. False: a
 * serial number over CRL_SERIAL_MAX bytes, or over 4 GiB of entries. */
MUST_CHECK bool crl_entries_add(struct crl_entries *entries, const uint8_t *issuer_name, struct slice serial,
                                const struct crl_entry *entry);
void crl_entries_fini(struct crl_entries *entries);

/* head: everything but lengths, hash key and magic filled in. NULL if one serial number is repeated hundreds of times.
 */
MUST_CHECK struct crl *crl_build(const struct crl_head *head, const uint8_t (*points)[SHA256_SIZE],
                                 const char *issuer_text, const struct crl_entries *entries);

/* crl_load, but says more of a list that could not be used. */
MUST_CHECK struct crl *crl_load_or_refuse(crl_read_fn *read, void *source, const struct cert_list *issuers,
                                          struct crl_refusal *refusal_out, struct err *err);

const struct crl_head *crl_head(const struct crl *crl);
const uint8_t *crl_issuer_name(const struct crl *crl); /* name_digest() of the issuer */
/* crl_lookup for a certificate of this issuer (name_digest), which need not be the list's own. */
bool crl_lookup_of(const struct crl *crl, const uint8_t issuer_name[SHA256_SIZE], struct slice serial,
                   struct crl_entry *entry_out);
/* Orders lists so that those of one issuer stand together, in them those of one series, in these complete lists before
 * deltas, lower numbers first. */
int crl_compare(const struct crl *a, const struct crl *b);
/* May the delta be applied to this complete list of its series (RFC 5280 5.2.4 (c), (d))? */
bool crl_delta_fits(const struct crl *delta, const struct crl *complete);
/* -1, 0, 1 as the CRL number of a is less than, equal to or greater than that of b; no number is less than any. */
int crl_number_compare(const struct crl *a, const struct crl *b);
bool crl_is_scoped_to_points(const struct crl *crl);
bool crl_has_point(const struct crl *crl, const uint8_t point[SHA256_SIZE]);

/* Digests of the names of a distribution point, of an IDP or of a certificate, at most max; how many. issuer: for names
 * relative to it. */
size_t crl_point_digests(DIST_POINT_NAME *name, const X509_NAME *issuer, uint8_t (*points_out)[SHA256_SIZE],
                         size_t max);
/* ReasonFlags as a mask. */
uint32_t crl_reason_mask(const ASN1_BIT_STRING *flags);

#endif
