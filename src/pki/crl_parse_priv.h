/* crl_parse_priv: one CertificateList from a stream of DER to entries, scope and a signature ready to be checked. For
 * crl.c. */
#ifndef SALLYPORT_PKI_CRL_PARSE_PRIV_H
#define SALLYPORT_PKI_CRL_PARSE_PRIV_H

#include <openssl/x509.h>

#include "crl_priv.h"
#include "der_priv.h"
#include "sigcheck_priv.h"

struct crl_parse {
    struct der_stream stream;
    struct sigcheck *sigcheck; /* has seen the signed part */
    EVP_MD_CTX *digest;        /* over the whole list */
    uint64_t tbs_start, tbs_end;
    struct crl_head head; /* filled but for issuer_key */
    uint8_t points[CRL_POINTS_MAX][SHA256_SIZE];
    struct crl_entries entries;
    X509_NAME *issuer;
    bool is_v2;
    bool has_foreign_entry; /* an entry named a certificateIssuer */
    bool is_foreign;        /* the entries from here on are of foreign_issuer, not of the list's own issuer */
    uint8_t foreign_issuer[SHA256_SIZE];
    bool is_too_large;      /* for a signature that needs all bytes at once */
    struct slice algorithm; /* of the inner AlgorithmIdentifier, in algorithm_copy */
    uint8_t algorithm_copy[1024];
    uint8_t signature[2048];
    size_t signature_len;
    enum crl_fault fault;
    struct err *err;
};

/* Reads the list to its end. -1 with fault and err set; parse->issuer may be known even then. crl_parse_fini in either
 * case. */
MUST_CHECK int crl_parse(struct crl_parse *parse, crl_read_fn *read, void *source, struct err *err);
void crl_parse_fini(struct crl_parse *parse);

#endif
