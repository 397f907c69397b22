/* Policies as a whole: order, include/require/exclude, groups, reasons, report_only. */
#include "policy_rig.h"

#include <stdlib.h>

static struct verdict judge(const struct set_plan *plan, const struct facts *facts) {
    struct verdict verdict, again;
    struct trace trace;
    const struct policy_set *set = plan_set(plan);
    policy_eval(set, facts, NULL, &verdict, NULL);
    trace_init(&trace); /* looking on changes nothing */
    policy_eval(set, facts, &trace, &again, NULL);
    trace_fini(&trace);
    ck_assert_int_eq(verdict.effect, again.effect);
    ck_assert_int_eq(verdict.reason, again.reason);
    ck_assert_ptr_eq(verdict.policy, again.policy);
    ck_assert_ptr_eq(verdict.report_only, again.report_only);
    ck_assert_str_eq(verdict.application, "telemetry");
    return verdict;
}

/* Facts 2.5: bypass and service_auth in file order, then allow and block in file order; the first match decides; none:
 * denied. */
START_TEST(order_of_evaluation) {
    static const struct {
        struct set_plan plan;
        const char *policy;
        enum effect effect;
        const char *decision;
    } rows[] = {
        {{.policies = {{"a", CONF_ALLOW, "everyone", NULL, NULL, false},
                       {"s", CONF_SERVICE_AUTH, "everyone", NULL, NULL, false}}},
         "s",
         EFFECT_ALLOW,
         "service_auth"},
        {{.policies = {{"b", CONF_BLOCK, "everyone", NULL, NULL, false},
                       {"s", CONF_SERVICE_AUTH, "everyone", NULL, NULL, false}}},
         "s",
         EFFECT_ALLOW,
         "service_auth"},
        {{.policies = {{"b", CONF_BLOCK, "everyone", NULL, NULL, false},
                       {"y", CONF_BYPASS, "everyone", NULL, NULL, false}}},
         "y",
         EFFECT_BYPASS,
         "bypass"},
        {{.policies = {{"s", CONF_SERVICE_AUTH, "everyone", NULL, NULL, false},
                       {"y", CONF_BYPASS, "everyone", NULL, NULL, false}}},
         "s",
         EFFECT_ALLOW,
         "service_auth"},
        {{.policies = {{"y", CONF_BYPASS, "everyone", NULL, NULL, false},
                       {"s", CONF_SERVICE_AUTH, "everyone", NULL, NULL, false}}},
         "y",
         EFFECT_BYPASS,
         "bypass"},
        {{.policies = {{"b", CONF_BLOCK, "everyone", NULL, NULL, false},
                       {"a", CONF_ALLOW, "everyone", NULL, NULL, false}}},
         "b",
         EFFECT_DENY,
         "block"},
        {{.policies = {{"a", CONF_ALLOW, "everyone", NULL, NULL, false},
                       {"b", CONF_BLOCK, "everyone", NULL, NULL, false}}},
         "a",
         EFFECT_ALLOW,
         "allow"},
        {{.policies = {{"b", CONF_BLOCK, "ip=10.0.0.0/8", NULL, NULL, false},
                       {"a", CONF_ALLOW, "everyone", NULL, NULL, false}}},
         "a",
         EFFECT_ALLOW,
         "allow"},
        {{.policies = {{"a", CONF_ALLOW, "ip=10.0.0.0/8", NULL, NULL, false},
                       {"b", CONF_BLOCK, "everyone", NULL, NULL, false}}},
         "b",
         EFFECT_DENY,
         "block"},
        {{.policies = {{"s1", CONF_SERVICE_AUTH, "ip=10.0.0.0/8", NULL, NULL, false},
                       {"s2", CONF_SERVICE_AUTH, "everyone", NULL, NULL, false}}},
         "s2",
         EFFECT_ALLOW,
         "service_auth"},
        {{.policies = {{"s1", CONF_SERVICE_AUTH, "everyone", NULL, NULL, false},
                       {"s2", CONF_SERVICE_AUTH, "everyone", NULL, NULL, false}}},
         "s1",
         EFFECT_ALLOW,
         "service_auth"},
        {{.policies = {{"a", CONF_ALLOW, "ip=10.0.0.0/8", NULL, NULL, false}}}, NULL, EFFECT_DENY, "default"},
        {{.policies = {{NULL, CONF_ALLOW, NULL, NULL, NULL, false}}},
         NULL,
         EFFECT_DENY,
         "default"}, /* no policy at all */
    };
    const struct facts facts = facts_of(GOOD);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct verdict verdict = judge(&rows[i].plan, &facts);
        ck_assert_msg(verdict.effect == rows[i].effect, "row %zu", i);
        ck_assert_msg(!verdict.policy == !rows[i].policy, "row %zu", i);
        if (rows[i].policy)
            ck_assert_str_eq(verdict.policy, rows[i].policy);
        ck_assert_str_eq(verdict.decision, rows[i].decision);
    }
}
END_TEST

START_TEST(include_any_require_all_exclude_none) {
    static const struct {
        const char *include, *require, *exclude;
        bool allows;
    } rows[] = {
        {"everyone", NULL, NULL, true},
        {"method=POST | everyone", NULL, NULL, true},
        {"method=POST | method=PUT", NULL, NULL, false},
        {"everyone", "certificate", NULL, true},
        {"everyone", "certificate | ip=192.0.2.0/24", NULL, true},
        {"everyone", "certificate | ip=10.0.0.0/8", NULL, false},
        {"everyone", "ip=10.0.0.0/8 | certificate", NULL, false},
        {"everyone", NULL, "method=POST", true},
        {"everyone", NULL, "method=POST | method=GET", false},
        {"everyone", "certificate", "common_name=sensor-1", false},
        {"everyone", "certificate", "common_name=sensor-2", true},
        {"certificate", "ca_bundle=devices", "common_name=lost-sensor-17", true},
        {"certificate", "ca_bundle=fleet", "common_name=lost-sensor-17", false},
    };
    const struct facts facts = facts_of(GOOD);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct set_plan plan = {
            .policies = {{"p", CONF_ALLOW, rows[i].include, rows[i].require, rows[i].exclude, false}}};
        ck_assert_msg((judge(&plan, &facts).effect == EFFECT_ALLOW) == rows[i].allows, "row %zu", i);
    }
}
END_TEST

/* Product 3: the certificate's reason when a rule that needs one was asked; policy_no_match is for a good one. */
START_TEST(which_reason) {
    static const struct set_plan certificate = {
        .policies = {{"p", CONF_SERVICE_AUTH, "certificate", NULL, NULL, false}}};
    static const struct set_plan name = {.policies = {{"p", CONF_ALLOW, "common_name=other", NULL, NULL, false}}};
    static const struct set_plan address = {.policies = {{"p", CONF_ALLOW, "ip=10.0.0.0/8", NULL, NULL, false}}};
    static const struct set_plan either = {
        .policies = {{"p", CONF_ALLOW, "ip=10.0.0.0/8", NULL, NULL, false},
                     {"q", CONF_ALLOW, "certificate", "common_name=other", NULL, false}}};
    /* The address settles it before the certificate is asked for. */
    static const struct set_plan not_asked = {
        .policies = {{"p", CONF_ALLOW, "everyone", "ip=10.0.0.0/8 | certificate", NULL, false}}};
    static const struct set_plan asked_first = {
        .policies = {{"p", CONF_ALLOW, "everyone", "certificate | ip=10.0.0.0/8", NULL, false}}};
    static const struct set_plan report_only = {.policies = {{"p", CONF_ALLOW, "certificate", NULL, NULL, true},
                                                             {"q", CONF_ALLOW, "ip=10.0.0.0/8", NULL, NULL, false}}};
    static const struct set_plan block = {.policies = {{"p", CONF_ALLOW, "certificate", "method=POST", NULL, false},
                                                       {"b", CONF_BLOCK, "everyone", NULL, NULL, false}}};
    static const struct set_plan in_group = {.policies = {{"p", CONF_ALLOW, "group=g", NULL, NULL, false}},
                                             .groups = {{"g", "common_name=other", NULL, NULL}}};
    static const struct {
        const struct set_plan *plan;
        enum client_kind client;
        enum reason reason;
    } rows[] = {
        {&certificate, NOBODY, REASON_CERTIFICATE_MISSING},
        {&certificate, EXPIRED, REASON_CERTIFICATE_EXPIRED},
        {&certificate, REVOKED, REASON_CERTIFICATE_REVOKED},
        {&certificate, UNTRUSTED, REASON_CERTIFICATE_UNTRUSTED},
        {&certificate, GOOD, REASON_NONE},
        {&name, NOBODY, REASON_CERTIFICATE_MISSING},
        {&name, EXPIRED, REASON_CERTIFICATE_EXPIRED},
        {&name, GOOD, REASON_POLICY_NO_MATCH},
        {&address, NOBODY, REASON_POLICY_NO_MATCH},
        {&address, EXPIRED, REASON_POLICY_NO_MATCH},
        {&either, NOBODY, REASON_CERTIFICATE_MISSING},
        {&either, GOOD, REASON_POLICY_NO_MATCH},
        {&not_asked, NOBODY, REASON_POLICY_NO_MATCH},
        {&asked_first, NOBODY, REASON_CERTIFICATE_MISSING},
        {&asked_first, GOOD, REASON_POLICY_NO_MATCH},
        {&report_only, NOBODY, REASON_POLICY_NO_MATCH},
        {&block, GOOD, REASON_POLICY_BLOCK},
        {&block, EXPIRED, REASON_POLICY_BLOCK},
        {&in_group, EXPIRED, REASON_CERTIFICATE_EXPIRED},
        {&in_group, GOOD, REASON_POLICY_NO_MATCH},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct facts facts = facts_of(rows[i].client);
        ck_assert_msg(judge(rows[i].plan, &facts).reason == rows[i].reason, "row %zu", i);
    }
    const struct facts bare = facts_without_bundle();
    ck_assert_int_eq(judge(&certificate, &bare).reason, REASON_CERTIFICATE_MISSING);
    ck_assert_int_eq(judge(&address, &bare).reason, REASON_POLICY_NO_MATCH);
}
END_TEST

/* The sharp edge of policy.h: a certificate rule in exclude or block does not catch who shows no good certificate. */
START_TEST(exclude_and_block_by_certificate_keep_out_only_good_certificates) {
    static const struct set_plan edge = {
        .policies = {{"lost", CONF_BLOCK, "common_name=sensor-1", NULL, NULL, false},
                     {"all", CONF_ALLOW, "everyone", NULL, "common_name=sensor-1", false}}};
    static const struct set_plan safe = {
        .policies = {{"lost", CONF_BLOCK, "common_name=sensor-1", NULL, NULL, false},
                     {"all", CONF_ALLOW, "certificate", NULL, "common_name=sensor-1", false}}};
    struct facts good = facts_of(GOOD), revoked = facts_of(REVOKED), nobody = facts_of(NOBODY);
    ck_assert_int_eq(judge(&edge, &good).reason, REASON_POLICY_BLOCK);
    ck_assert_int_eq(judge(&edge, &revoked).effect, EFFECT_ALLOW);
    ck_assert_int_eq(judge(&edge, &nobody).effect, EFFECT_ALLOW);
    ck_assert_int_eq(judge(&safe, &good).reason, REASON_POLICY_BLOCK);
    ck_assert_int_eq(judge(&safe, &revoked).reason, REASON_CERTIFICATE_REVOKED);
    ck_assert_int_eq(judge(&safe, &nobody).reason, REASON_CERTIFICATE_MISSING);
}
END_TEST

START_TEST(report_only_policies_never_decide) {
    static const struct {
        struct set_plan plan;
        const char *policy, *report_only;
    } rows[] = {
        /* would have denied what is allowed */
        {{.policies = {{"ro", CONF_BLOCK, "everyone", NULL, NULL, true},
                       {"a", CONF_ALLOW, "everyone", NULL, NULL, false}}},
         "a",
         "ro"},
        /* would have allowed what is denied */
        {{.policies = {{"ro", CONF_ALLOW, "everyone", NULL, NULL, true}}}, NULL, "ro"},
        /* the same effect */
        {{.policies = {{"ro", CONF_ALLOW, "everyone", NULL, NULL, true},
                       {"a", CONF_ALLOW, "everyone", NULL, NULL, false}}},
         "a",
         NULL},
        /* does not match */
        {{.policies = {{"ro", CONF_BLOCK, "method=POST", NULL, NULL, true},
                       {"a", CONF_ALLOW, "everyone", NULL, NULL, false}}},
         "a",
         NULL},
        /* its turn does not come */
        {{.policies = {{"a", CONF_ALLOW, "everyone", NULL, NULL, false},
                       {"ro", CONF_BLOCK, "everyone", NULL, NULL, true}}},
         "a",
         NULL},
        /* the first with another effect */
        {{.policies = {{"r1", CONF_ALLOW, "everyone", NULL, NULL, true},
                       {"r2", CONF_BLOCK, "everyone", NULL, NULL, true},
                       {"r3", CONF_BLOCK, "everyone", NULL, NULL, true},
                       {"a", CONF_ALLOW, "everyone", NULL, NULL, false}}},
         "a",
         "r2"},
        {{.policies = {{"r1", CONF_ALLOW, "everyone", NULL, NULL, true},
                       {"r2", CONF_BYPASS, "everyone", NULL, NULL, true}}},
         NULL,
         "r2"},
    };
    const struct facts facts = facts_of(GOOD);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *noted = "unset";
        struct verdict verdict;
        policy_eval(plan_set(&rows[i].plan), &facts, NULL, &verdict, &noted);
        ck_assert_msg(!verdict.policy == !rows[i].policy && !noted == !rows[i].report_only, "row %zu", i);
        ck_assert_ptr_eq(noted, verdict.report_only);
        if (noted)
            ck_assert_str_eq(noted, rows[i].report_only);
        if (verdict.policy)
            ck_assert_str_eq(verdict.policy, rows[i].policy);
    }
}
END_TEST

START_TEST(groups_nest) {
    static const struct set_plan plan = {.policies = {{"p", CONF_ALLOW, "group=outer", NULL, "group=banned", false}},
                                         .groups = {{"outer", "group=lab | group=office", "certificate", NULL},
                                                    {"lab", "ip=192.0.2.0/24", NULL, "method=DELETE"},
                                                    {"office", "ip=198.51.100.0/24", NULL, NULL},
                                                    {"banned", "common_name=sensor-9,sensor-8", NULL, NULL}}};
    struct facts facts = facts_of(GOOD);
    ck_assert_int_eq(judge(&plan, &facts).effect, EFFECT_ALLOW);
    facts.method = SLICE("DELETE");
    ck_assert_int_eq(judge(&plan, &facts).reason, REASON_POLICY_NO_MATCH);
    struct addr office = rig_addr("198.51.100.1"), elsewhere = rig_addr("203.0.113.1");
    facts.client = &office;
    ck_assert_int_eq(judge(&plan, &facts).effect, EFFECT_ALLOW);
    facts.client = &elsewhere;
    ck_assert_int_eq(judge(&plan, &facts).reason, REASON_POLICY_NO_MATCH);
    struct identity *banned = rig_identity();
    banned->common_name = SLICE("sensor-8");
    facts.client = &office;
    facts.identity = banned;
    ck_assert_int_eq(judge(&plan, &facts).reason, REASON_POLICY_NO_MATCH);
    struct facts expired = facts_of(EXPIRED);
    ck_assert_int_eq(judge(&plan, &expired).reason, REASON_CERTIFICATE_EXPIRED);
}
END_TEST

START_TEST(groups_that_contain_themselves_are_refused) {
    static const struct set_plan self = {.policies = {{"p", CONF_ALLOW, "group=a", NULL, NULL, false}},
                                         .groups = {{"a", "group=a", NULL, NULL}}};
    static const struct set_plan around = {.policies = {{"p", CONF_ALLOW, "everyone", "group=a", NULL, false}},
                                           .groups = {{"a", "everyone", "group=b", NULL},
                                                      {"b", "everyone", NULL, "group=c"},
                                                      {"c", "group=a", NULL, NULL}}};
    static const struct set_plan twice = {
        .policies = {{"p", CONF_ALLOW, "group=a | group=b", NULL, NULL, false}},
        .groups = {{"a", "group=c", NULL, NULL}, {"b", "group=c", NULL, NULL}, {"c", "everyone", NULL, NULL}}};
    struct err err;
    ck_assert_ptr_null(plan_compile(&self, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "the group \"a\" contains itself"));
    ck_assert_ptr_null(plan_compile(&around, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "the group \"a\" contains itself"));
    const struct facts facts = facts_of(NOBODY);
    ck_assert_int_eq(judge(&twice, &facts).effect, EFFECT_ALLOW);
}
END_TEST

START_TEST(a_policy_or_group_without_include_is_refused) {
    static const struct set_plan policy = {.policies = {{"p", CONF_ALLOW, NULL, "certificate", NULL, false}}};
    static const struct set_plan group = {.policies = {{"p", CONF_ALLOW, "everyone", NULL, "group=g", false}},
                                          .groups = {{"g", NULL, "certificate", NULL}}};
    struct err err;
    ck_assert_ptr_null(plan_compile(&policy, &err));
    ck_assert_str_eq(err.text, "policy \"p\": include has no rule");
    ck_assert_ptr_null(plan_compile(&group, &err));
    ck_assert_str_eq(err.text, "policy \"p\": exclude rule 1 (group): group \"g\": include has no rule");
}
END_TEST

/* Each of seven groups uses the next ten times: ten million rules, if they were evaluated. */
START_TEST(groups_that_multiply_are_refused) {
    static const struct set_plan plan = {.policies = {{"p", CONF_ALLOW, "group=g1", NULL, NULL, false}},
                                         .groups = {{"g1",
                                                     "group=g2 | group=g2 | group=g2 | group=g2 | group=g2 | group=g2 "
                                                     "| group=g2 | group=g2 | group=g2 | group=g2",
                                                     NULL, NULL},
                                                    {"g2",
                                                     "group=g3 | group=g3 | group=g3 | group=g3 | group=g3 | group=g3 "
                                                     "| group=g3 | group=g3 | group=g3 | group=g3",
                                                     NULL, NULL},
                                                    {"g3",
                                                     "group=g4 | group=g4 | group=g4 | group=g4 | group=g4 | group=g4 "
                                                     "| group=g4 | group=g4 | group=g4 | group=g4",
                                                     NULL, NULL},
                                                    {"g4",
                                                     "group=g5 | group=g5 | group=g5 | group=g5 | group=g5 | group=g5 "
                                                     "| group=g5 | group=g5 | group=g5 | group=g5",
                                                     NULL, NULL},
                                                    {"g5",
                                                     "group=g6 | group=g6 | group=g6 | group=g6 | group=g6 | group=g6 "
                                                     "| group=g6 | group=g6 | group=g6 | group=g6",
                                                     NULL, NULL},
                                                    {"g6",
                                                     "group=g7 | group=g7 | group=g7 | group=g7 | group=g7 | group=g7 "
                                                     "| group=g7 | group=g7 | group=g7 | group=g7",
                                                     NULL, NULL},
                                                    {"g7", "method=POST", NULL, NULL}}};
    struct err err;
    ck_assert_ptr_null(plan_compile(&plan, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "more than 100000 rules"));
}
END_TEST

START_TEST(the_default_rule_wants_a_verified_certificate) {
    static const struct {
        enum client_kind client;
        enum reason reason;
    } rows[] = {
        {GOOD, REASON_NONE},
        {FLEET, REASON_NONE},
        {NOBODY, REASON_CERTIFICATE_MISSING},
        {EXPIRED, REASON_CERTIFICATE_EXPIRED},
        {REVOKED, REASON_CERTIFICATE_REVOKED},
        {UNTRUSTED, REASON_CERTIFICATE_UNTRUSTED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct verdict verdict;
        const struct facts facts = facts_of(rows[i].client);
        policy_eval_default(&facts, NULL, &verdict);
        ck_assert_int_eq(verdict.reason, rows[i].reason);
        ck_assert_int_eq(verdict.effect, rows[i].reason == REASON_NONE ? EFFECT_ALLOW : EFFECT_DENY);
        ck_assert_str_eq(verdict.decision, "default");
        ck_assert_ptr_null(verdict.policy);
        ck_assert_ptr_null(verdict.application);
    }
}
END_TEST

/* ---- texts ---- */

static const struct set_plan shown = {
    .policies = {{"crew", CONF_ALLOW, "ip=10.0.0.0/8 | group=ops", "method=GET,HEAD", "everyone", true},
                 {"closed", CONF_BLOCK, "everyone", NULL, NULL, false},
                 {"sensors", CONF_SERVICE_AUTH, "common_name=sensor-2 | san_dns~*.lab | certificate",
                  "ca_bundle=fleet,devices", "organizational_unit^LOST", false}},
    .groups = {{"ops", "issuer_ski=a5:ac:55:42", NULL, NULL}}};

static void check_trace(const struct facts *facts, const char *expected) {
    struct trace trace;
    struct verdict verdict;
    struct sbuf out;
    trace_init(&trace);
    sbuf_init(&out, 65536);
    policy_eval(plan_set(&shown), facts, &trace, &verdict, NULL);
    ck_assert_int_eq(trace.depth, 0);
    trace_print(&trace, &out);
    ck_assert_str_eq(sbuf_text(&out), expected);
    sbuf_fini(&out);
    trace_fini(&trace);
}

START_TEST(the_trace_states_the_facts) {
    const struct facts good = facts_of(GOOD);
    check_trace(&good, "policy: \"sensors\" (service_auth) => yes\n"
                       "  rule: include: common_name is \"sensor-1\", rule wants \"sensor-2\" => no\n"
                       "  rule: include: san_dns is \"sensor-1.lab\", rule wants \"*.lab\" (wildcard) => yes\n"
                       "  rule: include: certificate => skipped\n"
                       "  rule: require: ca_bundle is \"devices\", rule wants one of \"fleet\", \"devices\" => yes\n"
                       "  rule: exclude: organizational_unit is \"Lab\", rule wants \"LOST\" (ignoring case) => no\n"
                       "policy: \"crew\" (allow, report only) => skipped\n"
                       "policy: \"closed\" (block) => skipped\n");
    const struct facts expired = facts_of(EXPIRED);
    check_trace(&expired,
                "policy: \"sensors\" (service_auth) => no\n"
                "  rule: include: common_name: the certificate has expired, rule wants \"sensor-2\" => no\n"
                "  rule: include: san_dns: the certificate has expired, rule wants \"*.lab\" (wildcard) => no\n"
                "  rule: include: certificate is not verified: the certificate has expired => no\n"
                "  rule: require: ca_bundle one of \"fleet\", \"devices\" => skipped\n"
                "  rule: exclude: organizational_unit \"LOST\" (ignoring case) => skipped\n"
                "policy: \"crew\" (allow, report only) => no\n"
                "  rule: include: ip is 192.0.2.7, rule wants 10.0.0.0/8 => no\n"
                "  rule: include: group \"ops\" => no\n"
                "    rule: include: issuer_ski: the certificate has expired, rule wants \"a5:ac:55:42\" => no\n"
                "  rule: require: method one of GET, HEAD => skipped\n"
                "  rule: exclude: everyone => skipped\n"
                "policy: \"closed\" (block) => yes\n"
                "  rule: include: everyone => yes\n");
}
END_TEST

START_TEST(sec_14_names_in_the_trace_cannot_write_to_a_terminal) {
    struct facts facts = facts_of(GOOD);
    struct identity *identity = rig_identity();
    struct slice name = SLICE("a\x1b[2J\r\nverdict: allow");
    identity->san_dns = (struct texts){&name, 1};
    facts.identity = identity;
    const struct set_plan plan = {.policies = {{"p", CONF_ALLOW, "san_dns=x", NULL, NULL, false}}};
    struct trace trace;
    struct verdict verdict;
    struct sbuf out;
    trace_init(&trace);
    sbuf_init(&out, 65536);
    policy_eval(plan_set(&plan), &facts, &trace, &verdict, NULL);
    trace_print(&trace, &out);
    ck_assert_str_eq(sbuf_text(&out),
                     "policy: \"p\" (allow) => no\n"
                     "  rule: include: san_dns is \"a\\x1b[2J\\x0d\\x0averdict: allow\", rule wants \"x\" => no\n");
    sbuf_fini(&out);
    trace_fini(&trace);
}
END_TEST

START_TEST(the_effective_policy_is_printed_a_line_a_rule) {
    struct sbuf out;
    sbuf_init(&out, 65536);
    policy_set_print(plan_set(&shown), 2, &out);
    ck_assert_str_eq(sbuf_text(&out), "  policy \"sensors\": service_auth\n"
                                      "    include common_name \"sensor-2\"\n"
                                      "    include san_dns \"*.lab\" (wildcard)\n"
                                      "    include certificate\n"
                                      "    require ca_bundle one of \"fleet\", \"devices\"\n"
                                      "    exclude organizational_unit \"LOST\" (ignoring case)\n"
                                      "  policy \"crew\": allow, report only\n"
                                      "    include ip 10.0.0.0/8\n"
                                      "    include group \"ops\"\n"
                                      "      include issuer_ski \"a5:ac:55:42\"\n"
                                      "    require method one of GET, HEAD\n"
                                      "    exclude everyone\n"
                                      "  policy \"closed\": block\n"
                                      "    include everyone\n");
    sbuf_fini(&out);
}
END_TEST

Suite *policy_eval_suite(void);
Suite *policy_eval_suite(void) {
    Suite *suite = suite_create("eval");
    TCase *tcase = tcase_create("eval");
    tcase_add_test(tcase, order_of_evaluation);
    tcase_add_test(tcase, include_any_require_all_exclude_none);
    tcase_add_test(tcase, which_reason);
    tcase_add_test(tcase, exclude_and_block_by_certificate_keep_out_only_good_certificates);
    tcase_add_test(tcase, report_only_policies_never_decide);
    tcase_add_test(tcase, groups_nest);
    tcase_add_test(tcase, groups_that_contain_themselves_are_refused);
    tcase_add_test(tcase, a_policy_or_group_without_include_is_refused);
    tcase_add_test(tcase, groups_that_multiply_are_refused);
    tcase_add_test(tcase, the_default_rule_wants_a_verified_certificate);
    tcase_add_test(tcase, the_trace_states_the_facts);
    tcase_add_test(tcase, sec_14_names_in_the_trace_cannot_write_to_a_terminal);
    tcase_add_test(tcase, the_effective_policy_is_printed_a_line_a_rule);
    suite_add_tcase(suite, tcase);
    return suite;
}
