/* The stream: handshakes that fail and how, protocols, bytes both ways, closing. */
#include <check.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "tls/rig.h"

static struct rig *rig;

static void set_up(void) { rig = rig_new(); }
static void tear_down(void) { rig_free(rig); }

static const int VERSIONS[] = {TLS1_2_VERSION, TLS1_3_VERSION};
#define VERSION_COUNT 2

static struct conn_plan plain_plan(int i) { return (struct conn_plan){.sni = "off.test", .version = VERSIONS[i]}; }

/* ---- what goes wrong before TLS ---- */

static void send_raw(struct conn *conn, const char *text) {
    conn_open(conn, rig, &(struct conn_plan){.sni = "a.test"});
    conn->is_client_broken = true; /* the client keeps out of it */
    ck_assert_int_eq(send(conn->fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

START_TEST(what_is_not_tls_is_named) {
    static const struct {
        const char *bytes, *detail;
    } CASES[] = {
        {"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "a plain HTTP request was sent to the TLS port"},
        {"POST /x HTTP/1.1\r\nHost: a.test\r\n\r\n", "a plain HTTP request was sent to the TLS port"},
        {"CONNECT a.test:443 HTTP/1.1\r\n\r\n", "a plain HTTP request was sent to the TLS port"},
        {"SSH-2.0-OpenSSH_9.2p1\r\n", "the client does not speak TLS"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct conn conn;
        send_raw(&conn, CASES[i].bytes);
        conn_run(&conn);
        ck_assert(conn.is_failed);
        ck_assert_str_eq(reason_code(conn.failure.reason), "handshake_failed");
        ck_assert_str_eq(conn.failure.detail, CASES[i].detail);
        ck_assert_str_eq(stream_error(conn.stream), CASES[i].detail);
        ck_assert(!conn.failure.is_silent);
        ck_assert_ptr_null(conn.failure.tls_version);
        conn_fini(&conn);
    }
}
END_TEST

START_TEST(who_goes_away_before_a_client_hello_is_silent) {
    for (int i = 0; i < 2; i++) {
        struct conn conn;
        send_raw(&conn, i == 0 ? "" : "\x16\x03\x01");
        shutdown(conn.fd, SHUT_WR);
        conn_run(&conn);
        ck_assert(conn.is_failed && conn.failure.is_silent);
        ck_assert_str_eq(conn.failure.detail, "the client closed the connection");
        conn_fini(&conn);
    }
}
END_TEST

START_TEST(who_goes_away_after_it_is_not) {
    struct conn conn;
    struct conn_plan plan = plain_plan(_i);
    conn_open(&conn, rig, &plan);
    conn_step(&conn);
    conn.is_client_broken = true;
    shutdown(conn.fd, SHUT_RDWR);
    conn_run(&conn);
    ck_assert(conn.is_failed && !conn.failure.is_silent);
    ck_assert_str_eq(conn.failure.hostname, "off.test");
    conn_fini(&conn);
}
END_TEST

/* ---- what is agreed ---- */

static void offer_tls_11(SSL *ssl) {
    SSL_set_min_proto_version(ssl, TLS1_1_VERSION);
    SSL_set_max_proto_version(ssl, TLS1_1_VERSION);
    SSL_set_cipher_list(ssl, "ALL:@SECLEVEL=0");
}
static void offer_weak_cipher(SSL *ssl) { SSL_set_cipher_list(ssl, "AES128-SHA"); }
static void offer_unknown_group(SSL *ssl) { SSL_set1_groups_list(ssl, "X448"); }
static void offer_h2(SSL *ssl) { SSL_set_alpn_protos(ssl, (const unsigned char *)"\x02h2", 3); }
static void offer_h2_and_h1(SSL *ssl) { SSL_set_alpn_protos(ssl, (const unsigned char *)"\x02h2\x08http/1.1", 12); }
static void offer_h10(SSL *ssl) { SSL_set_alpn_protos(ssl, (const unsigned char *)"\x08http/1.0", 9); }
static void distrust_server(SSL *ssl) { SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL); }

START_TEST(nothing_in_common_has_a_sentence_and_an_alert) {
    static const struct {
        void (*tune)(SSL *ssl);
        int version, alert;
        const char *detail;
    } CASES[] = {
        {offer_tls_11, 0, SSL_AD_PROTOCOL_VERSION, "no protocol version in common"},
        {offer_weak_cipher, TLS1_2_VERSION, SSL_AD_HANDSHAKE_FAILURE, "no cipher in common"},
        {offer_unknown_group, TLS1_3_VERSION, SSL_AD_HANDSHAKE_FAILURE, "no key exchange group in common"},
        {offer_h2, TLS1_2_VERSION, SSL_AD_NO_APPLICATION_PROTOCOL, "no application protocol in common"},
        {offer_h2, TLS1_3_VERSION, SSL_AD_NO_APPLICATION_PROTOCOL, "no application protocol in common"},
        {distrust_server, TLS1_2_VERSION, -1, "the client does not accept the server certificate"},
        {distrust_server, TLS1_3_VERSION, -1, "the client does not accept the server certificate"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct conn conn;
        conn_do(&conn, rig, &(struct conn_plan){.sni = "off.test", .version = CASES[i].version, .tune = CASES[i].tune});
        ck_assert_msg(conn.is_failed, "case %zu", i);
        ck_assert_int_eq(conn.alert, CASES[i].alert);
        ck_assert_str_eq(reason_code(conn.failure.reason), "handshake_failed");
        ck_assert_msg(strstr(conn.failure.detail, CASES[i].detail) != NULL, "%s", conn.failure.detail);
        conn_fini(&conn);
    }
}
END_TEST

START_TEST(alpn_selects_http_1) {
    struct conn conn;
    struct conn_plan plan = plain_plan(_i);
    plan.tune = offer_h2_and_h1;
    conn_do(&conn, rig, &plan);
    ck_assert(conn.is_ready);
    const unsigned char *protocol = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(conn.ssl, &protocol, &len);
    ck_assert(slice_eq_str(slice_make(protocol, len), "http/1.1"));
    conn_fini(&conn);
    plan.tune = offer_h10;
    conn_do(&conn, rig, &plan);
    ck_assert(conn.is_ready);
    SSL_get0_alpn_selected(conn.ssl, &protocol, &len);
    ck_assert(slice_eq_str(slice_make(protocol, len), "http/1.0"));
    conn_fini(&conn);
    plan.tune = NULL; /* without ALPN at all it is HTTP/1.1 by itself */
    conn_do(&conn, rig, &plan);
    ck_assert(conn.is_ready);
    SSL_get0_alpn_selected(conn.ssl, &protocol, &len);
    ck_assert_uint_eq(len, 0);
    conn_fini(&conn);
}
END_TEST

START_TEST(min_version_1_3_refuses_1_2) {
    struct tls_profile_source source = rig_profile_source();
    source.min_version = "1.3";
    rig_set_profile(rig, &source);
    struct conn conn;
    conn_do(&conn, rig, &(struct conn_plan){.sni = "off.test", .version = VERSIONS[_i]});
    ck_assert_int_eq(conn.is_ready, VERSIONS[_i] == TLS1_3_VERSION);
    if (conn.is_failed) {
        ck_assert_int_eq(conn.alert, SSL_AD_PROTOCOL_VERSION);
    }
    conn_fini(&conn);
}
END_TEST

static void want_rsa(SSL *ssl) { SSL_set1_sigalgs_list(ssl, "RSA-PSS+SHA256:RSA+SHA256"); }
static void want_ecdsa(SSL *ssl) { SSL_set1_sigalgs_list(ssl, "ECDSA+SHA256"); }
static void want_sha1(SSL *ssl) { SSL_set1_sigalgs_list(ssl, "RSA+SHA1:ECDSA+SHA1"); }

START_TEST(rsa_and_ecdsa_certificates_side_by_side) {
    static const struct {
        void (*tune)(SSL *ssl);
        const char *type;
    } CASES[] = {{want_rsa, "RSA"}, {want_ecdsa, "EC"}, {want_sha1, NULL}};
    for (size_t i = 0; i < 3; i++) {
        struct conn conn;
        conn_do(&conn, rig, &(struct conn_plan){.sni = "off.test", .version = VERSIONS[_i], .tune = CASES[i].tune});
        ck_assert_int_eq(conn.is_ready, CASES[i].type != NULL);
        if (conn.is_ready) {
            ck_assert(EVP_PKEY_is_a(X509_get0_pubkey(SSL_get0_peer_certificate(conn.ssl)), CASES[i].type));
        }
        conn_fini(&conn);
    }
}
END_TEST

START_TEST(sec_38_renegotiation_is_refused) {
    struct conn conn;
    struct conn_plan plan = {.sni = "a.test", .cert = &pki()->alice, .version = TLS1_2_VERSION};
    conn_do(&conn, rig, &plan);
    ck_assert(conn.is_ready);
    int selected = rig->selected;
    ck_assert_int_eq(SSL_renegotiate(conn.ssl), 1);
    (void)SSL_do_handshake(conn.ssl);
    ERR_clear_error();
    char buf[16];
    for (int i = 0; i < 20; i++) {
        ck_assert_int_lt(stream_read(conn.stream, buf, sizeof buf), 1);
        ASSERT_QUEUE_EMPTY();
        conn_step(&conn);
    }
    ck_assert_int_eq(conn.alert, SSL_AD_NO_RENEGOTIATION);
    ck_assert(conn.is_client_broken);
    ck_assert_int_eq(rig->selected, selected);
    conn_fini(&conn);
}
END_TEST

/* ---- bytes ---- */

START_TEST(bytes_go_both_ways_with_backpressure) {
    enum { TOTAL = 1 << 20 };
    struct conn conn;
    struct conn_plan plan = plain_plan(_i);
    conn_do(&conn, rig, &plan);
    char *bytes = mem_new(TOTAL), *got = mem_new(TOTAL);
    for (size_t i = 0; i < TOTAL; i++) {
        bytes[i] = (char)(i * 7 + i / 251);
    }
    size_t sent = 0, received = 0;
    int writable_before = conn.writable, shorts = 0;
    for (int i = 0; i < 100000 && received < TOTAL; i++) {
        if (sent < TOTAL && shorts == conn.writable - writable_before) {
            ssize_t n = stream_write(conn.stream, slice_make(bytes + sent, TOTAL - sent));
            ck_assert_int_ge(n, 0);
            sent += (size_t)n;
            shorts += sent < TOTAL;
        }
        int n = SSL_read(conn.ssl, got + received, 5000);
        received += n > 0 ? (size_t)n : 0;
        ERR_clear_error();
        loop_turn(rig->loop, 0);
        ASSERT_QUEUE_EMPTY();
    }
    ck_assert_uint_eq(received, TOTAL);
    ck_assert_int_gt(shorts, 0);
    ck_assert_int_eq(conn.writable - writable_before, shorts); /* once for each short write */
    ck_assert_mem_eq(bytes, got, TOTAL);

    sent = received = 0;
    memset(got, 0, TOTAL);
    for (int i = 0; i < 100000 && received < TOTAL; i++) {
        int n =
            sent < TOTAL ? SSL_write(conn.ssl, bytes + sent, TOTAL - sent > 16384 ? 16384 : (int)(TOTAL - sent)) : 0;
        sent += n > 0 ? (size_t)n : 0;
        ERR_clear_error();
        conn.readable = 0;
        loop_turn(rig->loop, 0);
        if (conn.readable > 0) { /* a little each time: it is level-triggered, also for what OpenSSL holds */
            ssize_t m = stream_read(conn.stream, got + received, 3000);
            received += m > 0 ? (size_t)m : 0;
        }
        ASSERT_QUEUE_EMPTY();
    }
    ck_assert_uint_eq(received, TOTAL);
    ck_assert_mem_eq(bytes, got, TOTAL);
    mem_free(bytes);
    mem_free(got);
    conn_fini(&conn);
}
END_TEST

START_TEST(reading_switched_off_and_on_reports_what_waits_inside) {
    struct conn conn;
    struct conn_plan plan = plain_plan(_i);
    char buf[16];
    conn_do(&conn, rig, &plan);
    ck_assert_int_eq(SSL_write(conn.ssl, "0123456789", 10), 10);
    stream_set_reading(conn.stream, false);
    conn_step(&conn);
    ck_assert_int_eq(conn.readable, 0);
    stream_set_reading(conn.stream, true);
    conn_step(&conn);
    ck_assert_int_gt(conn.readable, 0);
    ck_assert_int_eq(stream_read(conn.stream, buf, 4), 4); /* six bytes are inside OpenSSL now, none in the socket */
    stream_set_reading(conn.stream, false);
    conn.readable = 0;
    conn_step(&conn);
    conn_step(&conn);
    ck_assert_int_eq(conn.readable, 0);
    stream_set_reading(conn.stream, true);
    ck_assert_int_eq(conn.readable, 0); /* not from within */
    conn_step(&conn);
    conn_step(&conn);
    ck_assert_int_gt(conn.readable, 0);
    ck_assert_int_eq(stream_read(conn.stream, buf, sizeof buf), 6);
    ck_assert_int_eq(stream_read(conn.stream, buf, sizeof buf), STREAM_AGAIN);
    conn_step(&conn); /* may still tell of what was read by now */
    conn.readable = 0;
    conn_step(&conn);
    ck_assert_int_eq(conn.readable, 0);
    conn_fini(&conn);
}
END_TEST

/* What one recv() brought for a connection that stopped reading is still its own when others have read. */
START_TEST(connections_that_take_turns_do_not_mix) {
    enum { CONNS = 3, PIECE = 9000, PIECES = 3, STEP = 2000 };
    struct conn conns[CONNS];
    struct conn_plan plan = plain_plan(_i);
    char piece[PIECE], buf[STEP];
    size_t received[CONNS] = {0}, rest = (size_t)CONNS * PIECES * PIECE;
    for (int i = 0; i < CONNS; i++) {
        conn_do(&conns[i], rig, &plan);
        memset(piece, 'a' + i, sizeof piece);
        for (int j = 0; j < PIECES; j++) {
            ck_assert_int_eq(SSL_write(conns[i].ssl, piece, PIECE), PIECE);
        }
    }
    for (int turn = 0; turn < 1000 && rest > 0; turn++) {
        for (int i = 0; i < CONNS; i++) {
            ssize_t n = stream_read(conns[i].stream, buf, sizeof buf);
            for (ssize_t k = 0; k < n; k++) {
                ck_assert_int_eq(buf[k], 'a' + i);
            }
            received[i] += n > 0 ? (size_t)n : 0;
            rest -= n > 0 ? (size_t)n : 0;
        }
        if (turn == 1) { /* with bytes of its own in the middle of the line */
            rest -= (size_t)PIECES * PIECE - received[1];
            conn_fini(&conns[1]);
            conn_do(&conns[1], rig, &plan);
        }
        loop_turn(rig->loop, 0);
    }
    ck_assert_uint_eq(rest, 0);
    ck_assert_uint_eq(received[0], (size_t)PIECES * PIECE);
    ck_assert_uint_eq(received[2], (size_t)PIECES * PIECE);
    for (int i = 0; i < CONNS; i++) {
        ck_assert_int_eq(stream_read(conns[i].stream, buf, sizeof buf), STREAM_AGAIN);
        conn_fini(&conns[i]);
    }
}
END_TEST

START_TEST(a_read_that_took_all_says_so) {
    struct conn conn;
    struct conn_plan plan = plain_plan(_i);
    char buf[16];
    conn_do(&conn, rig, &plan);
    ck_assert_int_eq(SSL_write(conn.ssl, "0123456789", 10), 10);
    conn_step(&conn);
    ck_assert_int_eq(stream_read(conn.stream, buf, 4), 4);
    ck_assert(!stream_is_drained(conn.stream));
    ck_assert_int_eq(stream_read(conn.stream, buf, sizeof buf), 6);
    ck_assert(stream_is_drained(conn.stream));
    ck_assert_int_eq(stream_read(conn.stream, buf, sizeof buf), STREAM_AGAIN);
    conn.readable = 0;
    ck_assert_int_eq(SSL_write(conn.ssl, "ab", 2), 2);
    conn_step(&conn);
    ck_assert_int_gt(conn.readable, 0);
    ck_assert_int_eq(stream_read(conn.stream, buf, sizeof buf), 2);
    conn_fini(&conn);
}
END_TEST

START_TEST(close_notify_is_eof_and_its_absence_is_broken) {
    struct conn conn;
    struct conn_plan plan = plain_plan(_i);
    char buf[16];
    conn_do(&conn, rig, &plan);
    SSL_shutdown(conn.ssl);
    conn_step(&conn);
    ck_assert_int_eq(stream_read(conn.stream, buf, sizeof buf), STREAM_EOF);
    ck_assert_int_eq(stream_read(conn.stream, buf, sizeof buf), STREAM_EOF);
    ck_assert_int_eq(stream_write(conn.stream, SLICE("still")), 5); /* one way only */
    ASSERT_QUEUE_EMPTY();
    conn_fini(&conn);

    conn_do(&conn, rig, &plan);
    shutdown(conn.fd, SHUT_WR);
    conn_step(&conn);
    ck_assert_int_eq(stream_read(conn.stream, buf, sizeof buf), STREAM_BROKEN);
    ASSERT_QUEUE_EMPTY();
    ck_assert_str_eq(stream_error(conn.stream), "closed without close_notify");
    ck_assert_int_eq(stream_read(conn.stream, buf, sizeof buf), STREAM_BROKEN);
    conn_fini(&conn);
}
END_TEST

START_TEST(garbage_after_the_handshake_breaks_the_stream) {
    struct conn conn;
    struct conn_plan plan = plain_plan(_i);
    char buf[16];
    conn_do(&conn, rig, &plan);
    ck_assert_int_eq(send(conn.fd,
                          "\x17\x03\x03\x00\x20"
                          "0123456789abcdef0123456789abcdef",
                          37, 0),
                     37);
    conn_step(&conn);
    ck_assert_int_eq(stream_read(conn.stream, buf, sizeof buf), STREAM_BROKEN);
    ASSERT_QUEUE_EMPTY();
    ck_assert_int_eq(stream_write(conn.stream, SLICE("x")), STREAM_BROKEN);
    ck_assert_str_ne(stream_error(conn.stream), "no error");
    conn_fini(&conn);
}
END_TEST

/* count renewals of the client's key, each a record of its own. */
static void renew_keys(struct conn *conn, int count) {
    for (int i = 0; i < count; i++) {
        ck_assert_int_eq(SSL_key_update(conn->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        ck_assert_int_eq(SSL_do_handshake(conn->ssl), 1);
    }
}

START_TEST(sec_41_records_without_data_cannot_hold_up_the_loop) {
    struct conn conn;
    struct conn_plan plan = {.sni = "off.test", .version = TLS1_3_VERSION};
    char buf[16];
    conn_do(&conn, rig, &plan);
    for (int i = 0; i < 20; i++) { /* now and then is fine, however often */
        renew_keys(&conn, 20);
        ck_assert_int_eq(SSL_write(conn.ssl, "x", 1), 1);
        ssize_t n = STREAM_AGAIN;
        for (int turn = 0; turn < 10 && n == STREAM_AGAIN; turn++) {
            n = stream_read(conn.stream, buf, sizeof buf);
        }
        ck_assert_int_eq(n, 1);
    }
    renew_keys(&conn, 33);
    ck_assert_int_eq(SSL_write(conn.ssl, "x", 1), 1);
    ssize_t n = STREAM_AGAIN;
    for (int turn = 0; turn < 10 && n == STREAM_AGAIN; turn++) {
        n = stream_read(conn.stream, buf, sizeof buf);
        ASSERT_QUEUE_EMPTY();
    }
    ck_assert_int_eq(n, STREAM_BROKEN);
    ck_assert_str_eq(stream_error(conn.stream), "too many TLS records without data");
    conn_fini(&conn);
}
END_TEST

START_TEST(shutdown_write_sends_close_notify_and_reading_goes_on) {
    struct conn conn;
    struct conn_plan plan = plain_plan(_i);
    char buf[16];
    conn_do(&conn, rig, &plan);
    ck_assert_int_eq(stream_write(conn.stream, SLICE("bye")), 3);
    stream_shutdown_write(conn.stream);
    ck_assert_int_eq(stream_write(conn.stream, SLICE("x")), STREAM_BROKEN);
    for (int i = 0; i < 5; i++) {
        conn_step(&conn);
    }
    ck_assert(conn.is_client_eof);
    ck_assert(slice_eq_str(slice_make(conn.received, conn.received_len), "bye"));
    ck_assert_int_eq(SSL_write(conn.ssl, "ok", 2), 2);
    conn_step(&conn);
    ck_assert_int_eq(stream_read(conn.stream, buf, sizeof buf), 2);
    conn_fini(&conn);
}
END_TEST

/* Also of what OpenSSL had decrypted already: it must not be told of for ever. */
START_TEST(what_is_discarded_is_not_read) {
    struct conn conn;
    struct conn_plan plan = plain_plan(_i);
    char buf[4];
    conn_do(&conn, rig, &plan);
    ck_assert_int_eq(SSL_write(conn.ssl, "0123456789", 10), 10);
    conn_step(&conn);
    ck_assert_int_eq(stream_read(conn.stream, buf, sizeof buf), 4);
    stream_shutdown_write(conn.stream);
    ck_assert_int_eq(SSL_write(conn.ssl, "more", 4), 4);
    ck_assert_int_gt(stream_discard(conn.stream), 4);
    ck_assert_int_eq(stream_discard(conn.stream), STREAM_AGAIN);
    conn_step(&conn);
    conn.readable = 0;
    conn_step(&conn);
    ck_assert_int_eq(conn.readable, 0);
    ck_assert_int_eq(send(conn.fd, "no record", 9, 0), 9); /* nobody looks at it */
    conn_step(&conn);
    ck_assert_int_eq(conn.readable, 1);
    ck_assert_int_eq(stream_discard(conn.stream), 9);
    shutdown(conn.fd, SHUT_WR);
    ck_assert_int_eq(stream_discard(conn.stream), STREAM_EOF);
    conn_fini(&conn);
}
END_TEST

/* The socket has no room: close_notify goes out when there is. */
START_TEST(close_notify_waits_for_room) {
    struct conn conn;
    struct conn_plan plan = plain_plan(_i);
    static char block[16384];
    conn_do(&conn, rig, &plan);
    size_t sent = 0;
    for (ssize_t n = 1; n > 0; sent += n > 0 ? (size_t)n : 0) {
        n = stream_write(conn.stream, slice_make(block, sizeof block));
        ck_assert_int_ge(n, 0);
    }
    /* the record that OpenSSL has begun has to come first */
    size_t received = 0;
    bool is_done = false;
    for (int i = 0; i < 100000 && !conn.is_client_eof; i++) {
        if (!is_done && conn.writable > 0) {
            ck_assert_int_ge(stream_write(conn.stream, slice_make(block, sizeof block)), 0);
            stream_shutdown_write(conn.stream);
            is_done = true;
        }
        static char buf[16384];
        int n = SSL_read(conn.ssl, buf, sizeof buf);
        received += n > 0 ? (size_t)n : 0;
        conn.is_client_eof = n <= 0 && SSL_get_error(conn.ssl, n) == SSL_ERROR_ZERO_RETURN;
        ERR_clear_error();
        loop_turn(rig->loop, 0);
        ASSERT_QUEUE_EMPTY();
    }
    ck_assert(is_done && conn.is_client_eof);
    ck_assert_uint_ge(received, sent);
    conn_fini(&conn);
}
END_TEST

START_TEST(close_says_good_bye_unless_it_is_a_reset) {
    for (int reset = 0; reset < 2; reset++) {
        struct conn conn;
        struct conn_plan plan = plain_plan(_i);
        conn_do(&conn, rig, &plan);
        stream_close(&conn.stream, reset);
        ASSERT_QUEUE_EMPTY();
        (void)signal(SIGPIPE, SIG_IGN); /* the client's; the server raised none up to here */
        for (int i = 0; i < 4; i++) {
            conn_step(&conn);
        }
        ck_assert_int_eq(conn.is_client_eof, !reset);
        ck_assert_int_eq(conn.is_client_broken, reset);
        conn_fini(&conn);
    }
}
END_TEST

/* An owner that closes from within each event. */
static void close_in_event(void *owner, enum stream_event event) {
    struct conn *conn = owner;
    conn->is_ready |= event == STREAM_READY;
    conn->is_failed |= event == STREAM_FAILED;
    if (event == STREAM_READY && conn->readable < 0) {
        conn->readable++; /* the next event it is */
        return;
    }
    if (conn->stream) {
        stream_close(&conn->stream, false);
    }
}

START_TEST(closing_within_any_event_is_fine) {
    for (int way = 0; way < 3; way++) {
        struct conn conn;
        struct conn_plan plan = plain_plan(_i);
        plan.sni = way == 2 ? "c.test" : plan.sni;
        conn_open(&conn, rig, &plan);
        conn.readable = way == 1 ? -1 : 0;
        stream_set_owner(conn.stream, close_in_event, &conn);
        for (int i = 0; i < 30; i++) {
            conn_step(&conn);
        }
        if (way == 1) {
            ck_assert_int_eq(SSL_write(conn.ssl, "x", 1), 1);
            conn_step(&conn);
        }
        ck_assert_int_eq(conn.is_failed, way == 2);
        ck_assert_ptr_null(conn.stream);
        conn_fini(&conn);
    }
}
END_TEST

START_TEST(closing_in_the_middle_of_a_handshake_is_fine) {
    for (int steps = 0; steps < 3; steps++) {
        struct conn conn;
        struct conn_plan plan = plain_plan(_i);
        conn_open(&conn, rig, &plan);
        for (int i = 0; i < steps && !conn.is_ready; i++) {
            conn_step(&conn);
        }
        conn_fini(&conn);
    }
}
END_TEST

/* ---- whose turn it is ---- */

static bool has_answer(const struct conn *conn) {
    char byte;
    return recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

/* Opens as many and lets each say its ClientHello before the server looks. */
static void say_hello(struct conn *conns, int count) {
    struct conn_plan plan = plain_plan(1);
    for (int i = 0; i < count; i++) {
        conn_open(&conns[i], rig, &plan);
        ck_assert_int_le(SSL_do_handshake(conns[i].ssl), 0);
        ERR_clear_error();
    }
}

START_TEST(handshakes_that_come_at_once_take_turns) {
    struct conn conns[3];
    say_hello(conns, 3);
    for (int turn = 1; turn <= 3; turn++) {
        loop_turn(rig->loop, 1000);
        int answered = 0;
        for (int i = 0; i < 3; i++)
            answered += has_answer(&conns[i]);
        ck_assert_int_eq(answered, turn);
    }
    for (int i = 0; i < 3; i++) {
        conn_run(&conns[i]);
        ck_assert(conns[i].is_ready);
        conn_fini(&conns[i]);
    }
}
END_TEST

START_TEST(a_handshake_that_has_begun_goes_first) {
    struct conn conns[4];
    say_hello(conns, 4);
    loop_turn(rig->loop, 1000);
    int first = 0;
    while (!has_answer(&conns[first]))
        first++;
    for (int turn = 0; turn < 2 && !conns[first].is_ready; turn++)
        conn_step(&conns[first]); /* the client's answer comes; at the latest in the next turn it is dealt with */
    ck_assert(conns[first].is_ready);
    int answered = 0;
    for (int i = 0; i < 4; i++)
        answered += i != first && has_answer(&conns[i]);
    ck_assert_int_le(answered, 1);
    for (int i = 0; i < 4; i++)
        conn_fini(&conns[i]);
}
END_TEST

START_TEST(nothing_is_spent_on_who_left_while_waiting) {
    struct conn conns[4];
    say_hello(conns, 4);
    loop_turn(rig->loop, 1000);
    loop_turn(rig->loop, 1000);
    for (int i = 0; i < 4; i++)
        shutdown(conns[i].fd, SHUT_WR);
    for (int turn = 0; turn < 4; turn++)
        loop_turn(rig->loop, 1000);
    int spared = 0;
    for (int i = 0; i < 4; i++) {
        ck_assert(conns[i].is_failed && !conns[i].failure.is_silent);
        spared += strcmp(conns[i].failure.detail, "the client closed the connection before its turn came") == 0;
        conn_fini(&conns[i]);
    }
    ck_assert_int_eq(spared, 2);
}
END_TEST

START_TEST(closing_one_that_waits_is_fine) {
    struct conn conns[3];
    say_hello(conns, 3);
    loop_turn(rig->loop, 1000);
    for (int i = 0; i < 3; i++)
        conn_fini(&conns[i]);
    loop_turn(rig->loop, 0);
}
END_TEST

Suite *tls_stream_tls_suite(void);
Suite *tls_stream_tls_suite(void) {
    Suite *suite = suite_create("tls/stream_tls");
    TCase *tcase = tcase_create("handshakes");
    tcase_add_unchecked_fixture(tcase, pki_set_up, NULL); /* once, before the tests fork */
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, what_is_not_tls_is_named);
    tcase_add_test(tcase, who_goes_away_before_a_client_hello_is_silent);
    tcase_add_loop_test(tcase, who_goes_away_after_it_is_not, 0, VERSION_COUNT);
    tcase_add_test(tcase, nothing_in_common_has_a_sentence_and_an_alert);
    tcase_add_loop_test(tcase, alpn_selects_http_1, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, min_version_1_3_refuses_1_2, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, rsa_and_ecdsa_certificates_side_by_side, 0, VERSION_COUNT);
    tcase_add_test(tcase, sec_38_renegotiation_is_refused);
    tcase_add_test(tcase, handshakes_that_come_at_once_take_turns);
    tcase_add_test(tcase, a_handshake_that_has_begun_goes_first);
    tcase_add_test(tcase, nothing_is_spent_on_who_left_while_waiting);
    tcase_add_test(tcase, closing_one_that_waits_is_fine);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("bytes");
    tcase_add_unchecked_fixture(tcase, pki_set_up, NULL); /* once, before the tests fork */
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, bytes_go_both_ways_with_backpressure, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, reading_switched_off_and_on_reports_what_waits_inside, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, connections_that_take_turns_do_not_mix, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, a_read_that_took_all_says_so, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, close_notify_is_eof_and_its_absence_is_broken, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, garbage_after_the_handshake_breaks_the_stream, 0, VERSION_COUNT);
    tcase_add_test(tcase, sec_41_records_without_data_cannot_hold_up_the_loop);
    tcase_add_loop_test(tcase, shutdown_write_sends_close_notify_and_reading_goes_on, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, what_is_discarded_is_not_read, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, close_notify_waits_for_room, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, close_says_good_bye_unless_it_is_a_reset, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, closing_within_any_event_is_fine, 0, VERSION_COUNT);
    tcase_add_loop_test(tcase, closing_in_the_middle_of_a_handshake_is_fine, 0, VERSION_COUNT);
    suite_add_tcase(suite, tcase);
    return suite;
}
