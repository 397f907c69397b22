/* Hosts: what makes one, and what its sessions are bound to. */
#include <check.h>
#include <openssl/err.h>
#include <string.h>

#include "pki/keypair.h"
#include "tls/rig.h"

static struct keypair *ec, *rsa;

static struct keypair *keypair_of(const struct testpki *made) {
    struct sbuf cert, key;
    sbuf_init(&cert, 1 << 16);
    sbuf_init(&key, 1 << 16);
    testpki_cert_pem(made, &cert);
    testpki_key_pem(made, &key);
    struct keypair *keypair = keypair_from_pem(sbuf_slice(&cert), sbuf_slice(&key), NULL);
    ck_assert_ptr_nonnull(keypair);
    sbuf_fini(&cert);
    sbuf_fini(&key);
    return keypair;
}

static void set_up(void) {
    ec = keypair_of(&pki()->server_ec);
    rsa = keypair_of(&pki()->server_rsa);
}

static void tear_down(void) {
    keypair_unref(&ec);
    keypair_unref(&rsa);
}

START_TEST(impossible_hosts_are_refused) {
    struct trust *trust = trust_of(&pki()->ca, NULL);
    struct keypair *two[] = {ec, rsa}, *same[] = {ec, ec};
    const struct {
        struct tls_host_source source;
        const char *error;
    } CASES[] = {
        {{"a.test", two, 2, CLIENT_CERTIFICATE_REQUEST, trust}, NULL},
        {{"a.test", two, 1, CLIENT_CERTIFICATE_OFF, NULL}, NULL},
        {{"a.test", two, 0, CLIENT_CERTIFICATE_OFF, NULL}, "hostname a.test has no certificate"},
        {{"a.test", same, 2, CLIENT_CERTIFICATE_OFF, NULL}, "hostname a.test has two certificates of type EC"},
        {{"a.test", two, 2, CLIENT_CERTIFICATE_REQUIRE, NULL}, "has no CA bundle"},
        {{"a.test", two, 2, CLIENT_CERTIFICATE_REQUEST, NULL}, "has no CA bundle"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct err err = {""};
        struct tls_host *host = tls_host_new(&CASES[i].source, &err);
        ck_assert_int_eq(host != NULL, CASES[i].error == NULL);
        ck_assert_msg(!CASES[i].error || strstr(err.text, CASES[i].error), "%s", err.text);
        tls_host_unref(&host);
        ASSERT_QUEUE_EMPTY();
    }
    trust_unref(&trust);
}
END_TEST

START_TEST(sec_01_the_binding_tells_name_mode_and_cas_apart) {
    struct trust *trust = trust_of(&pki()->ca, NULL), *other = trust_of(&pki()->other_ca, NULL);
    struct trust *with_crl = trust_of(&pki()->ca, issue_crl(&pki()->ca, NULL, 0));
    const struct tls_host_source SOURCES[] = {
        {"a.test", &ec, 1, CLIENT_CERTIFICATE_REQUEST, trust}, {"b.test", &ec, 1, CLIENT_CERTIFICATE_REQUEST, trust},
        {"a.test", &ec, 1, CLIENT_CERTIFICATE_REQUIRE, trust}, {"a.test", &ec, 1, CLIENT_CERTIFICATE_OFF, trust},
        {"a.test", &ec, 1, CLIENT_CERTIFICATE_REQUEST, other}, {"a.test", &ec, 1, CLIENT_CERTIFICATE_OFF, NULL},
        {"a.test0", &ec, 1, CLIENT_CERTIFICATE_OFF, NULL},
    };
    enum { COUNT = sizeof SOURCES / sizeof *SOURCES };
    struct tls_host *hosts[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        hosts[i] = tls_host_new(&SOURCES[i], NULL);
        for (size_t j = 0; j < i; j++) {
            ck_assert_mem_ne(tls_host_binding(hosts[i]), tls_host_binding(hosts[j]), SHA256_SIZE);
        }
    }
    /* The same again, with another server certificate and a CRL, is the same: those are looked at anew at each
     * resumption, or do not matter. */
    struct tls_host *again =
        tls_host_new(&(struct tls_host_source){"a.test", &rsa, 1, CLIENT_CERTIFICATE_REQUEST, with_crl}, NULL);
    ck_assert_mem_eq(tls_host_binding(again), tls_host_binding(hosts[0]), SHA256_SIZE);
    tls_host_unref(&again);
    for (size_t i = 0; i < COUNT; i++) {
        tls_host_unref(&hosts[i]);
    }
    trust_unref(&trust);
    trust_unref(&other);
    trust_unref(&with_crl);
}
END_TEST

Suite *tls_tls_host_suite(void);
Suite *tls_tls_host_suite(void) {
    Suite *suite = suite_create("tls/tls_host");
    TCase *tcase = tcase_create("hosts");
    tcase_add_unchecked_fixture(tcase, pki_set_up, NULL); /* once, before the tests fork */
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, impossible_hosts_are_refused);
    tcase_add_test(tcase, sec_01_the_binding_tells_name_mode_and_cas_apart);
    suite_add_tcase(suite, tcase);
    return suite;
}
