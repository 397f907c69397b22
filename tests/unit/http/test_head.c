#include "http/head.h"

#include <check.h>

static struct arena *arena;
static struct headers headers;

static void setup(void) {
    arena = arena_new(1024);
    headers_init(&headers, arena);
}

static void teardown(void) { arena_free(arena); }

START_TEST(order_and_duplicates_are_kept) {
    for (int i = 0; i < 50; i++)
        headers_add(&headers, SLICE("X-Many"), slice_of(arena_printf(arena, "%d", i)));
    headers_add(&headers, SLICE("other"), SLICE(""));
    ck_assert_uint_eq(headers.count, 51);
    ck_assert_uint_eq(headers_count(&headers, SLICE("x-MANY")), 50);
    ck_assert(slice_eq_str(headers_find(&headers, SLICE("x-many"))->value, "0"));
    ck_assert(slice_eq_str(headers.items[49].value, "49"));
    ck_assert_ptr_null(headers_find(&headers, SLICE("x-man")));
    ck_assert_uint_eq(headers_count(&headers, SLICE("absent")), 0);
}
END_TEST

START_TEST(list_headers_are_searched_by_element) {
    headers_add(&headers, SLICE("Connection"), SLICE("a, ,Keep-Alive"));
    headers_add(&headers, SLICE("connection"), SLICE("\t close \t"));
    static const struct {
        const char *token;
        bool found;
    } rows[] = {{"a", true},      {"keep-alive", true}, {"CLOSE", true}, {"keep", false},
                {"alive", false}, {"clos", false},      {"", false},     {"a, ", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(headers_has_token(&headers, SLICE("CONNECTION"), slice_of(rows[i].token)) == rows[i].found, "%s",
                      rows[i].token);
    ck_assert(!headers_has_token(&headers, SLICE("Upgrade"), SLICE("a")));
}
END_TEST

START_TEST(lines_of_one_name_are_one_list) {
    ck_assert_ptr_null(headers_join(&headers, SLICE("Via"), arena).ptr);
    headers_add(&headers, SLICE("Via"), SLICE(""));
    headers_add(&headers, SLICE("via"), SLICE("1.1 a"));
    ck_assert(slice_eq_str(headers_join(&headers, SLICE("Via"), arena), "1.1 a"));
    headers_add(&headers, SLICE("Vias"), SLICE("x"));
    headers_add(&headers, SLICE("VIA"), SLICE("1.0 b, 1.1 c"));
    headers_add(&headers, SLICE("Via"), SLICE(""));
    headers_add(&headers, SLICE("Via"), SLICE("d"));
    ck_assert(slice_eq_str(headers_join(&headers, SLICE("via"), arena), "1.1 a, 1.0 b, 1.1 c, d"));
}
END_TEST

START_TEST(versions_have_names) {
    ck_assert_str_eq(http_version_name(HTTP_1_0), "HTTP/1.0");
    ck_assert_str_eq(http_version_name(HTTP_1_1), "HTTP/1.1");
    ck_assert_str_eq(http_version_name(HTTP_2), "HTTP/2");
}
END_TEST

Suite *http_head_suite(void);
Suite *http_head_suite(void) {
    Suite *suite = suite_create("http/head");
    TCase *tcase = tcase_create("head");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, order_and_duplicates_are_kept);
    tcase_add_test(tcase, list_headers_are_searched_by_element);
    tcase_add_test(tcase, lines_of_one_name_are_one_list);
    tcase_add_test(tcase, versions_have_names);
    suite_add_tcase(suite, tcase);
    return suite;
}
