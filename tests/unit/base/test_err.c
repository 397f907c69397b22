#include "base/err.h"

#include <check.h>
#include <signal.h>
#include <string.h>

START_TEST(set_returns_minus_one_and_keeps_the_text) {
    struct err err;
    ck_assert_int_eq(err_set(&err, "port %d", 80), -1);
    ck_assert_str_eq(err.text, "port 80");
    ck_assert_int_eq(err_set(NULL, "nobody asks"), -1);
}
END_TEST

START_TEST(set_may_use_its_own_text) {
    struct err err;
    err_set(&err, "inner");
    err_set(&err, "outer of %s", err.text);
    ck_assert_str_eq(err.text, "outer of inner");
}
END_TEST

START_TEST(context_goes_in_front) {
    struct err err;
    err_set(&err, "is empty");
    ck_assert_int_eq(err_context(&err, "file %s", "a.pem"), -1);
    ck_assert_str_eq(err.text, "file a.pem: is empty");
    ck_assert_int_eq(err_context(NULL, "nobody asks"), -1);
}
END_TEST

START_TEST(long_texts_are_cut_and_terminated) {
    struct err err;
    char text[3000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    err_set(&err, "%s", text);
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
    err_context(&err, "where");
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
    ck_assert_int_eq(strncmp(err.text, "where: xxx", 10), 0);
    err_context(&err, "%s", text);
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
}
END_TEST

START_TEST(a_broken_invariant_aborts) { INVARIANT(1 + 1 == 3); }
END_TEST

Suite *base_err_suite(void);
Suite *base_err_suite(void) {
    Suite *suite = suite_create("err");
    TCase *tcase = tcase_create("err");
    tcase_add_test(tcase, set_returns_minus_one_and_keeps_the_text);
    tcase_add_test(tcase, set_may_use_its_own_text);
    tcase_add_test(tcase, context_goes_in_front);
    tcase_add_test(tcase, long_texts_are_cut_and_terminated);
    tcase_add_test_raise_signal(tcase, a_broken_invariant_aborts, SIGABRT);
    suite_add_tcase(suite, tcase);
    return suite;
}
