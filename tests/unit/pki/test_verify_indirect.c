#include <check.h>

#include "judge.h"

/* Root certifies Mid, which issues alice, and Lister, which signs lists for Mid. */
static struct testpki root, mid, lister, alice;

#define LISTER "Lister"

/* A distribution point whose cRLIssuer is CN=Lister; with this URI as its name, if there is one. */
static void add_point(X509 *x509, const char *uri) {
    DIST_POINT *point = DIST_POINT_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    X509_NAME *issuer = X509_NAME_new();
    X509_NAME_add_entry_by_txt(issuer, "CN", MBSTRING_UTF8, (const unsigned char *)LISTER, -1, -1, 0);
    GENERAL_NAME_set0_value(name, GEN_DIRNAME, issuer);
    point->CRLissuer = GENERAL_NAMES_new();
    sk_GENERAL_NAME_push(point->CRLissuer, name);
    if (uri != NULL) {
        GENERAL_NAME *full = a2i_GENERAL_NAME(NULL, NULL, NULL, GEN_URI, uri, 0);
        point->distpoint = DIST_POINT_NAME_new();
        point->distpoint->type = 0;
        point->distpoint->name.fullname = GENERAL_NAMES_new();
        sk_GENERAL_NAME_push(point->distpoint->name.fullname, full);
    }
    CRL_DIST_POINTS *points = CRL_DIST_POINTS_new();
    sk_DIST_POINT_push(points, point);
    ck_assert_int_eq(X509_add1_ext_i2d(x509, NID_crl_distribution_points, points, 0, 0), 1);
    CRL_DIST_POINTS_free(points);
}

static void point_to_lister(X509 *x509) { add_point(x509, NULL); }
static void point_to_lister_at_1(X509 *x509) { add_point(x509, "http://crl.test/1"); }

static struct testpki make_lister(const struct testpki *issuer, const char *usage) {
    return testpki_make(&(struct testpki_spec){.cn = LISTER, .issuer = issuer, .key_usage = usage});
}

static void make_pki(void) {
    root = testpki_root("Root");
    mid = testpki_intermediate("Mid", &root);
    lister = make_lister(&root, "critical,cRLSign");
    alice = testpki_make(&(struct testpki_spec){.cn = "alice", .issuer = &mid, .change = point_to_lister});
}

static void free_pki(void) {
    testpki_free(&root);
    testpki_free(&mid);
    testpki_free(&lister);
    testpki_free(&alice);
}

/* Entries for the next list: revoked, and whose. issuer NULL: the extension is left out. */
struct entry {
    const struct testpki *cert, *issuer;
};
static struct entry entries[3];

static void add_entries(X509_CRL *crl) {
    for (size_t i = 0; i < sizeof(entries) / sizeof(*entries) && entries[i].cert != NULL; i++) {
        X509_REVOKED *revoked = X509_REVOKED_new();
        ASN1_TIME *when = ASN1_TIME_adj(NULL, TESTPKI_NOW - TESTPKI_DAY, 0, 0);
        X509_REVOKED_set_revocationDate(revoked, when);
        ASN1_TIME_free(when);
        ASN1_INTEGER *serial = ASN1_INTEGER_dup(X509_get0_serialNumber(entries[i].cert->x509));
        X509_REVOKED_set_serialNumber(revoked, serial);
        ASN1_INTEGER_free(serial);
        if (entries[i].issuer != NULL) {
            GENERAL_NAMES *names = GENERAL_NAMES_new();
            GENERAL_NAME *name = GENERAL_NAME_new();
            GENERAL_NAME_set0_value(name, GEN_DIRNAME, X509_NAME_dup(X509_get_subject_name(entries[i].issuer->x509)));
            sk_GENERAL_NAME_push(names, name);
            X509_REVOKED_add1_ext_i2d(revoked, NID_certificate_issuer, names, 1, 0);
            GENERAL_NAMES_free(names);
        }
        ck_assert_int_eq(X509_CRL_add0_revoked(crl, revoked), 1);
    }
}

#define INDIRECT "critical,indirectCRL:TRUE"

static struct crl *make_list(const struct testpki *by, const char *scope, struct entry first, struct entry second) {
    struct testpki_crl_spec spec = {.issuer = by, .change = add_entries};
    spec.extra[0][0] = scope ? "issuingDistributionPoint" : NULL;
    spec.extra[0][1] = scope;
    entries[0] = first;
    entries[1] = second;
    return judge_crl(&spec);
}

static const struct entry nothing;

/* Alice, or whoever, with the lists of Lister; Root's list is there for the chain. */
static const char *code_of(const struct testpki *leaf, struct crl *list, struct crl *of_root) {
    struct scene scene = {.cas = {&root}, .leaf = leaf, .untrusted = {&mid, &lister}};
    scene.bundle.crl_require = CRL_LEAF;
    scene.crls[0] = list;
    scene.crls[1] = of_root;
    return judge_code(&scene);
}

START_TEST(a_list_of_another_issuer_counts_where_the_certificate_names_it) {
    struct testpki carol = testpki_client("carol", &mid); /* names no list at all */
    ck_assert_str_eq(code_of(&alice, make_list(&lister, INDIRECT, nothing, nothing), NULL), "");
    ck_assert_str_eq(code_of(&alice, make_list(&lister, INDIRECT, (struct entry){&alice, &mid}, nothing), NULL),
                     "certificate_revoked");
    ck_assert_str_eq(code_of(&alice, NULL, NULL), "crl_missing");
    ck_assert_str_eq(code_of(&carol, make_list(&lister, INDIRECT, (struct entry){&carol, &mid}, nothing), NULL),
                     "crl_missing");
    testpki_free(&carol);
}
END_TEST

START_TEST(a_list_that_is_not_indirect_speaks_for_its_issuer_only_sec_29) {
    ck_assert_str_eq(code_of(&alice, make_list(&lister, NULL, nothing, nothing), NULL), "crl_missing");
    struct crl *of_root = make_list(&root, INDIRECT, nothing, nothing); /* some other list is */
    ck_assert_str_eq(code_of(&alice, make_list(&lister, NULL, nothing, nothing), of_root), "crl_missing");
    struct testpki_crl_spec spec = {.issuer = &lister, .change = add_entries};
    struct sbuf der;
    struct err err = {""};
    enum crl_fault fault;
    sbuf_init(&der, 1 << 20);
    entries[0] = (struct entry){&alice, &mid};
    entries[1] = nothing;
    testpki_crl(&spec, &der);
    ck_assert_ptr_null(testpki_load(sbuf_slice(&der), &lister, &fault, &err));
    ck_assert_int_eq(fault, CRL_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "does not say that it is indirect"));
    sbuf_fini(&der);
}
END_TEST

START_TEST(an_entry_is_of_the_issuer_that_it_names_sec_24) {
    struct testpki bob = testpki_client("bob", &mid);
    struct {
        struct entry first, second;
        const char *expected;
    } rows[] = {
        {{&alice, &mid}, nothing, "certificate_revoked"},
        {{&alice, &root}, nothing, ""},                        /* Root's certificate of that number */
        {{&alice, NULL}, nothing, ""},                         /* Lister's own */
        {{&bob, &mid}, {&alice, NULL}, "certificate_revoked"}, /* the issuer of the entry before */
        {{&bob, &mid}, {&alice, &root}, ""},
        {{&bob, &root}, {&alice, &mid}, "certificate_revoked"},
        {{&bob, &mid}, {&alice, &lister}, ""},
        {{&bob, &mid}, nothing, ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const char *code = code_of(&alice, make_list(&lister, INDIRECT, rows[i].first, rows[i].second), NULL);
        ck_assert_msg(strcmp(code, rows[i].expected) == 0, "row %zu: '%s'", i, code);
    }
    testpki_free(&bob);
}
END_TEST

START_TEST(the_signer_of_an_indirect_list_must_be_good_itself_sec_24) {
    struct testpki elsewhere = testpki_root("Elsewhere");
    struct testpki stranger = make_lister(&elsewhere, "critical,cRLSign");
    struct scene scene = {.cas = {&root, &elsewhere}, .leaf = &alice, .untrusted = {&mid, &stranger}};
    scene.bundle.crl_require = CRL_LEAF;
    scene.crls[0] = make_list(&stranger, INDIRECT, nothing, nothing);
    ck_assert_str_eq(judge_code(&scene), "crl_missing"); /* another anchor */
    ck_assert_str_eq(code_of(&alice, make_list(&lister, INDIRECT, nothing, nothing), judge_crl_of(&root, &lister)),
                     "crl_missing");
    ck_assert_str_eq(code_of(&alice, make_list(&lister, INDIRECT, nothing, nothing), judge_crl_of(&root, &alice)), "");
    testpki_free(&elsewhere);
    testpki_free(&stranger);
}
END_TEST

START_TEST(a_signer_that_its_own_list_revokes_is_not_heard) {
    struct testpki own = testpki_make(&(struct testpki_spec){
        .cn = LISTER, .issuer = &root, .key_usage = "critical,cRLSign", .change = point_to_lister});
    struct scene scene = {.cas = {&root}, .leaf = &alice, .untrusted = {&mid, &own}};
    scene.bundle.crl_require = CRL_LEAF;
    scene.crls[0] = make_list(&own, INDIRECT, nothing, nothing);
    ck_assert_str_eq(judge_code(&scene), "");
    scene.crls[0] = make_list(&own, INDIRECT, (struct entry){&own, &root}, nothing);
    ck_assert_str_eq(judge_code(&scene), "crl_missing");
    testpki_free(&own);
}
END_TEST

START_TEST(points_of_indirect_lists_are_compared_sec_29) {
    struct testpki at_1 =
        testpki_make(&(struct testpki_spec){.cn = "at 1", .issuer = &mid, .change = point_to_lister_at_1});
    ck_assert_str_eq(
        code_of(&at_1, make_list(&lister, INDIRECT ",fullname:URI:http://crl.test/1", nothing, nothing), NULL), "");
    ck_assert_str_eq(
        code_of(&at_1, make_list(&lister, INDIRECT ",fullname:URI:http://crl.test/2", nothing, nothing), NULL),
        "crl_missing");
    ck_assert_str_eq(code_of(&at_1, make_list(&lister, INDIRECT, nothing, nothing), NULL), "");
    testpki_free(&at_1);
}
END_TEST

START_TEST(a_ca_may_sign_an_indirect_list_of_its_own) {
    struct testpki bob = testpki_client("bob", &root);
    ck_assert_str_eq(code_of(&bob, make_list(&root, INDIRECT, nothing, nothing), NULL), "");
    ck_assert_str_eq(code_of(&bob, make_list(&root, INDIRECT, (struct entry){&bob, NULL}, nothing), NULL),
                     "certificate_revoked");
    ck_assert_str_eq(code_of(&bob, make_list(&root, INDIRECT, (struct entry){&bob, &root}, nothing), NULL),
                     "certificate_revoked");
    ck_assert_str_eq(code_of(&bob, make_list(&root, INDIRECT, (struct entry){&bob, &mid}, nothing), NULL), "");
    testpki_free(&bob);
}
END_TEST

Suite *pki_verify_indirect_suite(void);
Suite *pki_verify_indirect_suite(void) {
    Suite *suite = suite_create("verify_indirect");
    TCase *tc = tcase_create("indirect lists");
    tcase_add_unchecked_fixture(tc, make_pki, free_pki);
    tcase_add_test(tc, a_list_of_another_issuer_counts_where_the_certificate_names_it);
    tcase_add_test(tc, a_list_that_is_not_indirect_speaks_for_its_issuer_only_sec_29);
    tcase_add_test(tc, an_entry_is_of_the_issuer_that_it_names_sec_24);
    tcase_add_test(tc, the_signer_of_an_indirect_list_must_be_good_itself_sec_24);
    tcase_add_test(tc, a_signer_that_its_own_list_revokes_is_not_heard);
    tcase_add_test(tc, points_of_indirect_lists_are_compared_sec_29);
    tcase_add_test(tc, a_ca_may_sign_an_indirect_list_of_its_own);
    suite_add_tcase(suite, tc);
    return suite;
}
