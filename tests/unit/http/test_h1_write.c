#include "http/h1_write.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>

#include "http/h1_parse.h"
#include "vectors.h"

static const struct h1_limits limits = {.head_size = 32 * 1024, .field_count = 100};
static struct arena *arena;
static struct sbuf out;
static struct request_head request;
static struct response_head response;

static void setup(void) {
    arena = arena_new(4096);
    sbuf_init(&out, 1 << 20);
    request = (struct request_head){.method = SLICE("GET")};
    request.target.path_and_query = SLICE("/x?y");
    headers_init(&request.headers, arena);
    headers_add(&request.headers, SLICE("Host"), SLICE("a.test"));
    response = (struct response_head){.version = HTTP_1_1, .status = 200};
    headers_init(&response.headers, arena);
    headers_add(&response.headers, SLICE("X"), SLICE("y"));
}

static void teardown(void) {
    sbuf_fini(&out);
    arena_free(arena);
}

START_TEST(requests) {
    h1_write_request(&out, &request, true);
    ck_assert_str_eq(sbuf_text(&out), "GET /x?y HTTP/1.1\r\nHost: a.test\r\n\r\n");
    sbuf_clear(&out);
    request.framing = BODY_LENGTH;
    request.content_length = 0;
    h1_write_request(&out, &request, false);
    ck_assert_str_eq(sbuf_text(&out),
                     "GET /x?y HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    sbuf_clear(&out);
    request.framing = BODY_CHUNKED;
    request.upgrade = SLICE("websocket");
    h1_write_request(&out, &request, true);
    ck_assert_str_eq(sbuf_text(&out), "GET /x?y HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n"
                                      "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
}
END_TEST

START_TEST(responses) {
    static const struct {
        int status;
        const char *phrase;
        enum body_framing framing;
        uint64_t length;
        bool close;
        enum http_version version;
        const char *text;
    } rows[] = {
        {200, "", BODY_LENGTH, 5, false, HTTP_1_1, "200 OK\r\nX: y\r\nContent-Length: 5\r\n\r\n"},
        {200, "Fine", BODY_CHUNKED, 0, true, HTTP_1_1,
         "200 Fine\r\nX: y\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"},
        {200, "", BODY_UNTIL_CLOSE, 0, true, HTTP_1_0, "200 OK\r\nX: y\r\nConnection: close\r\n\r\n"},
        {200, "", BODY_LENGTH, 0, false, HTTP_1_0,
         "200 OK\r\nX: y\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"},
        {204, "", BODY_NONE, 0, false, HTTP_1_1, "204 No Content\r\nX: y\r\n\r\n"},
        {204, "", BODY_NONE, 5, false, HTTP_1_1, "204 No Content\r\nX: y\r\n\r\n"},
        {304, "", BODY_NONE, 5, false, HTTP_1_1, "304 Not Modified\r\nX: y\r\nContent-Length: 5\r\n\r\n"},
        {299, "", BODY_NONE, 0, false, HTTP_1_1, "299 Unknown\r\nX: y\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        sbuf_clear(&out);
        response.status = rows[i].status;
        response.phrase = slice_of(rows[i].phrase);
        response.framing = rows[i].framing;
        response.content_length = rows[i].length;
        response.version = rows[i].version;
        h1_write_response(&out, &response, rows[i].close);
        ck_assert_str_eq(sbuf_text(&out), arena_printf(arena, "HTTP/1.1 %s", rows[i].text));
    }
}
END_TEST

START_TEST(informational_responses) {
    response.status = 103;
    h1_write_informational(&out, &response);
    ck_assert_str_eq(sbuf_text(&out), "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n");
    sbuf_clear(&out);
    response.status = 101;
    headers_add(&response.headers, SLICE("Upgrade"), SLICE("websocket"));
    h1_write_informational(&out, &response);
    ck_assert_str_eq(sbuf_text(&out),
                     "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nX: y\r\nUpgrade: websocket\r\n\r\n");
}
END_TEST

START_TEST(chunks) {
    h1_write_chunk(&out, SLICE("hello world, hello"));
    h1_write_chunk(&out, SLICE(""));
    h1_write_last_chunk(&out, NULL);
    ck_assert_str_eq(sbuf_text(&out), "12\r\nhello world, hello\r\n0\r\n\r\n");
    sbuf_clear(&out);
    headers_add(&response.headers, SLICE("Content-Length"), SLICE("5"));
    h1_write_last_chunk(&out, &response.headers);
    ck_assert_str_eq(sbuf_text(&out), "0\r\nX: y\r\n\r\n");
}
END_TEST

/* What was accepted, written and parsed again, is the same; this is what reaches an upstream. */
START_TEST(sec_42_round_trip_of_every_odd_request) {
    for (size_t i = 0; i < odd_vector_count; i++) {
        struct request_head once, twice;
        struct h1_fault fault;
        struct slice bytes = odd_vectors[i].bytes;
        size_t scanned = 0, len;
        if (h1_scan_head(bytes, &scanned, limits.head_size, &len) != H1_COMPLETE)
            continue; /* begins with an empty line */
        ck_assert(h1_parse_request(slice_first(bytes, len), &limits, arena, &once, &fault));
        headers_init(&once.headers, arena);
        headers_add(&once.headers, SLICE("Host"), SLICE("a.test"));
        sbuf_clear(&out);
        h1_write_request(&out, &once, true);
        ck_assert_msg(h1_parse_request(sbuf_slice(&out), &limits, arena, &twice, &fault), "%s: %s", odd_vectors[i].name,
                      fault.detail);
        ck_assert(slice_eq(once.method, twice.method));
        ck_assert(slice_eq(once.target.path_and_query, twice.target.path_and_query));
        ck_assert(slice_eq(once.upgrade, twice.upgrade));
        ck_assert_int_eq(once.framing, twice.framing);
        ck_assert_uint_eq(once.content_length, twice.content_length);
    }
}
END_TEST

/* ---- what stops the program ---- */

static const struct {
    const char *name, *value;
} bad_headers[] = {
    {"X", "y\r\nZ: w"},
    {"X", "y\n"},
    {"X", "\x01"},
    {"X y", "z"},
    {"", "y"},
    {"X:", "y"},
    {"Connection", "x"},
    {"content-length", "5"},
    {"Transfer-Encoding", "chunked"},
    {"TE", "trailers"},
};

START_TEST(sec_14_a_header_that_would_be_two_lines_is_never_written) {
    headers_add(&request.headers, slice_of(bad_headers[_i].name), slice_of(bad_headers[_i].value));
    h1_write_request(&out, &request, true);
}
END_TEST

START_TEST(sec_14_a_target_that_would_be_two_lines_is_never_written) {
    request.target.path_and_query = SLICE("/ HTTP/1.1\r\n");
    h1_write_request(&out, &request, true);
}
END_TEST

Suite *http_h1_write_suite(void);
Suite *http_h1_write_suite(void) {
    Suite *suite = suite_create("http/h1_write");
    TCase *tcase = tcase_create("h1_write");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, requests);
    tcase_add_test(tcase, responses);
    tcase_add_test(tcase, informational_responses);
    tcase_add_test(tcase, chunks);
    tcase_add_test(tcase, sec_42_round_trip_of_every_odd_request);
    tcase_add_loop_test_raise_signal(tcase, sec_14_a_header_that_would_be_two_lines_is_never_written, SIGABRT, 0,
                                     sizeof bad_headers / sizeof bad_headers[0]);
    tcase_add_test_raise_signal(tcase, sec_14_a_target_that_would_be_two_lines_is_never_written, SIGABRT);
    suite_add_tcase(suite, tcase);
    return suite;
}
