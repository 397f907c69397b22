#include "pki/verify.h"

#include <check.h>

#include "base/trace.h"
#include "judge.h"

#define CODE(...) judge_code(&(struct scene){__VA_ARGS__})

static struct testpki root, mid, client;

static void make_pki(void) {
    root = testpki_root("Root");
    mid = testpki_intermediate("Mid", &root);
    client = testpki_client("alice", &mid);
}

static void free_pki(void) {
    testpki_free(&root);
    testpki_free(&mid);
    testpki_free(&client);
}

START_TEST(intermediates_from_client_or_bundle) {
    struct verify_report report = judge_report(&(struct scene){.cas = {&root}, .leaf = &client, .untrusted = {&mid}});
    ck_assert_int_eq(report.reason, REASON_NONE);
    ck_assert_uint_eq(report.faults, 0);
    ck_assert_uint_eq(report.bundles, 1);
    ck_assert_uint_eq(report.chain.count, 3);
    ck_assert_ptr_eq(report.chain.items[0], client.cert);
    ck_assert_ptr_eq(report.chain.items[1], mid.cert);
    ck_assert_mem_eq(report.anchor_sha256, cert_sha256(root.cert), SHA256_SIZE);
    ck_assert_str_eq(report.verified_text, "SUCCESS");
    ck_assert_int_eq(report.not_after, cert_not_after(client.cert));
    verify_report_fini(&report);
    ck_assert_str_eq(CODE(.cas = {&mid, &root}, .leaf = &client), "");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &client), "certificate_untrusted");
}
END_TEST

START_TEST(nothing_presented) {
    struct verify_report report;
    verify_none(&report);
    ck_assert_int_eq(report.reason, REASON_CERTIFICATE_MISSING);
    ck_assert_str_eq(report.verified_text, "NONE");
    ck_assert(verify_is_current(&report, TESTPKI_NOW));
    verify_report_fini(&report);
}
END_TEST

START_TEST(other_ca_and_forgeries_are_refused_sec_23_sec_24) {
    struct testpki other = testpki_root("Other"), namesake = testpki_root("Root");
    struct testpki stranger = testpki_client("alice", &other), double_ = testpki_client("alice", &namesake);
    struct testpki forged = testpki_make(&(struct testpki_spec){.cn = "alice", .issuer = &root, .signer = &namesake});
    struct testpki self = testpki_make(&(struct testpki_spec){.cn = "alice"});
    struct verify_report report =
        judge_report(&(struct scene){.cas = {&root}, .leaf = &stranger, .untrusted = {&other}});
    ck_assert_int_eq(report.reason, REASON_CERTIFICATE_UNTRUSTED);
    ck_assert_uint_eq(report.chain.count, 0);
    ck_assert_uint_eq(report.bundles, 0);
    verify_report_fini(&report);
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &double_, .untrusted = {&namesake}), "certificate_untrusted");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &forged), "certificate_invalid");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &self), "certificate_untrusted");
    report = judge_report(&(struct scene){.cas = {&root}, .leaf = &self});
    ck_assert_str_eq(report.verified_text, "FAILED:self signed certificate");
    verify_report_fini(&report);
    /* both CAs of one name in one bundle, with key identifiers: each finds its own */
    ck_assert_str_eq(CODE(.cas = {&root, &namesake}, .leaf = &double_), "");
    testpki_free(&other);
    testpki_free(&namesake);
    testpki_free(&stranger);
    testpki_free(&double_);
    testpki_free(&forged);
    testpki_free(&self);
}
END_TEST

START_TEST(dates_of_leaf_and_ca) {
    struct testpki old_root = testpki_make(&(struct testpki_spec){.cn = "Old",
                                                                  .is_ca = true,
                                                                  .not_before = TESTPKI_NOW - 10 * TESTPKI_DAY,
                                                                  .not_after = TESTPKI_NOW - TESTPKI_DAY});
    struct testpki under_old = testpki_client("alice", &old_root);
    struct testpki early =
        testpki_make(&(struct testpki_spec){.cn = "e", .issuer = &root, .not_before = TESTPKI_NOW + 1});
    struct testpki late =
        testpki_make(&(struct testpki_spec){.cn = "l", .issuer = &root, .not_after = TESTPKI_NOW - 1});
    struct testpki edge = testpki_make(
        &(struct testpki_spec){.cn = "x", .issuer = &root, .not_before = TESTPKI_NOW, .not_after = TESTPKI_NOW});
    struct verify_report report = judge_report(&(struct scene){.cas = {&old_root}, .leaf = &under_old});
    ck_assert_int_eq(report.reason, REASON_CERTIFICATE_EXPIRED);
    ck_assert_int_eq(report.depth, 1);
    ck_assert_str_eq(report.detail, "CA certificate CN=Old expired on 2030-03-16T17:46:40Z");
    ck_assert_str_eq(report.verified_text, "FAILED:certificate has expired");
    verify_report_fini(&report);
    report = judge_report(&(struct scene){.cas = {&root}, .leaf = &late});
    ck_assert_str_eq(report.detail, "certificate expired on 2030-03-17T17:46:39Z");
    verify_report_fini(&report);
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &early), "certificate_not_yet_valid");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &early, .now = TESTPKI_NOW + 1), "");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &edge), ""); /* both ends are inside */
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &edge, .now = TESTPKI_NOW + 1), "certificate_expired");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &edge, .now = TESTPKI_NOW - 1), "certificate_not_yet_valid");
    testpki_free(&old_root);
    testpki_free(&under_old);
    testpki_free(&early);
    testpki_free(&late);
    testpki_free(&edge);
}
END_TEST

START_TEST(dates_after_2049_are_judged_sec_46) {
    struct testpki far = testpki_make(&(struct testpki_spec){.cn = "Far", .is_ca = true, .not_after = 4102444800});
    struct testpki leaf = testpki_make(&(struct testpki_spec){.cn = "f", .issuer = &far, .not_after = 4102444800});
    ck_assert_str_eq(CODE(.cas = {&far}, .leaf = &leaf, .now = 4102444800), "");
    ck_assert_str_eq(CODE(.cas = {&far}, .leaf = &leaf, .now = 4102444801), "certificate_expired");
    testpki_free(&far);
    testpki_free(&leaf);
}
END_TEST

START_TEST(verdicts_know_when_time_may_change_them) {
    struct testpki early = testpki_make(&(struct testpki_spec){
        .cn = "e", .issuer = &root, .not_before = TESTPKI_NOW + 100, .not_after = TESTPKI_NOW + 200});
    struct verify_report report = judge_report(&(struct scene){.cas = {&root}, .leaf = &early});
    ck_assert(verify_is_current(&report, TESTPKI_NOW + 99));
    ck_assert(!verify_is_current(&report, TESTPKI_NOW + 100));
    ck_assert(!verify_is_current(&report, TESTPKI_NOW - 1)); /* the clock went back */
    verify_report_fini(&report);
    report = judge_report(&(struct scene){.cas = {&root}, .leaf = &early, .now = TESTPKI_NOW + 150});
    ck_assert_int_eq(report.reason, REASON_NONE);
    ck_assert(verify_is_current(&report, TESTPKI_NOW + 200));
    ck_assert(!verify_is_current(&report, TESTPKI_NOW + 201));
    verify_report_fini(&report);
    testpki_free(&early);
}
END_TEST

START_TEST(extended_key_usage_sec_21) {
    static const struct {
        const char *eku, *ca_eku;
        const char *client, *any;
    } rows[] = {
        {"clientAuth", NULL, "", ""},
        {"clientAuth,serverAuth", NULL, "", ""},
        {"serverAuth", NULL, "certificate_purpose", ""},
        {"anyExtendedKeyUsage", NULL, "certificate_purpose", ""},
        {"codeSigning", NULL, "certificate_purpose", ""},
        {"", NULL, "", ""}, /* absent */
        {"clientAuth", "serverAuth", "certificate_purpose", ""},
        {"clientAuth", "clientAuth,serverAuth", "", ""},
        {"", "serverAuth", "certificate_purpose", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct testpki ca = testpki_make(
            &(struct testpki_spec){.cn = "CA", .is_ca = true, .issuer = &root, .extended_key_usage = rows[i].ca_eku});
        struct testpki leaf =
            testpki_make(&(struct testpki_spec){.cn = "x", .issuer = &ca, .extended_key_usage = rows[i].eku});
        struct scene scene = {.cas = {&root}, .leaf = &leaf, .untrusted = {&ca}};
        ck_assert_msg(strcmp(judge_code(&scene), rows[i].client) == 0, "row %zu: %s", i, judge_code(&scene));
        scene.bundle.extended_key_usage = TRUST_EKU_ANY;
        ck_assert_msg(strcmp(judge_code(&scene), rows[i].any) == 0, "row %zu: %s", i, judge_code(&scene));
        testpki_free(&ca);
        testpki_free(&leaf);
    }
}
END_TEST

START_TEST(key_usage_of_the_leaf) {
    struct testpki agreeing =
        testpki_make(&(struct testpki_spec){.cn = "x", .issuer = &root, .key_usage = "critical,keyCertSign"});
    struct testpki none = testpki_make(&(struct testpki_spec){.cn = "x", .issuer = &root, .key_usage = ""});
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &agreeing), "certificate_purpose");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &none), "");
    testpki_free(&agreeing);
    testpki_free(&none);
}
END_TEST

/* A leaf under an issuer of this make, under Root; as a client with and without purpose sees it. */
static void check_issuer(const struct testpki_spec *issuer_spec, const char *expected) {
    struct testpki_spec spec = *issuer_spec;
    spec.cn = "Issuer";
    spec.issuer = &root;
    struct testpki issuer = testpki_make(&spec);
    struct testpki leaf = testpki_client("x", &issuer);
    for (int eku = TRUST_EKU_CLIENT_AUTH; eku <= TRUST_EKU_ANY; eku += TRUST_EKU_ANY) {
        struct scene scene = {.cas = {&root}, .leaf = &leaf, .untrusted = {&issuer}};
        scene.bundle.extended_key_usage = (enum trust_eku)eku;
        ck_assert_str_eq(judge_code(&scene), expected);
    }
    testpki_free(&issuer);
    testpki_free(&leaf);
}

START_TEST(an_issuer_must_be_a_ca_sec_22) {
    check_issuer(&(struct testpki_spec){.is_ca = true}, "");
    check_issuer(&(struct testpki_spec){.is_ca = false}, "certificate_invalid"); /* a leaf as issuer */
    check_issuer(&(struct testpki_spec){.is_ca = true, .basic_constraints = "critical,CA:FALSE"},
                 "certificate_invalid");
    check_issuer(&(struct testpki_spec){.is_ca = true, .basic_constraints = ""}, "certificate_invalid");
    check_issuer(&(struct testpki_spec){.is_ca = true, .key_usage = "critical,cRLSign"}, "certificate_invalid");
    check_issuer(&(struct testpki_spec){.is_ca = true, .key_usage = ""}, "");
    check_issuer(&(struct testpki_spec){.is_ca = true, .has_no_key_ids = true}, "");
    check_issuer(&(struct testpki_spec){.is_v1 = true}, "certificate_invalid");
}
END_TEST

START_TEST(path_length_sec_22) {
    struct testpki ca0 =
        testpki_make(&(struct testpki_spec){.cn = "CA0", .is_ca = true, .issuer = &root, .path_len = 1});
    struct testpki under = testpki_intermediate("Under", &ca0);
    struct testpki good = testpki_client("x", &ca0), bad = testpki_client("x", &under);
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &good, .untrusted = {&ca0}), "");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &bad, .untrusted = {&under, &ca0}), "certificate_invalid");
    testpki_free(&ca0);
    testpki_free(&under);
    testpki_free(&good);
    testpki_free(&bad);
}
END_TEST

START_TEST(home_made_cas_without_key_ids_and_usage) {
    struct testpki plain =
        testpki_make(&(struct testpki_spec){.cn = "Plain", .is_bare = true, .basic_constraints = "CA:TRUE"});
    struct testpki leaf = testpki_make(&(struct testpki_spec){.cn = "x", .issuer = &plain, .is_bare = true});
    ck_assert_str_eq(CODE(.cas = {&plain}, .leaf = &leaf), "");
    struct scene strict = {.cas = {&plain}, .leaf = &leaf, .bundle = {.strict = true}};
    ck_assert_str_eq(judge_code(&strict), "certificate_invalid");
    testpki_free(&plain);
    testpki_free(&leaf);
}
END_TEST

START_TEST(partial_chain_only_where_asked_sec_23) {
    struct err err = {""};
    struct trust_bundle bundle = {.name = "b"};
    cert_list_add(&bundle.certs, mid.cert);
    ck_assert_ptr_null(trust_new(&bundle, 1, &err)); /* no root, no anchor */
    cert_list_fini(&bundle.certs);
    struct scene scene = {.cas = {&mid}, .leaf = &client, .bundle = {.partial_chain = true}};
    struct verify_report report = judge_report(&scene);
    ck_assert_int_eq(report.reason, REASON_NONE);
    ck_assert_mem_eq(report.anchor_sha256, cert_sha256(mid.cert), SHA256_SIZE);
    ck_assert_uint_eq(report.chain.count, 2);
    verify_report_fini(&report);
    /* an intermediate in the file of another root vouches for nothing without it */
    struct testpki other = testpki_root("Other");
    struct scene mixed = {.cas = {&other, &mid}, .leaf = &client};
    ck_assert_str_eq(judge_code(&mixed), "certificate_untrusted");
    mixed.bundle.partial_chain = true;
    ck_assert_str_eq(judge_code(&mixed), "");
    testpki_free(&other);
}
END_TEST

START_TEST(cross_signed_roots) {
    /* "New" is a root of its own and certified by Root as well; clients send either, or nothing */
    EVP_PKEY *key = testpki_key_ec();
    struct testpki self = testpki_make(&(struct testpki_spec){.cn = "New", .is_ca = true, .key = key});
    struct testpki cross =
        testpki_make(&(struct testpki_spec){.cn = "New", .is_ca = true, .key = key, .issuer = &root});
    struct testpki leaf = testpki_client("x", &self);
    ck_assert_str_eq(CODE(.cas = {&self}, .leaf = &leaf), "");
    ck_assert_str_eq(CODE(.cas = {&self}, .leaf = &leaf, .untrusted = {&cross}), "");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &leaf, .untrusted = {&cross}), "");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &leaf, .untrusted = {&self, &cross}), "");
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &leaf, .untrusted = {&self}), "certificate_untrusted");
    testpki_free(&self);
    testpki_free(&cross);
    testpki_free(&leaf);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(an_expired_anchor_is_passed_over_for_a_current_one) {
    EVP_PKEY *key = testpki_key_ec();
    struct testpki old =
        testpki_make(&(struct testpki_spec){.cn = "R", .is_ca = true, .key = key, .not_after = TESTPKI_NOW - 1});
    struct testpki renewed = testpki_make(&(struct testpki_spec){.cn = "R", .is_ca = true, .key = key});
    struct testpki leaf = testpki_client("x", &old);
    ck_assert_str_eq(CODE(.cas = {&old}, .leaf = &leaf), "certificate_expired");
    ck_assert_str_eq(CODE(.cas = {&old, &renewed}, .leaf = &leaf), "");
    ck_assert_str_eq(CODE(.cas = {&renewed, &old}, .leaf = &leaf), "");
    testpki_free(&old);
    testpki_free(&renewed);
    testpki_free(&leaf);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(sha1_only_where_allowed) {
    struct testpki weak = testpki_make(&(struct testpki_spec){.cn = "w", .issuer = &root, .digest = EVP_sha1()});
    EVP_PKEY *rsa = testpki_key_rsa(2048); /* ECDSA has no form with MD5 */
    struct testpki rsa_root = testpki_make(&(struct testpki_spec){.cn = "RSA Root", .is_ca = true, .key = rsa});
    struct testpki under = testpki_make(&(struct testpki_spec){.cn = "u", .issuer = &rsa_root, .digest = EVP_md5()});
    struct scene scene = {.cas = {&root}, .leaf = &weak};
    ck_assert_str_eq(judge_code(&scene), "certificate_invalid");
    scene.bundle.allow_sha1 = true;
    ck_assert_str_eq(judge_code(&scene), "");
    struct scene md5 = {.cas = {&rsa_root}, .leaf = &under, .bundle = {.allow_sha1 = true}};
    ck_assert_str_eq(judge_code(&md5), "certificate_invalid");
    testpki_free(&weak);
    testpki_free(&rsa_root);
    testpki_free(&under);
    EVP_PKEY_free(rsa);
}
END_TEST

START_TEST(weak_keys_are_refused) {
    EVP_PKEY *short_key = testpki_key_rsa(1024), *long_key = testpki_key_rsa(2048);
    struct testpki weak = testpki_make(&(struct testpki_spec){.cn = "w", .issuer = &root, .key = short_key});
    struct testpki fine = testpki_make(&(struct testpki_spec){.cn = "f", .issuer = &root, .key = long_key});
    struct scene scene = {.cas = {&root}, .leaf = &weak, .bundle = {.allow_sha1 = true}};
    ck_assert_str_eq(judge_code(&scene), "certificate_invalid"); /* allow_sha1 does not lower it */
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &fine), "");
    testpki_free(&weak);
    testpki_free(&fine);
    EVP_PKEY_free(short_key);
    EVP_PKEY_free(long_key);
}
END_TEST

START_TEST(eddsa_and_rsa_chains) {
    EVP_PKEY *keys[] = {testpki_key_ed25519(), testpki_key_rsa(2048)};
    for (int i = 0; i < 2; i++) {
        struct testpki ca =
            testpki_make(&(struct testpki_spec){.cn = "CA", .is_ca = true, .key = keys[i], .digest = EVP_sha384()});
        struct testpki leaf = testpki_make(&(struct testpki_spec){.cn = "x", .issuer = &ca, .digest = EVP_sha512()});
        ck_assert_str_eq(CODE(.cas = {&ca}, .leaf = &leaf), "");
        testpki_free(&ca);
        testpki_free(&leaf);
        EVP_PKEY_free(keys[i]);
    }
}
END_TEST

START_TEST(proxy_certificates_never_sec_26) {
    struct testpki owner = testpki_client("alice", &root);
    struct testpki proxy = testpki_make(
        &(struct testpki_spec){.subject = "CN=alice/CN=proxy",
                               .issuer = &owner,
                               .basic_constraints = "",
                               .extra = {{"proxyCertInfo", "critical,language:id-ppl-anyLanguage,pathlen:1"}}});
    ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &proxy, .untrusted = {&owner}), "certificate_invalid");
    testpki_free(&owner);
    testpki_free(&proxy);
}
END_TEST

START_TEST(name_constraints_sec_27) {
    static const struct {
        const char *constraints, *san, *expected;
    } rows[] = {
        {"critical,permitted;DNS:lab.test", "DNS:a.lab.test", ""},
        {"critical,permitted;DNS:lab.test", "DNS:a.evil.test", "certificate_invalid"},
        {"critical,permitted;DNS:lab.test", "DNS:a.lab.test,DNS:evil.test", "certificate_invalid"},
        {"critical,excluded;DNS:lab.test", "DNS:a.lab.test", "certificate_invalid"},
        {"critical,permitted;email:lab.test", "email:a@lab.test", ""},
        {"critical,permitted;email:lab.test", "email:a@evil.test", "certificate_invalid"},
        {"critical,permitted;IP:10.0.0.0/255.0.0.0", "IP:10.1.2.3", ""},
        {"critical,permitted;IP:10.0.0.0/255.0.0.0", "IP:11.1.2.3", "certificate_invalid"},
        {"critical,permitted;URI:lab.test", "URI:spiffe://lab.test/x", ""},
        {"critical,permitted;URI:lab.test", "URI:spiffe://evil.test/x", "certificate_invalid"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct testpki ca = testpki_make(&(struct testpki_spec){
            .cn = "CA", .is_ca = true, .issuer = &root, .name_constraints = rows[i].constraints});
        struct testpki leaf = testpki_make(&(struct testpki_spec){.cn = "x y", .issuer = &ca, .san = rows[i].san});
        struct scene scene = {.cas = {&root}, .leaf = &leaf, .untrusted = {&ca}};
        ck_assert_msg(strcmp(judge_code(&scene), rows[i].expected) == 0, "row %zu: %s", i, judge_code(&scene));
        testpki_free(&ca);
        testpki_free(&leaf);
    }
}
END_TEST

START_TEST(wildcards_are_excluded_with_what_they_cover_sec_27) {
    static const struct {
        const char *constraints, *san, *expected;
    } rows[] = {
        {"critical,excluded;DNS:bar.lab.test", "DNS:*.lab.test", "certificate_invalid"},
        {"critical,excluded;DNS:x.bar.LAB.test", "DNS:*.lab.test", "certificate_invalid"},
        {"critical,excluded;DNS:bar.lab.test", "DNS:*.other.test", ""},
        {"critical,excluded;DNS:barlab.test", "DNS:*.lab.test", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct testpki ca = testpki_make(&(struct testpki_spec){
            .cn = "CA", .is_ca = true, .issuer = &root, .name_constraints = rows[i].constraints});
        struct testpki leaf = testpki_make(&(struct testpki_spec){.cn = "x y", .issuer = &ca, .san = rows[i].san});
        struct scene scene = {.cas = {&root}, .leaf = &leaf, .untrusted = {&ca}};
        ck_assert_msg(strcmp(judge_code(&scene), rows[i].expected) == 0, "row %zu: %s", i, judge_code(&scene));
        testpki_free(&ca);
        testpki_free(&leaf);
    }
}
END_TEST

START_TEST(strict_asks_for_the_letter_of_rfc_5280) {
    static const struct {
        const char *serial, *san, *extra[2];
    } rows[] = {
        {"00", NULL, {NULL, NULL}},
        {"-01", NULL, {NULL, NULL}},
        {"0102030405060708090A0B0C0D0E0F101112131415", NULL, {NULL, NULL}},
        {"01", "DNS:a_b.test", {NULL, NULL}},
        {"01", "DNS:10.0.0.1", {NULL, NULL}},
        {"01", "DNS:.a.test", {NULL, NULL}},
        {"01", "email:a@b@c.test", {NULL, NULL}},
        {"01", NULL, {"policyConstraints", "requireExplicitPolicy:9"}},
    };
    struct testpki good =
        testpki_make(&(struct testpki_spec){.cn = "x", .issuer = &root, .san = "DNS:*.a-1.test,email:a@b.test"});
    struct scene scene = {.cas = {&root}, .leaf = &good, .bundle = {.strict = true}};
    ck_assert_str_eq(judge_code(&scene), "");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct testpki_spec spec = {.cn = "x", .issuer = &root, .serial = rows[i].serial, .san = rows[i].san};
        spec.extra[0][0] = rows[i].extra[0];
        spec.extra[0][1] = rows[i].extra[1];
        struct testpki leaf = testpki_make(&spec);
        scene.leaf = &leaf;
        scene.bundle.strict = true;
        ck_assert_msg(strcmp(judge_code(&scene), "certificate_invalid") == 0, "row %zu: %s", i, judge_code(&scene));
        scene.bundle.strict = false;
        ck_assert_msg(strcmp(judge_code(&scene), "") == 0, "row %zu: %s", i, judge_code(&scene));
        testpki_free(&leaf);
    }
    testpki_free(&good);
}
END_TEST

START_TEST(unknown_critical_and_malformed_extensions) {
    static const char *const extras[][2] = {
        {"1.3.6.1.4.1.55555.1", "critical,DER:0500"},
        {"2.5.29.17", "DER:0500"},          /* subjectAltName that does not decode */
        {"2.5.29.30", "critical,DER:0500"}, /* nameConstraints that do not */
    };
    for (size_t i = 0; i < sizeof(extras) / sizeof(*extras); i++) {
        struct testpki_spec spec = {.cn = "x", .issuer = &root};
        spec.extra[0][0] = extras[i][0];
        spec.extra[0][1] = extras[i][1];
        struct testpki leaf = testpki_make(&spec);
        ck_assert_str_eq(CODE(.cas = {&root}, .leaf = &leaf), "certificate_invalid");
        struct scene any = {.cas = {&root}, .leaf = &leaf, .bundle = {.extended_key_usage = TRUST_EKU_ANY}};
        ck_assert_str_eq(judge_code(&any), "certificate_invalid");
        testpki_free(&leaf);
    }
}
END_TEST

START_TEST(every_error_is_kept_and_the_first_by_precedence_speaks_sec_25) {
    struct testpki bad = testpki_make(&(struct testpki_spec){
        .cn = "x", .issuer = &root, .extended_key_usage = "serverAuth", .not_after = TESTPKI_NOW - 1});
    struct scene scene = {.cas = {&root}, .leaf = &bad, .bundle = {.crl_require = CRL_IF_PRESENT}};
    scene.crls[0] = judge_crl_of(&root, &bad);
    struct verify_report report = judge_report(&scene);
    ck_assert_int_eq(report.reason, REASON_CERTIFICATE_PURPOSE);
    ck_assert_str_eq(report.detail, "the extended key usage of the certificate lacks clientAuth");
    uint64_t all = UINT64_C(1) << REASON_CERTIFICATE_PURPOSE | UINT64_C(1) << REASON_CERTIFICATE_EXPIRED |
                   UINT64_C(1) << REASON_CERTIFICATE_REVOKED;
    ck_assert_uint_eq(report.faults, all);
    verify_report_fini(&report);
    testpki_free(&bad);
}
END_TEST

START_TEST(the_bundle_that_came_closest_speaks) {
    struct testpki other = testpki_root("Other");
    struct testpki late =
        testpki_make(&(struct testpki_spec){.cn = "l", .issuer = &root, .not_after = TESTPKI_NOW - 1});
    struct trust_bundle bundles[2] = {{.name = "a"}, {.name = "b"}};
    struct err err = {""};
    struct verify_report report;
    struct trace trace;
    cert_list_add(&bundles[0].certs, other.cert);
    cert_list_add(&bundles[1].certs, root.cert);
    struct trust *trust = trust_new(bundles, 2, &err);
    ck_assert_msg(trust != NULL, "%s", err.text);
    trace_init(&trace);
    verify_chain(trust, late.cert, NULL, TESTPKI_NOW, &trace, &report);
    ck_assert_int_eq(report.reason, REASON_CERTIFICATE_EXPIRED);
    ck_assert_uint_gt(trace.count, 4);
    verify_report_fini(&report);
    struct cert_list untrusted = {NULL, 0};
    cert_list_add(&untrusted, mid.cert);
    verify_chain(trust, client.cert, &untrusted, TESTPKI_NOW, NULL, &report);
    ck_assert_int_eq(report.reason, REASON_NONE);
    ck_assert_uint_eq(report.bundles, 2); /* the second one alone */
    verify_report_fini(&report);
    verify_chain(trust, NULL, NULL, TESTPKI_NOW, NULL, &report);
    ck_assert_int_eq(report.reason, REASON_CERTIFICATE_MISSING);
    verify_report_fini(&report);
    cert_list_fini(&untrusted);
    trace_fini(&trace);
    trust_unref(&trust);
    for (int i = 0; i < 2; i++)
        cert_list_fini(&bundles[i].certs);
    testpki_free(&other);
    testpki_free(&late);
}
END_TEST

START_TEST(hostile_chains_are_bounded_sec_35) {
    enum { LINKS = 18 };
    struct testpki links[LINKS];
    struct scene scene = {.cas = {&root}};
    for (int i = 0; i < LINKS; i++) {
        char cn[16];
        (void)snprintf(cn, sizeof(cn), "CA%d", i);
        links[i] = testpki_intermediate(cn, i ? &links[i - 1] : &root);
        scene.untrusted[i] = &links[i];
    }
    struct testpki deep = testpki_client("deep", &links[LINKS - 1]), eighth = testpki_client("eighth", &links[7]),
                   ninth = testpki_client("ninth", &links[8]);
    scene.leaf = &deep;
    ck_assert_str_ne(judge_code(&scene), "");
    scene.leaf = &eighth;
    ck_assert_str_eq(judge_code(&scene), "");
    scene.leaf = &ninth;
    ck_assert_str_eq(judge_code(&scene), "certificate_invalid");
    scene.bundle.max_depth = 9;
    ck_assert_str_eq(judge_code(&scene), "");
    scene.bundle.max_depth = -1;
    ck_assert_str_eq(judge_code(&scene), "certificate_invalid");
    /* two CAs that certify each other, without a root */
    struct testpki a = testpki_root("A"), b = testpki_root("B");
    struct testpki ab = testpki_make(&(struct testpki_spec){.cn = "A", .is_ca = true, .key = a.key, .issuer = &b});
    struct testpki ba = testpki_make(&(struct testpki_spec){.cn = "B", .is_ca = true, .key = b.key, .issuer = &a});
    struct testpki leaf = testpki_client("x", &a);
    ck_assert_str_ne(CODE(.cas = {&root}, .leaf = &leaf, .untrusted = {&ab, &ba}), "");
    testpki_free(&a);
    testpki_free(&b);
    testpki_free(&ab);
    testpki_free(&ba);
    testpki_free(&leaf);
    testpki_free(&deep);
    testpki_free(&eighth);
    testpki_free(&ninth);
    for (int i = 0; i < LINKS; i++)
        testpki_free(&links[i]);
}
END_TEST

Suite *pki_verify_suite(void);
Suite *pki_verify_suite(void) {
    Suite *suite = suite_create("verify");
    TCase *tc = tcase_create("verify");
    tcase_add_checked_fixture(tc, make_pki, free_pki);
    tcase_add_test(tc, intermediates_from_client_or_bundle);
    tcase_add_test(tc, nothing_presented);
    tcase_add_test(tc, other_ca_and_forgeries_are_refused_sec_23_sec_24);
    tcase_add_test(tc, dates_of_leaf_and_ca);
    tcase_add_test(tc, dates_after_2049_are_judged_sec_46);
    tcase_add_test(tc, verdicts_know_when_time_may_change_them);
    tcase_add_test(tc, extended_key_usage_sec_21);
    tcase_add_test(tc, key_usage_of_the_leaf);
    tcase_add_test(tc, an_issuer_must_be_a_ca_sec_22);
    tcase_add_test(tc, path_length_sec_22);
    tcase_add_test(tc, home_made_cas_without_key_ids_and_usage);
    tcase_add_test(tc, partial_chain_only_where_asked_sec_23);
    tcase_add_test(tc, cross_signed_roots);
    tcase_add_test(tc, an_expired_anchor_is_passed_over_for_a_current_one);
    tcase_add_test(tc, sha1_only_where_allowed);
    tcase_add_test(tc, weak_keys_are_refused);
    tcase_add_test(tc, eddsa_and_rsa_chains);
    tcase_add_test(tc, proxy_certificates_never_sec_26);
    tcase_add_test(tc, name_constraints_sec_27);
    tcase_add_test(tc, wildcards_are_excluded_with_what_they_cover_sec_27);
    tcase_add_test(tc, strict_asks_for_the_letter_of_rfc_5280);
    tcase_add_test(tc, unknown_critical_and_malformed_extensions);
    tcase_add_test(tc, every_error_is_kept_and_the_first_by_precedence_speaks_sec_25);
    tcase_add_test(tc, the_bundle_that_came_closest_speaks);
    tcase_add_test(tc, hostile_chains_are_bounded_sec_35);
    suite_add_tcase(suite, tc);
    return suite;
}
