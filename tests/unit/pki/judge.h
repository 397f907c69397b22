/* judge: what the verification tests of pki/ repeat: a bundle out of test certificates, a chain, and the verdict. */
#ifndef SALLYPORT_TESTS_PKI_JUDGE_H
#define SALLYPORT_TESTS_PKI_JUDGE_H

#include "pki/verify_cache.h"
#include "support/testpki.h"

/* One case. Arrays end with NULL. */
struct scene {
    const struct testpki *cas[8]; /* the bundle's file */
    const struct testpki *leaf;
    const struct testpki *untrusted[20]; /* what the client sends after the leaf */
    struct trust_bundle bundle;          /* options only; crl_require NEVER by default */
    struct crl *crls[8];                 /* taken over: freed with the verdict */
    time_t now;                          /* 0: TESTPKI_NOW */
    struct verify_cache *cache;          /* NULL: one of its own for each verdict, asked twice, has to agree */
};
/* Ends the test when the bundle is refused. The caller ends with verify_report_fini. */
struct verify_report judge_report(const struct scene *scene);
enum reason judge(const struct scene *scene);
/* The same with a word for it: "" or the reason's code. */
const char *judge_code(const struct scene *scene);

/* A CRL of the issuer; must load. */
struct crl *judge_crl(const struct testpki_crl_spec *spec);
/* One that revokes this certificate alone. */
struct crl *judge_crl_of(const struct testpki *issuer, const struct testpki *revoked);

#endif
