/* Single rules: what each kind and form matches, what it does not, and what the compiler refuses. */
#include "policy_rig.h"

#include <stdlib.h>

/* Does the rule let the client in? */
static bool matches(const char *rule, const struct facts *facts) {
    const struct set_plan plan = {.policies = {{"p", CONF_SERVICE_AUTH, rule, NULL, NULL, false}}};
    struct verdict verdict;
    policy_eval(plan_set(&plan), facts, NULL, &verdict, NULL);
    ck_assert_int_eq(verdict.effect == EFFECT_DENY, verdict.reason != REASON_NONE);
    return verdict.effect == EFFECT_ALLOW;
}

START_TEST(each_kind_accepts_and_rejects) {
    static const struct {
        const char *accepted, *rejected;
    } rows[] = {
        {"everyone", "method=POST"},
        {"certificate", "common_name=other"},
        {"common_name=sensor-1", "common_name=sensor-2"},
        {"common_name=sensor-1", "common_name=Sensor-1"},
        {"common_name=sensor-1", "common_name= sensor-1"},
        {"common_name=sensor-1", "common_name=sensor-"},
        {"common_name=a,sensor-1,z", "common_name=a,b"},
        {"common_name^SENSOR-1", "common_name^SENSOR-2"},
        {"common_name~sensor-*", "common_name~sensor-?"},
        {"common_name~*", "common_name~Sensor-*"},
        {"issuer_common_name=Devices CA", "issuer_common_name=devices ca"},
        {"issuer_ski=A5AC5542", "issuer_ski=A5AC5543"},
        {"issuer_ski=a5:ac:55:42", "issuer_ski=A5AC"},
        {"issuer_ski~a5*", "issuer_ski~b5*"},
        {"organization=Example", "organization=Lab"},
        {"organizational_unit=Lab", "organizational_unit=Example"},
        {"serial_number=0A1B", "serial_number=1A0B"},
        {"serial_number=a1b", "serial_number=a1"},
        {"serial_number=00:00:0a:1b", "serial_number=0a:1b:00"},
        {"fingerprint_sha256=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
         "fingerprint_sha256=10112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"},
        {"fingerprint_sha256=00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:"
         "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF",
         "fingerprint_sha256~ff*"},
        {"san_dns=sensor-1.lab", "san_dns=lab"},
        {"san_dns~*.lab", "san_dns~*.lab.example"},
        {"san_uri=spiffe://example.test/sensor/1", "san_uri=spiffe://example.test/sensor"},
        {"san_uri~spiffe://example.test/*", "san_uri~spiffe://example.org/*"},
        {"san_email=sensor@example.test", "san_email=SENSOR@example.test"},
        {"san_ip=2001:db8::7", "san_ip=2001:db8::8"},
        {"san_ip=2001:DB8:0:0::7", "san_ip=192.0.2.7"},
        {"extended_key_usage=client_auth", "extended_key_usage=server_auth"},
        {"extended_key_usage=1.3.6.1.5.5.7.3.2", "extended_key_usage=1.3.6.1.5.5.7.3"},
        {"certificate_policy=1.3.6.1.4.1.99999.1", "certificate_policy=1.3.6.1.4.1.99999.10"},
        {"certificate_policy~1.3.6.1.4.1.99999.*", "certificate_policy~1.3.6.1.4.1.1.*"},
        {"ca_bundle=devices", "ca_bundle=fleet"},
        {"ca_bundle=fleet,devices", "ca_bundle=nobody"},
        {"method=GET", "method=PUT"},
        {"method=HEAD,GET", "method=HEAD,POST"},
        {"ip=192.0.2.0/24", "ip=192.0.3.0/24"},
        {"ip=192.0.2.7", "ip=192.0.2.8"},
        {"ip=0.0.0.0/0", "ip=::/0"},
        {"ip=10.0.0.0/8,192.0.2.0/29,2001:db8::/32", "ip=10.0.0.0/8,192.0.2.8/29"},
    };
    const struct facts facts = facts_of(GOOD);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_msg(matches(rows[i].accepted, &facts), "accept %s", rows[i].accepted);
        ck_assert_msg(!matches(rows[i].rejected, &facts), "reject %s", rows[i].rejected);
    }
}
END_TEST

static const char *const certificate_rules[] = {
    "certificate",
    "ca_bundle=devices,fleet",
    "serial_number=0A1B",
    "common_name=sensor-1",
    "common_name~*",
    "issuer_common_name=Devices CA",
    "issuer_ski=A5AC5542",
    "organization=Example",
    "organizational_unit=Lab",
    "fingerprint_sha256~*",
    "san_dns~*",
    "san_uri~*",
    "san_email~*",
    "san_ip~*",
    "extended_key_usage=client_auth",
    "certificate_policy~*",
};
#define CERTIFICATE_RULES (sizeof certificate_rules / sizeof certificate_rules[0])

START_TEST(no_certificate_rule_matches_a_failing_certificate) {
    const enum client_kind failing[] = {NOBODY, EXPIRED, REVOKED, UNTRUSTED};
    for (size_t i = 0; i < CERTIFICATE_RULES; i++) {
        const struct facts good = facts_of(GOOD);
        ck_assert_msg(matches(certificate_rules[i], &good), "%s", certificate_rules[i]);
        for (size_t j = 0; j < sizeof failing / sizeof failing[0]; j++) {
            const struct facts facts = facts_of(failing[j]);
            ck_assert_msg(!matches(certificate_rules[i], &facts), "%s, client %zu", certificate_rules[i], j);
        }
    }
}
END_TEST

/* Without a bundle that vouches nothing is verified, whatever the rest of the report says. */
START_TEST(an_empty_report_is_not_a_good_one) {
    for (size_t i = 0; i < CERTIFICATE_RULES; i++) {
        struct facts facts = facts_of(GOOD);
        struct verify_report report = {.reason = REASON_NONE, .bundles = 0};
        facts.report = &report;
        ck_assert_msg(!matches(certificate_rules[i], &facts), "%s", certificate_rules[i]);
        facts = facts_of(GOOD);
        facts.trust = NULL;
        ck_assert_msg(!matches(certificate_rules[i], &facts), "%s", certificate_rules[i]);
        facts = facts_of(GOOD);
        facts.identity = NULL;
        ck_assert_msg(!matches(certificate_rules[i], &facts), "%s", certificate_rules[i]);
    }
}
END_TEST

START_TEST(sec_23_sec_24_a_bundle_rule_asks_which_ca_vouched) {
    const struct facts devices = facts_of(GOOD), fleet = facts_of(FLEET);
    /* Same names in both certificates. */
    ck_assert(matches("common_name=sensor-1", &devices) && matches("common_name=sensor-1", &fleet));
    ck_assert(matches("ca_bundle=devices", &devices) && !matches("ca_bundle=devices", &fleet));
    ck_assert(matches("ca_bundle=fleet", &fleet) && !matches("ca_bundle=fleet", &devices));
    struct facts both = facts_of(GOOD);
    struct verify_report report = *both.report;
    report.bundles = 3;
    both.report = &report;
    ck_assert(matches("ca_bundle=devices", &both) && matches("ca_bundle=fleet", &both));
}
END_TEST

START_TEST(sec_19_several_common_names_match_nothing) {
    struct facts facts = facts_of(GOOD);
    struct identity *identity = rig_identity();
    identity->common_name = SLICE_NONE;
    facts.identity = identity;
    ck_assert(!matches("common_name=sensor-1", &facts));
    ck_assert(!matches("common_name~*", &facts));
    ck_assert(matches("certificate", &facts));
}
END_TEST

START_TEST(sec_20_a_star_in_a_presented_name_is_literal) {
    struct facts facts = facts_of(GOOD);
    struct identity *identity = rig_identity();
    struct slice names[] = {SLICE("*.lab")};
    identity->san_dns = (struct texts){names, 1};
    facts.identity = identity;
    ck_assert(!matches("san_dns=sensor-1.lab", &facts));
    ck_assert(!matches("san_dns~sensor-*.lab", &facts));
    ck_assert(matches("san_dns=*.lab", &facts));
    ck_assert(matches("san_dns~*.lab", &facts));
}
END_TEST

START_TEST(sec_20_names_are_compared_by_type) {
    struct facts facts = facts_of(GOOD);
    struct identity *identity = rig_identity();
    struct slice dns[] = {SLICE("spiffe://example.test/admin"), SLICE("192.0.2.1"), SLICE("root@example.test")};
    identity->san_dns = (struct texts){dns, 3};
    identity->san_uri = identity->san_ip = identity->san_email = (struct texts){NULL, 0};
    facts.identity = identity;
    ck_assert(!matches("san_uri=spiffe://example.test/admin", &facts));
    ck_assert(!matches("san_ip=192.0.2.1", &facts));
    ck_assert(!matches("san_email=root@example.test", &facts));
    ck_assert(matches("san_dns=192.0.2.1", &facts));
}
END_TEST

START_TEST(any_of_several_names_is_enough) {
    struct facts facts = facts_of(GOOD);
    struct identity *identity = rig_identity();
    struct slice units[] = {SLICE("A"), SLICE("B"), SLICE("C")};
    identity->organizational_unit = (struct texts){units, 3};
    facts.identity = identity;
    ck_assert(matches("organizational_unit=C", &facts));
    ck_assert(matches("organizational_unit=X,B", &facts));
    ck_assert(!matches("organizational_unit=X,Y", &facts));
}
END_TEST

START_TEST(zero_and_negative_serial_numbers) {
    struct facts facts = facts_of(GOOD);
    struct identity *identity = rig_identity();
    facts.identity = identity;
    identity->serial = SLICE("00");
    identity->serial_bytes = SLICE("");
    ck_assert(matches("serial_number=00", &facts));
    ck_assert(!matches("serial_number=01", &facts));
    identity->serial = SLICE("-01");
    identity->serial_bytes = SLICE("");
    ck_assert(!matches("serial_number=01", &facts));
    ck_assert(!matches("serial_number=00", &facts));
    identity->serial_bytes = SLICE("\0\xff");
    ck_assert(!matches("serial_number=ff", &facts));
    ck_assert(!matches("serial_number=00ff", &facts));
}
END_TEST

START_TEST(addresses_of_both_families) {
    static const struct {
        const char *rule, *client;
        bool matches;
    } rows[] = {
        {"ip=2001:db8::/32", "2001:db8::7", true},
        {"ip=2001:db8::/32", "2001:db9::7", false},
        {"ip=2001:db8::/33", "2001:db8:8000::1", false},
        {"ip=::1", "::1", true},
        {"ip=10.0.0.0/8,10.1.0.0/16,10.1.2.3", "10.1.2.3", true}, /* inner blocks are dropped */
        {"ip=10.0.0.0/8,10.1.0.0/16,10.1.2.3", "10.255.0.1", true},
        {"ip=10.1.2.3,10.1.0.0/16,11.0.0.0/8", "10.1.255.1", true},
        {"ip=10.1.2.3,10.1.0.0/16,11.0.0.0/8", "10.2.0.0", false},
        {"ip=10.1.2.3,10.1.0.0/16,11.0.0.0/8", "11.255.255.255", true},
        {"ip=10.1.2.3,10.1.0.0/16,11.0.0.0/8", "12.0.0.0", false},
        {"ip=10.1.2.3,10.1.0.0/16,11.0.0.0/8", "9.255.255.255", false},
        {"ip=192.0.2.6/31,192.0.2.7", "192.0.2.5", false},
        {"ip=0.0.0.0/0", "255.255.255.255", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct facts facts = facts_of(NOBODY);
        struct addr client = rig_addr(rows[i].client);
        facts.client = &client;
        ck_assert_msg(matches(rows[i].rule, &facts) == rows[i].matches, "%s %s", rows[i].rule, rows[i].client);
    }
    struct facts facts = facts_of(NOBODY);
    struct addr local = {.len = 0};
    local.sa.sa_family = AF_UNIX;
    facts.client = &local;
    ck_assert(!matches("ip=0.0.0.0/0,::/0", &facts));
}
END_TEST

START_TEST(what_can_never_match_is_refused) {
    static const struct {
        const char *rule, *says;
    } rows[] = {
        {"fingerprint_sha256=0011", "64 hex digits"},
        {"fingerprint_sha256=zz112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", "64 hex digits"},
        {"issuer_ski=xyz", "hex digits"},
        {"issuer_ski=:", "hex digits"},
        {"serial_number=12g", "hex digits"},
        {"serial_number~12*", "takes no wildcard"},
        {"serial_number^ab", "takes no ignore_case"},
        {"extended_key_usage=clientAuth", "client_auth, server_auth"},
        {"extended_key_usage=1..2", "client_auth, server_auth"},
        {"certificate_policy=anyPolicy", "dotted OID"},
        {"san_ip=192.0.2.256", "IP address"},
        {"san_ip=192.0.2.0/24", "IP address"},
        {"method=GET POST", "a method"},
        {"method=get", "a method as it is sent"},
        {"method~G*", "takes no wildcard"},
        {"ip=192.0.2.300", "ip"},
        {"ip=192.0.2.7/24", "ip"},
        {"ip=example.test", "ip"},
        {"common_name=", "not empty"},
        {"common_name", "no value"},
        {"ca_bundle", "no value"},
        {"group", "no group"},
        {"group=nobody", "there is no group \"nobody\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct set_plan plan = {.policies = {{"strict", CONF_ALLOW, "everyone", NULL, rows[i].rule, false}}};
        struct err err = {""};
        ck_assert_msg(plan_compile(&plan, &err) == NULL, "%s", rows[i].rule);
        ck_assert_msg(strstr(err.text, rows[i].says) != NULL, "%s: %s", rows[i].rule, err.text);
        ck_assert_msg(strstr(err.text, "policy \"strict\": exclude rule 1") == err.text, "%s", err.text);
    }
}
END_TEST

Suite *policy_rule_suite(void);
Suite *policy_rule_suite(void) {
    Suite *suite = suite_create("rule");
    TCase *tcase = tcase_create("rule");
    tcase_add_test(tcase, each_kind_accepts_and_rejects);
    tcase_add_test(tcase, no_certificate_rule_matches_a_failing_certificate);
    tcase_add_test(tcase, an_empty_report_is_not_a_good_one);
    tcase_add_test(tcase, sec_23_sec_24_a_bundle_rule_asks_which_ca_vouched);
    tcase_add_test(tcase, sec_19_several_common_names_match_nothing);
    tcase_add_test(tcase, sec_20_a_star_in_a_presented_name_is_literal);
    tcase_add_test(tcase, sec_20_names_are_compared_by_type);
    tcase_add_test(tcase, any_of_several_names_is_enough);
    tcase_add_test(tcase, zero_and_negative_serial_numbers);
    tcase_add_test(tcase, addresses_of_both_families);
    tcase_add_test(tcase, what_can_never_match_is_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
