#include <check.h>

#include "judge.h"

/* Of src/pki/crl_priv.h, which tests may not include. */
const uint8_t *crl_issuer_name(const struct crl *crl);

static struct testpki root, mid, client, direct;

static void make_pki(void) {
    root = testpki_root("Root");
    mid = testpki_intermediate("Mid", &root);
    client = testpki_client("alice", &mid);
    direct = testpki_client("bob", &root);
}

static void free_pki(void) {
    testpki_free(&root);
    testpki_free(&mid);
    testpki_free(&client);
    testpki_free(&direct);
}

/* alice under Mid under Root, with these lists and this rule. */
static const char *chain_code(enum crl_require require, struct crl *first, struct crl *second) {
    struct scene scene = {.cas = {&root}, .leaf = &client, .untrusted = {&mid}, .bundle = {.crl_require = require}};
    scene.crls[0] = first ? first : second;
    scene.crls[1] = first ? second : NULL;
    return judge_code(&scene);
}

/* bob under Root with one list. */
static struct verify_report direct_report(struct trust_bundle options, struct crl *crl, time_t now) {
    return judge_report(&(struct scene){.cas = {&root}, .leaf = &direct, .bundle = options, .crls = {crl}, .now = now});
}

static const char *direct_code(struct trust_bundle options, struct crl *crl, time_t now) {
    struct verify_report report = direct_report(options, crl, now);
    const char *code = reason_code(report.reason);
    verify_report_fini(&report);
    return code;
}

static struct crl *empty(const struct testpki *issuer) {
    return judge_crl(&(struct testpki_crl_spec){.issuer = issuer});
}

START_TEST(require_modes_sec_28) {
    static const struct {
        enum crl_require require;
        bool root_has, mid_has;
        const char *expected;
    } rows[] = {
        {CRL_NEVER, false, false, ""},
        {CRL_IF_PRESENT, false, false, ""},
        {CRL_IF_PRESENT, true, false, ""},
        {CRL_LEAF, false, false, "crl_missing"},
        {CRL_LEAF, true, false, "crl_missing"},
        {CRL_LEAF, false, true, ""},
        {CRL_CHAIN, false, true, "crl_missing"},
        {CRL_CHAIN, true, false, "crl_missing"},
        {CRL_CHAIN, true, true, ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct crl *of_root = rows[i].root_has ? empty(&root) : NULL, *of_mid = rows[i].mid_has ? empty(&mid) : NULL;
        const char *code = chain_code(rows[i].require, of_root, of_mid);
        ck_assert_msg(strcmp(code, rows[i].expected) == 0, "row %zu: %s", i, code);
    }
}
END_TEST

START_TEST(revoked_leaf_and_revoked_intermediate_sec_28) {
    ck_assert_str_eq(chain_code(CRL_IF_PRESENT, judge_crl_of(&mid, &client), NULL), "certificate_revoked");
    ck_assert_str_eq(chain_code(CRL_IF_PRESENT, judge_crl_of(&root, &mid), NULL), "certificate_revoked");
    ck_assert_str_eq(chain_code(CRL_CHAIN, judge_crl_of(&root, &mid), empty(&mid)), "certificate_revoked");
    ck_assert_str_eq(chain_code(CRL_NEVER, judge_crl_of(&mid, &client), NULL), "");
    ck_assert_str_eq(chain_code(CRL_IF_PRESENT, judge_crl_of(&root, &client), NULL), ""); /* of another issuer */
}
END_TEST

START_TEST(revocation_is_reported_with_date_and_reason) {
    struct verify_report report =
        direct_report((struct trust_bundle){.crl_require = CRL_IF_PRESENT}, judge_crl_of(&root, &direct), 0);
    ck_assert_int_eq(report.reason, REASON_CERTIFICATE_REVOKED);
    ck_assert_int_eq(report.revoked_at, TESTPKI_NOW - TESTPKI_DAY);
    ck_assert_int_eq(report.revocation_reason, 1);
    ck_assert_ptr_nonnull(strstr(report.detail, "was revoked on 2030-03-16T17:46:40Z: keyCompromise"));
    ck_assert_str_eq(report.verified_text, "FAILED:certificate revoked");
    ck_assert_uint_eq(report.chain.count, 2);
    verify_report_fini(&report);
}
END_TEST

START_TEST(expired_lists_sec_29) {
    struct trust_bundle deny = {.crl_require = CRL_IF_PRESENT}, allow = deny, grace = deny;
    allow.crl_on_expired = CRL_ALLOW;
    grace.crl_on_expired = CRL_GRACE;
    grace.crl_grace_seconds = 3600;
    const time_t end = TESTPKI_NOW + 7 * TESTPKI_DAY;
    ck_assert_str_eq(direct_code(deny, empty(&root), end), "");
    ck_assert_str_eq(direct_code(deny, empty(&root), end + 1), "crl_expired");
    ck_assert_str_eq(direct_code(allow, empty(&root), end + 1), "");
    ck_assert_str_eq(direct_code(grace, empty(&root), end + 3600), "");
    ck_assert_str_eq(direct_code(grace, empty(&root), end + 3601), "crl_expired");
    /* age does not undo a revocation */
    ck_assert_str_eq(direct_code(deny, judge_crl_of(&root, &direct), end + 1), "certificate_revoked");
    /* without nextUpdate a list does not expire */
    struct crl *endless = judge_crl(&(struct testpki_crl_spec){.issuer = &root, .has_no_next_update = true});
    ck_assert_str_eq(direct_code(deny, endless, TESTPKI_NOW + 300 * TESTPKI_DAY), "");
}
END_TEST

START_TEST(reports_say_until_when_lists_last) {
    struct verify_report report = direct_report((struct trust_bundle){.crl_require = CRL_CHAIN}, empty(&root), 0);
    const time_t end = TESTPKI_NOW + 7 * TESTPKI_DAY;
    ck_assert_int_eq(report.reason, REASON_NONE);
    ck_assert_int_eq(report.crl_next_update, end);
    ck_assert(verify_is_current(&report, end));
    ck_assert(!verify_is_current(&report, end + 1));
    verify_report_fini(&report);
}
END_TEST

START_TEST(lists_from_the_future_sec_29) {
    struct testpki_crl_spec spec = {.issuer = &root, .this_update = TESTPKI_NOW + 10};
    struct verify_report report =
        direct_report((struct trust_bundle){.crl_require = CRL_IF_PRESENT}, judge_crl(&spec), 0);
    ck_assert_int_eq(report.reason, REASON_CRL_INVALID);
    ck_assert(verify_is_current(&report, TESTPKI_NOW + 9));
    ck_assert(!verify_is_current(&report, TESTPKI_NOW + 10));
    verify_report_fini(&report);
    ck_assert_str_eq(
        direct_code((struct trust_bundle){.crl_require = CRL_IF_PRESENT}, judge_crl(&spec), TESTPKI_NOW + 10), "");
}
END_TEST

START_TEST(sha1_lists_only_where_allowed) {
    struct testpki_crl_spec spec = {.issuer = &root, .digest = EVP_sha1()};
    struct trust_bundle options = {.crl_require = CRL_IF_PRESENT};
    ck_assert_str_eq(direct_code(options, judge_crl(&spec), 0), "crl_invalid");
    options.allow_sha1 = true;
    ck_assert_str_eq(direct_code(options, judge_crl(&spec), 0), "");
}
END_TEST

START_TEST(several_lists_of_one_issuer_are_united_sec_29) {
    struct scene scene = {.cas = {&root}, .leaf = &direct, .bundle = {.crl_require = CRL_CHAIN}};
    for (int order = 0; order < 2; order++) {
        scene.crls[order] = judge_crl_of(&root, &direct);
        scene.crls[1 - order] = empty(&root);
        ck_assert_str_eq(judge_code(&scene), "certificate_revoked");
        /* an outdated list beside a current one does no harm */
        scene.crls[order] = judge_crl(&(struct testpki_crl_spec){.issuer = &root, .next_update = TESTPKI_NOW - 1});
        scene.crls[1 - order] = empty(&root);
        ck_assert_str_eq(judge_code(&scene), "");
    }
}
END_TEST

START_TEST(a_list_of_a_namesake_is_not_this_cas_sec_24) {
    struct testpki namesake = testpki_root("Root");
    ck_assert_str_eq(direct_code((struct trust_bundle){.crl_require = CRL_CHAIN}, empty(&namesake), 0), "crl_missing");
    ck_assert_str_eq(direct_code((struct trust_bundle){.crl_require = CRL_CHAIN}, judge_crl_of(&namesake, &direct), 0),
                     "crl_missing");
    testpki_free(&namesake);
}
END_TEST

START_TEST(a_second_key_of_the_ca_may_sign_its_lists) {
    /* CA under Root, and a certificate of the same name and root with another key, which signs the lists */
    struct testpki ca = testpki_intermediate("CA", &root);
    struct testpki signer = testpki_make(
        &(struct testpki_spec){.cn = "CA", .is_ca = true, .issuer = &root, .key_usage = "critical,cRLSign"});
    struct testpki elsewhere = testpki_root("Elsewhere");
    struct testpki foreign = testpki_make(&(struct testpki_spec){.cn = "CA", .is_ca = true, .issuer = &elsewhere});
    struct testpki leaf = testpki_client("x", &ca);
    struct scene scene = {.cas = {&root, &elsewhere}, .leaf = &leaf, .untrusted = {&ca, &signer, &foreign}};
    scene.bundle.crl_require = CRL_LEAF;
    scene.crls[0] = empty(&signer);
    ck_assert_str_eq(judge_code(&scene), "");
    scene.crls[0] = judge_crl_of(&signer, &leaf);
    ck_assert_str_eq(judge_code(&scene), "certificate_revoked");
    /* not when it is revoked itself, nor when it leads to another anchor (sec-24) */
    scene.crls[0] = empty(&signer);
    scene.crls[1] = judge_crl_of(&root, &signer);
    ck_assert_str_eq(judge_code(&scene), "crl_missing");
    scene.crls[1] = NULL;
    scene.crls[0] = empty(&foreign);
    ck_assert_str_eq(judge_code(&scene), "crl_missing");
    testpki_free(&ca);
    testpki_free(&signer);
    testpki_free(&elsewhere);
    testpki_free(&foreign);
    testpki_free(&leaf);
}
END_TEST

START_TEST(scopes_sec_29) {
    static const struct {
        const char *scope;
        const char *leaf, *intermediate; /* verdicts when the one list there is revokes nothing, and is required */
    } rows[] = {
        {"critical,onlyuser:TRUE", "", "crl_missing"},
        {"critical,onlyCA:TRUE", "crl_missing", ""},
        {"critical,onlysomereasons:keyCompromise", "crl_missing", "crl_missing"},
        {"critical,fullname:URI:http://crl.test/1", "crl_missing", "crl_missing"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct testpki_crl_spec spec = {.issuer = &root, .extra = {{"issuingDistributionPoint", rows[i].scope}}};
        const char *code = direct_code((struct trust_bundle){.crl_require = CRL_LEAF}, judge_crl(&spec), 0);
        ck_assert_msg(strcmp(code, rows[i].leaf) == 0, "row %zu: %s", i, code);
        code = chain_code(CRL_CHAIN, judge_crl(&spec), empty(&mid));
        ck_assert_msg(strcmp(code, rows[i].intermediate) == 0, "row %zu: %s", i, code);
    }
}
END_TEST

START_TEST(shards_by_distribution_point_sec_29) {
    struct testpki leaf = testpki_make(&(struct testpki_spec){
        .cn = "x", .issuer = &root, .extra = {{"crlDistributionPoints", "URI:http://crl.test/2"}}});
    struct scene scene = {.cas = {&root}, .leaf = &leaf, .bundle = {.crl_require = CRL_LEAF}};
    struct testpki_crl_spec first = {
        .issuer = &root, .extra = {{"issuingDistributionPoint", "critical,fullname:URI:http://crl.test/1"}}};
    struct testpki_crl_spec second = {
        .issuer = &root, .extra = {{"issuingDistributionPoint", "critical,fullname:URI:http://crl.test/2"}}};
    scene.crls[0] = judge_crl(&first);
    ck_assert_str_eq(judge_code(&scene), "crl_missing");
    scene.crls[0] = judge_crl(&first);
    scene.crls[1] = judge_crl(&second);
    ck_assert_str_eq(judge_code(&scene), "");
    testpki_free(&leaf);
}
END_TEST

START_TEST(reasons_add_up_over_lists) {
    struct scene scene = {.cas = {&root}, .leaf = &direct, .bundle = {.crl_require = CRL_LEAF}};
    struct testpki_crl_spec some = {.issuer = &root,
                                    .extra = {{"issuingDistributionPoint", "critical,onlysomereasons:keyCompromise"}}};
    struct testpki_crl_spec all = {.issuer = &root};
    scene.crls[0] = judge_crl(&some);
    ck_assert_str_eq(judge_code(&scene), "crl_missing");
    scene.crls[0] = judge_crl(&some);
    scene.crls[1] = judge_crl(&all);
    ck_assert_str_eq(judge_code(&scene), "");
}
END_TEST

/* A bundle that knows that a list of Root came and could not be used. */
static const char *refusal_code(enum crl_fault fault, enum crl_require require, struct crl *crl, bool issuer_is_known) {
    struct crl_refusal refusal = {.fault = fault, .issuer_is_known = issuer_is_known};
    if (issuer_is_known) { /* the name's digest, as the loader finds it in a list that is refused */
        struct testpki namesake = testpki_root("Root");
        struct crl *other = empty(&namesake);
        memcpy(refusal.issuer_name, crl_issuer_name(other), SHA256_SIZE);
        crl_unref(&other);
        testpki_free(&namesake);
    }
    struct scene scene = {.cas = {&root}, .leaf = &direct};
    scene.bundle.crl_require = require;
    scene.bundle.crl_refusals = &refusal;
    scene.bundle.crl_refusal_count = 1;
    scene.crls[0] = crl;
    return judge_code(&scene);
}

START_TEST(refused_lists_make_crl_invalid_sec_29) {
    ck_assert_str_eq(refusal_code(CRL_BAD_SIGNATURE, CRL_CHAIN, NULL, true), "crl_invalid");
    ck_assert_str_eq(refusal_code(CRL_BAD_SIGNATURE, CRL_IF_PRESENT, NULL, true), "crl_invalid");
    ck_assert_str_eq(refusal_code(CRL_MALFORMED, CRL_IF_PRESENT, NULL, false), "crl_invalid");
    ck_assert_str_eq(refusal_code(CRL_BAD_SIGNATURE, CRL_CHAIN, empty(&root), true), ""); /* a good one is there */
    ck_assert_str_eq(refusal_code(CRL_UNSUPPORTED, CRL_CHAIN, empty(&root), true),
                     "crl_invalid"); /* it may revoke more */
    ck_assert_str_eq(refusal_code(CRL_BAD_SIGNATURE, CRL_NEVER, NULL, true), "");
}
END_TEST

START_TEST(strict_wants_a_crl_number) {
    struct trust_bundle strict = {.crl_require = CRL_CHAIN, .strict = true};
    struct testpki_crl_spec numbered = {.issuer = &root, .number = "1", .extra = {{"authorityKeyIdentifier", "keyid"}}};
    ck_assert_str_eq(direct_code(strict, judge_crl(&numbered), 0), "");
    ck_assert_str_eq(direct_code(strict, empty(&root), 0), "crl_invalid");
}
END_TEST

START_TEST(serials_with_leading_zeros_and_signs) {
    struct testpki high = testpki_make(&(struct testpki_spec){.cn = "h", .issuer = &root, .serial = "FF"});
    struct testpki negative = testpki_make(&(struct testpki_spec){.cn = "n", .issuer = &root, .serial = "-01"});
    struct testpki_revoked revoked[] = {{"FF", -1, 0}, {NULL, 0, 0}};
    struct testpki_crl_spec spec = {.issuer = &root, .revoked = revoked};
    struct scene scene = {
        .cas = {&root}, .leaf = &high, .bundle = {.crl_require = CRL_CHAIN}, .crls = {judge_crl(&spec)}};
    ck_assert_str_eq(judge_code(&scene), "certificate_revoked");
    scene.leaf = &negative;
    scene.crls[0] = judge_crl(&spec);
    ck_assert_str_eq(judge_code(&scene), "");
    testpki_free(&high);
    testpki_free(&negative);
}
END_TEST

START_TEST(the_anchor_is_not_looked_up) {
    ck_assert_str_eq(direct_code((struct trust_bundle){.crl_require = CRL_CHAIN}, judge_crl_of(&root, &root), 0), "");
    /* with partial_chain the intermediate is the anchor, so Root's list does not count */
    struct scene scene = {.cas = {&mid}, .leaf = &client, .bundle = {.crl_require = CRL_CHAIN, .partial_chain = true}};
    scene.crls[0] = empty(&mid);
    scene.crls[1] = judge_crl_of(&root, &mid);
    ck_assert_str_eq(judge_code(&scene), "");
}
END_TEST

START_TEST(a_forged_certificate_is_not_looked_up_sec_30) {
    struct testpki other = testpki_root("Root");
    struct testpki forged = testpki_make(&(struct testpki_spec){.cn = "f", .issuer = &root, .signer = &other});
    struct scene scene = {.cas = {&root}, .leaf = &forged, .bundle = {.crl_require = CRL_CHAIN}};
    scene.crls[0] = judge_crl_of(&root, &forged);
    struct verify_report report = judge_report(&scene);
    ck_assert_int_eq(report.reason, REASON_CERTIFICATE_INVALID);
    ck_assert_uint_eq(report.faults, UINT64_C(1) << REASON_CERTIFICATE_INVALID);
    verify_report_fini(&report);
    testpki_free(&other);
    testpki_free(&forged);
}
END_TEST

Suite *pki_verify_crl_suite(void);
Suite *pki_verify_crl_suite(void) {
    Suite *suite = suite_create("verify_crl");
    TCase *tc = tcase_create("verify_crl");
    tcase_add_checked_fixture(tc, make_pki, free_pki);
    tcase_add_test(tc, require_modes_sec_28);
    tcase_add_test(tc, revoked_leaf_and_revoked_intermediate_sec_28);
    tcase_add_test(tc, revocation_is_reported_with_date_and_reason);
    tcase_add_test(tc, expired_lists_sec_29);
    tcase_add_test(tc, reports_say_until_when_lists_last);
    tcase_add_test(tc, lists_from_the_future_sec_29);
    tcase_add_test(tc, sha1_lists_only_where_allowed);
    tcase_add_test(tc, several_lists_of_one_issuer_are_united_sec_29);
    tcase_add_test(tc, a_list_of_a_namesake_is_not_this_cas_sec_24);
    tcase_add_test(tc, a_second_key_of_the_ca_may_sign_its_lists);
    tcase_add_test(tc, scopes_sec_29);
    tcase_add_test(tc, shards_by_distribution_point_sec_29);
    tcase_add_test(tc, reasons_add_up_over_lists);
    tcase_add_test(tc, refused_lists_make_crl_invalid_sec_29);
    tcase_add_test(tc, strict_wants_a_crl_number);
    tcase_add_test(tc, serials_with_leading_zeros_and_signs);
    tcase_add_test(tc, the_anchor_is_not_looked_up);
    tcase_add_test(tc, a_forged_certificate_is_not_looked_up_sec_30);
    suite_add_tcase(suite, tc);
    return suite;
}
