#include "http/h1_parse.h"

#include <check.h>
#include <stdio.h>

static const struct h1_limits limits = {.head_size = 32 * 1024, .field_count = 100};
static struct arena *arena;
static struct request_head request;
static struct response_head response;
static struct h1_fault fault;

static void setup(void) { arena = arena_new(4096); }

static void teardown(void) { arena_free(arena); }

static bool parse_request(const char *head) {
    return h1_parse_request(slice_of(head), &limits, arena, &request, &fault);
}

static bool parse_response(const char *head, bool is_head) {
    return h1_parse_response(slice_of(head), &limits, is_head, arena, &response, &fault);
}

/* ---- grammar elements ---- */

START_TEST(tokens) {
    ck_assert(h1_is_token(SLICE("!#$%&'*+-.^_`|~019azAZ")));
    ck_assert(!h1_is_token(SLICE("")));
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        bool is_tchar = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c && strchr("!#$%&'*+-.^_`|~", c));
        ck_assert_msg(h1_is_token(slice_make(&byte, 1)) == is_tchar, "0x%02x", (unsigned)c);
    }
}
END_TEST

START_TEST(sec_14_field_values) {
    ck_assert(h1_is_field_value(SLICE("")));
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        bool is_text = c == '\t' || (c >= 0x20 && c != 0x7f);
        ck_assert_msg(h1_is_field_value(slice_make(&byte, 1)) == is_text, "0x%02x", (unsigned)c);
    }
    ck_assert(!h1_is_field_value(SLICE("a\r\nX: y")));
}
END_TEST

/* Puts each byte between the two, and asks which of them pass. */
static void assert_bytes(const char *before, const char *after, const char *allowed, bool above_ascii) {
    for (int c = 0; c < 256; c++) {
        char head[128];
        int len = snprintf(head, sizeof head, "%s%c%s", before, c, after);
        bool expected = c >= 0x80 ? above_ascii : c && strchr(allowed, c);
        bool passed = h1_parse_request(slice_make(head, (size_t)len), &limits, arena, &request, &fault);
        ck_assert_msg(passed == expected, "0x%02x between %s and %s", (unsigned)c, before, after);
    }
}

#define ALNUM "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

START_TEST(sec_42_every_byte_in_every_place) {
    assert_bytes("A", "B / HTTP/1.1\r\nHost: a\r\n\r\n", ALNUM "!#$%&'*+-.^_`|~", false);
    assert_bytes("GET /a", "b HTTP/1.1\r\nHost: a\r\n\r\n", ALNUM "-._~!$&'()*+,=:@/?", false);
    assert_bytes("GET /?", " HTTP/1.1\r\nHost: a\r\n\r\n", ALNUM "-._~!$&'()*+,=:@/?;%[]{}|^`\\", false);
    assert_bytes("GET / HTTP/1.1", "\r\nHost: a\r\n\r\n", "", false);
    assert_bytes("GET / HTTP/1.1\r\nHost: a", "b\r\n\r\n", ALNUM "-.", false);
    assert_bytes("GET / HTTP/1.1\r\nHost: a\r\nX", "Y: z\r\n\r\n", ALNUM "!#$%&'*+-.^_`|~:", false);
    assert_bytes("GET / HTTP/1.1\r\nHost: a\r\nX: y", "z\r\n\r\n", ALNUM "\t !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", true);
    assert_bytes("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1", "\r\n\r\n", "0123456789 \t", false);
    assert_bytes("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: ", "1\r\n\r\n", "0123456789 \t", false);
    assert_bytes("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked", "\r\n\r\n", " \t", false);
    assert_bytes("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding", ": chunked\r\n\r\n", ALNUM "!#$%&'*+-.^_`|~", false);
}
END_TEST

START_TEST(the_end_of_a_head) {
    static const struct {
        const char *bytes;
        enum h1_scan result;
        size_t len;
    } rows[] = {
        {"", H1_INCOMPLETE, 0},
        {"GET", H1_INCOMPLETE, 0},
        {"GET / HTTP/1.1\r", H1_INCOMPLETE, 0},
        {"GET / HTTP/1.1\r\n", H1_INCOMPLETE, 0},
        {"G\r\n\r", H1_INCOMPLETE, 0},
        {"G\r\n\r\n", H1_COMPLETE, 5},
        {"G\r\nX: y\r\n\r\nrest\n\1", H1_COMPLETE, 11},
        {"G\n", H1_BAD, 0},
        {"G\r\n\n", H1_BAD, 0},
        {"G\rX", H1_BAD, 0},
        {"G\r\r\n", H1_BAD, 0},
        {"\r\nG", H1_BAD, 0},
        {"\r", H1_BAD, 0},
        {"\n", H1_BAD, 0},
        {"\x16\x03\x01", H1_BAD, 0}, /* a TLS record */
        {"0123456789012345678", H1_INCOMPLETE, 0},
        {"01234567890123456789", H1_TOO_LARGE, 0},
        {"0123456789012345\r\n\r\n", H1_COMPLETE, 20},
        {"01234567890123456\r\n\r\n", H1_TOO_LARGE, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t scanned = 0, len = 0;
        struct slice all = slice_of(rows[i].bytes);
        ck_assert_msg(h1_scan_head(all, &scanned, 20, &len) == rows[i].result, "row %zu", i);
        ck_assert_uint_eq(len, rows[i].len);
        enum h1_scan last = H1_INCOMPLETE;
        size_t progress = 0;
        for (size_t n = 1; n <= all.len && last == H1_INCOMPLETE; n++)
            last = h1_scan_head(slice_first(all, n), &progress, 20, &len);
        ck_assert_msg(last == rows[i].result, "row %zu, byte by byte", i);
    }
}
END_TEST

/* ---- requests ---- */

START_TEST(a_request_as_values) {
    ck_assert(parse_request("POST /a/../b?c=d HTTP/1.1\r\nHost: A.Test:8443\r\nX-One:  1\r\nx-one: 2 \r\n"
                            "Content-Length: 12\r\n\r\n"));
    ck_assert(slice_eq_str(request.method, "POST"));
    ck_assert(slice_eq_str(request.raw_target, "/a/../b?c=d"));
    ck_assert(slice_eq_str(request.target.path_and_query, "/b?c=d"));
    ck_assert(slice_eq_str(request.target.host, "a.test"));
    ck_assert(slice_eq_str(request.target.authority, "A.Test:8443"));
    ck_assert_uint_eq(request.target.port, 8443);
    ck_assert_int_eq(request.version, HTTP_1_1);
    ck_assert(request.has_host && request.keep_alive && !request.expect_continue && !request.upgrade.len);
    ck_assert_int_eq(request.framing, BODY_LENGTH);
    ck_assert_uint_eq(request.content_length, 12);
    ck_assert_uint_eq(request.headers.count, 4);
    ck_assert(slice_eq_str(request.headers.items[1].name, "X-One"));
    ck_assert(slice_eq_str(request.headers.items[1].value, "1"));
    ck_assert(slice_eq_str(request.headers.items[2].value, "2"));
}
END_TEST

START_TEST(faults_say_what_is_wrong) {
    static const struct {
        const char *head;
        enum reason reason;
        const char *detail;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", REASON_BAD_REQUEST, "no Host"},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", REASON_BAD_REQUEST, "more than one Host"},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", REASON_BAD_REQUEST, "an HTTP version other than 1.0 and 1.1"},
        {"GET /\r\nHost: a\r\n\r\n", REASON_BAD_REQUEST, "a request line without a version"},
        {"GET\r\nHost: a\r\n\r\n", REASON_BAD_REQUEST, "a malformed request line"},
        {"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", REASON_BAD_REQUEST, "a malformed method"},
        {"get / HTTP/1.1\r\nHost: a\r\n\r\n", REASON_BAD_REQUEST, "a well-known method in another case"},
        {"connect a:1 HTTP/1.1\r\nHost: a\r\n\r\n", REASON_BAD_REQUEST, "a well-known method in another case"},
        {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", REASON_METHOD_NOT_ALLOWED, "CONNECT is not served here"},
        {"GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", REASON_BAD_REQUEST, "a backslash in the path"},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", REASON_BAD_REQUEST,
         "Content-Length together with Transfer-Encoding"},
        {"GET / HTTP/1.1\r\nHost: a\r\n X: y\r\n\r\n", REASON_BAD_REQUEST, "a folded header line"},
        {"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", REASON_BAD_REQUEST, "a malformed header name"},
        {"GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", REASON_BAD_REQUEST,
         "an expectation other than 100-continue"},
        {"GET / HTTP/1.1\r\nHost: a\r\n", REASON_BAD_REQUEST, "a header line without CRLF"},
        {"GET / HTTP/1.1", REASON_BAD_REQUEST, "a bare CR or LF in the start line"},
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\nX: y\r\n\r\n", REASON_BAD_REQUEST, "an empty line among headers"},
        {"", REASON_BAD_REQUEST, "a bare CR or LF in the start line"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_msg(!parse_request(rows[i].head), "%s", rows[i].head);
        ck_assert_int_eq(fault.reason, rows[i].reason);
        ck_assert_str_eq(fault.detail, rows[i].detail);
    }
}
END_TEST

/* Each header is held against each option: both are few. */
START_TEST(sec_41_options_of_connection_are_few) {
    static const char *const values[] = {"a,", ",", "x ,"};
    for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
        for (int commas = 63; commas <= 64; commas++) {
            struct sbuf head;
            sbuf_init(&head, 4096);
            sbuf_append_str(&head, "GET / HTTP/1.1\r\nHost: a\r\nConnection: ");
            for (int i = 0; i < commas; i++)
                sbuf_append_str(&head, values[v]);
            sbuf_append_str(&head, "\r\n\r\n");
            ck_assert_int_eq(parse_request(sbuf_text(&head)), commas == 63);
            sbuf_fini(&head);
        }
        ck_assert_int_eq(fault.reason, REASON_HEADER_TOO_LARGE);
    }
}
END_TEST

START_TEST(sec_43_well_known_methods_have_one_spelling) {
    static const char *const fine[] = {"GET", "DELETE", "PROPFIND", "propfind", "M-SEARCH", "gets", "x"};
    static const char *const wrong[] = {"get", "Delete", "pOST", "opTIONS", "connect", "trace", "", "a b"};
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++)
        ck_assert_msg(h1_method_fault(slice_of(fine[i])) == NULL, "%s", fine[i]);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_msg(h1_method_fault(slice_of(wrong[i])) != NULL, "%s", wrong[i]);
}
END_TEST

START_TEST(limits_of_a_head) {
    const struct h1_limits small = {.head_size = 64, .field_count = 2};
    ck_assert(h1_parse_request(SLICE("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"), &small, arena, &request, &fault));
    ck_assert(
        !h1_parse_request(SLICE("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nX: y\r\n\r\n"), &small, arena, &request, &fault));
    ck_assert_int_eq(fault.reason, REASON_HEADER_TOO_LARGE);
    ck_assert(
        !h1_parse_request(SLICE("GET / HTTP/1.1\r\nHost: a\r\nX: 0123456789012345678901234567890123456789\r\n\r\n"),
                          &small, arena, &request, &fault));
    ck_assert_int_eq(fault.reason, REASON_HEADER_TOO_LARGE);
}
END_TEST

/* ---- responses ---- */

START_TEST(status_lines) {
    static const struct {
        const char *line;
        int status; /* 0: refused */
        const char *phrase;
    } rows[] = {
        {"HTTP/1.1 200 OK", 200, "OK"},
        {"HTTP/1.0 404 Not  Found", 404, "Not  Found"},
        {"HTTP/1.1 200 ", 200, ""},
        {"HTTP/1.1 200", 200, ""},
        {"HTTP/1.1 299 \xe4", 299, "\xe4"},
        {"HTTP/1.1 999 x", 999, "x"},
        {"HTTP/1.1 099 x", 0, NULL},
        {"HTTP/1.1 20 x", 0, NULL},
        {"HTTP/1.1 2000 x", 0, NULL},
        {"HTTP/1.1 +20 x", 0, NULL},
        {"HTTP/1.1  200 x", 0, NULL},
        {"HTTP/1.1 200\tOK", 0, NULL},
        {"HTTP/1.1\t200 OK", 0, NULL},
        {"HTTP/1.1", 0, NULL},
        {"HTTP/1.1 ", 0, NULL},
        {"HTTP/1.2 200 OK", 0, NULL},
        {"HTTP/2 200 OK", 0, NULL},
        {"http/1.1 200 OK", 0, NULL},
        {"ICY 200 OK", 0, NULL},
        {" HTTP/1.1 200 OK", 0, NULL},
        {"HTTP/1.1 200 O\x01K", 0, NULL},
        {"HTTP/1.1 200 O\nK", 0, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool passed = parse_response(arena_printf(arena, "%s\r\n\r\n", rows[i].line), false);
        ck_assert_msg(passed == (rows[i].status != 0), "%s", rows[i].line);
        if (passed) {
            ck_assert_int_eq(response.status, rows[i].status);
            ck_assert(slice_eq_str(response.phrase, rows[i].phrase));
        }
    }
}
END_TEST

START_TEST(framing_of_responses) {
    static const struct {
        const char *head;
        bool is_head;
        enum body_framing framing;
        uint64_t length;
        bool keep_alive;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, BODY_LENGTH, 5, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, BODY_LENGTH, 0, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, BODY_NONE, 5, true},
        {"HTTP/1.1 200 OK\r\n\r\n", true, BODY_NONE, 0, true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, BODY_CHUNKED, 0, true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true, BODY_NONE, 0, true},
        {"HTTP/1.1 200 OK\r\n\r\n", false, BODY_UNTIL_CLOSE, 0, false},
        {"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", false, BODY_UNTIL_CLOSE, 0, false},
        {"HTTP/1.1 204 No Content\r\n\r\n", false, BODY_NONE, 0, true},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, BODY_NONE, 5, true},
        {"HTTP/1.1 100 Continue\r\n\r\n", false, BODY_NONE, 0, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", false, BODY_LENGTH, 5, false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", false, BODY_LENGTH, 5, false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n\r\n", false, BODY_LENGTH, 5, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_msg(parse_response(rows[i].head, rows[i].is_head), "%s: %s", rows[i].head, fault.detail);
        ck_assert_msg(response.framing == rows[i].framing, "%s", rows[i].head);
        ck_assert_uint_eq(response.content_length, rows[i].length);
        ck_assert_msg(response.keep_alive == rows[i].keep_alive, "%s", rows[i].head);
    }
}
END_TEST

START_TEST(sec_42_responses_with_two_readings_are_refused) {
    static const char *const fields[] = {
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: x",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "X: y\r\n folded",
        ": y",
        "X",
        "X: \x01",
        "Content-Length: 1\nX: y",
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        ck_assert_msg(!parse_response(arena_printf(arena, "HTTP/1.1 200 OK\r\n%s\r\n\r\n", fields[i]), false), "%s",
                      fields[i]);
        ck_assert_msg(!parse_response(arena_printf(arena, "HTTP/1.1 200 OK\r\n%s\r\n\r\n", fields[i]), true), "%s",
                      fields[i]);
    }
    ck_assert(!parse_response("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false));
}
END_TEST

Suite *http_h1_parse_suite(void);
Suite *http_h1_parse_suite(void) {
    Suite *suite = suite_create("http/h1_parse");
    TCase *tcase = tcase_create("h1_parse");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, tokens);
    tcase_add_test(tcase, sec_14_field_values);
    tcase_add_test(tcase, sec_42_every_byte_in_every_place);
    tcase_add_test(tcase, the_end_of_a_head);
    tcase_add_test(tcase, a_request_as_values);
    tcase_add_test(tcase, faults_say_what_is_wrong);
    tcase_add_test(tcase, sec_41_options_of_connection_are_few);
    tcase_add_test(tcase, sec_43_well_known_methods_have_one_spelling);
    tcase_add_test(tcase, limits_of_a_head);
    tcase_add_test(tcase, status_lines);
    tcase_add_test(tcase, framing_of_responses);
    tcase_add_test(tcase, sec_42_responses_with_two_readings_are_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
