/* The index of policies and rules: the same verdicts as without it. With a trace every rule is asked in turn, so a
 * judgement with a trace is what one without it must equal. */
#include "policy_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../../src/policy/predicate_priv.h"

static const char *const RULES[] = {
    "common_name=sensor-1", "common_name=sensor-2", "common_name=sensor-3,sensor-1",
    "common_name~sensor-*", "san_dns=sensor-1.lab", "san_dns=sensor-2.lab",
    "serial_number=0A1B",   "serial_number=FF",     "organization=Example",
    "organization=Other",   "organization^EXAMPLE", "extended_key_usage=client_auth",
    "certificate",          "ca_bundle=devices",    "ca_bundle=fleet",
    "ip=192.0.2.0/24",      "ip=198.51.100.7",      "everyone",
    "method=GET",           "method=POST",          "group=few",
    "group=many",           "group=other",
};

static unsigned long long state;

static size_t pick(size_t below) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (size_t)(state >> 33) % below;
}

/* Rules of a list, mostly of those that name certificates. groups: how many of the last rules may be used. */
static char *random_rules(size_t least, size_t most, bool has_groups) {
    static char lists[4 * PLAN_MAX][2048];
    static size_t used;
    char *list = lists[used++ % (4 * PLAN_MAX)];
    size_t count = least + pick(most - least + 1), len = 0, of = sizeof RULES / sizeof *RULES - (has_groups ? 0 : 3);
    for (size_t i = 0; i < count; i++)
        len +=
            (size_t)snprintf(list + len, 2048 - len, "%s%s", i ? " | " : "", RULES[pick(3) ? pick(of / 2) : pick(of)]);
    return count ? list : NULL;
}

static void random_plan(struct set_plan *plan) {
    static const char *const names[] = {"few", "many", "other"};
    static char policy_names[PLAN_MAX][8];
    size_t count = 1 + pick(PLAN_MAX - 1);
    *plan = (struct set_plan){.policies = {{.name = NULL}}};
    for (size_t i = 0; i < 3; i++)
        plan->groups[i] = (struct group_plan){names[i], random_rules(1, i == 1 ? 14 : 2, false),
                                              random_rules(0, 1, false), random_rules(0, 1, false)};
    for (size_t i = 0; i < count; i++) {
        snprintf(policy_names[i], sizeof policy_names[i], "p%zu", i);
        plan->policies[i] = (struct policy_plan){.name = policy_names[i],
                                                 .decision = (enum conf_decision)pick(4),
                                                 .include = random_rules(1, pick(4) ? 2 : 14, true),
                                                 .require = random_rules(0, 2, true),
                                                 .exclude = random_rules(0, pick(4) ? 1 : 14, true),
                                                 .is_report_only = pick(6) == 0};
    }
}

static void check_same(const struct policy_set *set, const struct facts *facts, unsigned long seed) {
    struct verdict with, without;
    struct trace trace;
    trace_init(&trace);
    policy_eval(set, facts, &trace, &with, NULL);
    trace_fini(&trace);
    policy_eval(set, facts, NULL, &without, NULL);
    ck_assert_msg(with.effect == without.effect && with.reason == without.reason && with.policy == without.policy &&
                      with.report_only == without.report_only && with.decision == without.decision &&
                      with.report_only_decision == without.report_only_decision,
                  "plan %lu: %s by %s (%s) instead of %s by %s (%s)", seed, without.decision,
                  without.policy ? without.policy : "none", reason_code(without.reason), with.decision,
                  with.policy ? with.policy : "none", reason_code(with.reason));
}

START_TEST(an_index_changes_no_verdict) {
    static struct set_plan plan;
    size_t indexed = 0;
    for (unsigned long seed = 0; seed < 2000; seed++) {
        state = seed;
        random_plan(&plan);
        struct policy_set *set = plan_set(&plan);
        indexed += set->index != NULL;
        for (int kind = NOBODY; kind <= FLEET; kind++) {
            struct facts facts = facts_of((enum client_kind)kind);
            if (pick(2) && facts.identity) {
                struct identity *other = rig_identity();
                other->common_name = pick(2) ? SLICE("sensor-3") : SLICE_NONE;
                other->organization.count = pick(2);
                facts.identity = other;
            }
            check_same(set, &facts, seed);
        }
        struct facts bare = facts_without_bundle();
        check_same(set, &bare, seed);
    }
    ck_assert_uint_gt(indexed, 200);
}
END_TEST

/* Each rule by itself as the include of the tenth of ten policies: may it be passed over for somebody else? */
static const struct {
    const char *include, *require;
    bool is_passed_over;
} KEYS[] = {
    {"common_name=sensor-2", NULL, true},
    {"common_name=sensor-2,sensor-3", NULL, true},
    {"common_name=sensor-2 | serial_number=FF", NULL, true},
    {"certificate", "common_name=sensor-2", true},
    {"everyone", "common_name=sensor-2", true},
    {"common_name=sensor-1", "common_name=sensor-2", false}, /* the narrowest of equals is the first */
    {"common_name=sensor-1", NULL, false},
    {"common_name~sensor-2*", NULL, false},
    {"common_name^sensor-2", NULL, false},
    {"common_name=sensor-2 | ip=10.0.0.1", NULL, false},
    {"ip=10.0.0.1", "common_name=sensor-2", false},
};

START_TEST(what_can_be_passed_over) {
    static struct set_plan plan;
    plan = (struct set_plan){.policies = {{.name = NULL}}};
    for (size_t i = 0; i < 10; i++)
        plan.policies[i] = (struct policy_plan){.name = "other", .include = "common_name=sensor-9"};
    plan.policies[9].include = KEYS[_i].include;
    plan.policies[9].require = KEYS[_i].require;
    struct policy_set *set = plan_set(&plan);
    struct facts good = facts_of(GOOD), nobody = facts_of(NOBODY);
    ck_assert_ptr_nonnull(set->index);
    ck_assert_uint_eq(predicate_index_next(set->index, &good, 0), KEYS[_i].is_passed_over ? 10 : 9);
    check_same(set, &good, (unsigned long)_i);
    check_same(set, &nobody, (unsigned long)_i);
}
END_TEST

#define SEVEN \
    "common_name=a | common_name=b | common_name=c | common_name=d | common_name=e | common_name=f | common_name=g"

START_TEST(the_reason_is_that_of_rules_that_were_passed_over) {
    struct set_plan plan = {.policies = {{.name = "one", .include = "ip=198.51.100.7 | " SEVEN}}};
    struct policy_set *set = plan_set(&plan);
    struct facts nobody = facts_of(NOBODY);
    struct verdict verdict;
    ck_assert_ptr_nonnull(set->policies[0].predicate->items[0]->index);
    policy_eval(set, &nobody, NULL, &verdict, NULL);
    ck_assert_int_eq(verdict.reason, REASON_CERTIFICATE_MISSING);
    check_same(set, &nobody, 0);
}
END_TEST

START_TEST(few_policies_have_no_index) {
    struct set_plan plan = {.policies = {{.name = "one", .include = "common_name=sensor-1"}}};
    ck_assert_ptr_null(plan_set(&plan)->index);
}
END_TEST

Suite *policy_index_suite(void);
Suite *policy_index_suite(void) {
    Suite *suite = suite_create("index");
    TCase *tcase = tcase_create("index");
    tcase_add_test(tcase, an_index_changes_no_verdict);
    tcase_add_loop_test(tcase, what_can_be_passed_over, 0, sizeof KEYS / sizeof *KEYS);
    tcase_add_test(tcase, the_reason_is_that_of_rules_that_were_passed_over);
    tcase_add_test(tcase, few_policies_have_no_index);
    suite_add_tcase(suite, tcase);
    return suite;
}
