/*
 * verify_signer: may the signer of a revocation list speak for the certificates of an issuer (RFC 5280 6.3.3 (f))?
 *
 * The issuer itself may, with the key it has in the chain; so may, for an indirect list, a CA of the chain. Any other
 * signer, be it a second key of the issuer or a signer of indirect lists, needs a path of its own that ends at the
 * chain's anchor and on which nothing is revoked. Such paths are searched within a budget for the whole judgement, and
 * not for the signers of lists that were asked about a signer.
 */
#include "verify_crl_priv.h"

#define LEVELS_MAX 1

static struct cert *find_signer(const struct cert_list *list, const struct crl *crl) {
    for (size_t i = 0; list != NULL && i < list->count; i++)
        if ((X509_get_key_usage(cert_x509(list->items[i])) & KU_CRL_SIGN) != 0 &&
            memcmp(cert_issuer_key(list->items[i]), crl_issuer_key(crl), SHA256_SIZE) == 0)
            return list->items[i];
    return NULL;
}

static bool is_signed_by(const struct crl *crl, const struct cert *cert) {
    return memcmp(crl_issuer_key(crl), cert_issuer_key(cert), SHA256_SIZE) == 0;
}

/* Signed by a CA above the certificate; or, when the certificate is itself a signer of lists, by that: its own word is
 * enough to give it up. */
static bool is_signed_in_chain(const struct revocation_check *check, const struct crl *crl) {
    const struct cert_list *chain = &check->judgement->report->chain;
    for (size_t i = (size_t)check->depth + 1; i < chain->count; i++)
        if (is_signed_by(crl, chain->items[i]))
            return true;
    return check->judgement->signer_level > 0 && is_signed_by(crl, check->cert);
}

static bool is_by_good_signer(struct revocation_check *check, const struct crl *crl) {
    struct judgement *judgement = check->judgement;
    if (judgement->signer_level >= LEVELS_MAX || *judgement->signer_budget == 0)
        return false;
    const struct cert *signer = find_signer(&judgement->bundle->certs, crl);
    if (signer == NULL)
        signer = find_signer(judgement->untrusted, crl);
    if (signer == NULL)
        return false;
    --*judgement->signer_budget;
    struct verify_report report = {.revocation_reason = -1, .judged_at = judgement->now};
    struct judgement path = *judgement;
    path.trace = NULL;
    path.report = &report;
    path.leaf = signer;
    path.signer_level++;
    judgement_find_path(&path);
    if (report.faults == 0)
        judgement_look_for_revocations(&path);
    bool good = report.faults == 0 && memcmp(report.anchor_sha256, judgement->report->anchor_sha256, SHA256_SIZE) == 0;
    if (report.changes_at != 0)
        judgement_changes_at(judgement, report.changes_at);
    verify_report_fini(&report);
    return good;
}

bool revocation_is_vouched_for(struct revocation_check *check, const struct crl *crl) {
    return is_signed_by(crl, check->issuer) || is_signed_in_chain(check, crl) || is_by_good_signer(check, crl);
}
