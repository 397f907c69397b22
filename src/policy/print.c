/*
 * print: predicates as text: one line a rule for `check --print`, and for the trace what a rule asked and what the
 * facts were. What comes out of certificates is printed as it is; who shows it to a person makes it printable
 * (trace_print).
 */
#include "predicate_priv.h"

static void print_quoted(struct texts texts, struct sbuf *out) {
    for (size_t i = 0; i < texts.count; i++) {
        sbuf_append_str(out, i ? ", \"" : "\"");
        sbuf_append(out, texts.items[i]);
        sbuf_append_char(out, '"');
    }
}

static void print_bare(struct texts texts, struct sbuf *out) {
    for (size_t i = 0; i < texts.count; i++) {
        if (i)
            sbuf_append_str(out, ", ");
        sbuf_append(out, texts.items[i]);
    }
}

void predicate_print_wanted(const struct predicate *predicate, struct sbuf *out) {
    if (predicate->shown.count > 1)
        sbuf_append_str(out, "one of ");
    if (predicate->op == PREDICATE_IP || predicate->op == PREDICATE_METHOD)
        print_bare(predicate->shown, out);
    else
        print_quoted(predicate->shown, out);
    if (predicate->op == PREDICATE_TEXT && predicate->form == TEXT_WILDCARD)
        sbuf_append_str(out, " (wildcard)");
    if (predicate->op == PREDICATE_TEXT && predicate->form == TEXT_IGNORE_CASE)
        sbuf_append_str(out, " (ignoring case)");
}

/* ---- what was asked ---- */

static const char *certificate_fault(const struct facts *facts) {
    if (facts->report->reason != REASON_NONE && facts->report->detail[0])
        return facts->report->detail;
    if (facts->report->reason != REASON_NONE)
        return reason_sentence(facts->report->reason);
    return reason_sentence(facts->identity ? REASON_CERTIFICATE_UNTRUSTED : REASON_CERTIFICATE_MISSING);
}

static void print_texts_of(const struct predicate *predicate, const struct identity *identity, struct sbuf *out) {
    struct slice single;
    struct texts texts = identity_texts(identity, predicate->kind, &single);
    if (predicate->kind == CONF_RULE_SERIAL_NUMBER)
        single = identity->serial; /* digits are for people, bytes for comparison */
    bool must_be_one = predicate->kind == CONF_RULE_COMMON_NAME || predicate->kind == CONF_RULE_ISSUER_COMMON_NAME;
    if (texts.count == 0) {
        sbuf_append_str(out, must_be_one ? " is not there exactly once" : " is not there");
        return;
    }
    sbuf_append_str(out, " is ");
    print_quoted(texts, out);
}

static void print_bundles_of(const struct facts *facts, struct sbuf *out) {
    const char *before = " is \"";
    for (size_t i = 0; i < trust_bundle_count(facts->trust); i++) {
        if (facts->report->bundles >> i & 1) {
            sbuf_append_str(out, before);
            sbuf_append_str(out, trust_bundle_name(facts->trust, i));
            sbuf_append_char(out, '"');
            before = ", \"";
        }
    }
}

static void print_client_of(const struct facts *facts, struct sbuf *out) {
    char text[ADDR_TEXT_SIZE];
    sbuf_append_str(out, " is ");
    sbuf_append_str(out, facts->client ? addr_format_host(facts->client, text) : "unknown");
}

/* The facts' side, after the rule's name. */
static void print_fact(const struct predicate *predicate, const struct facts *facts, struct sbuf *out) {
    if (predicate->op == PREDICATE_IP) {
        print_client_of(facts, out);
    } else if (predicate->op == PREDICATE_METHOD) {
        sbuf_append_str(out, " is ");
        sbuf_append(out, facts->method);
    } else if (!facts_are_verified(facts)) {
        sbuf_printf(out, "%s: %s", predicate->op == PREDICATE_CERTIFICATE ? " is not verified" : "",
                    certificate_fault(facts));
    } else if (predicate->op == PREDICATE_CERTIFICATE) {
        sbuf_append_str(out, " is verified");
    } else if (predicate->op == PREDICATE_BUNDLE) {
        print_bundles_of(facts, out);
    } else {
        print_texts_of(predicate, facts->identity, out);
    }
}

void predicate_print_asked(const struct predicate *predicate, const struct facts *facts, struct sbuf *out) {
    sbuf_append_str(out, predicate->name);
    if (predicate->op == PREDICATE_EVERYONE)
        return;
    print_fact(predicate, facts, out);
    if (predicate->shown.count) {
        sbuf_append_str(out, ", rule wants ");
        predicate_print_wanted(predicate, out);
    }
}

/* ---- check --print ---- */

static void print_predicate(const struct predicate *predicate, const char *role, int indent, struct sbuf *out) {
    if (predicate->role)
        role = predicate->role;
    if (predicate->name) {
        sbuf_printf(out, "%*s%s %s", indent, "", role, predicate->name);
        if (predicate->shown.count) {
            sbuf_append_char(out, ' ');
            predicate_print_wanted(predicate, out);
        }
        sbuf_append_char(out, '\n');
        indent += 2;
    }
    for (size_t i = 0; i < predicate->count; i++)
        print_predicate(predicate->items[i], role, indent, out);
}

void policy_set_print(const struct policy_set *set, int indent, struct sbuf *out) {
    for (size_t i = 0; i < set->count; i++) {
        const struct policy *policy = &set->policies[i];
        sbuf_printf(out, "%*spolicy \"%s\": %s%s\n", indent, "", policy->name, conf_decision_name(policy->decision),
                    policy->is_report_only ? ", report only" : "");
        print_predicate(policy->predicate, "include", indent + 2, out);
    }
}
