#include "store/fetch_schedule.h"

#include <check.h>

#define HOUR_MS ((int64_t)3600000)
#define NOW ((time_t)1790000000)

static const uint32_t RANDOMS[] = {0, 1, UINT32_MAX / 3, UINT32_MAX / 2, UINT32_MAX - 1, UINT32_MAX};

/* The wait lies in [from, to] whatever the chance, and reaches both ends. */
static const struct {
    int64_t from_s, until_s, interval_ms; /* of the life, against now; until 0: none */
    int64_t least_ms, most_ms;
} REFRESH[] = {
    {0, 0, HOUR_MS, HOUR_MS * 9 / 10, HOUR_MS},                  /* no end: the interval */
    {-10, -20, HOUR_MS, HOUR_MS * 9 / 10, HOUR_MS},              /* nonsense: as if there were none */
    {0, 7 * 86400, HOUR_MS, HOUR_MS * 9 / 10, HOUR_MS},          /* ends late */
    {0, 3600, 24 * HOUR_MS, HOUR_MS * 8 / 10, HOUR_MS * 9 / 10}, /* ends early: before the end */
    {-3500, 100, HOUR_MS, 50000, 50000},                         /* nearly over: half of what is left */
    {-3600, 0, HOUR_MS, 30000, 60000},                           /* over */
    {-7200, -3600, HOUR_MS, 30000, 60000},                       /* long over */
    {-7200, -3600, 10000, 9000, 10000},                          /* over, and the interval is short */
    {0, 1, HOUR_MS, 1000, 1000},                                 /* a life of a second */
};

START_TEST(what_is_good_is_asked_for_again_before_it_ends) {
    struct fetch_life life = {0};
    if (REFRESH[_i].until_s != 0 || REFRESH[_i].from_s != 0)
        life = (struct fetch_life){NOW + REFRESH[_i].from_s, NOW + REFRESH[_i].until_s};
    int64_t low = INT64_MAX, high = 0;
    for (size_t i = 0; i < sizeof RANDOMS / sizeof RANDOMS[0]; i++) {
        int64_t wait = fetch_refresh_ms(&life, NOW, REFRESH[_i].interval_ms, RANDOMS[i]);
        low = wait < low ? wait : low;
        high = wait > high ? wait : high;
    }
    ck_assert_int_eq(low, REFRESH[_i].least_ms);
    ck_assert_int_eq(high, REFRESH[_i].most_ms);
}
END_TEST

static const struct {
    unsigned failures;
    int64_t max_ms, retry_after_s, least_ms, most_ms;
} BACKOFF[] = {
    {1, HOUR_MS, 0, 2500, 5000},
    {2, HOUR_MS, 0, 5000, 10000},
    {5, HOUR_MS, 0, 40000, 80000},
    {20, HOUR_MS, 0, HOUR_MS / 2, HOUR_MS},
    {4000000000, HOUR_MS, 0, HOUR_MS / 2, HOUR_MS},
    {1, 100, 0, 1000, 1000},
    {1, HOUR_MS, 120, 120000, 132000},
    {20, HOUR_MS, 120, HOUR_MS / 2, HOUR_MS},
    {1, HOUR_MS, 10 * 86400, 24 * HOUR_MS, 24 * HOUR_MS * 11 / 10},
    {0, HOUR_MS, -5, 2500, 5000},
};

START_TEST(what_fails_is_asked_less_and_less_often) {
    int64_t low = INT64_MAX, high = 0;
    for (size_t i = 0; i < sizeof RANDOMS / sizeof RANDOMS[0]; i++) {
        int64_t wait =
            fetch_backoff_ms(BACKOFF[_i].failures, BACKOFF[_i].max_ms, BACKOFF[_i].retry_after_s, RANDOMS[i]);
        low = wait < low ? wait : low;
        high = wait > high ? wait : high;
    }
    ck_assert_int_eq(low, BACKOFF[_i].least_ms);
    ck_assert_int_eq(high, BACKOFF[_i].most_ms);
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof(table[0]))

Suite *store_fetch_schedule_suite(void);
Suite *store_fetch_schedule_suite(void) {
    Suite *suite = suite_create("fetch_schedule");
    TCase *tcase = tcase_create("fetch_schedule");
    tcase_add_loop_test(tcase, what_is_good_is_asked_for_again_before_it_ends, 0, ROWS(REFRESH));
    tcase_add_loop_test(tcase, what_fails_is_asked_less_and_less_often, 0, ROWS(BACKOFF));
    suite_add_tcase(suite, tcase);
    return suite;
}
