#include "http/target.h"

#include <check.h>

static struct arena *arena;

static void setup(void) { arena = arena_new(4096); }

static void teardown(void) { arena_free(arena); }

/* ---- paths ---- */

struct path_row {
    const char *in;
    const char *path; /* NULL: refused */
    const char *query;
};

static const struct path_row accepted_paths[] = {
    {"/", "/", NULL},
    {"/a", "/a", NULL},
    {"/a/", "/a/", NULL},
    {"/a/b?c=d", "/a/b", "c=d"},
    {"/a?", "/a", ""},
    {"/a?b?c/d", "/a", "b?c/d"},
    {"/?a[0]=b|c^`{}\\&d=100%", "/", "a[0]=b|c^`{}\\&d=100%"},
    /* empty segments */
    {"//", "/", NULL},
    {"//a", "/a", NULL},
    {"/a//b", "/a/b", NULL},
    {"/a///b//", "/a/b/", NULL},
    {"//evil.test/x", "/evil.test/x", NULL},
    /* dot segments */
    {"/.", "/", NULL},
    {"/./", "/", NULL},
    {"/./a", "/a", NULL},
    {"/a/.", "/a/", NULL},
    {"/a/./b", "/a/b", NULL},
    {"/a/..", "/", NULL},
    {"/a/../", "/", NULL},
    {"/a/../b", "/b", NULL},
    {"/a/b/..", "/a/", NULL},
    {"/a/b/../c", "/a/c", NULL},
    {"/a/b/../../c", "/c", NULL},
    {"/a//../b", "/b", NULL},
    {"/a/.../b", "/a/.../b", NULL},
    {"/a/..b/c..", "/a/..b/c..", NULL},
    {"/a/%2e/b", "/a/b", NULL},
    {"/a/%2e%2E/b", "/b", NULL},
    {"/a/.%2e/b", "/b", NULL},
    {"/public/%2e%2e/admin", "/admin", NULL},
    {"/a?b/../c", "/a", "b/../c"},
    /* percent-encoding */
    {"/%61%5A%30%2d%5f%7e%2E", "/aZ0-_~.", NULL},
    {"/%c3%a4", "/%C3%A4", NULL},
    {"/%e9", "/%E9", NULL},
    {"/%20%3f%23%25", "/%20%3F%23%25", NULL},
    {"/%252e%252e/a", "/%252e%252e/a", NULL},
    {"/%2b+%40@", "/%2B+%40@", NULL},
    {"/%e2%82%ac", "/%E2%82%AC", NULL},
    {"/%f0%9f%98%80", "/%F0%9F%98%80", NULL},
    /* every other character that may stand there */
    {"/-._~!$&'()*+,=:@", "/-._~!$&'()*+,=:@", NULL},
};

static const char *const refused_paths[] = {
    "",
    "a",
    "*",
    "?",
    "http:/a",
    /* above the root */
    "/..",
    "/../",
    "/../a",
    "/a/../../b",
    "/./../a",
    "//../a",
    "/%2e%2e/a",
    "/.%2e",
    /* what servers disagree on */
    "/a%2fb",
    "/a%2Fb",
    "/..%2fa",
    "/a%5cb",
    "/a%5Cb",
    "/a\\b",
    "/..\\a",
    "/a;b",
    "/a/..;/b",
    "/;/a",
    "/a%3bb",
    "/a%3Bb",
    "/a%00",
    "/a%00.html",
    "/a%0a",
    "/a%0D%0Ab",
    "/a%1f",
    "/a%7f",
    "/a%c0%afb",
    "/%c0%ae%c0%ae/a",
    "/a%C1%9Cb",
    "/a%e0%80%afb",
    "/a%f0%80%80%afb",
    /* malformed */
    "/a%",
    "/a%2",
    "/a%zz",
    "/a%2g",
    "/a%%20",
    "/a#b",
    "/a?b#c",
    "/a b",
    "/a\tb",
    "/a\"b",
    "/a<b>",
    "/a[b]",
    "/a{b}",
    "/a|b",
    "/a^b",
    "/a`b",
    "/\x7f",
    "/\xc3\xa4",
    "/a?b c",
    "/a?\"",
    "/a?<",
    "/a?\xc3\xa4",
    "/a?\x01",
    "/a?\x7f",
};

START_TEST(sec_43_paths_are_normalised_once) {
    for (size_t i = 0; i < sizeof accepted_paths / sizeof accepted_paths[0]; i++) {
        const struct path_row *row = &accepted_paths[i];
        struct target target = {.query = SLICE_NONE};
        const char *wrong = target_parse_path(slice_of(row->in), false, arena, &target);
        ck_assert_msg(!wrong, "%s: %s", row->in, wrong);
        ck_assert_msg(slice_eq_str(target.path, row->path), "%s became " SLICE_FMT, row->in, SLICE_ARG(target.path));
        ck_assert_msg((row->query == NULL) == (target.query.ptr == NULL), "%s", row->in);
        ck_assert_msg(slice_eq_str(target.query, row->query), "%s", row->in);
        char *both = arena_printf(arena, "%s%s%s", row->path, row->query ? "?" : "", row->query ? row->query : "");
        ck_assert_msg(slice_eq_str(target.path_and_query, both), "%s", row->in);
    }
}
END_TEST

START_TEST(sec_43_normalising_twice_changes_nothing) {
    for (size_t i = 0; i < sizeof accepted_paths / sizeof accepted_paths[0]; i++) {
        struct target once = {0}, twice = {0};
        ck_assert_ptr_null(target_parse_path(slice_of(accepted_paths[i].in), false, arena, &once));
        ck_assert_ptr_null(target_parse_path(once.path_and_query, false, arena, &twice));
        ck_assert(slice_eq(once.path_and_query, twice.path_and_query));
    }
}
END_TEST

START_TEST(sec_43_spellings_that_servers_take_for_one_are_compared_as_one) {
    static const struct {
        const char *in, *path, *route_path, *pattern;
    } rows[] = {
        {"/a/b", "/a/b", "/a/b", "/a/b"},
        {"/%40x", "/%40x", "/@x", "/@x"},
        {"/%21%24%26%27%28%29%2b%2C%3d%3A%40", "/%21%24%26%27%28%29%2B%2C%3D%3A%40", "/!$&'()+,=:@", "/!$&'()+,=:@"},
        {"/a%3ab%3A", "/a%3Ab%3A", "/a:b:", "/a:b:"},
        {"/a*%2a", "/a*%2A", "/a%2A%2A", "/a*%2A"},
        {"/%2540", "/%2540", "/%2540", "/%2540"},
        {"/%20%22%3c%5b%7c%25%e2%82%ac", "/%20%22%3C%5B%7C%25%E2%82%AC", "/%20%22%3C%5B%7C%25%E2%82%AC",
         "/%20%22%3C%5B%7C%25%E2%82%AC"},
        {"/%3f%23", "/%3F%23", "/%3F%23", "/%3F%23"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct target target = {0};
        ck_assert_ptr_null(target_parse_path(slice_of(rows[i].in), false, arena, &target));
        ck_assert_msg(slice_eq_str(target.path, rows[i].path), "%s", rows[i].in);
        ck_assert_msg(slice_eq_str(target.route_path, rows[i].route_path), "%s", rows[i].in);
        ck_assert_msg(slice_eq_str(target_route_path(target.path, true, arena), rows[i].pattern), "%s", rows[i].in);
    }
    struct target target = {0};
    ck_assert_ptr_null(target_parse_path(SLICE("*"), true, arena, &target));
    ck_assert(slice_eq_str(target.route_path, "/"));
}
END_TEST

START_TEST(sec_43_ambiguous_paths_are_refused) {
    for (size_t i = 0; i < sizeof refused_paths / sizeof refused_paths[0]; i++) {
        struct target target = {0};
        ck_assert_msg(target_parse_path(slice_of(refused_paths[i]), false, arena, &target), "%s", refused_paths[i]);
    }
    struct target target = {0};
    ck_assert_ptr_nonnull(target_parse_path(SLICE("/a\0b"), false, arena, &target));
}
END_TEST

START_TEST(the_asterisk_is_for_options) {
    struct target target = {.query = SLICE("x")};
    ck_assert_ptr_null(target_parse_path(SLICE("*"), true, arena, &target));
    ck_assert(slice_eq_str(target.path, "*"));
    ck_assert(slice_eq_str(target.path_and_query, "*"));
    ck_assert_ptr_null(target.query.ptr);
    ck_assert_ptr_null(target_parse_path(SLICE("/x"), true, arena, &target));
    ck_assert_ptr_nonnull(target_parse_path(SLICE("**"), true, arena, &target));
}
END_TEST

/* ---- hosts ---- */

#define LABEL_OF_64 "abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghijklmnopqrstuvwxyz"

static const struct {
    const char *in, *out;
} accepted_hosts[] = {
    {"example.test", "example.test"},
    {"EXAMPLE.Test", "example.test"},
    {"example.test.", "example.test"},
    {"a", "a"},
    {"a-b.c--d", "a-b.c--d"},
    {"1a.2b", "1a.2b"},
    {"1.2.3.a", "1.2.3.a"},
    {"XN--BCHER-KVA.test", "xn--bcher-kva.test"},
    {"127.0.0.1", "127.0.0.1"},
    {"255.255.255.255", "255.255.255.255"},
    {"[::1]", "[::1]"},
    {"[0:0:0:0:0:0:0:1]", "[::1]"},
    {"[2001:DB8::A]", "[2001:db8::a]"},
    {"[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]"},
    {"123456789012345678901234567890123456789012345678901234567890abc.test",
     "123456789012345678901234567890123456789012345678901234567890abc.test"},
};

static const char *const refused_hosts[] = {
    "",          ".",        "..",           ".a",
    "a..",       "a..b",     "a.b..",        "-a",
    "a-",        "a.-b",     "a.b-.c",       "a_b",
    "_a.test",   "*.a.test", "a b",          "a/b",
    "a@b",       "a:80",     "a%2eb",        "a\\b",
    "b\xc3\xbc", "1.2.3",    "1.2.3.4.5",    "256.1.1.1",
    "1.1.1.",    "01.1.1.1", "1.1.1.1a.2",   "1234",
    "0x7f.1",    "127.1",    "a.1",          "[",
    "[]",        "[::1",     "::1",          "[::1]x",
    "[::1].",    "[::g]",    "[fe80::1%1]",  "[1.2.3.4]",
    "[v1.a]",    "[::1]]",   "\xe3\x80\x82", "a\343\200\202b",
    LABEL_OF_64,
};

START_TEST(sec_04_hosts_have_one_form) {
    char out[254];
    for (size_t i = 0; i < sizeof accepted_hosts / sizeof accepted_hosts[0]; i++) {
        ck_assert_msg(host_normalise(slice_of(accepted_hosts[i].in), out), "%s", accepted_hosts[i].in);
        ck_assert_str_eq(out, accepted_hosts[i].out);
        char again[254];
        ck_assert(host_normalise(slice_of(out), again));
        ck_assert_str_eq(out, again);
    }
}
END_TEST

START_TEST(sec_04_what_is_no_host_is_refused) {
    char out[254];
    for (size_t i = 0; i < sizeof refused_hosts / sizeof refused_hosts[0]; i++)
        ck_assert_msg(!host_normalise(slice_of(refused_hosts[i]), out), "%s", refused_hosts[i]);
    ck_assert(!host_normalise(SLICE("a\0b"), out));
    ck_assert(!host_normalise(SLICE("[::1\0]"), out));
}
END_TEST

START_TEST(hosts_are_at_most_253_long) {
    char name[256], out[254];
    for (size_t i = 0; i < sizeof name; i++)
        name[i] = i % 2 ? '.' : 'a';
    ck_assert(host_normalise(slice_make(name, 253), out));
    ck_assert_uint_eq(strlen(out), 253);
    ck_assert(host_normalise(slice_make(name, 254), out)); /* the dot at the end does not count */
    ck_assert(!host_normalise(slice_make(name, 255), out));
}
END_TEST

START_TEST(authorities_are_host_and_port) {
    static const struct {
        const char *in, *host;
        uint16_t port;
    } rows[] = {
        {"A.test", "a.test", 0},           {"a.test:1", "a.test", 1}, {"a.test:65535", "a.test", 65535},
        {"a.test.:443", "a.test", 443},    {"[::1]", "[::1]", 0},     {"[::1]:8443", "[::1]", 8443},
        {"127.0.0.1:80", "127.0.0.1", 80}, {"a:00080", "a", 80},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct target target = {0};
        ck_assert_ptr_null(target_parse_authority(slice_of(rows[i].in), arena, &target));
        ck_assert(slice_eq_str(target.host, rows[i].host));
        ck_assert(slice_eq_str(target.authority, rows[i].in));
        ck_assert_uint_eq(target.port, rows[i].port);
    }
    static const char *const refused[] = {"",        ":80",   "a:",   "a:0",   "a:65536", "a:000080", "a:+1",
                                          "a:80:80", "a:x",   "u@a",  "u:p@a", "[::1]:",  "[::1]80",  "::1",
                                          "a:80 ",   "a :80", "a, b", "a/",    "[::1",    "[a:80"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct target target = {0};
        ck_assert_msg(target_parse_authority(slice_of(refused[i]), arena, &target), "%s", refused[i]);
    }
}
END_TEST

START_TEST(urls_are_taken_apart) {
    struct target target;
    ck_assert_ptr_null(target_parse_url(SLICE("https://Iot.Example.test:8443/v1/../v2?x=1"), arena, &target));
    ck_assert(slice_eq_str(target.host, "iot.example.test"));
    ck_assert(slice_eq_str(target.authority, "Iot.Example.test:8443"));
    ck_assert_uint_eq(target.port, 8443);
    ck_assert(slice_eq_str(target.path, "/v2"));
    ck_assert(slice_eq_str(target.query, "x=1"));
    ck_assert_ptr_null(target_parse_url(SLICE("HTTP://a"), arena, &target));
    ck_assert(slice_eq_str(target.path_and_query, "/"));
    ck_assert_ptr_null(target_parse_url(SLICE("http://a?b"), arena, &target));
    ck_assert(slice_eq_str(target.path_and_query, "/?b"));
    static const char *const refused[] = {
        "",           "a.test/",      "//a.test/",   "ftp://a/",      "https:/a",     "https://",
        "https:///x", "https://u@a/", "https://a#b", "https://a/b#c", "https://a/..", "https://a\\b/"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        ck_assert_msg(target_parse_url(slice_of(refused[i]), arena, &target), "%s", refused[i]);
}
END_TEST

Suite *http_target_suite(void);
Suite *http_target_suite(void) {
    Suite *suite = suite_create("http/target");
    TCase *tcase = tcase_create("target");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, sec_43_paths_are_normalised_once);
    tcase_add_test(tcase, sec_43_normalising_twice_changes_nothing);
    tcase_add_test(tcase, sec_43_spellings_that_servers_take_for_one_are_compared_as_one);
    tcase_add_test(tcase, sec_43_ambiguous_paths_are_refused);
    tcase_add_test(tcase, the_asterisk_is_for_options);
    tcase_add_test(tcase, sec_04_hosts_have_one_form);
    tcase_add_test(tcase, sec_04_what_is_no_host_is_refused);
    tcase_add_test(tcase, hosts_are_at_most_253_long);
    tcase_add_test(tcase, authorities_are_host_and_port);
    tcase_add_test(tcase, urls_are_taken_apart);
    suite_add_tcase(suite, tcase);
    return suite;
}
