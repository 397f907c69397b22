#include "base/metrics.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static struct sbuf out;

/* Each test runs in a process of its own, so the tables are empty at its start. */
static bool rendering_has(const char *text) {
    sbuf_clear(&out);
    metrics_render(&out);
    return strstr(sbuf_text(&out), text) != NULL;
}

static void set_up(void) { sbuf_init(&out, 64 << 20); }
static void tear_down(void) { sbuf_fini(&out); }

START_TEST(counters_and_gauges) {
    metric_add(METRIC_CONNECTIONS_TOTAL, 1, "127.0.0.1:8443");
    metric_add(METRIC_CONNECTIONS_TOTAL, 2, "127.0.0.1:8443");
    metric_add(METRIC_CONNECTIONS, 5, "idle");
    metric_add(METRIC_CONNECTIONS, -2, "idle");
    metric_set(METRIC_GENERATION, 7);
    metric_add(METRIC_REQUESTS, 1, "a.test", "deny", "certificate_missing", "403");
    ck_assert(rendering_has("\nsallyport_connections_total{listener=\"127.0.0.1:8443\"} 3\n"));
    ck_assert(rendering_has("\nsallyport_connections{state=\"idle\"} 3\n"));
    ck_assert(rendering_has("\n# TYPE sallyport_generation gauge\nsallyport_generation 7\n"));
    ck_assert(rendering_has("\nsallyport_requests_total{hostname=\"a.test\",decision=\"deny\","
                            "reason=\"certificate_missing\",status=\"403\"} 1\n"));
    ck_assert_int_eq(metric_value(METRIC_CONNECTIONS_TOTAL, "127.0.0.1:8443"), 3);
    ck_assert_int_eq(metric_value(METRIC_CONNECTIONS_TOTAL, "elsewhere"), 0);
    ck_assert(!rendering_has("elsewhere"));
}
END_TEST

START_TEST(label_values_cannot_run_into_each_other) {
    metric_set(METRIC_CERTIFICATE_NOT_AFTER, 1, "a", "bc");
    metric_set(METRIC_CERTIFICATE_NOT_AFTER, 2, "ab", "c");
    metric_set(METRIC_CERTIFICATE_NOT_AFTER, 3, NULL, "abc");
    ck_assert_int_eq(metric_value(METRIC_CERTIFICATE_NOT_AFTER, "a", "bc"), 1);
    ck_assert_int_eq(metric_value(METRIC_CERTIFICATE_NOT_AFTER, "ab", "c"), 2);
    ck_assert_int_eq(metric_value(METRIC_CERTIFICATE_NOT_AFTER, "", "abc"), 3);
}
END_TEST

START_TEST(label_values_are_escaped) {
    metric_set(METRIC_CRL_ENTRIES, 1, "a\"b\\c\nd");
    ck_assert(rendering_has("{ca_bundle=\"a\\\"b\\\\c\\nd\"} 1\n"));
}
END_TEST

START_TEST(histograms_are_cumulative) {
    metric_observe(METRIC_HANDSHAKE_SECONDS, 0.0004, "false");
    metric_observe(METRIC_HANDSHAKE_SECONDS, 0.001, "false"); /* a bound belongs to its bucket */
    metric_observe(METRIC_HANDSHAKE_SECONDS, 0.3, "false");
    metric_observe(METRIC_HANDSHAKE_SECONDS, 100, "false");
    ck_assert(rendering_has("\n# TYPE sallyport_handshake_duration_seconds histogram\n"));
#define BUCKET "\nsallyport_handshake_duration_seconds_bucket{resumed=\"false\",le="
    ck_assert(rendering_has(BUCKET "\"0.0005\"} 1\n"));
    ck_assert(rendering_has(BUCKET "\"0.001\"} 2\n"));
    ck_assert(rendering_has(BUCKET "\"0.25\"} 2\n"));
    ck_assert(rendering_has(BUCKET "\"0.5\"} 3\n"));
    ck_assert(rendering_has(BUCKET "\"60\"} 3\n"));
    ck_assert(rendering_has(BUCKET "\"+Inf\"} 4\n"));
    ck_assert(rendering_has("\nsallyport_handshake_duration_seconds_sum{resumed=\"false\"} 100.301400\n"));
    ck_assert(rendering_has("\nsallyport_handshake_duration_seconds_count{resumed=\"false\"} 4\n"));
    ck_assert_int_eq(metric_value(METRIC_HANDSHAKE_SECONDS, "false"), 4);
}
END_TEST

START_TEST(a_forgotten_family_starts_anew) {
    metric_set(METRIC_CRL_ENTRIES, 1, "old");
    metric_set(METRIC_CRL_ENTRIES, 2, "kept");
    metric_forget(METRIC_CRL_ENTRIES);
    ck_assert(!rendering_has("ca_bundle=\"old\""));
    metric_set(METRIC_CRL_ENTRIES, 3, "kept");
    ck_assert(rendering_has("{ca_bundle=\"kept\"} 3\n"));
    metric_forget(METRIC_CRL_ENTRIES);
    metric_forget(METRIC_CRL_ENTRIES);
}
END_TEST

START_TEST(a_family_is_bounded) {
    char name[32];
    for (int i = 0; i < METRIC_SERIES_MAX + 100; i++) {
        snprintf(name, sizeof name, "host-%d", i);
        metric_add(METRIC_BYTES_IN, 1, name);
    }
    ck_assert_int_eq(metric_value(METRIC_BYTES_IN, "host-0"), 1);
    ck_assert_int_eq(metric_value(METRIC_BYTES_IN, "other"), 101);
    metric_add(METRIC_BYTES_IN, 1, "host-0");
    ck_assert_int_eq(metric_value(METRIC_BYTES_IN, "host-0"), 2);

    char *long_name = malloc(5000);
    memset(long_name, 'x', 4999);
    long_name[4999] = '\0';
    metric_add(METRIC_BYTES_OUT, 1, long_name);
    ck_assert_int_eq(metric_value(METRIC_BYTES_OUT, "other"), 1);
    free(long_name);
}
END_TEST

START_TEST(every_family_is_named_and_explained_once) {
    rendering_has("");
    int types = 0;
    for (const char *at = sbuf_text(&out); (at = strstr(at, "# TYPE sallyport_")); at++)
        types++;
    ck_assert_int_eq(types, METRIC_COUNT);
}
END_TEST

START_TEST(a_counter_that_goes_down_aborts) { metric_add(METRIC_RELOADS, -1, "ok"); }
END_TEST

Suite *base_metrics_suite(void);
Suite *base_metrics_suite(void) {
    Suite *suite = suite_create("metrics");
    TCase *tcase = tcase_create("metrics");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, counters_and_gauges);
    tcase_add_test(tcase, label_values_cannot_run_into_each_other);
    tcase_add_test(tcase, label_values_are_escaped);
    tcase_add_test(tcase, histograms_are_cumulative);
    tcase_add_test(tcase, a_forgotten_family_starts_anew);
    tcase_add_test(tcase, a_family_is_bounded);
    tcase_add_test(tcase, every_family_is_named_and_explained_once);
    tcase_add_test_raise_signal(tcase, a_counter_that_goes_down_aborts, SIGABRT);
    suite_add_tcase(suite, tcase);
    return suite;
}
