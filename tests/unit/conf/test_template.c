#include "conf/template.h"

#include <check.h>

#include "base/arena.h"

static const struct {
    const char *text, *wrong; /* NULL: good */
    size_t parts;
} ROWS[] = {
    {"plain", NULL, 1},
    {"{cert_serial}", NULL, 1},
    {"a {cert_serial} b {host}", NULL, 4},
    {"{{{ray_id}}}", NULL, 3},
    {"{cert_serail}", "there is no field {cert_serail}; did you mean 'cert_serial'?", 0},
    {"{}", "there is no field {}; see docs/headers.md for those there are", 0},
    {"{cert_serial", "a '{' without its '}'; a brace by itself is written '{{'", 0},
    {"cert_serial}", "a '}' without its '{'; a brace by itself is written '}}'", 0},
    {"a\tb", "a header holds visible ASCII and blanks only", 0},
    {"caf\xc3\xa9", "a header holds visible ASCII and blanks only", 0},
};

START_TEST(fields_and_braces_are_parsed_or_refused) {
    struct arena *arena = arena_new(1024);
    struct template template;
    struct err err = {0};
    int status = template_parse(ROWS[_i].text, arena, &template, &err);
    if (ROWS[_i].wrong) {
        ck_assert_int_eq(status, -1);
        ck_assert_str_eq(err.text, ROWS[_i].wrong);
    } else {
        ck_assert_msg(status == 0, "%s: %s", ROWS[_i].text, err.text);
        ck_assert_uint_eq(template.count, ROWS[_i].parts);
    }
    arena_free(arena);
}
END_TEST

Suite *conf_template_suite(void);
Suite *conf_template_suite(void) {
    Suite *suite = suite_create("conf/template");
    TCase *tcase = tcase_create("template");
    tcase_add_loop_test(tcase, fields_and_braces_are_parsed_or_refused, 0, sizeof ROWS / sizeof ROWS[0]);
    suite_add_tcase(suite, tcase);
    return suite;
}
