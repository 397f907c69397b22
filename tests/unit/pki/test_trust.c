#include "pki/trust.h"

#include <check.h>

#include "judge.h"

static struct trust *make(struct trust_bundle *bundle, const struct testpki *first, const struct testpki *second,
                          struct err *err) {
    bundle->certs = (struct cert_list){NULL, 0};
    bundle->name = bundle->name ? bundle->name : "b";
    if (first != NULL)
        cert_list_add(&bundle->certs, first->cert);
    if (second != NULL)
        cert_list_add(&bundle->certs, second->cert);
    struct trust *trust = trust_new(bundle, 1, err);
    cert_list_fini(&bundle->certs);
    return trust;
}

START_TEST(what_makes_no_bundle_sec_09_sec_22) {
    struct testpki root = testpki_root("Root"), mid = testpki_intermediate("Mid", &root),
                   leaf = testpki_client("x", &root);
    struct testpki v1 = testpki_make(&(struct testpki_spec){.cn = "v1", .is_v1 = true});
    struct err err = {""};
    ck_assert_ptr_null(trust_new(NULL, 0, &err));
    ck_assert_ptr_null(make(&(struct trust_bundle){0}, NULL, NULL, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "holds no certificate"));
    ck_assert_ptr_null(make(&(struct trust_bundle){0}, &root, &leaf, &err)); /* a leaf in the CA file (sec-23) */
    ck_assert_ptr_nonnull(strstr(err.text, "certificate 2 (CN=x) is no CA"));
    ck_assert_ptr_null(make(&(struct trust_bundle){0}, &v1, NULL, &err));
    ck_assert_ptr_null(make(&(struct trust_bundle){0}, &mid, NULL, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "no root"));
    testpki_free(&root);
    testpki_free(&mid);
    testpki_free(&leaf);
    testpki_free(&v1);
}
END_TEST

/* Certificates that were accepted before, as text: one decoding for all trusts, and the same answers. */
START_TEST(a_proved_bundle_is_the_same_bundle) {
    struct testpki root = testpki_root("Root"), leaf = testpki_client("x", &root);
    struct trust_bundle plain = {0};
    struct sbuf pem;
    struct err err = {""};
    sbuf_init(&pem, 1 << 16);
    testpki_cert_pem(&root, &pem);
    struct proved *proved = proved_new(sbuf_slice(&pem));
    sbuf_fini(&pem);
    const struct trust_bundle later = {.name = "b", .proved = proved};
    struct trust *given = make(&plain, &root, NULL, &err), *one = trust_new(&later, 1, &err),
                 *other = trust_new(&later, 1, &err), *unused = trust_new(&later, 1, &err);
    ck_assert_ptr_eq(proved_certs(proved), proved_certs(proved));
    proved_unref(&proved);
    ck_assert_str_eq(trust_bundle_name(one, 0), "b");
    ck_assert_mem_eq(trust_id(one), trust_id(given), SHA256_SIZE);
    ck_assert_mem_eq(trust_generation(other), trust_generation(given), SHA256_SIZE);
    ck_assert(trust_has_anchor(one, cert_sha256(root.cert)) && !trust_has_anchor(one, cert_sha256(leaf.cert)));
    struct trust *const trusts[] = {one, other, given, unused};
    for (size_t i = 0; i < 4; i++) {
        struct verify_report report;
        const struct cert_list none = {NULL, 0};
        verify_chain(trusts[i], leaf.cert, &none, TESTPKI_NOW, NULL, &report);
        ck_assert_int_eq(report.reason, REASON_NONE);
        verify_report_fini(&report);
        struct trust *last = trusts[i];
        trust_unref(&last);
    }
    testpki_free(&root);
    testpki_free(&leaf);
}
END_TEST

static void check_differs(struct trust_bundle *one, struct trust_bundle *two, const struct testpki *ca, bool id_differs,
                          bool generation_differs) {
    struct err err = {""};
    struct trust *a = make(one, ca, NULL, &err), *b = make(two, ca, NULL, &err);
    ck_assert(a != NULL && b != NULL);
    ck_assert((memcmp(trust_id(a), trust_id(b), SHA256_SIZE) != 0) == id_differs);
    ck_assert((memcmp(trust_generation(a), trust_generation(b), SHA256_SIZE) != 0) == generation_differs);
    trust_unref(&a);
    trust_unref(&b);
}

START_TEST(id_and_generation_sec_01) {
    struct testpki root = testpki_root("Root");
    struct crl *crl = judge_crl(&(struct testpki_crl_spec){.issuer = &root});
    struct trust_bundle plain = {0};
    check_differs(&plain, &(struct trust_bundle){0}, &root, false, false);
    check_differs(&plain, &(struct trust_bundle){.name = "c"}, &root, true, true);
    check_differs(&plain, &(struct trust_bundle){.partial_chain = true}, &root, true, true);
    check_differs(&plain, &(struct trust_bundle){.extended_key_usage = TRUST_EKU_ANY}, &root, true, true);
    check_differs(&plain, &(struct trust_bundle){.crl_require = CRL_CHAIN}, &root, true, true);
    check_differs(&plain, &(struct trust_bundle){.crls = &crl, .crl_count = 1}, &root, false, true);
    crl_unref(&crl);
    testpki_free(&root);
}
END_TEST

START_TEST(anchors_and_names) {
    struct testpki root = testpki_root("Root"), mid = testpki_intermediate("Mid", &root);
    const struct cert *const *names;
    struct err err = {""};
    struct trust *trust = make(&(struct trust_bundle){.name = "devices"}, &mid, &root, &err);
    ck_assert_msg(trust != NULL, "%s", err.text);
    ck_assert(trust_has_anchor(trust, cert_sha256(root.cert)));
    ck_assert(!trust_has_anchor(trust, cert_sha256(mid.cert)));
    ck_assert_uint_eq(trust_ca_names(trust, &names), 1);
    ck_assert_ptr_eq(names[0], root.cert);
    ck_assert_uint_eq(trust_bundle_count(trust), 1);
    ck_assert_str_eq(trust_bundle_name(trust, 0), "devices");
    trust_unref(&trust);
    trust = make(&(struct trust_bundle){.partial_chain = true}, &mid, NULL, &err);
    ck_assert(trust_has_anchor(trust, cert_sha256(mid.cert)));
    trust_unref(&trust);
    testpki_free(&root);
    testpki_free(&mid);
}
END_TEST

START_TEST(more_than_16_names_are_not_offered) {
    struct trust_bundle bundle = {.name = "many"};
    const struct cert *const *names;
    struct err err = {""};
    for (int i = 0; i < 17; i++) {
        char cn[16];
        (void)snprintf(cn, sizeof(cn), "CA%d", i);
        struct testpki ca = testpki_root(cn);
        cert_list_add(&bundle.certs, ca.cert);
        testpki_free(&ca);
        struct trust *trust = trust_new(&bundle, 1, &err);
        ck_assert_uint_eq(trust_ca_names(trust, &names), i < 16 ? (size_t)i + 1 : 0);
        trust_unref(&trust);
    }
    cert_list_fini(&bundle.certs);
}
END_TEST

Suite *pki_trust_suite(void);
Suite *pki_trust_suite(void) {
    Suite *suite = suite_create("trust");
    TCase *tc = tcase_create("trust");
    tcase_add_test(tc, what_makes_no_bundle_sec_09_sec_22);
    tcase_add_test(tc, a_proved_bundle_is_the_same_bundle);
    tcase_add_test(tc, id_and_generation_sec_01);
    tcase_add_test(tc, anchors_and_names);
    tcase_add_test(tc, more_than_16_names_are_not_offered);
    suite_add_tcase(suite, tc);
    return suite;
}
