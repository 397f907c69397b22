#include "pki/verify_cache.h"

#include <check.h>

#include "judge.h"

/* That the verdict is the same with a cache as without is seen by every other test of verification (judge.c). Here:
 * that what is known is used, and every way in which it could be out of date. */

static struct testpki root, mid, client;
static struct verify_cache *cache;

static void set_up(void) {
    root = testpki_root("Root");
    mid = testpki_intermediate("Mid", &root);
    client = testpki_client("alice", &mid);
    cache = verify_cache_new();
}

static void tear_down(void) {
    verify_cache_free(&cache);
    testpki_free(&root);
    testpki_free(&mid);
    testpki_free(&client);
}

#define CODE(...) judge_code(&(struct scene){.cache = cache, __VA_ARGS__})

/* The same certificate as another object: which of them stands in a verdict's chain tells where the chain is from. */
static struct testpki twin_of(const struct testpki *original) {
    struct testpki twin = {.key = original->key, .x509 = original->x509};
    twin.cert = cert_from_der(cert_der(original->cert), NULL);
    return twin;
}

/* Is the path known for a bundle of the root? Asks with a twin of it. */
static bool is_known(const struct scene *scene) {
    struct testpki twin = twin_of(scene->cas[0]);
    struct scene again = *scene;
    again.cas[0] = &twin;
    again.cache = cache;
    struct verify_report report = judge_report(&again);
    ck_assert_int_eq(report.reason, REASON_NONE);
    bool is_old = report.chain.items[report.chain.count - 1] != twin.cert;
    verify_report_fini(&report);
    cert_unref(&twin.cert);
    return is_old;
}

#define IS_KNOWN(...) is_known(&(struct scene){__VA_ARGS__})

START_TEST(what_verified_is_known_from_then_on) {
    ck_assert(!IS_KNOWN(.cas = {&root}, .leaf = &client, .untrusted = {&mid}));
    ck_assert(IS_KNOWN(.cas = {&root}, .leaf = &client, .untrusted = {&mid}));
    ck_assert_uint_eq(verify_cache_count(cache), 1);
    struct cert *leaf = verify_cache_cert(cache, cert_der(client.cert));
    struct cert *same = verify_cache_cert_of(cache, client.x509);
    ck_assert_ptr_eq(leaf, client.cert);
    ck_assert_ptr_eq(same, client.cert);
    cert_unref(&leaf);
    cert_unref(&same);
    leaf = verify_cache_cert(cache, cert_der(mid.cert)); /* not a leaf: decoded */
    ck_assert_ptr_ne(leaf, mid.cert);
    ck_assert_mem_eq(cert_sha256(leaf), cert_sha256(mid.cert), SHA256_SIZE);
    cert_unref(&leaf);
    ck_assert_ptr_null(verify_cache_cert(cache, SLICE("no certificate")));
}
END_TEST

START_TEST(sec_37_what_did_not_verify_is_not_kept) {
    struct testpki other = testpki_root("Root");
    struct testpki forged = testpki_make(&(struct testpki_spec){.cn = "alice", .issuer = &root, .signer = &other});
    struct testpki late =
        testpki_make(&(struct testpki_spec){.cn = "l", .issuer = &root, .not_after = TESTPKI_NOW - 1});
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &forged), "certificate_invalid");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &late), "certificate_expired");
    ck_assert_str_eq(CODE(.cas = {&other}, .leaf = &client, .untrusted = {&mid}), "certificate_untrusted");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &client, .untrusted = {&mid}, .bundle.crl_require = CRL_CHAIN),
                     "crl_missing");
    ck_assert_uint_eq(verify_cache_count(cache), 0);
    testpki_free(&other);
    testpki_free(&forged);
    testpki_free(&late);
}
END_TEST

START_TEST(sec_02_a_certificate_revoked_since_is_refused) {
    struct trust_bundle looks = {.crl_require = CRL_IF_PRESENT};
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &client, .untrusted = {&mid}, .bundle = looks), "");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &client, .untrusted = {&mid}, .bundle = looks,
                          .crls = {judge_crl_of(&mid, &client)}),
                     "certificate_revoked");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &client, .untrusted = {&mid}, .bundle = looks,
                          .crls = {judge_crl_of(&root, &mid)}),
                     "certificate_revoked");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &client, .untrusted = {&mid}, .bundle = looks), "");
}
END_TEST

START_TEST(sec_02_a_list_that_ran_out_or_went_is_missed) {
    struct trust_bundle wants = {.crl_require = CRL_LEAF};
    struct testpki_crl_spec spec = {.issuer = &mid, .next_update = TESTPKI_NOW + 60};
    ck_assert_str_eq(
        CODE(.cas = {&root}, .leaf = &client, .untrusted = {&mid}, .bundle = wants, .crls = {judge_crl(&spec)}), "");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &client, .untrusted = {&mid}, .bundle = wants,
                          .crls = {judge_crl(&spec)}, .now = TESTPKI_NOW + 61),
                     "crl_expired");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &client, .untrusted = {&mid}, .bundle = wants), "crl_missing");
}
END_TEST

START_TEST(sec_46_dates_are_judged_every_time) {
    struct testpki brief = testpki_make(&(struct testpki_spec){
        .cn = "brief", .issuer = &root, .not_before = TESTPKI_NOW - 60, .not_after = TESTPKI_NOW + 60});
    struct testpki soon = testpki_make(&(struct testpki_spec){
        .cn = "soon", .issuer = &root, .is_ca = true, .not_before = TESTPKI_NOW - 60, .not_after = TESTPKI_NOW + 60});
    struct testpki under = testpki_client("under", &soon);
    static const struct {
        int offset;
        const char *code;
    } CASES[] = {{0, ""},  {-61, "certificate_not_yet_valid"},        {-60, ""}, {61, "certificate_expired"},
                 {60, ""}, {20 * 86400 * 365, "certificate_expired"}, {0, ""}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        time_t now = TESTPKI_NOW + CASES[i].offset;
        ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &brief, .now = now), CASES[i].code);
        ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &under, .untrusted = {&soon}, .now = now), CASES[i].code);
    }
    testpki_free(&brief);
    testpki_free(&soon);
    testpki_free(&under);
}
END_TEST

START_TEST(sec_01_another_bundle_or_other_options_know_nothing_of_it) {
    struct testpki other = testpki_root("Other");
    struct testpki server = testpki_make(
        &(struct testpki_spec){.cn = "both", .issuer = &root, .extended_key_usage = "clientAuth,serverAuth"});
    struct testpki only = testpki_make(&(struct testpki_spec){.cn = "only", .issuer = &root});
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &only), "");
    ck_assert_str_eq(CODE(.cas = {&other}, .leaf = &only), "certificate_untrusted");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &only, .bundle.extended_key_usage = TRUST_EKU_SERVER_AUTH),
                     "certificate_purpose");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &client, .untrusted = {&mid}), "");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &client, .untrusted = {&mid}, .bundle.max_depth = -1),
                     "certificate_invalid");
    ck_assert_str_eq(CODE(.cas = {&mid}, .leaf = &client, .bundle.partial_chain = true), "");
    ck_assert_str_eq(CODE(.cas = {&mid, &root}, .leaf = &client), "");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &client), "certificate_untrusted"); /* the CA file lost mid */
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &server), "");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &server, .bundle.strict = true), "");
    testpki_free(&other);
    testpki_free(&server);
    testpki_free(&only);
}
END_TEST

START_TEST(other_certificates_beside_the_leaf_are_another_chain) {
    struct testpki stranger = testpki_intermediate("Stranger", &root);
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &client, .untrusted = {&mid}), "");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &client), "certificate_untrusted");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &client, .untrusted = {&stranger}), "certificate_untrusted");
    ck_assert(IS_KNOWN(.cas = {&root}, .leaf = &client, .untrusted = {&mid}));
    ck_assert(!IS_KNOWN(.cas = {&root}, .leaf = &client, .untrusted = {&mid, &stranger}));
    ck_assert(!IS_KNOWN(.cas = {&root}, .leaf = &client, .untrusted = {&mid})); /* one entry for a leaf */
    ck_assert_uint_eq(verify_cache_count(cache), 1);
    testpki_free(&stranger);
}
END_TEST

/* A cross-certified CA: when the path that is known is no good any more, the other one is found. */
START_TEST(a_path_that_went_bad_makes_room_for_another) {
    struct testpki other = testpki_root("Other");
    struct testpki cross =
        testpki_make(&(struct testpki_spec){.cn = "Mid", .is_ca = true, .key = mid.key, .issuer = &other});
    struct trust_bundle looks = {.crl_require = CRL_IF_PRESENT};
    ck_assert_str_eq(CODE(.cas = {&root, &other}, .leaf = &client, .untrusted = {&mid, &cross}, .bundle = looks), "");
    struct verify_report report = judge_report(&(struct scene){.cas = {&root, &other},
                                                               .leaf = &client,
                                                               .untrusted = {&mid, &cross},
                                                               .bundle = looks,
                                                               .crls = {judge_crl_of(&root, &mid)},
                                                               .cache = cache});
    ck_assert_int_eq(report.reason, REASON_NONE);
    ck_assert_ptr_eq(report.chain.items[2], other.cert);
    verify_report_fini(&report);
    ck_assert_str_eq(CODE(.cas = {&root, &other}, .leaf = &client, .untrusted = {&mid}, .bundle = looks,
                          .crls = {judge_crl_of(&root, &mid)}),
                     "certificate_revoked");
    testpki_free(&cross);
    testpki_free(&other);
}
END_TEST

START_TEST(sec_37_it_is_bounded_and_the_one_unused_for_longest_goes) {
    struct testpki first = testpki_client("first", &root), second = testpki_client("second", &root);
    EVP_PKEY *key = testpki_key_ec();
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &first), "");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &second), "");
    for (int i = 0; i < VERIFY_CACHE_CLIENTS_MAX; i++) {
        struct testpki leaf = testpki_make(&(struct testpki_spec){.cn = "many", .issuer = &root, .key = key});
        struct verify_report report = judge_report(&(struct scene){.cas = {&root}, .leaf = &leaf, .cache = cache});
        ck_assert_int_eq(report.reason, REASON_NONE);
        verify_report_fini(&report);
        testpki_free(&leaf);
        if (i % 100 == 0)
            ck_assert(IS_KNOWN(.cas = {&root}, .leaf = &first));
    }
    ck_assert_uint_le(verify_cache_count(cache), VERIFY_CACHE_CLIENTS_MAX);
    ck_assert_uint_gt(verify_cache_count(cache), VERIFY_CACHE_CLIENTS_MAX / 2);
    ck_assert(IS_KNOWN(.cas = {&root}, .leaf = &first));
    ck_assert(!IS_KNOWN(.cas = {&root}, .leaf = &second));
    EVP_PKEY_free(key);
    testpki_free(&first);
    testpki_free(&second);
}
END_TEST

START_TEST(without_a_cache_it_is_plain_verification) {
    struct err err = {""};
    struct trust_bundle bundle = {.name = "test"};
    struct verify_report report;
    cert_list_add(&bundle.certs, root.cert);
    struct trust *trust = trust_new(&bundle, 1, &err);
    verify_chain_cached(NULL, trust, client.cert, NULL, TESTPKI_NOW, &report);
    ck_assert_int_eq(report.reason, REASON_CERTIFICATE_UNTRUSTED);
    verify_report_fini(&report);
    verify_chain_cached(cache, trust, NULL, NULL, TESTPKI_NOW, &report);
    ck_assert_int_eq(report.reason, REASON_CERTIFICATE_MISSING);
    verify_report_fini(&report);
    trust_unref(&trust);
    cert_list_fini(&bundle.certs);
}
END_TEST

Suite *pki_verify_cache_suite(void);
Suite *pki_verify_cache_suite(void) {
    Suite *suite = suite_create("verify_cache");
    TCase *tc = tcase_create("cache");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, what_verified_is_known_from_then_on);
    tcase_add_test(tc, sec_37_what_did_not_verify_is_not_kept);
    tcase_add_test(tc, sec_02_a_certificate_revoked_since_is_refused);
    tcase_add_test(tc, sec_02_a_list_that_ran_out_or_went_is_missed);
    tcase_add_test(tc, sec_46_dates_are_judged_every_time);
    tcase_add_test(tc, sec_01_another_bundle_or_other_options_know_nothing_of_it);
    tcase_add_test(tc, other_certificates_beside_the_leaf_are_another_chain);
    tcase_add_test(tc, a_path_that_went_bad_makes_room_for_another);
    tcase_add_test(tc, sec_37_it_is_bounded_and_the_one_unused_for_longest_goes);
    tcase_add_test(tc, without_a_cache_it_is_plain_verification);
    suite_add_tcase(suite, tc);
    return suite;
}
