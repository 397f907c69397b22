#include "base/mem.h"

#include <check.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

START_TEST(new_memory_is_zeroed) {
    unsigned char *bytes = mem_new(100);
    for (int i = 0; i < 100; i++)
        ck_assert_uint_eq(bytes[i], 0);
    mem_free(bytes);
    mem_free(mem_new(0));
    mem_free(NULL);
    int *numbers = NEW_ARRAY(int, 3);
    ck_assert_int_eq(numbers[2], 0);
    numbers = mem_resize(numbers, 10 * sizeof *numbers);
    ck_assert_int_eq(numbers[2], 0);
    mem_free(numbers);
}
END_TEST

START_TEST(copies_are_terminated) {
    char *copies[] = {mem_strdup("abc"), mem_strndup("abcdef", 3), mem_dup("abc", 4), mem_printf("%c%s", 'a', "bc")};
    for (size_t i = 0; i < sizeof copies / sizeof copies[0]; i++) {
        ck_assert_str_eq(copies[i], "abc");
        mem_free(copies[i]);
    }
    mem_free(mem_dup("", 0));
}
END_TEST

START_TEST(wipe_overwrites) {
    char secret[] = "secret";
    mem_wipe(secret, sizeof secret);
    for (size_t i = 0; i < sizeof secret; i++)
        ck_assert_int_eq(secret[i], 0);
    mem_wipe(NULL, 0);
    mem_wipe_free(mem_strdup("secret"), 6);
    mem_wipe_free(NULL, 6);
}
END_TEST

START_TEST(an_array_whose_size_overflows_aborts) {
    volatile size_t count = SIZE_MAX / 4;
    mem_free(mem_new_array(count, 16));
}
END_TEST

Suite *base_mem_suite(void);
Suite *base_mem_suite(void) {
    Suite *suite = suite_create("mem");
    TCase *tcase = tcase_create("mem");
    tcase_add_test(tcase, new_memory_is_zeroed);
    tcase_add_test(tcase, copies_are_terminated);
    tcase_add_test(tcase, wipe_overwrites);
    tcase_add_test_raise_signal(tcase, an_array_whose_size_overflows_aborts, SIGABRT);
    suite_add_tcase(suite, tcase);
    return suite;
}
