#include "upstream/link.h"

#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "upstream/exchange_rig.h"

START_TEST(a_request_gets_its_response_and_the_link_rests) {
    probe_open(&probe, false);
    ck_assert(!link_is_reused(probe.link));
    probe_get(&probe, "/a?b");
    peer = origin_accept();
    origin_hear(peer, &heard, "\r\n\r\n");
    ck_assert_str_eq(sbuf_text(&heard), "GET /a?b HTTP/1.1\r\nHost: origin.test\r\n\r\n");
    origin_say(peer, OK_HELLO);
    turn_until(&probe.ends, 1);
    ck_assert_int_eq(probe.heads, 1);
    ck_assert_int_eq(probe.status, 200);
    ck_assert_str_eq(sbuf_text(&probe.body), "hello");
    ck_assert_uint_eq(pool_idle_count(test_pool), 0);
    probe_close(&probe);
    ck_assert_uint_eq(pool_idle_count(test_pool), 1);
    ck_assert_int_eq(metric_value(METRIC_UPSTREAM_CONNECTIONS, "origin"), 1);
    ck_assert_int_eq(metric_value(METRIC_UPSTREAM_IDLE, "origin"), 1);
}
END_TEST

START_TEST(a_link_is_used_again_unless_a_fresh_one_is_wanted) {
    begin_reused_get();
    ck_assert_int_eq(metric_value(METRIC_UPSTREAM_IDLE, "origin"), 0);
    origin_say(peer, OK_HELLO);
    turn_until(&probe.ends, 1);
    probe_close(&probe);
    ck_assert_int_eq(metric_value(METRIC_UPSTREAM_CONNECTIONS, "origin"), 1);
    probe_open(&probe, true);
    ck_assert(!link_is_reused(probe.link));
    int other = origin_accept();
    ck_assert_int_ge(other, 0);
    close(other);
}
END_TEST

START_TEST(informational_heads_come_before_the_final_one) {
    begin_get();
    origin_say(peer, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    turn_until(&probe.informationals, 1);
    ck_assert_int_eq(probe.status, 103);
    origin_say(peer, "HTTP/1.1 204 No Content\r\n\r\n");
    turn_until(&probe.ends, 1);
    ck_assert_int_eq(probe.status, 204);
    probe_close(&probe);
    ck_assert_uint_eq(pool_idle_count(test_pool), 1);
}
END_TEST

START_TEST(trailers_come_with_the_end) {
    begin_get();
    origin_say(peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n");
    turn_until(&probe.ends, 1);
    ck_assert_int_eq(probe.trailers, 1);
    ck_assert_str_eq(sbuf_text(&probe.body), "abc");
}
END_TEST

START_TEST(a_body_until_close_ends_with_the_connection) {
    begin_get();
    origin_say(peer, "HTTP/1.1 200 OK\r\n\r\nall of it");
    turn_until(&probe.heads, 1);
    origin_close(&peer);
    turn_until(&probe.ends, 1);
    ck_assert_str_eq(sbuf_text(&probe.body), "all of it");
    probe_close(&probe);
    ck_assert_uint_eq(pool_idle_count(test_pool), 0);
}
END_TEST

START_TEST(a_link_that_may_not_persist_is_closed) {
    begin_get();
    origin_say(peer, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    turn_until(&probe.ends, 1);
    probe_close(&probe);
    ck_assert_uint_eq(pool_idle_count(test_pool), 0);
    ck_assert(origin_is_left(peer));
}
END_TEST

START_TEST(a_link_released_in_mid_exchange_is_closed) {
    begin_get();
    origin_say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    turn_until(&probe.heads, 1);
    probe_close(&probe);
    ck_assert_uint_eq(pool_idle_count(test_pool), 0);
    ck_assert(origin_is_left(peer));
}
END_TEST

static const char *const EVENTS[] = {"informational", "head", "body", "end", "writable", "failed"};

/* Whatever the event, a release within it is the last thing heard. */
START_TEST(a_link_may_be_released_in_any_event) {
    probe.release = EVENTS[_i];
    probe_open(&probe, false);
    static const char block[60000];
    probe_post(&probe, "x", false);
    peer = origin_accept();
    turn_until(&probe.writables, 1);
    while (probe.link && link_can_send(probe.link)) {
        link_send_body(probe.link, slice_make(block, sizeof block));
    }
    if (probe.link) {
        link_send_end(probe.link, NULL);
    }
    origin_hear(peer, &heard, "\r\n\r\n");
    char sink[65536];
    while (recv(peer, sink, sizeof sink, 0) > 0) {
        loop_turn(test_loop, 20);
    }
    if (probe.link) {
        origin_say(
            peer,
            "HTTP/1.1 103 Hm\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n");
        turn_for(20);
    }
    if (probe.link) {
        origin_say(peer, strcmp(EVENTS[_i], "end") == 0 ? "0\r\n\r\n" : "nonsense\r\n");
    }
    turn_for(20);
    ck_assert_ptr_null(probe.link);
    ck_assert_int_eq(probe.informationals, strcmp(EVENTS[_i], "writable") != 0);
    ck_assert_int_eq(probe.heads, _i != 0 && _i != 4);
    ck_assert_int_eq(probe.failures, _i == 5);
    ck_assert_uint_eq(probe.body_seen, _i == 2 ? 3 : _i == 3 || _i == 5 ? 6 : 0);
    ck_assert_uint_eq(pool_idle_count(test_pool), _i == 3);
}
END_TEST

/* The next request takes the link out of the pool in the very event that put it there. */
START_TEST(a_link_released_in_its_end_can_be_lent_at_once) {
    struct probe second;
    memset(&second, 0, sizeof second);
    probe.release = "end";
    probe.chained = &second;
    begin_get();
    origin_say(peer, OK_HELLO);
    turn_until(&probe.ends, 1);
    ck_assert(link_is_reused(second.link));
    origin_hear(peer, &heard, "/chained");
    origin_say(peer, OK_HELLO);
    turn_until(&second.ends, 1);
    ck_assert_int_eq(probe.ends, 1);
    probe_close(&second);
    ck_assert_uint_eq(pool_idle_count(test_pool), 1);
}
END_TEST

/* ---- early answers ---- */

START_TEST(an_early_answer_is_heard_while_the_request_goes_on) {
    probe_open(&probe, false);
    probe_post(&probe, "first", false);
    peer = origin_accept();
    origin_hear(peer, &heard, "first");
    origin_say(peer, OK_HELLO);
    turn_until(&probe.ends, 1);
    link_send_body(probe.link, SLICE("second"));
    link_send_end(probe.link, NULL);
    origin_hear(peer, &heard, "second");
    origin_hear(peer, &heard, "0\r\n\r\n");
    probe_close(&probe);
    ck_assert_uint_eq(pool_idle_count(test_pool), 1); /* both messages are whole */
}
END_TEST

START_TEST(an_early_answer_to_half_a_request_closes_the_link) {
    probe_open(&probe, false);
    probe_post(&probe, "first", false);
    peer = origin_accept();
    origin_hear(peer, &heard, "first");
    origin_say(peer, OK_HELLO);
    turn_until(&probe.ends, 1);
    probe_close(&probe);
    ck_assert_uint_eq(pool_idle_count(test_pool), 0);
    ck_assert(origin_is_left(peer));
}
END_TEST

/* The upstream answers the head, closes with the body unread (so a reset follows), and we are still writing. */
START_TEST(an_answer_survives_the_reset_that_follows_it) {
    probe_open(&probe, false);
    probe_post(&probe, "first", false);
    peer = origin_accept();
    origin_hear(peer, &heard, "first");
    static const char block[64 * 1024];
    link_send_body(probe.link, slice_make(block, sizeof block));
    loop_turn(test_loop, 0);
    link_send_body(probe.link, slice_make(block, sizeof block));
    origin_say(peer, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge");
    origin_close(&peer);
    turn_until(&probe.ends, 1);
    ck_assert_int_eq(probe.status, 413);
    ck_assert_str_eq(sbuf_text(&probe.body), "large");
    /* The exchange may go on sending for a while; it neither fails nor blocks. */
    for (int i = 0; i < 20; i++) {
        ck_assert(link_can_send(probe.link));
        link_send_body(probe.link, slice_make(block, 1000));
        loop_turn(test_loop, 1);
    }
    ck_assert_int_eq(probe.failures, 0);
}
END_TEST

START_TEST(a_sender_that_waits_for_room_hears_of_the_end) {
    probe_open(&probe, false);
    probe_post(&probe, "first", false);
    peer = origin_accept();
    origin_hear(peer, &heard, "first");
    static const char block[64 * 1024];
    for (int i = 0; i < 1000 && link_can_send(probe.link); i++) {
        link_send_body(probe.link, slice_make(block, sizeof block));
        loop_turn(test_loop, 0);
    }
    ck_assert(!link_can_send(probe.link));
    int before = probe.writables;
    origin_say(peer, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    turn_until(&probe.ends, 1);
    ck_assert_int_eq(shutdown(peer, SHUT_WR), 0);
    turn_until(&probe.writables, before + 1);
    ck_assert(link_can_send(probe.link));
    ck_assert_int_eq(probe.failures, 0);
}
END_TEST

START_TEST(nothing_of_a_body_is_wanted_before_the_connection_stands) {
    probe_open(&probe, false);
    probe_post(&probe, "", false);
    ck_assert(!link_can_send(probe.link));
    turn_until(&probe.writables, 1);
    ck_assert(link_can_send(probe.link));
}
END_TEST

START_TEST(writable_comes_when_the_upstream_takes_bytes_again) {
    probe_open(&probe, false);
    probe_post(&probe, "first", false);
    peer = origin_accept();
    turn_until(&probe.writables, 1);
    static const char block[64 * 1024];
    for (int i = 0; i < 1000 && link_can_send(probe.link); i++) {
        link_send_body(probe.link, slice_make(block, sizeof block));
        loop_turn(test_loop, 0);
    }
    ck_assert(!link_can_send(probe.link));
    int before = probe.writables;
    static char sink[1024 * 1024];
    for (int i = 0; i < 500 && probe.writables == before; i++) {
        (void)!recv(peer, sink, sizeof sink, 0);
        loop_turn(test_loop, 5);
    }
    ck_assert_int_eq(probe.writables, before + 1);
    ck_assert(link_can_send(probe.link));
}
END_TEST

/* ---- upgrades ---- */

static void begin_upgrade(void) {
    struct request_head head = {.version = HTTP_1_1, .method = SLICE("GET"), .upgrade = SLICE("websocket")};
    probe_open(&probe, false);
    head.target.path_and_query = SLICE("/ws");
    headers_init(&head.headers, probe.arena);
    headers_add(&head.headers, SLICE("Host"), SLICE("origin.test"));
    link_send_head(probe.link, &head, probe.arena);
    link_send_end(probe.link, NULL);
    peer = origin_accept();
    origin_hear(peer, &heard, "\r\n\r\n");
}

static int tunnel_events;
static void on_tunnel(void *owner, enum stream_event event) {
    char bytes[64];
    struct stream *stream = *(struct stream **)owner;
    tunnel_events += event == STREAM_READABLE;
    ck_assert_int_eq(stream_read(stream, bytes, sizeof bytes), 5);
}

START_TEST(an_upgraded_link_is_handed_over_with_the_bytes_already_here) {
    begin_upgrade();
    origin_say(peer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nframe");
    turn_until(&probe.heads, 1);
    ck_assert_int_eq(probe.status, 101);
    struct sbuf rest;
    sbuf_init(&rest, 1024);
    struct stream *stream = link_detach(&probe.link, &rest);
    ck_assert_ptr_null(probe.link);
    ck_assert_str_eq(sbuf_text(&rest), "frame");
    tunnel_events = 0;
    stream_set_owner(stream, on_tunnel, &stream);
    origin_say(peer, "later");
    turn_until(&tunnel_events, 1);
    ck_assert_int_eq(probe.failures + probe.ends, 0);
    stream_close(&stream, false);
    sbuf_fini(&rest);
}
END_TEST

START_TEST(an_upgraded_link_that_nobody_takes_is_closed) {
    test_upstream.read_timeout_ms = 20;
    begin_upgrade();
    origin_say(peer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    turn_until(&probe.heads, 1);
    turn_for(60); /* a tunnel is silent as long as it likes */
    ck_assert_int_eq(probe.failures, 0);
    probe_close(&probe);
    ck_assert_uint_eq(pool_idle_count(test_pool), 0);
    ck_assert(origin_is_left(peer));
}
END_TEST

/* ---- builtin:whoami ---- */

START_TEST(whoami_is_an_endpoint_like_others) {
    test_upstream.endpoints[0].is_whoami = true;
    probe_open(&probe, false);
    probe_get(&probe, "/a?b");
    turn_until(&probe.ends, 1);
    ck_assert_int_eq(probe.status, 200);
    ck_assert_ptr_nonnull(strstr(sbuf_text(&probe.body), "\"path\":\"/a?b\""));
    probe_close(&probe);
    ck_assert_uint_eq(pool_idle_count(test_pool), 1);
    probe_open(&probe, false);
    ck_assert(link_is_reused(probe.link));
    static const char block[32 * 1024];
    probe_post(&probe, "x", false);
    size_t sent = 1;
    while (sent < 3 * 1024 * 1024) {
        while (link_can_send(probe.link)) {
            link_send_body(probe.link, slice_make(block, sizeof block));
            sent += sizeof block;
        }
        loop_turn(test_loop, 10);
    }
    link_send_end(probe.link, NULL);
    turn_until(&probe.ends, 1);
    ck_assert_ptr_nonnull(strstr(sbuf_text(&probe.body), "\"body_length\":31"));
}
END_TEST

static TCase *link_case(void) {
    TCase *tcase = tcase_create("link");
    tcase_add_checked_fixture(tcase, rig_set_up, rig_tear_down);
    tcase_add_test(tcase, a_request_gets_its_response_and_the_link_rests);
    tcase_add_test(tcase, a_link_is_used_again_unless_a_fresh_one_is_wanted);
    tcase_add_test(tcase, informational_heads_come_before_the_final_one);
    tcase_add_test(tcase, trailers_come_with_the_end);
    tcase_add_test(tcase, a_body_until_close_ends_with_the_connection);
    tcase_add_test(tcase, a_link_that_may_not_persist_is_closed);
    tcase_add_test(tcase, a_link_released_in_mid_exchange_is_closed);
    tcase_add_loop_test(tcase, a_link_may_be_released_in_any_event, 0, sizeof EVENTS / sizeof *EVENTS);
    tcase_add_test(tcase, a_link_released_in_its_end_can_be_lent_at_once);
    tcase_add_test(tcase, an_early_answer_is_heard_while_the_request_goes_on);
    tcase_add_test(tcase, an_early_answer_to_half_a_request_closes_the_link);
    tcase_add_test(tcase, an_answer_survives_the_reset_that_follows_it);
    tcase_add_test(tcase, a_sender_that_waits_for_room_hears_of_the_end);
    tcase_add_test(tcase, nothing_of_a_body_is_wanted_before_the_connection_stands);
    tcase_add_test(tcase, writable_comes_when_the_upstream_takes_bytes_again);
    tcase_add_test(tcase, an_upgraded_link_is_handed_over_with_the_bytes_already_here);
    tcase_add_test(tcase, an_upgraded_link_that_nobody_takes_is_closed);
    tcase_add_test(tcase, whoami_is_an_endpoint_like_others);
    return tcase;
}

Suite *upstream_link_suite(void);
Suite *upstream_link_suite(void) {
    Suite *suite = suite_create("link");
    suite_add_tcase(suite, link_case());
    return suite;
}
