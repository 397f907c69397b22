#include "base/sbuf.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>

START_TEST(appends_in_order) {
    struct sbuf buf;
    sbuf_init(&buf, 1000);
    ck_assert_str_eq(sbuf_text(&buf), "");
    ck_assert_uint_eq(sbuf_slice(&buf).len, 0);
    sbuf_append(&buf, SLICE("ab"));
    sbuf_append(&buf, SLICE_NONE);
    sbuf_append_str(&buf, "cd");
    sbuf_append_char(&buf, ' ');
    sbuf_append_u64(&buf, 0);
    sbuf_append_u64(&buf, 18446744073709551615ULL);
    sbuf_printf(&buf, " %s-%d", "x", -1);
    ck_assert_str_eq(sbuf_text(&buf), "abcd 018446744073709551615 x--1");
    ck_assert(!buf.overflow);
    sbuf_fini(&buf);
}
END_TEST

START_TEST(the_limit_is_exact_and_overflow_stays) {
    struct sbuf buf;
    sbuf_init(&buf, 4);
    sbuf_append_str(&buf, "abcd");
    ck_assert(!buf.overflow);
    sbuf_append_char(&buf, 'e');
    ck_assert(buf.overflow);
    ck_assert_str_eq(sbuf_text(&buf), "abcd");
    sbuf_consume(&buf, 2);
    ck_assert_uint_eq(sbuf_room(&buf), 2);
    sbuf_append_str(&buf, "ef");
    ck_assert_str_eq(sbuf_text(&buf), "cdef");
    ck_assert(buf.overflow);
    sbuf_clear(&buf);
    ck_assert(!buf.overflow);
    sbuf_fini(&buf);
}
END_TEST

START_TEST(an_append_that_does_not_fit_changes_nothing) {
    struct sbuf buf;
    sbuf_init(&buf, 300);
    sbuf_append_str(&buf, "abc");
    sbuf_printf(&buf, "%298s", "");
    ck_assert(buf.overflow && buf.len == 3);
    buf.overflow = false;
    sbuf_printf(&buf, "%297s", "");
    ck_assert(!buf.overflow && buf.len == 300);
    ck_assert_ptr_null(sbuf_reserve(&buf, 1));
    ck_assert_ptr_nonnull(sbuf_reserve(&buf, 0));
    sbuf_fini(&buf);
}
END_TEST

START_TEST(works_as_a_queue) {
    /* Lengths and take-offs that do not divide each other, against a plain counter. */
    struct sbuf buf;
    unsigned char in = 0, out = 0;
    int wrong = 0;
    sbuf_init(&buf, 5000);
    for (int round = 0; round < 5000; round++) {
        size_t want = (size_t)(round * 7 % 61);
        char *place = sbuf_reserve(&buf, want);
        if (place) {
            for (size_t i = 0; i < want; i++)
                place[i] = (char)in++;
            sbuf_commit(&buf, want);
        }
        size_t take = (size_t)(round * 5 % 59);
        struct slice s = slice_first(sbuf_slice(&buf), take);
        for (size_t i = 0; i < s.len; i++)
            wrong += (unsigned char)s.ptr[i] != out++;
        sbuf_consume(&buf, s.len);
        wrong += buf.cap > 5001;
    }
    ck_assert_int_eq(wrong, 0);
    sbuf_fini(&buf);
}
END_TEST

START_TEST(an_empty_buffer_gives_a_large_allocation_back) {
    struct sbuf buf;
    sbuf_init(&buf, 1 << 20);
    ck_assert_ptr_nonnull(sbuf_reserve(&buf, 100000));
    sbuf_commit(&buf, 100000);
    sbuf_consume(&buf, 99999);
    ck_assert_uint_gt(buf.cap, 0);
    sbuf_consume(&buf, 1);
    ck_assert_uint_eq(buf.cap, 0);
    sbuf_append_str(&buf, "again");
    ck_assert_str_eq(sbuf_text(&buf), "again");
    sbuf_fini(&buf);
}
END_TEST

START_TEST(printable_makes_control_characters_harmless) {
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"plain \xc3\xa4 \xe2\x82\xac", "plain \xc3\xa4 \xe2\x82\xac"},
        {"a\nb\x1b[31m\x7f", "a\\x0ab\\x1b[31m\\x7f"},
        {"\xff\xc3(", "\\xff\\xc3("},
        {"\xc2\x9b", "\\xc2\\x9b"}, /* CSI, in one character */
        {"\xc2\xa0", "\xc2\xa0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sbuf buf;
        sbuf_init(&buf, 1000);
        sbuf_append_printable(&buf, slice_of(rows[i].in));
        ck_assert_str_eq(sbuf_text(&buf), rows[i].out);
        sbuf_fini(&buf);
    }
}
END_TEST

START_TEST(consuming_more_than_there_is_aborts) {
    struct sbuf buf;
    sbuf_init(&buf, 10);
    sbuf_consume(&buf, 1);
}
END_TEST

Suite *base_sbuf_suite(void);
Suite *base_sbuf_suite(void) {
    Suite *suite = suite_create("sbuf");
    TCase *tcase = tcase_create("sbuf");
    tcase_add_test(tcase, appends_in_order);
    tcase_add_test(tcase, the_limit_is_exact_and_overflow_stays);
    tcase_add_test(tcase, an_append_that_does_not_fit_changes_nothing);
    tcase_add_test(tcase, works_as_a_queue);
    tcase_add_test(tcase, an_empty_buffer_gives_a_large_allocation_back);
    tcase_add_test(tcase, printable_makes_control_characters_harmless);
    tcase_add_test_raise_signal(tcase, consuming_more_than_there_is_aborts, SIGABRT);
    suite_add_tcase(suite, tcase);
    return suite;
}
