#include <check.h>
#include <openssl/core_names.h>
#include <openssl/dsa.h>
#include <openssl/param_build.h>

#include "judge.h"
#include "pki/dsa.h"

static struct testpki root;

static void make_pki(void) { root = testpki_root("Root"); }
static void free_pki(void) { testpki_free(&root); }

#define CODE(...) judge_code(&(struct scene){__VA_ARGS__})

/* Two certificates for one CA (one name, one key), of which the first does not hold. Both orders of sending them. */
static void check_twins(const struct testpki *bad, const struct testpki *good, const struct scene *given) {
    struct scene scene = *given;
    size_t at = 0;
    while (scene.untrusted[at] != NULL)
        at++;
    scene.untrusted[at] = bad;
    ck_assert_str_ne(judge_code(&scene), "");
    scene.untrusted[at + 1] = good;
    ck_assert_str_eq(judge_code(&scene), "");
    scene.untrusted[at] = good;
    scene.untrusted[at + 1] = bad;
    ck_assert_str_eq(judge_code(&scene), "");
}

START_TEST(another_path_is_tried_when_one_does_not_hold) {
    EVP_PKEY *key = testpki_key_ec();
    struct testpki second = testpki_root("Second");
    struct testpki_spec spec = {.cn = "CA", .is_ca = true, .issuer = &root, .key = key};
    struct testpki good = testpki_make(&spec);
    struct testpki leaf = testpki_make(&(struct testpki_spec){.cn = "x", .issuer = &good, .san = "DNS:a.lab.test"});
    struct testpki narrow = testpki_make(&(struct testpki_spec){
        .cn = "Narrow", .is_ca = true, .issuer = &second, .name_constraints = "critical,excluded;DNS:lab.test"});
    struct scene scene = {.cas = {&root, &second}, .leaf = &leaf, .untrusted = {&narrow}};
    spec.issuer = &narrow; /* constrained above */
    struct testpki bad = testpki_make(&spec);
    check_twins(&bad, &good, &scene);
    testpki_free(&bad);
    struct testpki lost = testpki_root("Lost");
    spec.issuer = &lost; /* leads nowhere */
    bad = testpki_make(&spec);
    check_twins(&bad, &good, &scene);
    testpki_free(&bad);
    spec.issuer = &root;
    spec.not_after = TESTPKI_NOW - 1; /* has expired */
    bad = testpki_make(&spec);
    check_twins(&bad, &good, &scene);
    testpki_free(&bad);
    spec.not_after = 0;
    spec.name_constraints = "critical,permitted;DNS:other.test"; /* is constrained itself */
    bad = testpki_make(&spec);
    check_twins(&bad, &good, &scene);
    testpki_free(&bad);
    testpki_free(&lost);
    testpki_free(&second);
    testpki_free(&good);
    testpki_free(&leaf);
    testpki_free(&narrow);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(a_revoked_cross_certificate_does_not_take_the_other_path_along) {
    EVP_PKEY *key = testpki_key_ec();
    struct testpki second = testpki_root("Second");
    struct testpki_spec spec = {.cn = "CA", .is_ca = true, .issuer = &root, .key = key};
    struct testpki good = testpki_make(&spec);
    spec.issuer = &second;
    struct testpki revoked = testpki_make(&spec);
    struct testpki leaf = testpki_client("x", &good);
    struct scene scene = {.cas = {&root, &second}, .leaf = &leaf, .untrusted = {&revoked, &good}};
    scene.bundle.crl_require = CRL_IF_PRESENT;
    scene.crls[0] = judge_crl_of(&second, &revoked);
    ck_assert_str_eq(judge_code(&scene), "");
    scene.crls[0] = judge_crl_of(&second, &revoked);
    scene.untrusted[1] = NULL;
    ck_assert_str_eq(judge_code(&scene), "certificate_revoked");
    scene.untrusted[1] = &good; /* no path mends what is wrong with the leaf */
    scene.crls[0] = judge_crl_of(&good, &leaf);
    ck_assert_str_eq(judge_code(&scene), "certificate_revoked");
    testpki_free(&second);
    testpki_free(&good);
    testpki_free(&revoked);
    testpki_free(&leaf);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(a_ca_with_a_new_key_under_its_old_name) {
    /* without key identifiers nothing but the signature tells which of the two it was */
    struct testpki_spec spec = {.cn = "CA", .is_ca = true, .has_no_key_ids = true};
    struct testpki first = testpki_make(&spec), second = testpki_make(&spec), third = testpki_make(&spec);
    struct testpki of_first = testpki_make(&(struct testpki_spec){.cn = "a", .issuer = &first, .has_no_key_ids = true});
    struct testpki of_second =
        testpki_make(&(struct testpki_spec){.cn = "b", .issuer = &second, .has_no_key_ids = true});
    struct testpki of_third = testpki_make(&(struct testpki_spec){.cn = "c", .issuer = &third, .has_no_key_ids = true});
    ck_assert_str_eq(CODE(.cas = {&first, &second}, .leaf = &of_first), "");
    ck_assert_str_eq(CODE(.cas = {&first, &second}, .leaf = &of_second), "");
    ck_assert_str_eq(CODE(.cas = {&first, &second}, .leaf = &of_third), "certificate_invalid");
    ck_assert_str_eq(CODE(.cas = {&first, &second, &third}, .leaf = &of_third), "");
    testpki_free(&first);
    testpki_free(&second);
    testpki_free(&third);
    testpki_free(&of_first);
    testpki_free(&of_second);
    testpki_free(&of_third);
}
END_TEST

START_TEST(paths_are_tried_up_to_a_bound_sec_35) {
    enum { TWINS = 14 };
    struct testpki twins[TWINS], lost = testpki_root("Lost");
    EVP_PKEY *key = testpki_key_ec();
    struct testpki_spec spec = {.cn = "CA", .is_ca = true, .issuer = &lost, .key = key};
    struct scene scene = {.cas = {&root}};
    for (int i = 0; i < TWINS; i++) {
        spec.issuer = i < TWINS - 1 ? &lost : &root;
        twins[i] = testpki_make(&spec);
        scene.untrusted[i] = &twins[i];
    }
    struct testpki leaf = testpki_client("x", &twins[0]);
    struct trace trace;
    struct cert_list untrusted = {NULL, 0};
    struct trust_bundle bundle = {.name = "b"};
    struct verify_report report;
    struct err err = {""};
    cert_list_add(&bundle.certs, root.cert);
    for (int i = 0; i < TWINS; i++)
        cert_list_add(&untrusted, twins[i].cert);
    struct trust *trust = trust_new(&bundle, 1, &err);
    trace_init(&trace);
    verify_chain(trust, leaf.cert, &untrusted, TESTPKI_NOW, &trace, &report);
    ck_assert_int_eq(report.reason, REASON_CERTIFICATE_UNTRUSTED); /* the good one is beyond the bound */
    size_t tried = 0;
    for (size_t i = 0; i < trace.count; i++)
        tried += strstr(trace.entries[i].text, "another path") != NULL;
    ck_assert_uint_eq(tried, 8);
    verify_report_fini(&report);
    trace_fini(&trace);
    trust_unref(&trust);
    cert_list_fini(&untrusted);
    cert_list_fini(&bundle.certs);
    scene.leaf = &leaf;
    scene.untrusted[4] = &twins[TWINS - 1];
    scene.untrusted[5] = NULL;
    ck_assert_str_eq(judge_code(&scene), "");
    testpki_free(&leaf);
    testpki_free(&lost);
    for (int i = 0; i < TWINS; i++)
        testpki_free(&twins[i]);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(policies_count_where_one_is_asked_for) {
    static const struct {
        const char *constraints, *of_ca, *of_leaf, *expected;
    } rows[] = {
        {NULL, NULL, NULL, ""},
        {NULL, "1.2.3.4", NULL, ""},
        {"critical,requireExplicitPolicy:0", "1.2.3.4", "1.2.3.4", ""},
        {"critical,requireExplicitPolicy:0", "1.2.3.4", "1.2.3.5", "certificate_invalid"},
        {"critical,requireExplicitPolicy:0", "1.2.3.4", NULL, "certificate_invalid"},
        {"critical,requireExplicitPolicy:0", NULL, "1.2.3.4", "certificate_invalid"},
        {"critical,requireExplicitPolicy:0", "2.5.29.32.0", "1.2.3.4", ""},
        {"critical,requireExplicitPolicy:5", NULL, NULL, ""}, /* only on longer paths */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct testpki_spec of_ca = {.cn = "CA", .is_ca = true, .issuer = &root}, of_leaf = {.cn = "x"};
        of_ca.extra[0][0] = rows[i].of_ca ? "certificatePolicies" : NULL;
        of_ca.extra[0][1] = rows[i].of_ca;
        if (rows[i].constraints != NULL) {
            int at = rows[i].of_ca != NULL;
            of_ca.extra[at][0] = "policyConstraints";
            of_ca.extra[at][1] = rows[i].constraints;
        }
        of_leaf.extra[0][0] = rows[i].of_leaf ? "certificatePolicies" : NULL;
        of_leaf.extra[0][1] = rows[i].of_leaf;
        struct testpki ca = testpki_make(&of_ca);
        of_leaf.issuer = &ca;
        struct testpki leaf = testpki_make(&of_leaf);
        struct scene sent = {.cas = {&root}, .leaf = &leaf, .untrusted = {&ca}};
        struct scene kept = {.cas = {&root, &ca}, .leaf = &leaf};
        ck_assert_msg(strcmp(judge_code(&sent), rows[i].expected) == 0, "row %zu: %s", i, judge_code(&sent));
        ck_assert_msg(strcmp(judge_code(&kept), rows[i].expected) == 0, "row %zu: %s", i, judge_code(&kept));
        testpki_free(&ca);
        testpki_free(&leaf);
    }
}
END_TEST

START_TEST(names_under_constraints_of_every_kind_sec_27) {
    static const struct {
        const char *constraints, *subject, *san, *expected;
    } rows[] = {
        {"critical,permitted;dirName:dir", "O=Lab/CN=x y", NULL, ""},
        {"critical,permitted;dirName:dir", "O=Elsewhere/CN=x y", NULL, "certificate_invalid"},
        {"critical,excluded;dirName:dir", "O=Lab/CN=x y", NULL, "certificate_invalid"},
        {"critical,excluded;dirName:dir", "O=Elsewhere/CN=x y", NULL, ""},
        {"critical,permitted;IP:2001:db8::/ffff:ffff::", NULL, "IP:2001:db8::1", ""},
        {"critical,permitted;IP:2001:db8::/ffff:ffff::", NULL, "IP:2001:db9::1", "certificate_invalid"},
        {"critical,permitted;IP:10.0.0.0/255.0.0.0", NULL, "IP:2001:db8::1", "certificate_invalid"},
        {"critical,excluded;URI:.lab.test", NULL, "URI:spiffe://a.lab.test/x", "certificate_invalid"},
        {"critical,excluded;URI:.lab.test", NULL, "URI:spiffe://a.other.test/x", ""},
        {"critical,excluded;email:a@lab.test", NULL, "email:a@lab.test", "certificate_invalid"},
        {"critical,excluded;email:a@lab.test", NULL, "email:b@lab.test", ""},
        /* a kind that is not understood, where the certificate has such a name */
        {"critical,permitted;RID:1.2.3", NULL, "RID:1.2.3", "certificate_invalid"},
        {"critical,permitted;RID:1.2.3", NULL, "DNS:a.lab.test", ""},
        /* names that cannot be compared */
        {"critical,permitted;DNS:lab.test", NULL, "DNS:a.lab.test,DNS:.lab.test", "certificate_invalid"},
        {"critical,permitted;DNS:lab.test", NULL, "DNS:a..lab.test", "certificate_invalid"},
        {"critical,permitted;email:lab.test", NULL, "email:a@b@lab.test", "certificate_invalid"},
        {NULL, NULL, "email:a@b@lab.test", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct testpki_spec of_ca = {.cn = "CA", .is_ca = true, .issuer = &root};
        of_ca.name_constraints = rows[i].constraints;
        struct testpki ca = testpki_make(&of_ca);
        struct testpki leaf = testpki_make(&(struct testpki_spec){
            .subject = rows[i].subject ? rows[i].subject : "CN=x y", .issuer = &ca, .san = rows[i].san});
        struct scene scene = {.cas = {&root}, .leaf = &leaf, .untrusted = {&ca}};
        ck_assert_msg(strcmp(judge_code(&scene), rows[i].expected) == 0, "row %zu: %s", i, judge_code(&scene));
        testpki_free(&ca);
        testpki_free(&leaf);
    }
}
END_TEST

START_TEST(name_constraints_stand_on_cas_only_sec_27) {
    struct testpki leaf = testpki_make(
        &(struct testpki_spec){.cn = "x", .issuer = &root, .name_constraints = "critical,permitted;DNS:a.test"});
    struct testpki ca = testpki_make(&(struct testpki_spec){
        .cn = "y", .issuer = &root, .is_ca = true, .name_constraints = "critical,permitted;DNS:a.test"});
    struct testpki under = testpki_make(&(struct testpki_spec){.cn = "x y", .issuer = &ca});
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &leaf), "certificate_invalid");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &under, .untrusted = {&ca}), "");
    testpki_free(&leaf);
    testpki_free(&ca);
    testpki_free(&under);
}
END_TEST

/* --- keys ----------------------------------------------------------------------------------------------------- */

static EVP_PKEY *dsa_key(void) {
    EVP_PKEY *parameters = NULL, *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DSA", NULL);
    ck_assert(EVP_PKEY_paramgen_init(ctx) == 1 && EVP_PKEY_CTX_set_dsa_paramgen_bits(ctx, 1024) == 1 &&
              EVP_PKEY_CTX_set_dsa_paramgen_q_bits(ctx, 160) == 1 && EVP_PKEY_paramgen(ctx, &parameters) == 1);
    EVP_PKEY_CTX_free(ctx);
    ctx = EVP_PKEY_CTX_new(parameters, NULL);
    ck_assert(EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_keygen(ctx, &key) == 1);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(parameters);
    return key;
}

/* A public key with a modulus of so many bits; nobody knows its factors. */
static EVP_PKEY *rsa_public_key(int bits) {
    BIGNUM *n = BN_new(), *e = BN_new();
    EVP_PKEY *key = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD);
    BN_set_word(e, RSA_F4);
    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n);
    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e);
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    ck_assert(EVP_PKEY_fromdata_init(ctx) == 1 && EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, parameters) == 1);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(e);
    return key;
}

START_TEST(sizes_and_kinds_of_keys) {
    struct {
        EVP_PKEY *key;
        const char *expected;
    } rows[] = {
        {rsa_public_key(8192), ""},
        {rsa_public_key(2048), ""},
        {rsa_public_key(1536), "certificate_invalid"},
        {EVP_EC_gen("P-521"), ""},
        {EVP_EC_gen("P-224"), ""},
        {EVP_EC_gen("P-192"), "certificate_invalid"},
        {EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), ""},
        {EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), "certificate_invalid"}, /* signs nothing */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct testpki leaf = testpki_make(&(struct testpki_spec){.cn = "x", .issuer = &root, .key = rows[i].key});
        const char *code = CODE(.cas = {&root}, .leaf = &leaf);
        ck_assert_msg(strcmp(code, rows[i].expected) == 0, "row %zu: %s", i, code);
        testpki_free(&leaf);
        EVP_PKEY_free(rows[i].key);
    }
}
END_TEST

START_TEST(rsa_pss_chains) {
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
    ck_assert(EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048) == 1 &&
              EVP_PKEY_keygen(ctx, &key) == 1);
    EVP_PKEY_CTX_free(ctx);
    struct testpki ca = testpki_make(&(struct testpki_spec){.cn = "PSS", .is_ca = true, .key = key});
    struct testpki other = testpki_make(&(struct testpki_spec){.cn = "PSS", .is_ca = true});
    struct testpki leaf = testpki_client("x", &ca);
    struct testpki forged = testpki_make(&(struct testpki_spec){.cn = "x", .issuer = &ca, .signer = &other});
    ck_assert_str_eq(CODE(.cas = {&ca}, .leaf = &leaf), "");
    ck_assert_str_ne(CODE(.cas = {&ca}, .leaf = &forged), "");
    testpki_free(&ca);
    testpki_free(&other);
    testpki_free(&leaf);
    testpki_free(&forged);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(dsa_is_refused_unless_asked_for) {
    EVP_PKEY *key = dsa_key();
    struct testpki ca = testpki_make(&(struct testpki_spec){.cn = "DSA", .is_ca = true, .key = key});
    struct testpki under = testpki_client("x", &ca);
    struct testpki leaf = testpki_make(&(struct testpki_spec){.cn = "x", .issuer = &root, .key = key});
    struct scene scene = {.cas = {&ca}, .leaf = &under};
    ck_assert(dsa_has_key(ca.cert) && dsa_has_key(leaf.cert) && !dsa_has_key(under.cert));
    ck_assert_str_eq(judge_code(&scene), "certificate_invalid");
    scene.bundle.allow_dsa = true;
    ck_assert_str_eq(judge_code(&scene), "");
    struct testpki forged = testpki_make(&(struct testpki_spec){.cn = "x", .issuer = &ca, .signer = &root});
    scene.leaf = &forged;
    ck_assert_str_ne(judge_code(&scene), "");
    struct scene at_the_end = {.cas = {&root}, .leaf = &leaf};
    ck_assert_str_eq(judge_code(&at_the_end), "certificate_invalid");
    at_the_end.bundle.allow_dsa = true;
    ck_assert_str_eq(judge_code(&at_the_end), "");
    testpki_free(&ca);
    testpki_free(&under);
    testpki_free(&leaf);
    testpki_free(&forged);
    EVP_PKEY_free(key);
}
END_TEST

/* Takes the parameters out of a certificate's key. */
static void drop_parameters(X509 *x509) {
    X509_ALGOR *algor;
    X509_PUBKEY_get0_param(NULL, NULL, NULL, &algor, X509_get_X509_PUBKEY(x509));
    X509_ALGOR_set0(algor, OBJ_nid2obj(NID_dsa), V_ASN1_UNDEF, NULL);
}

START_TEST(dsa_parameters_are_inherited_from_the_issuer_of_the_chain) {
    EVP_PKEY *key = dsa_key(), *second = NULL, *other = dsa_key();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    ck_assert(EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_keygen(ctx, &second) == 1);
    EVP_PKEY_CTX_free(ctx);
    struct testpki ca = testpki_make(&(struct testpki_spec){.cn = "DSA", .is_ca = true, .key = key});
    struct testpki stranger = testpki_make(&(struct testpki_spec){.cn = "DSA", .is_ca = true, .key = other});
    struct testpki heir = testpki_make(
        &(struct testpki_spec){.cn = "Heir", .is_ca = true, .issuer = &ca, .key = second, .change = drop_parameters});
    struct testpki leaf = testpki_make(&(struct testpki_spec){.cn = "x", .issuer = &heir, .has_no_key_ids = true});
    struct scene scene = {.cas = {&ca}, .leaf = &leaf, .untrusted = {&heir}, .bundle = {.allow_dsa = true}};
    struct cert_list certs = {NULL, 0};
    cert_list_add(&certs, stranger.cert);
    cert_list_add(&certs, heir.cert);
    dsa_inherit_parameters(&certs);
    ck_assert_str_ne(judge_code(&scene), ""); /* a namesake did not sign it */
    cert_list_add(&certs, ca.cert);
    dsa_inherit_parameters(&certs);
    ck_assert_str_eq(judge_code(&scene), "");
    ck_assert(dsa_is_consistent(heir.cert, ca.cert) && !dsa_is_consistent(heir.cert, stranger.cert));
    scene.bundle.allow_dsa = false;
    ck_assert_str_eq(judge_code(&scene), "certificate_invalid");
    cert_list_fini(&certs);
    testpki_free(&ca);
    testpki_free(&stranger);
    testpki_free(&heir);
    testpki_free(&leaf);
    EVP_PKEY_free(key);
    EVP_PKEY_free(second);
    EVP_PKEY_free(other);
}
END_TEST

Suite *pki_verify_paths_suite(void);
Suite *pki_verify_paths_suite(void) {
    Suite *suite = suite_create("verify_paths");
    TCase *tc = tcase_create("paths");
    tcase_add_unchecked_fixture(tc, make_pki, free_pki);
    tcase_add_test(tc, another_path_is_tried_when_one_does_not_hold);
    tcase_add_test(tc, a_revoked_cross_certificate_does_not_take_the_other_path_along);
    tcase_add_test(tc, a_ca_with_a_new_key_under_its_old_name);
    tcase_add_test(tc, paths_are_tried_up_to_a_bound_sec_35);
    tcase_add_test(tc, policies_count_where_one_is_asked_for);
    tcase_add_test(tc, names_under_constraints_of_every_kind_sec_27);
    tcase_add_test(tc, name_constraints_stand_on_cas_only_sec_27);
    tcase_add_test(tc, sizes_and_kinds_of_keys);
    tcase_add_test(tc, rsa_pss_chains);
    tcase_add_test(tc, dsa_is_refused_unless_asked_for);
    tcase_add_test(tc, dsa_parameters_are_inherited_from_the_issuer_of_the_chain);
    suite_add_tcase(suite, tc);
    return suite;
}
