/*
 * trust: the CA bundles of a hostname, ready to verify with. Built by snapshot/ (and by `verify`), never changed,
 * dropped with the last reference. Each bundle has one X509_STORE, filled once; CRLs stay outside of it (sec-30) in a
 * table sorted by issuer.
 */
#include "pki/trust.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/mem.h"
#include "verify_priv.h"

#define CA_NAMES_MAX 16

struct trust {
    int refs;
    struct bundle *bundles;
    size_t count;
    uint8_t id[SHA256_SIZE], generation[SHA256_SIZE];
    const struct cert *ca_names[CA_NAMES_MAX];
    size_t ca_name_count;
    bool is_ready; /* certificates, stores, digests and names are there */
};

bool bundle_is_anchor(const struct bundle *bundle, const struct cert *cert) {
    return bundle->options.partial_chain || (X509_get_extension_flags(cert_x509(cert)) & EXFLAG_SS) != 0;
}

static int compare_crls(const void *a, const void *b) {
    return crl_compare(*(const struct crl *const *)a, *(const struct crl *const *)b);
}

static void keep_crls(struct bundle *bundle, const struct trust_bundle *from) {
    bundle->crl_count = from->crl_count;
    bundle->crls = NEW_ARRAY(struct crl *, from->crl_count + 1);
    for (size_t i = 0; i < from->crl_count; i++) {
        bundle->crls[i] = crl_ref(from->crls[i]);
        bundle->has_indirect_crl |= crl_is_indirect(from->crls[i]);
    }
    qsort(bundle->crls, bundle->crl_count, sizeof(*bundle->crls), compare_crls);
    bundle->refusal_count = from->crl_refusal_count;
    bundle->refusals = NEW_ARRAY(struct crl_refusal, from->crl_refusal_count + 1);
    for (size_t i = 0; i < from->crl_refusal_count; i++)
        bundle->refusals[i] = from->crl_refusals[i];
}

static int add_cert(struct bundle *bundle, struct cert *cert, bool *has_anchor, struct err *err) {
    if (!cert_is_ca(cert)) {
        char *subject = cert_subject_text(cert);
        (void)err_set(err, "certificate %zu (%s) is no CA certificate (basicConstraints CA:TRUE is missing)",
                      bundle->certs.count + 1, subject);
        mem_free(subject);
        return -1;
    }
    cert_list_add(&bundle->certs, cert);
    bundle->has_policy_constraints |= cert_has_policy_constraints(cert);
    *has_anchor |= bundle_is_anchor(bundle, cert);
    if (X509_STORE_add_cert(bundle->store, cert_x509(cert)) != 1) {
        openssl_drain(err, "CA certificate cannot be used");
        return -1;
    }
    return 0;
}

static int fill_bundle(struct bundle *bundle, const struct cert_list *certs, struct err *err) {
    bool has_anchor = false;
    bundle->store = X509_STORE_new();
    INVARIANT(bundle->store != NULL);
    X509_STORE_set_get_issuer(bundle->store, path_get_issuer);
    if (certs->count == 0)
        return err_set(err, "CA bundle %s holds no certificate", bundle->name);
    for (size_t i = 0; i < certs->count; i++)
        if (add_cert(bundle, certs->items[i], &has_anchor, err) != 0)
            return err_context(err, "CA bundle %s", bundle->name);
    if (!has_anchor)
        return err_set(err,
                       "CA bundle %s holds no root certificate (partial_chain: true would trust its intermediates)",
                       bundle->name);
    return 0;
}

static int open_bundle(struct bundle *bundle, const struct trust_bundle *from, struct err *err) {
    bundle->name = mem_strdup(from->name);
    bundle->options = *from;
    bundle->proved = from->proved ? proved_ref(from->proved) : NULL;
    keep_crls(bundle, from);
    return bundle->proved ? 0 : fill_bundle(bundle, &from->certs, err);
}

static void hash_bundle(EVP_MD_CTX *hash, struct bundle *bundle) {
    const struct trust_bundle *o = &bundle->options;
    int64_t options[] = {o->extended_key_usage,
                         o->partial_chain,
                         o->allow_sha1,
                         o->allow_dsa,
                         o->strict,
                         o->max_depth,
                         o->crl_require,
                         o->crl_on_expired,
                         o->crl_grace_seconds,
                         o->ocsp,
                         o->ocsp_may_be_missing,
                         (int64_t)strlen(bundle->name),
                         (int64_t)bundle->certs.count};
    INVARIANT(EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1);
    EVP_DigestUpdate(hash, options, sizeof(options));
    EVP_DigestUpdate(hash, bundle->name, strlen(bundle->name));
    for (size_t i = 0; i < bundle->certs.count; i++)
        EVP_DigestUpdate(hash, cert_sha256(bundle->certs.items[i]), SHA256_SIZE);
    INVARIANT(EVP_DigestFinal_ex(hash, bundle->id, NULL) == 1);
}

static void hash_crls(EVP_MD_CTX *hash, const struct bundle *bundle) {
    uint64_t counts[] = {bundle->crl_count, bundle->refusal_count};
    EVP_DigestUpdate(hash, counts, sizeof(counts));
    for (size_t i = 0; i < bundle->crl_count; i++) {
        EVP_DigestUpdate(hash, crl_digest(bundle->crls[i]), SHA256_SIZE);
        EVP_DigestUpdate(hash, crl_issuer_key(bundle->crls[i]), SHA256_SIZE);
    }
    for (size_t i = 0; i < bundle->refusal_count; i++)
        EVP_DigestUpdate(hash, bundle->refusals[i].issuer_name, SHA256_SIZE);
}

static void make_digests(struct trust *trust) {
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    INVARIANT(hash != NULL);
    for (size_t i = 0; i < trust->count; i++)
        hash_bundle(hash, &trust->bundles[i]);
    INVARIANT(EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1);
    for (size_t i = 0; i < trust->count; i++)
        EVP_DigestUpdate(hash, trust->bundles[i].id, SHA256_SIZE);
    INVARIANT(EVP_DigestFinal_ex(hash, trust->id, NULL) == 1);
    INVARIANT(EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1);
    EVP_DigestUpdate(hash, trust->id, SHA256_SIZE);
    for (size_t i = 0; i < trust->count; i++)
        hash_crls(hash, &trust->bundles[i]);
    INVARIANT(EVP_DigestFinal_ex(hash, trust->generation, NULL) == 1);
    EVP_MD_CTX_free(hash);
}

static bool has_ca_name(const struct trust *trust, const struct cert *cert) {
    for (size_t i = 0; i < trust->ca_name_count; i++)
        if (X509_NAME_cmp(X509_get_subject_name(cert_x509(trust->ca_names[i])),
                          X509_get_subject_name(cert_x509(cert))) == 0)
            return true;
    return false;
}

/* Names that do not fit are worse than none: a client would take the list for complete. */
static void collect_ca_names(struct trust *trust) {
    for (size_t i = 0; i < trust->count; i++) {
        const struct bundle *bundle = &trust->bundles[i];
        for (size_t c = 0; c < bundle->certs.count; c++) {
            const struct cert *cert = bundle->certs.items[c];
            if (!bundle_is_anchor(bundle, cert) || has_ca_name(trust, cert))
                continue;
            if (trust->ca_name_count == CA_NAMES_MAX) {
                trust->ca_name_count = 0;
                return;
            }
            trust->ca_names[trust->ca_name_count++] = cert;
        }
    }
}

static void make_ready(struct trust *trust) {
    make_digests(trust);
    collect_ca_names(trust);
    trust->is_ready = true;
    ERR_clear_error();
}

/* With the certificates of the bundles that are proved. */
static const struct trust *ready(const struct trust *asked) {
    struct trust *trust = (struct trust *)(uintptr_t)asked;
    if (trust->is_ready)
        return trust;
    for (size_t i = 0; i < trust->count; i++) {
        struct bundle *bundle = &trust->bundles[i];
        if (!bundle->proved)
            continue;
        int status = fill_bundle(bundle, proved_certs(bundle->proved), NULL);
        INVARIANT(status == 0);
        proved_unref(&bundle->proved);
    }
    make_ready(trust);
    return trust;
}

struct trust *trust_new(const struct trust_bundle *bundles, size_t count, struct err *err) {
    if (count == 0 || count > TRUST_BUNDLES_MAX) {
        (void)err_set(err, "a hostname has %zu CA bundles; 1 to %d are possible", count, TRUST_BUNDLES_MAX);
        return NULL;
    }
    struct trust *trust = NEW(struct trust);
    bool is_proved = false;
    trust->refs = 1;
    trust->bundles = NEW_ARRAY(struct bundle, count);
    for (size_t i = 0; i < count; i++) {
        trust->count++;
        is_proved |= bundles[i].proved != NULL;
        if (open_bundle(&trust->bundles[i], &bundles[i], err) != 0) {
            trust_unref(&trust);
            return NULL;
        }
    }
    if (!is_proved)
        make_ready(trust);
    return trust;
}

struct trust *trust_ref(struct trust *trust) {
    trust->refs++;
    return trust;
}

static void bundle_fini(struct bundle *bundle) {
    X509_STORE_free(bundle->store);
    cert_list_fini(&bundle->certs);
    proved_unref(&bundle->proved);
    for (size_t i = 0; i < bundle->crl_count; i++)
        crl_unref(&bundle->crls[i]);
    mem_free(bundle->crls);
    mem_free(bundle->refusals);
    mem_free(bundle->name);
}

void trust_unref(struct trust **trust) {
    struct trust *t = *trust;
    *trust = NULL;
    if (t == NULL || --t->refs > 0)
        return;
    for (size_t i = 0; i < t->count; i++)
        bundle_fini(&t->bundles[i]);
    mem_free(t->bundles);
    mem_free(t);
}

const struct bundle *trust_bundle_at(const struct trust *trust, size_t index) { return &ready(trust)->bundles[index]; }
size_t trust_bundle_count(const struct trust *trust) { return trust->count; }

const char *trust_bundle_name(const struct trust *trust, size_t index) {
    INVARIANT(index < trust->count);
    return trust->bundles[index].name;
}

struct trust_ocsp_rule trust_ocsp_rule(const struct trust *trust, uint64_t bundles) {
    struct trust_ocsp_rule rule = {TRUST_OCSP_OFF, true, 0};
    for (size_t i = 0; i < trust->count; i++) {
        const struct trust_bundle *options = &trust->bundles[i].options;
        if (!(bundles >> i & 1) || options->ocsp == TRUST_OCSP_OFF)
            continue;
        rule.may_be_missing = rule.may_be_missing && options->ocsp_may_be_missing;
        if (options->ocsp > rule.ocsp) {
            rule.ocsp = options->ocsp;
            rule.bundle = i;
        }
    }
    return rule;
}

const uint8_t *trust_id(const struct trust *trust) { return ready(trust)->id; }
const uint8_t *trust_generation(const struct trust *trust) { return ready(trust)->generation; }

bool trust_has_anchor(const struct trust *trust, const uint8_t sha256[SHA256_SIZE]) {
    (void)ready(trust);
    for (size_t i = 0; i < trust->count; i++) {
        const struct bundle *bundle = &trust->bundles[i];
        for (size_t c = 0; c < bundle->certs.count; c++)
            if (memcmp(cert_sha256(bundle->certs.items[c]), sha256, SHA256_SIZE) == 0 &&
                bundle_is_anchor(bundle, bundle->certs.items[c]))
                return true;
    }
    return false;
}

size_t trust_ca_names(const struct trust *trust, const struct cert *const **certs_out) {
    *certs_out = ready(trust)->ca_names;
    return trust->ca_name_count;
}

struct crl *const *bundle_crls_of(const struct bundle *bundle, const uint8_t issuer_name[SHA256_SIZE],
                                  size_t *count_out) {
    size_t low = 0, high = bundle->crl_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(crl_issuer_name(bundle->crls[middle]), issuer_name, SHA256_SIZE) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    size_t end = low;
    while (end < bundle->crl_count && memcmp(crl_issuer_name(bundle->crls[end]), issuer_name, SHA256_SIZE) == 0)
        end++;
    *count_out = end - low;
    return bundle->crls + low;
}
