/* The settings: what is accepted, what is refused and by which sentence, and what is never on. */
#include <check.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "../../../src/tls/handshake_priv.h"
#include "tls/rig.h"

static struct ticket_keys *keys;

static void set_up(void) { keys = ticket_keys_new(); }
static void tear_down(void) { ticket_keys_free(&keys); }

START_TEST(settings_are_checked) {
    static const struct {
        const char *min_version, *ciphers, *groups;
        const char *error; /* NULL: fine */
    } CASES[] = {
        {"1.2", "secure", "X25519:P-256:P-384:P-521", NULL},
        {"1.3", "secure", "X25519", NULL},
        {"1.2", "ECDHE+AESGCM:!aNULL:-AES256", "P-256", NULL},
        {"1.2", "DEFAULT:@SECLEVEL=0", "P-256", NULL},
        {"1.1", "secure", "P-256", "tls.min_version"},
        {"", "secure", "P-256", "tls.min_version"},
        {"TLSv1.2", "secure", "P-256", "tls.min_version"},
        {"1.2", "ECDHE-RSA-AES128-GCM-SHA25", "P-256",
         "tls.ciphers: no TLS 1.2 cipher matches \"ECDHE-RSA-AES128-GCM-SHA25\""},
        {"1.2", "ECDHE+AESGCM:TYPO", "P-256", "tls.ciphers: no TLS 1.2 cipher matches \"TYPO\""},
        {"1.2", "", "P-256", "tls.ciphers"},
        {"1.2", "NULL", "P-256", "tls.ciphers: no cipher of \"NULL\" encrypts and authenticates"},
        {"1.2", "aNULL:@SECLEVEL=0", "P-256", "encrypts and authenticates"},
        {"1.2", "AES128-SHA:!AES128-SHA", "P-256", "tls.ciphers"},
        {"1.2", "secure", "P-257", "tls.groups: \"P-257\""},
        {"1.2", "secure", "X25519:nonsense", "tls.groups"},
        {"1.2", "secure", "", "tls.groups"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct tls_profile_source source = rig_profile_source();
        source.min_version = CASES[i].min_version;
        source.ciphers = CASES[i].ciphers;
        source.groups = CASES[i].groups;
        struct err err = {""};
        struct tls_profile *profile = tls_profile_new(&source, keys, &err);
        ASSERT_QUEUE_EMPTY();
        ck_assert_msg((profile != NULL) == (CASES[i].error == NULL), "case %zu: %s", i, err.text);
        if (CASES[i].error) {
            ck_assert_msg(strstr(err.text, CASES[i].error) != NULL, "%s", err.text);
        }
        tls_profile_unref(&profile);
    }
}
END_TEST

START_TEST(what_is_never_on) {
    struct tls_profile_source source = rig_profile_source();
    source.ciphers = "DEFAULT:@SECLEVEL=0";
    struct tls_profile *profile = tls_profile_new(&source, keys, NULL);
    ck_assert_ptr_nonnull(profile);
    SSL_CTX *ctx = tls_profile_ctx(profile);
    uint64_t on =
        SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA;
    uint64_t off = SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION | SSL_OP_ALLOW_NO_DHE_KEX |
                   SSL_OP_NO_TICKET;
    ck_assert((SSL_CTX_get_options(ctx) & on) == on && (SSL_CTX_get_options(ctx) & off) == 0);
    ck_assert_int_eq(SSL_CTX_get_session_cache_mode(ctx), SSL_SESS_CACHE_OFF | SSL_SESS_CACHE_NO_INTERNAL);
    ck_assert_uint_eq(SSL_CTX_get_max_early_data(ctx), 0);
    ck_assert_uint_eq(SSL_CTX_get_recv_max_early_data(ctx), 0);
    ck_assert_uint_eq(SSL_CTX_get_num_tickets(ctx), 1);
    ck_assert_int_eq(SSL_CTX_get_security_level(ctx), 2);
    ck_assert_int_eq(SSL_CTX_get_min_proto_version(ctx), TLS1_2_VERSION);
    ck_assert_int_eq(SSL_CTX_get_max_cert_list(ctx), 32768);
    ck_assert_ptr_null(SSL_CTX_get0_certificate(ctx));
    tls_profile_unref(&profile);
}
END_TEST

START_TEST(secure_is_ecdhe_with_aead) {
    struct tls_profile_source source = rig_profile_source();
    struct tls_profile *profile = tls_profile_new(&source, keys, NULL);
    STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(tls_profile_ctx(profile));
    ck_assert_int_eq(sk_SSL_CIPHER_num(ciphers), 9);
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
        const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
        int exchange = SSL_CIPHER_get_kx_nid(cipher);
        ck_assert(SSL_CIPHER_is_aead(cipher) && (exchange == NID_kx_any || exchange == NID_kx_ecdhe));
    }
    tls_profile_unref(&profile);
}
END_TEST

Suite *tls_tls_profile_suite(void);
Suite *tls_tls_profile_suite(void) {
    Suite *suite = suite_create("tls/tls_profile");
    TCase *tcase = tcase_create("settings");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, settings_are_checked);
    tcase_add_test(tcase, what_is_never_on);
    tcase_add_test(tcase, secure_is_ecdhe_with_aead);
    suite_add_tcase(suite, tcase);
    return suite;
}
