/* verify_priv: one bundle's judgement in the making, shared by verify.c (the chain) and verify_*.c (rules,
 * revocation). */
#ifndef SALLYPORT_PKI_VERIFY_PRIV_H
#define SALLYPORT_PKI_VERIFY_PRIV_H

#include "pki/verify.h"
#include "trust_priv.h"

#define UNTRUSTED_MAX 16 /* of the certificates that the client sent */
#define PATHS_MAX 8      /* further paths that are tried */
#define EXCLUDED_MAX 32
#define TRIED_MAX 20 /* certificates of a path that is given up */

/* Certificates that a path must do without. */
struct path_choice {
    const X509 *excluded[EXCLUDED_MAX];
    size_t count;
};

struct judgement {
    const struct bundle *bundle;
    time_t now;
    struct trace *trace;
    struct verify_report *report; /* chain is filled before revocation is looked at */
    const struct cert *leaf;      /* or whatever the path begins with */
    const struct cert_list *untrusted;
    const struct path_choice *choice;    /* NULL: any path will do */
    const struct cert *tried[TRIED_MAX]; /* the path that OpenSSL built, be it complete or not */
    size_t tried_count;
    int signer_level;   /* 1: the path is one to a signer of CRLs, for which extended key usage does not matter */
    int *signer_budget; /* how many more of those may be searched; set while revocation is looked at */
};
#define SIGNER_PATHS_MAX 8

/* Keeps a fault: it becomes the report's reason if it comes first by precedence, or equal and nearer to the leaf. */
void judgement_fault(struct judgement *judgement, enum reason reason, int depth, int openssl_error, const char *format,
                     ...) PRINTF_LIKE(5, 6);
/* The verdict may change at this moment (ignored when it is past). */
void judgement_changes_at(struct judgement *judgement, time_t moment);
/* OpenSSL's path from the leaf to an anchor and our additions; the report gets chain, anchor and faults. */
void judgement_find_path(struct judgement *judgement);
/* Choices not tried yet; begins all zero. */
struct path_search {
    struct path_choice choices[PATHS_MAX];
    size_t count, next;
};
/* What else could be tried, after this judgement of a path came to nothing. */
void path_search_add(struct path_search *search, const struct judgement *judgement);
/* NULL: nothing is left. Valid as long as the search. */
const struct path_choice *path_search_next(struct path_search *search);
bool path_excludes(const struct path_choice *choice, const X509 *x509);
/* X509_STORE's get_issuer; the judgement is the context's app data. */
int path_get_issuer(X509 **issuer_out, X509_STORE_CTX *ctx, X509 *x509);

/* What RFC 5280 asks and OpenSSL does not check, for a path whose signatures hold. */
void judgement_check_rules(struct judgement *judgement);
/* Every certificate of the chain but the anchor against the CRLs of its issuer. */
void judgement_check_revocation(struct judgement *judgement);
/* The same for the path to a signer of CRLs, of which it is enough that no list revokes a part of it. */
void judgement_look_for_revocations(struct judgement *judgement);

static inline bool cert_has_policy_constraints(const struct cert *cert) {
    return X509_get_ext_by_NID(cert_x509(cert), NID_policy_constraints, -1) >= 0;
}

/* "certificate", or "CA certificate CN=...", into out. */
#define WHO_SIZE 160
const char *certificate_at(const struct cert *cert, int depth, char out[WHO_SIZE]);

#endif
