/*
 * verify: the one judge of client certificates. Called at handshakes, resumptions, changes of trust, and by the
 * commands that judge offline. Works on values only; keeps nothing between calls.
 *
 * For each bundle:  OpenSSL builds and checks a path (own X509_STORE_CTX, own store)
 *                     -> our additions (verify_rules.c: CA:TRUE spelled out, no proxy certificate,
 *                        no malformed extension)
 *                     -> revocation by index, only for a path whose signatures hold (verify_crl.c)
 *                     -> if it comes to nothing: other paths, if there can be any (verify_paths.c)
 * The best bundle speaks: one that vouches, else the one whose reason comes last in precedence, that is, the one that
 * came closest.
 *
 * OpenSSL may go on after wrong dates and a wrong purpose only, so that all of them are known (sec-25); any other fault
 * outranks what could still be found, and going on would only cost (sec-35).
 *
 * Extended key usage (sec-21): when the leaf has the extension it must name clientAuth; anyExtendedKeyUsage is not
 * taken for it. A leaf without the extension passes, as in RFC 5280 and OpenSSL. On a CA of the chain the extension, if
 * present, must name it too. `any` asks for none of this.
 */
#include "verify_priv.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>

#include "base/clock.h"
#include "base/mem.h"
#include "name_priv.h"
#include "pki/dsa.h"
#include "verify_cache_priv.h"

#define AUTH_LEVEL 2 /* 112 bits: RSA 2048, SHA-224 */
#define DEFAULT_DEPTH 8
#define DSA_BITS_MIN 1024

/* What an OpenSSL error is called here. Whatever is not in the table makes the certificate invalid. */
static enum reason reason_of(int error) {
    switch (error) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_REJECTED:
    case X509_V_ERR_SUBJECT_ISSUER_MISMATCH:
    case X509_V_ERR_AKID_SKID_MISMATCH:
    case X509_V_ERR_AKID_ISSUER_SERIAL_MISMATCH:
        return REASON_CERTIFICATE_UNTRUSTED;
    case X509_V_ERR_INVALID_PURPOSE:
        return REASON_CERTIFICATE_PURPOSE;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return REASON_CERTIFICATE_NOT_YET_VALID;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return REASON_CERTIFICATE_EXPIRED;
    default:
        return REASON_CERTIFICATE_INVALID;
    }
}

const char *certificate_at(const struct cert *cert, int depth, char out[WHO_SIZE]) {
    if (depth == 0 || cert == NULL) {
        (void)snprintf(out, WHO_SIZE, depth == 0 ? "certificate" : "CA certificate");
        return out;
    }
    char *subject = cert_subject_text(cert);
    (void)snprintf(out, WHO_SIZE, "CA certificate %.120s", subject);
    mem_free(subject);
    return out;
}

void judgement_fault(struct judgement *judgement, enum reason reason, int depth, int openssl_error, const char *format,
                     ...) {
    struct verify_report *report = judgement->report;
    report->faults |= UINT64_C(1) << reason;
    char text[sizeof(report->detail)];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    trace_add(judgement->trace, "fault", TRACE_NO, "%s: %s", reason_code(reason), text);
    if (report->reason != REASON_NONE &&
        (reason > report->reason || (reason == report->reason && depth >= report->depth)))
        return;
    report->reason = reason;
    report->depth = depth;
    report->openssl_error = openssl_error;
    memcpy(report->detail, text, sizeof(text));
}

void judgement_changes_at(struct judgement *judgement, time_t moment) {
    time_t *changes = &judgement->report->changes_at;
    if (moment > judgement->now && (*changes == 0 || moment < *changes))
        *changes = moment;
}

/* --- OpenSSL's part ------------------------------------------------------------------------------------------- */

static bool is_dsa(X509 *x509) {
    const EVP_PKEY *key = X509_get0_pubkey(x509);
    return key != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_DSA;
}

/* Faults that the bundle's options, or RFC 5280 against OpenSSL, let pass. */
static bool is_tolerated(const struct judgement *judgement, int error, X509 *x509) {
    int digest = NID_undef, algorithm = NID_undef;
    if (x509 == NULL)
        return false;
    if (error == X509_V_ERR_CERT_HAS_EXPIRED) /* notAfter itself is still inside (RFC 5280 4.1.2.5) */
        return X509_cmp_time(X509_get0_notAfter(x509), &(time_t){judgement->now - 1}) > 0;
    if (error == X509_V_ERR_EE_KEY_TOO_SMALL || error == X509_V_ERR_CA_KEY_TOO_SMALL)
        return judgement->bundle->options.allow_dsa && is_dsa(x509) &&
               EVP_PKEY_get_bits(X509_get0_pubkey(x509)) >= DSA_BITS_MIN;
    if (error == X509_V_ERR_CA_CERT_MISSING_KEY_USAGE) /* `strict`: of a trust anchor only name and key count (6.1.1) */
        return (X509_get_extension_flags(x509) & EXFLAG_SS) != 0;
    return error == X509_V_ERR_CA_MD_TOO_WEAK && X509_get_signature_info(x509, &digest, &algorithm, NULL, NULL) == 1 &&
           digest == NID_sha1 &&
           (judgement->bundle->options.allow_sha1 || (judgement->bundle->options.allow_dsa && algorithm == NID_dsa));
}

static struct cert *cert_in_list(const struct cert_list *list, X509 *x509) {
    for (size_t i = 0; list != NULL && i < list->count; i++)
        if (cert_x509(list->items[i]) == x509)
            return list->items[i];
    return NULL;
}

/* The certificate object that we already have for an X509 that OpenSSL names; it makes none of its own. */
static struct cert *known_cert(const struct judgement *judgement, X509 *x509) {
    if (x509 == cert_x509(judgement->leaf))
        return (struct cert *)(uintptr_t)judgement->leaf;
    struct cert *cert = cert_in_list(&judgement->bundle->certs, x509);
    return cert ? cert : cert_in_list(judgement->untrusted, x509);
}

static void note_dates(struct judgement *judgement, int error, int depth, const struct cert *cert) {
    char who[WHO_SIZE], when[CLOCK_TEXT_SIZE];
    if (error == X509_V_ERR_CERT_HAS_EXPIRED)
        judgement_fault(judgement, REASON_CERTIFICATE_EXPIRED, depth, error, "%s expired on %s",
                        certificate_at(cert, depth, who), clock_format(cert_not_after(cert), when));
    else
        judgement_fault(judgement, REASON_CERTIFICATE_NOT_YET_VALID, depth, error, "%s is valid only from %s",
                        certificate_at(cert, depth, who), clock_format(cert_not_before(cert), when));
}

/* Which of its usages says no. */
static void note_purpose(struct judgement *judgement, int error, int depth, const struct cert *cert) {
    bool is_server = judgement->bundle->options.extended_key_usage == TRUST_EKU_SERVER_AUTH;
    X509 *x509 = cert_x509(cert);
    bool is_extended = (X509_get_extended_key_usage(x509) & (is_server ? XKU_SSL_SERVER : XKU_SSL_CLIENT)) == 0;
    char who[WHO_SIZE];
    certificate_at(cert, depth, who);
    if (is_extended)
        judgement_fault(judgement, REASON_CERTIFICATE_PURPOSE, depth, error,
                        "the extended key usage of the %s lacks %s", who, is_server ? "serverAuth" : "clientAuth");
    else
        judgement_fault(judgement, REASON_CERTIFICATE_PURPOSE, depth, error,
                        "the key usage of the %s does not let it authenticate a %s", who,
                        is_server ? "server" : "client");
}

static void note_openssl_fault(struct judgement *judgement, int error, int depth, X509 *x509) {
    const struct cert *cert = x509 ? known_cert(judgement, x509) : NULL;
    char who[WHO_SIZE];
    enum reason reason = reason_of(error);
    if (cert != NULL && (reason == REASON_CERTIFICATE_EXPIRED || reason == REASON_CERTIFICATE_NOT_YET_VALID)) {
        note_dates(judgement, error, depth, cert);
    } else if (cert != NULL && reason == REASON_CERTIFICATE_PURPOSE) {
        note_purpose(judgement, error, depth, cert);
    } else if (reason == REASON_CERTIFICATE_UNTRUSTED) {
        char *issuer = cert ? name_rfc2253(X509_get_issuer_name(x509)) : mem_strdup("");
        judgement_fault(judgement, reason, depth, error, "%s; issuer: %.120s", reason_sentence(reason), issuer);
        mem_free(issuer);
    } else {
        judgement_fault(judgement, reason, depth, error, "%s: %s", certificate_at(cert, depth, who),
                        X509_verify_cert_error_string(error));
    }
}

static int keep_error(int ok, X509_STORE_CTX *ctx) {
    struct judgement *judgement = X509_STORE_CTX_get_app_data(ctx);
    if (ok)
        return 1;
    int error = X509_STORE_CTX_get_error(ctx);
    X509 *x509 = X509_STORE_CTX_get_current_cert(ctx);
    if (is_tolerated(judgement, error, x509)) {
        X509_STORE_CTX_set_error(ctx, X509_V_OK);
        return 1;
    }
    note_openssl_fault(judgement, error, X509_STORE_CTX_get_error_depth(ctx), x509);
    return error == X509_V_ERR_CERT_NOT_YET_VALID || error == X509_V_ERR_CERT_HAS_EXPIRED ||
           error == X509_V_ERR_INVALID_PURPOSE;
}

/* Policies refuse a path only if a certificate on it asks for one (RFC 5280 6.1.3 (f)), so only then are they looked
 * at. */
static bool has_policy_constraints(const struct judgement *judgement) {
    const struct cert_list *sent = judgement->untrusted;
    bool has = judgement->bundle->has_policy_constraints || cert_has_policy_constraints(judgement->leaf);
    for (size_t i = 0; sent != NULL && i < sent->count && i < UNTRUSTED_MAX; i++)
        has |= cert_has_policy_constraints(sent->items[i]);
    return has;
}

static void set_rules(X509_STORE_CTX *ctx, const struct judgement *judgement) {
    const struct trust_bundle *options = &judgement->bundle->options;
    X509_VERIFY_PARAM *rules = X509_STORE_CTX_get0_param(ctx);
    unsigned long flags = 0;
    if (options->partial_chain)
        flags |= X509_V_FLAG_PARTIAL_CHAIN;
    if (options->strict)
        flags |= X509_V_FLAG_X509_STRICT;
    if (has_policy_constraints(judgement)) { /* any policy will do for us, but there must be one */
        flags |= X509_V_FLAG_POLICY_CHECK;
        INVARIANT(X509_VERIFY_PARAM_add0_policy(rules, OBJ_nid2obj(NID_any_policy)) == 1);
    }
    X509_VERIFY_PARAM_set_flags(rules, flags);
    X509_VERIFY_PARAM_set_time(rules, judgement->now);
    X509_VERIFY_PARAM_set_auth_level(rules, AUTH_LEVEL);
    X509_VERIFY_PARAM_set_depth(rules, options->max_depth == 0  ? DEFAULT_DEPTH
                                       : options->max_depth < 0 ? 0
                                                                : options->max_depth);
    enum trust_eku eku = judgement->signer_level > 0 ? TRUST_EKU_ANY : options->extended_key_usage;
    if (eku == TRUST_EKU_CLIENT_AUTH)
        X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT);
    else if (eku == TRUST_EKU_SERVER_AUTH)
        X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER);
    X509_STORE_CTX_set_app_data(ctx, (void *)(uintptr_t)judgement);
    X509_STORE_CTX_set_verify_cb(ctx, keep_error);
}

/* The path and what its certificates say of time. */
static void keep_chain(struct judgement *judgement, const struct cert_list *path) {
    struct verify_report *report = judgement->report;
    for (size_t i = 0; i < path->count; i++) {
        struct cert *cert = path->items[i];
        cert_list_add(&report->chain, cert);
        if (i == 0 || cert_not_after(cert) < report->not_after)
            report->not_after = cert_not_after(cert);
        if (i == 0 || cert_not_before(cert) > report->not_before)
            report->not_before = cert_not_before(cert);
        judgement_changes_at(judgement, cert_not_before(cert));
        judgement_changes_at(judgement, cert_not_after(cert) + 1);
    }
    const struct cert *anchor = report->chain.items[report->chain.count - 1];
    memcpy(report->anchor_sha256, cert_sha256(anchor), SHA256_SIZE);
}

static void keep_path(struct judgement *judgement, STACK_OF(X509) * path) {
    struct cert_list certs = {NULL, 0};
    for (int i = 0; i < sk_X509_num(path); i++) {
        struct cert *cert = known_cert(judgement, sk_X509_value(path, i));
        INVARIANT(cert != NULL);
        cert_list_add(&certs, cert);
    }
    keep_chain(judgement, &certs);
    cert_list_fini(&certs);
}

/* RSA, ECDSA and EdDSA are what a handshake can be authenticated with; CAs are held to the same. */
static bool has_supported_key(const struct judgement *judgement, int depth) {
    const struct cert_list *chain = &judgement->report->chain;
    const struct cert *cert = chain->items[depth];
    const EVP_PKEY *key = X509_get0_pubkey(cert_x509(cert));
    switch (key ? EVP_PKEY_get_base_id(key) : EVP_PKEY_NONE) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
    case EVP_PKEY_EC:
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
        return true;
    case EVP_PKEY_DSA:
        return judgement->bundle->options.allow_dsa &&
               ((size_t)depth + 1 == chain->count || dsa_is_consistent(cert, chain->items[depth + 1]));
    default:
        return false;
    }
}

/* What OpenSSL lets pass and we do not (sec-22, sec-26). */
static void check_chain(struct judgement *judgement) {
    const struct cert_list *chain = &judgement->report->chain;
    for (size_t i = 0; i < chain->count; i++) {
        uint32_t flags = X509_get_extension_flags(cert_x509(chain->items[i]));
        char who[WHO_SIZE];
        int depth = (int)i;
        if (i > 0 && !cert_is_ca(chain->items[i]))
            judgement_fault(judgement, REASON_CERTIFICATE_INVALID, depth, X509_V_ERR_INVALID_CA,
                            "%s lacks basicConstraints CA:TRUE", certificate_at(chain->items[i], depth, who));
        if (!has_supported_key(judgement, depth))
            judgement_fault(judgement, REASON_CERTIFICATE_INVALID, depth, X509_V_ERR_EE_KEY_TOO_SMALL,
                            "%s has a key of a kind that is not supported",
                            certificate_at(chain->items[i], depth, who));
        if (flags & EXFLAG_PROXY)
            judgement_fault(judgement, REASON_CERTIFICATE_INVALID, depth, X509_V_ERR_PROXY_CERTIFICATES_NOT_ALLOWED,
                            "%s is a proxy certificate", certificate_at(chain->items[i], depth, who));
        if (flags & EXFLAG_INVALID)
            judgement_fault(judgement, REASON_CERTIFICATE_INVALID, depth, X509_V_ERR_INVALID_EXTENSION,
                            "%s has a malformed extension", certificate_at(chain->items[i], depth, who));
    }
}

/* Self-signed ones are left out: no path goes through them, since anchors come from the bundle, but OpenSSL would stop
 * at the client's copy of a root that is cross-signed. */
static STACK_OF(X509) * helpers_of(const struct judgement *judgement) {
    const struct cert_list *list = judgement->untrusted;
    STACK_OF(X509) *stack = sk_X509_new_null();
    INVARIANT(stack != NULL);
    for (size_t i = 0; list != NULL && i < list->count && i < UNTRUSTED_MAX; i++) {
        X509 *x509 = cert_x509(list->items[i]);
        if ((X509_get_extension_flags(x509) & EXFLAG_SS) == 0 && !path_excludes(judgement->choice, x509))
            INVARIANT(sk_X509_push(stack, x509) > 0);
    }
    return stack;
}

#define FAULT_BIT(name) (UINT64_C(1) << REASON_##name)
/* With one of these there is no path whose signatures are known to hold. */
#define NO_PATH (FAULT_BIT(CERTIFICATE_UNTRUSTED) | FAULT_BIT(CERTIFICATE_INVALID))

static void trace_chain(struct judgement *judgement) {
    for (size_t i = 0; judgement->trace != NULL && i < judgement->report->chain.count; i++) {
        const struct cert *cert = judgement->report->chain.items[i];
        char *subject = cert_subject_text(cert), until[CLOCK_TEXT_SIZE];
        trace_add(judgement->trace, "certificate", TRACE_INFO, "%zu: %s, until %s", i, subject,
                  clock_format(cert_not_after(cert), until));
        mem_free(subject);
    }
}

/* OpenSSL gives such a leaf up before it looks for an issuer. */
static bool is_malformed(struct judgement *judgement) {
    if ((X509_get_extension_flags(cert_x509(judgement->leaf)) & EXFLAG_INVALID) == 0)
        return false;
    judgement_fault(judgement, REASON_CERTIFICATE_INVALID, 0, X509_V_ERR_INVALID_EXTENSION,
                    "certificate has a malformed extension");
    return true;
}

void judgement_find_path(struct judgement *judgement) {
    if (is_malformed(judgement))
        return;
    STACK_OF(X509) *helpers = helpers_of(judgement);
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    INVARIANT(ctx != NULL &&
              X509_STORE_CTX_init(ctx, judgement->bundle->store, cert_x509(judgement->leaf), helpers) == 1);
    set_rules(ctx, judgement);
    int verified = X509_verify_cert(ctx);
    uint64_t *faults = &judgement->report->faults;
    if (verified != 1 && *faults == 0)
        judgement_fault(judgement, REASON_CERTIFICATE_INVALID, 0, X509_STORE_CTX_get_error(ctx), "certificate: %s",
                        X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    STACK_OF(X509) *path = X509_STORE_CTX_get0_chain(ctx);
    for (int i = 0; i < sk_X509_num(path) && i < TRIED_MAX; i++)
        judgement->tried[judgement->tried_count++] = known_cert(judgement, sk_X509_value(path, i));
    if ((*faults & FAULT_BIT(CERTIFICATE_UNTRUSTED)) == 0 && sk_X509_num(path) > 0) {
        keep_path(judgement, path);
        check_chain(judgement);
        trace_chain(judgement);
    }
    X509_STORE_CTX_free(ctx);
    sk_X509_free(helpers);
    ERR_clear_error();
}

static void report_init(struct verify_report *report, time_t now) {
    *report = (struct verify_report){.revocation_reason = -1, .judged_at = now};
}

/* Puts *candidate in the place of *best if it came closer; whichever goes is freed. */
static void keep_better(struct verify_report *best, struct verify_report *candidate, bool is_first) {
    time_t changes = best->changes_at;
    if (is_first ||
        (best->reason != REASON_NONE && (candidate->reason == REASON_NONE || candidate->reason > best->reason))) {
        struct verify_report other = *best;
        *best = *candidate;
        *candidate = other;
    }
    /* Time may change any bundle's opinion. */
    if (!is_first && changes != 0 && (best->changes_at == 0 || changes < best->changes_at))
        best->changes_at = changes;
    if (candidate->changes_at != 0 && (best->changes_at == 0 || candidate->changes_at < best->changes_at))
        best->changes_at = candidate->changes_at;
    verify_report_fini(candidate);
}

static void judge_path(struct judgement *judgement) {
    judgement_find_path(judgement);
    if ((judgement->report->faults & NO_PATH) == 0)
        judgement_check_rules(judgement);
    if ((judgement->report->faults & NO_PATH) == 0)
        judgement_check_revocation(judgement);
}

/* Is it the fault of the certificate itself, whatever path is taken? */
static bool is_faulty_leaf(const struct verify_report *report) {
    return report->depth == 0 && report->reason >= REASON_CERTIFICATE_PURPOSE &&
           report->reason <= REASON_CERTIFICATE_REVOKED;
}

/* One bundle's opinion. */
static void judge(struct judgement *judgement) {
    struct verify_report *best = judgement->report;
    struct path_search search = {.count = 0};
    const struct path_choice *choice;
    judge_path(judgement);
    if (best->reason == REASON_NONE || is_faulty_leaf(best))
        return;
    path_search_add(&search, judgement);
    while (best->reason != REASON_NONE && (choice = path_search_next(&search)) != NULL) {
        struct verify_report report;
        struct judgement again = *judgement;
        again.report = &report;
        again.choice = choice;
        again.tried_count = 0;
        report_init(&report, judgement->now);
        trace_add(judgement->trace, "certificate", TRACE_INFO, "there may be another path");
        judge_path(&again);
        path_search_add(&search, &again);
        keep_better(best, &report, false);
    }
}

/* The same for a path that held before: what may have changed since is judged. If anything did, all of it is judged
 * anew, since there may be another path. */
static void judge_with(struct verify_cache *cache, struct judgement *judgement) {
    struct verify_report *report = judgement->report;
    const struct bundle *bundle = judgement->bundle;
    const struct cert_list *path =
        verify_cache_path(cache, judgement->leaf, judgement->untrusted, bundle->id, judgement->now);
    if (path != NULL) {
        keep_chain(judgement, path);
        judgement_check_revocation(judgement);
        if (report->faults == 0)
            return;
        verify_report_fini(report);
        report_init(report, judgement->now);
        verify_cache_drop(cache, judgement->leaf);
    }
    judge(judgement);
    if (report->faults == 0)
        verify_cache_put(cache, judgement->untrusted, bundle->id, &report->chain);
}

/* --- the report ----------------------------------------------------------------------------------------------- */

/* OpenSSL 1.1's wording, which Cloudflare and nginx show (facts 4.5). */
static void set_verified_text(struct verify_report *report) {
    const char *text = X509_verify_cert_error_string(report->openssl_error);
    if (report->reason == REASON_NONE)
        text = NULL;
    else if (strncmp(text, "self-signed", 11) == 0)
        (void)snprintf(report->verified_text, sizeof(report->verified_text), "FAILED:self signed%s", text + 11);
    else
        (void)snprintf(report->verified_text, sizeof(report->verified_text), "FAILED:%s", text);
    if (text == NULL)
        (void)snprintf(report->verified_text, sizeof(report->verified_text), "SUCCESS");
}

void verify_report_revoke(struct verify_report *report, time_t revoked_at, int revocation_reason, int depth) {
    char when[CLOCK_TEXT_SIZE];
    report->reason = REASON_CERTIFICATE_REVOKED;
    report->faults |= 1ull << REASON_CERTIFICATE_REVOKED;
    report->openssl_error = X509_V_ERR_CERT_REVOKED;
    report->bundles = 0;
    report->depth = depth;
    report->revoked_at = revoked_at;
    report->revocation_reason = revocation_reason;
    (void)snprintf(report->detail, sizeof(report->detail), "%s was revoked on %s, says its OCSP responder",
                   depth == 0 ? "certificate" : "a CA certificate of the chain", clock_format(revoked_at, when));
    set_verified_text(report);
}

/* question: leaf, untrusted, now, trace. */
static void judge_bundles(const struct trust *trust, const struct judgement *question, struct verify_cache *cache,
                          struct verify_report *report_out) {
    uint64_t vouching = 0;
    report_init(report_out, question->now);
    for (size_t i = 0; i < trust_bundle_count(trust); i++) {
        struct verify_report candidate;
        struct judgement judgement = *question;
        judgement.bundle = trust_bundle_at(trust, i);
        judgement.report = &candidate;
        report_init(&candidate, question->now);
        trace_add(question->trace, "ca_bundle", TRACE_INFO, "%s", judgement.bundle->name);
        trace_enter(question->trace);
        if (cache != NULL)
            judge_with(cache, &judgement);
        else
            judge(&judgement);
        trace_add(question->trace, "certificate", candidate.reason == REASON_NONE ? TRACE_YES : TRACE_NO,
                  "verified by %s", judgement.bundle->name);
        trace_leave(question->trace);
        if (candidate.reason == REASON_NONE)
            vouching |= UINT64_C(1) << i;
        keep_better(report_out, &candidate, i == 0);
    }
    report_out->bundles = vouching;
    set_verified_text(report_out);
}

static void judge_nothing(time_t now, struct trace *trace, struct verify_report *report_out) {
    verify_none(report_out);
    report_out->judged_at = now;
    trace_add(trace, "certificate", TRACE_NO, "none was presented");
}

void verify_chain(const struct trust *trust, const struct cert *leaf, const struct cert_list *untrusted, time_t now,
                  struct trace *trace, struct verify_report *report_out) {
    struct judgement question = {.now = now, .trace = trace, .leaf = leaf, .untrusted = untrusted};
    if (leaf == NULL)
        judge_nothing(now, trace, report_out);
    else
        judge_bundles(trust, &question, NULL, report_out);
}

void verify_chain_cached(struct verify_cache *cache, const struct trust *trust, const struct cert *leaf,
                         const struct cert_list *untrusted, time_t now, struct verify_report *report_out) {
    struct judgement question = {.now = now, .leaf = leaf, .untrusted = untrusted};
    if (leaf == NULL)
        judge_nothing(now, NULL, report_out);
    else
        judge_bundles(trust, &question, cache, report_out);
}

void verify_none(struct verify_report *report_out) {
    report_init(report_out, 0);
    report_out->reason = REASON_CERTIFICATE_MISSING;
    report_out->faults = FAULT_BIT(CERTIFICATE_MISSING);
    (void)snprintf(report_out->detail, sizeof(report_out->detail), "%s", reason_sentence(REASON_CERTIFICATE_MISSING));
    (void)snprintf(report_out->verified_text, sizeof(report_out->verified_text), "NONE");
}

void verify_report_fini(struct verify_report *report) { cert_list_fini(&report->chain); }

bool verify_is_current(const struct verify_report *report, time_t now) {
    if (report->reason == REASON_CERTIFICATE_MISSING)
        return true;
    return now >= report->judged_at && (report->changes_at == 0 || now < report->changes_at);
}
