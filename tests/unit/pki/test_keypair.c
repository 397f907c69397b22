#include "pki/keypair.h"

#include <check.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "judge.h"

/* A keypair of a certificate with this key, and its error text. */
static struct keypair *load(const struct testpki *certificate, const struct testpki *key, struct err *err) {
    struct sbuf cert_pem, key_pem;
    sbuf_init(&cert_pem, 1 << 16);
    sbuf_init(&key_pem, 1 << 16);
    testpki_cert_pem(certificate, &cert_pem);
    testpki_key_pem(key, &key_pem);
    struct keypair *keypair = keypair_from_pem(sbuf_slice(&cert_pem), sbuf_slice(&key_pem), err);
    sbuf_fini(&cert_pem);
    sbuf_fini(&key_pem);
    return keypair;
}

static void check_type(EVP_PKEY *key, const char *type, const char *error) {
    struct testpki made = testpki_make(&(struct testpki_spec){.cn = "x", .key = key, .san = "DNS:x.test"});
    struct err err = {""};
    struct keypair *keypair = load(&made, &made, &err);
    if (type != NULL) {
        ck_assert_msg(keypair != NULL, "%s", err.text);
        ck_assert_str_eq(keypair_type(keypair), type);
        ck_assert_uint_eq(keypair_chain(keypair)->count, 1);
        ck_assert_int_eq(EVP_PKEY_eq(keypair_key(keypair), key), 1);
    } else {
        ck_assert_ptr_null(keypair);
        ck_assert_msg(strstr(err.text, error) != NULL, "%s", err.text);
    }
    keypair_unref(&keypair);
    testpki_free(&made);
    EVP_PKEY_free(key);
}

START_TEST(key_types) {
    check_type(testpki_key_ec(), "EC", NULL);
    check_type(testpki_key_rsa(2048), "RSA", NULL);
    check_type(testpki_key_ed25519(), "ED25519", NULL);
    check_type(testpki_key_rsa(1024), NULL, "too weak");
    check_type(EVP_EC_gen("secp256k1"), NULL, "curve");
    check_type(EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), NULL, "neither");
}
END_TEST

/* What was proved before is decoded when something is asked of it; the texts may be gone by then. */
START_TEST(a_proved_pair_is_the_same_pair) {
    struct testpki made = testpki_make(&(struct testpki_spec){.cn = "x", .san = "DNS:x.test"});
    struct sbuf cert_pem, key_pem;
    sbuf_init(&cert_pem, 1 << 16);
    sbuf_init(&key_pem, 1 << 16);
    testpki_cert_pem(&made, &cert_pem);
    testpki_key_pem(&made, &key_pem);
    struct keypair *pair = keypair_proved(sbuf_slice(&cert_pem), sbuf_slice(&key_pem));
    struct keypair *unused = keypair_proved(sbuf_slice(&cert_pem), sbuf_slice(&key_pem));
    sbuf_fini(&cert_pem);
    sbuf_fini(&key_pem);
    ck_assert(keypair_covers(pair, "x.test") && !keypair_covers(pair, "y.test"));
    ck_assert_str_eq(keypair_type(pair), "EC");
    ck_assert_uint_eq(keypair_chain(pair)->count, 1);
    ck_assert_mem_eq(cert_sha256(keypair_chain(pair)->items[0]), cert_sha256(made.cert), SHA256_SIZE);
    ck_assert_int_eq(EVP_PKEY_eq(keypair_key(pair), made.key), 1);
    keypair_unref(&pair);
    keypair_unref(&unused);
    testpki_free(&made);
}
END_TEST

/* What is wrong with an extension is said at verification, by name: the certificate decodes. */
START_TEST(a_malformed_extension_is_no_fault_of_decoding) {
    struct testpki root = testpki_root("root");
    struct testpki made = testpki_make(&(struct testpki_spec){
        .cn = "x", .issuer = &root, .extended_key_usage = "", .extra = {{"2.5.29.37", "DER:040100"}}});
    struct err err = {""};
    struct cert *cert = cert_from_der(cert_der(made.cert), &err);
    ck_assert_msg(cert != NULL, "%s", err.text);
    ck_assert(X509_get_extension_flags(cert_x509(cert)) & EXFLAG_INVALID);
    cert_unref(&cert);
    testpki_free(&root);
    testpki_free(&made);
}
END_TEST

/* Keys that are not among the common ones are decoded all the same. */
START_TEST(keys_of_uncommon_types_decode) {
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "SM2");
    struct testpki root = testpki_root("root"), made = testpki_make(&(struct testpki_spec){
                                                    .cn = "x", .key = key, .issuer = &root, .san = "DNS:x.test"});
    struct err err = {""};
    struct cert *cert = cert_from_der(cert_der(made.cert), &err);
    ck_assert_msg(cert != NULL, "%s", err.text);
    EVP_PKEY *found = X509_get0_pubkey(cert_x509(cert));
    ck_assert(found != NULL && EVP_PKEY_eq(found, key) == 1);
    cert_unref(&cert);
    testpki_free(&root);
    testpki_free(&made);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(key_and_certificate_belong_together) {
    struct testpki one = testpki_root("one"), other = testpki_root("other");
    struct err err = {""};
    ck_assert_ptr_null(load(&one, &other, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "does not belong"));
    ck_assert_ptr_null(keypair_from_pem(SLICE("x"), SLICE("y"), &err));
    struct sbuf pem;
    sbuf_init(&pem, 1 << 16);
    testpki_cert_pem(&one, &pem);
    ck_assert_ptr_null(keypair_from_pem(sbuf_slice(&pem), SLICE("y"), &err));
    sbuf_fini(&pem);
    testpki_free(&one);
    testpki_free(&other);
}
END_TEST

START_TEST(an_encrypted_key_is_named_as_such) {
    struct testpki made = testpki_root("x");
    struct sbuf pem;
    struct err err = {""};
    char *key = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    sbuf_init(&pem, 1 << 16);
    testpki_cert_pem(&made, &pem);
    ck_assert(PEM_write_bio_PKCS8PrivateKey(bio, made.key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL) == 1);
    long len = BIO_get_mem_data(bio, &key);
    ck_assert_ptr_null(keypair_from_pem(sbuf_slice(&pem), slice_make(key, (size_t)len), &err));
    ck_assert_msg(strstr(err.text, "encrypted") != NULL, "%s", err.text);
    BIO_free(bio);
    sbuf_fini(&pem);
    testpki_free(&made);
}
END_TEST

START_TEST(a_chain_with_sha1_is_refused) {
    struct testpki root = testpki_root("Root");
    struct testpki made = testpki_make(&(struct testpki_spec){.cn = "x", .issuer = &root, .digest = EVP_sha1()});
    struct err err = {""};
    ck_assert_ptr_null(load(&made, &made, &err));
    ck_assert_msg(strstr(err.text, "digest") != NULL, "%s", err.text);
    testpki_free(&root);
    testpki_free(&made);
}
END_TEST

START_TEST(hostnames_covered) {
    static const struct {
        const char *name;
        bool covered;
    } rows[] = {{"a.test", true},  {"A.TEST", true},      {"x.b.test", true}, {"*.b.test", true},
                {"b.test", false}, {"y.x.b.test", false}, {"cn.test", false}, {"c.test", false}};
    struct testpki made = testpki_make(&(struct testpki_spec){.cn = "cn.test", .san = "DNS:a.test,DNS:*.b.test"});
    struct err err = {""};
    struct keypair *keypair = load(&made, &made, &err);
    ck_assert_ptr_nonnull(keypair);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        ck_assert_msg(keypair_covers(keypair, rows[i].name) == rows[i].covered, "%s", rows[i].name);
    keypair_unref(&keypair);
    testpki_free(&made);
}
END_TEST

Suite *pki_keypair_suite(void);
Suite *pki_keypair_suite(void) {
    Suite *suite = suite_create("keypair");
    TCase *tc = tcase_create("keypair");
    tcase_add_test(tc, key_types);
    tcase_add_test(tc, a_proved_pair_is_the_same_pair);
    tcase_add_test(tc, a_malformed_extension_is_no_fault_of_decoding);
    tcase_add_test(tc, keys_of_uncommon_types_decode);
    tcase_add_test(tc, key_and_certificate_belong_together);
    tcase_add_test(tc, an_encrypted_key_is_named_as_such);
    tcase_add_test(tc, a_chain_with_sha1_is_refused);
    tcase_add_test(tc, hostnames_covered);
    suite_add_tcase(suite, tc);
    return suite;
}
