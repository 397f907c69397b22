#include "base/map.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>

START_TEST(siphash_1_3_vectors) {
    /* From CPython 3.11, whose bytes.__hash__ is SipHash-1-3; PYTHONHASHSEED=0 is the zero key. */
    static const struct {
        const char *text;
        uint64_t hash;
    } rows[] = {
        {"a", 0x407448d2b89b1813},
        {"abcdefg", 0x6db12aae9070f506},
        {"abcdefgh", 0x3f7b849c0b8e35ea},
        {"sallyport", 0xb04d083bfb288486},
        {"0123456789abcdef", 0x1d42b30f7e060c24},
        {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 0x1c308a9f11b6a742},
    };
    static const uint64_t zero[2];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_uint_eq(map_hash_keyed(zero, slice_of(rows[i].text)), rows[i].hash);
}
END_TEST

START_TEST(the_key_of_the_process_is_not_zero) {
    static const uint64_t zero[2];
    ck_assert_uint_ne(map_hash(SLICE("a")), map_hash_keyed(zero, SLICE("a")));
    ck_assert_uint_eq(map_hash(SLICE("a")), map_hash(SLICE("a")));
}
END_TEST

START_TEST(put_get_replace_remove) {
    struct map map;
    int one = 1, two = 2;
    size_t cursor = 0;
    map_init(&map);
    ck_assert_ptr_null(map_get(&map, SLICE("a")));
    ck_assert_ptr_null(map_remove(&map, SLICE("a")));
    ck_assert_ptr_null(map_next(&map, &cursor));
    ck_assert_ptr_null(map_put(&map, SLICE("a"), &one));
    ck_assert_ptr_null(map_put(&map, SLICE_NONE, &two));
    ck_assert_ptr_eq(map_get(&map, SLICE("a")), &one);
    ck_assert_ptr_eq(map_get(&map, SLICE("")), &two);
    ck_assert_ptr_null(map_get(&map, SLICE("A")));
    ck_assert_ptr_eq(map_put(&map, SLICE("a"), &two), &one);
    ck_assert_uint_eq(map.count, 2);
    ck_assert_ptr_eq(map_remove(&map, SLICE("a")), &two);
    ck_assert_ptr_null(map_get(&map, SLICE("a")));
    ck_assert_uint_eq(map.count, 1);
    map_fini(&map);
}
END_TEST

START_TEST(agrees_with_a_plain_table) {
    /* Puts, removes and looks up in an order that a simple generator makes, beside an array indexed by key. */
    enum { KEYS = 700 };
    static char names[KEYS][12];
    static void *expected[KEYS];
    uint32_t random = 1;
    size_t count = 0;
    struct map map;
    map_init(&map);
    for (int i = 0; i < KEYS; i++)
        snprintf(names[i], sizeof names[i], "%d", i);
    for (int round = 0; round < 30000; round++) {
        random = random * 1664525 + 1013904223;
        size_t key = (random >> 8) % KEYS;
        if (random >> 31) {
            ck_assert_ptr_eq(map_put(&map, slice_of(names[key]), &names[key]), expected[key]);
            count += !expected[key];
            expected[key] = &names[key];
        } else {
            ck_assert_ptr_eq(map_remove(&map, slice_of(names[key])), expected[key]);
            count -= expected[key] != NULL;
            expected[key] = NULL;
        }
        ck_assert_uint_eq(map.count, count);
    }
    for (size_t key = 0; key < KEYS; key++)
        ck_assert_ptr_eq(map_get(&map, slice_of(names[key])), expected[key]);

    const struct map_entry *entry;
    size_t seen = 0;
    for (size_t i = 0; (entry = map_next(&map, &i)) != NULL; seen++)
        ck_assert(slice_eq_str(entry->key, entry->value));
    ck_assert_uint_eq(seen, count);
    map_fini(&map);
}
END_TEST

START_TEST(a_null_value_aborts) {
    struct map map;
    map_init(&map);
    map_put(&map, SLICE("a"), NULL);
}
END_TEST

Suite *base_map_suite(void);
Suite *base_map_suite(void) {
    Suite *suite = suite_create("map");
    TCase *tcase = tcase_create("map");
    tcase_add_test(tcase, siphash_1_3_vectors);
    tcase_add_test(tcase, the_key_of_the_process_is_not_zero);
    tcase_add_test(tcase, put_get_replace_remove);
    tcase_add_test(tcase, agrees_with_a_plain_table);
    tcase_add_test_raise_signal(tcase, a_null_value_aborts, SIGABRT);
    suite_add_tcase(suite, tcase);
    return suite;
}
