#include "base/encode.h"

#include <check.h>

START_TEST(hex) {
    char text[2 * 5 + 1];
    uint8_t bytes[5];
    ck_assert_str_eq(hex_lower("\x00\x9f\xff\x10\xab", 5, text), "009fff10ab");
    ck_assert_str_eq(hex_upper("\x00\x9f\xff\x10\xab", 5, text), "009FFF10AB");
    ck_assert_str_eq(hex_lower("", 0, text), "");
    ck_assert(hex_decode(SLICE("009fFF10aB"), bytes));
    ck_assert_mem_eq(bytes, "\x00\x9f\xff\x10\xab", 5);
    ck_assert(hex_decode(SLICE_NONE, bytes));
    static const char *const refused[] = {"0", "0g", "g0", "00:11", " 0", "0x00"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        ck_assert_msg(!hex_decode(slice_of(refused[i]), bytes), "%s", refused[i]);
}
END_TEST

/* RFC 4648 section 10, and the two characters that differ from the URL alphabet. */
static const struct {
    const char *bytes, *text;
} base64_rows[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xfb\xff\xfe", "+//+"},
};

START_TEST(base64_both_ways) {
    for (size_t i = 0; i < sizeof base64_rows / sizeof base64_rows[0]; i++) {
        struct sbuf text, bytes;
        sbuf_init(&text, 100);
        sbuf_init(&bytes, 100);
        base64_encode(slice_of(base64_rows[i].bytes), &text);
        ck_assert_str_eq(sbuf_text(&text), base64_rows[i].text);
        ck_assert_uint_eq(text.len, BASE64_SIZE(strlen(base64_rows[i].bytes)));
        ck_assert(base64_decode(sbuf_slice(&text), &bytes));
        ck_assert_str_eq(sbuf_text(&bytes), base64_rows[i].bytes);
        sbuf_fini(&text);
        sbuf_fini(&bytes);
    }
}
END_TEST

START_TEST(base64_decodes_without_padding_and_over_lines) {
    struct sbuf bytes;
    sbuf_init(&bytes, 100);
    ck_assert(base64_decode(SLICE("Zg"), &bytes));
    ck_assert(base64_decode(SLICE(" Zm9v\r\nYm\tE=\n"), &bytes));
    ck_assert_str_eq(sbuf_text(&bytes), "ffooba");
    sbuf_fini(&bytes);
}
END_TEST

START_TEST(base64_refuses_what_nobody_encodes) {
    static const char *const refused[] = {"Z",    "Zg=",      "Zg===", "Zm9v=", "Zm9v====", "=",    "Zg==Zg==",
                                          "Z-_v", "Zm9v\x80", "Zh==",  "Zm9=",  "Zm9vZ",    "Zm!v", "Zg=a"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct sbuf bytes;
        sbuf_init(&bytes, 100);
        ck_assert_msg(!base64_decode(slice_of(refused[i]), &bytes), "%s", refused[i]);
        ck_assert_uint_eq(bytes.len, 0);
        sbuf_fini(&bytes);
    }
}
END_TEST

START_TEST(base64_keeps_to_the_limit) {
    struct sbuf text;
    sbuf_init(&text, 7);
    base64_encode(SLICE("foob"), &text);
    ck_assert(text.overflow && text.len == 0);
    sbuf_clear(&text);
    ck_assert(!base64_decode(SLICE("Zm9vYmFyZm9v"), &text));
    ck_assert(text.overflow && text.len == 0);
    sbuf_fini(&text);
}
END_TEST

START_TEST(utf8) {
    static const struct {
        const char *text;
        size_t len;
    } rows[] = {
        {"", 0},
        {"a", 1},
        {"\x7f", 1},
        {"\xc2\x80", 2},
        {"\xdf\xbf", 2},
        {"\xe0\xa0\x80", 3},
        {"\xed\x9f\xbf", 3},
        {"\xef\xbf\xbf", 3},
        {"\xf0\x90\x80\x80", 4},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\x80", 0},             /* a continuation by itself */
        {"\xc0\x80", 0},         /* overlong NUL */
        {"\xc1\xbf", 0},         /* overlong */
        {"\xe0\x9f\xbf", 0},     /* overlong */
        {"\xf0\x8f\xbf\xbf", 0}, /* overlong */
        {"\xed\xa0\x80", 0},     /* surrogate */
        {"\xf4\x90\x80\x80", 0}, /* past U+10FFFF */
        {"\xf5\x80\x80\x80", 0},
        {"\xff", 0},
        {"\xc3", 0},          /* cut off */
        {"\xe2\x82", 0},      /* cut off */
        {"\xe2\x82(", 0},     /* broken off */
        {"\xf0\x9f\x92(", 0}, /* broken off */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(utf8_length(slice_of(rows[i].text)) == rows[i].len, "row %zu", i);
}
END_TEST

Suite *base_encode_suite(void);
Suite *base_encode_suite(void) {
    Suite *suite = suite_create("encode");
    TCase *tcase = tcase_create("encode");
    tcase_add_test(tcase, hex);
    tcase_add_test(tcase, base64_both_ways);
    tcase_add_test(tcase, base64_decodes_without_padding_and_over_lines);
    tcase_add_test(tcase, base64_refuses_what_nobody_encodes);
    tcase_add_test(tcase, base64_keeps_to_the_limit);
    tcase_add_test(tcase, utf8);
    suite_add_tcase(suite, tcase);
    return suite;
}
