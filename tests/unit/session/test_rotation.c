/* Keys are published before they sign and after, and no token outlives its key. */
#include <check.h>

#include "session/rotation.h"

#define DAY 86400
static const struct rotation six_weeks = {42 * DAY, 7 * DAY};

START_TEST(the_first_key_signs_at_once) {
    int64_t from = 0;
    ck_assert(rotation_wants_key(NULL, 0, 1000, &six_weeks, &from));
    ck_assert_int_eq(from, 1000);
}
END_TEST

static const struct {
    int64_t now;
    bool is_wanted;
    int64_t from;
} wishes[] = {{0, false, 0},
              {34 * DAY, false, 0},
              {35 * DAY - 1, false, 0},
              {35 * DAY, true, 42 * DAY},
              {36 * DAY, true, 43 * DAY},   /* the gateway was off for a day */
              {400 * DAY, true, 407 * DAY}, /* for a year: even then it is published first */
              {-5 * DAY, false, 0}};

START_TEST(the_next_key_is_made_a_week_before_it_signs) {
    int64_t active[] = {0}, from = -1;
    ck_assert_int_eq(rotation_wants_key(active, 1, wishes[_i].now, &six_weeks, &from), wishes[_i].is_wanted);
    if (wishes[_i].is_wanted)
        ck_assert_int_eq(from, wishes[_i].from);
}
END_TEST

START_TEST(one_next_key_is_enough) {
    int64_t active[] = {0, 42 * DAY}, from;
    ck_assert(!rotation_wants_key(active, 2, 36 * DAY, &six_weeks, &from));
    ck_assert(!rotation_wants_key(active, 2, 42 * DAY, &six_weeks, &from));
    ck_assert(rotation_wants_key(active, 2, 77 * DAY, &six_weeks, &from));
}
END_TEST

START_TEST(the_last_whose_time_has_come_signs) {
    int64_t active[] = {100, 200, 300};
    ck_assert_uint_eq(rotation_current(active, 3, 100), 0);
    ck_assert_uint_eq(rotation_current(active, 3, 199), 0);
    ck_assert_uint_eq(rotation_current(active, 3, 200), 1);
    ck_assert_uint_eq(rotation_current(active, 3, 1000), 2);
    ck_assert_uint_eq(rotation_current(active, 3, 5), 0); /* the clock went back */
}
END_TEST

START_TEST(a_key_is_published_for_a_week_after_it_signed) {
    int64_t active[] = {0, 42 * DAY};
    ck_assert_int_eq(rotation_retires(active, 2, 0, &six_weeks), 49 * DAY);
    ck_assert_int_eq(rotation_retires(active, 2, 1, &six_weeks), INT64_MAX);
}
END_TEST

/* Whatever happens next, and however often somebody looks: what was promised about a key's publication holds. */
START_TEST(no_token_outlives_the_publication_of_its_key) {
    static const struct rotation cases[] = {{42 * DAY, 7 * DAY}, {10, 3}, {10, 30}, {2, 1}, {7, 0}};
    const struct rotation *rotation = &cases[_i];
    int64_t step = rotation->period_s / 9 + 1, promised[200] = {0}, active[200] = {0};
    size_t count = 1;
    for (int64_t now = 0; now < 40 * rotation->period_s; now += step) {
        int64_t from, good;
        if (rotation_wants_key(active, count, now, rotation, &from)) {
            ck_assert_int_ge(from, now);
            active[count++] = from;
        }
        size_t current = rotation_current(active, count, now);
        good = rotation_good_until(active, count, now, rotation);
        ck_assert_int_ge(good, now);
        if (good > promised[current])
            promised[current] = good;
        for (size_t i = 0; i < count; i++)
            ck_assert_int_ge(rotation_retires(active, count, i, rotation), promised[i]);
    }
    ck_assert_uint_gt(count, 30);
}
END_TEST

Suite *session_rotation_suite(void);
Suite *session_rotation_suite(void) {
    Suite *suite = suite_create("session/rotation");
    TCase *tcase = tcase_create("schedule");
    tcase_add_test(tcase, the_first_key_signs_at_once);
    tcase_add_loop_test(tcase, the_next_key_is_made_a_week_before_it_signs, 0, sizeof wishes / sizeof wishes[0]);
    tcase_add_test(tcase, one_next_key_is_enough);
    tcase_add_test(tcase, the_last_whose_time_has_come_signs);
    tcase_add_test(tcase, a_key_is_published_for_a_week_after_it_signed);
    tcase_add_loop_test(tcase, no_token_outlives_the_publication_of_its_key, 0, 5);
    suite_add_tcase(suite, tcase);
    return suite;
}
