/* A client's session never reaches an origin under its name, and its other cookies do, byte for byte. */
#include <check.h>

#include "session/cookie.h"

static struct arena *arena;

static void set_up(void) { arena = arena_new(4096); }
static void tear_down(void) { arena_free(arena); }

static const struct {
    const char *header, *stripped, *value;
    size_t count;
} rows[] = {
    {"a=1; b=2", "a=1; b=2", NULL, 0},
    {"CF_Authorization=x", "", "x", 1},
    {"CF_Authorization=x.y-_z; a=1", "a=1", "x.y-_z", 1},
    {"a=1; CF_Authorization=x", "a=1", "x", 1},
    {"a=1;CF_Authorization=x;b=2", "a=1;b=2", "x", 1},
    {"a=1;  b = \"q\" ;; CF_Authorization=x;c", "a=1;  b = \"q\" ;;c", "x", 1},
    {"CF_Authorization=x; CF_Authorization=y", "", "y", 2},
    {"CF_Authorization=", "", "", 1},
    {"CF_Authorization", "", "", 1},
    {"CF_Authorization=a=b", "", "a=b", 1},
    /* as somebody might read it */
    {"cf_authorization=x; a=1", "a=1", NULL, 1},
    {"CF-Authorization=x", "", NULL, 1},
    {"CF.Authorization=x", "", NULL, 1},
    {"CF Authorization=x", "", NULL, 1},
    {"CF[Authorization=x", "", NULL, 1},
    {"CF_Authorization[]=x", "", NULL, 1},
    {"CF%5FAuthorization=x", "", NULL, 1},
    {"%43F_Authorization=x", "", NULL, 1},
    {"CF_Authorization =x", "", NULL, 1},
    {"a=1; \xa0"
     "CF_Authorization=x",
     "a=1", NULL, 1},
    {"\xe3\x80\x80"
     "CF_Authorization=x; a=1",
     "a=1", NULL, 1},
    {"CF_Authorization\x85=x", "", NULL, 1},
    {"a=b CF_Authorization=x; c=d", "c=d", NULL, 1},
    {"a=b,CF_Authorization=x", "", NULL, 1},
    {"a=\"CF_Authorization=x\"", "", NULL, 1},
    /* what only looks alike */
    {"CF_AuthorizationX=x", "CF_AuthorizationX=x", NULL, 0},
    {"XCF_Authorization=x", "XCF_Authorization=x", NULL, 0},
    {"my_CF_Authorization=x", "my_CF_Authorization=x", NULL, 0},
    {"a=CF_Authorization", "a=CF_Authorization", NULL, 0},
    {"CF_Binding=x", "CF_Binding=x", NULL, 0},
    {"a=%", "a=%", NULL, 0},
    {"a=%4", "a=%4", NULL, 0},
    {"", "", NULL, 0},
};

START_TEST(ours_is_found_and_taken_out) {
    struct slice value = SLICE_NONE, header = slice_of(rows[_i].header);
    struct slice stripped = cookie_strip(header, arena);
    ck_assert_msg(slice_eq_str(stripped, rows[_i].stripped), "%s -> " SLICE_FMT, rows[_i].header, SLICE_ARG(stripped));
    ck_assert_uint_eq(cookie_find(header, &value), rows[_i].count);
    if (rows[_i].value && *rows[_i].value)
        ck_assert(slice_eq_str(value, rows[_i].value));
    else
        ck_assert_uint_eq(value.len, 0);
    if (rows[_i].count == 0)
        ck_assert_ptr_eq(stripped.ptr, header.ptr);
}
END_TEST

START_TEST(a_set_cookie_is_as_documented) {
    struct sbuf out;
    sbuf_init(&out, 4096);
    struct cookie_attributes attributes = {.http_only = false};
    cookie_write(SLICE("a.b.c"), 784111777, &attributes, &out);
    ck_assert_str_eq(sbuf_text(&out),
                     "CF_Authorization=a.b.c; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Path=/; Secure; SameSite=none");
    sbuf_clear(&out);
    attributes = (struct cookie_attributes){true, COOKIE_SAME_SITE_STRICT, SLICE("/a/b")};
    cookie_write(SLICE("a.b.c"), 784111777, &attributes, &out);
    ck_assert_str_eq(sbuf_text(&out),
                     "CF_Authorization=a.b.c; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Path=/a/b; Secure; "
                     "SameSite=strict; HttpOnly");
    sbuf_clear(&out);
    cookie_write_removal(SLICE_NONE, &out);
    ck_assert_str_eq(sbuf_text(&out), "CF_Authorization=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; "
                                      "Secure; SameSite=none");
    sbuf_fini(&out);
}
END_TEST

START_TEST(the_path_of_an_application_ends_at_a_star) {
    static const struct {
        const char *domain, *path;
    } paths[] = {{"a.test", ""},          {"a.test/", ""},        {"a.test/*", ""},
                 {"a.test/a", "/a"},      {"a.test/a/", "/a"},    {"a.test/a/*", "/a"},
                 {"a.test/a/b*/c", "/a"}, {"*.test/a/b", "/a/b"}, {"a.test/a;b", ""}};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        ck_assert_msg(slice_eq_str(cookie_path(paths[i].domain), paths[i].path), "%s", paths[i].domain);
}
END_TEST

Suite *session_cookie_suite(void);
Suite *session_cookie_suite(void) {
    Suite *suite = suite_create("session/cookie");
    TCase *tcase = tcase_create("cookies");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, ours_is_found_and_taken_out, 0, sizeof rows / sizeof rows[0]);
    tcase_add_test(tcase, a_set_cookie_is_as_documented);
    tcase_add_test(tcase, the_path_of_an_application_ends_at_a_star);
    suite_add_tcase(suite, tcase);
    return suite;
}
