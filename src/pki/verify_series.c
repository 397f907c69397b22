/*
 * verify_series: what the lists of one issuer, key and scope say of a certificate: each complete list with the delta
 * that brings it up to date, and deltas that no complete list takes up (RFC 5280 5.2.4, 6.3.3).
 *
 * A delta fits a complete list whose number is not below its base number and below its own. The newest one that fits
 * and is usable overrules the list: its entry revokes, or takes the revocation back (removeFromCRL); and while it is
 * current the list may be out of date. A delta that a complete list, or a newer delta in use, has overtaken says
 * nothing. Any other one is news that cannot be put together with a list: it revokes, takes nothing back, and vouches
 * for nothing.
 *
 * An entry on any list revokes, even on one that is out of date: revocation is not undone by age.
 */
#include "base/clock.h"
#include "base/encode.h"
#include "pki/dsa.h"
#include "verify_crl_priv.h"

#define REMOVE_FROM_CRL 8

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

static bool look_up(const struct revocation_check *check, const struct crl *crl, struct crl_entry *entry_out) {
    return crl_lookup_of(crl, cert_name_digest(check->issuer), cert_serial(check->cert), entry_out);
}

/* --- is a list usable? ---------------------------------------------------------------------------------------- */

/* The last moment at which the bundle's rule lets the list be used; 0: no end. */
static time_t usable_until(const struct revocation_check *check, const struct crl *crl) {
    const struct trust_bundle *options = &check->judgement->bundle->options;
    time_t next = crl_next_update(crl);
    if (next == 0 || options->crl_on_expired == CRL_ALLOW)
        return 0; /* a list without nextUpdate says nothing of an end, and is believed (RFC 5280 wants one; old tools
                     leave it out) */
    return options->crl_on_expired == CRL_GRACE ? next + options->crl_grace_seconds : next;
}

static struct trouble trouble_with(const struct revocation_check *check, const struct crl *crl) {
    struct judgement *judgement = check->judgement;
    const struct trust_bundle *options = &judgement->bundle->options;
    time_t until = usable_until(check, crl);
    struct trouble trouble = {REASON_NONE, X509_V_OK, "", 0};
    bool may_be_sha1 = options->allow_sha1 || (options->allow_dsa && dsa_has_key(check->issuer));
    if ((crl_head(crl)->flags & CRL_WEAK_DIGEST) && !may_be_sha1)
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
    return trouble;
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

/* --- complete lists ------------------------------------------------------------------------------------------- */

/* The newest delta that fits the list and is usable; NULL if there is none. */
static const struct crl *delta_for(const struct revocation_check *check, const struct crl_series *series,
                                   const struct crl *complete) {
    for (size_t i = series->delta_count; i-- > 0;)
        if (crl_delta_fits(series->deltas[i], complete) && trouble_with(check, series->deltas[i]).reason == REASON_NONE)
            return series->deltas[i];
    return NULL;
}

static void note_usable(struct revocation_check *check, const struct crl *crl, const struct crl *delta) {
    time_t until = usable_until(check, crl), *next = &check->judgement->report->crl_next_update;
    if (delta != NULL && until != 0) {
        time_t fresher = usable_until(check, delta);
        until = fresher == 0 || fresher > until ? fresher : until;
    }
    if (until != 0 && (*next == 0 || until < *next))
        *next = until;
    if (!check->is_revoked)
        trace_add(check->judgement->trace, "crl", TRACE_YES, "list of %s%s: not revoked", crl_issuer_text(crl),
                  delta ? " with its delta" : "");
}

static void judge_complete(struct revocation_check *check, const struct crl *crl, const struct crl *delta,
                           uint32_t reasons) {
    struct crl_entry entry;
    if (delta != NULL && look_up(check, delta, &entry)) {
        if (entry.reason != REMOVE_FROM_CRL)
            note_revoked(check, delta, &entry);
    } else if (look_up(check, crl, &entry)) {
        note_revoked(check, crl, &entry);
    }
    struct trouble trouble = trouble_with(check, crl);
    bool is_refreshed = trouble.reason == REASON_CRL_EXPIRED && delta != NULL;
    if (trouble.reason != REASON_NONE && !is_refreshed) {
        note_trouble(check, crl, trouble);
        return;
    }
    check->reasons |= reasons;
    note_usable(check, crl, delta);
}

/* --- deltas --------------------------------------------------------------------------------------------------- */

/* By a complete list, or by the delta that one goes with. */
static bool is_overtaken(const struct revocation_check *check, const struct crl_series *series,
                         const struct crl *delta) {
    for (size_t i = 0; i < series->complete_count; i++) {
        const struct crl *complete = series->complete[i], *newest = delta_for(check, series, complete);
        if (crl_number_compare(complete, delta) >= 0)
            return true;
        if (newest != NULL && crl_number_compare(newest, delta) >= 0)
            return true;
    }
    return false;
}

static void judge_stray_delta(struct revocation_check *check, const struct crl *delta) {
    struct crl_entry entry;
    struct trouble trouble = trouble_with(check, delta);
    if (look_up(check, delta, &entry) && entry.reason != REMOVE_FROM_CRL)
        note_revoked(check, delta, &entry);
    if (trouble.reason == REASON_NONE)
        trouble = (struct trouble){REASON_CRL_INVALID, X509_V_ERR_UNSPECIFIED,
                                   "is a delta without the complete list that it goes with", 0};
    note_trouble(check, delta, trouble);
}

/* --- series --------------------------------------------------------------------------------------------------- */

static void judge_series(struct revocation_check *check, const struct crl_series *series, bool is_foreign) {
    struct trace *trace = check->judgement->trace;
    const struct crl *any = series->complete_count > 0 ? series->complete[0] : series->deltas[0];
    uint32_t reasons = revocation_reasons_covered(check, any, is_foreign);
    if (reasons == 0) {
        trace_add(trace, "crl", TRACE_SKIPPED, "list of %s: is not about this certificate", crl_issuer_text(any));
        return;
    }
    if (!revocation_is_vouched_for(check, any)) {
        trace_add(trace, "crl", TRACE_SKIPPED, "list of %s: signed with another key", crl_issuer_text(any));
        return;
    }
    for (size_t i = 0; i < series->complete_count; i++)
        judge_complete(check, series->complete[i], delta_for(check, series, series->complete[i]), reasons);
    for (size_t i = 0; i < series->delta_count; i++)
        if (!is_overtaken(check, series, series->deltas[i]))
            judge_stray_delta(check, series->deltas[i]);
}

/* The series at the front of the lists; how many lists it has. */
static size_t cut_series(struct crl *const *lists, size_t count, struct crl_series *series_out) {
    size_t complete = 0, all = 0;
    while (all < count && crl_is_same_series(lists[0], lists[all])) {
        complete += !crl_is_delta(lists[all]);
        all++;
    }
    *series_out = (struct crl_series){.complete = lists, .complete_count = complete};
    series_out->deltas = lists + complete;
    series_out->delta_count = all - complete;
    return all;
}

void revocation_check_lists(struct revocation_check *check, const uint8_t issuer_name[SHA256_SIZE], bool is_foreign) {
    size_t count;
    struct crl *const *lists = bundle_crls_of(check->judgement->bundle, issuer_name, &count);
    while (count > 0) {
        struct crl_series series;
        size_t taken = cut_series(lists, count, &series);
        if (!is_foreign || crl_is_indirect(lists[0]))
            judge_series(check, &series, is_foreign);
        lists += taken;
        count -= taken;
    }
}
