#include "base/jsonw.h"

#include <check.h>

START_TEST(nesting_and_commas) {
    struct sbuf out;
    struct jsonw json;
    sbuf_init(&out, 1000);
    jsonw_init(&json, &out);
    jsonw_open_object(&json, NULL);
    jsonw_open_object(&json, "empty");
    jsonw_close_object(&json);
    jsonw_open_array(&json, "list");
    jsonw_int(&json, NULL, 1);
    jsonw_open_array(&json, NULL);
    jsonw_close_array(&json);
    jsonw_open_object(&json, NULL);
    jsonw_bool(&json, "yes", true);
    jsonw_bool(&json, "no", false);
    jsonw_close_object(&json);
    jsonw_str(&json, NULL, "x");
    jsonw_close_array(&json);
    jsonw_null(&json, "null");
    jsonw_close_object(&json);
    ck_assert_str_eq(sbuf_text(&out), "{\"empty\":{},\"list\":[1,[],{\"yes\":true,\"no\":false},\"x\"],\"null\":null}");
    sbuf_fini(&out);
}
END_TEST

START_TEST(values) {
    struct sbuf out;
    struct jsonw json;
    sbuf_init(&out, 1000);
    jsonw_init(&json, &out);
    jsonw_open_array(&json, NULL);
    jsonw_int(&json, NULL, INT64_MIN);
    jsonw_int(&json, NULL, INT64_MAX);
    jsonw_int(&json, NULL, 0);
    jsonw_ms(&json, NULL, 1234);
    jsonw_ms(&json, NULL, 0);
    jsonw_ms(&json, NULL, 7);
    jsonw_ms(&json, NULL, -2050);
    jsonw_ms(&json, NULL, INT64_MIN);
    jsonw_str(&json, NULL, NULL);
    jsonw_string(&json, NULL, SLICE_NONE);
    jsonw_close_array(&json);
    ck_assert_str_eq(
        sbuf_text(&out),
        "[-9223372036854775808,9223372036854775807,0,1.234,0.000,0.007,-2.050,-9223372036854775.808,null,\"\"]");
    sbuf_fini(&out);
}
END_TEST

START_TEST(members_written_before) {
    struct sbuf before, out;
    struct jsonw json;
    sbuf_init(&before, 100);
    sbuf_init(&out, 100);
    jsonw_init(&json, &before);
    jsonw_int(&json, "a", 1);
    jsonw_str(&json, "b", "\"");
    jsonw_init(&json, &out);
    jsonw_open_object(&json, NULL);
    jsonw_written(&json, SLICE_NONE);
    jsonw_written(&json, sbuf_slice(&before));
    jsonw_written(&json, sbuf_slice(&before));
    jsonw_null(&json, "c");
    jsonw_close_object(&json);
    ck_assert_str_eq(sbuf_text(&out), "{\"a\":1,\"b\":\"\\\"\",\"a\":1,\"b\":\"\\\"\",\"c\":null}");
    sbuf_fini(&before);
    sbuf_fini(&out);
}
END_TEST

START_TEST(escapes) {
    static const struct {
        struct slice in;
        const char *out;
    } rows[] = {
        {{"plain", 5}, "\"plain\""},
        {{"\"\\/", 3}, "\"\\\"\\\\/\""},
        {{"\n\r\t\b\x01\x1f\x7f", 7}, "\"\\n\\r\\t\\u0008\\u0001\\u001f\\u007f\""},
        {{"a\0b", 3}, "\"a\\u0000b\""},
        {{"\xc3\xa4\xf0\x9f\x92\xa9", 6}, "\"\xc3\xa4\xf0\x9f\x92\xa9\""},
        {{"\xff"
          "a\xc3",
          3},
         "\"\xef\xbf\xbd"
         "a\xef\xbf\xbd\""},
        {{"\xc2\x9b"
          "1\xc2\xa0",
          5},
         "\"\\u009b"
         "1\xc2\xa0\""},
        {{"\xed\xa0\x80", 3}, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sbuf out;
        sbuf_init(&out, 100);
        jsonw_escape(&out, rows[i].in);
        ck_assert_str_eq(sbuf_text(&out), rows[i].out);
        sbuf_fini(&out);
    }
}
END_TEST

START_TEST(keys_are_escaped_too) {
    struct sbuf out;
    struct jsonw json;
    sbuf_init(&out, 100);
    jsonw_init(&json, &out);
    jsonw_open_object(&json, NULL);
    jsonw_int(&json, "a\"b", 1);
    jsonw_close_object(&json);
    ck_assert_str_eq(sbuf_text(&out), "{\"a\\\"b\":1}");
    sbuf_fini(&out);
}
END_TEST

Suite *base_jsonw_suite(void);
Suite *base_jsonw_suite(void) {
    Suite *suite = suite_create("jsonw");
    TCase *tcase = tcase_create("json");
    tcase_add_test(tcase, nesting_and_commas);
    tcase_add_test(tcase, values);
    tcase_add_test(tcase, members_written_before);
    tcase_add_test(tcase, escapes);
    tcase_add_test(tcase, keys_are_escaped_too);
    suite_add_tcase(suite, tcase);
    return suite;
}
