#include "base/metrics.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* --- regions ---------------------------------------------------------------------------------------------------- */

static void *new_region(void) {
    void *region = mmap(NULL, metrics_region_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(region != MAP_FAILED);
    return region;
}

/* Runs count() in another process that keeps its series in the region. */
static void count_elsewhere(void *region, void (*count)(void)) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        metrics_use_region(region);
        count();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

static bool sum_has(const void *const *regions, size_t count, const char *text) {
    sbuf_clear(&out);
    metrics_render_all(regions, count, &out);
    return strstr(sbuf_text(&out), text) != NULL;
}

static void count_some(void) {
    metric_add(METRIC_CONNECTIONS_TOTAL, 3, "a:1");
    metric_add(METRIC_CONNECTIONS, 2, "idle");
    metric_observe(METRIC_HANDSHAKE_SECONDS, 0.002, "false");
    metric_set(METRIC_CRL_ENTRIES, 9, "gone");
    metric_set(METRIC_CRL_ENTRIES, 8, "back");
    metric_forget(METRIC_CRL_ENTRIES);
    metric_add(METRIC_CRL_ENTRIES, 5, "back");
}

START_TEST(processes_are_summed) {
    void *regions[] = {new_region(), new_region(), new_region()};
    const void *const *all = (const void *const *)regions;
    count_elsewhere(regions[0], count_some);
    count_elsewhere(regions[1], count_some);
    metric_add(METRIC_CONNECTIONS_TOTAL, 1, "a:1");
    metric_add(METRIC_RELOADS, 1, "ok");
    ck_assert(sum_has(all, 3, "\nsallyport_connections_total{listener=\"a:1\"} 7\n"));
    ck_assert(sum_has(all, 3, "\nsallyport_connections{state=\"idle\"} 4\n"));
    ck_assert(sum_has(all, 3, "\nsallyport_reloads_total{result=\"ok\"} 1\n"));
    ck_assert(sum_has(all, 3, "\nsallyport_handshake_duration_seconds_count{resumed=\"false\"} 2\n"));
    ck_assert(sum_has(all, 3, "\nsallyport_handshake_duration_seconds_sum{resumed=\"false\"} 0.004000\n"));
    ck_assert(sum_has(all, 3, "{ca_bundle=\"back\"} 10\n"));
    ck_assert(!sum_has(all, 3, "gone"));
    /* Reading changed nothing. */
    ck_assert_int_eq(metric_value(METRIC_CONNECTIONS_TOTAL, "a:1"), 1);
    ck_assert(rendering_has("\nsallyport_connections_total{listener=\"a:1\"} 1\n"));
}
END_TEST

START_TEST(a_dead_process_leaves_its_counters_but_not_its_gauges) {
    void *region = new_region(), *next = new_region();
    const void *const *all = (const void *const *)&next;
    count_elsewhere(region, count_some);
    count_elsewhere(next, count_some);
    metrics_absorb(region);
    ck_assert(rendering_has("\nsallyport_connections_total{listener=\"a:1\"} 3\n"));
    ck_assert(!rendering_has("state=\"idle\""));
    ck_assert(sum_has(all, 1, "\nsallyport_connections_total{listener=\"a:1\"} 6\n"));
    ck_assert(sum_has(all, 1, "\nsallyport_handshake_duration_seconds_count{resumed=\"false\"} 2\n"));
    ck_assert(sum_has(all, 1, "\nsallyport_connections{state=\"idle\"} 2\n"));
}
END_TEST

START_TEST(what_is_counted_in_a_region_is_found_there) {
    void *region = new_region();
    metrics_use_region(region);
    count_some();
    ck_assert_int_eq(metric_value(METRIC_CONNECTIONS_TOTAL, "a:1"), 3);
    ck_assert_int_eq(metric_value(METRIC_CRL_ENTRIES, "back"), 5);
    ck_assert_int_eq(metric_value(METRIC_CRL_ENTRIES, "gone"), 0);
    ck_assert(rendering_has("\nsallyport_connections_total{listener=\"a:1\"} 3\n"));
}
END_TEST

static void count_much(void) {
    char name[1000];
    for (int i = 0; i < METRIC_SERIES_MAX + 100; i++) {
        snprintf(name, sizeof name, "%0900d", i);
        metric_add(METRIC_BYTES_IN, 1, name);
    }
    for (int i = 0; i < METRIC_SERIES_MAX - 100; i++) {
        snprintf(name, sizeof name, "%0900d", i);
        metric_add(METRIC_BYTES_OUT, 1, name);
    }
}

START_TEST(a_full_region_counts_under_other) {
    void *region = new_region();
    const void *const *all = (const void *const *)&region;
    count_elsewhere(region, count_much);
    ck_assert(sum_has(all, 1, "bytes_received_total{hostname=\"other\"} 101\n"));
    ck_assert_ptr_nonnull(strstr(sbuf_text(&out), "bytes_sent_total{hostname=\"other\"} "));
    struct slice rest = sbuf_slice(&out), line;
    int series = 0, sum = 0;
    while (rest.len > 0) {
        rest = slice_cut(rest, '\n', &line);
        if (slice_starts_with(line, SLICE("sallyport_client_bytes_sent_total{"))) {
            series++;
            sum += atoi(line.ptr + slice_index(line, ' '));
        }
    }
    ck_assert_int_gt(series, 10000);
    ck_assert_int_lt(series, METRIC_SERIES_MAX - 100);
    ck_assert_int_eq(sum, METRIC_SERIES_MAX - 100); /* all were counted, in their own series or together */
}
END_TEST

/* Every line is a comment or a name, labels and a number; without ck_assert, which is slow. */
static bool is_text(void) {
    struct slice rest = sbuf_slice(&out), line;
    bool is_good = true;
    while (rest.len > 0) {
        rest = slice_cut(rest, '\n', &line);
        is_good = is_good && (slice_starts_with(line, SLICE("# ")) || slice_starts_with(line, SLICE("sallyport_")));
        for (size_t i = 0; i < line.len; i++)
            is_good = is_good && (unsigned char)line.ptr[i] >= ' ';
    }
    return is_good;
}

START_TEST(a_region_that_lies_spoils_numbers_only) {
    unsigned char *region = new_region(), *lying = new_region();
    const void *const *all = (const void *const *)&lying;
    uint64_t used;
    count_elsewhere(region, count_some);
    memcpy(&used, region + 8, sizeof used);
    ck_assert_uint_lt(used, 2000);
    sbuf_fini(&out);
    sbuf_init(&out, 1 << 20);
    static const unsigned char values[] = {0, 1, 7, 8, 0x0a, 0x22, 0x7f, 0x80, 0xff};
    for (size_t at = 0; at < 16 + used; at++) {
        for (size_t i = 0; i < sizeof values; i++) {
            memcpy(lying, region, 16 + used);
            lying[at] = values[i];
            ck_assert(sum_has(all, 1, "# TYPE sallyport_info gauge\n"));
            ck_assert(!out.overflow);
            ck_assert(values[i] < ' ' || is_text());
        }
    }
    memset(lying, 0xff, metrics_region_size());
    ck_assert(sum_has(all, 1, "# TYPE sallyport_info gauge\n"));
    memset(lying + 16, 0, metrics_region_size() - 16);
    memcpy(lying, region, 8);
    ck_assert(sum_has(all, 1, "# TYPE sallyport_info gauge\n"));
}
END_TEST

START_TEST(counters_of_a_region_that_lies_do_not_go_back) {
    unsigned char *region = new_region();
    count_elsewhere(region, count_some);
    uint64_t before = 3, after = (uint64_t)-3;
    unsigned char *value = memmem(region, 4096, &before, sizeof before);
    ck_assert_ptr_nonnull(value);
    memcpy(value, &after, sizeof after);
    metric_add(METRIC_CONNECTIONS_TOTAL, 5, "a:1");
    metrics_absorb(region);
    ck_assert_int_eq(metric_value(METRIC_CONNECTIONS_TOTAL, "a:1"), 5);
}
END_TEST

START_TEST(a_region_comes_before_the_first_metric) {
    metric_add(METRIC_RELOADS, 1, "ok");
    metrics_use_region(new_region());
}
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
    tcase_add_test(tcase, processes_are_summed);
    tcase_add_test(tcase, a_dead_process_leaves_its_counters_but_not_its_gauges);
    tcase_add_test(tcase, what_is_counted_in_a_region_is_found_there);
    tcase_add_test(tcase, a_full_region_counts_under_other);
    tcase_add_test(tcase, a_region_that_lies_spoils_numbers_only);
    tcase_add_test(tcase, counters_of_a_region_that_lies_do_not_go_back);
    tcase_add_test_raise_signal(tcase, a_region_comes_before_the_first_metric, SIGABRT);
    tcase_add_test_raise_signal(tcase, a_counter_that_goes_down_aborts, SIGABRT);
    suite_add_tcase(suite, tcase);
    return suite;
}
