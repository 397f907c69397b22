#include "http/h1_parse.h"

#include <check.h>

#include "support/h1_probe.h"

static struct sbuf transcript;

static void setup(void) { sbuf_init(&transcript, 1 << 20); }

static void teardown(void) { sbuf_fini(&transcript); }

static const char *run(const char *input, const struct probe_plan *plan) {
    sbuf_clear(&transcript);
    probe_chunked(slice_of(input), plan, &transcript);
    return sbuf_text(&transcript);
}

START_TEST(chunked_bodies) {
    static const struct {
        const char *input, *expect;
    } rows[] = {
        {"0\r\n\r\n", "done \n"},
        {"5\r\nhello\r\n0\r\n\r\n", "body hello\ndone \n"},
        {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nnext", "body hello world\ndone next\n"},
        {"000\r\n\r\n", "done \n"},
        {"2;a=b\r\nhi\r\n0;last\r\n\r\n", "body hi\ndone \n"},
        {"2\r\n\r\n\r\n0\r\n\r\n", "body \r\n\ndone \n"},
        {"0\r\nX: y\r\nA:\r\n\r\nnext", "trailer X: y\ntrailer A: \ndone next\n"},
        {"", "more\n"},
        {"5", "more\n"},
        {"5\r\nhel", "body hel\nmore\n"},
        {"5\r\nhello\r\n0\r\n", "body hello\nmore\n"},
        {"0\r\nX: y\r\n", "more\n"},
        {"0\r\n\r", "more\n"},
        {"g", "bad: a malformed chunk size line\n"},
        {"5;;\r\n", "bad: a malformed chunk extension\n"},
        {"5x\r\n", "bad: a malformed chunk extension\n"},
        {"fffffffffffffff\r\nx", "body x\nmore\n"},
        {"ffffffffffffffff\r\n", "bad: a malformed chunk size\n"},
        {"1\r\nxy", "body x\nbad: chunk data that does not end with CRLF\n"},
        {"0\r\nX\r\n\r\n", "bad trailers: a header line without a colon\n"},
        {"0\r\nHost: x\r\n\r\n", "bad trailers: a framing or routing header in the trailers\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_str_eq(run(rows[i].input, &(struct probe_plan){0}), rows[i].expect);
        ck_assert_str_eq(run(rows[i].input, &(struct probe_plan){.piece = 1}), rows[i].expect);
    }
}
END_TEST

START_TEST(trailers_are_bounded) {
    struct probe_plan plan = {.limits = {.head_size = 32, .field_count = 2}};
    ck_assert_str_eq(run("0\r\nX: 01234567890123456789012\r\n\r\n", &plan),
                     "trailer X: 01234567890123456789012\ndone \n");
    ck_assert_str_eq(run("0\r\nX: 012345678901234567890123456\r\n\r\n", &plan), "bad: trailers that are too large\n");
    ck_assert_str_eq(run("0\r\nX: 0123456789012345678901234567890123456789", &plan),
                     "bad: trailers that are too large\n");
    ck_assert_str_eq(run("0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", &plan), "bad trailers: too many headers\n");
}
END_TEST

/* A size line without an end must not be collected forever, and not be read again for each byte. */
START_TEST(sec_41_size_lines_are_bounded) {
    struct sbuf input;
    sbuf_init(&input, 1 << 20);
    sbuf_append_str(&input, "5;");
    for (int i = 0; i < 100000; i++)
        sbuf_append_char(&input, 'a');
    ck_assert_str_eq(run(sbuf_text(&input), &(struct probe_plan){0}), "bad: a chunk size line that is too long\n");
    ck_assert_str_eq(run(sbuf_text(&input), &(struct probe_plan){.piece = 1}),
                     "bad: a chunk size line that is too long\n");
    sbuf_fini(&input);
}
END_TEST

START_TEST(data_are_views_of_the_input) {
    struct chunk_decoder decoder;
    const struct h1_limits limits = {4096, 10};
    struct slice all = SLICE("5\r\nhello\r\n0\r\n\r\n"), input = all, data;
    chunk_decoder_init(&decoder, &limits);
    ck_assert_int_eq(chunk_decode(&decoder, &input, &data), CHUNK_DATA_END);
    ck_assert_ptr_eq(data.ptr, all.ptr + 3);
    ck_assert_uint_eq(data.len, 5);
    ck_assert_int_eq(chunk_decode(&decoder, &input, &data), CHUNK_DONE);
    ck_assert_uint_eq(data.len, 0);
    ck_assert_uint_eq(input.len, 0);
    chunk_decoder_fini(&decoder);
}
END_TEST

Suite *http_h1_chunk_suite(void);
Suite *http_h1_chunk_suite(void) {
    Suite *suite = suite_create("http/h1_chunk");
    TCase *tcase = tcase_create("h1_chunk");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, chunked_bodies);
    tcase_add_test(tcase, trailers_are_bounded);
    tcase_add_test(tcase, sec_41_size_lines_are_bounded);
    tcase_add_test(tcase, data_are_views_of_the_input);
    suite_add_tcase(suite, tcase);
    return suite;
}
