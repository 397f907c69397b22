#include "base/scan.h"

#include <check.h>

static bool is_printable(unsigned char c) { return c >= 0x20 && c != 0x7f; }

static bool is_json(unsigned char c) { return is_printable(c) && c < 0x80 && c != '"' && c != '\\'; }

static bool is_name(unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

START_TEST(plain_names) {
    static const char ordinary[] = {'a', 'Z', '0', '-', 'z', 'A', '9'};
    char text[35];
    for (size_t len = 1; len <= sizeof text; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int byte = 0; byte < 256; byte++) {
                for (size_t i = 0; i < len; i++)
                    text[i] = ordinary[i % sizeof ordinary];
                text[at] = (char)byte;
                ck_assert(scan_is_plain_name(slice_make(text, len)) == is_name((unsigned char)byte));
            }
        }
    }
    ck_assert(!scan_is_plain_name(SLICE_NONE));
}
END_TEST

/* Each byte at each place of texts around the size of a word, among ordinary ones. */
START_TEST(every_byte_at_every_place) {
    static const char ordinary[] = {' ', 'a', '~', '!', '#', '[', ']', '}'};
    char text[27];
    for (size_t len = 1; len <= sizeof text; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int byte = 0; byte < 256; byte++) {
                for (size_t i = 0; i < len; i++)
                    text[i] = ordinary[i % sizeof ordinary];
                text[at] = (char)byte;
                ck_assert_uint_eq(scan_printable(slice_make(text, len)), is_printable((unsigned char)byte) ? len : at);
                ck_assert_uint_eq(scan_json(slice_make(text, len)), is_json((unsigned char)byte) ? len : at);
            }
        }
    }
}
END_TEST

START_TEST(the_first_of_several_counts) {
    ck_assert_uint_eq(scan_printable(SLICE("0123456789\r\n\tabcdefgh\x7f")), 10);
    ck_assert_uint_eq(scan_json(SLICE("01234567\xc3\xa4\"89\\")), 8);
    ck_assert_uint_eq(scan_printable(SLICE("\xff\x80 abcdefghijk\x1f\x01")), 14);
}
END_TEST

START_TEST(nothing_is_ordinary) {
    ck_assert_uint_eq(scan_printable(SLICE_NONE), 0);
    ck_assert_uint_eq(scan_json(SLICE_NONE), 0);
}
END_TEST

Suite *base_scan_suite(void);
Suite *base_scan_suite(void) {
    Suite *suite = suite_create("scan");
    TCase *tcase = tcase_create("scan");
    tcase_add_test(tcase, every_byte_at_every_place);
    tcase_add_test(tcase, plain_names);
    tcase_add_test(tcase, the_first_of_several_counts);
    tcase_add_test(tcase, nothing_is_ordinary);
    suite_add_tcase(suite, tcase);
    return suite;
}
