/*
 * verify_rules: what RFC 5280 asks of the certificates of a verified path and OpenSSL 3.0 does not check.
 *
 * Always: a wildcard dNSName that could stand for a name excluded above it is excluded (sec-27; CVE-2025-61727); names
 * under constraints must be of a form that can be judged; nameConstraints stand on CAs only (4.2.1.10).
 * With `strict`: serial numbers positive and of at most 20 bytes (4.1.2.2); nameConstraints critical, their DNS names
 * plain (4.2.1.10); policyConstraints critical (4.2.1.11); DNS and mail names in subjectAltName well formed
 * (4.2.1.6).
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "verify_priv.h"

#define SERIAL_MAX 20
#define COMPARISONS_MAX (1 << 20) /* as many as OpenSSL makes for name constraints */

static struct slice string_slice(const ASN1_STRING *string) {
    return slice_make(ASN1_STRING_get0_data(string), (size_t)ASN1_STRING_length(string));
}

static void refuse(struct judgement *judgement, int depth, int error, const char *what) {
    char who[WHO_SIZE];
    judgement_fault(judgement, REASON_CERTIFICATE_INVALID, depth, error, "%s %s",
                    certificate_at(judgement->report->chain.items[depth], depth, who), what);
}

/* --- names under constraints ---------------------------------------------------------------------------------- */

/* Could "*.base" stand for a name in the subtree? The other way round, OpenSSL has seen to it. */
static bool is_within_wildcard(struct slice wildcard, struct slice subtree) {
    struct slice suffix = slice_after(wildcard, 1); /* ".base" */
    if (subtree.len > 0 && subtree.ptr[0] == '.')
        subtree = slice_after(subtree, 1);
    return subtree.len > suffix.len && slice_eq_nocase(slice_after(subtree, subtree.len - suffix.len), suffix);
}

static bool is_excluded(const NAME_CONSTRAINTS *constraints, struct slice wildcard) {
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(constraints->excludedSubtrees); i++) {
        const GENERAL_NAME *base = sk_GENERAL_SUBTREE_value(constraints->excludedSubtrees, i)->base;
        if (base->type == GEN_DNS && is_within_wildcard(wildcard, string_slice(base->d.dNSName)))
            return true;
    }
    return false;
}

static bool has_excluded_wildcard(const GENERAL_NAMES *names, const NAME_CONSTRAINTS *constraints) {
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS && slice_starts_with(string_slice(name->d.dNSName), SLICE("*.")) &&
            is_excluded(constraints, string_slice(name->d.dNSName)))
            return true;
    }
    return false;
}

/* No empty label; one @, with something on either side: what constraints are compared with. */
static bool is_plain(const GENERAL_NAME *name) {
    struct slice text = name->type == GEN_DNS     ? string_slice(name->d.dNSName)
                        : name->type == GEN_EMAIL ? string_slice(name->d.rfc822Name)
                                                  : SLICE("a@a");
    size_t at = slice_index(text, '@');
    if (name->type == GEN_DNS)
        return text.len > 0 && text.ptr[0] != '.' && text.ptr[text.len - 1] != '.' &&
               memmem(text.ptr, text.len, "..", 2) == NULL;
    return at > 0 && at + 1 < text.len && slice_index(slice_after(text, at + 1), '@') == text.len - at - 1;
}

static bool has_plain_names(const GENERAL_NAMES *names) {
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
        if (!is_plain(sk_GENERAL_NAME_value(names, i)))
            return false;
    return true;
}

static void check_constrained_names(struct judgement *judgement) {
    const struct cert_list *chain = &judgement->report->chain;
    GENERAL_NAMES *names = X509_get_ext_d2i(cert_x509(chain->items[0]), NID_subject_alt_name, NULL, NULL);
    for (size_t depth = 1; names != NULL && depth < chain->count; depth++) {
        NAME_CONSTRAINTS *constraints =
            X509_get_ext_d2i(cert_x509(chain->items[depth]), NID_name_constraints, NULL, NULL);
        if (constraints == NULL)
            continue;
        int64_t work = (int64_t)sk_GENERAL_NAME_num(names) * sk_GENERAL_SUBTREE_num(constraints->excludedSubtrees);
        if (work > COMPARISONS_MAX || has_excluded_wildcard(names, constraints))
            refuse(judgement, 0, X509_V_ERR_EXCLUDED_VIOLATION, "has a wildcard name that covers an excluded one");
        if (!has_plain_names(names))
            refuse(judgement, 0, X509_V_ERR_UNSUPPORTED_NAME_SYNTAX,
                   "has a name under constraints that is not well formed");
        NAME_CONSTRAINTS_free(constraints);
    }
    GENERAL_NAMES_free(names);
}

/* --- strict --------------------------------------------------------------------------------------------------- */

static bool is_present_uncritical(X509 *x509, int nid) {
    int index = X509_get_ext_by_NID(x509, nid, -1);
    return index >= 0 && !X509_EXTENSION_get_critical(X509_get_ext(x509, index));
}

static bool is_strict_serial(const struct cert *cert) {
    struct slice serial = cert_serial(cert);
    bool is_zero = serial.len == 1 && serial.ptr[0] == 0;
    return serial.len > 0 && serial.len <= SERIAL_MAX && !is_zero && (serial.ptr[0] & 0x80) == 0;
}

/* Letters, digits, hyphens in labels; not an IPv4 address; a wildcard may stand for the first label. */
static bool is_strict_dns(struct slice name) {
    bool has_letter = false;
    if (slice_starts_with(name, SLICE("*.")))
        name = slice_after(name, 2);
    if (name.len == 0 || name.len > 253)
        return false;
    for (struct slice rest = name, label; rest.ptr != NULL;) {
        rest = slice_cut(rest, '.', &label);
        if (label.len == 0 || label.len > 63 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
            return false;
        for (size_t i = 0; i < label.len; i++) {
            char c = ascii_lower(label.ptr[i]);
            has_letter |= c >= 'a' && c <= 'z';
            if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-')
                return false;
        }
    }
    return has_letter;
}

static bool is_strict_mail(struct slice name) {
    size_t at = slice_index(name, '@');
    struct slice host = slice_after(name, at + 1);
    return at > 0 && at < name.len && host.len > 0 && slice_index(host, '@') == host.len;
}

static bool has_strict_names(X509 *x509) {
    GENERAL_NAMES *names = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
    bool strict = true;
    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names) && strict; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS)
            strict = is_strict_dns(string_slice(name->d.dNSName));
        else if (name->type == GEN_EMAIL)
            strict = is_strict_mail(string_slice(name->d.rfc822Name));
    }
    GENERAL_NAMES_free(names);
    return strict;
}

static bool has_plain_subtrees(const STACK_OF(GENERAL_SUBTREE) * subtrees) {
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(subtrees); i++) {
        const GENERAL_NAME *base = sk_GENERAL_SUBTREE_value(subtrees, i)->base;
        if (base->type == GEN_DNS && slice_starts_with(string_slice(base->d.dNSName), SLICE(".")))
            return false;
    }
    return true;
}

static void check_constraints(struct judgement *judgement, int depth) {
    const struct cert *cert = judgement->report->chain.items[depth];
    X509 *x509 = cert_x509(cert);
    NAME_CONSTRAINTS *constraints = X509_get_ext_d2i(x509, NID_name_constraints, NULL, NULL);
    if (constraints == NULL)
        return;
    if (is_present_uncritical(x509, NID_name_constraints))
        refuse(judgement, depth, X509_V_ERR_INVALID_EXTENSION, "has nameConstraints that are not critical");
    if (!has_plain_subtrees(constraints->permittedSubtrees) || !has_plain_subtrees(constraints->excludedSubtrees))
        refuse(judgement, depth, X509_V_ERR_INVALID_EXTENSION, "has a DNS name constraint with a leading period");
    NAME_CONSTRAINTS_free(constraints);
}

static void check_strictly(struct judgement *judgement, int depth) {
    const struct cert *cert = judgement->report->chain.items[depth];
    if (!is_strict_serial(cert))
        refuse(judgement, depth, X509_V_ERR_UNSPECIFIED,
               "has a serial number that is not positive, or longer than 20 bytes");
    if (is_present_uncritical(cert_x509(cert), NID_policy_constraints))
        refuse(judgement, depth, X509_V_ERR_INVALID_EXTENSION, "has policyConstraints that are not critical");
    if (!has_strict_names(cert_x509(cert)))
        refuse(judgement, depth, X509_V_ERR_INVALID_EXTENSION, "has an alternative name that is not well formed");
    check_constraints(judgement, depth);
}

static void check_leaf(struct judgement *judgement) {
    const struct cert *leaf = judgement->report->chain.items[0];
    if (!cert_is_ca(leaf) && X509_get_ext_by_NID(cert_x509(leaf), NID_name_constraints, -1) >= 0)
        refuse(judgement, 0, X509_V_ERR_INVALID_EXTENSION, "has nameConstraints and is no CA");
}

void judgement_check_rules(struct judgement *judgement) {
    check_leaf(judgement);
    check_constrained_names(judgement);
    for (size_t depth = 0; judgement->bundle->options.strict && depth < judgement->report->chain.count; depth++)
        check_strictly(judgement, (int)depth);
    ERR_clear_error();
}
