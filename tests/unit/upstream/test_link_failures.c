#include "upstream/link.h"

#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "upstream/exchange_rig.h"

static void expect_failure(enum link_failure failure, const char *detail) {
    turn_until(&probe.failures, 1);
    ck_assert_int_eq(probe.failure, failure);
    ck_assert_msg(strstr(probe.detail, detail) != NULL, "%s", probe.detail);
    loop_turn(test_loop, 10);
    ck_assert_int_eq(probe.failures, 1);
    probe_close(&probe);
    ck_assert_uint_eq(pool_idle_count(test_pool), 0);
}

START_TEST(a_refused_connection_is_unreachable) {
    close(origin_listener);
    origin_listener = -1;
    probe_open(&probe, false);
    probe_get(&probe, "/");
    expect_failure(LINK_UNREACHABLE, "connection refused");
    ck_assert_int_eq(metric_value(METRIC_UPSTREAM_CONNECTIONS, "origin"), 0);
}
END_TEST

/* A listener whose queue is full drops what knocks. */
START_TEST(connecting_has_a_deadline) {
    ck_assert_int_eq(listen(origin_listener, 0), 0);
    int knocks[3];
    for (int i = 0; i < 3; i++) {
        knocks[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(knocks[i], &test_upstream.endpoints[0].addr.sa, test_upstream.endpoints[0].addr.len);
    }
    test_upstream.connect_timeout_ms = 50;
    probe_open(&probe, false);
    probe_get(&probe, "/");
    expect_failure(LINK_UNREACHABLE, "timed out while connecting");
    for (int i = 0; i < 3; i++) {
        close(knocks[i]);
    }
}
END_TEST

START_TEST(a_link_can_be_released_while_connecting) {
    probe_open(&probe, false);
    probe_get(&probe, "/");
    link_release(&probe.link);
    turn_for(20);
    ck_assert_int_eq(probe.failures, 0);
}
END_TEST

START_TEST(a_response_that_does_not_come_times_out) {
    test_upstream.read_timeout_ms = 50;
    begin_get();
    expect_failure(LINK_TIMEOUT, "no response in time");
    ck_assert(origin_is_left(peer));
}
END_TEST

START_TEST(a_response_that_stalls_times_out) {
    test_upstream.read_timeout_ms = 50;
    begin_get();
    origin_say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    expect_failure(LINK_TIMEOUT, "the response stalled");
    ck_assert_int_eq(probe.ends, 0);
}
END_TEST

START_TEST(an_upstream_that_takes_nothing_times_out) {
    test_upstream.read_timeout_ms = 50;
    probe_open(&probe, false);
    probe_post(&probe, "x", false);
    peer = origin_accept();
    static const char block[64 * 1024];
    for (int i = 0; i < 1000 && probe.failures == 0; i++) {
        if (link_can_send(probe.link)) {
            link_send_body(probe.link, slice_make(block, sizeof block));
        }
        loop_turn(test_loop, 5);
    }
    expect_failure(LINK_TIMEOUT, "does not take the request");
}
END_TEST

START_TEST(a_trickle_is_not_silence) {
    test_upstream.read_timeout_ms = 200;
    begin_get();
    origin_say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
    for (int i = 0; i < 6; i++) {
        turn_for(60);
        origin_say(peer, "x");
    }
    turn_until(&probe.ends, 1);
    ck_assert_int_eq(probe.failures, 0);
}
END_TEST

START_TEST(a_request_that_is_not_finished_is_not_the_upstreams_silence) {
    test_upstream.read_timeout_ms = 30;
    probe_open(&probe, false);
    probe_post(&probe, "part", false);
    peer = origin_accept();
    origin_hear(peer, &heard, "part");
    turn_for(120);
    ck_assert_int_eq(probe.failures, 0);
    link_send_end(probe.link, NULL);
    expect_failure(LINK_TIMEOUT, "no response in time");
}
END_TEST

START_TEST(the_window_bounds_what_is_outstanding_and_our_pause_is_not_silence) {
    enum { SIZE = 1024 * 1024 };
    test_upstream.read_timeout_ms = 60;
    probe.keeps_window = true;
    begin_get();
    origin_say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n");
    char *block = mem_new(SIZE);
    size_t sent = 0;
    for (int i = 0; i < 40; i++) {
        ssize_t n = send(peer, block + sent, SIZE - sent, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        loop_turn(test_loop, 5);
    }
    ck_assert_uint_gt(probe.body_seen, 32 * 1024);
    ck_assert_uint_le(probe.body_seen, 64 * 1024);
    turn_for(150);
    ck_assert_int_eq(probe.failures, 0);
    probe.keeps_window = false;
    link_consumed(probe.link, probe.body_seen);
    origin_say_bytes(peer, block + sent, SIZE - sent);
    turn_until(&probe.ends, 1);
    ck_assert_uint_eq(probe.body_seen, SIZE);
    mem_free(block);
    probe_close(&probe);
    ck_assert_uint_eq(pool_idle_count(test_pool), 1);
}
END_TEST

START_TEST(a_link_released_with_a_full_window_can_be_lent_again) {
    probe.keeps_window = true;
    begin_get();
    char *block = mem_new(60000);
    origin_say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n");
    origin_say_bytes(peer, block, 60000);
    mem_free(block);
    turn_until(&probe.ends, 1);
    probe_close(&probe);
    probe_open(&probe, false);
    ck_assert(link_is_reused(probe.link));
    probe_get(&probe, "/again");
    origin_hear(peer, &heard, "/again");
    origin_say(peer, OK_HELLO);
    turn_until(&probe.ends, 1);
    ck_assert_str_eq(sbuf_text(&probe.body), "hello");
}
END_TEST

static const struct {
    const char *said;
    bool is_reset;
    enum link_failure failure;
    const char *detail;
    int heads;
} CUT[] = {
    {"", false, LINK_CLOSED, "closed the connection", 0},
    {"", true, LINK_CLOSED, "reset", 0},
    {"HTTP/1.1 200 O", false, LINK_CLOSED, "mid-response", 0},
    {"HTTP/1.1 200 O", true, LINK_CLOSED, "reset", 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", false, LINK_CLOSED, "mid-response", 1},
    {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", true, LINK_CLOSED, "reset", 1},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false, LINK_CLOSED, "mid-response", 1},
    {"HTTP/1.1 200 OK\r\n\r\nuntil close", true, LINK_CLOSED, "reset", 1},
    {"HTTP/1.1 100 Continue\r\n\r\n", false, LINK_CLOSED, "mid-response", 0},
};

START_TEST(a_response_that_is_cut_is_a_failure) {
    begin_get();
    origin_say(peer, CUT[_i].said);
    if (CUT[_i].heads) {
        turn_until(&probe.heads, 1);
    } else {
        turn_for(10);
    }
    if (CUT[_i].is_reset) {
        origin_reset(&peer);
    } else {
        origin_close(&peer);
    }
    turn_until(&probe.failures, 1);
    ck_assert_int_eq(probe.heads, CUT[_i].heads);
    ck_assert_int_eq(probe.ends, 0);
    expect_failure(CUT[_i].failure, CUT[_i].detail);
}
END_TEST

/* The reset's error goes to a write while we do not read; what the reader finds afterwards looks like an orderly end.
 */
START_TEST(a_body_until_close_that_was_reset_has_no_end) {
    probe.keeps_window = true;
    probe_open(&probe, false);
    probe_post(&probe, "first", false);
    peer = origin_accept();
    origin_hear(peer, &heard, "first");
    char *block = mem_new(64 * 1024);
    origin_say(peer, "HTTP/1.1 200 OK\r\n\r\n");
    origin_say_bytes(peer, block, 64 * 1024);
    for (int i = 0; i < 100 && probe.body_seen < 48 * 1024; i++) {
        loop_turn(test_loop, 10);
    }
    turn_for(20);
    origin_reset(&peer);
    link_send_body(probe.link, slice_make(block, 1000));
    loop_turn(test_loop, 10);
    ck_assert_int_eq(probe.failures, 0);
    probe.keeps_window = false;
    link_consumed(probe.link, probe.body_seen);
    turn_until(&probe.failures, 1);
    ck_assert_int_eq(probe.ends, 0);
    mem_free(block);
    expect_failure(LINK_CLOSED, "reset");
}
END_TEST

static const char *const INVALID[] = {
    "nonsense\r\n\r\n",
    "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
};

START_TEST(sec_42_a_response_against_the_rules_is_invalid) {
    begin_get();
    origin_say(peer, INVALID[_i]);
    expect_failure(LINK_INVALID, "");
    ck_assert(origin_is_left(peer));
}
END_TEST

START_TEST(an_endless_head_is_invalid) {
    begin_get();
    origin_say(peer, "HTTP/1.1 200 OK\r\nX: ");
    char *block = mem_new(100 * 1024);
    memset(block, 'x', 100 * 1024);
    (void)!send(peer, block, 100 * 1024, MSG_NOSIGNAL);
    mem_free(block);
    expect_failure(LINK_INVALID, "too large");
}
END_TEST

/* ---- bytes that nobody asked for ---- */

START_TEST(sec_42_bytes_ahead_of_the_request_are_never_its_response) {
    probe_open(&probe, false);
    peer = origin_accept();
    origin_say(peer, OK_HELLO);
    turn_until(&probe.failures, 1);
    ck_assert_int_eq(probe.heads, 0);
    expect_failure(LINK_INVALID, "no request asked for");
}
END_TEST

/* The greeting is there before the connection is even known to stand. */
START_TEST(sec_42_bytes_ahead_of_a_request_that_waits_are_never_its_response) {
    probe_open(&probe, false);
    probe_get(&probe, "/");
    for (int i = 0; i < 1000 && peer < 0; i++) {
        peer = accept4(origin_listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    ck_assert_int_ge(peer, 0);
    origin_say(peer, OK_HELLO);
    turn_until(&probe.failures, 1);
    ck_assert_int_eq(probe.heads, 0);
    expect_failure(LINK_INVALID, "no request asked for");
}
END_TEST

START_TEST(sec_42_bytes_behind_a_response_spoil_the_link) {
    begin_get();
    origin_say(peer, OK_HELLO "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    turn_until(&probe.ends, 1);
    ck_assert_str_eq(sbuf_text(&probe.body), "hello");
    probe_close(&probe);
    ck_assert_uint_eq(pool_idle_count(test_pool), 0);
    ck_assert(origin_is_left(peer));
}
END_TEST

START_TEST(sec_42_a_resting_link_that_speaks_is_dropped) {
    rest_one();
    origin_say(peer, OK_HELLO);
    for (int i = 0; i < 100 && pool_idle_count(test_pool); i++) {
        loop_turn(test_loop, 10);
    }
    ck_assert_uint_eq(pool_idle_count(test_pool), 0);
    ck_assert_int_eq(metric_value(METRIC_UPSTREAM_IDLE, "origin"), 0);
}
END_TEST

/* The loop has not turned yet: the look before lending finds it. */
START_TEST(sec_42_a_resting_link_that_just_spoke_is_not_lent) {
    rest_one();
    origin_say(peer, OK_HELLO);
    probe_open(&probe, false);
    ck_assert(!link_is_reused(probe.link));
    ck_assert_uint_eq(pool_idle_count(test_pool), 0);
}
END_TEST

/* ---- stale links ---- */

START_TEST(a_resting_link_that_ends_is_dropped) {
    rest_one();
    origin_close(&peer);
    for (int i = 0; i < 100 && pool_idle_count(test_pool); i++) {
        loop_turn(test_loop, 10);
    }
    ck_assert_uint_eq(pool_idle_count(test_pool), 0);
}
END_TEST

START_TEST(a_resting_link_that_just_ended_is_not_lent) {
    rest_one();
    origin_close(&peer);
    probe_open(&probe, false);
    ck_assert(!link_is_reused(probe.link));
}
END_TEST

START_TEST(a_reused_link_closed_without_a_byte_is_stale) {
    rest_one();
    probe_open(&probe, false);
    ck_assert(link_is_reused(probe.link));
    probe_get(&probe, "/again");
    origin_close(&peer); /* crosses the request */
    expect_failure(LINK_STALE, "");
}
END_TEST

START_TEST(a_reused_link_reset_without_a_byte_is_stale) {
    begin_reused_get();
    origin_reset(&peer);
    expect_failure(LINK_STALE, "reset");
}
END_TEST

START_TEST(a_reused_link_that_closes_after_a_byte_is_not_stale) {
    begin_reused_get();
    origin_say(peer, "H");
    turn_for(10);
    origin_close(&peer);
    expect_failure(LINK_CLOSED, "mid-response");
}
END_TEST

START_TEST(a_reused_link_reset_after_a_byte_is_not_stale) {
    begin_reused_get();
    origin_say(peer, "H");
    turn_for(10);
    origin_reset(&peer);
    expect_failure(LINK_CLOSED, "reset");
}
END_TEST

START_TEST(a_reused_link_that_says_nothing_is_a_timeout_and_not_stale) {
    test_upstream.read_timeout_ms = 50;
    begin_reused_get();
    expect_failure(LINK_TIMEOUT, "no response");
}
END_TEST

static TCase *failures_case(void) {
    TCase *tcase = tcase_create("failures");
    tcase_add_checked_fixture(tcase, rig_set_up, rig_tear_down);
    tcase_add_test(tcase, a_refused_connection_is_unreachable);
    tcase_add_test(tcase, connecting_has_a_deadline);
    tcase_add_test(tcase, a_link_can_be_released_while_connecting);
    tcase_add_test(tcase, a_response_that_does_not_come_times_out);
    tcase_add_test(tcase, a_response_that_stalls_times_out);
    tcase_add_test(tcase, an_upstream_that_takes_nothing_times_out);
    tcase_add_test(tcase, a_trickle_is_not_silence);
    tcase_add_test(tcase, a_request_that_is_not_finished_is_not_the_upstreams_silence);
    tcase_add_test(tcase, the_window_bounds_what_is_outstanding_and_our_pause_is_not_silence);
    tcase_add_test(tcase, a_link_released_with_a_full_window_can_be_lent_again);
    tcase_add_loop_test(tcase, a_response_that_is_cut_is_a_failure, 0, sizeof CUT / sizeof *CUT);
    tcase_add_test(tcase, a_body_until_close_that_was_reset_has_no_end);
    tcase_add_loop_test(tcase, sec_42_a_response_against_the_rules_is_invalid, 0, sizeof INVALID / sizeof *INVALID);
    tcase_add_test(tcase, an_endless_head_is_invalid);
    tcase_add_test(tcase, sec_42_bytes_ahead_of_the_request_are_never_its_response);
    tcase_add_test(tcase, sec_42_bytes_ahead_of_a_request_that_waits_are_never_its_response);
    tcase_add_test(tcase, sec_42_bytes_behind_a_response_spoil_the_link);
    tcase_add_test(tcase, sec_42_a_resting_link_that_speaks_is_dropped);
    tcase_add_test(tcase, sec_42_a_resting_link_that_just_spoke_is_not_lent);
    tcase_add_test(tcase, a_resting_link_that_ends_is_dropped);
    tcase_add_test(tcase, a_resting_link_that_just_ended_is_not_lent);
    tcase_add_test(tcase, a_reused_link_closed_without_a_byte_is_stale);
    tcase_add_test(tcase, a_reused_link_reset_without_a_byte_is_stale);
    tcase_add_test(tcase, a_reused_link_that_closes_after_a_byte_is_not_stale);
    tcase_add_test(tcase, a_reused_link_reset_after_a_byte_is_not_stale);
    tcase_add_test(tcase, a_reused_link_that_says_nothing_is_a_timeout_and_not_stale);
    return tcase;
}

Suite *upstream_link_failures_suite(void);
Suite *upstream_link_failures_suite(void) {
    Suite *suite = suite_create("link_failures");
    suite_add_tcase(suite, failures_case());
    return suite;
}
