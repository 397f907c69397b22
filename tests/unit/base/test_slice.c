#include "base/slice.h"

#include <check.h>

START_TEST(equality) {
    static const struct {
        const char *a, *b;
        bool same, same_nocase;
    } rows[] = {
        {"", "", true, true},
        {"a", "a", true, true},
        {"a", "A", false, true},
        {"a", "b", false, false},
        {"a", "ab", false, false},
        {"Example.TEST", "example.test", false, true},
        {"\xc3\x84", "\xc3\xa4", false, false}, /* only ASCII is folded */
        {"@", "`", false, false},
        {"[", "{", false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice a = slice_of(rows[i].a), b = slice_of(rows[i].b);
        ck_assert_msg(slice_eq(a, b) == rows[i].same, "row %zu", i);
        ck_assert_msg(slice_eq_str(a, rows[i].b) == rows[i].same, "row %zu", i);
        ck_assert_msg(slice_eq_nocase(a, b) == rows[i].same_nocase, "row %zu", i);
    }
    ck_assert(slice_eq(SLICE_NONE, SLICE("")));
    ck_assert(slice_eq_str(SLICE(""), NULL));
}
END_TEST

START_TEST(beginnings_and_ends) {
    struct slice s = SLICE("content-length");
    ck_assert(slice_starts_with(s, SLICE("content-")));
    ck_assert(slice_starts_with(s, SLICE_NONE));
    ck_assert(!slice_starts_with(s, SLICE("Content-")));
    ck_assert(slice_starts_with_nocase(s, SLICE("Content-")));
    ck_assert(!slice_starts_with(SLICE("con"), s));
    ck_assert(!slice_starts_with_nocase(SLICE("con"), s));
    ck_assert(slice_ends_with(s, SLICE("-length")));
    ck_assert(slice_ends_with(s, s));
    ck_assert(!slice_ends_with(SLICE("gth"), s));
    ck_assert(!slice_ends_with(s, SLICE("-Length")));
}
END_TEST

START_TEST(order_is_by_bytes_and_shorter_first) {
    ck_assert_int_lt(slice_compare(SLICE("a"), SLICE("b")), 0);
    ck_assert_int_gt(slice_compare(SLICE("b"), SLICE("abc")), 0);
    ck_assert_int_lt(slice_compare(SLICE("ab"), SLICE("abc")), 0);
    ck_assert_int_eq(slice_compare(SLICE("abc"), SLICE("abc")), 0);
    ck_assert_int_lt(slice_compare(SLICE_NONE, SLICE("a")), 0);
    ck_assert_int_gt(slice_compare(SLICE("\xff"), SLICE("a")), 0);
}
END_TEST

START_TEST(parts) {
    struct slice s = SLICE("key=value=x"), head;
    ck_assert_uint_eq(slice_index(s, '='), 3);
    ck_assert_uint_eq(slice_index(s, '#'), s.len);
    ck_assert_uint_eq(slice_index(SLICE_NONE, '#'), 0);
    ck_assert(slice_eq_str(slice_after(s, 4), "value=x"));
    ck_assert_uint_eq(slice_after(s, 100).len, 0);
    ck_assert(slice_eq_str(slice_first(s, 3), "key"));
    ck_assert(slice_eq(slice_first(s, 100), s));

    struct slice rest = slice_cut(s, '=', &head);
    ck_assert(slice_eq_str(head, "key") && slice_eq_str(rest, "value=x"));
    rest = slice_cut(SLICE("key="), '=', &head);
    ck_assert(slice_eq_str(head, "key") && rest.ptr != NULL && rest.len == 0);
    rest = slice_cut(SLICE("key"), '=', &head);
    ck_assert(slice_eq_str(head, "key") && rest.ptr == NULL && rest.len == 0);
}
END_TEST

START_TEST(trim_takes_spaces_and_tabs_only) {
    ck_assert(slice_eq_str(slice_trim(SLICE(" \t a b\t ")), "a b"));
    ck_assert(slice_eq_str(slice_trim(SLICE("\ra\n")), "\ra\n"));
    ck_assert_uint_eq(slice_trim(SLICE(" \t ")).len, 0);
    ck_assert_uint_eq(slice_trim(SLICE_NONE).len, 0);
}
END_TEST

START_TEST(numbers) {
    unsigned long long value = 7;
    ck_assert(slice_to_u64(SLICE("0"), &value) && value == 0);
    ck_assert(slice_to_u64(SLICE("007"), &value) && value == 7);
    ck_assert(slice_to_u64(SLICE("999999999999999999"), &value) && value == 999999999999999999ULL);
    static const char *const refused[] = {"", "1000000000000000000", "+1", "-1", " 1", "1 ", "0x1", "1e3", "1.0"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        ck_assert_msg(!slice_to_u64(slice_of(refused[i]), &value), "%s", refused[i]);
}
END_TEST

Suite *base_slice_suite(void);
Suite *base_slice_suite(void) {
    Suite *suite = suite_create("slice");
    TCase *tcase = tcase_create("slice");
    tcase_add_test(tcase, equality);
    tcase_add_test(tcase, beginnings_and_ends);
    tcase_add_test(tcase, order_is_by_bytes_and_shorter_first);
    tcase_add_test(tcase, parts);
    tcase_add_test(tcase, trim_takes_spaces_and_tabs_only);
    tcase_add_test(tcase, numbers);
    suite_add_tcase(suite, tcase);
    return suite;
}
