/* Which sessions resume, which do not, and what a resumed connection knows of its client. */
#include <check.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "../../../src/tls/handshake_priv.h"
#include "base/mem.h"
#include "tls/rig.h"

#define HOUR 3600

static struct rig *rig;

static void set_up(void) { rig = rig_new(); }
static void tear_down(void) { rig_free(rig); }

/* In the ticket; in the ticket; in the store, which the ticket names. */
static const int VERSIONS[] = {TLS1_2_VERSION, TLS1_3_VERSION, TLS1_3_VERSION};
#define VERSION_COUNT 3
#define KEPT 2

static struct conn_plan plan_of(const char *sni, const struct testpki *cert, int i) {
    if (i == KEPT)
        rig_keep_sessions(rig);
    return (struct conn_plan){.sni = sni, .cert = cert, .version = VERSIONS[i]};
}

/* The control case without which no refusal below would mean anything. */
START_TEST(a_session_resumes_on_its_own_host) {
    const char *const HOSTS[] = {"a.test", "require.test"};
    for (size_t i = 0; i < 2; i++) {
        struct conn_plan plan = plan_of(HOSTS[i], &pki()->alice, _i);
        SSL_SESSION *session = conn_session(rig, &plan);
        ck_assert_ptr_nonnull(session);
        ck_assert(conn_resumes(rig, &plan, session));
        SSL_SESSION_free(session);
    }
}
END_TEST

START_TEST(a_session_without_certificate_resumes_where_none_is_required) {
    const char *const HOSTS[] = {"a.test", "off.test"};
    for (size_t i = 0; i < 2; i++) {
        struct conn_plan plan = plan_of(HOSTS[i], NULL, _i);
        SSL_SESSION *session = conn_session(rig, &plan);
        ck_assert_ptr_nonnull(session);
        ck_assert(conn_resumes(rig, &plan, session));
        SSL_SESSION_free(session);
    }
}
END_TEST

START_TEST(sec_01_a_session_does_not_resume_on_another_host) {
    static const struct {
        const char *from, *to;
    } WAYS[] = {
        {"a.test", "b.test"},       {"b.test", "a.test"}, {"a.test", "off.test"}, {"off.test", "a.test"},
        {"require.test", "a.test"}, {"a.test", NULL},     {NULL, "a.test"},       {"b.test", NULL},
    };
    rig->no_sni = rig_host(rig, "off.test");
    for (size_t i = 0; i < sizeof WAYS / sizeof *WAYS; i++) {
        bool is_b = WAYS[i].from && strcmp(WAYS[i].from, "b.test") == 0;
        struct conn_plan from = plan_of(WAYS[i].from, is_b ? &pki()->bob : &pki()->alice, _i);
        SSL_SESSION *session = conn_session(rig, &from);
        ck_assert_ptr_nonnull(session);
        ck_assert(conn_resumes(rig, &from, session)); /* it is a good one */

        struct conn conn;
        struct conn_plan to = plan_of(WAYS[i].to, NULL, _i);
        to.session = session;
        conn_do(&conn, rig, &to);
        ck_assert_msg(conn.is_ready, "%s to %s: %s", WAYS[i].from, WAYS[i].to, conn.failure.detail);
        ck_assert(!conn.peer->resumed && !SSL_session_reused(conn.ssl));
        ck_assert_ptr_null(conn.peer->leaf);
        ck_assert_int_eq(conn.peer->report.reason, REASON_CERTIFICATE_MISSING);
        conn_fini(&conn);
        SSL_SESSION_free(session);
    }
}
END_TEST

START_TEST(sec_01_a_session_from_elsewhere_opens_no_host_that_requires_a_certificate) {
    struct conn_plan from = plan_of("a.test", &pki()->alice, _i);
    SSL_SESSION *session = conn_session(rig, &from);
    ck_assert_ptr_nonnull(session);
    struct conn_plan to = plan_of("require.test", NULL, _i);
    to.session = session;
    struct conn conn;
    conn_do(&conn, rig, &to);
    ck_assert(conn.is_failed);
    ck_assert_int_eq(conn.failure.reason, REASON_CERTIFICATE_MISSING);
    conn_fini(&conn);
    SSL_SESSION_free(session);
}
END_TEST

START_TEST(sec_01_a_changed_mode_or_ca_set_ends_sessions) {
    struct conn_plan plan = plan_of("a.test", &pki()->alice, _i);
    SSL_SESSION *session = conn_session(rig, &plan);
    rig_set_host(rig, "a.test", CLIENT_CERTIFICATE_REQUIRE, trust_of(&pki()->ca, NULL));
    ck_assert(!conn_resumes(rig, &plan, session));
    rig_set_host(rig, "a.test", CLIENT_CERTIFICATE_REQUEST, trust_of(&pki()->ca, NULL));
    ck_assert(conn_resumes(rig, &plan, session)); /* as it was */
    rig_set_host(rig, "a.test", CLIENT_CERTIFICATE_REQUEST, trust_of(&pki()->other_ca, NULL));
    ck_assert(!conn_resumes(rig, &plan, session));
    SSL_SESSION_free(session);
}
END_TEST

START_TEST(sec_02_a_revoked_certificate_does_not_resume) {
    struct conn_plan plan = plan_of("a.test", &pki()->alice, _i);
    rig_set_host(rig, "a.test", CLIENT_CERTIFICATE_REQUEST, trust_of(&pki()->ca, issue_crl(&pki()->ca, NULL, 0)));
    SSL_SESSION *session = conn_session(rig, &plan);
    ck_assert(conn_resumes(rig, &plan, session));
    /* Another list, alice not on it: judged again, and resumed. */
    const struct testpki *others[] = {&pki()->expired, NULL};
    rig_set_host(rig, "a.test", CLIENT_CERTIFICATE_REQUEST, trust_of(&pki()->ca, issue_crl(&pki()->ca, others, 0)));
    ck_assert(conn_resumes(rig, &plan, session));

    const struct testpki *revoked[] = {&pki()->alice, NULL};
    rig_set_host(rig, "a.test", CLIENT_CERTIFICATE_REQUEST, trust_of(&pki()->ca, issue_crl(&pki()->ca, revoked, 0)));
    struct conn conn;
    plan.session = session;
    conn_do(&conn, rig, &plan);
    ck_assert(conn.is_ready && !conn.peer->resumed); /* a full handshake, and the truth about the certificate */
    ck_assert_int_eq(conn.peer->report.reason, REASON_CERTIFICATE_REVOKED);
    ck_assert(conn.session == NULL || !SSL_SESSION_has_ticket(conn.session));
    conn_fini(&conn);
    SSL_SESSION_free(session);
}
END_TEST

START_TEST(sec_02_an_expired_certificate_does_not_resume) {
    struct testpki brief =
        issue(&(struct issue_plan){.common_name = "brief", .issuer = &pki()->ca, .not_after = rig_time() + HOUR});
    struct conn_plan plan = plan_of("a.test", &brief, _i);
    time_t start = rig_time();
    SSL_SESSION *session = conn_session(rig, &plan);
    rig_set_time(start + HOUR - 60);
    ck_assert(conn_resumes(rig, &plan, session));
    rig_set_time(start + HOUR + 60);
    ck_assert(!conn_resumes(rig, &plan, session));
    SSL_SESSION_free(session);
    testpki_free(&brief);
}
END_TEST

START_TEST(sec_02_a_crl_that_has_run_out_ends_resumption) {
    time_t start = rig_time();
    rig_set_host(rig, "a.test", CLIENT_CERTIFICATE_REQUEST,
                 trust_of(&pki()->ca, issue_crl(&pki()->ca, NULL, start + HOUR)));
    struct conn_plan plan = plan_of("a.test", &pki()->alice, _i);
    SSL_SESSION *session = conn_session(rig, &plan);
    ck_assert(conn_resumes(rig, &plan, session));
    rig_set_time(start + HOUR + 60);
    ck_assert(!conn_resumes(rig, &plan, session));
    SSL_SESSION_free(session);
}
END_TEST

/* The set of bundles stays the same for the session's binding only if the CAs do: one removed of two changes it. */
START_TEST(sec_02_a_removed_ca_ends_resumption) {
    struct cert_list both = {0};
    struct cert *ca = cert_from_x509(pki()->ca.x509), *other = cert_from_x509(pki()->other_ca.x509);
    cert_list_add(&both, ca);
    cert_list_add(&both, other);
    struct trust_bundle bundle = {.name = "bundle", .certs = both, .crl_require = CRL_IF_PRESENT};
    struct trust *trust = trust_new(&bundle, 1, NULL);
    ck_assert_ptr_nonnull(trust);
    rig_set_host(rig, "a.test", CLIENT_CERTIFICATE_REQUEST, trust);
    struct conn_plan plan = plan_of("a.test", &pki()->alice, _i);
    SSL_SESSION *session = conn_session(rig, &plan);
    ck_assert(conn_resumes(rig, &plan, session));
    rig_set_host(rig, "a.test", CLIENT_CERTIFICATE_REQUEST, trust_of(&pki()->other_ca, NULL));
    ck_assert(!conn_resumes(rig, &plan, session));
    SSL_SESSION_free(session);
    cert_list_fini(&both);
    cert_unref(&ca);
    cert_unref(&other);
}
END_TEST

START_TEST(sec_02_renewal_does_not_extend_the_session_timeout) {
    time_t start = rig_time();
    struct conn_plan plan = plan_of("a.test", &pki()->alice, _i);
    SSL_SESSION *session = conn_session(rig, &plan);
    /* Three hours later it resumes, and where there is a new ticket, it is as old as the first. */
    rig_set_time(start + 3 * HOUR);
    struct conn conn;
    plan.session = session;
    conn_do(&conn, rig, &plan);
    ck_assert(conn.is_ready && conn.peer->resumed);
    ck_assert_int_le(conn.peer->first_authenticated - start, 2);
    SSL_SESSION *renewed = conn.session;
    conn.session = NULL;
    ck_assert_int_eq(renewed != NULL, VERSIONS[_i] == TLS1_3_VERSION);
    if (renewed) {
        ck_assert_uint_le(SSL_SESSION_get_ticket_lifetime_hint(renewed), 5 * HOUR + 2);
    }
    conn_fini(&conn);
    SSL_SESSION *newest = renewed ? renewed : session;
    rig_set_time(start + 8 * HOUR - 60);
    ck_assert(conn_resumes(rig, &plan, newest));
    rig_set_time(start + 8 * HOUR + 60);
    ck_assert(!conn_resumes(rig, &plan, newest));
    rig_set_time(start - HOUR); /* a clock that was set back proves nothing */
    ck_assert(!conn_resumes(rig, &plan, newest));
    SSL_SESSION_free(renewed);
    SSL_SESSION_free(session);
}
END_TEST

START_TEST(sec_03_a_resumed_connection_knows_its_client) {
    struct conn_plan plan = plan_of("require.test", &pki()->carol, _i);
    plan.chain[0] = &pki()->intermediate;
    struct conn first, again;
    conn_do(&first, rig, &plan);
    ck_assert(first.is_ready && !first.peer->resumed);
    plan.session = first.session;
    conn_do(&again, rig, &plan);
    ck_assert(again.is_ready && again.peer->resumed);

    struct peer *a = first.peer, *b = again.peer;
    ck_assert_mem_eq(cert_sha256(a->leaf), cert_sha256(b->leaf), SHA256_SIZE);
    ck_assert_uint_eq(b->sent.count, 1);
    ck_assert_mem_eq(cert_sha256(a->sent.items[0]), cert_sha256(b->sent.items[0]), SHA256_SIZE);
    ck_assert_int_eq(b->report.reason, REASON_NONE);
    ck_assert_uint_eq(b->report.chain.count, 3);
    ck_assert_uint_eq(a->report.bundles, b->report.bundles);
    ck_assert_mem_eq(a->report.anchor_sha256, b->report.anchor_sha256, SHA256_SIZE);
    ck_assert_mem_eq(a->trust_generation, b->trust_generation, SHA256_SIZE);
    ck_assert_str_eq(a->report.verified_text, b->report.verified_text);
    ck_assert_str_eq(a->server_name, b->server_name);
    ck_assert_str_eq(a->cipher, b->cipher);
    ck_assert_int_eq(a->report.not_after, b->report.not_after);
    const struct identity *x = peer_identity(a), *y = peer_identity(b);
    ck_assert(slice_eq(x->der_base64, y->der_base64) && slice_eq(x->issuer_serial, y->issuer_serial));
    ck_assert(slice_eq_str(y->common_name, "carol"));
    conn_fini(&first);
    conn_fini(&again);
}
END_TEST

START_TEST(a_failing_certificate_gets_no_ticket) {
    const struct testpki *certs[] = {&pki()->bob, &pki()->expired, &pki()->server_only};
    for (size_t i = 0; i < 3; i++) {
        struct conn_plan plan = plan_of("a.test", certs[i], _i);
        struct conn conn;
        conn_do(&conn, rig, &plan);
        ck_assert(conn.is_ready && !conn.is_client_broken);
        ck_assert(conn.session == NULL || !SSL_SESSION_has_ticket(conn.session));
        /* What TLS 1.2 leaves with the client anyway does not resume. */
        SSL_SESSION *session = conn.session;
        conn.session = NULL;
        conn_fini(&conn);
        if (session) {
            ck_assert(!conn_resumes(rig, &plan, session));
            SSL_SESSION_free(session);
        }
    }
}
END_TEST

START_TEST(intermediates_over_4_kib_mean_no_ticket) {
    struct testpki filler[2];
    for (size_t i = 0; i < 2; i++) {
        /* Together with the intermediate just under, and just over, 4096. */
        size_t rest = 4096 - (size_t)i2d_X509(pki()->intermediate.x509, NULL);
        filler[i] = issue(&(struct issue_plan){.common_name = "filler", .issuer = &pki()->ca, .padding = 100});
        size_t overhead = (size_t)i2d_X509(filler[i].x509, NULL) - 100;
        testpki_free(&filler[i]);
        filler[i] = issue(&(struct issue_plan){
            .common_name = "filler", .issuer = &pki()->ca, .padding = rest - overhead - 20 + (i == 1 ? 200 : 0)});
        struct conn_plan plan = plan_of("a.test", &pki()->carol, _i);
        plan.chain[0] = &pki()->intermediate;
        plan.chain[1] = &filler[i];
        struct conn conn;
        conn_do(&conn, rig, &plan);
        ck_assert(conn.is_ready);
        ck_assert_int_eq(conn.peer->report.reason, REASON_NONE);
        ck_assert_int_eq(conn.session != NULL && SSL_SESSION_has_ticket(conn.session), i == 0);
        if (i == 0) {
            ck_assert(conn_resumes(rig, &plan, conn.session));
        }
        conn_fini(&conn);
        testpki_free(&filler[i]);
    }
}
END_TEST

/* The ticket lies in the client's session; a session with one byte of it changed is made by way of its encoding. */
static SSL_SESSION *tampered(SSL_SESSION *session, size_t at) {
    const unsigned char *ticket = NULL;
    size_t len = 0;
    SSL_SESSION_get0_ticket(session, &ticket, &len);
    ck_assert_uint_gt(len, at);
    unsigned char *der = NULL;
    int der_len = i2d_SSL_SESSION(session, &der);
    unsigned char *found = memmem(der, (size_t)der_len, ticket, len);
    ck_assert_ptr_nonnull(found);
    found[at] ^= 1;
    const unsigned char *p = der;
    SSL_SESSION *changed = d2i_SSL_SESSION(NULL, &p, der_len);
    ck_assert_ptr_nonnull(changed);
    OPENSSL_free(der);
    return changed;
}

START_TEST(a_tampered_ticket_means_a_full_handshake) {
    struct conn_plan plan = plan_of("a.test", &pki()->alice, _i);
    SSL_SESSION *session = conn_session(rig, &plan);
    const unsigned char *ticket = NULL;
    size_t len = 0;
    SSL_SESSION_get0_ticket(session, &ticket, &len);
    /* Key name, IV, content, MAC; or seed and place. */
    const size_t PLACES[] = {0, 16, 32 % len, 64 % len, len / 2, len - 1};
    for (size_t i = 0; i < sizeof PLACES / sizeof *PLACES; i++) {
        SSL_SESSION *changed = tampered(session, PLACES[i]);
        ck_assert(!conn_resumes(rig, &plan, changed));
        SSL_SESSION_free(changed);
    }
    ck_assert(conn_resumes(rig, &plan, session));
    SSL_SESSION_free(session);
}
END_TEST

/* As master hands them over: keys of one repeated letter each, newest first. */
static void load_keys(const char *letters) {
    char bytes[TICKET_KEYS_MAX * TICKET_KEY_SIZE];
    struct err err;
    size_t count = strlen(letters);
    for (size_t i = 0; i < count; i++)
        memset(bytes + i * TICKET_KEY_SIZE, letters[i], TICKET_KEY_SIZE);
    ck_assert_int_eq(ticket_keys_load(rig->keys, slice_make(bytes, count * TICKET_KEY_SIZE), &err), 0);
}

START_TEST(a_ticket_opens_as_long_as_its_key_is_there) {
    struct conn_plan plan = plan_of("a.test", &pki()->alice, _i);
    load_keys("a");
    SSL_SESSION *session = conn_session(rig, &plan);
    load_keys("a");
    ck_assert(conn_resumes(rig, &plan, session));
    load_keys("cba");
    struct conn conn;
    plan.session = session;
    conn_do(&conn, rig, &plan);
    ck_assert(conn.peer->resumed);
    /* Renewed under the new key, in TLS 1.2 too (where OpenSSL's client does not call back for it). */
    SSL_SESSION *renewed = VERSIONS[_i] == TLS1_2_VERSION ? SSL_get1_session(conn.ssl) : conn.session;
    conn.session = VERSIONS[_i] == TLS1_2_VERSION ? conn.session : NULL;
    ck_assert_ptr_nonnull(renewed);
    conn_fini(&conn);
    load_keys("dcb");
    ck_assert(!conn_resumes(rig, &plan, session));
    ck_assert(conn_resumes(rig, &plan, renewed));
    SSL_SESSION_free(renewed);
    SSL_SESSION_free(session);
}
END_TEST

START_TEST(bytes_that_are_not_whole_keys_change_nothing) {
    static const size_t SIZES[] = {0, 1, TICKET_KEY_SIZE - 1, TICKET_KEY_SIZE + 1, 4 * TICKET_KEY_SIZE};
    static const char bytes[4 * TICKET_KEY_SIZE] = {0};
    struct conn_plan plan = plan_of("a.test", &pki()->alice, _i);
    SSL_SESSION *session = conn_session(rig, &plan);
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        struct err err;
        ck_assert_int_eq(ticket_keys_load(rig->keys, slice_make(bytes, SIZES[i]), &err), -1);
    }
    ck_assert(conn_resumes(rig, &plan, session));
    SSL_SESSION_free(session);
}
END_TEST

START_TEST(no_session_timeout_means_no_tickets) {
    struct tls_profile_source source = rig_profile_source();
    source.session_timeout = 0;
    rig_set_profile(rig, &source);
    struct conn_plan plan = plan_of("a.test", &pki()->alice, _i);
    SSL_SESSION *session = conn_session(rig, &plan);
    if (session) {
        ck_assert(!SSL_SESSION_has_ticket(session));
        ck_assert(!conn_resumes(rig, &plan, session));
        SSL_SESSION_free(session);
    }
}
END_TEST

/* Which parameters of the connection a session crosses is OpenSSL's to say; ours only that of the version. */
START_TEST(a_session_does_not_cross_protocol_versions) {
    rig_keep_sessions(rig);
    struct conn_plan plan = plan_of("a.test", &pki()->alice, 0);
    SSL_SESSION *session = conn_session(rig, &plan);
    struct tls_profile_source source = rig_profile_source();
    source.min_version = "1.3";
    rig_set_profile(rig, &source);
    plan.version = 0;
    ck_assert(!conn_resumes(rig, &plan, session));
    SSL_SESSION_free(session);
}
END_TEST

START_TEST(sec_40_early_data_is_refused) {
    struct conn_plan plan = plan_of("a.test", &pki()->alice, _i);
    SSL_SESSION *session = conn_session(rig, &plan);
    ck_assert_uint_eq(SSL_SESSION_get_max_early_data(session), 0);
    /* A client that sends some all the same. */
    SSL_SESSION *greedy = SSL_SESSION_dup(session);
    SSL_SESSION_set_max_early_data(greedy, 1000);
    plan.session = greedy;
    struct conn conn;
    conn_open(&conn, rig, &plan);
    size_t written = 0;
    ck_assert_int_eq(SSL_write_early_data(conn.ssl, "GET / HTTP/1.1\r\n\r\n", 18, &written), 1);
    ERR_clear_error();
    conn_run(&conn);
    ck_assert(conn.is_failed);
    ck_assert_ptr_nonnull(strstr(conn.failure.detail, "early data"));
    conn_fini(&conn);
    SSL_SESSION_free(greedy);
    SSL_SESSION_free(session);
}
END_TEST

/* A worker other than the one that made the session. */
static struct rig *second_worker(void) {
    struct rig *other = rig_new();
    ticket_keys_free(&other->keys);
    tls_profile_unref(&other->profile);
    other->keys = ticket_keys_new();
    ticket_keys_keep_sessions(other->keys, rig->memory);
    rig_set_profile(other, NULL);
    return other;
}

START_TEST(a_session_resumes_on_any_worker_with_the_same_keys) {
    struct conn_plan plan = plan_of("require.test", &pki()->alice, KEPT);
    struct rig *other = second_worker();
    SSL_SESSION *session = conn_session(rig, &plan);
    ck_assert(!conn_resumes(other, &plan, session)); /* its keys are its own */
    load_keys("a");
    char key[TICKET_KEY_SIZE];
    struct err err;
    memset(key, 'a', sizeof key);
    ck_assert_int_eq(ticket_keys_load(other->keys, slice_make(key, sizeof key), &err), 0);
    SSL_SESSION_free(session);
    session = conn_session(rig, &plan);
    ck_assert(conn_resumes(other, &plan, session));
    ck_assert(conn_resumes(rig, &plan, session));
    SSL_SESSION *theirs = conn_session(other, &plan);
    ck_assert(conn_resumes(rig, &plan, theirs));
    SSL_SESSION_free(theirs);
    SSL_SESSION_free(session);
    rig_free(other);
}
END_TEST

START_TEST(a_ticket_of_the_other_kind_means_a_full_handshake) {
    struct tls_profile_source source = rig_profile_source();
    struct conn_plan plan = plan_of("a.test", &pki()->alice, KEPT);
    SSL_SESSION *kept = conn_session(rig, &plan);
    source.has_stateless_tickets = true;
    rig_set_profile(rig, &source);
    SSL_SESSION *sealed = conn_session(rig, &plan);
    const unsigned char *ticket = NULL;
    size_t len = 0;
    SSL_SESSION_get0_ticket(kept, &ticket, &len);
    ck_assert_uint_eq(len, 32);
    SSL_SESSION_get0_ticket(sealed, &ticket, &len);
    ck_assert_uint_gt(len, 500);
    ck_assert(!conn_resumes(rig, &plan, kept));
    ck_assert(conn_resumes(rig, &plan, sealed));
    rig_set_profile(rig, NULL);
    ck_assert(!conn_resumes(rig, &plan, sealed));
    ck_assert(conn_resumes(rig, &plan, kept));
    SSL_SESSION_free(kept);
    SSL_SESSION_free(sealed);
}
END_TEST

/* The session is not OpenSSL's to forget when a connection breaks. */
START_TEST(a_connection_that_breaks_leaves_its_session) {
    struct conn_plan plan = plan_of("a.test", &pki()->alice, KEPT);
    struct conn conn;
    conn_do(&conn, rig, &plan);
    SSL_SESSION *session = conn.session;
    conn.session = NULL;
    stream_close(&conn.stream, true);
    conn_fini(&conn);
    ck_assert(conn_resumes(rig, &plan, session));
    ck_assert(conn_resumes(rig, &plan, session));
    SSL_SESSION_free(session);
}
END_TEST

/* Whatever is in the memory: no crash, no session, and new ones go on. */
START_TEST(sec_01_memory_that_went_bad_resumes_nobody) {
    struct conn_plan plan = plan_of("a.test", &pki()->alice, KEPT);
    SSL_SESSION *session = conn_session(rig, &plan);
    uint64_t drawn = 88172645463325252u;
    for (size_t i = 0; i + sizeof drawn <= session_store_size(); i += sizeof drawn) {
        drawn ^= drawn << 13, drawn ^= drawn >> 7, drawn ^= drawn << 17;
        memcpy((char *)rig->memory + i, &drawn, sizeof drawn);
    }
    ck_assert(!conn_resumes(rig, &plan, session));
    SSL_SESSION_free(session);
    session = conn_session(rig, &plan);
    ck_assert(conn_resumes(rig, &plan, session));
    SSL_SESSION_free(session);
}
END_TEST

/* A ClientHello may name any number of tickets. */
START_TEST(sec_35_four_tickets_of_a_client_are_looked_at) {
    struct handshake *handshake = handshake_new(rig->profile, NULL, NULL);
    SSL *ssl = SSL_new(tls_profile_ctx(rig->profile));
    SSL_set_app_data(ssl, handshake);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);
    unsigned char name[TICKET_NAME_SIZE], iv[EVP_MAX_IV_LENGTH];
    ck_assert_int_eq(ticket_key_use(ssl, name, iv, cipher, mac, 1), TICKET_KEY_CURRENT);
    for (int i = 0; i < 6; i++) {
        int expected = i < 4 ? TICKET_KEY_CURRENT : TICKET_KEY_NONE;
        ck_assert_int_eq(ticket_key_use(ssl, name, iv, cipher, mac, 0), expected);
    }
    EVP_MAC_CTX_free(mac);
    EVP_MAC_free(hmac);
    EVP_CIPHER_CTX_free(cipher);
    SSL_free(ssl);
    handshake_free(&handshake);
}
END_TEST

Suite *tls_tickets_suite(void);
Suite *tls_tickets_suite(void) {
    Suite *suite = suite_create("tls/tickets");
    TCase *tcase = tcase_create("resumption");
    tcase_add_unchecked_fixture(tcase, pki_set_up, NULL); /* once, before the tests fork */
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, a_session_resumes_on_its_own_host, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, a_session_without_certificate_resumes_where_none_is_required, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, sec_01_a_session_does_not_resume_on_another_host, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, sec_01_a_session_from_elsewhere_opens_no_host_that_requires_a_certificate, 0,
                        VERSION_COUNT);
    tcase_add_loop_test(tcase, sec_01_a_changed_mode_or_ca_set_ends_sessions, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, sec_02_a_revoked_certificate_does_not_resume, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, sec_02_an_expired_certificate_does_not_resume, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, sec_02_a_crl_that_has_run_out_ends_resumption, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, sec_02_a_removed_ca_ends_resumption, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, sec_02_renewal_does_not_extend_the_session_timeout, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, sec_03_a_resumed_connection_knows_its_client, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, a_failing_certificate_gets_no_ticket, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, intermediates_over_4_kib_mean_no_ticket, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, a_tampered_ticket_means_a_full_handshake, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, a_ticket_opens_as_long_as_its_key_is_there, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, bytes_that_are_not_whole_keys_change_nothing, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, no_session_timeout_means_no_tickets, 0, VERSION_COUNT);
    tcase_add_test(tcase, a_session_does_not_cross_protocol_versions);
    tcase_add_test(tcase, a_session_resumes_on_any_worker_with_the_same_keys);
    tcase_add_test(tcase, a_ticket_of_the_other_kind_means_a_full_handshake);
    tcase_add_test(tcase, a_connection_that_breaks_leaves_its_session);
    tcase_add_test(tcase, sec_01_memory_that_went_bad_resumes_nobody);
    tcase_add_loop_test(tcase, sec_40_early_data_is_refused, 1, VERSION_COUNT);
    tcase_add_test(tcase, sec_35_four_tickets_of_a_client_are_looked_at);
    suite_add_tcase(suite, tcase);
    return suite;
}
