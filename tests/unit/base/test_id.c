#include "base/id.h"

#include <check.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(random_bytes_fill_everything) {
    unsigned char bytes[64] = {0}, seen[64] = {0};
    for (int round = 0; round < 20; round++) {
        random_bytes(bytes, sizeof bytes);
        for (size_t i = 0; i < sizeof bytes; i++)
            seen[i] |= bytes[i];
    }
    for (size_t i = 0; i < sizeof seen; i++)
        ck_assert_uint_ne(seen[i], 0);
    random_bytes(NULL, 0);
}
END_TEST

START_TEST(ray_ids_are_hex_and_different) {
    enum { COUNT = 500 };
    static char ids[COUNT][RAY_ID_SIZE];
    int repeated = 0;
    for (int i = 0; i < COUNT; i++) {
        ray_id_make(ids[i]);
        ck_assert_uint_eq(strlen(ids[i]), 16);
        ck_assert_uint_eq(strspn(ids[i], "0123456789abcdef"), 16);
        for (int j = 0; j < i; j++)
            repeated += strcmp(ids[i], ids[j]) == 0;
    }
    ck_assert_int_eq(repeated, 0);
}
END_TEST

START_TEST(a_child_makes_ids_of_its_own) {
    char id[RAY_ID_SIZE], childs_id[RAY_ID_SIZE];
    int ends[2];
    ray_id_make(id);
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        ray_id_make(id);
        _exit(write(ends[1], id, sizeof id) == (ssize_t)sizeof id ? 0 : 1);
    }
    ck_assert_int_eq(read(ends[0], childs_id, sizeof childs_id), sizeof childs_id);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ray_id_make(id);
    ck_assert_str_ne(id, childs_id);
}
END_TEST

Suite *base_id_suite(void);
Suite *base_id_suite(void) {
    Suite *suite = suite_create("id");
    TCase *tcase = tcase_create("id");
    tcase_add_test(tcase, random_bytes_fill_everything);
    tcase_add_test(tcase, ray_ids_are_hex_and_different);
    tcase_add_test(tcase, a_child_makes_ids_of_its_own);
    suite_add_tcase(suite, tcase);
    return suite;
}
