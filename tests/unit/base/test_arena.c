#include "base/arena.h"

#include <check.h>
#include <stdint.h>

/* One assertion per piece: Check's are slow. */
static bool is_filled(const char *bytes, size_t size, char with) {
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != with)
            return false;
    }
    return true;
}

START_TEST(memory_is_zeroed_and_aligned) {
    struct arena *arena = arena_new(1024);
    for (size_t i = 0; i < 2000; i++) {
        char *piece = arena_alloc(arena, 1 + i % 97);
        ck_assert_uint_eq((uintptr_t)piece % _Alignof(max_align_t), 0);
        ck_assert(is_filled(piece, 1 + i % 97, 0));
        memset(piece, 0xff, 1 + i % 97);
        memset(arena_bytes(arena, i % 5), 0xff, i % 5);
    }
    arena_free(arena);
}
END_TEST

START_TEST(pieces_keep_their_content) {
    enum { COUNT = 500 };
    struct slice pieces[COUNT];
    char text[5000];
    struct arena *arena = arena_new(256);
    for (size_t i = 0; i < COUNT; i++) {
        memset(text, (int)('a' + i % 26), sizeof text);
        pieces[i] = arena_dup(arena, slice_make(text, i * 37 % sizeof text));
    }
    for (size_t i = 0; i < COUNT; i++) {
        ck_assert_uint_eq(pieces[i].len, i * 37 % sizeof text);
        ck_assert(is_filled(pieces[i].ptr, pieces[i].len, (char)('a' + i % 26)));
    }
    arena_free(arena);
}
END_TEST

START_TEST(pieces_larger_than_any_block) {
    struct arena *arena = arena_new(4096);
    char *small = arena_str(arena, SLICE("small"));
    memset(arena_alloc(arena, 1000000), 1, 1000000);
    memset(arena_alloc(arena, 3000000), 2, 3000000);
    char *other = arena_str(arena, SLICE("other"));
    memset(arena_alloc(arena, 70000), 3, 70000);
    ck_assert_str_eq(small, "small");
    ck_assert_str_eq(other, "other");
    ck_assert_uint_eq(arena_used(arena), 4070000 + 12);
    arena_free(arena);
}
END_TEST

START_TEST(reset_keeps_the_first_block) {
    struct arena *arena = arena_new(1024);
    void *first = arena_alloc(arena, 100);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 100; i++)
            arena_alloc(arena, 1000);
        arena_reset(arena);
        ck_assert_uint_eq(arena_used(arena), 0);
        ck_assert_ptr_eq(arena_alloc(arena, 100), first);
    }
    arena_free(arena);
}
END_TEST

START_TEST(text) {
    struct arena *arena = arena_new(0);
    ck_assert_str_eq(arena_str(arena, SLICE_NONE), "");
    ck_assert_str_eq(arena_printf(arena, "%s:%d", "host", 443), "host:443");
    ck_assert_uint_eq(strlen(arena_printf(arena, "%10000s", "")), 10000);
    ck_assert_uint_eq(arena_dup(arena, SLICE_NONE).len, 0);
    arena_free(arena);
    arena_free(NULL);
}
END_TEST

START_TEST(many_arenas_share_the_cache) {
    /* More at a time than the cache keeps, of several sizes, twice, so that blocks come back from it. */
    struct arena *arenas[300];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 300; i++) {
            arenas[i] = arena_new(512 << i % 8);
            memset(arena_alloc(arenas[i], 3000), 0xee, 3000);
        }
        for (size_t i = 0; i < 300; i++)
            arena_free(arenas[i]);
    }
}
END_TEST

Suite *base_arena_suite(void);
Suite *base_arena_suite(void) {
    Suite *suite = suite_create("arena");
    TCase *tcase = tcase_create("arena");
    tcase_add_test(tcase, memory_is_zeroed_and_aligned);
    tcase_add_test(tcase, pieces_keep_their_content);
    tcase_add_test(tcase, pieces_larger_than_any_block);
    tcase_add_test(tcase, reset_keeps_the_first_block);
    tcase_add_test(tcase, text);
    tcase_add_test(tcase, many_arenas_share_the_cache);
    suite_add_tcase(suite, tcase);
    return suite;
}
