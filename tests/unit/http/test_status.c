#include "http/head.h"

#include <check.h>

START_TEST(standard_phrases) {
    ck_assert_str_eq(status_phrase(200), "OK");
    ck_assert_str_eq(status_phrase(404), "Not Found");
    ck_assert_str_eq(status_phrase(421), "Misdirected Request");
    ck_assert_str_eq(status_phrase(431), "Request Header Fields Too Large");
    ck_assert_str_eq(status_phrase(299), "Unknown");
    ck_assert_str_eq(status_phrase(0), "Unknown");
}
END_TEST

START_TEST(bodies_by_status) {
    static const struct {
        int status;
        bool has_body;
    } rows[] = {{100, false}, {101, false}, {103, false}, {200, true}, {204, false},
                {205, true},  {304, false}, {404, true},  {599, true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_int_eq(status_has_body(rows[i].status, false), rows[i].has_body);
        ck_assert(!status_has_body(rows[i].status, true));
    }
}
END_TEST

Suite *http_status_suite(void);
Suite *http_status_suite(void) {
    Suite *suite = suite_create("http/status");
    TCase *tcase = tcase_create("status");
    tcase_add_test(tcase, standard_phrases);
    tcase_add_test(tcase, bodies_by_status);
    suite_add_tcase(suite, tcase);
    return suite;
}
