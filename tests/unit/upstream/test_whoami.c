#include "upstream/whoami.h"

#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sbuf.h"

static struct loop *loop;
static struct sbuf heard;
static int client;

static void set_up(void) {
    int fds[2];
    loop = loop_new(NULL);
    sbuf_init(&heard, 1024 * 1024);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    client = fds[0];
    whoami_serve(loop, fds[1]);
}

static void tear_down(void) {
    close(client);
    whoami_close_all(loop);
    loop_free(loop);
    sbuf_fini(&heard);
}

static void hear(void) {
    char bytes[4096];
    ssize_t n;
    while ((n = recv(client, bytes, sizeof bytes, 0)) > 0) {
        sbuf_append(&heard, slice_make(bytes, (size_t)n));
    }
}

static void say(const char *text) {
    for (size_t len = strlen(text); len > 0;) {
        ssize_t n = send(client, text, len, MSG_NOSIGNAL);
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        } else {
            ck_assert_int_eq(errno, EAGAIN);
            loop_turn(loop, 10);
            hear();
        }
    }
}

static void expect(const char *text) {
    for (int i = 0; i < 500 && !strstr(sbuf_text(&heard), text); i++) {
        loop_turn(loop, 10);
        hear();
    }
    ck_assert_msg(strstr(sbuf_text(&heard), text) != NULL, "heard: %s", sbuf_text(&heard));
}

static void expect_close(void) {
    char byte;
    ssize_t n = -1;
    for (int i = 0; i < 500 && n < 0; i++) {
        loop_turn(loop, 10);
        hear();
        n = recv(client, &byte, 1, 0);
    }
    ck_assert_int_eq(n, 0);
}

START_TEST(a_malformed_request_is_refused_and_closed) {
    say("GET /a%20b?c=\"d HTTP/1.1\r\nHost: x.test\r\n\r\n");
    expect("400 Bad Request");
    expect_close();
}
END_TEST

START_TEST(method_path_version_and_headers_are_told_in_order) {
    say("PATCH /a%20b?c=d HTTP/1.1\r\nHost: x.test\r\nX-Two: 2\r\nx-one: \"1\"\r\nX-Two: 3\r\n\r\n");
    expect("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n");
    expect("{\"method\":\"PATCH\",\"path\":\"/a%20b?c=d\",\"http_version\":\"HTTP/1.1\",\"headers\":["
           "{\"name\":\"Host\",\"value\":\"x.test\"},{\"name\":\"X-Two\",\"value\":\"2\"},"
           "{\"name\":\"x-one\",\"value\":\"\\\"1\\\"\"},{\"name\":\"X-Two\",\"value\":\"3\"}],"
           "\"body_length\":0,\"trailers\":[]}");
}
END_TEST

START_TEST(bodies_are_counted) {
    char *body = mem_new(3000001);
    memset(body, 'x', 3000000);
    say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n");
    say(body);
    expect("\"body_length\":3000000,");
    mem_free(body);
}
END_TEST

START_TEST(chunks_are_counted_and_trailers_told) {
    say("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Sum: "
        "7\r\n\r\n");
    expect("\"body_length\":7,\"trailers\":[{\"name\":\"X-Sum\",\"value\":\"7\"}]}");
}
END_TEST

START_TEST(a_connection_is_kept_and_requests_may_be_pipelined) {
    say("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /3 "
        "HTTP/1.1\r\n"
        "Host: x\r\n\r\n");
    expect("\"path\":\"/3\"");
    ck_assert_ptr_nonnull(strstr(sbuf_text(&heard), "\"path\":\"/1\""));
    ck_assert_ptr_nonnull(strstr(sbuf_text(&heard), "\"path\":\"/2\""));
    sbuf_clear(&heard);
    say("GET /4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect("\"path\":\"/4\"");
    expect_close();
}
END_TEST

/* Many requests in one go: more answers than the socket has room for. */
START_TEST(a_client_that_does_not_read_is_waited_for) {
    for (int i = 0; i < 3000; i++) {
        say("GET /many HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    say("GET /last HTTP/1.1\r\nHost: x\r\n\r\n");
    expect("\"path\":\"/last\"");
}
END_TEST

START_TEST(http_1_0_is_answered_and_closed) {
    say("GET / HTTP/1.0\r\n\r\n");
    expect("\"http_version\":\"HTTP/1.0\"");
    expect_close();
}
END_TEST

START_TEST(head_has_no_body) {
    say("HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect("/next");
    const char *first = strstr(sbuf_text(&heard), "\r\n\r\n");
    ck_assert_int_eq(strncmp(first, "\r\n\r\nHTTP/1.1 200 OK", 19), 0);
}
END_TEST

START_TEST(a_body_that_waits_is_asked_for) {
    say("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    expect("HTTP/1.1 100 Continue\r\n\r\n");
    say("abc");
    expect("\"body_length\":3,");
}
END_TEST

START_TEST(a_bad_chunk_is_refused) {
    say("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n");
    expect("400 Bad Request");
    expect_close();
}
END_TEST

START_TEST(the_end_of_the_client_is_the_end_of_the_connection) {
    say("GET /half HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert_int_eq(shutdown(client, SHUT_WR), 0);
    expect("/half");
    expect_close();
}
END_TEST

START_TEST(half_a_request_and_then_nothing_is_the_end) {
    say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    loop_turn(loop, 10);
    ck_assert_int_eq(shutdown(client, SHUT_WR), 0);
    expect_close();
}
END_TEST

START_TEST(all_can_be_closed_in_mid_request) {
    say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    loop_turn(loop, 10);
    loop_turn(loop, 0);
    whoami_close_all(loop);
    expect_close();
}
END_TEST

Suite *upstream_whoami_suite(void);
Suite *upstream_whoami_suite(void) {
    Suite *suite = suite_create("whoami");
    TCase *tcase = tcase_create("whoami");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_malformed_request_is_refused_and_closed);
    tcase_add_test(tcase, method_path_version_and_headers_are_told_in_order);
    tcase_add_test(tcase, bodies_are_counted);
    tcase_add_test(tcase, chunks_are_counted_and_trailers_told);
    tcase_add_test(tcase, a_connection_is_kept_and_requests_may_be_pipelined);
    tcase_add_test(tcase, a_client_that_does_not_read_is_waited_for);
    tcase_add_test(tcase, http_1_0_is_answered_and_closed);
    tcase_add_test(tcase, head_has_no_body);
    tcase_add_test(tcase, a_body_that_waits_is_asked_for);
    tcase_add_test(tcase, a_bad_chunk_is_refused);
    tcase_add_test(tcase, the_end_of_the_client_is_the_end_of_the_connection);
    tcase_add_test(tcase, half_a_request_and_then_nothing_is_the_end);
    tcase_add_test(tcase, all_can_be_closed_in_mid_request);
    suite_add_tcase(suite, tcase);
    return suite;
}
