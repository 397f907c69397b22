#include "http/h1_client.h"

#include <check.h>
#include <stdlib.h>

#include "base/err.h"
#include "support/h1_probe.h"
#include "support/llhttp_oracle.h"

#define GET "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
#define HEAD "HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n"
#define PUT "PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n"
#define UPGRADE "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
#define UPGRADE_PUT "PUT / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\n"

static struct sbuf transcript, other;

static void setup(void) {
    sbuf_init(&transcript, 1 << 20);
    sbuf_init(&other, 1 << 20);
}

static void teardown(void) {
    sbuf_fini(&transcript);
    sbuf_fini(&other);
}

struct row {
    const char *request, *input, *expect;
};

static const struct row rows[] = {
    {GET, OK "Content-Length: 5\r\n\r\nhello",
     "response 200 OK length 5 keep-alive\nheader Content-Length: 5\nbody hello\nend\nstale\n"},
    {GET, OK "Content-Length: 0\r\n\r\n", "header Content-Length: 0\nend\nstale\n"},
    {GET, OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
     "body hello\ntrailer X: y\nend\nstale\n"},
    {GET, OK "\r\nhello", "until-close close\nbody hello\nend\neof\n"},
    {GET, "HTTP/1.0 200 OK\r\n\r\nhello", "until-close close\nbody hello\nend\neof\n"},
    {GET, "HTTP/1.1 204 No Content\r\n\r\n", "none keep-alive\nend\nstale\n"},
    {GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "none keep-alive\nheader Content-Length: 9\nend\n"},
    {HEAD, OK "Content-Length: 9\r\n\r\n", "none keep-alive\nheader Content-Length: 9\nend\n"},
    {HEAD, OK "Transfer-Encoding: chunked\r\n\r\n", "none keep-alive\nheader Transfer-Encoding: chunked\nend\n"},
    {GET, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 0\r\n\r\n",
     "informational 103 Early Hints none keep-alive\nheader Link: x\ninformational 100 Continue none "
     "keep-alive\nresponse 200"},
    {UPGRADE, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n\x81\x01x",
     "response 101 Switching Protocols none keep-alive\nheader Connection: upgrade\nheader Upgrade: WebSocket\nleft "
     "\x81\x01x\nnot reusable\n"},
    {UPGRADE, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n", "response 426"},
    {GET, "", "stale\nnot reusable\n"},
};

static const struct row invalid_rows[] = {
    {GET, "\r\n" OK "Content-Length: 0\r\n\r\n", "a control character, a bare CR or a bare LF in the head"},
    {GET, OK "Content-Length: 5\nX: y\r\n\r\n", "a control character, a bare CR or a bare LF in the head"},
    {GET, OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "Content-Length together with Transfer-Encoding"},
    {GET, OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "more than one Content-Length"},
    {GET, OK "Transfer-Encoding: gzip\r\n\r\n", "a Transfer-Encoding other than chunked"},
    {GET, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding in HTTP/1.0"},
    {GET, OK "X : y\r\n\r\n", "a malformed header name"},
    {GET, OK "X: y\r\n z\r\n\r\n", "a folded header line"},
    {GET, "HTTP/2.0 200 OK\r\n\r\n", "an HTTP version other than 1.0 and 1.1"},
    {GET, "SSH-2.0-OpenSSH_9.2\r\n\r\n", "an HTTP version other than 1.0 and 1.1"},
    {GET, OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", "chunk data that does not end with CRLF"},
    {GET, OK "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n",
     "a framing or routing header in the trailers"},
    {GET, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
     "101 Switching Protocols that was not asked for"},
    {UPGRADE, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
     "101 Switching Protocols to a protocol that was not asked for"},
    {UPGRADE, "HTTP/1.1 101 Switching Protocols\r\n\r\n",
     "101 Switching Protocols to a protocol that was not asked for"},
    {UPGRADE_PUT, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
     "101 Switching Protocols before the request was complete"},
    {GET, OK "Content-Length: 5\r\n\r\nhe", "the connection ended in mid-response"},
    {GET, OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "the connection ended in mid-response"},
    {GET, "HTTP/1.1 200", "the connection ended in mid-response"},
    {GET, "HTTP/1.1 100 Continue\r\n\r\n", "the connection ended in mid-response"},
};

static const char *run(const struct row *row, const struct probe_plan *plan, struct sbuf *into) {
    sbuf_clear(into);
    probe_client(slice_of(row->request), slice_of(row->input), plan, into);
    return sbuf_text(into);
}

static void assert_cuts_change_nothing(const struct row *row) {
    const char *whole = run(row, &(struct probe_plan){0}, &transcript);
    for (size_t cut = 1; cut < strlen(row->input); cut++)
        ck_assert_str_eq(run(row, &(struct probe_plan){.first_cut = cut}, &other), whole);
    ck_assert_str_eq(run(row, &(struct probe_plan){.piece = 1}, &other), whole);
}

START_TEST(responses) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *text = run(&rows[i], &(struct probe_plan){0}, &transcript);
        ck_assert_msg(strstr(text, rows[i].expect), "%s\nis:\n%s\nand not:\n%s", rows[i].input, text, rows[i].expect);
        ck_assert_msg(!strstr(text, "invalid"), "%s:\n%s", rows[i].input, text);
        assert_cuts_change_nothing(&rows[i]);
    }
}
END_TEST

START_TEST(sec_42_invalid_responses) {
    for (size_t i = 0; i < sizeof invalid_rows / sizeof invalid_rows[0]; i++) {
        const struct row *row = &invalid_rows[i];
        const char *text = run(row, &(struct probe_plan){0}, &transcript);
        const char *found = strstr(text, "invalid: ");
        ck_assert_msg(found && strncmp(found + 9, row->expect, strlen(row->expect)) == 0, "%s:\n%s", row->input, text);
        ck_assert(strstr(text, "not reusable"));
        assert_cuts_change_nothing(row);
    }
}
END_TEST

START_TEST(connections_are_reused_when_both_allow_it) {
    static const struct {
        const char *request, *input;
        bool reusable;
    } cases[] = {
        {GET, OK "Content-Length: 2\r\n\r\nhi", true},
        {GET, OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true},
        {HEAD, OK "\r\n", true},
        {GET, OK "Content-Length: 2\r\nConnection: close\r\n\r\nhi", false},
        {GET, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", false},
        {GET, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi", true},
        {PUT, OK "Content-Length: 2\r\n\r\nhi", false}, /* the request's body has not been sent */
        {GET, OK "Content-Length: 2\r\n\r\nh", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct row row = {cases[i].request, cases[i].input, NULL};
        const char *text = run(&row, &(struct probe_plan){.no_eof = true}, &transcript);
        ck_assert_msg(!strstr(text, "not reusable") == cases[i].reusable, "%s:\n%s", cases[i].input, text);
    }
}
END_TEST

START_TEST(sec_42_bytes_after_a_response_spoil_the_connection) {
    static const struct row cases[] = {
        {GET, OK "Content-Length: 2\r\n\r\nhi" OK "Content-Length: 0\r\n\r\n", "body hi\nend\nleft "},
        {GET, OK "Content-Length: 0\r\n\r\nx", "end\nleft x"},
        {GET, "HTTP/1.1 204 No Content\r\n\r\nx", "end\nleft x"},
        {GET, OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nx", "end\nleft x"},
        {HEAD, OK "Content-Length: 5\r\n\r\nhello", "end\nleft hello"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *text = run(&cases[i], &(struct probe_plan){0}, &transcript);
        ck_assert_msg(strstr(text, cases[i].expect) && strstr(text, "not reusable"), "%s:\n%s", cases[i].input, text);
        text = run(&cases[i], &(struct probe_plan){.piece = 1}, &transcript);
        ck_assert_msg(strstr(text, "invalid: bytes that no request asked for") && strstr(text, "not reusable"),
                      "%s:\n%s", cases[i].input, text);
    }
}
END_TEST

START_TEST(informational_responses_are_counted) {
    struct sbuf input;
    sbuf_init(&input, 1 << 16);
    for (int i = 0; i < 16; i++)
        sbuf_append_str(&input, "HTTP/1.1 103 Early Hints\r\n\r\n");
    struct sbuf ok;
    sbuf_init(&ok, 1 << 16);
    sbuf_append(&ok, sbuf_slice(&input));
    sbuf_append_str(&ok, OK "Content-Length: 0\r\n\r\n");
    ck_assert(!strstr(run(&(struct row){GET, sbuf_text(&ok), NULL}, &(struct probe_plan){0}, &transcript), "invalid"));
    sbuf_append_str(&input, "HTTP/1.1 103 Early Hints\r\n\r\n");
    ck_assert(strstr(run(&(struct row){GET, sbuf_text(&input), NULL}, &(struct probe_plan){0}, &transcript),
                     "invalid: too many informational responses"));
    sbuf_fini(&ok);
    sbuf_fini(&input);
}
END_TEST

START_TEST(heads_over_the_limit_are_invalid) {
    struct probe_plan plan = {.limits = {.head_size = 64, .field_count = 3}};
    struct row fits = {GET, OK "A: 1\r\nB: 2\r\nContent-Length: 0\r\n\r\n", NULL};
    struct row many = {GET, OK "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n", NULL};
    struct row large = {GET, OK "A: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n\r\n",
                        NULL};
    ck_assert(!strstr(run(&fits, &plan, &transcript), "invalid"));
    ck_assert(strstr(run(&many, &plan, &transcript), "invalid: too many headers"));
    ck_assert(strstr(run(&large, &plan, &transcript), "invalid: the head is too large"));
}
END_TEST

/* ---- what is sent, and what an owner may do within events ---- */

struct owner {
    struct h1_client *client;
    int heads, bodies, ends, invalids;
    bool stops;
};

static void on_head(void *owner, const struct response_head *head) {
    (void)head;
    ((struct owner *)owner)->heads++;
}

static void on_body(void *owner, struct slice data) {
    struct owner *o = owner;
    (void)data;
    o->bodies++;
    if (o->stops)
        h1_client_stop(o->client);
}

static void on_end(void *owner, const struct headers *trailers) {
    ck_assert_uint_eq(trailers->count, 0);
    ((struct owner *)owner)->ends++;
}

static void on_invalid(void *owner, const char *detail) {
    (void)detail;
    ((struct owner *)owner)->invalids++;
}

static const struct h1_client_events events = {
    .informational = on_head, .head = on_head, .body = on_body, .end = on_end, .invalid = on_invalid};

static const struct h1_limits limits = {.head_size = 4096, .field_count = 50};

START_TEST(requests_are_written_and_connections_used_again) {
    struct owner owner = {0};
    struct arena *arena = arena_new(4096);
    struct sbuf out;
    sbuf_init(&out, 1 << 20);
    owner.client = h1_client_new(&events, &owner, &limits, &out);
    ck_assert(h1_client_is_reusable(owner.client));

    struct request_head head = {.method = SLICE("PUT"), .framing = BODY_LENGTH, .content_length = 5};
    head.target.path_and_query = SLICE("/x");
    headers_init(&head.headers, arena);
    headers_add(&head.headers, SLICE("Host"), SLICE("a"));
    h1_client_request(owner.client, &head, arena);
    ck_assert(!h1_client_is_reusable(owner.client) && !h1_client_has_begun(owner.client));
    h1_client_body(owner.client, SLICE("he"));
    h1_client_body(owner.client, SLICE("llo"));
    h1_client_end(owner.client, NULL);
    ck_assert_str_eq(sbuf_text(&out), "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    h1_client_receive(owner.client, SLICE("H"));
    ck_assert(h1_client_has_begun(owner.client));
    h1_client_receive(owner.client, SLICE("TTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    ck_assert(owner.ends == 1 && h1_client_is_reusable(owner.client));

    sbuf_clear(&out);
    head.framing = BODY_CHUNKED;
    h1_client_request(owner.client, &head, arena);
    ck_assert(!h1_client_has_begun(owner.client));
    h1_client_body(owner.client, SLICE("hello"));
    h1_client_end(owner.client, NULL);
    ck_assert_str_eq(sbuf_text(&out),
                     "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    ck_assert(!h1_client_receive_eof(owner.client)); /* a stale connection: the owner decides */
    ck_assert(!h1_client_is_reusable(owner.client));
    ck_assert_int_eq(owner.invalids, 0);

    h1_client_free(owner.client);
    sbuf_fini(&out);
    arena_free(arena);
}
END_TEST

static size_t past;

static size_t write_past(void *owner, struct slice bytes) {
    (void)owner;
    past += bytes.len / 2;
    return bytes.len / 2;
}

START_TEST(large_pieces_of_a_request_go_past_an_empty_output) {
    static char data[2 * H1_CLIENT_BULK];
    struct h1_client_events passing = events;
    struct owner owner = {0};
    struct arena *arena = arena_new(4096);
    struct sbuf out;
    passing.write = write_past;
    sbuf_init(&out, 1 << 20);
    owner.client = h1_client_new(&passing, &owner, &limits, &out);
    struct request_head head = {
        .method = SLICE("PUT"), .framing = BODY_LENGTH, .content_length = 3 * sizeof data + H1_CLIENT_BULK - 1};
    head.target.path_and_query = SLICE("/x");
    headers_init(&head.headers, arena);
    h1_client_request(owner.client, &head, arena);
    size_t before = out.len;
    h1_client_body(owner.client, slice_make(data, sizeof data)); /* behind the head */
    ck_assert_uint_eq(past, 0);
    ck_assert_uint_eq(out.len, before + sizeof data);
    sbuf_consume(&out, out.len);
    h1_client_body(owner.client, slice_make(data, sizeof data));
    ck_assert_uint_eq(past, sizeof data / 2);
    ck_assert_uint_eq(out.len, sizeof data / 2);
    h1_client_body(owner.client, slice_make(data, sizeof data)); /* in its turn */
    ck_assert_uint_eq(past, sizeof data / 2);
    sbuf_consume(&out, out.len);
    h1_client_body(owner.client, slice_make(data, H1_CLIENT_BULK - 1)); /* too small */
    ck_assert_uint_eq(past, sizeof data / 2);
    h1_client_end(owner.client, NULL); /* what went past was counted */
    h1_client_free(owner.client);
    sbuf_fini(&out);
    arena_free(arena);
}
END_TEST

START_TEST(a_stopped_client_is_silent) {
    struct owner owner = {.stops = true};
    struct arena *arena = arena_new(4096);
    struct sbuf out;
    sbuf_init(&out, 1 << 20);
    owner.client = h1_client_new(&events, &owner, &limits, &out);
    struct request_head head = {.method = SLICE("GET")};
    head.target.path_and_query = SLICE("/");
    headers_init(&head.headers, arena);
    h1_client_request(owner.client, &head, arena);
    h1_client_end(owner.client, NULL);
    h1_client_receive(owner.client, SLICE(OK "Content-Length: 2\r\n\r\nhi"));
    ck_assert(owner.heads == 1 && owner.bodies == 1 && owner.ends == 0 && owner.invalids == 0);
    h1_client_receive(owner.client, SLICE("x"));
    ck_assert(owner.invalids == 0 && !h1_client_is_reusable(owner.client));
    h1_client_free(owner.client);
    sbuf_fini(&out);
    arena_free(arena);
}
END_TEST

START_TEST(sec_42_bytes_ahead_of_a_request_are_invalid) {
    struct owner owner = {0};
    struct sbuf out;
    sbuf_init(&out, 1 << 20);
    owner.client = h1_client_new(&events, &owner, &limits, &out);
    ck_assert_uint_eq(h1_client_receive(owner.client, SLICE(OK "Content-Length: 0\r\n\r\n")), 0);
    ck_assert(owner.invalids == 1 && owner.heads == 0 && !h1_client_is_reusable(owner.client));
    h1_client_free(owner.client);
    h1_client_free(NULL);
    sbuf_fini(&out);
}
END_TEST

START_TEST(sec_42_llhttp_agrees_on_responses) {
    if (!llhttp_oracle_is_there())
        return; /* test_smuggling says so */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strncmp(rows[i].request, "GET", 3) != 0)
            continue;
        const char *difference = llhttp_disagreement(slice_of(rows[i].input), true);
        ck_assert_msg(!difference, "%s: %s", rows[i].input, difference);
    }
}
END_TEST

Suite *http_h1_client_suite(void);
Suite *http_h1_client_suite(void) {
    Suite *suite = suite_create("http/h1_client");
    TCase *tcase = tcase_create("h1_client");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, responses);
    tcase_add_test(tcase, sec_42_invalid_responses);
    tcase_add_test(tcase, connections_are_reused_when_both_allow_it);
    tcase_add_test(tcase, large_pieces_of_a_request_go_past_an_empty_output);
    tcase_add_test(tcase, sec_42_bytes_after_a_response_spoil_the_connection);
    tcase_add_test(tcase, informational_responses_are_counted);
    tcase_add_test(tcase, heads_over_the_limit_are_invalid);
    tcase_add_test(tcase, requests_are_written_and_connections_used_again);
    tcase_add_test(tcase, a_stopped_client_is_silent);
    tcase_add_test(tcase, sec_42_bytes_ahead_of_a_request_are_invalid);
    tcase_add_test(tcase, sec_42_llhttp_agrees_on_responses);
    suite_add_tcase(suite, tcase);
    return suite;
}
