/* trust_priv: the inside of a trust, for verify.c. */
#ifndef SALLYPORT_PKI_TRUST_PRIV_H
#define SALLYPORT_PKI_TRUST_PRIV_H

#include <openssl/x509_vfy.h>

#include "crl_priv.h"
#include "pki/trust.h"

struct bundle {
    char *name;
    struct trust_bundle options; /* name, certs, crls and refusals in it are not used */
    struct proved *proved;       /* NULL: certs are there */
    uint8_t id[SHA256_SIZE];     /* of certificates and options, not of CRLs */
    struct cert_list certs;
    X509_STORE *store;
    bool has_policy_constraints; /* some certificate has */
    struct crl **crls;           /* in the order of crl_compare */
    size_t crl_count;
    bool has_indirect_crl;
    struct crl_refusal *refusals;
    size_t refusal_count;
};

const struct bundle *trust_bundle_at(const struct trust *trust, size_t index);
/* Can this certificate of the bundle end a chain? */
bool bundle_is_anchor(const struct bundle *bundle, const struct cert *cert);
/* The CRLs of an issuer's name stand together: the first, and how many. */
struct crl *const *bundle_crls_of(const struct bundle *bundle, const uint8_t issuer_name[SHA256_SIZE],
                                  size_t *count_out);

#endif
