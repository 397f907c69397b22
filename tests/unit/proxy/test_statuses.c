#include "proxy/statuses.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static const struct status_answer ANSWERS[] = {
    {.result = STATUS_GOOD, .until = 1800000000, .revocation_reason = -1},
    {.result = STATUS_REVOKED, .until = 1800000000, .revoked_at = 1700000000, .revocation_reason = 1, .depth = 2},
    {.result = STATUS_UNAVAILABLE, .until = 1800000000, .revocation_reason = -1, .detail = "it answered 500"},
    {.result = STATUS_UNAVAILABLE, .until = 1, .revocation_reason = -1, .is_unknown = true, .detail = "who?"},
};

START_TEST(an_answer_is_read_as_it_was_written) {
    struct sbuf text;
    struct status_answer got;
    sbuf_init(&text, 1024);
    status_answer_write(&ANSWERS[_i], &text);
    ck_assert_msg(status_answer_read(sbuf_slice(&text), &got), "%s", sbuf_text(&text));
    ck_assert_int_eq(got.result, ANSWERS[_i].result);
    ck_assert_int_eq(got.until, ANSWERS[_i].until);
    ck_assert_int_eq(got.revoked_at, ANSWERS[_i].revoked_at);
    ck_assert_int_eq(got.revocation_reason, ANSWERS[_i].revocation_reason);
    ck_assert_int_eq(got.depth, ANSWERS[_i].depth);
    ck_assert_int_eq(got.is_unknown, ANSWERS[_i].is_unknown);
    ck_assert_str_eq(got.detail, ANSWERS[_i].detail);
    sbuf_fini(&text);
}
END_TEST

static const char *const BROKEN[] = {"",           "g",           "g 1",         "g 1 2 0",      "y 1 2 0 0 ",
                                     "gg 1 2 0 0", "g -1 2 0 0 ", "g 1 2 12 0 ", "g 1 2 0 101 ", "g 1 x 0 0 "};

START_TEST(sec_33_a_broken_answer_is_none) {
    struct status_answer got;
    ck_assert_msg(!status_answer_read(slice_of(BROKEN[_i]), &got), "%s", BROKEN[_i]);
}
END_TEST

/* A length of three bytes before each field. */
static const struct {
    const char *bytes;
    size_t len;
    size_t count; /* 0: refused */
} QUESTIONS[] = {
    {"\0\0\1h\0\0\2ab", 9, 1}, {"\0\0\1h\0\0\2ab\0\0\1c", 13, 2}, {"", 0, 0},
    {"\0\0\1h", 4, 0},         {"\0\0\1h\0\0\3ab", 9, 0},         {"\0\0\1h\0\0\0", 7, 0},
    {"\0\0\1h\0\0", 6, 0},     {"\xff\xff\xffh\0\0\2ab", 9, 0},
};

START_TEST(sec_35_a_question_is_bounded_by_its_bytes) {
    struct status_question question;
    bool is_read = status_question_read(slice_make(QUESTIONS[_i].bytes, QUESTIONS[_i].len), &question);
    ck_assert_int_eq(is_read, QUESTIONS[_i].count > 0);
    if (is_read)
        ck_assert_uint_eq(question.count, QUESTIONS[_i].count);
}
END_TEST

START_TEST(more_certificates_than_a_chain_has_are_refused) {
    char text[4 * 20];
    struct status_question question;
    for (size_t i = 0; i < 20; i++)
        memcpy(text + 4 * i, "\0\0\1x", 4);
    ck_assert(status_question_read(slice_make(text, (size_t)4 * 18), &question));
    ck_assert(!status_question_read(slice_make(text, (size_t)4 * 19), &question));
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

Suite *proxy_statuses_suite(void);
Suite *proxy_statuses_suite(void) {
    Suite *suite = suite_create("proxy/statuses");
    TCase *tcase = tcase_create("question and answer");
    tcase_add_loop_test(tcase, an_answer_is_read_as_it_was_written, 0, ROWS(ANSWERS));
    tcase_add_loop_test(tcase, sec_33_a_broken_answer_is_none, 0, ROWS(BROKEN));
    tcase_add_loop_test(tcase, sec_35_a_question_is_bounded_by_its_bytes, 0, ROWS(QUESTIONS));
    tcase_add_test(tcase, more_certificates_than_a_chain_has_are_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
