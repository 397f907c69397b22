#include "upstream/link.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "upstream/exchange_rig.h"

/* ---- the pool's bounds ---- */

static void open_and_finish(struct probe *probes, int count) {
    for (int i = 0; i < count; i++) {
        probe_open(&probes[i], true);
        probe_get(&probes[i], "/");
        int fd = origin_accept();
        ck_assert_int_ge(fd, 0);
        origin_say(fd, OK_HELLO);
        turn_until(&probes[i].ends, 1);
        (void)dup2(fd, 200 + i);
        close(fd);
    }
}

START_TEST(the_pool_keeps_so_many_and_the_last_used_ones) {
    struct probe probes[3];
    memset(probes, 0, sizeof probes);
    test_upstream.pool_size = 2;
    open_and_finish(probes, 3);
    for (int i = 0; i < 3; i++) {
        probe_close(&probes[i]);
    }
    ck_assert_uint_eq(pool_idle_count(test_pool), 2);
    ck_assert(origin_is_left(200));
    probe_open(&probe, false);
    probe_get(&probe, "/last");
    origin_hear(202, &heard, "/last");
    for (int i = 0; i < 3; i++) {
        close(200 + i);
    }
}
END_TEST

START_TEST(a_pool_of_none_keeps_none) {
    test_upstream.pool_size = 0;
    struct probe one;
    memset(&one, 0, sizeof one);
    open_and_finish(&one, 1);
    probe_close(&one);
    ck_assert_uint_eq(pool_idle_count(test_pool), 0);
    close(200);
}
END_TEST

START_TEST(a_link_rests_only_so_long) {
    test_upstream.pool_idle_ms = 30;
    rest_one();
    ck_assert(origin_is_left(peer));
    ck_assert_uint_eq(pool_idle_count(test_pool), 0);
}
END_TEST

START_TEST(a_reload_drops_links_to_what_is_no_longer_configured) {
    rest_one();
    const struct upstream *kept[] = {&test_upstream};
    pool_keep_only(test_pool, kept, 1);
    ck_assert_uint_eq(pool_idle_count(test_pool), 1);
    pool_keep_only(test_pool, NULL, 0);
    ck_assert_uint_eq(pool_idle_count(test_pool), 0);
    ck_assert(origin_is_left(peer));
}
END_TEST

START_TEST(a_link_lent_across_a_reload_is_not_pooled_if_its_endpoint_went) {
    begin_get();
    pool_keep_only(test_pool, NULL, 0);
    origin_say(peer, OK_HELLO);
    turn_until(&probe.ends, 1);
    probe_close(&probe);
    ck_assert_uint_eq(pool_idle_count(test_pool), 0);
    ck_assert(origin_is_left(peer));
}
END_TEST

START_TEST(a_link_lent_across_two_reloads_is_pooled_if_its_endpoint_came_back) {
    const struct upstream *kept[] = {&test_upstream};
    begin_get();
    pool_keep_only(test_pool, NULL, 0);
    pool_keep_only(test_pool, kept, 1);
    origin_say(peer, OK_HELLO);
    turn_until(&probe.ends, 1);
    probe_close(&probe);
    ck_assert_uint_eq(pool_idle_count(test_pool), 1);
}
END_TEST

/* ---- whose turn it is ---- */

static struct endpoint endpoints[70];
static struct upstream group;

static void make_group(size_t count) {
    group = (struct upstream){.name = "group", .endpoints = endpoints, .endpoint_count = count};
    for (size_t i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof text, "127.0.0.1:%d", 1000 + (int)i);
        endpoints[i] = (struct endpoint){.weight = 1};
        ck_assert_int_eq(addr_parse(slice_of(text), &endpoints[i].addr, NULL), 0);
    }
}

static size_t pick(uint64_t tried) {
    size_t index = 999;
    const struct endpoint *endpoint = pool_pick(test_pool, &group, tried, &index);
    ck_assert(endpoint == (index == 999 ? NULL : &endpoints[index]));
    return index;
}

START_TEST(turns_are_spread_by_weight_and_smoothly) {
    static const size_t expected[] = {0, 0, 1, 0, 2, 0, 0};
    make_group(3);
    endpoints[0].weight = 5;
    for (int i = 0; i < 21; i++) {
        ck_assert_uint_eq(pick(0), expected[i % 7]);
    }
}
END_TEST

START_TEST(what_was_tried_is_left_out) {
    make_group(3);
    ck_assert_uint_eq(pick(1 << 0), 1);
    ck_assert_uint_eq(pick(1 << 0 | 1 << 1), 2);
    ck_assert_uint_eq(pick(1 << 0 | 1 << 1 | 1 << 2), 999);
    make_group(1);
    ck_assert_uint_eq(pick(0), 0);
    ck_assert_uint_eq(pick(1), 999);
}
END_TEST

START_TEST(endpoints_past_the_bits_get_turns_but_no_second_try) {
    make_group(70);
    bool seen[70] = {false};
    for (int i = 0; i < 70; i++) {
        seen[pick(0)] = true;
    }
    for (int i = 0; i < 70; i++) {
        ck_assert(seen[i]);
    }
    for (int i = 0; i < 140; i++) {
        ck_assert_uint_lt(pick(1), 64);
    }
    ck_assert_uint_eq(pick(UINT64_MAX), 999);
}
END_TEST

START_TEST(turns_go_on_across_a_reload) {
    make_group(3);
    ck_assert_uint_eq(pick(0), 0);
    ck_assert_uint_eq(pick(0), 1);
    struct endpoint moved[3] = {endpoints[2], endpoints[0], endpoints[1]};
    memcpy(endpoints, moved, sizeof moved);
    const struct upstream *kept[] = {&group};
    pool_keep_only(test_pool, kept, 1);
    ck_assert_uint_eq(pick(0), 0); /* the one that was third */
}
END_TEST

static TCase *pool_case(void) {
    TCase *tcase = tcase_create("pool");
    tcase_add_checked_fixture(tcase, rig_set_up, rig_tear_down);
    tcase_add_test(tcase, the_pool_keeps_so_many_and_the_last_used_ones);
    tcase_add_test(tcase, a_pool_of_none_keeps_none);
    tcase_add_test(tcase, a_link_rests_only_so_long);
    tcase_add_test(tcase, a_reload_drops_links_to_what_is_no_longer_configured);
    tcase_add_test(tcase, a_link_lent_across_a_reload_is_not_pooled_if_its_endpoint_went);
    tcase_add_test(tcase, a_link_lent_across_two_reloads_is_pooled_if_its_endpoint_came_back);
    tcase_add_test(tcase, turns_are_spread_by_weight_and_smoothly);
    tcase_add_test(tcase, what_was_tried_is_left_out);
    tcase_add_test(tcase, endpoints_past_the_bits_get_turns_but_no_second_try);
    tcase_add_test(tcase, turns_go_on_across_a_reload);
    return tcase;
}

Suite *upstream_pool_suite(void);
Suite *upstream_pool_suite(void) {
    Suite *suite = suite_create("pool");
    suite_add_tcase(suite, pool_case());
    return suite;
}
