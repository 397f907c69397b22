#include "store/state.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

static char root[64];

static void set_up(void) {
    snprintf(root, sizeof root, "/tmp/sallyport-state-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void tear_down(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    ck_assert_int_eq(system(command), 0);
}

static mode_t mode_of(const char *path) {
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    return st.st_mode & 07777;
}

START_TEST(the_directory_is_what_is_configured_or_what_systemd_gives) {
    const struct {
        const char *configured, *environment, *expected;
    } rows[] = {
        {"/a", "/b", "/a"},
        {NULL, "/b", "/b"},
        {"", "/b:/c", "/b"},
        {NULL, NULL, "/var/lib/sallyport"},
        {NULL, "", "/var/lib/sallyport"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_int_eq(
            rows[i].environment ? setenv("STATE_DIRECTORY", rows[i].environment, 1) : unsetenv("STATE_DIRECTORY"), 0);
        char *path = state_directory(rows[i].configured);
        ck_assert_str_eq(path, rows[i].expected);
        mem_free(path);
    }
}
END_TEST

START_TEST(directories_are_made_for_their_owner_alone) {
    char *directory = path_join(root, "state"), *part = path_join(root, "state/crls");
    struct err err = {""};
    ck_assert_msg(state_make(directory, "crls", &err) == 0, "%s", err.text);
    ck_assert_int_eq(mode_of(directory), 0700);
    ck_assert_int_eq(mode_of(part), 0700);
    ck_assert_int_eq(state_make(directory, "crls", &err), 0); /* again */
    ck_assert_int_eq(chmod(directory, 0750), 0);
    ck_assert_int_eq(state_make(directory, "crls", &err), 0);
    mem_free(directory);
    mem_free(part);
}
END_TEST

START_TEST(a_directory_that_others_write_to_is_refused) {
    struct err err = {""};
    ck_assert_int_eq(chmod(root, 0770), 0);
    ck_assert_int_eq(state_make(root, "crls", &err), -1);
    ck_assert_msg(strstr(err.text, "other accounts can write") != NULL, "%s", err.text);
}
END_TEST

START_TEST(a_directory_that_cannot_be_is_an_error_that_names_it) {
    struct err err = {""};
    char *file = path_join(root, "file"), *below = path_join(root, "file/state");
    ck_assert_int_eq(state_write(file, SLICE("x"), &err), 0);
    ck_assert_int_eq(state_make(file, "crls", &err), -1);
    ck_assert_msg(strstr(err.text, file) != NULL, "%s", err.text);
    ck_assert_int_eq(state_make(below, "crls", &err), -1);
    ck_assert_msg(strstr(err.text, below) != NULL, "%s", err.text);
    mem_free(file);
    mem_free(below);
}
END_TEST

START_TEST(a_file_is_replaced_whole) {
    struct err err = {""};
    struct sbuf content;
    char *path = path_join(root, "f"), *from = path_join(root, "g"), *rest = path_join(root, "f.new");
    sbuf_init(&content, 100);
    ck_assert_int_eq(state_write(path, SLICE("one"), &err), 0);
    ck_assert_int_eq(state_write(path, SLICE("second"), &err), 0);
    ck_assert_int_eq(mode_of(path), 0600);
    ck_assert_int_eq(file_read(path, 100, &content, &err), 0);
    ck_assert_str_eq(sbuf_text(&content), "second");
    ck_assert_int_eq(state_write(from, SLICE("third"), &err), 0);
    ck_assert_int_eq(state_replace(path, from, &err), 0);
    sbuf_clear(&content);
    ck_assert_int_eq(file_read(path, 100, &content, &err), 0);
    ck_assert_str_eq(sbuf_text(&content), "third");
    ck_assert_int_eq(access(from, F_OK) | access(rest, F_OK), -1);
    ck_assert_int_eq(state_replace(path, from, &err), -1);
    sbuf_fini(&content);
    mem_free(path);
    mem_free(from);
    mem_free(rest);
}
END_TEST

Suite *store_state_suite(void);
Suite *store_state_suite(void) {
    Suite *suite = suite_create("state");
    TCase *tcase = tcase_create("state");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, the_directory_is_what_is_configured_or_what_systemd_gives);
    tcase_add_test(tcase, directories_are_made_for_their_owner_alone);
    tcase_add_test(tcase, a_directory_that_others_write_to_is_refused);
    tcase_add_test(tcase, a_directory_that_cannot_be_is_an_error_that_names_it);
    tcase_add_test(tcase, a_file_is_replaced_whole);
    suite_add_tcase(suite, tcase);
    return suite;
}
