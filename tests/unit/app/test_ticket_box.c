/* Ticket keys: one at first, a new one in front every 12 hours, three at most, the same at a successor. */
#include <check.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "app/ticket_box.h"
#include "base/memfd.h"

#define ROTATION_MS (12LL * 3600 * 1000)

static struct slice sealed(const struct ticket_box *box) {
    struct slice content;
    struct err err;
    ck_assert_int_eq(memfd_map_sealed(box->fd, sizeof box->keys, &content, &err), 0);
    return content;
}

START_TEST(a_new_key_comes_first_and_the_oldest_goes) {
    struct ticket_box box;
    struct err err;
    char first[TICKET_KEY_SIZE];
    ck_assert_int_eq(ticket_box_init(&box, -1, 1000, &err), 0);
    struct slice content = sealed(&box);
    ck_assert_uint_eq(content.len, TICKET_KEY_SIZE);
    memcpy(first, content.ptr, sizeof first);
    memfd_unmap(&content);
    ck_assert(!ticket_box_rotate(&box, 1000 + ROTATION_MS - 1));
    for (int i = 1; i <= 4; i++) {
        ck_assert(ticket_box_rotate(&box, 1000 + i * ROTATION_MS));
        size_t count = i < 2 ? 2 : 3;
        content = sealed(&box);
        ck_assert_uint_eq(content.len, count * TICKET_KEY_SIZE);
        ck_assert_int_eq(i <= 2, memcmp(content.ptr + content.len - TICKET_KEY_SIZE, first, sizeof first) == 0);
        ck_assert_mem_ne(content.ptr, content.ptr + TICKET_KEY_SIZE, TICKET_KEY_SIZE);
        memfd_unmap(&content);
    }
    ticket_box_fini(&box);
}
END_TEST

START_TEST(a_successor_has_the_same_keys) {
    struct ticket_box box, next;
    struct err err;
    ck_assert_int_eq(ticket_box_init(&box, -1, 0, &err), 0);
    ck_assert(ticket_box_rotate(&box, ROTATION_MS));
    ck_assert_int_eq(ticket_box_init(&next, fcntl(box.fd, F_DUPFD_CLOEXEC, 0), 5, &err), 0);
    ck_assert_uint_eq(next.count, 2);
    ck_assert_mem_eq(next.keys, box.keys, 2 * TICKET_KEY_SIZE);
    ck_assert(!ticket_box_rotate(&next, ROTATION_MS));
    ticket_box_fini(&box);
    ticket_box_fini(&next);
}
END_TEST

START_TEST(what_are_no_keys_is_refused) {
    static const size_t SIZES[] = {0, 1, TICKET_KEY_SIZE + 1, 4 * TICKET_KEY_SIZE};
    static const char bytes[4 * TICKET_KEY_SIZE] = {0};
    struct ticket_box box;
    struct err err;
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        int fd = memfd_seal("keys", slice_make(bytes, SIZES[i]), &err);
        ck_assert_int_eq(ticket_box_init(&box, fd, 0, &err), -1);
        ticket_box_fini(&box);
    }
}
END_TEST

Suite *app_ticket_box_suite(void);
Suite *app_ticket_box_suite(void) {
    Suite *suite = suite_create("app/ticket_box");
    TCase *all = tcase_create("all");
    tcase_add_test(all, a_new_key_comes_first_and_the_oldest_goes);
    tcase_add_test(all, a_successor_has_the_same_keys);
    tcase_add_test(all, what_are_no_keys_is_refused);
    suite_add_tcase(suite, all);
    return suite;
}
