/*
 * verify_paths: further paths, when the one that OpenSSL found does not hold. OpenSSL takes the first certificate that
 * could be an issuer and never comes back to the choice; but of two certificates for one CA (cross-signed, renewed
 * under the same name, constrained in one place only) the other may lead to an anchor.
 *
 * Called by verify.c with a path that failed. For each certificate of it that has a twin (another certificate with its
 * subject's name, from the client or the bundle) the search is repeated without that certificate, and so on, breadth
 * first. Who sends no twins pays nothing; PATHS_MAX bounds what others can make us do (sec-35).
 */
#include "verify_priv.h"

#include "base/mem.h"
#include "name_priv.h"

bool path_excludes(const struct path_choice *choice, const X509 *x509) {
    for (size_t i = 0; choice != NULL && i < choice->count; i++)
        if (choice->excluded[i] == x509)
            return true;
    return false;
}

static bool is_twin(const struct path_choice *choice, const struct cert *cert, const struct cert *other) {
    return cert != other && !path_excludes(choice, cert_x509(other)) &&
           memcmp(cert_sha256(cert), cert_sha256(other), SHA256_SIZE) != 0 &&
           X509_NAME_cmp(X509_get_subject_name(cert_x509(cert)), X509_get_subject_name(cert_x509(other))) == 0;
}

static bool has_same_key(const struct cert *cert, const struct cert *other) {
    const EVP_PKEY *key = X509_get0_pubkey(cert_x509(cert)), *second = X509_get0_pubkey(cert_x509(other));
    return key != NULL && second != NULL && EVP_PKEY_eq(key, second) == 1;
}

/* new_key: one with the same key would not do. */
static bool has_twin(const struct judgement *judgement, const struct cert *cert, bool new_key) {
    const struct cert_list *lists[] = {judgement->untrusted, &judgement->bundle->certs};
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; lists[l] != NULL && i < lists[l]->count && (l > 0 || i < UNTRUSTED_MAX); i++)
            if (is_twin(judgement->choice, cert, lists[l]->items[i]) &&
                !(new_key && has_same_key(cert, lists[l]->items[i])))
                return true;
    return false;
}

/* Is there another certificate that could stand in this place of the path, and mend what is wrong? If a signature does
 * not hold, either the certificate that bears it is another one, or its issuer's key is. */
static bool is_worth_replacing(const struct judgement *judgement, size_t place) {
    const struct verify_report *report = judgement->report;
    size_t at_fault = (size_t)report->depth;
    if (report->openssl_error != X509_V_ERR_CERT_SIGNATURE_FAILURE)
        return has_twin(judgement, judgement->tried[place], false);
    return (place == at_fault || place == at_fault + 1) &&
           has_twin(judgement, judgement->tried[place], place != at_fault);
}

static void exclude(struct path_choice *choice, const struct cert *cert) {
    if (choice->count < EXCLUDED_MAX && !path_excludes(choice, cert_x509(cert)))
        choice->excluded[choice->count++] = cert_x509(cert);
}

/* A key that did not make a signature did not make it under any other certificate either. */
static void exclude_key(struct path_choice *choice, const struct judgement *judgement, const struct cert *cert) {
    const struct cert_list *lists[] = {judgement->untrusted, &judgement->bundle->certs};
    exclude(choice, cert);
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; lists[l] != NULL && i < lists[l]->count && (l > 0 || i < UNTRUSTED_MAX); i++)
            if (is_twin(choice, cert, lists[l]->items[i]) && has_same_key(cert, lists[l]->items[i]))
                exclude(choice, lists[l]->items[i]);
}

void path_search_add(struct path_search *search, const struct judgement *judgement) {
    static const struct path_choice all = {0};
    const struct verify_report *report = judgement->report;
    bool is_signature = report->openssl_error == X509_V_ERR_CERT_SIGNATURE_FAILURE;
    for (size_t i = 1; i < judgement->tried_count && search->count < PATHS_MAX; i++) {
        if (!is_worth_replacing(judgement, i))
            continue;
        struct path_choice *next = &search->choices[search->count++];
        *next = judgement->choice ? *judgement->choice : all;
        if (is_signature && i == (size_t)report->depth + 1)
            exclude_key(next, judgement, judgement->tried[i]);
        else
            exclude(next, judgement->tried[i]);
    }
}

const struct path_choice *path_search_next(struct path_search *search) {
    return search->next < search->count ? &search->choices[search->next++] : NULL;
}

/* Of two possible issuers: one that is valid now, else the one that was valid longer. */
static bool is_better_issuer(const struct judgement *judgement, const struct cert *cert, const struct cert *than) {
    bool is_valid = cert_not_before(cert) <= judgement->now && judgement->now <= cert_not_after(cert);
    if (than == NULL)
        return true;
    bool was_valid = cert_not_before(than) <= judgement->now && judgement->now <= cert_not_after(than);
    return is_valid != was_valid ? is_valid : cert_not_after(cert) > cert_not_after(than);
}

int path_get_issuer(X509 **issuer_out, X509_STORE_CTX *ctx, X509 *x509) {
    const struct judgement *judgement = X509_STORE_CTX_get_app_data(ctx);
    const struct cert *found = NULL;
    if (judgement->choice == NULL)
        return X509_STORE_CTX_get1_issuer(issuer_out, ctx, x509);
    X509_STORE_CTX_check_issued_fn is_issued = X509_STORE_CTX_get_check_issued(ctx);
    for (size_t i = 0; i < judgement->bundle->certs.count; i++) {
        const struct cert *cert = judgement->bundle->certs.items[i];
        if (!path_excludes(judgement->choice, cert_x509(cert)) && is_issued(ctx, x509, cert_x509(cert)) &&
            is_better_issuer(judgement, cert, found))
            found = cert;
    }
    if (found == NULL || X509_up_ref(cert_x509(found)) != 1)
        return 0;
    *issuer_out = cert_x509(found);
    return 1;
}
