/*
 * verify_crl: is a certificate of a verified chain revoked, and does the bundle have the lists that it asks for?
 *
 * Reached only with signatures checked, so a forged certificate costs nothing here; each look-up costs the same however
 * long the list is.
 *
 * The lists of one issuer (its name and its key, or another key of its name that is certified under the same anchor)
 * are united: an entry on any of them revokes, even on one that is out of date, since revocation is not undone by age.
 * For the answer "not revoked" the lists that are usable (this update not in the future, next update not past or
 * tolerated) must together cover the certificate and every reason for revocation.
 *
 *   no list for the issuer          crl_invalid, if one came that cannot be used; crl_missing, if `require` wants one
 *   none of them usable             whatever `require` says: crl_expired; crl_invalid (from the future, SHA-1)
 *   one came that is not supported  crl_invalid: it may revoke what the others do not (a delta)
 *   usable, but not for all reasons or not for this kind of certificate: as if there were none
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/mem.h"
#include "crl_priv.h"
#include "name_priv.h"
#include "verify_priv.h"

#define CERT_POINTS_MAX 32
#define SIGNERS_MAX 8 /* paths to other signers, for one certificate */

/* Why a list could not be used: the first such list's. `when` 0: no date belongs to it. */
struct trouble {
    enum reason reason;
    int openssl_error;
    const char *what;
    time_t when;
};

/* One certificate under its issuer. */
struct revocation_check {
    struct judgement *judgement;
    const struct cert *cert, *issuer;
    int depth;
    STACK_OF(DIST_POINT) * points; /* of the certificate, read when a list asks for them */
    bool points_are_read;
    uint32_t reasons; /* covered by usable lists */
    int signers_tried;
    bool is_revoked;
    struct trouble trouble;
    char trouble_text[256];
};

static void read_points(struct revocation_check *check) {
    if (check->points_are_read)
        return;
    check->points_are_read = true;
    check->points = X509_get_ext_d2i(cert_x509(check->cert), NID_crl_distribution_points, NULL, NULL);
    ERR_clear_error();
}

static bool shares_point(const struct crl *crl, DIST_POINT *point, const X509_NAME *issuer) {
    uint8_t digests[CERT_POINTS_MAX][SHA256_SIZE];
    if (point->distpoint == NULL || point->CRLissuer != NULL) /* a cRLIssuer means an indirect list */
        return false;
    size_t count = crl_point_digests(point->distpoint, issuer, digests, CERT_POINTS_MAX);
    for (size_t i = 0; i < count; i++)
        if (crl_has_point(crl, digests[i]))
            return true;
    return false;
}

/* The reasons for revocation that the list answers for, with regard to this certificate; 0: none of its business. */
static uint32_t reasons_covered(struct revocation_check *check, const struct crl *crl) {
    uint32_t reasons = 0;
    if (cert_is_ca(check->cert) ? !crl_covers_cas(crl) : !crl_covers_leaves(crl))
        return 0;
    if (!crl_is_scoped_to_points(crl))
        return crl_head(crl)->reasons;
    read_points(check);
    const X509_NAME *issuer = X509_get_issuer_name(cert_x509(check->cert));
    for (int i = 0; i < sk_DIST_POINT_num(check->points) && i < CERT_POINTS_MAX; i++) {
        DIST_POINT *point = sk_DIST_POINT_value(check->points, i);
        if (shares_point(crl, point, issuer))
            reasons |= point->reasons ? crl_reason_mask(point->reasons) : CRL_ALL_REASONS;
    }
    return reasons & crl_head(crl)->reasons;
}

static void note_revoked(struct revocation_check *check, const struct crl *crl, const struct crl_entry *entry) {
    char who[WHO_SIZE], when[CLOCK_TEXT_SIZE], serial[2 * CRL_SERIAL_MAX + 1];
    struct judgement *judgement = check->judgement;
    if (check->is_revoked)
        return;
    check->is_revoked = true;
    struct slice bytes = slice_first(cert_serial(check->cert), 32);
    judgement_fault(judgement, REASON_CERTIFICATE_REVOKED, check->depth, X509_V_ERR_CERT_REVOKED,
                    "%s (serial number %s) was revoked on %s: %s", certificate_at(check->cert, check->depth, who),
                    hex_upper(bytes.ptr, bytes.len, serial), clock_format(entry->revoked_at, when),
                    crl_reason_text(entry->reason));
    if (judgement->report->reason == REASON_CERTIFICATE_REVOKED && judgement->report->depth == check->depth) {
        judgement->report->revoked_at = entry->revoked_at;
        judgement->report->revocation_reason = entry->reason;
    }
    trace_add(judgement->trace, "crl", TRACE_NO, "list of %s: revoked on %s, %s", crl_issuer_text(crl), when,
              crl_reason_text(entry->reason));
}

/* The last moment at which the bundle's rule lets the list be used; 0: no end. */
static time_t usable_until(const struct bundle *bundle, const struct crl *crl) {
    time_t next = crl_next_update(crl);
    if (next == 0 || bundle->options.crl_on_expired == CRL_ALLOW)
        return 0; /* a list without nextUpdate says nothing of an end, and is believed (RFC 5280 wants one; old tools
                     leave it out) */
    return bundle->options.crl_on_expired == CRL_GRACE ? next + bundle->options.crl_grace_seconds : next;
}

/* Kept aside: it counts only if no other list of the issuer serves. */
static void note_trouble(struct revocation_check *check, const struct crl *crl, struct trouble trouble) {
    char when[CLOCK_TEXT_SIZE] = "";
    if (trouble.when != 0)
        (void)clock_format(trouble.when, when);
    trace_add(check->judgement->trace, "crl", TRACE_NO, "list of %s %s%s", crl_issuer_text(crl), trouble.what, when);
    if (check->trouble.reason == REASON_NONE) {
        check->trouble = trouble;
        (void)snprintf(check->trouble_text, sizeof(check->trouble_text), "the revocation list of %.150s %s%s",
                       crl_issuer_text(crl), trouble.what, when);
    }
}

static bool is_usable(struct revocation_check *check, const struct crl *crl) {
    struct judgement *judgement = check->judgement;
    const struct trust_bundle *options = &judgement->bundle->options;
    time_t until = usable_until(judgement->bundle, crl);
    struct trouble trouble = {REASON_NONE, X509_V_OK, "", 0};
    if ((crl_head(crl)->flags & CRL_WEAK_DIGEST) && !options->allow_sha1)
        trouble = (struct trouble){REASON_CRL_INVALID, X509_V_ERR_CRL_SIGNATURE_FAILURE, "is signed with SHA-1", 0};
    else if ((crl_head(crl)->flags & CRL_NOT_STRICT) && options->strict)
        trouble =
            (struct trouble){REASON_CRL_INVALID, X509_V_ERR_UNSPECIFIED, "has no CRL number, or a critical one", 0};
    else if (crl_this_update(crl) > judgement->now)
        trouble = (struct trouble){REASON_CRL_INVALID, X509_V_ERR_CRL_NOT_YET_VALID, "is valid only from ",
                                   crl_this_update(crl)};
    else if (until != 0 && judgement->now > until)
        trouble = (struct trouble){REASON_CRL_EXPIRED, X509_V_ERR_CRL_HAS_EXPIRED, "expired on ", crl_next_update(crl)};
    judgement_changes_at(judgement, crl_this_update(crl));
    if (until != 0)
        judgement_changes_at(judgement, until + 1);
    if (trouble.reason != REASON_NONE)
        note_trouble(check, crl, trouble);
    return trouble.reason == REASON_NONE;
}

/* --- lists signed with another key of the CA (RFC 5280 6.3.3 (f)) ------------------------------------------- */

static struct cert *find_signer(const struct cert_list *list, const struct crl *crl) {
    for (size_t i = 0; list != NULL && i < list->count; i++)
        if ((X509_get_key_usage(cert_x509(list->items[i])) & KU_CRL_SIGN) != 0 &&
            memcmp(cert_issuer_key(list->items[i]), crl_issuer_key(crl), SHA256_SIZE) == 0)
            return list->items[i];
    return NULL;
}

/* By lists that the issuers in the path signed with the very keys they have there; no second round of signers. */
static bool is_path_revoked(const struct judgement *judgement, const struct cert_list *path) {
    for (size_t i = 0; i + 1 < path->count; i++) {
        const struct cert *issuer = path->items[i + 1];
        struct crl_entry entry;
        size_t count;
        struct crl *const *lists = bundle_crls_of(judgement->bundle, cert_name_digest(issuer), &count);
        for (size_t l = 0; l < count; l++)
            if (memcmp(crl_issuer_key(lists[l]), cert_issuer_key(issuer), SHA256_SIZE) == 0 &&
                crl_lookup(lists[l], cert_serial(path->items[i]), &entry))
                return true;
    }
    return false;
}

/* Is the list signed by a CA certificate of the issuer's name that leads to the same anchor and is good itself? */
static bool is_by_fellow_signer(struct revocation_check *check, const struct crl *crl) {
    const struct judgement *judgement = check->judgement;
    struct cert *signer = find_signer(&judgement->bundle->certs, crl);
    if (signer == NULL)
        signer = find_signer(judgement->untrusted, crl);
    if (signer == NULL || check->signers_tried++ >= SIGNERS_MAX)
        return false;
    struct verify_report report = {.revocation_reason = -1, .judged_at = judgement->now};
    struct judgement path = {.bundle = judgement->bundle, .now = judgement->now, .report = &report};
    path.leaf = signer;
    path.untrusted = judgement->untrusted;
    path.is_for_crl_signer = true;
    judgement_find_path(&path);
    bool good = report.faults == 0 &&
                memcmp(report.anchor_sha256, judgement->report->anchor_sha256, SHA256_SIZE) == 0 &&
                !is_path_revoked(judgement, &report.chain);
    if (report.changes_at != 0)
        judgement_changes_at(check->judgement, report.changes_at);
    verify_report_fini(&report);
    return good;
}

static void judge_list(struct revocation_check *check, const struct crl *crl) {
    struct judgement *judgement = check->judgement;
    struct crl_entry entry;
    if (memcmp(crl_issuer_key(crl), cert_issuer_key(check->issuer), SHA256_SIZE) != 0 &&
        !is_by_fellow_signer(check, crl)) {
        trace_add(judgement->trace, "crl", TRACE_SKIPPED, "list of %s: signed with another key", crl_issuer_text(crl));
        return;
    }
    uint32_t reasons = reasons_covered(check, crl);
    if (reasons == 0) {
        trace_add(judgement->trace, "crl", TRACE_SKIPPED, "list of %s: is not about this certificate",
                  crl_issuer_text(crl));
        return;
    }
    if (crl_lookup(crl, cert_serial(check->cert), &entry))
        note_revoked(check, crl, &entry);
    if (!is_usable(check, crl))
        return;
    check->reasons |= reasons;
    time_t until = usable_until(judgement->bundle, crl), *next = &judgement->report->crl_next_update;
    if (until != 0 && (*next == 0 || until < *next))
        *next = until;
    if (!check->is_revoked)
        trace_add(judgement->trace, "crl", TRACE_YES, "list of %s: not revoked", crl_issuer_text(crl));
}

/* Did a list of this issuer come that could not be used? One that is genuine in kind but not supported may revoke more
 * than the lists we understand; one with a bad signature says nothing beside a good one. */
static bool was_refused(const struct revocation_check *check, bool unsupported_only) {
    const struct bundle *bundle = check->judgement->bundle;
    for (size_t i = 0; i < bundle->refusal_count; i++) {
        const struct crl_refusal *refusal = &bundle->refusals[i];
        if (unsupported_only && refusal->fault != CRL_UNSUPPORTED)
            continue;
        if (!refusal->issuer_is_known || /* then it may have been this one's */
            memcmp(refusal->issuer_name, cert_name_digest(check->issuer), SHA256_SIZE) == 0)
            return true;
    }
    return false;
}

static bool is_list_required(const struct revocation_check *check) {
    enum crl_require require = check->judgement->bundle->options.crl_require;
    return require == CRL_CHAIN || (require == CRL_LEAF && check->depth == 0);
}

/* No list says "revoked": is there one that may say "not revoked", and must there be? */
static void conclude(const struct revocation_check *check) {
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

static void check_certificate(struct judgement *judgement, int depth) {
    const struct cert_list *chain = &judgement->report->chain;
    struct revocation_check check = {.judgement = judgement, .depth = depth};
    check.cert = chain->items[depth];
    check.issuer = chain->items[depth + 1];
    size_t count;
    struct crl *const *lists = bundle_crls_of(judgement->bundle, cert_name_digest(check.issuer), &count);
    for (size_t i = 0; i < count; i++)
        judge_list(&check, lists[i]);
    if (!check.is_revoked)
        conclude(&check);
    sk_DIST_POINT_pop_free(check.points, DIST_POINT_free);
}

void judgement_check_revocation(struct judgement *judgement) {
    if (judgement->bundle->options.crl_require == CRL_NEVER)
        return;
    for (size_t depth = 0; depth + 1 < judgement->report->chain.count; depth++)
        check_certificate(judgement, (int)depth);
}
