#include "route/application_table.h"

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/sbuf.h"

/* The value of an application is its domain as configured, which lives as long as the process. */
static void add(struct application_table *table, const char *domain) {
    struct err err;
    int status = application_table_add(table, domain, (void *)(uintptr_t)domain, &err);
    ck_assert_msg(status == 0, "%s: %s", domain, err.text);
}

static const char *find(const struct application_table *table, const char *host, const char *path) {
    const char *value = application_table_find(table, slice_of(host), slice_of(path));
    return value ? value : "-";
}

struct row {
    const char *domain, *host, *path;
    bool covers;
};

static void check_rows(const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct application_table *table = application_table_new();
        add(table, rows[i].domain);
        const char *found = find(table, rows[i].host, rows[i].path);
        ck_assert_msg((strcmp(found, "-") != 0) == rows[i].covers, "\"%s\": %s %s", rows[i].domain, rows[i].host,
                      rows[i].path);
        application_table_free(&table);
    }
}
#define CHECK_ROWS(rows) check_rows((rows), sizeof(rows) / sizeof((rows)[0]))

/* Facts 2.6, sentence by sentence; each with what it does not cover. */
START_TEST(paths_are_covered_on_segment_borders) {
    static const struct row rows[] = {
        {"example.com", "example.com", "/", true},
        {"example.com", "example.com", "/a/b", true},
        {"example.com", "www.example.com", "/", false},
        {"example.com/", "example.com", "/a", true},
        {"example.com/*", "example.com", "/", true},
        {"example.com/*", "example.com", "/a", true},
        {"example.com", "example.com", "*", true}, /* OPTIONS * */
        {"example.com/alpha", "example.com", "*", false},
        {"example.com/alpha", "example.com", "/alpha", true},
        {"example.com/alpha", "example.com", "/alpha/", true},
        {"example.com/alpha", "example.com", "/alpha/beta/gamma", true},
        {"example.com/alpha", "example.com", "/alphabet", false},
        {"example.com/alpha", "example.com", "/", false},
        {"example.com/alpha", "example.com", "/beta/alpha", false},
        {"example.com/alpha/", "example.com", "/alpha", true},
        {"example.com/alpha/", "example.com", "/alphabet", false},
        {"example.com/alpha/*", "example.com", "/alpha", false},
        {"example.com/alpha/*", "example.com", "/alpha/", true},
        {"example.com/alpha/*", "example.com", "/alpha/beta/gamma", true},
        {"example.com/alpha/*", "example.com", "/alphabet", false},
        {"example.com/alpha*", "example.com", "/alpha", true},
        {"example.com/alpha*", "example.com", "/alphabet/soup", true},
        {"example.com/alpha*", "example.com", "/alph", false},
        {"example.com/foo*/bar", "example.com", "/foo/bar", true},
        {"example.com/foo*/bar", "example.com", "/food/bar", true},
        {"example.com/foo*/bar", "example.com", "/food/and/more/bar", true},
        {"example.com/foo*/bar", "example.com", "/food/bar/below", true},
        {"example.com/foo*/bar", "example.com", "/food/barrel", false},
        {"example.com/foo*/bar", "example.com", "/fo/bar", false},
        {"example.com/foo*/bar", "example.com", "/foobar", false},
        {"example.com/a/*/c", "example.com", "/a/b/c", true},
        {"example.com/a/*/c", "example.com", "/a/b/c/d", true},
        {"example.com/a/*/c", "example.com", "/a/c", false},
        {"example.com/a/*/c/*", "example.com", "/a/b/c", false},
        {"example.com/a/*/c/*", "example.com", "/a/b/c/d", true},
        {"example.com/*.php", "example.com", "/x/y.php", true},
        {"example.com/*.php", "example.com", "/x/y.phpx", false},
    };
    CHECK_ROWS(rows);
}
END_TEST

START_TEST(hosts_match_label_by_label) {
    static const struct row rows[] = {
        {"*.example.com", "a.example.com", "/", true},
        {"*.example.com", "example.com", "/", false},
        {"*.example.com", "a.b.example.com", "/", false},
        {"*test.example.com", "test.example.com", "/", true},
        {"*test.example.com", "alphatest.example.com", "/", true},
        {"*test.example.com", "beta.test.example.com", "/", false},
        {"*test.example.com", "tester.example.com", "/", false},
        {"a.*.example.com", "a.b.example.com", "/", true},
        {"a.*.example.com", "a.b.c.example.com", "/", false},
        {"a.*.example.com", "b.b.example.com", "/", false},
        {"*.*.example.com", "x.y.example.com", "/", true},
        {"*.*.example.com", "y.example.com", "/", false},
        {"a-*-z.example.com", "a-m-z.example.com", "/", true},
        {"a-*-z.example.com", "a-m-y.example.com", "/", false},
        {"*.example.com/v1", "a.example.com", "/v1/x", true},
        {"*.example.com/v1", "a.example.com", "/v2", false},
    };
    CHECK_ROWS(rows);
}
END_TEST

START_TEST(case_counts_in_paths_only) {
    static const struct row rows[] = {
        {"Example.COM/Alpha", "example.com", "/Alpha", true},
        {"example.com/Alpha", "example.com", "/alpha", false},
        {"*TEST.example.com", "alphatest.example.com", "/", true},
        {"example.com.", "example.com", "/", true},
    };
    CHECK_ROWS(rows);
}
END_TEST

START_TEST(ports_are_dropped) {
    static const struct row rows[] = {
        {"example.com:8443/alpha", "example.com", "/alpha", true},
        {"example.com:8443", "example.com", "/", true},
        {"[2001:db8::1]:8443/a", "[2001:db8::1]", "/a", true},
        {"[2001:DB8:0::1]", "[2001:db8::1]", "/a", true},
    };
    CHECK_ROWS(rows);
}
END_TEST

START_TEST(sec_05_starred_hosts_never_match_ip_literals) {
    static const struct row rows[] = {
        {"192.0.2.7", "192.0.2.7", "/", true},
        {"192.0.2.*", "192.0.2.7", "/", false},
        {"*", "[2001:db8::1]", "/", false},
        {"*", "localhost", "/", true},
    };
    CHECK_ROWS(rows);
}
END_TEST

/* sec-43: a domain is brought to the form in which paths are judged. */
START_TEST(sec_43_domains_are_normalised_as_requests_are) {
    static const struct row rows[] = {
        {"example.com/%7Ejoe", "example.com", "/~joe", true},    {"example.com//a//b", "example.com", "/a/b", true},
        {"example.com/a/./b/../c", "example.com", "/a/c", true}, {"example.com/a%2ab", "example.com", "/a%2Ab", true},
        {"example.com/a%2ab", "example.com", "/axb", false}, /* an encoded star is none */
        {"example.com/%40a%3Ab", "example.com", "/@a:b", true},
    };
    CHECK_ROWS(rows);
}
END_TEST

START_TEST(malformed_domains_are_refused) {
    static const char *const refused[] = {
        "",
        "/path",
        "https://example.com",
        "example.com/a?b",
        "example.com/a#b",
        "example.com?x",
        "**.example.com",
        "*a*.example.com",
        "example.com/**",
        "example.com/a*b*c",
        "example.com:/a",
        "example.com:0/a",
        "example.com:65536",
        "example.com:port",
        "exa mple.com",
        "-example.com",
        "user@example.com",
        "example..com",
        "[::1",
        "[::*]",
        "example.com/a;b",
        "example.com/a%2fb",
        "example.com/a\\b",
        "example.com/../a",
        "example.com/a%zz",
        "example.com/\x01",
    };
    struct err err;
    struct application_table *table = application_table_new();
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        err.text[0] = '\0';
        ck_assert_msg(application_table_add(table, refused[i], table, &err) == -1, "%s", refused[i]);
        ck_assert_msg(err.text[0] != '\0', "%s", refused[i]);
    }
    static const char *const accepted[] = {"example.com", "*.example.com/a*/b*", "a*.*b.example.com", "x:1/"};
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++)
        ck_assert_msg(application_table_add(table, accepted[i], table, &err) == 0, "%s: %s", accepted[i], err.text);
    application_table_free(&table);
}
END_TEST

START_TEST(equal_domains_are_refused) {
    static const struct {
        const char *first, *second;
        bool equal;
    } rows[] = {
        {"example.com", "example.com/*", true},       {"example.com", "EXAMPLE.com:8443/", true},
        {"example.com/a", "example.com/a/", true},    {"example.com/a", "example.com/a/*", false},
        {"example.com/a", "example.com/A", false},    {"example.com/a*", "example.com/a*", true},
        {"example.com/a*", "example.com/a/*", false}, {"*.example.com/a", "*.example.com/a", true},
        {"*.example.com", "*a.example.com", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err;
        struct application_table *table = application_table_new();
        add(table, rows[i].first);
        int status = application_table_add(table, rows[i].second, table, &err);
        ck_assert_msg((status == -1) == rows[i].equal, "%s %s", rows[i].first, rows[i].second);
        application_table_free(&table);
    }
}
END_TEST

/* All domains of a group are in one table; each request must find exactly the one named. */
START_TEST(the_most_specific_wins) {
    static const char *const domains[] = {
        "example.com",
        "example.com/alpha",
        "example.com/alpha/*",
        "example.com/alpha/beta",
        "example.com/alpha/*/gamma",
        "example.com/alp*",
        "example.com/alpine*",
        "*.example.com",
        "*test.example.com",
        "*.example.com/only-here",
        "www.example.com/alpha",
        "*.dev.example.com",
        "a.*.example.com",
        "*.*.example.com",
    };
    static const struct {
        const char *host, *path, *domain;
    } rows[] = {
        {"example.com", "/", "example.com"},
        {"example.com", "/x", "example.com"},
        {"example.com", "/alpha", "example.com/alpha"},
        {"example.com", "/alpha/", "example.com/alpha/*"},
        {"example.com", "/alpha/x", "example.com/alpha/*"},
        {"example.com", "/alpha/beta", "example.com/alpha/beta"},
        {"example.com", "/alpha/beta/x", "example.com/alpha/beta"},
        {"example.com", "/alpha/beta/gamma", "example.com/alpha/*/gamma"}, /* more segments */
        {"example.com", "/alphabet", "example.com/alp*"},
        {"example.com", "/alpine/lake", "example.com/alpine*"}, /* the longer part beside the star */
        {"www.example.com", "/alpha", "www.example.com/alpha"},
        {"www.example.com", "/beta", "*.example.com"}, /* not covered by the exact host */
        {"www.example.com", "/only-here", "*.example.com/only-here"},
        {"alphatest.example.com", "/", "*test.example.com"},
        {"alphatest.example.com", "/only-here", "*test.example.com"}, /* the host comes before the path */
        {"x.dev.example.com", "/", "*.dev.example.com"},
        {"a.dev.example.com", "/", "*.dev.example.com"}, /* the longer literal suffix */
        {"a.lab.example.com", "/", "a.*.example.com"},
        {"b.lab.example.com", "/", "*.*.example.com"},
        {"a.b.c.example.com", "/", "-"},
        {"example.org", "/", "-"},
    };
    const size_t count = sizeof domains / sizeof domains[0];
    for (size_t order = 0; order < 3; order++) { /* whatever the order of the configuration */
        struct application_table *table = application_table_new();
        for (size_t i = 0; i < count; i++)
            add(table, domains[order == 0 ? i : order == 1 ? count - 1 - i : (i * 5 + 3) % count]);
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            const char *found = find(table, rows[i].host, rows[i].path);
            ck_assert_msg(strcmp(found, rows[i].domain) == 0, "%s%s: %s", rows[i].host, rows[i].path, found);
        }
        application_table_free(&table);
    }
}
END_TEST

static void collect(void *arg, const char *domain, void *value) {
    ck_assert_ptr_nonnull(value);
    sbuf_printf(arg, "%s ", domain);
}

static void check_list(const struct application_table *table, const char *hostname, const char *expected) {
    struct sbuf out;
    sbuf_init(&out, 4096);
    application_table_each(table, hostname, collect, &out);
    ck_assert_str_eq(sbuf_text(&out), expected);
    sbuf_fini(&out);
}

START_TEST(lists_what_could_match_a_hostname) {
    struct application_table *table = application_table_new();
    static const char *const domains[] = {"a.test/x",  "a.test",     "*.test",       "b.test/y", "*.b.test",
                                          "a*.test/z", "a.b.test",   "*.*.test/q",   "other",    "a.test/x/y",
                                          "a.test/*z", "192.0.2.77", "*.0.2.example"};
    for (size_t i = 0; i < sizeof domains / sizeof domains[0]; i++)
        add(table, domains[i]);
    check_list(table, "a.test", "a.test/x/y a.test/x a.test/*z a.test a*.test/z *.test ");
    check_list(table, "*.test", "a.test/x/y a.test/x a.test/*z a.test b.test/y a*.test/z *.test ");
    check_list(table, "*.b.test", "a.b.test *.b.test *.*.test/q ");
    check_list(table, "c.b.test", "*.b.test *.*.test/q ");
    check_list(table, "192.0.2.77", "192.0.2.77 ");
    check_list(table, "192.0.2.78", "");
    check_list(table, "nobody.example", "");
    application_table_free(&table);
}
END_TEST

START_TEST(a_hundred_thousand_applications) {
    enum { COUNT = 100000 };
    struct application_table *table = application_table_new();
    char(*domains)[40] = mem_new_array(COUNT, sizeof *domains);
    struct err err;
    for (size_t i = 0; i < COUNT; i++) {
        if (i % 2)
            snprintf(domains[i], sizeof domains[i], "host-%zu.example.test/v1", i);
        else
            snprintf(domains[i], sizeof domains[i], "example.test/app-%zu/*", i);
        ck_assert_int_eq(application_table_add(table, domains[i], domains[i], &err), 0);
    }
    for (size_t i = 0; i < COUNT; i++) {
        char host[40] = "example.test", path[40];
        snprintf(path, sizeof path, "/app-%zu/x", i);
        if (i % 2) {
            snprintf(host, sizeof host, "host-%zu.example.test", i);
            snprintf(path, sizeof path, "/v1/x");
        }
        ck_assert_ptr_eq(application_table_find(table, slice_of(host), slice_of(path)), domains[i]);
        ck_assert_str_eq(find(table, host, "/v1x"), "-");
    }
    application_table_free(&table);
    mem_free(domains);
}
END_TEST

/* Half a million segments must cost no more than the patterns are long. */
START_TEST(a_long_path_costs_what_the_patterns_are_long) {
    enum { SIZE = 1 << 20 };
    struct application_table *table = application_table_new();
    add(table, "example.com/a/a/b");
    add(table, "example.com/a");
    char *path = mem_new(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        path[i] = i % 2 ? 'a' : '/';
    const char *found = application_table_find(table, SLICE("example.com"), slice_make(path, SIZE));
    ck_assert_str_eq(found, "example.com/a");
    mem_free(path);
    application_table_free(&table);
}
END_TEST

Suite *route_application_table_suite(void);
Suite *route_application_table_suite(void) {
    Suite *suite = suite_create("application_table");
    TCase *tcase = tcase_create("application_table");
    tcase_add_test(tcase, paths_are_covered_on_segment_borders);
    tcase_add_test(tcase, hosts_match_label_by_label);
    tcase_add_test(tcase, case_counts_in_paths_only);
    tcase_add_test(tcase, ports_are_dropped);
    tcase_add_test(tcase, sec_05_starred_hosts_never_match_ip_literals);
    tcase_add_test(tcase, sec_43_domains_are_normalised_as_requests_are);
    tcase_add_test(tcase, malformed_domains_are_refused);
    tcase_add_test(tcase, equal_domains_are_refused);
    tcase_add_test(tcase, the_most_specific_wins);
    tcase_add_test(tcase, lists_what_could_match_a_hostname);
    tcase_add_test(tcase, a_hundred_thousand_applications);
    tcase_add_test(tcase, a_long_path_costs_what_the_patterns_are_long);
    suite_add_tcase(suite, tcase);
    return suite;
}
