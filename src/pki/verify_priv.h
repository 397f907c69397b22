/* verify_priv: one bundle's judgement in the making, shared by verify.c (the chain) and verify_*.c (rules,
 * revocation). */
#ifndef SALLYPORT_PKI_VERIFY_PRIV_H
#define SALLYPORT_PKI_VERIFY_PRIV_H

#include "pki/verify.h"
#include "trust_priv.h"

struct judgement {
    const struct bundle *bundle;
    time_t now;
    struct trace *trace;
    struct verify_report *report; /* chain is filled before revocation is looked at */
    const struct cert *leaf;      /* or whatever the path begins with */
    const struct cert_list *untrusted;
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
/* What RFC 5280 asks and OpenSSL does not check, for a path whose signatures hold. */
void judgement_check_rules(struct judgement *judgement);
/* Every certificate of the chain but the anchor against the CRLs of its issuer. */
void judgement_check_revocation(struct judgement *judgement);
/* The same for the path to a signer of CRLs, of which it is enough that no list revokes a part of it. */
void judgement_look_for_revocations(struct judgement *judgement);

/* "certificate", or "CA certificate CN=...", into out. */
#define WHO_SIZE 160
const char *certificate_at(const struct cert *cert, int depth, char out[WHO_SIZE]);

#endif
