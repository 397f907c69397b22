#include "base/trace.h"

#include <check.h>
#include <signal.h>

START_TEST(prints_steps_with_their_parts) {
    struct trace trace;
    struct sbuf out;
    trace_init(&trace);
    sbuf_init(&out, 1000);
    trace_add(&trace, "hostname", TRACE_INFO, "%s", "iot.example.test");
    trace_add(&trace, "policy", TRACE_NO, "\"%s\"", "devices");
    trace_enter(&trace);
    trace_add(&trace, "rule", TRACE_YES, "everyone");
    trace_add(&trace, "rule", TRACE_SKIPPED, "a\x1b[2Jb");
    trace_leave(&trace);
    trace_add(&trace, "verdict", TRACE_INFO, "deny");
    trace_print(&trace, &out);
    ck_assert_str_eq(sbuf_text(&out), "hostname: iot.example.test\n"
                                      "policy: \"devices\" => no\n"
                                      "  rule: everyone => yes\n"
                                      "  rule: a\\x1b[2Jb => skipped\n"
                                      "verdict: deny\n");
    struct jsonw json;
    sbuf_clear(&out);
    jsonw_init(&json, &out);
    jsonw_open_object(&json, NULL);
    trace.count = 3;
    trace_write_json(&trace, &json);
    trace.count = 5;
    jsonw_close_object(&json);
    ck_assert_str_eq(
        sbuf_text(&out),
        "{\"trace\":[{\"depth\":0,\"step\":\"hostname\",\"result\":\"info\",\"text\":\"iot.example.test\"},"
        "{\"depth\":0,\"step\":\"policy\",\"result\":\"no\",\"text\":\"\\\"devices\\\"\"},"
        "{\"depth\":1,\"step\":\"rule\",\"result\":\"yes\",\"text\":\"everyone\"}]}");
    sbuf_fini(&out);
    trace_fini(&trace);
}
END_TEST

START_TEST(no_trace_is_fine_and_a_long_one_too) {
    struct trace trace;
    trace_add(NULL, "rule", TRACE_YES, "%d", 1);
    trace_enter(NULL);
    trace_leave(NULL);
    trace_init(&trace);
    for (int i = 0; i < 1000; i++)
        trace_add(&trace, "rule", TRACE_YES, "%d", i);
    ck_assert_uint_eq(trace.count, 1000);
    ck_assert_str_eq(trace.entries[999].text, "999");
    trace_fini(&trace);
}
END_TEST

START_TEST(leaving_more_than_entered_aborts) {
    struct trace trace;
    trace_init(&trace);
    trace_leave(&trace);
}
END_TEST

Suite *base_trace_suite(void);
Suite *base_trace_suite(void) {
    Suite *suite = suite_create("trace");
    TCase *tcase = tcase_create("trace");
    tcase_add_test(tcase, prints_steps_with_their_parts);
    tcase_add_test(tcase, no_trace_is_fine_and_a_long_one_too);
    tcase_add_test_raise_signal(tcase, leaving_more_than_entered_aborts, SIGABRT);
    suite_add_tcase(suite, tcase);
    return suite;
}
