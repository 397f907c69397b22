#include "route/hostname_table.h"

#include <check.h>
#include <stdlib.h>

static int values[8];

static void add(struct hostname_table *table, const char *name, int *value) {
    struct err err;
    ck_assert_msg(hostname_table_add(table, name, value, &err) == 0, "%s", err.text);
}

static int *find(const struct hostname_table *table, const char *host) {
    return hostname_table_find(table, slice_of(host));
}

START_TEST(sec_05_exact_then_one_label_then_nothing) {
    struct hostname_table table;
    hostname_table_init(&table);
    add(&table, "iot.example.test", &values[0]);
    add(&table, "*.example.test", &values[1]);
    add(&table, "*.deep.example.test", &values[2]);
    add(&table, "example.test", &values[3]);
    static const struct {
        const char *host;
        int *value;
    } rows[] = {
        {"iot.example.test", &values[0]},
        {"other.example.test", &values[1]},
        {"deep.example.test", &values[1]},
        {"a.deep.example.test", &values[2]},
        {"example.test", &values[3]},
        {"a.iot.example.test", NULL}, /* a star is one label */
        {"a.b.deep.example.test", NULL},
        {"test", NULL},
        {"example.com", NULL},
        {"xexample.test", NULL},
        {".example.test", NULL},
        {"*.example.test", &values[1]}, /* not a host name: the normaliser never lets it come here */
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(find(&table, rows[i].host) == rows[i].value, "%s", rows[i].host);
    hostname_table_fini(&table);
}
END_TEST

START_TEST(sec_05_an_unknown_name_gets_no_default) {
    struct hostname_table table;
    hostname_table_init(&table);
    ck_assert_ptr_null(find(&table, "iot.example.test"));
    add(&table, "iot.example.test", &values[0]);
    ck_assert_ptr_null(find(&table, "other.example.test"));
    ck_assert_ptr_null(hostname_table_find(&table, SLICE_NONE));
    hostname_table_fini(&table);
}
END_TEST

START_TEST(sec_04_ip_literals_match_exact_entries_only) {
    struct hostname_table table;
    hostname_table_init(&table);
    add(&table, "*.0.0.1", &values[0]);
    add(&table, "192.0.2.7", &values[1]);
    add(&table, "[2001:db8::1]", &values[2]);
    add(&table, "*.example.test", &values[3]);
    ck_assert_ptr_null(find(&table, "127.0.0.1"));
    ck_assert_ptr_eq(find(&table, "192.0.2.7"), &values[1]);
    ck_assert_ptr_null(find(&table, "192.0.2.8"));
    ck_assert_ptr_eq(find(&table, "[2001:db8::1]"), &values[2]);
    ck_assert_ptr_null(find(&table, "[2001:db8::2]"));
    ck_assert_ptr_eq(find(&table, "7.example.test"), &values[3]);
    hostname_table_fini(&table);
}
END_TEST

START_TEST(names_are_taken_once_and_well_formed) {
    struct hostname_table table;
    struct err err;
    hostname_table_init(&table);
    add(&table, "a.test", &values[0]);
    add(&table, "*.a.test", &values[1]);
    static const char *const refused[] = {"a.test", "*.a.test", "", "*", "*.", "a.*.test", "*a.test", "*.*.test"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        ck_assert_msg(hostname_table_add(&table, refused[i], &values[2], &err) == -1, "%s", refused[i]);
    ck_assert_ptr_eq(find(&table, "a.test"), &values[0]);
    ck_assert_ptr_eq(find(&table, "x.a.test"), &values[1]);
    hostname_table_fini(&table);
}
END_TEST

Suite *route_hostname_table_suite(void);
Suite *route_hostname_table_suite(void) {
    Suite *suite = suite_create("hostname_table");
    TCase *tcase = tcase_create("hostname_table");
    tcase_add_test(tcase, sec_05_exact_then_one_label_then_nothing);
    tcase_add_test(tcase, sec_05_an_unknown_name_gets_no_default);
    tcase_add_test(tcase, sec_04_ip_literals_match_exact_entries_only);
    tcase_add_test(tcase, names_are_taken_once_and_well_formed);
    suite_add_tcase(suite, tcase);
    return suite;
}
