/*
 * rule: one rule of the configuration to one predicate. Called by compile. Values are brought into the form in which
 * the facts have them (pki/identity.h): hex without colons and in the right case, addresses in canonical form, names of
 * key usages as OIDs, serial numbers as bytes. A value that could never match is refused here, not ignored.
 */
#include "predicate_priv.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/encode.h"
#include "http/h1_parse.h"

/* ---- values ---- */

/* Without colons, in one case; empty when another character than a hex digit (or, in a wildcard, a star) is there. */
static struct slice normalise_hex(struct slice text, bool is_upper, bool may_star, struct arena *arena) {
    char *out = arena_bytes(arena, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.ptr[i]);
        if (c == ':')
            continue;
        bool is_letter = c >= 'a' && c <= 'f';
        if (!is_letter && !(c >= '0' && c <= '9') && !(may_star && c == '*'))
            return SLICE_NONE;
        out[len++] = is_upper && is_letter ? (char)(c - 32) : c;
    }
    return slice_make(out, len);
}

/* Digits and dots, as OIDs are written, with at least one dot; in a wildcard also stars. */
static bool is_oid(struct slice text, bool may_star) {
    bool after_dot = true, has_dot = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '.' && after_dot)
            return false;
        if (c != '.' && !(c >= '0' && c <= '9') && !(may_star && c == '*'))
            return false;
        after_dot = c == '.';
        has_dot |= after_dot || c == '*';
    }
    return has_dot && !after_dot;
}

static struct slice normalise_address(struct slice text, struct arena *arena) {
    char name[INET6_ADDRSTRLEN];
    unsigned char bytes[16];
    if (text.len == 0 || text.len >= sizeof name)
        return SLICE_NONE;
    memcpy(name, text.ptr, text.len);
    name[text.len] = '\0';
    int family = strchr(name, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(family, name, bytes) != 1 || !inet_ntop(family, bytes, name, sizeof name))
        return SLICE_NONE;
    return arena_dup(arena, slice_of(name));
}

/* A serial number as identity has it: big-endian bytes without leading zeros, a zero as one byte. */
static struct slice normalise_serial(struct slice text, struct arena *arena) {
    struct slice hex = normalise_hex(text, false, false, arena);
    if (hex.len == 0)
        return SLICE_NONE;
    while (hex.len > 1 && hex.ptr[0] == '0')
        hex = slice_after(hex, 1);
    struct slice even = hex;
    if (hex.len % 2)
        even = slice_of(arena_printf(arena, "0" SLICE_FMT, SLICE_ARG(hex)));
    char *bytes = arena_bytes(arena, even.len / 2);
    bool is_hex = hex_decode(even, (uint8_t *)bytes);
    return is_hex ? slice_make(bytes, even.len / 2) : SLICE_NONE;
}

static struct slice normalise_key_usage(struct slice text, bool may_star) {
    if (slice_eq_str(text, "client_auth"))
        return SLICE("1.3.6.1.5.5.7.3.2");
    if (slice_eq_str(text, "server_auth"))
        return SLICE("1.3.6.1.5.5.7.3.1");
    return is_oid(text, may_star) ? text : SLICE_NONE;
}

/* The text in the form of the facts; empty with err when it can match nothing. */
static struct slice normalise(const struct conf_rule *rule, struct slice text, struct arena *arena, struct err *err) {
    bool is_wildcard = rule->form == CONF_MATCH_WILDCARD;
    struct slice out = arena_dup(arena, text);
    const char *expected = "a text that is not empty";
    switch (rule->kind) {
    case CONF_RULE_FINGERPRINT_SHA256:
        expected = "64 hex digits";
        out = normalise_hex(text, false, is_wildcard, arena);
        if (out.len != 64 && !is_wildcard)
            out = SLICE_NONE;
        break;
    case CONF_RULE_ISSUER_SKI:
        expected = "hex digits";
        out = normalise_hex(text, true, is_wildcard, arena);
        break;
    case CONF_RULE_SERIAL_NUMBER:
        expected = "hex digits";
        out = normalise_serial(text, arena);
        break;
    case CONF_RULE_SAN_IP:
        expected = "an IP address";
        if (!is_wildcard)
            out = normalise_address(text, arena);
        break;
    case CONF_RULE_EXTENDED_KEY_USAGE:
        expected = "client_auth, server_auth or a dotted OID";
        out = normalise_key_usage(out, is_wildcard);
        break;
    case CONF_RULE_CERTIFICATE_POLICY:
        expected = "a dotted OID";
        if (!is_oid(text, is_wildcard))
            out = SLICE_NONE;
        break;
    case CONF_RULE_METHOD:
        expected = "a method as it is sent, such as GET";
        if (h1_method_fault(text))
            out = SLICE_NONE;
        break;
    default:
        break;
    }
    if (out.len == 0)
        err_set(err, "expected %s, not \"" SLICE_FMT "\"", expected, SLICE_ARG(text));
    return out;
}

/* ---- predicates ---- */

static int compare_texts(const void *a, const void *b) {
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static int compile_wanted(const struct conf_rule *rule, struct predicate *predicate, struct arena *arena,
                          struct err *err) {
    struct texts *wanted = &predicate->wanted;
    wanted->items = ARENA_ARRAY(arena, struct slice, rule->values.count);
    for (size_t i = 0; i < rule->values.count; i++) {
        wanted->items[i] = normalise(rule, slice_of(rule->values.items[i].text), arena, err);
        if (wanted->items[i].len == 0)
            return -1;
        wanted->count++;
    }
    if (predicate->form == TEXT_ONE_OF)
        qsort(wanted->items, wanted->count, sizeof *wanted->items, compare_texts);
    return 0;
}

static int compile_blocks(const struct conf_rule *rule, struct predicate *predicate, struct arena *arena,
                          struct err *err) {
    struct ip_set *set = &predicate->blocks;
    set->blocks = ARENA_ARRAY(arena, struct cidr, rule->values.count);
    for (size_t i = 0; i < rule->values.count; i++) {
        if (cidr_parse(slice_of(rule->values.items[i].text), &set->blocks[i], err) < 0)
            return -1;
        set->count++;
    }
    ip_set_seal(set);
    return 0;
}

static enum predicate_op op_of(enum conf_rule_kind kind) {
    switch (kind) {
    case CONF_RULE_CERTIFICATE:
        return PREDICATE_CERTIFICATE;
    case CONF_RULE_EVERYONE:
        return PREDICATE_EVERYONE;
    case CONF_RULE_IP:
        return PREDICATE_IP;
    case CONF_RULE_METHOD:
        return PREDICATE_METHOD;
    case CONF_RULE_CA_BUNDLE:
        return PREDICATE_BUNDLE;
    case CONF_RULE_GROUP: /* compile's business */
        return PREDICATE_ALL;
    default:
        return PREDICATE_TEXT;
    }
}

static int compile_form(const struct conf_rule *rule, struct predicate *predicate, struct err *err) {
    bool is_name = predicate->op == PREDICATE_TEXT && rule->kind != CONF_RULE_SERIAL_NUMBER;
    switch (rule->form) {
    case CONF_MATCH_EXACT:
    case CONF_MATCH_ANY_OF:
        predicate->form = TEXT_ONE_OF;
        return 0;
    case CONF_MATCH_WILDCARD:
        predicate->form = TEXT_WILDCARD;
        return is_name ? 0 : err_set(err, "takes no wildcard");
    case CONF_MATCH_IGNORE_CASE:
        predicate->form = TEXT_IGNORE_CASE;
        return is_name ? 0 : err_set(err, "takes no ignore_case");
    case CONF_MATCH_REGEX:
        break;
    }
    return err_set(err, "regex is not supported yet");
}

struct predicate *rule_compile(const struct conf_rule *rule, struct arena *arena, struct err *err) {
    struct predicate *predicate = ARENA_NEW(arena, struct predicate);
    *predicate =
        (struct predicate){.op = op_of(rule->kind), .name = conf_rule_name(rule->kind), .rules = 1, .kind = rule->kind};
    predicate->shown.items = ARENA_ARRAY(arena, struct slice, rule->values.count);
    for (size_t i = 0; i < rule->values.count; i++)
        predicate->shown.items[i] = arena_dup(arena, slice_of(rule->values.items[i].text));
    predicate->shown.count = rule->values.count;
    if (predicate->op == PREDICATE_EVERYONE || predicate->op == PREDICATE_CERTIFICATE)
        return predicate;
    if (rule->values.count == 0) {
        err_set(err, "has no value");
        return NULL;
    }
    if (compile_form(rule, predicate, err) < 0)
        return NULL;
    int status = predicate->op == PREDICATE_IP ? compile_blocks(rule, predicate, arena, err)
                                               : compile_wanted(rule, predicate, arena, err);
    return status < 0 ? NULL : predicate;
}
