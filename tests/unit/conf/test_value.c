/* Durations, sizes, and the word that was meant. */
#include <check.h>

#include "../../../src/conf/value_priv.h"

START_TEST(durations_are_read_and_written_in_their_shortest_form) {
    static const struct {
        const char *text;
        int64_t ms;
        const char *form;
    } rows[] = {
        {"0", 0, "0"},
        {"30s", 30000, "30s"},
        {"5m", 300000, "5m"},
        {"24h", 86400000, "24h"},
        {"250ms", 250, "250ms"},
        {"90s", 90000, "90s"},
        {"1h30m", 5400000, "90m"},
        {"60s", 60000, "1m"},
        {"7d", 604800000, "7d"},
        {"2d", 172800000, "48h"},
        {"0s", 0, "0"},
        {"1m1ms", 60001, "60001ms"},
        {"036s", 36000, "36s"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ms = -1;
        struct sbuf out;
        sbuf_init(&out, 64);
        ck_assert_msg(duration_parse(slice_of(rows[i].text), &ms), "%s", rows[i].text);
        ck_assert_int_eq(ms, rows[i].ms);
        duration_format(ms, &out);
        ck_assert_str_eq(sbuf_text(&out), rows[i].form);
        sbuf_fini(&out);
    }
}
END_TEST

START_TEST(what_is_no_duration_is_refused) {
    static const char *const rows[] = {"",
                                       "30",
                                       "s",
                                       "30 s",
                                       "-1s",
                                       "1.5h",
                                       "30S",
                                       "5min",
                                       "1m1h",
                                       "1s1s",
                                       "99999999999999999d",
                                       "1000000000000000000ms",
                                       "s30",
                                       "30s ",
                                       "0x1s"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ms;
        ck_assert_msg(!duration_parse(slice_of(rows[i]), &ms), "%s", rows[i]);
    }
}
END_TEST

START_TEST(sizes_are_read_and_written_in_their_shortest_form) {
    static const struct {
        const char *text;
        int64_t bytes;
        const char *form;
    } rows[] = {{"0", 0, "0"},
                {"1", 1, "1"},
                {"16KiB", 16384, "16KiB"},
                {"1MiB", 1048576, "1MiB"},
                {"1024", 1024, "1KiB"},
                {"1025", 1025, "1025"},
                {"2GiB", 2147483648LL, "2GiB"},
                {"1024KiB", 1048576, "1MiB"},
                {"1TiB", 1LL << 40, "1TiB"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t bytes = -1;
        struct sbuf out;
        sbuf_init(&out, 64);
        ck_assert_msg(size_parse(slice_of(rows[i].text), &bytes), "%s", rows[i].text);
        ck_assert_int_eq(bytes, rows[i].bytes);
        size_format(bytes, &out);
        ck_assert_str_eq(sbuf_text(&out), rows[i].form);
        sbuf_fini(&out);
    }
}
END_TEST

START_TEST(what_is_no_size_is_refused) {
    static const char *const rows[] = {"", "KiB", "1KB", "1kib", "1 KiB", "1.5MiB", "-1", "1B", "99999999TiB", "1MiB1"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t bytes;
        ck_assert_msg(!size_parse(slice_of(rows[i]), &bytes), "%s", rows[i]);
    }
}
END_TEST

START_TEST(the_nearest_word_is_offered_and_none_that_is_far) {
    static const struct {
        const char *unknown, *meant;
    } rows[] = {{"polcy", "policy"},
                {"hostname", "hostnames"},
                {"lsiteners", "listeners"},
                {"Policy", "policy"},
                {"zebra", NULL},
                {"x", NULL},
                {"", NULL}};
    static const char *const words[] = {"listeners", "hostnames", "policy", "ip"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct nearest nearest;
        nearest_init(&nearest, slice_of(rows[i].unknown));
        for (size_t j = 0; j < sizeof(words) / sizeof(words[0]); j++)
            nearest_offer(&nearest, slice_of(words[j]));
        ck_assert_msg(rows[i].meant ? slice_eq_str(nearest.best, rows[i].meant) : nearest.best.ptr == NULL, "%s",
                      rows[i].unknown);
    }
}
END_TEST

Suite *conf_value_suite(void);
Suite *conf_value_suite(void) {
    Suite *suite = suite_create("conf/value");
    TCase *tcase = tcase_create("value");
    tcase_add_test(tcase, durations_are_read_and_written_in_their_shortest_form);
    tcase_add_test(tcase, what_is_no_duration_is_refused);
    tcase_add_test(tcase, sizes_are_read_and_written_in_their_shortest_form);
    tcase_add_test(tcase, what_is_no_size_is_refused);
    tcase_add_test(tcase, the_nearest_word_is_offered_and_none_that_is_far);
    suite_add_tcase(suite, tcase);
    return suite;
}
