#include "policy_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/testpki.h"

static struct arena *arena(void) {
    static struct arena *lasting;
    if (!lasting)
        lasting = arena_new(16 * 1024);
    return lasting;
}

/* ---- policies ---- */

static enum conf_rule_kind kind_of(struct slice name) {
    for (int kind = 0; kind <= CONF_RULE_CERTIFICATE_POLICY; kind++) {
        if (slice_eq_str(name, conf_rule_name((enum conf_rule_kind)kind)))
            return (enum conf_rule_kind)kind;
    }
    ck_abort_msg("no rule " SLICE_FMT, SLICE_ARG(name));
}

static struct conf_text text_of(struct slice s) { return (struct conf_text){.text = arena_str(arena(), s)}; }

static struct conf_rule parse_rule(struct slice text) {
    size_t at = 0;
    while (at < text.len && !strchr("=~^", text.ptr[at]))
        at++;
    struct conf_rule rule = {.kind = kind_of(slice_first(text, at))};
    if (at == text.len)
        return rule;
    struct slice values = slice_after(text, at + 1), value;
    rule.form = text.ptr[at] == '~'   ? CONF_MATCH_WILDCARD
                : text.ptr[at] == '^' ? CONF_MATCH_IGNORE_CASE
                                      : CONF_MATCH_EXACT;
    rule.values.items = ARENA_ARRAY(arena(), struct conf_text, values.len + 1);
    while (values.ptr) {
        values = slice_cut(values, ',', &value);
        rule.values.items[rule.values.count++] = text_of(value);
    }
    if (rule.values.count > 1)
        rule.form = CONF_MATCH_ANY_OF;
    return rule;
}

static conf_rules parse_rules(const char *text) {
    conf_rules rules = {NULL, 0};
    struct slice rest = slice_of(text), piece;
    rules.items = ARENA_ARRAY(arena(), struct conf_rule, rest.len + 1);
    while (rest.ptr) {
        rest = slice_cut(rest, '|', &piece);
        rules.items[rules.count++] = parse_rule(slice_trim(piece));
    }
    return rules;
}

static void fill_conf(const struct set_plan *plan, struct conf *conf, struct conf_application *application) {
    application->name.text = "telemetry";
    application->policies.items = (void *)ARENA_ARRAY(arena(), struct conf_policy, PLAN_MAX);
    for (size_t i = 0; i < PLAN_MAX && plan->policies[i].name; i++) {
        const struct policy_plan *from = &plan->policies[i];
        application->policies.items[application->policies.count++] =
            (struct conf_policy){.name.text = from->name,
                                 .decision = from->decision,
                                 .include = parse_rules(from->include),
                                 .require = parse_rules(from->require),
                                 .exclude = parse_rules(from->exclude),
                                 .report_only = from->is_report_only};
    }
    conf->groups.items = (void *)ARENA_ARRAY(arena(), struct conf_group, PLAN_MAX);
    for (size_t i = 0; i < PLAN_MAX && plan->groups[i].name; i++) {
        const struct group_plan *from = &plan->groups[i];
        conf->groups.items[conf->groups.count++] = (struct conf_group){.name.text = from->name,
                                                                       .include = parse_rules(from->include),
                                                                       .require = parse_rules(from->require),
                                                                       .exclude = parse_rules(from->exclude)};
    }
}

struct policy_set *plan_compile(const struct set_plan *plan, struct err *err) {
    struct conf conf = {.file = "test"};
    struct conf_application application = {.service_auth_401_redirect = false};
    fill_conf(plan, &conf, &application);
    return policy_set_new(&application, &conf, arena(), err);
}

struct policy_set *plan_set(const struct set_plan *plan) {
    struct err err;
    struct policy_set *set = plan_compile(plan, &err);
    ck_assert_msg(set != NULL, "%s", err.text);
    return set;
}

/* ---- facts ---- */

/* Two bundles, "devices" and "fleet", each with a CA of its own. */
static const struct trust *two_bundles(void) {
    static struct trust *trust;
    if (trust)
        return trust;
    struct trust_bundle bundles[2] = {{.name = "devices"}, {.name = "fleet"}};
    for (int i = 0; i < 2; i++) {
        struct testpki root = testpki_root(bundles[i].name);
        cert_list_add(&bundles[i].certs, root.cert);
        testpki_free(&root);
    }
    struct err err;
    trust = trust_new(bundles, 2, &err);
    ck_assert_msg(trust != NULL, "%s", err.text);
    for (int i = 0; i < 2; i++)
        cert_list_fini(&bundles[i].certs);
    return trust;
}

struct addr rig_addr(const char *ip) {
    struct err err;
    struct addr addr;
    const char *text = arena_printf(arena(), strchr(ip, ':') ? "[%s]:4711" : "%s:4711", ip);
    ck_assert_msg(addr_parse(slice_of(text), &addr, &err) == 0, "%s", err.text);
    return addr;
}

static struct texts one_text(const char *text) {
    struct slice *item = ARENA_NEW(arena(), struct slice);
    *item = slice_of(text);
    return (struct texts){item, 1};
}

struct identity *rig_identity(void) {
    struct identity *identity = ARENA_NEW(arena(), struct identity);
    *identity = (struct identity){
        .common_name = SLICE("sensor-1"),
        .issuer_common_name = SLICE("Devices CA"),
        .serial = SLICE("0A1B"),
        .serial_bytes = SLICE("\x0a\x1b"),
        .fingerprint_sha256 = SLICE("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"),
        .issuer_ski = SLICE("A5AC5542"),
        .organization = one_text("Example"),
        .organizational_unit = one_text("Lab"),
        .san_dns = one_text("sensor-1.lab"),
        .san_uri = one_text("spiffe://example.test/sensor/1"),
        .san_email = one_text("sensor@example.test"),
        .san_ip = one_text("2001:db8::7"),
        .extended_key_usage = one_text("1.3.6.1.5.5.7.3.2"),
        .certificate_policy = one_text("1.3.6.1.4.1.99999.1"),
    };
    return identity;
}

static struct facts facts_with(enum reason reason, uint64_t bundles, bool has_certificate) {
    struct verify_report *report = ARENA_NEW(arena(), struct verify_report);
    struct addr *client = ARENA_NEW(arena(), struct addr);
    report->reason = reason;
    report->bundles = bundles;
    snprintf(report->detail, sizeof report->detail, "%s", reason_sentence(reason));
    *client = rig_addr("192.0.2.7");
    return (struct facts){.identity = has_certificate ? rig_identity() : NULL,
                          .report = report,
                          .trust = two_bundles(),
                          .client = client,
                          .method = SLICE("GET")};
}

struct facts facts_of(enum client_kind kind) {
    switch (kind) {
    case NOBODY:
        return facts_with(REASON_CERTIFICATE_MISSING, 0, false);
    case GOOD:
        return facts_with(REASON_NONE, 1, true);
    case FLEET:
        return facts_with(REASON_NONE, 2, true);
    case EXPIRED:
        return facts_with(REASON_CERTIFICATE_EXPIRED, 0, true);
    case REVOKED:
        return facts_with(REASON_CERTIFICATE_REVOKED, 0, true);
    case UNTRUSTED:
        break;
    }
    return facts_with(REASON_CERTIFICATE_UNTRUSTED, 0, true);
}

struct facts facts_without_bundle(void) {
    struct facts facts = facts_of(NOBODY);
    facts.trust = NULL;
    return facts;
}
