/* verify_crl_priv: one certificate under its issuer against the revocation lists, shared by verify_crl.c (what
 * follows), verify_series.c (what the lists say), verify_scope.c (whether they speak for it) and verify_signer.c
 * (whether their signer may). */
#ifndef SALLYPORT_PKI_VERIFY_CRL_PRIV_H
#define SALLYPORT_PKI_VERIFY_CRL_PRIV_H

#include <openssl/x509v3.h>

#include "crl_priv.h"
#include "name_priv.h"
#include "verify_priv.h"

/* Why a list could not be used: the first such list's. `when` 0: no date belongs to it. */
struct trouble {
    enum reason reason;
    int openssl_error;
    const char *what;
    time_t when;
};

struct revocation_check {
    struct judgement *judgement;
    const struct cert *cert, *issuer;
    int depth;
    STACK_OF(DIST_POINT) * points; /* of the certificate, read when a list asks for them */
    bool points_are_read;
    uint32_t reasons; /* covered by usable lists */
    bool is_revoked;
    struct trouble trouble;
    char trouble_text[256];
};

/* Lists of one issuer, key and scope: complete ones and deltas, lower numbers first. */
struct crl_series {
    struct crl *const *complete, *const *deltas;
    size_t complete_count, delta_count;
};

/* Everything that the lists filed under this issuer's name say of the certificate. is_foreign: a name out of the
 * certificate's cRLIssuer, of which only indirect lists count. */
void revocation_check_lists(struct revocation_check *check, const uint8_t issuer_name[SHA256_SIZE], bool is_foreign);

/* --- verify_scope.c --- */
/* The certificate's distribution points; NULL if it has none. */
const STACK_OF(DIST_POINT) * revocation_points(struct revocation_check *check);
/* The reasons for revocation that the list answers for, with regard to this certificate; 0: none of its business. */
uint32_t revocation_reasons_covered(struct revocation_check *check, const struct crl *crl, bool is_foreign);
/* Digests of the names in cRLIssuer fields, each once; how many, at most max. */
size_t revocation_foreign_issuers(struct revocation_check *check, uint8_t (*names_out)[SHA256_SIZE], size_t max);

/* --- verify_signer.c --- */
/* May the list's signer speak for certificates of this issuer? */
bool revocation_is_vouched_for(struct revocation_check *check, const struct crl *crl);

#endif
