/*
 * verify_crl: is a certificate of a verified chain revoked, and does the bundle have the lists that it asks for?
 *
 * Reached only with signatures checked, so a forged certificate costs nothing here; each look-up costs the same however
 * long the list is.
 *
 * The lists of one issuer (its name and its key, or another key of its name that is certified under the same anchor)
 * are united, with the indirect lists of those whom the certificate's distribution points name as cRLIssuer: an entry
 * on any of them revokes (verify_series.c). For the answer "not revoked" the lists that are usable (this update not in
 * the future, next update not past or tolerated) must together cover the certificate and every reason for revocation.
 *
 *   no list for the issuer          crl_invalid, if one came that cannot be used; crl_missing, if `require` wants one
 *   none of them usable             whatever `require` says: crl_expired; crl_invalid (from the future, SHA-1, a
 *                                   delta alone)
 *   one came that is not supported  crl_invalid: it may revoke what the others do not
 *   usable, but not for all reasons or not for this kind of certificate: as if there were none
 */
#include "verify_crl_priv.h"

#define FOREIGN_MAX 8

/* Did an unusable list of an issuer of this name come? */
static bool was_refused_of(const struct bundle *bundle, const uint8_t issuer_name[SHA256_SIZE], bool unsupported_only) {
    for (size_t i = 0; i < bundle->refusal_count; i++) {
        const struct crl_refusal *refusal = &bundle->refusals[i];
        if (unsupported_only && refusal->fault != CRL_UNSUPPORTED)
            continue;
        if (!refusal->issuer_is_known || /* then it may have been this one's */
            memcmp(refusal->issuer_name, issuer_name, SHA256_SIZE) == 0)
            return true;
    }
    return false;
}

/* Did a list for this certificate come that could not be used? One that is genuine in kind but not supported may revoke
 * more than the lists we understand; one with a bad signature says nothing beside a good one. */
static bool was_refused(struct revocation_check *check, bool unsupported_only) {
    const struct bundle *bundle = check->judgement->bundle;
    uint8_t foreign[FOREIGN_MAX][SHA256_SIZE];
    if (bundle->refusal_count == 0)
        return false;
    if (was_refused_of(bundle, cert_name_digest(check->issuer), unsupported_only))
        return true;
    size_t count = revocation_foreign_issuers(check, foreign, FOREIGN_MAX);
    for (size_t i = 0; i < count; i++)
        if (was_refused_of(bundle, foreign[i], unsupported_only))
            return true;
    return false;
}

static bool is_list_required(const struct revocation_check *check) {
    enum crl_require require = check->judgement->bundle->options.crl_require;
    return require == CRL_CHAIN || (require == CRL_LEAF && check->depth == 0);
}

/* No list says "revoked": is there one that may say "not revoked", and must there be? */
static void conclude(struct revocation_check *check) {
    struct judgement *judgement = check->judgement;
    bool is_covered = check->reasons == CRL_ALL_REASONS;
    char who[WHO_SIZE];
    if (is_covered && !was_refused(check, true))
        return;
    if (!is_covered && check->trouble.reason != REASON_NONE)
        judgement_fault(judgement, check->trouble.reason, check->depth, check->trouble.openssl_error, "%s",
                        check->trouble_text);
    else if (was_refused(check, false))
        judgement_fault(judgement, REASON_CRL_INVALID, check->depth, X509_V_ERR_CRL_SIGNATURE_FAILURE,
                        "the revocation list of %s cannot be used", certificate_at(check->issuer, 1, who));
    else if (is_list_required(check))
        judgement_fault(judgement, REASON_CRL_MISSING, check->depth, X509_V_ERR_UNABLE_TO_GET_CRL,
                        "there is no revocation list of %s", certificate_at(check->issuer, 1, who));
}

static void ask_lists(struct revocation_check *check) {
    revocation_check_lists(check, cert_name_digest(check->issuer), false);
    if (check->judgement->bundle->has_indirect_crl) {
        uint8_t foreign[FOREIGN_MAX][SHA256_SIZE];
        size_t count = revocation_foreign_issuers(check, foreign, FOREIGN_MAX);
        for (size_t i = 0; i < count; i++)
            revocation_check_lists(check, foreign[i], true);
    }
}

static void check_certificate(struct judgement *judgement, int depth, bool wants_coverage) {
    const struct cert_list *chain = &judgement->report->chain;
    struct revocation_check check = {.judgement = judgement, .depth = depth};
    check.cert = chain->items[depth];
    check.issuer = chain->items[depth + 1];
    ask_lists(&check);
    if (wants_coverage && !check.is_revoked)
        conclude(&check);
    sk_DIST_POINT_pop_free(check.points, DIST_POINT_free);
}

void judgement_check_revocation(struct judgement *judgement) {
    int signer_budget = SIGNER_PATHS_MAX;
    if (judgement->bundle->options.crl_require == CRL_NEVER)
        return;
    judgement->signer_budget = &signer_budget;
    for (size_t depth = 0; depth + 1 < judgement->report->chain.count; depth++)
        check_certificate(judgement, (int)depth, true);
    judgement->signer_budget = NULL;
}

void judgement_look_for_revocations(struct judgement *judgement) {
    for (size_t depth = 0; depth + 1 < judgement->report->chain.count; depth++)
        check_certificate(judgement, (int)depth, false);
}
