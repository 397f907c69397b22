#include "base/limit_table.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void *memory;
static struct limit_table *table;

static void set_up(void) {
    memory = mmap(NULL, limit_table_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(memory != MAP_FAILED);
    table = limit_table_open(memory);
}

static void tear_down(void) { munmap(memory, limit_table_size()); }

static bool take(unsigned worker, uint32_t address, int64_t max_total, int64_t max_per_address) {
    return limit_table_take(table, worker, &address, sizeof address, max_total, max_per_address);
}

static void give_back(unsigned worker, uint32_t address) {
    limit_table_give_back(table, worker, &address, sizeof address);
}

START_TEST(the_sum_of_all_workers_counts) {
    ck_assert(take(0, 1, 3, 0));
    ck_assert(take(1, 2, 3, 0));
    ck_assert(take(63, 3, 3, 0));
    ck_assert(!take(0, 4, 3, 0));
    ck_assert(!take(2, 4, 3, 0));
    ck_assert_int_eq(limit_table_connections(table), 3);
    give_back(1, 2);
    ck_assert_int_eq(limit_table_connections(table), 2);
    ck_assert(take(0, 4, 3, 0));
    ck_assert(!take(0, 5, 3, 0));
    ck_assert(take(0, 5, 0, 0)); /* no limit any more */
}
END_TEST

START_TEST(sec_41_an_address_counts_on_all_workers) {
    ck_assert(take(0, 7, 0, 2));
    ck_assert(take(1, 7, 0, 2));
    ck_assert(!take(0, 7, 0, 2));
    ck_assert(!take(5, 7, 0, 2));
    ck_assert(take(0, 8, 0, 2));
    ck_assert_int_eq(limit_table_connections(table), 3);
    give_back(1, 7);
    ck_assert(take(5, 7, 0, 2));
    ck_assert(!take(1, 7, 0, 2));
}
END_TEST

START_TEST(connections_from_before_the_limit_count) {
    ck_assert(take(0, 7, 0, 0));
    ck_assert(take(0, 7, 0, 0));
    ck_assert(!take(1, 7, 0, 2));
}
END_TEST

START_TEST(a_full_total_refuses_without_counting_the_address) {
    ck_assert(take(0, 1, 1, 0));
    for (int i = 0; i < 100; i++)
        ck_assert(!take(0, 2, 1, 5));
    give_back(0, 1);
    for (int i = 0; i < 5; i++)
        ck_assert(take(1, 2, 100, 5));
    ck_assert(!take(1, 2, 100, 5));
}
END_TEST

START_TEST(ipv6_addresses_count_like_others) {
    unsigned char a[16] = {0x20, 0x01, [15] = 1}, b[16] = {0x20, 0x01, [15] = 2};
    ck_assert(limit_table_take(table, 0, a, 16, 0, 1));
    ck_assert(!limit_table_take(table, 1, a, 16, 0, 1));
    ck_assert(limit_table_take(table, 1, b, 16, 0, 1));
    ck_assert(limit_table_take(table, 1, NULL, 0, 0, 1)); /* a listener without addresses */
    limit_table_give_back(table, 1, NULL, 0);
}
END_TEST

START_TEST(many_addresses_hardly_disturb_each_other) {
    int refused = 0;
    for (uint32_t i = 0; i < 100000; i++)
        ck_assert_msg(take(i % 4, i, 0, 0), "%u", i);
    for (uint32_t i = 0; i < 1000; i++)
        refused += !take(0, 1000000 + i, 0, 3);
    ck_assert_int_le(refused, 20);
    for (uint32_t i = 0; i < 100000; i++)
        give_back(i % 4, i);
}
END_TEST

START_TEST(handshakes_have_a_limit_of_their_own) {
    ck_assert(limit_table_take_handshake(table, 0, 2));
    ck_assert(limit_table_take_handshake(table, 1, 2));
    ck_assert(!limit_table_take_handshake(table, 1, 2));
    ck_assert(limit_table_take_handshake(table, 1, 0));
    ck_assert_int_eq(limit_table_handshakes(table), 3);
    limit_table_give_back_handshake(table, 1);
    limit_table_give_back_handshake(table, 0);
    ck_assert(limit_table_take_handshake(table, 5, 2));
    ck_assert_int_eq(limit_table_connections(table), 0);
}
END_TEST

START_TEST(a_dead_worker_holds_nothing) {
    ck_assert(take(0, 7, 0, 0));
    ck_assert(take(1, 7, 0, 0));
    ck_assert(limit_table_take_handshake(table, 1, 0));
    limit_table_clear_worker(table, 1);
    ck_assert_int_eq(limit_table_connections(table), 1);
    ck_assert_int_eq(limit_table_handshakes(table), 0);
    ck_assert(take(1, 7, 0, 2));
    ck_assert(!take(1, 7, 0, 2));
}
END_TEST

START_TEST(nothing_goes_below_nothing) {
    give_back(0, 7);
    limit_table_give_back_handshake(table, 0);
    ck_assert_int_eq(limit_table_connections(table), 0);
    ck_assert_int_eq(limit_table_handshakes(table), 0);
    ck_assert(take(0, 7, 1, 1));
    ck_assert(!take(0, 7, 0, 1));
}
END_TEST

START_TEST(memory_gone_wrong_does_not_lead_outside) {
    memset(memory, 0xff, limit_table_size());
    ck_assert(take(63, 7, 0, 0));
    (void)limit_table_connections(table);
    limit_table_clear_worker(table, 63);
}
END_TEST

/* Takes and gives back; exit status 1 if ever more than max were held. */
static void hammer(unsigned worker, volatile int64_t *held) {
    int status = 0;
    struct limit_table *theirs = limit_table_open(memory);
    for (int i = 0; i < 100000; i++) {
        if (!limit_table_take(theirs, worker, "abcd", 4, 0, 2))
            continue;
        if (__atomic_add_fetch(held, 1, __ATOMIC_SEQ_CST) > 2)
            status = 1;
        (void)__atomic_sub_fetch(held, 1, __ATOMIC_SEQ_CST);
        limit_table_give_back(theirs, worker, "abcd", 4);
    }
    _exit(status);
}

START_TEST(workers_at_once_never_pass_the_limit) {
    int64_t *held = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t children[4];
    for (unsigned i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0)
            hammer(i, held);
    }
    for (int i = 0; i < 4; i++) {
        int status;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_int_eq(limit_table_connections(table), 0);
    ck_assert(limit_table_take(table, 9, "abcd", 4, 0, 1));
}
END_TEST

START_TEST(workers_are_counted_as_they_join) {
    ck_assert_uint_eq(limit_table_workers(table), 0);
    limit_table_join(table, 0);
    limit_table_join(table, 1);
    limit_table_join(table, 1);
    ck_assert_uint_eq(limit_table_workers(table), 2);
    limit_table_clear_worker(table, 1);
    ck_assert_uint_eq(limit_table_workers(table), 2);
}
END_TEST

START_TEST(no_worker_is_beyond_the_table) { (void)take(LIMIT_TABLE_WORKERS_MAX, 1, 0, 0); }
END_TEST

Suite *base_limit_table_suite(void);
Suite *base_limit_table_suite(void) {
    Suite *suite = suite_create("limit_table");
    TCase *tcase = tcase_create("limit_table");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, the_sum_of_all_workers_counts);
    tcase_add_test(tcase, sec_41_an_address_counts_on_all_workers);
    tcase_add_test(tcase, connections_from_before_the_limit_count);
    tcase_add_test(tcase, a_full_total_refuses_without_counting_the_address);
    tcase_add_test(tcase, ipv6_addresses_count_like_others);
    tcase_add_test(tcase, many_addresses_hardly_disturb_each_other);
    tcase_add_test(tcase, handshakes_have_a_limit_of_their_own);
    tcase_add_test(tcase, a_dead_worker_holds_nothing);
    tcase_add_test(tcase, nothing_goes_below_nothing);
    tcase_add_test(tcase, memory_gone_wrong_does_not_lead_outside);
    tcase_add_test(tcase, workers_at_once_never_pass_the_limit);
    tcase_add_test(tcase, workers_are_counted_as_they_join);
    tcase_add_test_raise_signal(tcase, no_worker_is_beyond_the_table, 6);
    suite_add_tcase(suite, tcase);
    return suite;
}
