/* What a ticket carries, as bytes and back; every damaged form is refused. */
#include <check.h>
#include <string.h>

#include "../../../src/tls/handshake_priv.h"

static const char CERT_A[] = "first certificate";
static const char CERT_B[] = "second";

static struct ticket_data sample(void) {
    struct ticket_data data = {.first_authenticated = 1900000000, .not_after = 4102444800, .sent_count = 2};
    memset(data.binding, 1, SHA256_SIZE);
    memset(data.anchor, 3, SHA256_SIZE);
    data.sent[0] = slice_of(CERT_A);
    data.sent[1] = slice_of(CERT_B);
    return data;
}

START_TEST(what_is_encoded_is_decoded) {
    struct ticket_data data = sample(), back;
    uint8_t bytes[TICKET_DATA_MAX];
    size_t len = ticket_data_encode(&data, bytes);
    ck_assert(ticket_data_decode(slice_make(bytes, len), &back));
    ck_assert_mem_eq(back.binding, data.binding, SHA256_SIZE);
    ck_assert_mem_eq(back.anchor, data.anchor, SHA256_SIZE);
    ck_assert_int_eq(back.first_authenticated, data.first_authenticated);
    ck_assert_int_eq(back.not_after, data.not_after);
    ck_assert_uint_eq(back.sent_count, 2);
    ck_assert(slice_eq(back.sent[0], data.sent[0]) && slice_eq(back.sent[1], data.sent[1]));
}
END_TEST

START_TEST(any_truncation_or_addition_is_refused) {
    struct ticket_data data = sample(), back;
    uint8_t bytes[TICKET_DATA_MAX + 1] = {0};
    size_t len = ticket_data_encode(&data, bytes);
    for (size_t i = 0; i < len; i++) {
        ck_assert_msg(!ticket_data_decode(slice_make(bytes, i), &back), "length %zu", i);
    }
    ck_assert(!ticket_data_decode(slice_make(bytes, len + 1), &back));
    ck_assert(ticket_data_decode(slice_make(bytes, len), &back));
}
END_TEST

START_TEST(another_version_or_count_is_refused) {
    struct ticket_data data = sample(), back;
    uint8_t bytes[TICKET_DATA_MAX];
    size_t len = ticket_data_encode(&data, bytes);
    size_t count_at = 1 + 2 * SHA256_SIZE + 16;
    ck_assert_uint_eq(bytes[count_at], 2);
    for (int count = 0; count < 256; count++) {
        bytes[count_at] = (uint8_t)count;
        ck_assert_int_eq(ticket_data_decode(slice_make(bytes, len), &back), count == 2);
    }
    bytes[count_at] = 2;
    bytes[0]++;
    ck_assert(!ticket_data_decode(slice_make(bytes, len), &back));
}
END_TEST

START_TEST(four_kib_of_certificates_fit_and_no_more) {
    static const char LARGE[TICKET_SENT_BYTES_MAX + 1];
    struct ticket_data data = {.sent_count = 1}, back;
    uint8_t bytes[TICKET_DATA_MAX + 8];
    data.sent[0] = slice_make(LARGE, TICKET_SENT_BYTES_MAX);
    size_t len = ticket_data_encode(&data, bytes);
    ck_assert_uint_gt(len, TICKET_SENT_BYTES_MAX);
    ck_assert(ticket_data_decode(slice_make(bytes, len), &back));
    data.sent[0].len++;
    ck_assert_uint_eq(ticket_data_encode(&data, bytes), 0);
    /* as many as there may be, and full */
    data.sent_count = TICKET_SENT_COUNT_MAX;
    for (size_t i = 0; i < TICKET_SENT_COUNT_MAX; i++) {
        data.sent[i] = slice_make(LARGE, TICKET_SENT_BYTES_MAX / TICKET_SENT_COUNT_MAX);
    }
    ck_assert_uint_eq(ticket_data_encode(&data, bytes), TICKET_DATA_MAX);
}
END_TEST

Suite *tls_ticket_data_suite(void);
Suite *tls_ticket_data_suite(void) {
    Suite *suite = suite_create("tls/ticket_data");
    TCase *tcase = tcase_create("bytes");
    tcase_add_test(tcase, what_is_encoded_is_decoded);
    tcase_add_test(tcase, any_truncation_or_addition_is_refused);
    tcase_add_test(tcase, another_version_or_count_is_refused);
    tcase_add_test(tcase, four_kib_of_certificates_fit_and_no_more);
    suite_add_tcase(suite, tcase);
    return suite;
}
