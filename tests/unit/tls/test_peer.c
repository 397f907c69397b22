/* The peer after the handshake: identity once, and judged again when trust or time has moved. */
#include <check.h>
#include <openssl/err.h>
#include <string.h>

#include "tls/rig.h"

static struct rig *rig;
static struct conn conn;

static void set_up(void) { rig = rig_new(); }
static void tear_down(void) {
    conn_fini(&conn);
    rig_free(rig);
}

static struct peer *connect_as(const struct testpki *cert) {
    conn_do(&conn, rig, &(struct conn_plan){.sni = "a.test", .cert = cert, .chain = {&pki()->intermediate}});
    ck_assert(conn.is_ready);
    return conn.peer;
}

START_TEST(identity_is_rendered_once) {
    struct peer *peer = connect_as(&pki()->alice);
    const struct identity *identity = peer_identity(peer);
    ck_assert_ptr_nonnull(identity);
    ck_assert_ptr_eq(peer_identity(peer), identity);
    ck_assert(slice_eq_str(identity->common_name, "alice"));
}
END_TEST

START_TEST(without_certificate_there_is_no_identity) {
    struct peer *peer = connect_as(NULL);
    ck_assert_ptr_null(peer_identity(peer));
    ck_assert_int_eq(peer->report.reason, REASON_CERTIFICATE_MISSING);
    peer_reverify(peer, NULL, rig_time());
    ck_assert_int_eq(peer->report.reason, REASON_CERTIFICATE_MISSING);
    ASSERT_QUEUE_EMPTY();
}
END_TEST

START_TEST(the_facts_are_there) {
    struct peer *peer = connect_as(&pki()->carol);
    ck_assert_str_eq(peer->tls_version, "TLSv1.3");
    ck_assert_str_eq(peer->cipher, "TLS_AES_128_GCM_SHA256");
    ck_assert_int_ge(peer->handshake_us, 0);
    ck_assert_int_eq(peer->first_authenticated, rig_time());
    ck_assert_uint_eq(peer->sent.count, 1);
    ck_assert_uint_eq(peer->report.chain.count, 3);
    ck_assert(!peer->resumed && peer->has_sni);
    ck_assert_mem_eq(peer->trust_generation, trust_generation(tls_host_trust(peer->host)), SHA256_SIZE);
}
END_TEST

START_TEST(reverify_is_quiet_while_nothing_changed) {
    struct peer *peer = connect_as(&pki()->alice);
    const struct identity *identity = peer_identity(peer);
    struct cert **chain = peer->report.chain.items;
    peer_reverify(peer, tls_host_trust(peer->host), rig_time() + 5);
    ck_assert_ptr_eq(peer->report.chain.items, chain);
    ck_assert_ptr_eq(peer_identity(peer), identity);
}
END_TEST

START_TEST(sec_32_reverify_sees_revocation_and_its_end) {
    struct peer *peer = connect_as(&pki()->carol);
    const struct identity *identity = peer_identity(peer);
    const struct testpki *revoked[] = {&pki()->intermediate, NULL};
    struct trust *harsh = trust_of(&pki()->ca, issue_crl(&pki()->ca, revoked, 0));
    struct trust *mild = trust_of(&pki()->ca, issue_crl(&pki()->ca, NULL, 0));
    peer_reverify(peer, harsh, rig_time());
    ck_assert_int_eq(peer->report.reason, REASON_CERTIFICATE_REVOKED);
    ck_assert_int_eq(peer->report.depth, 1);
    ck_assert_mem_eq(peer->trust_generation, trust_generation(harsh), SHA256_SIZE);
    peer_reverify(peer, mild, rig_time());
    ck_assert_int_eq(peer->report.reason, REASON_NONE);
    ck_assert_ptr_eq(peer_identity(peer), identity); /* same certificate, same issuer */
    trust_unref(&harsh);
    trust_unref(&mild);
    ASSERT_QUEUE_EMPTY();
}
END_TEST

START_TEST(reverify_sees_time_pass) {
    struct testpki brief =
        issue(&(struct issue_plan){.common_name = "brief", .issuer = &pki()->ca, .not_after = rig_time() + 60});
    struct peer *peer = connect_as(&brief);
    ck_assert_int_eq(peer->report.reason, REASON_NONE);
    peer_reverify(peer, tls_host_trust(peer->host), rig_time() + 59);
    ck_assert_int_eq(peer->report.reason, REASON_NONE);
    peer_reverify(peer, tls_host_trust(peer->host), rig_time() + 62);
    ck_assert_int_eq(peer->report.reason, REASON_CERTIFICATE_EXPIRED);
    testpki_free(&brief);
}
END_TEST

/* By a day, either way: each request is judged by the clock as it is then, and nothing sticks. */
START_TEST(sec_46_a_clock_that_jumps_is_followed) {
    enum { DAY = 24 * 3600 };
    time_t start = rig_time();
    struct testpki brief = issue(&(struct issue_plan){
        .common_name = "brief", .issuer = &pki()->ca, .not_before = start - DAY / 2, .not_after = start + DAY / 2});
    struct trust *with_list = trust_of(&pki()->ca, issue_crl(&pki()->ca, NULL, start + 3 * DAY / 2));
    const struct {
        time_t now;
        enum reason reason;
    } rows[] = {{start + DAY, REASON_CERTIFICATE_EXPIRED},       {start, REASON_NONE},
                {start - DAY, REASON_CERTIFICATE_NOT_YET_VALID}, {start + 60, REASON_NONE},
                {start + 2 * DAY, REASON_CERTIFICATE_EXPIRED},   {start + 120, REASON_NONE}};
    struct peer *peer = connect_as(&brief);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        peer_reverify(peer, with_list, rows[i].now);
        ck_assert_msg(peer->report.reason == rows[i].reason, "row %zu: %d", i, peer->report.reason);
    }
    conn_fini(&conn);
    /* A list runs out when the clock goes forth, and is good again when it comes back. */
    peer = connect_as(&pki()->alice);
    peer_reverify(peer, with_list, start);
    ck_assert_int_eq(peer->report.reason, REASON_NONE);
    peer_reverify(peer, with_list, start + 2 * DAY);
    ck_assert_int_eq(peer->report.reason, REASON_CRL_EXPIRED);
    peer_reverify(peer, with_list, start + 1);
    ck_assert_int_eq(peer->report.reason, REASON_NONE);
    trust_unref(&with_list);
    testpki_free(&brief);
}
END_TEST

START_TEST(reverify_by_other_cas_or_none_is_untrusted) {
    struct peer *peer = connect_as(&pki()->alice);
    (void)peer_identity(peer);
    struct trust *other = trust_of(&pki()->other_ca, NULL);
    peer_reverify(peer, other, rig_time());
    ck_assert_int_eq(peer->report.reason, REASON_CERTIFICATE_UNTRUSTED);
    peer_reverify(peer, NULL, rig_time());
    ck_assert_int_eq(peer->report.reason, REASON_CERTIFICATE_UNTRUSTED);
    ck_assert_uint_eq(peer->report.bundles, 0);
    ck_assert_str_eq(peer->report.verified_text, "FAILED:unable to get local issuer certificate");
    ck_assert_ptr_nonnull(peer_identity(peer));
    peer_reverify(peer, tls_host_trust(peer->host), rig_time());
    ck_assert_int_eq(peer->report.reason, REASON_NONE);
    trust_unref(&other);
    ASSERT_QUEUE_EMPTY();
}
END_TEST

Suite *tls_peer_suite(void);
Suite *tls_peer_suite(void) {
    Suite *suite = suite_create("tls/peer");
    TCase *tcase = tcase_create("peer");
    tcase_add_unchecked_fixture(tcase, pki_set_up, NULL); /* once, before the tests fork */
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, identity_is_rendered_once);
    tcase_add_test(tcase, without_certificate_there_is_no_identity);
    tcase_add_test(tcase, the_facts_are_there);
    tcase_add_test(tcase, reverify_is_quiet_while_nothing_changed);
    tcase_add_test(tcase, sec_32_reverify_sees_revocation_and_its_end);
    tcase_add_test(tcase, reverify_sees_time_pass);
    tcase_add_test(tcase, sec_46_a_clock_that_jumps_is_followed);
    tcase_add_test(tcase, reverify_by_other_cas_or_none_is_untrusted);
    suite_add_tcase(suite, tcase);
    return suite;
}
