#include "base/glob.h"

#include <check.h>
#include <stdlib.h>

START_TEST(a_star_takes_any_run) {
    static const struct {
        const char *pattern, *text;
        bool matches;
    } rows[] = {
        {"", "", true},           {"", "a", false},           {"*", "", true},           {"*", "anything.at/all", true},
        {"a", "a", true},         {"a", "A", false},          {"a", "ab", false},        {"a*", "a", true},
        {"a*", "abc", true},      {"a*", "ba", false},        {"*a", "a", true},         {"*a", "bca", true},
        {"*a", "ab", false},      {"a*c", "ac", true},        {"a*c", "abcbc", true},    {"a*c", "abcb", false},
        {"a*c", "a", false},      {"a*b*c", "a-b-b-c", true}, {"a*b*c", "a-c-b", false}, {"a**c", "abc", true},
        {"*.lab", "*.lab", true}, {"a.lab", "*.lab", false}, /* a star in the text is a byte */
        {"?", "a", false},        {"[a]", "a", false},        {"\\*", "*", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_msg(glob_match(slice_of(rows[i].pattern), slice_of(rows[i].text)) == rows[i].matches, "\"%s\" \"%s\"",
                      rows[i].pattern, rows[i].text);
    }
    ck_assert(glob_match(slice_make("a\0*", 3), slice_make("a\0b", 3)));
    ck_assert(!glob_match(SLICE("a"), slice_make("a\0b", 3)));
}
END_TEST

/* Would take 2^n steps if every star were tried with every length. */
START_TEST(many_stars_end_in_time) {
    char text[4096];
    memset(text, 'a', sizeof text);
    ck_assert(!glob_match(SLICE("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b"), slice_make(text, sizeof text)));
}
END_TEST

Suite *base_glob_suite(void);
Suite *base_glob_suite(void) {
    Suite *suite = suite_create("glob");
    TCase *tcase = tcase_create("glob");
    tcase_add_test(tcase, a_star_takes_any_run);
    tcase_add_test(tcase, many_stars_end_in_time);
    suite_add_tcase(suite, tcase);
    return suite;
}
