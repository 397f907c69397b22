/*
 * text: the certificate's texts against those a rule wants. Typed: a rule for DNS names sees DNS names only (sec-20).
 * Exact comparison is byte for byte; in the wildcard form "*" stands for any run of characters, dots too. A star in the
 * certificate is a character.
 */
#include "predicate_priv.h"

#include <stdlib.h>

#include "base/glob.h"

static struct texts one(struct slice text, struct slice *one_out) {
    *one_out = text;
    return (struct texts){one_out, text.ptr && text.len ? 1 : 0};
}

/* identity leaves the bytes of a negative serial empty, and possibly those of zero; only for zero is the text all
 * zeros. */
static struct slice serial_bytes(const struct identity *identity) {
    if (identity->serial_bytes.len || identity->serial.len == 0)
        return identity->serial_bytes;
    for (size_t i = 0; i < identity->serial.len; i++) {
        if (identity->serial.ptr[i] != '0')
            return SLICE_NONE;
    }
    return SLICE("\0");
}

struct texts identity_texts(const struct identity *identity, enum conf_rule_kind kind, struct slice *one_out) {
    switch (kind) {
    case CONF_RULE_COMMON_NAME:
        return one(identity->common_name, one_out);
    case CONF_RULE_ISSUER_COMMON_NAME:
        return one(identity->issuer_common_name, one_out);
    case CONF_RULE_ISSUER_SKI:
        return one(identity->issuer_ski, one_out);
    case CONF_RULE_FINGERPRINT_SHA256:
        return one(identity->fingerprint_sha256, one_out);
    case CONF_RULE_SERIAL_NUMBER:
        return one(serial_bytes(identity), one_out);
    case CONF_RULE_ORGANIZATION:
        return identity->organization;
    case CONF_RULE_ORGANIZATIONAL_UNIT:
        return identity->organizational_unit;
    case CONF_RULE_SAN_DNS:
        return identity->san_dns;
    case CONF_RULE_SAN_URI:
        return identity->san_uri;
    case CONF_RULE_SAN_EMAIL:
        return identity->san_email;
    case CONF_RULE_SAN_IP:
        return identity->san_ip;
    case CONF_RULE_EXTENDED_KEY_USAGE:
        return identity->extended_key_usage;
    case CONF_RULE_CERTIFICATE_POLICY:
        return identity->certificate_policy;
    default:
        return (struct texts){NULL, 0};
    }
}

static int compare_texts(const void *a, const void *b) {
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static bool is_wanted(const struct predicate *predicate, struct slice text) {
    const struct texts *wanted = &predicate->wanted;
    if (predicate->form == TEXT_ONE_OF)
        return bsearch(&text, wanted->items, wanted->count, sizeof *wanted->items, compare_texts) != NULL;
    for (size_t i = 0; i < wanted->count; i++) {
        if (predicate->form == TEXT_WILDCARD ? glob_match(wanted->items[i], text)
                                             : slice_eq_nocase(wanted->items[i], text))
            return true;
    }
    return false;
}

bool text_matches(const struct predicate *predicate, const struct identity *identity) {
    struct slice single;
    struct texts texts = identity_texts(identity, predicate->kind, &single);
    for (size_t i = 0; i < texts.count; i++) {
        if (is_wanted(predicate, texts.items[i]))
            return true;
    }
    return false;
}
