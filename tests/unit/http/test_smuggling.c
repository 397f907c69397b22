/*
 * The smuggling corpus against the server codec, whole and cut at every byte, with each way of answering. What is
 * refused ends the connection: nothing that follows is ever taken for a request.
 */
#include <check.h>

#include "support/h1_probe.h"
#include "support/llhttp_oracle.h"
#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>

static struct sbuf transcript, other;

static void setup(void) {
    sbuf_init(&transcript, 1 << 20);
    sbuf_init(&other, 1 << 20);
}

static void teardown(void) {
    sbuf_fini(&transcript);
    sbuf_fini(&other);
}

static const char *run(const struct vector *vector, const struct probe_plan *plan, struct sbuf *into) {
    sbuf_clear(into);
    probe_server(vector->bytes, plan, into, NULL);
    return sbuf_text(into);
}

START_TEST(sec_42_smuggled_requests_are_never_seen) {
    for (size_t i = 0; i < smuggling_vector_count; i++) {
        const struct vector *vector = &smuggling_vectors[i];
        const char *text = run(vector, &(struct probe_plan){0}, &transcript);
        ck_assert_msg(strstr(text, vector->expect), "%s: no \"%s\" in:\n%s", vector->name, vector->expect, text);
        ck_assert_msg(!strstr(text, "/smuggled"), "%s:\n%s", vector->name, text);
        ck_assert_msg(strstr(text, "\nclose\n"), "%s: the connection stays open:\n%s", vector->name, text);
    }
}
END_TEST

START_TEST(sec_42_the_corpus_is_large_enough) { ck_assert_uint_ge(smuggling_vector_count, 80); }
END_TEST

/* A refused message must not wait for its end: the connection is told at once, without an EOF. */
START_TEST(sec_42_faults_do_not_wait_for_the_end) {
    static const char *const heads[] = {"GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nX: y\n", "GET /\rX", "GET /\x01", "\n"};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        sbuf_clear(&transcript);
        probe_server(slice_of(heads[i]), &(struct probe_plan){.no_eof = true}, &transcript, NULL);
        ck_assert_msg(strstr(sbuf_text(&transcript), "refused bad_request"), "%s", heads[i]);
    }
}
END_TEST

START_TEST(odd_but_legal_requests_pass) {
    for (size_t i = 0; i < odd_vector_count; i++) {
        const struct vector *vector = &odd_vectors[i];
        const char *text = run(vector, &(struct probe_plan){0}, &transcript);
        ck_assert_msg(strstr(text, vector->expect), "%s: no \"%s\" in:\n%s", vector->name, vector->expect, text);
        ck_assert_msg(!strstr(text, "refused") && !strstr(text, "broken"), "%s:\n%s", vector->name, text);
    }
}
END_TEST

static void assert_cuts_change_nothing(const struct vector *vector, enum probe_answer answer) {
    const char *whole = run(vector, &(struct probe_plan){.answer = answer}, &transcript);
    for (size_t cut = 1; cut < vector->bytes.len; cut++) {
        const char *text = run(vector, &(struct probe_plan){.answer = answer, .first_cut = cut}, &other);
        ck_assert_msg(strcmp(whole, text) == 0, "%s, cut at %zu:\n%s\nwhole:\n%s", vector->name, cut, text, whole);
    }
    struct probe_plan bytewise = {.answer = answer, .piece = 1, .consume_later = true};
    const char *text = run(vector, &bytewise, &other);
    ck_assert_msg(strcmp(whole, text) == 0, "%s, byte by byte:\n%s\nwhole:\n%s", vector->name, text, whole);
}

START_TEST(sec_42_a_cut_at_any_byte_changes_nothing) {
    for (size_t i = 0; i < smuggling_vector_count; i++)
        assert_cuts_change_nothing(&smuggling_vectors[i], (enum probe_answer)_i);
    for (size_t i = 0; i < odd_vector_count; i++)
        assert_cuts_change_nothing(&odd_vectors[i], (enum probe_answer)_i);
}
END_TEST

/* ---- llhttp ---- */

static bool is_oracle_missing(void) {
    if (llhttp_oracle_is_there())
        return false;
    const char *ci = getenv("CI");
    if (ci && strcmp(ci, "true") == 0)
        ck_abort_msg("llhttp is not there (Debian: node-llhttp); in CI it must be");
    fprintf(stderr, "\n*** SKIPPED: the comparison with llhttp. Install node-llhttp and build again. ***\n\n");
    return true;
}

START_TEST(sec_42_llhttp_agrees_on_what_we_accept) {
    if (is_oracle_missing())
        return;
    for (size_t i = 0; i < odd_vector_count + smuggling_vector_count; i++) {
        const struct vector *vector = i < odd_vector_count ? &odd_vectors[i] : &smuggling_vectors[i - odd_vector_count];
        const char *difference = llhttp_disagreement(vector->bytes, false);
        ck_assert_msg(!difference, "%s: %s", vector->name, difference);
    }
}
END_TEST

/* The oracle itself must be able to see something: it refuses and accepts, and it knows framing. */
START_TEST(the_oracle_works) {
    if (is_oracle_missing())
        return;
    struct llhttp_opinion opinion;
    llhttp_oracle_request(SLICE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"), &opinion, &transcript);
    ck_assert(opinion.accepted && opinion.has_length && opinion.length == 2 && opinion.keep_alive);
    ck_assert_str_eq(opinion.method, "POST");
    ck_assert_str_eq(sbuf_text(&transcript), "hi");
    llhttp_oracle_request(SLICE("GET / HTTP/1.1\r\nX : b\r\n\r\n"), &opinion, &transcript);
    ck_assert_msg(!opinion.accepted, "llhttp is not in its strict mode");
}
END_TEST

Suite *http_smuggling_suite(void);
Suite *http_smuggling_suite(void) {
    Suite *suite = suite_create("http/smuggling");
    TCase *tcase = tcase_create("smuggling");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, sec_42_smuggled_requests_are_never_seen);
    tcase_add_test(tcase, sec_42_the_corpus_is_large_enough);
    tcase_add_test(tcase, sec_42_faults_do_not_wait_for_the_end);
    tcase_add_test(tcase, odd_but_legal_requests_pass);
    tcase_add_loop_test(tcase, sec_42_a_cut_at_any_byte_changes_nothing, PROBE_AT_END, PROBE_LATER + 1);
    tcase_add_test(tcase, sec_42_llhttp_agrees_on_what_we_accept);
    tcase_add_test(tcase, the_oracle_works);
    suite_add_tcase(suite, tcase);
    return suite;
}
