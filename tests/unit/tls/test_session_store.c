/* What is kept comes back to who has its identifier and a key, and nothing else does; and what a record is made of. */
#include <check.h>
#include <string.h>

#include "../../../src/tls/session_priv.h"
#include "base/mem.h"

static void *memory;
static struct ticket_keys *keys;
static struct session_store *store, *other; /* two workers */

/* Keys of one repeated letter each, newest first. */
static void load_keys(const char *letters) {
    char bytes[TICKET_KEYS_MAX * TICKET_KEY_SIZE];
    struct err err;
    size_t count = strlen(letters);
    for (size_t i = 0; i < count; i++)
        memset(bytes + i * TICKET_KEY_SIZE, letters[i], TICKET_KEY_SIZE);
    ck_assert_int_eq(ticket_keys_load(keys, slice_make(bytes, count * TICKET_KEY_SIZE), &err), 0);
}

static void set_up(void) {
    memory = mem_new(session_store_size());
    keys = ticket_keys_new();
    store = session_store_new(memory);
    other = session_store_new(memory);
}

static void tear_down(void) {
    session_store_free(&store);
    session_store_free(&other);
    ticket_keys_free(&keys);
    mem_free(memory);
}

static void put(struct session_store *into, const char *text, size_t len, uint8_t id_out[SESSION_ID_SIZE]) {
    memset(session_store_draft(into), 'x', len);
    memcpy(session_store_draft(into), text, strlen(text));
    ck_assert(session_store_put(into, keys, len, id_out));
    session_store_wipe(into, len);
}

static bool has(struct session_store *in, const uint8_t id[SESSION_ID_SIZE], const char *text, size_t expected_len) {
    size_t len = session_store_get(in, keys, id);
    ck_assert(len == 0 || (len == expected_len && memcmp(session_store_draft(in), text, strlen(text)) == 0));
    session_store_wipe(in, len);
    return len > 0;
}

START_TEST(what_one_worker_puts_every_worker_gets) {
    uint8_t a[SESSION_ID_SIZE], b[SESSION_ID_SIZE], c[SESSION_ID_SIZE];
    put(store, "alpha", 700, a);
    put(other, "beta", SESSION_RECORD_MAX, b);
    put(store, "c", 1, c);
    for (int i = 0; i < 2; i++) {
        ck_assert(has(store, a, "alpha", 700) && has(other, a, "alpha", 700));
        ck_assert(has(store, b, "beta", SESSION_RECORD_MAX) && has(other, b, "beta", SESSION_RECORD_MAX));
        ck_assert(has(store, c, "c", 1) && has(other, c, "c", 1));
    }
    ck_assert_ptr_null(memmem(memory, session_store_size(), "alpha", 5)); /* nothing stands there open */
    ck_assert_ptr_null(memmem(memory, session_store_size(), a, 16));
}
END_TEST

START_TEST(a_changed_identifier_finds_nothing) {
    uint8_t id[SESSION_ID_SIZE];
    put(store, "alpha", 700, id);
    for (size_t bit = 0; bit < 8 * SESSION_ID_SIZE; bit++) {
        id[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert(!has(other, id, "alpha", 700));
        id[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert(has(other, id, "alpha", 700));
    memset(id, 0, sizeof id);
    ck_assert(!has(other, id, "", 0));
    memset(id, 0xff, sizeof id);
    ck_assert(!has(other, id, "", 0));
}
END_TEST

/* As a writer leaves it that was killed in the middle, or one that means harm without the keys. */
START_TEST(sec_01_a_record_that_is_not_whole_is_none) {
    uint8_t id[SESSION_ID_SIZE], next[SESSION_ID_SIZE];
    put(store, "alpha", 100, id);
    uint8_t *record = (uint8_t *)memory + 64; /* the first of all */
    uint8_t whole[116];
    memcpy(whole, record, sizeof whole);
    for (size_t i = 0; i < sizeof whole; i++) {
        record[i] ^= 0x20;
        ck_assert(!has(other, id, "alpha", 100));
        record[i] ^= 0x20;
        memset(record + i, 0, sizeof whole - i);
        ck_assert(!has(other, id, "alpha", 100));
        memcpy(record, whole, sizeof whole);
    }
    ck_assert(has(other, id, "alpha", 100));
    put(store, "beta", 100, next); /* a record is opened by its own identifier only */
    memcpy(record, record + 116, 116);
    ck_assert(!has(other, id, "beta", 100));
    ck_assert(has(other, next, "beta", 100));
}
END_TEST

START_TEST(keys_open_as_long_as_they_are_there) {
    uint8_t id[SESSION_ID_SIZE];
    load_keys("a");
    put(store, "alpha", 700, id);
    load_keys("cba");
    ck_assert(has(other, id, "alpha", 700));
    load_keys("dcb");
    ck_assert(!has(other, id, "alpha", 700));
    load_keys("a");
    ck_assert(has(other, id, "alpha", 700));
}
END_TEST

START_TEST(sec_37_it_is_bounded_and_the_oldest_go) {
    enum { LEN = 20000, COUNT = 4000 };
    static uint8_t ids[COUNT][SESSION_ID_SIZE];
    for (int i = 0; i < COUNT; i++)
        put(i % 2 ? store : other, "much", LEN, ids[i]);
    int oldest = COUNT - 1;
    while (oldest >= 0 && has(store, ids[oldest], "much", LEN))
        oldest--;
    ck_assert_int_gt(COUNT - oldest, 1400); /* of 32 MiB, as much as whole records fill */
    ck_assert_int_lt(COUNT - oldest, 1700);
    for (; oldest >= 0; oldest--)
        ck_assert(!has(store, ids[oldest], "much", LEN));
}
END_TEST

/* A worker that starts anew goes on elsewhere than where its predecessor wrote. */
START_TEST(a_new_worker_overwrites_nothing_new) {
    uint8_t a[SESSION_ID_SIZE], b[SESSION_ID_SIZE];
    put(store, "alpha", 700, a);
    session_store_free(&store);
    store = session_store_new(memory);
    put(store, "beta", 700, b);
    ck_assert(has(other, a, "alpha", 700) && has(other, b, "beta", 700));
}
END_TEST

/* ---- records ---- */

static struct session_record sample(void) {
    struct session_record record = {
        .cipher = {0x13, 0x01}, .secret = SLICE("secret of thirty-two bytes......"), .leaf = SLICE("leaf")};
    record.data = (struct ticket_data){.first_authenticated = 1900000000, .not_after = 4102444800, .sent_count = 1};
    record.data.sent[0] = SLICE("intermediate");
    memset(record.data.binding, 1, SHA256_SIZE);
    return record;
}

START_TEST(a_record_comes_back_as_it_was) {
    static uint8_t bytes[SESSION_RECORD_MAX];
    struct session_record record = sample(), back;
    size_t len = session_record_encode(&record, bytes);
    ck_assert(session_record_decode(slice_make(bytes, len), &back));
    ck_assert_mem_eq(back.cipher, record.cipher, 2);
    ck_assert(slice_eq(back.secret, record.secret) && slice_eq(back.leaf, record.leaf));
    ck_assert(slice_eq(back.data.sent[0], record.data.sent[0]));
    ck_assert_mem_eq(back.data.binding, record.data.binding, SHA256_SIZE);
    record.leaf = SLICE_NONE;
    len = session_record_encode(&record, bytes);
    ck_assert(session_record_decode(slice_make(bytes, len), &back));
    ck_assert_ptr_null(back.leaf.ptr);
}
END_TEST

START_TEST(any_cut_or_addition_is_refused) {
    static uint8_t bytes[SESSION_RECORD_MAX];
    struct session_record record = sample(), back;
    size_t len = session_record_encode(&record, bytes);
    for (size_t i = 0; i < len; i++)
        ck_assert_msg(!session_record_decode(slice_make(bytes, i), &back), "length %zu", i);
    ck_assert(!session_record_decode(slice_make(bytes, len + 1), &back));
    bytes[0]++;
    ck_assert(!session_record_decode(slice_make(bytes, len), &back));
}
END_TEST

START_TEST(lengths_are_bounded) {
    static uint8_t bytes[SESSION_RECORD_MAX], big[TICKET_LEAF_BYTES_MAX + 1];
    struct session_record record = sample(), back;
    record.secret = slice_make(big, SESSION_SECRET_MAX + 1);
    ck_assert_uint_eq(session_record_encode(&record, bytes), 0);
    record.secret = slice_make(big, SESSION_SECRET_MAX);
    record.leaf = slice_make(big, sizeof big);
    ck_assert_uint_eq(session_record_encode(&record, bytes), 0);
    record.leaf = slice_make(big, sizeof big - 1);
    record.data.sent[0] = slice_make(big, TICKET_SENT_BYTES_MAX);
    size_t len = session_record_encode(&record, bytes);
    ck_assert(session_record_decode(slice_make(bytes, len), &back));
    bytes[3] = SESSION_SECRET_MAX + 1;
    ck_assert(!session_record_decode(slice_make(bytes, len), &back));
}
END_TEST

Suite *tls_session_store_suite(void);
Suite *tls_session_store_suite(void) {
    Suite *suite = suite_create("tls/session_store");
    TCase *tcase = tcase_create("store");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, what_one_worker_puts_every_worker_gets);
    tcase_add_test(tcase, a_changed_identifier_finds_nothing);
    tcase_add_test(tcase, sec_01_a_record_that_is_not_whole_is_none);
    tcase_add_test(tcase, keys_open_as_long_as_they_are_there);
    tcase_add_test(tcase, sec_37_it_is_bounded_and_the_oldest_go);
    tcase_add_test(tcase, a_new_worker_overwrites_nothing_new);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("record");
    tcase_add_test(tcase, a_record_comes_back_as_it_was);
    tcase_add_test(tcase, any_cut_or_addition_is_refused);
    tcase_add_test(tcase, lengths_are_bounded);
    suite_add_tcase(suite, tcase);
    return suite;
}
