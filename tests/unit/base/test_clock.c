#include "base/clock.h"

#include <check.h>

START_TEST(texts_of_known_times) {
    static const struct {
        int64_t time;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00Z"},
        {-1, "1969-12-31T23:59:59Z"},
        {951782399, "2000-02-28T23:59:59Z"},
        {951782400, "2000-02-29T00:00:00Z"},
        {951868800, "2000-03-01T00:00:00Z"},
        {4107542399, "2100-02-28T23:59:59Z"},
        {4107542400, "2100-03-01T00:00:00Z"},
        {1772323200, "2026-03-01T00:00:00Z"},
        {2147483648, "2038-01-19T03:14:08Z"},
        {253402300799, "9999-12-31T23:59:59Z"},
        {-62167219200, "0000-01-01T00:00:00Z"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[CLOCK_TEXT_SIZE];
        time_t parsed;
        ck_assert_str_eq(clock_format((time_t)rows[i].time, text), rows[i].text);
        ck_assert(clock_parse(slice_of(rows[i].text), &parsed));
        ck_assert_int_eq(parsed, rows[i].time);
    }
}
END_TEST

START_TEST(agrees_with_gmtime) {
    /* Steps of a prime number of seconds, about 25 hours, over 400 years and more. */
    for (int64_t t = -8000000000; t < 8000000000; t += 89989) {
        time_t time = (time_t)t;
        struct tm tm;
        char text[CLOCK_TEXT_SIZE], expected[CLOCK_TEXT_SIZE];
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&time, &tm));
        if (strcmp(clock_format(time, text), expected) != 0)
            ck_abort_msg("%s instead of %s", text, expected);
    }
}
END_TEST

START_TEST(years_outside_the_format_are_clamped) {
    char text[CLOCK_TEXT_SIZE];
    ck_assert_str_eq(clock_format((time_t)253402300800, text), "9999-12-31T23:59:59Z");
    ck_assert_str_eq(clock_format((time_t)INT64_MAX, text), "9999-12-31T23:59:59Z");
    ck_assert_str_eq(clock_format((time_t)INT64_MIN, text), "0000-01-01T00:00:00Z");
}
END_TEST

START_TEST(milliseconds) {
    char text[CLOCK_TEXT_SIZE];
    ck_assert_str_eq(clock_format_ms(INT64_C(1772323200123456), text), "2026-03-01T00:00:00.123Z");
    ck_assert_str_eq(clock_format_ms(INT64_C(1772323200999999), text), "2026-03-01T00:00:00.999Z");
    ck_assert_str_eq(clock_format_ms(INT64_C(1772323201000000), text), "2026-03-01T00:00:01.000Z");
    ck_assert_str_eq(clock_format_ms(-1000, text), "1969-12-31T23:59:59.999Z");
}
END_TEST

START_TEST(times_that_are_read) {
    static const struct {
        const char *text;
        int64_t time;
    } rows[] = {
        {"0", 0},
        {"1772323200", 1772323200},
        {"2026-03-01T00:00:00Z", 1772323200},
        {"2026-03-01t00:00:00z", 1772323200},
        {"2026-03-01T00:00:00.999Z", 1772323200},
        {"2026-03-01T01:30:00+01:30", 1772323200},
        {"2026-02-28T19:00:00.5-05:00", 1772323200},
        {"2024-02-29T00:00:00Z", 1709164800},
        {"2016-12-31T23:59:60Z", 1483228800},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        time_t time;
        ck_assert_msg(clock_parse(slice_of(rows[i].text), &time), "%s", rows[i].text);
        ck_assert_int_eq(time, rows[i].time);
    }
}
END_TEST

START_TEST(times_that_are_refused) {
    static const char *const rows[] = {
        "",
        "-1",
        "now",
        "2026-03-01",
        "2026-03-01T00:00:00",
        "2026-03-01 00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-03-00T00:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T00:60:00Z",
        "2026-03-01T00:00:61Z",
        "2026-03-01T00:00:00.Z",
        "2026-03-01T00:00:00+1:00",
        "2026-03-01T00:00:00+24:00",
        "2026-03-01T00:00:00+01:60",
        "2026-03-01T00:00:00Z ",
        "26-03-01T00:00:00Z",
        "2026-3-01T00:00:00Z",
        "+026-03-01T00:00:00Z",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        time_t time;
        ck_assert_msg(!clock_parse(slice_of(rows[i]), &time), "%s", rows[i]);
    }
}
END_TEST

START_TEST(the_clocks_run) {
    int64_t mono = clock_mono_us();
    ck_assert_int_ge(clock_mono_us(), mono);
    ck_assert_int_le(clock_wall() - clock_wall_us() / 1000000, 1);
}
END_TEST

Suite *base_clock_suite(void);
Suite *base_clock_suite(void) {
    Suite *suite = suite_create("clock");
    TCase *tcase = tcase_create("clock");
    tcase_add_test(tcase, texts_of_known_times);
    tcase_add_test(tcase, agrees_with_gmtime);
    tcase_add_test(tcase, years_outside_the_format_are_clamped);
    tcase_add_test(tcase, milliseconds);
    tcase_add_test(tcase, times_that_are_read);
    tcase_add_test(tcase, times_that_are_refused);
    tcase_add_test(tcase, the_clocks_run);
    suite_add_tcase(suite, tcase);
    return suite;
}
