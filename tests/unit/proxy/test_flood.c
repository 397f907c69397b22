#include "proxy/flood.h"

#include <check.h>

#include "base/clock.h"
#include "base/sbuf.h"

static struct loop *loop;
static struct flood *flood;
static struct sbuf told;

static const struct flood_kind total = {"connection_refused", REASON_CONNECTION_LIMIT, "max_connections"};
static const struct flood_kind address = {"connection_refused", REASON_CONNECTION_LIMIT, "connections_per_ip"};
static const struct flood_kind unknown = {"handshake_refused", REASON_UNKNOWN_HOSTNAME, NULL};
static const struct flood_kind missing = {"handshake_refused", REASON_SNI_MISSING, NULL};

static void note(void *arg, const struct flood_kind *kind, uint64_t count) {
    sbuf_printf(arg, "%s %s %s %llu\n", kind->event, reason_code(kind->reason), kind->detail ? kind->detail : "-",
                (unsigned long long)count);
}

static void set_up(void) {
    loop = loop_new(NULL);
    sbuf_init(&told, 4096);
    flood = flood_new(loop, note, &told);
}

static void tear_down(void) {
    flood_free(&flood);
    loop_free(loop);
    sbuf_fini(&told);
}

static int admitted(const struct flood_kind *kind, int lines) {
    int count = 0;
    for (int i = 0; i < lines; i++)
        count += flood_admits(flood, kind);
    return count;
}

static void wait_until_told(void) {
    int64_t deadline = clock_mono_us() + 5000000;
    while (told.len == 0 && clock_mono_us() < deadline)
        loop_turn(loop, 100);
}

START_TEST(a_few_lines_are_all_written) {
    ck_assert_int_eq(admitted(&total, FLOOD_LINES), FLOOD_LINES);
    flood_free(&flood);
    ck_assert_str_eq(sbuf_text(&told), "");
}
END_TEST

START_TEST(each_kind_has_lines_of_its_own) {
    ck_assert_int_eq(admitted(&total, 1000), FLOOD_LINES);
    ck_assert_int_eq(admitted(&address, 1), 1);
    ck_assert_int_eq(admitted(&unknown, FLOOD_LINES + 1), FLOOD_LINES);
    ck_assert_int_eq(admitted(&missing, FLOOD_LINES), FLOOD_LINES);
}
END_TEST

START_TEST(a_second_later_it_is_told_and_begins_anew) {
    (void)admitted(&total, 1000);
    (void)admitted(&address, 3);
    (void)admitted(&unknown, 30);
    wait_until_told();
    ck_assert_str_eq(sbuf_text(&told), "connection_refused connection_limit max_connections 980\n"
                                       "handshake_refused unknown_hostname - 10\n");
    sbuf_clear(&told);
    ck_assert_int_eq(admitted(&total, 21), FLOOD_LINES);
    wait_until_told();
    ck_assert_str_eq(sbuf_text(&told), "connection_refused connection_limit max_connections 1\n");
}
END_TEST

START_TEST(the_last_ones_are_told_at_the_end) {
    (void)admitted(&missing, 25);
    flood_free(&flood);
    ck_assert_str_eq(sbuf_text(&told), "handshake_refused sni_missing - 5\n");
    flood_free(&flood);
}
END_TEST

Suite *proxy_flood_suite(void);
Suite *proxy_flood_suite(void) {
    Suite *suite = suite_create("flood");
    TCase *tcase = tcase_create("flood");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_few_lines_are_all_written);
    tcase_add_test(tcase, each_kind_has_lines_of_its_own);
    tcase_add_test(tcase, a_second_later_it_is_told_and_begins_anew);
    tcase_add_test(tcase, the_last_ones_are_told_at_the_end);
    suite_add_tcase(suite, tcase);
    return suite;
}
