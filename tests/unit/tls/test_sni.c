/* From the ClientHello to the hostname: the extension's bytes, names, alerts, HelloRetryRequest, fragmentation. */
#include <check.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "../../../src/tls/handshake_priv.h"
#include "base/mem.h"
#include "tls/rig.h"

static struct rig *rig;

static void set_up(void) { rig = rig_new(); }
static void tear_down(void) { rig_free(rig); }

static const int VERSIONS[] = {TLS1_2_VERSION, TLS1_3_VERSION};
#define VERSION_COUNT 2

START_TEST(exactly_one_host_name_is_parsed) {
    static const struct {
        struct slice bytes;
        const char *name; /* NULL: refused */
    } CASES[] = {
        {SLICE("\x00\x09\x00\x00\x06"
               "a.test"),
         "a.test"},
        {SLICE("\x00\x04\x00\x00\x01"
               "a"),
         "a"},
        {SLICE(""), NULL},
        {SLICE("\x00\x00"), NULL},             /* empty list */
        {SLICE("\x00\x03\x00\x00\x00"), NULL}, /* empty name */
        {SLICE("\x00\x09\x01\x00\x06"
               "a.test"),
         NULL}, /* another type */
        {SLICE("\x00\x0a\x00\x00\x06"
               "a.test"),
         NULL}, /* list longer than the bytes */
        {SLICE("\x00\x09\x00\x00\x06"
               "a.test"
               "x"),
         NULL}, /* bytes after the list */
        {SLICE("\x00\x09\x00\x00\x07"
               "a.test"),
         NULL}, /* name longer than the list */
        {SLICE("\x00\x09\x00\x00\x05"
               "a.test"),
         NULL}, /* list longer than the name */
        {SLICE("\x00\x12\x00\x00\x06"
               "a.test"
               "\x00\x00\x06"
               "b.test"),
         NULL}, /* two names */
        {SLICE("\x00\x09\x00\xff\xff"
               "a.test"),
         NULL},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct slice name = SLICE_NONE;
        ck_assert_msg(sni_parse(CASES[i].bytes, &name) == (CASES[i].name != NULL), "case %zu", i);
        if (CASES[i].name) {
            ck_assert(slice_eq_str(name, CASES[i].name));
        }
    }
    char longest[5 + 256] = "\x01\x02\x00\x00\xff";
    longest[0] = 1, longest[1] = 2;
    memset(longest + 5, 'a', 256);
    struct slice name;
    ck_assert(sni_parse(slice_make(longest, 5 + 255), &name));
    ck_assert_uint_eq(name.len, 255);
    memcpy(longest, "\x01\x03\x00\x01\x00", 5);
    ck_assert(!sni_parse(slice_make(longest, 5 + 256), &name));
}
END_TEST

static void check_refused(const char *sni, int version, enum reason reason, const char *server_name) {
    struct conn conn;
    conn_do(&conn, rig, &(struct conn_plan){.sni = sni, .cert = &pki()->alice, .version = version});
    ck_assert_msg(conn.is_failed, "%s", sni ? sni : "no SNI");
    ck_assert_str_eq(reason_code(conn.failure.reason), reason_code(reason));
    ck_assert_int_eq(conn.alert, SSL_AD_UNRECOGNIZED_NAME);
    ck_assert_str_eq(conn.failure.server_name, server_name);
    ck_assert_ptr_null(conn.failure.hostname);
    ck_assert_ptr_null(conn.failure.peer);
    ck_assert(!conn.failure.is_silent);
    conn_fini(&conn);
}

START_TEST(unknown_missing_and_impossible_names_are_refused) {
    check_refused("c.test", VERSIONS[_i], REASON_UNKNOWN_HOSTNAME, "c.test");
    check_refused("x.a.test", VERSIONS[_i], REASON_UNKNOWN_HOSTNAME, "x.a.test");
    check_refused("127.0.0.1", VERSIONS[_i], REASON_UNKNOWN_HOSTNAME, "127.0.0.1");
    check_refused(NULL, VERSIONS[_i], REASON_SNI_MISSING, "");
    int selected = rig->selected;
    check_refused("a_b c.test", VERSIONS[_i], REASON_UNKNOWN_HOSTNAME, "");
    check_refused("a.test/", VERSIONS[_i], REASON_UNKNOWN_HOSTNAME, "");
    check_refused("..", VERSIONS[_i], REASON_UNKNOWN_HOSTNAME, "");
    ck_assert_int_eq(rig->selected, selected); /* never asked for */
}
END_TEST

START_TEST(names_are_normalised_before_they_are_looked_up) {
    const char *const NAMES[] = {"a.test", "A.TEST", "a.test."};
    for (size_t i = 0; i < 3; i++) {
        struct conn conn;
        int selected = rig->selected;
        conn_do(&conn, rig, &(struct conn_plan){.sni = NAMES[i], .version = VERSIONS[_i]});
        ck_assert_msg(conn.is_ready, "%s", NAMES[i]);
        ck_assert_int_eq(rig->selected, selected + 1);
        ck_assert_str_eq(conn.peer->server_name, "a.test");
        ck_assert(conn.peer->has_sni);
        ck_assert_ptr_eq(conn.peer->host, rig_host(rig, "a.test"));
        conn_fini(&conn);
    }
}
END_TEST

START_TEST(no_sni_gets_the_listeners_host) {
    rig->no_sni = rig_host(rig, "a.test");
    struct conn conn;
    conn_do(&conn, rig, &(struct conn_plan){.cert = &pki()->alice, .version = VERSIONS[_i]});
    ck_assert(conn.is_ready);
    ck_assert(!conn.peer->has_sni);
    ck_assert_str_eq(conn.peer->server_name, "a.test");
    ck_assert_int_eq(conn.peer->report.reason, REASON_NONE);
    conn_fini(&conn);
    check_refused("c.test", VERSIONS[_i], REASON_UNKNOWN_HOSTNAME, "c.test"); /* not for names that are wrong */
}
END_TEST

/* ---- HelloRetryRequest ---- */

static void prefer_another_group(SSL *ssl) { SSL_set1_groups_list(ssl, "X25519:P-256"); }

/* Opens a connection to first and, between the two ClientHellos, has the client change its mind to second. */
static void retry_with(struct conn *conn, const char *first, const char *second) {
    struct tls_profile_source source = rig_profile_source();
    source.groups = "P-256";
    rig_set_profile(rig, &source);
    conn_open(conn, rig,
              &(struct conn_plan){
                  .sni = first, .cert = &pki()->alice, .version = TLS1_3_VERSION, .tune = prefer_another_group});
    conn_step(conn); /* ClientHello out, HelloRetryRequest back */
    ck_assert_int_eq(rig->selected, 1);
    if (second) {
        SSL_set_tlsext_host_name(conn->ssl, second);
    } else {
        SSL_set_tlsext_host_name(conn->ssl, NULL);
    }
    conn_run(conn);
}

START_TEST(a_retry_with_the_same_name_selects_once) {
    struct conn conn;
    retry_with(&conn, "a.test", "A.test");
    ck_assert_msg(conn.is_ready, "%s", conn.failure.detail);
    ck_assert_int_eq(rig->selected, 1);
    ck_assert_int_eq(conn.peer->report.reason, REASON_NONE);
    conn_fini(&conn);
}
END_TEST

START_TEST(sec_05_a_retry_with_another_name_is_refused) {
    const char *const SECOND[] = {"b.test", "off.test", "nowhere.test", NULL};
    for (size_t i = 0; i < 4; i++) {
        struct conn conn;
        rig->selected = 0;
        retry_with(&conn, "a.test", SECOND[i]);
        ck_assert(conn.is_failed);
        ck_assert_int_eq(conn.alert, SSL_AD_ILLEGAL_PARAMETER);
        ck_assert_str_eq(reason_code(conn.failure.reason), "handshake_failed");
        ck_assert_str_eq(conn.failure.server_name, "a.test");
        ck_assert_str_eq(conn.failure.hostname, "a.test");
        ck_assert_ptr_nonnull(strstr(conn.failure.detail, "second ClientHello"));
        ck_assert_int_eq(rig->selected, 1);
        conn_fini(&conn);
    }
}
END_TEST

/* ---- the ClientHello in pieces (sec-06) ---- */

struct split {
    size_t record;  /* payload of a record; 0: as they are */
    size_t segment; /* bytes of a write */
};

/* Takes the ClientHello that the client has ready and sends it cut up; the rest of the handshake is left alone. */
static void send_hello_split(struct conn *conn, const struct split *split) {
    BIO *hello = BIO_new(BIO_s_mem());
    BIO *real = SSL_get_rbio(conn->ssl);
    BIO_up_ref(real);
    BIO_up_ref(real);
    SSL_set0_wbio(conn->ssl, hello);
    ck_assert_int_eq(SSL_do_handshake(conn->ssl), -1);
    ERR_clear_error();
    unsigned char *bytes = NULL;
    size_t len = (size_t)BIO_get_mem_data(hello, (char **)&bytes);
    unsigned char *wire = mem_new(len * 6 + 64);
    size_t wire_len = 0;
    for (size_t at = 0; at < len;) {
        size_t payload = (size_t)(bytes[at + 3] << 8 | bytes[at + 4]);
        size_t step = split->record ? split->record : payload;
        for (size_t done = 0; done < payload; done += step) {
            size_t n = payload - done < step ? payload - done : step;
            memcpy(wire + wire_len, bytes + at, 3);
            wire[wire_len + 3] = (unsigned char)(n >> 8);
            wire[wire_len + 4] = (unsigned char)n;
            memcpy(wire + wire_len + 5, bytes + at + 5 + done, n);
            wire_len += 5 + n;
        }
        at += 5 + payload;
    }
    for (size_t at = 0; at < wire_len; at += split->segment) {
        size_t n = wire_len - at < split->segment ? wire_len - at : split->segment;
        ck_assert_int_eq(send(conn->fd, wire + at, n, MSG_NOSIGNAL), (ssize_t)n);
        loop_turn(rig->loop, 0);
        ASSERT_QUEUE_EMPTY();
    }
    mem_free(wire);
    SSL_set0_wbio(conn->ssl, real);
    BIO_free(real);
}

static void offer_many_protocols(SSL *ssl) {
    static unsigned char list[20000];
    memset(list, 'x', sizeof list);
    for (size_t at = 0; at + 9 <= sizeof list; at += 10) {
        list[at] = 9;
    }
    memcpy(list, "\x08http/1.1\x00", 9);
    list[9] = 10; /* realign: 9 + 11 = 20 */
    ck_assert_int_eq(SSL_set_alpn_protos(ssl, list, sizeof list), 0);
}

START_TEST(sec_06_a_client_hello_in_any_pieces_finds_its_host) {
    static const struct split SPLITS[] = {{0, 100000}, {1, 100000}, {1, 1}, {0, 1}, {7, 3}, {100, 5}};
    for (size_t i = 0; i < sizeof SPLITS / sizeof *SPLITS; i++) {
        struct conn conn;
        conn_open(&conn, rig,
                  &(struct conn_plan){.sni = "require.test", .cert = &pki()->alice, .version = VERSIONS[_i]});
        send_hello_split(&conn, &SPLITS[i]);
        conn_run(&conn);
        ck_assert_msg(conn.is_ready, "split %zu: %s", i, conn.failure.detail);
        ck_assert_str_eq(conn.peer->server_name, "require.test");
        ck_assert_int_eq(conn.peer->report.reason, REASON_NONE);
        conn_fini(&conn);
        conn_open(&conn, rig, &(struct conn_plan){.sni = "c.test", .version = VERSIONS[_i]});
        send_hello_split(&conn, &SPLITS[i]);
        conn_run(&conn);
        ck_assert(conn.is_failed && conn.failure.reason == REASON_UNKNOWN_HOSTNAME);
        conn_fini(&conn);
    }
}
END_TEST

START_TEST(sec_06_sec_41_tiny_records_do_not_hold_up_the_loop) {
    struct conn conn;
    int waiting = 0;
    conn_open(&conn, rig, &(struct conn_plan){.sni = "a.test", .version = VERSIONS[_i], .tune = offer_many_protocols});
    send_hello_split(&conn, &(struct split){1, 100000}); /* with one turn of the loop */
    ck_assert_int_eq(ioctl(conn.stream->fd, FIONREAD, &waiting), 0);
    ck_assert_int_gt(waiting, 50000);
    conn_run(&conn);
    ck_assert_msg(conn.is_ready, "%s", conn.failure.detail);
    conn_fini(&conn);
}
END_TEST

START_TEST(sec_06_a_client_hello_over_16_kib_finds_its_host) {
    static const struct split SPLITS[] = {{0, 100000}, {0, 1000}, {64, 100000}};
    for (size_t i = 0; i < 3; i++) {
        struct conn conn;
        conn_open(
            &conn, rig,
            &(struct conn_plan){
                .sni = "require.test", .cert = &pki()->alice, .version = VERSIONS[_i], .tune = offer_many_protocols});
        send_hello_split(&conn, &SPLITS[i]);
        conn_run(&conn);
        ck_assert_msg(conn.is_ready, "%s", conn.failure.detail);
        ck_assert_str_eq(conn.peer->server_name, "require.test");
        conn_fini(&conn);
    }
}
END_TEST

Suite *tls_sni_suite(void);
Suite *tls_sni_suite(void) {
    Suite *suite = suite_create("tls/sni");
    TCase *tcase = tcase_create("names");
    tcase_add_unchecked_fixture(tcase, pki_set_up, NULL); /* once, before the tests fork */
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, exactly_one_host_name_is_parsed);
    tcase_add_loop_test(tcase, unknown_missing_and_impossible_names_are_refused, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, names_are_normalised_before_they_are_looked_up, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, no_sni_gets_the_listeners_host, 0, VERSION_COUNT);
    tcase_add_test(tcase, a_retry_with_the_same_name_selects_once);
    tcase_add_test(tcase, sec_05_a_retry_with_another_name_is_refused);
    tcase_add_loop_test(tcase, sec_06_a_client_hello_in_any_pieces_finds_its_host, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, sec_06_sec_41_tiny_records_do_not_hold_up_the_loop, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, sec_06_a_client_hello_over_16_kib_finds_its_host, 0, VERSION_COUNT);
    suite_add_tcase(suite, tcase);
    return suite;
}
