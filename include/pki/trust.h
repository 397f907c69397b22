/*
 * trust: the CA bundles of one hostname with their options and CRLs: everything a client certificate is judged by.
 * Immutable and shared; made anew when any part changes.
 */
#ifndef SALLYPORT_PKI_TRUST_H
#define SALLYPORT_PKI_TRUST_H

#include "base/err.h"
#include "pki/cert.h"
#include "pki/crl.h"
#include "pki/proved.h"

#define TRUST_BUNDLES_MAX 64

enum trust_eku { TRUST_EKU_CLIENT_AUTH, TRUST_EKU_SERVER_AUTH, TRUST_EKU_ANY };
/* Which CAs of a chain must have a usable CRL: those that have one loaded, the issuer of the leaf, every issuer. NEVER:
 * look at no CRL (only `verify` without --crl). */
enum crl_require { CRL_NEVER, CRL_IF_PRESENT, CRL_LEAF, CRL_CHAIN };
enum crl_on_expired { CRL_DENY, CRL_ALLOW, CRL_GRACE };

/* About which certificates of a chain a responder is asked: none, the leaf, all but the anchor. Not by verify_chain().
 */
enum trust_ocsp { TRUST_OCSP_OFF, TRUST_OCSP_LEAF, TRUST_OCSP_CHAIN };

struct trust_bundle {
    const char *name;
    struct cert_list
        certs; /* anchors are the self-issued ones, all of them with partial_chain; the rest helps to build chains */
    struct proved *proved; /* in place of certs: those that trust_new() accepted before; looked at when first needed */
    enum trust_eku extended_key_usage;
    bool partial_chain;
    bool allow_sha1;
    bool allow_dsa; /* DSA keys of 1024 bits and more, also with SHA-1; only `verify --purpose any` */
    bool strict;    /* RFC 5280 to the letter (X509_V_FLAG_X509_STRICT); `verify --strict` */
    int max_depth;  /* intermediates between leaf and anchor; 0: the default of 8; negative: none */
    enum crl_require crl_require;
    enum crl_on_expired crl_on_expired;
    long crl_grace_seconds;
    enum trust_ocsp ocsp;
    bool ocsp_may_be_missing; /* no answer lets a certificate pass */
    struct crl **crls;        /* all CRLs of the bundle; several of one issuer are united */
    size_t crl_count;
    const struct crl_refusal
        *crl_refusals; /* lists that could not be used: their CAs get crl_invalid where a list is asked for */
    size_t crl_refusal_count;
};

struct trust;

/* Takes references of its own. Errors: no bundle, an empty bundle, a certificate without CA:TRUE, no anchor. None for
 * bundles that are proved: whatever needs their certificates (all but count and name) prepares them at its first call.
 */
MUST_CHECK struct trust *trust_new(const struct trust_bundle *bundles, size_t count, struct err *err);
struct trust *trust_ref(struct trust *trust);
void trust_unref(struct trust **trust);
size_t trust_bundle_count(const struct trust *trust);
const char *trust_bundle_name(const struct trust *trust, size_t index);
struct trust_ocsp_rule {
    enum trust_ocsp ocsp; /* the most that one of the bundles asks for */
    bool may_be_missing;  /* all of those that ask say so */
    size_t bundle;        /* the first that asks for most */
};
/* What the bundles (bits, as in verify_report) ask for together: what one lets pass, another may not. */
struct trust_ocsp_rule trust_ocsp_rule(const struct trust *trust, uint64_t bundles);
/* SHA-256 over the set of bundles: certificates and options, not CRLs. What a session is bound to (sec-01). */
const uint8_t *trust_id(const struct trust *trust);
/* SHA-256 over trust_id and the digests of all CRLs: equal means that only time can change a verdict. */
const uint8_t *trust_generation(const struct trust *trust);
/* Is this certificate (by digest) an anchor of a bundle? */
bool trust_has_anchor(const struct trust *trust, const uint8_t sha256[SHA256_SIZE]);
/* DER-encoded subject names of the anchors, for the CertificateRequest: at most 16 names, else none (count 0). */
size_t trust_ca_names(const struct trust *trust, const struct cert *const **certs_out);

#endif
