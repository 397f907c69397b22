#include "app/expiry_watch.h"

#include <check.h>

static const struct {
    bool is_list;
    long life, left; /* in hours */
    enum expiry_stage stage;
} ROWS[] = {
    {false, 24 * 365, 24 * 30 + 1, EXPIRY_NONE},
    {false, 24 * 365, 24 * 30, EXPIRY_MONTH},
    {false, 24 * 365, 24 * 14 + 1, EXPIRY_MONTH},
    {false, 24 * 365, 24 * 14, EXPIRY_FORTNIGHT},
    {false, 24 * 365, 1, EXPIRY_FORTNIGHT},
    {false, 24 * 365, 0, EXPIRY_PAST},
    {false, 24 * 365, -1000, EXPIRY_PAST},
    {false, 24 * 7, 24 * 6, EXPIRY_FORTNIGHT},
    {true, 24 * 365, 24 * 20, EXPIRY_MONTH},
    {true, 24 * 7, 24 * 6, EXPIRY_NONE},
    {true, 200, 11, EXPIRY_NONE},
    {true, 200, 10, EXPIRY_FORTNIGHT},
    {true, 200, 0, EXPIRY_PAST},
};

START_TEST(a_stage_is_reached_at_its_moment) {
    time_t now = 1800000000, end = now + ROWS[_i].left * 3600;
    ck_assert_int_eq(expiry_stage(ROWS[_i].is_list, end - ROWS[_i].life * 3600, end, now), ROWS[_i].stage);
}
END_TEST

Suite *app_expiry_watch_suite(void);
Suite *app_expiry_watch_suite(void) {
    Suite *suite = suite_create("app/expiry_watch");
    TCase *tcase = tcase_create("stages");
    tcase_add_loop_test(tcase, a_stage_is_reached_at_its_moment, 0, sizeof ROWS / sizeof ROWS[0]);
    suite_add_tcase(suite, tcase);
    return suite;
}
