/* What becomes of each kind of client certificate in each mode, with the alert the client sees. */
#include <check.h>
#include <malloc.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "tls/rig.h"

static struct rig *rig;

static void set_up(void) { rig = rig_new(); }
static void tear_down(void) { rig_free(rig); }

static const int VERSIONS[] = {TLS1_2_VERSION, TLS1_3_VERSION};
#define VERSION_COUNT 2

struct verdict {
    const char *sni;
    const struct testpki *cert;
    const struct testpki *intermediate;
    bool is_accepted;
    enum reason reason;
    int alert_12, alert_13;
};

static void check_verdict(const struct verdict *verdict, int version) {
    struct conn conn;
    struct conn_plan plan = {
        .sni = verdict->sni, .cert = verdict->cert, .chain = {verdict->intermediate}, .version = version};
    conn_do(&conn, rig, &plan);
    ck_assert_int_eq(conn.is_ready, verdict->is_accepted);
    if (verdict->is_accepted) {
        ck_assert_str_eq(reason_code(conn.peer->report.reason), reason_code(verdict->reason));
        ck_assert(!conn.is_client_broken);
        ck_assert_int_eq(conn.peer->leaf != NULL, verdict->cert != NULL && strcmp(verdict->sni, "off.test") != 0);
        ck_assert_int_eq(peer_identity(conn.peer) != NULL, conn.peer->leaf != NULL);
        ck_assert_str_eq(conn.peer->tls_version, version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
    } else {
        ck_assert_str_eq(reason_code(conn.failure.reason), reason_code(verdict->reason));
        ck_assert_int_eq(conn.alert, version == TLS1_2_VERSION ? verdict->alert_12 : verdict->alert_13);
        ck_assert(!conn.failure.is_silent);
        ck_assert_str_eq(conn.failure.server_name, verdict->sni);
        ck_assert_str_eq(conn.failure.hostname, verdict->sni);
        ck_assert_int_eq(conn.failure.peer != NULL, verdict->cert != NULL);
        if (conn.failure.peer) {
            ck_assert_ptr_nonnull(conn.failure.peer->leaf);
            ck_assert_int_eq(conn.failure.peer->report.reason, verdict->reason);
            ck_assert_str_eq(conn.failure.detail, conn.failure.peer->report.detail);
        }
    }
    conn_fini(&conn);
}

START_TEST(verdicts_of_every_mode) {
    const struct pki *p = pki();
    const struct verdict VERDICTS[] = {
        {"a.test", NULL, NULL, true, REASON_CERTIFICATE_MISSING, 0, 0},
        {"a.test", &p->alice, NULL, true, REASON_NONE, 0, 0},
        {"a.test", &p->expired, NULL, true, REASON_CERTIFICATE_EXPIRED, 0, 0},
        {"a.test", &p->bob, NULL, true, REASON_CERTIFICATE_UNTRUSTED, 0, 0},
        {"a.test", &p->server_only, NULL, true, REASON_CERTIFICATE_PURPOSE, 0, 0},
        {"a.test", &p->carol, &p->intermediate, true, REASON_NONE, 0, 0},
        {"a.test", &p->carol, NULL, true, REASON_CERTIFICATE_UNTRUSTED, 0, 0},
        {"b.test", &p->alice, NULL, true, REASON_CERTIFICATE_UNTRUSTED, 0, 0},
        {"require.test", NULL, NULL, false, REASON_CERTIFICATE_MISSING, SSL_AD_HANDSHAKE_FAILURE,
         SSL_AD_CERTIFICATE_REQUIRED},
        {"require.test", &p->alice, NULL, true, REASON_NONE, 0, 0},
        {"require.test", &p->expired, NULL, false, REASON_CERTIFICATE_EXPIRED, SSL_AD_CERTIFICATE_EXPIRED,
         SSL_AD_CERTIFICATE_EXPIRED},
        {"require.test", &p->bob, NULL, false, REASON_CERTIFICATE_UNTRUSTED, SSL_AD_UNKNOWN_CA, SSL_AD_UNKNOWN_CA},
        {"require.test", &p->server_only, NULL, false, REASON_CERTIFICATE_PURPOSE, SSL_AD_UNSUPPORTED_CERTIFICATE,
         SSL_AD_UNSUPPORTED_CERTIFICATE},
        {"require.test", &p->carol, &p->intermediate, true, REASON_NONE, 0, 0},
        {"off.test", NULL, NULL, true, REASON_CERTIFICATE_MISSING, 0, 0},
        {"off.test", &p->alice, NULL, true, REASON_CERTIFICATE_MISSING, 0, 0},
    };
    for (size_t i = 0; i < sizeof VERDICTS / sizeof *VERDICTS; i++) {
        check_verdict(&VERDICTS[i], VERSIONS[_i]);
    }
}
END_TEST

START_TEST(revoked_and_not_yet_valid_have_their_alerts) {
    struct testpki early = issue(&(struct issue_plan){
        .common_name = "early", .issuer = &pki()->ca, .not_before = rig_time() + 3600, .not_after = rig_time() + 7200});
    const struct testpki *revoked[] = {&pki()->alice, NULL};
    rig_set_host(rig, "require.test", CLIENT_CERTIFICATE_REQUIRE,
                 trust_of(&pki()->ca, issue_crl(&pki()->ca, revoked, 0)));
    const struct verdict VERDICTS[] = {
        {"require.test", &pki()->alice, NULL, false, REASON_CERTIFICATE_REVOKED, SSL_AD_CERTIFICATE_REVOKED,
         SSL_AD_CERTIFICATE_REVOKED},
        {"require.test", &early, NULL, false, REASON_CERTIFICATE_NOT_YET_VALID, SSL_AD_BAD_CERTIFICATE,
         SSL_AD_BAD_CERTIFICATE},
    };
    check_verdict(&VERDICTS[0], VERSIONS[_i]);
    check_verdict(&VERDICTS[1], VERSIONS[_i]);
    testpki_free(&early);

    rig_set_host(rig, "require.test", CLIENT_CERTIFICATE_REQUIRE,
                 trust_of(&pki()->ca, issue_crl(&pki()->ca, NULL, rig_time() - 60)));
    const struct verdict stale = {"require.test",
                                  &pki()->alice,
                                  NULL,
                                  false,
                                  REASON_CRL_EXPIRED,
                                  SSL_AD_CERTIFICATE_UNKNOWN,
                                  SSL_AD_CERTIFICATE_UNKNOWN};
    check_verdict(&stale, VERSIONS[_i]);
}
END_TEST

/* alice's certificate, with a key that has her public half only: the private half is another's. */
static struct testpki thief_of(const struct testpki *victim) {
    EVP_PKEY *other = EVP_EC_gen("P-256");
    BIGNUM *private_half = NULL;
    ck_assert_int_eq(EVP_PKEY_get_bn_param(other, OSSL_PKEY_PARAM_PRIV_KEY, &private_half), 1);
    unsigned char public_half[256];
    size_t len = 0;
    ck_assert_int_eq(
        EVP_PKEY_get_octet_string_param(victim->key, OSSL_PKEY_PARAM_PUB_KEY, public_half, sizeof public_half, &len),
        1);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
    OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, public_half, len);
    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, private_half);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    struct testpki thief = {.x509 = victim->x509};
    X509_up_ref(thief.x509);
    ck_assert_int_eq(EVP_PKEY_fromdata_init(ctx), 1);
    ck_assert_int_eq(EVP_PKEY_fromdata(ctx, &thief.key, EVP_PKEY_KEYPAIR, params), 1);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    BN_clear_free(private_half);
    EVP_PKEY_free(other);
    return thief;
}

START_TEST(a_client_without_the_private_key_is_certificate_invalid) {
    struct testpki thief = thief_of(&pki()->alice);
    const char *const HOSTS[] = {"a.test", "require.test"};
    for (size_t i = 0; i < 2; i++) {
        struct conn conn;
        conn_do(&conn, rig, &(struct conn_plan){.sni = HOSTS[i], .cert = &thief, .version = VERSIONS[_i]});
        ck_assert(conn.is_failed);
        ck_assert_str_eq(reason_code(conn.failure.reason), "certificate_invalid");
        ck_assert_ptr_nonnull(strstr(conn.failure.detail, "did not prove"));
        ck_assert_int_eq(conn.alert, SSL_AD_DECRYPT_ERROR);
        ck_assert_ptr_nonnull(conn.failure.peer);
        ck_assert_ptr_nonnull(conn.failure.peer->leaf);
        conn_fini(&conn);
    }
    testpki_free(&thief);
}
END_TEST

/* Turns the first byte of the certificate in a Certificate message that goes out in the clear. */
static long corrupt_certificate(BIO *bio, int operation, const char *bytes, size_t len, int argi, long argl, int result,
                                size_t *processed) {
    (void)bio;
    (void)argi;
    (void)argl;
    (void)processed;
    unsigned char *at = (unsigned char *)(uintptr_t)bytes;
    while (operation == BIO_CB_WRITE && len > 16) {
        size_t record = 5u + (size_t)(at[3] << 8 | at[4]);
        if (at[0] == SSL3_RT_HANDSHAKE && at[5] == SSL3_MT_CERTIFICATE) {
            at[5 + 10] ^= 0xff;
        }
        at += record;
        len = record < len ? len - record : 0;
    }
    return result;
}

START_TEST(a_certificate_that_does_not_decode_is_certificate_invalid) {
    struct conn conn;
    conn_open(&conn, rig, &(struct conn_plan){.sni = "a.test", .cert = &pki()->alice, .version = TLS1_2_VERSION});
    BIO_set_callback_ex(SSL_get_rbio(conn.ssl), corrupt_certificate);
    conn_run(&conn);
    ck_assert(conn.is_failed);
    ck_assert_str_eq(reason_code(conn.failure.reason), "certificate_invalid");
    ck_assert_ptr_nonnull(strstr(conn.failure.detail, "does not decode"));
    ck_assert_int_eq(conn.alert, SSL_AD_DECODE_ERROR);
    conn_fini(&conn);
}
END_TEST

START_TEST(sec_35_a_certificate_list_over_the_limit_is_refused) {
    struct tls_profile_source source = rig_profile_source();
    source.certificate_chain_size = 2000;
    rig_set_profile(rig, &source);
    struct conn conn;
    struct conn_plan plan = {.sni = "a.test", .cert = &pki()->alice, .version = VERSIONS[_i]};
    conn_do(&conn, rig, &plan);
    ck_assert(conn.is_ready);
    conn_fini(&conn);

    struct testpki big = issue(&(struct issue_plan){.common_name = "big", .issuer = &pki()->ca, .padding = 2000});
    plan.cert = &big;
    conn_do(&conn, rig, &plan);
    ck_assert(conn.is_failed);
    ck_assert_str_eq(reason_code(conn.failure.reason), "certificate_too_large");
    ck_assert_int_eq(conn.alert, SSL_AD_ILLEGAL_PARAMETER);
    conn_fini(&conn);
    testpki_free(&big);
}
END_TEST

START_TEST(a_weak_key_is_invalid_and_no_handshake_failure) {
    struct testpki weak =
        issue(&(struct issue_plan){.common_name = "weak", .issuer = &pki()->ca, .key = testpki_key_rsa(1024)});
    const struct verdict verdict = {"a.test", &weak, NULL, true, REASON_CERTIFICATE_INVALID, 0, 0};
    check_verdict(&verdict, VERSIONS[_i]);
    testpki_free(&weak);
}
END_TEST

/* No real one: making it would take minutes. The refusal comes before the client's signature is looked at. */
static EVP_PKEY *made_up_rsa_key(int bits) {
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *n = BN_new();
    EVP_PKEY *key = NULL;
    ck_assert_int_eq(BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD), 1);
    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n);
    OSSL_PARAM_BLD_push_ulong(builder, OSSL_PKEY_PARAM_RSA_E, 65537);
    OSSL_PARAM_BLD_push_ulong(builder, OSSL_PKEY_PARAM_RSA_D, 3);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    ck_assert_int_eq(EVP_PKEY_fromdata_init(ctx), 1);
    ck_assert_int_eq(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params), 1);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    BN_free(n);
    return key;
}

START_TEST(sec_35_a_very_long_key_is_refused_before_its_proof) {
    static const struct {
        int bits;
        const char *detail;
    } ROWS[] = {{8192, "did not prove"}, {8193, "longer than 8192 bits"}, {16384, "longer than 8192 bits"}};
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        struct testpki client = issue(
            &(struct issue_plan){.common_name = "long", .issuer = &pki()->ca, .key = made_up_rsa_key(ROWS[i].bits)});
        struct conn conn;
        conn_do(&conn, rig, &(struct conn_plan){.sni = "a.test", .cert = &client, .version = VERSIONS[_i]});
        ck_assert(conn.is_failed);
        ck_assert_str_eq(reason_code(conn.failure.reason), "certificate_invalid");
        ck_assert_msg(strstr(conn.failure.detail, ROWS[i].detail), "%d: %s", ROWS[i].bits, conn.failure.detail);
        conn_fini(&conn);
        testpki_free(&client);
    }
}
END_TEST

START_TEST(ed25519_and_rsa_clients_are_fine) {
    EVP_PKEY *keys[] = {testpki_key_rsa(2048), testpki_key_ed25519()};
    for (size_t i = 0; i < 2; i++) {
        struct testpki client =
            issue(&(struct issue_plan){.common_name = "client", .issuer = &pki()->ca, .key = keys[i]});
        const struct verdict verdict = {"require.test", &client, NULL, true, REASON_NONE, 0, 0};
        check_verdict(&verdict, VERSIONS[_i]);
        testpki_free(&client);
    }
}
END_TEST

static void sign_anything(SSL *ssl) { SSL_set1_groups_list(ssl, "P-256:P-224"); }

START_TEST(a_key_on_a_curve_that_is_not_accepted_is_certificate_invalid) {
    struct testpki odd =
        issue(&(struct issue_plan){.common_name = "odd", .issuer = &pki()->ca, .key = EVP_EC_gen("P-224")});
    struct conn conn;
    conn_do(&conn, rig,
            &(struct conn_plan){.sni = "a.test", .cert = &odd, .version = TLS1_2_VERSION, .tune = sign_anything});
    ck_assert(conn.is_failed);
    ck_assert_str_eq(reason_code(conn.failure.reason), "certificate_invalid");
    ck_assert_ptr_nonnull(conn.failure.peer);
    conn_fini(&conn);
    testpki_free(&odd);
}
END_TEST

/* What is allocated does not grow with handshakes that fail: less than 64 bytes for each of 1050, which leaves room for
 * the chunks that malloc keeps ready (it counts them as used) and for no object of ours. */
START_TEST(sec_36_failed_handshakes_leave_nothing_behind) {
    struct testpki thief = thief_of(&pki()->alice);
    struct testpki big = issue(&(struct issue_plan){.common_name = "big", .issuer = &pki()->ca, .padding = 40000});
    const struct conn_plan PLANS[] = {
        {.sni = "c.test"},
        {.sni = NULL},
        {.sni = "require.test"},
        {.sni = "require.test", .cert = &pki()->expired},
        {.sni = "require.test", .cert = &pki()->bob, .chain = {&pki()->other_ca}},
        {.sni = "a.test", .cert = &thief},
        {.sni = "a.test", .cert = &big},
    };
    size_t before = 0;
    for (int round = 0; round < 300; round++) {
        if (round == 150) {
            before = mallinfo2().uordblks;
        }
        for (size_t i = 0; i < sizeof PLANS / sizeof *PLANS; i++) {
            struct conn conn;
            conn_do(&conn, rig, &PLANS[i]);
            ck_assert_msg(conn.is_failed, "plan %zu", i);
            conn_fini(&conn);
        }
    }
    ck_assert_uint_lt(mallinfo2().uordblks, before + 65536);
    testpki_free(&thief);
    testpki_free(&big);
}
END_TEST

static void offer_post_handshake_auth(SSL *ssl) { SSL_set_post_handshake_auth(ssl, 1); }

static int requests_seen;
static void count_requests(int write_p, int version, int content_type, const void *buf, size_t len, SSL *ssl,
                           void *arg) {
    (void)version;
    (void)ssl;
    (void)arg;
    if (!write_p && content_type == SSL3_RT_HANDSHAKE && len > 0 &&
        *(const unsigned char *)buf == SSL3_MT_CERTIFICATE_REQUEST) {
        requests_seen++;
    }
}

START_TEST(sec_39_no_certificate_is_asked_for_after_the_handshake) {
    struct conn conn;
    requests_seen = 0;
    conn_open(
        &conn, rig,
        &(struct conn_plan){
            .sni = "off.test", .cert = &pki()->alice, .version = TLS1_3_VERSION, .tune = offer_post_handshake_auth});
    SSL_set_msg_callback(conn.ssl, count_requests);
    conn_run(&conn);
    ck_assert(conn.is_ready);
    ck_assert_int_eq(SSL_write(conn.ssl, "x", 1), 1);
    for (int i = 0; i < 8; i++) {
        char buf[8];
        (void)stream_read(conn.stream, buf, sizeof buf);
        conn_step(&conn);
    }
    ck_assert_int_eq(requests_seen, 0);
    ck_assert_ptr_null(conn.peer->leaf);
    conn_fini(&conn);
}
END_TEST

/* 16 names at most go out; beyond, none. */
static int ca_names_sent(struct rig *r) {
    struct conn conn;
    conn_do(&conn, r, &(struct conn_plan){.sni = "a.test"});
    ck_assert(conn.is_ready);
    const STACK_OF(X509_NAME) *names = SSL_get0_peer_CA_list(conn.ssl);
    int count = names ? sk_X509_NAME_num(names) : 0;
    conn_fini(&conn);
    return count;
}

START_TEST(ca_names_are_sent_up_to_sixteen) {
    ck_assert_int_eq(ca_names_sent(rig), 1);
    struct testpki cas[17];
    struct cert_list certs = {0};
    for (size_t i = 0; i < 17; i++) {
        char name[32];
        snprintf(name, sizeof name, "CA %zu", i);
        cas[i] = issue(&(struct issue_plan){.common_name = name, .is_ca = true});
        struct cert *cert = cert_from_x509(cas[i].x509);
        cert_list_add(&certs, cert);
        cert_unref(&cert);
        if (i >= 15) {
            struct trust_bundle bundle = {.name = "many", .certs = certs};
            struct trust *trust = trust_new(&bundle, 1, NULL);
            ck_assert_ptr_nonnull(trust);
            rig_set_host(rig, "a.test", CLIENT_CERTIFICATE_REQUEST, trust);
            ck_assert_int_eq(ca_names_sent(rig), i == 15 ? 16 : 0);
        }
    }
    for (size_t i = 0; i < 17; i++) {
        testpki_free(&cas[i]);
    }
    cert_list_fini(&certs);
}
END_TEST

Suite *tls_verify_record_suite(void);
Suite *tls_verify_record_suite(void) {
    Suite *suite = suite_create("tls/verify_record");
    TCase *tcase = tcase_create("handshakes");
    tcase_add_unchecked_fixture(tcase, pki_set_up, NULL); /* once, before the tests fork */
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, verdicts_of_every_mode, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, revoked_and_not_yet_valid_have_their_alerts, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, a_client_without_the_private_key_is_certificate_invalid, 0, VERSION_COUNT);
    tcase_add_test(tcase, a_certificate_that_does_not_decode_is_certificate_invalid);
    tcase_add_loop_test(tcase, sec_35_a_certificate_list_over_the_limit_is_refused, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, a_weak_key_is_invalid_and_no_handshake_failure, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, sec_35_a_very_long_key_is_refused_before_its_proof, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, ed25519_and_rsa_clients_are_fine, 0, VERSION_COUNT);
    tcase_add_test(tcase, sec_39_no_certificate_is_asked_for_after_the_handshake);
    tcase_add_test(tcase, a_key_on_a_curve_that_is_not_accepted_is_certificate_invalid);
    tcase_add_test(tcase, sec_36_failed_handshakes_leave_nothing_behind);
    tcase_add_test(tcase, ca_names_are_sent_up_to_sixteen);
    suite_add_tcase(suite, tcase);
    return suite;
}
