#include "store/fetch.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/sbuf.h"

/* A server of canned answers on 127.0.0.1, driven by the loop of the test: one connection for each request. */
#define CONNECTIONS_MAX 16

struct route {
    const char *target; /* "/x" */
    const char *answer; /* NULL: none ever; %u: the server's port */
};

struct connection {
    int fd;
    struct loop_watch *watch;
    struct sbuf in;
};

static struct loop *loop;
static struct fetcher *fetcher;
static int listener;
static unsigned port;
static struct loop_watch *acceptor;
static struct connection connections[CONNECTIONS_MAX];
static size_t connection_count;
static const struct route *routes;
static struct sbuf last_request; /* head and body */

static const struct route ROUTES[] = {
    {"/ok", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"v1\"\r\nLast-Modified: Mon, 01 Jun 2026 00:00:00 GMT\r\n"
            "Content-Type: application/pkix-crl\r\n\r\nhello"},
    {"/keep", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"}, /* and the connection stays */
    {"/same", "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n"},
    {"/gone", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone"},
    {"/busy", "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"},
    {"/large", "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n"},
    {"/endless",
     "HTTP/1.1 200 OK\r\n\r\n"
     "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789+"},
    {"/short", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"},
    {"/garbage", "this is not HTTP\r\n\r\n"},
    {"/to-ok", "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 7\r\n\r\nignored"},
    {"/to-name", "HTTP/1.1 301 Moved\r\nLocation: http://localhost:%u/ok\r\nContent-Length: 0\r\n\r\n"},
    {"/to-private", "HTTP/1.1 301 Moved\r\nLocation: http://10.1.2.3/ok\r\nContent-Length: 0\r\n\r\n"},
    {"/to-file", "HTTP/1.1 301 Moved\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"},
    {"/to-ftp", "HTTP/1.1 301 Moved\r\nLocation: ftp://127.0.0.1/ok\r\nContent-Length: 0\r\n\r\n"},
    {"/to-user", "HTTP/1.1 301 Moved\r\nLocation: http://a:b@127.0.0.1:%u/ok\r\nContent-Length: 0\r\n\r\n"},
    {"/loop", "HTTP/1.1 307 Again\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n"},
    {"/silent", NULL},
    {NULL, NULL},
};

static void connection_close(struct connection *connection) {
    loop_watch_free(&connection->watch);
    sbuf_fini(&connection->in);
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
}

static bool has_target(struct slice request, const char *target) {
    char line[64];
    int len = snprintf(line, sizeof line, " %s HTTP/1.1\r\n", target);
    struct slice first;
    (void)slice_cut(request, '\n', &first);
    first.len++;
    return slice_ends_with(first, slice_make(line, (size_t)len));
}

static bool is_whole(struct slice request) {
    const char *end = memmem(request.ptr, request.len, "\r\n\r\n", 4);
    const char *length = memmem(request.ptr, request.len, "Content-Length: ", 16);
    size_t body = length ? strtoul(length + 16, NULL, 10) : 0;
    return end && request.len >= (size_t)(end - request.ptr) + 4 + body;
}

static void answer(struct connection *connection) {
    const struct route *route = routes;
    char text[1024];
    sbuf_clear(&last_request);
    sbuf_append(&last_request, sbuf_slice(&connection->in));
    while (route->target && !has_target(sbuf_slice(&connection->in), route->target))
        route++;
    if (!route->target || !route->answer)
        return;
    const char *mark = strstr(route->answer, "%u");
    int len = mark ? snprintf(text, sizeof text, "%.*s%u%s", (int)(mark - route->answer), route->answer, port, mark + 2)
                   : snprintf(text, sizeof text, "%s", route->answer);
    ck_assert_int_eq(send(connection->fd, text, (size_t)len, MSG_NOSIGNAL), len);
    if (strcmp(route->target, "/keep") == 0)
        sbuf_clear(&connection->in);
    else
        connection_close(connection);
}

static void on_bytes(void *arg, int ready) {
    struct connection *connection = arg;
    char buf[4096];
    (void)ready;
    ssize_t got = recv(connection->fd, buf, sizeof buf, 0);
    if (got <= 0) {
        connection_close(connection);
        return;
    }
    sbuf_append(&connection->in, slice_make(buf, (size_t)got));
    if (is_whole(sbuf_slice(&connection->in)))
        answer(connection);
}

static void on_connection(void *arg, int ready) {
    (void)arg;
    (void)ready;
    ck_assert_uint_lt(connection_count, CONNECTIONS_MAX);
    struct connection *connection = &connections[connection_count++];
    connection->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    ck_assert_int_ge(connection->fd, 0);
    sbuf_init(&connection->in, 65536);
    connection->watch = loop_watch_new(loop, connection->fd, on_bytes, connection);
    loop_watch_set(connection->watch, LOOP_READ);
}

static void set_up(void) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    loop = loop_new(NULL);
    fetcher = fetcher_new(loop, NULL);
    ck_assert_ptr_nonnull(fetcher);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&in, len), 0);
    ck_assert_int_eq(listen(listener, CONNECTIONS_MAX), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&in, &len), 0);
    port = ntohs(in.sin_port);
    acceptor = loop_watch_new(loop, listener, on_connection, NULL);
    loop_watch_set(acceptor, LOOP_READ);
    sbuf_init(&last_request, 65536);
    connection_count = 0;
    routes = ROUTES;
}

static void tear_down(void) {
    fetcher_free(&fetcher);
    for (size_t i = 0; i < connection_count; i++)
        connection_close(&connections[i]);
    loop_watch_free(&acceptor);
    close(listener);
    sbuf_fini(&last_request);
    loop_free(loop);
}

/* ---- asking ---- */

struct seen {
    int calls, status;
    char error[256], body[256], etag[64], last_modified[64], content_type[64], url[256];
    int64_t retry_after_s;
};

static void on_answer(void *arg, const struct fetch_answer *a) {
    struct seen *seen = arg;
    seen->calls++;
    seen->status = a->status;
    seen->retry_after_s = a->retry_after_s;
    snprintf(seen->error, sizeof seen->error, "%s", a->error);
    snprintf(seen->body, sizeof seen->body, SLICE_FMT, SLICE_ARG(a->body));
    snprintf(seen->etag, sizeof seen->etag, "%s", a->etag);
    snprintf(seen->last_modified, sizeof seen->last_modified, "%s", a->last_modified);
    snprintf(seen->content_type, sizeof seen->content_type, "%s", a->content_type);
    snprintf(seen->url, sizeof seen->url, "%s", a->url);
}

static struct cidr loopback(void) {
    struct cidr cidr;
    ck_assert_int_eq(cidr_parse(SLICE("127.0.0.0/8"), &cidr, NULL), 0);
    return cidr;
}

static const char *url_of(const char *target) {
    static char url[256];
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, target);
    return url;
}

static void wait_for(const struct seen *seen) {
    int64_t until = clock_mono_us() + 20000000;
    while (seen->calls == 0 && clock_mono_us() < until)
        loop_turn(loop, 100);
    ck_assert_int_eq(seen->calls, 1);
}

static struct seen ask(struct fetch_request request) {
    struct seen seen = {0};
    struct err err = {""};
    struct cidr cidr = loopback();
    request.networks = &cidr;
    request.network_count = 1;
    ck_assert_msg(fetch_start(fetcher, &request, on_answer, &seen, &err) != NULL, "%s", err.text);
    ck_assert_int_eq(seen.calls, 0);
    wait_for(&seen);
    return seen;
}

static bool was_sent(const char *line) {
    struct slice request = sbuf_slice(&last_request);
    return memmem(request.ptr, request.len, line, strlen(line)) != NULL;
}

START_TEST(an_answer_comes_with_body_and_what_it_is) {
    struct seen seen = ask((struct fetch_request){.url = url_of("/ok")});
    ck_assert_int_eq(seen.status, 200);
    ck_assert_str_eq(seen.error, "");
    ck_assert_str_eq(seen.body, "hello");
    ck_assert_str_eq(seen.etag, "\"v1\"");
    ck_assert_str_eq(seen.last_modified, "Mon, 01 Jun 2026 00:00:00 GMT");
    ck_assert_str_eq(seen.content_type, "application/pkix-crl");
    ck_assert_str_eq(seen.url, url_of("/ok"));
    ck_assert(was_sent("GET /ok HTTP/1.1\r\n"));
    ck_assert(!was_sent("If-None-Match"));
    ck_assert(!was_sent("Cookie"));
}
END_TEST

START_TEST(a_conditional_request_says_what_we_have) {
    struct seen seen = ask((struct fetch_request){
        .url = url_of("/same"), .etag = "\"v1\"", .last_modified = "Mon, 01 Jun 2026 00:00:00 GMT"});
    ck_assert_int_eq(seen.status, 304);
    ck_assert(was_sent("If-None-Match: \"v1\"\r\n"));
    ck_assert(was_sent("If-Modified-Since: Mon, 01 Jun 2026 00:00:00 GMT\r\n"));
}
END_TEST

START_TEST(a_post_carries_body_type_and_headers) {
    const char *headers[] = {"cf-webhook-auth: s3cret"};
    struct seen seen = ask((struct fetch_request){.url = url_of("/ok"),
                                                  .method = FETCH_POST,
                                                  .body = slice_make("a\0b", 3),
                                                  .content_type = "application/ocsp-request",
                                                  .headers = headers,
                                                  .header_count = 1});
    ck_assert_int_eq(seen.status, 200);
    ck_assert(was_sent("POST /ok HTTP/1.1\r\n"));
    ck_assert(was_sent("Content-Type: application/ocsp-request\r\n"));
    ck_assert(was_sent("cf-webhook-auth: s3cret\r\n"));
    ck_assert(slice_ends_with(sbuf_slice(&last_request), slice_make("\r\n\r\na\0b", 7)));
}
END_TEST

START_TEST(other_statuses_are_answers_too) {
    struct seen seen = ask((struct fetch_request){.url = url_of("/gone")});
    ck_assert_int_eq(seen.status, 404);
    ck_assert_str_eq(seen.body, "none");
    seen = ask((struct fetch_request){.url = url_of("/busy")});
    ck_assert_int_eq(seen.status, 503);
    ck_assert_int_eq(seen.retry_after_s, 7);
}
END_TEST

/* ---- limits ---- */

static const struct {
    const char *target, *error;
} BROKEN[] = {
    {"/large", "exceeded"},
    {"/endless", "the answer is larger than 100 bytes"},
    {"/short", "transfer closed"},
    {"/garbage", "HTTP/0.9"},
};

START_TEST(sec_34_what_is_too_large_or_broken_is_an_error) {
    struct seen seen = ask((struct fetch_request){.url = url_of(BROKEN[_i].target), .size_max = 100});
    ck_assert_int_eq(seen.status, 0);
    ck_assert_msg(strstr(seen.error, BROKEN[_i].error) != NULL, "%s", seen.error);
    ck_assert_str_eq(seen.body, "");
}
END_TEST

START_TEST(sec_34_an_endless_head_is_an_error) {
    struct sbuf head;
    sbuf_init(&head, 200000);
    sbuf_append_str(&head, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 3000; i++)
        sbuf_printf(&head, "X-%d: %030d\r\n", i, i);
    sbuf_append_str(&head, "\r\n");
    ck_assert(!head.overflow);
    /* the server sends at most 1023 bytes of a route: this one writes by itself */
    int fd = socket(AF_INET, SOCK_STREAM, 0), peer;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, len), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    struct seen seen = {0};
    struct cidr cidr = loopback();
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", ntohs(in.sin_port));
    struct fetch_request request = {.url = url, .networks = &cidr, .network_count = 1};
    ck_assert_ptr_nonnull(fetch_start(fetcher, &request, on_answer, &seen, NULL));
    loop_turn(loop, 100);
    loop_turn(loop, 100);
    peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
    ck_assert_int_ge(peer, 0);
    struct slice rest = sbuf_slice(&head);
    int64_t until = clock_mono_us() + 20000000;
    while (seen.calls == 0 && clock_mono_us() < until) {
        ssize_t sent = rest.len > 0 ? send(peer, rest.ptr, rest.len, MSG_NOSIGNAL) : 0;
        rest = slice_after(rest, sent > 0 ? (size_t)sent : 0);
        loop_turn(loop, 20);
    }
    ck_assert_int_eq(seen.calls, 1);
    ck_assert_msg(strstr(seen.error, "head of the answer") != NULL, "%s", seen.error);
    close(peer);
    close(fd);
    sbuf_fini(&head);
}
END_TEST

START_TEST(sec_34_a_silent_server_is_waited_for_only_so_long) {
    struct seen seen = ask((struct fetch_request){.url = url_of("/silent"), .total_ms = 100});
    ck_assert_int_eq(seen.status, 0);
    ck_assert_msg(strstr(seen.error, "timed out") != NULL, "%s", seen.error);
}
END_TEST

START_TEST(a_port_without_a_server_is_an_error) {
    loop_watch_set(acceptor, 0);
    loop_watch_free(&acceptor);
    close(listener);
    listener = -1;
    struct seen seen = ask((struct fetch_request){.url = url_of("/ok")});
    ck_assert_int_eq(seen.status, 0);
    ck_assert_str_ne(seen.error, "");
}
END_TEST

/* ---- addresses ---- */

static const char *const NOT_PUBLIC[] = {
    "127.0.0.1", "localhost", "127.1", "2130706433", "0", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254",
};

START_TEST(sec_34_an_address_that_is_not_public_must_be_listed) {
    struct seen seen = {0};
    char url[128];
    snprintf(url, sizeof url, "http://%s:%u/ok", NOT_PUBLIC[_i], port);
    struct fetch_request request = {.url = url};
    ck_assert_ptr_nonnull(fetch_start(fetcher, &request, on_answer, &seen, NULL));
    wait_for(&seen);
    ck_assert_int_eq(seen.status, 0);
    ck_assert_msg(strstr(seen.error, "is not a public address") != NULL, "%s", seen.error);
    ck_assert_uint_eq(connection_count, 0);
}
END_TEST

START_TEST(sec_34_permission_of_one_request_is_not_anothers) {
    struct seen seen = ask((struct fetch_request){.url = url_of("/keep")});
    ck_assert_int_eq(seen.status, 200);
    seen = (struct seen){0};
    struct fetch_request request = {.url = url_of("/keep")};
    ck_assert_ptr_nonnull(fetch_start(fetcher, &request, on_answer, &seen, NULL));
    wait_for(&seen);
    ck_assert_int_eq(seen.status, 0);
    ck_assert_uint_eq(connection_count, 1);
}
END_TEST

START_TEST(sec_34_no_proxy_from_the_environment) {
    char proxy[64];
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", port);
    ck_assert_int_eq(setenv("http_proxy", proxy, 1) | setenv("ALL_PROXY", proxy, 1), 0);
    struct seen seen = ask((struct fetch_request){.url = url_of("/ok")});
    ck_assert_int_eq(seen.status, 200);
    ck_assert(was_sent("GET /ok HTTP/1.1\r\n")); /* through a proxy it is the whole URL */
}
END_TEST

/* ---- redirects ---- */

static const char *const LOCALHOST[] = {"elsewhere.test", "LOCALHOST"};
static const char *const ANYWHERE[] = {"*"};

static const struct {
    const char *target;
    unsigned max;
    const char *const *hosts;
    size_t host_count;
    int status;
    const char *error;
} REDIRECTS[] = {
    {"/to-ok", 1, NULL, 0, 200, ""},
    {"/to-ok", 0, NULL, 0, 302, ""},
    {"/loop", 3, NULL, 0, 0, "more than 3 redirects"},
    {"/to-name", 3, NULL, 0, 0, "to the host localhost, which is not listed"},
    {"/to-name", 3, LOCALHOST, 2, 200, ""},
    {"/to-name", 3, LOCALHOST, 1, 0, "not listed"},
    {"/to-private", 3, ANYWHERE, 1, 0, "10.1.2.3 is not a public address"},
    {"/to-file", 3, ANYWHERE, 1, 0, "a redirect that is not followed"},
    {"/to-ftp", 3, ANYWHERE, 1, 0, "only http and https"},
    {"/to-user", 3, ANYWHERE, 1, 0, "user name"},
};

START_TEST(sec_34_redirects_are_judged_one_by_one) {
    struct seen seen = ask((struct fetch_request){.url = url_of(REDIRECTS[_i].target),
                                                  .redirects_max = REDIRECTS[_i].max,
                                                  .redirect_hosts = REDIRECTS[_i].hosts,
                                                  .redirect_host_count = REDIRECTS[_i].host_count});
    ck_assert_msg(seen.status == REDIRECTS[_i].status, "%d %s", seen.status, seen.error);
    ck_assert_msg(strstr(seen.error, REDIRECTS[_i].error) != NULL, "%s", seen.error);
    if (seen.status == 200)
        ck_assert_str_eq(seen.body, "hello");
}
END_TEST

START_TEST(headers_of_the_caller_stay_with_the_first_host) {
    const char *headers[] = {"X-Secret: 1"};
    struct fetch_request request = {.headers = headers,
                                    .header_count = 1,
                                    .redirects_max = 1,
                                    .redirect_hosts = ANYWHERE,
                                    .redirect_host_count = 1};
    request.url = url_of("/to-ok");
    ck_assert_int_eq(ask(request).status, 200);
    ck_assert(was_sent("X-Secret"));
    request.url = url_of("/to-name");
    ck_assert_int_eq(ask(request).status, 200);
    ck_assert(!was_sent("X-Secret"));
}
END_TEST

START_TEST(a_post_is_not_sent_on) {
    struct seen seen = ask((struct fetch_request){.url = url_of("/to-ok"), .method = FETCH_POST, .redirects_max = 3});
    ck_assert_int_eq(seen.status, 302);
    ck_assert_uint_eq(connection_count, 1);
}
END_TEST

/* ---- URLs ---- */

static const struct {
    const char *url, *error;
} URLS[] = {
    {"http://crl.example.test/a.crl", NULL},
    {"HTTPS://crl.example.test:8443/a.crl?x=1", NULL},
    {"http://[2001:db8::1]/a.crl", NULL},
    {"ftp://crl.example.test/a.crl", "only http and https"},
    {"ldap://crl.example.test/cn=x", "only http and https"},
    {"file:///etc/passwd", ""},
    {"crl.example.test/a.crl", ""},
    {"", ""},
    {"http://", ""},
    {"http://a:b@crl.example.test/", "user name"},
    {"http://a@crl.example.test/", "user name"},
    {"http://crl.example.test/a b", ""},
    {"http://crl.example.test/\r\nX: y", ""},
};

START_TEST(urls_are_checked_before_they_are_asked) {
    struct err err = {""};
    int result = fetch_check_url(URLS[_i].url, &err);
    ck_assert_int_eq(result, URLS[_i].error ? -1 : 0);
    if (URLS[_i].error)
        ck_assert_msg(err.text[0] && strstr(err.text, URLS[_i].error) != NULL, "%s", err.text);
    const struct fetch_request request = {.url = URLS[_i].url};
    if (URLS[_i].error)
        ck_assert_ptr_null(fetch_start(fetcher, &request, on_answer, NULL, NULL));
}
END_TEST

START_TEST(a_long_url_is_refused) {
    char url[FETCH_URL_MAX + 2];
    memset(url, 'a', sizeof url);
    memcpy(url, "http://a.test/", 14);
    url[FETCH_URL_MAX] = '\0';
    ck_assert_int_eq(fetch_check_url(url, NULL), 0);
    url[FETCH_URL_MAX] = 'a';
    url[FETCH_URL_MAX + 1] = '\0';
    ck_assert_int_eq(fetch_check_url(url, NULL), -1);
}
END_TEST

START_TEST(headers_that_would_split_are_refused) {
    const char *headers[] = {"X-A: 1\r\nX-B: 2"};
    const struct fetch_request split = {.url = url_of("/ok"), .headers = headers, .header_count = 1};
    ck_assert_ptr_null(fetch_start(fetcher, &split, on_answer, NULL, NULL));
    const struct fetch_request tag = {.url = url_of("/ok"), .etag = "\"a\"\nX: 1"};
    ck_assert_ptr_null(fetch_start(fetcher, &tag, on_answer, NULL, NULL));
}
END_TEST

/* ---- pieces, cancelling ---- */

struct taken {
    struct seen seen;
    struct sbuf bytes;
    bool refuses;
};

static bool take(void *arg, struct slice piece) {
    struct taken *taken = arg;
    sbuf_append(&taken->bytes, piece);
    return !taken->refuses;
}

static void on_taken(void *arg, const struct fetch_answer *a) { on_answer(&((struct taken *)arg)->seen, a); }

static struct taken take_from(const char *target, bool refuses) {
    struct taken taken = {.refuses = refuses};
    struct cidr cidr = loopback();
    sbuf_init(&taken.bytes, 1000);
    struct fetch_request request = {
        .url = url_of(target), .networks = &cidr, .network_count = 1, .take = take, .redirects_max = 1};
    ck_assert_ptr_nonnull(fetch_start(fetcher, &request, on_taken, &taken, NULL));
    wait_for(&taken.seen);
    return taken;
}

START_TEST(a_body_may_be_taken_in_pieces) {
    struct taken taken = take_from("/to-ok", false);
    ck_assert_int_eq(taken.seen.status, 200);
    ck_assert_str_eq(taken.seen.body, "");
    ck_assert_str_eq(sbuf_text(&taken.bytes), "hello");
    sbuf_fini(&taken.bytes);
    taken = take_from("/gone", false); /* what is not the thing asked for is not handed out */
    ck_assert_int_eq(taken.seen.status, 404);
    ck_assert_str_eq(sbuf_text(&taken.bytes), "");
    sbuf_fini(&taken.bytes);
}
END_TEST

START_TEST(a_taker_who_refuses_ends_the_transfer) {
    struct taken taken = take_from("/ok", true);
    ck_assert_int_eq(taken.seen.status, 0);
    ck_assert_str_eq(taken.seen.error, "the answer could not be stored");
    sbuf_fini(&taken.bytes);
}
END_TEST

START_TEST(nobody_is_called_after_cancelling) {
    struct seen seen = {0}, other = {0};
    struct cidr cidr = loopback();
    struct fetch_request request = {.url = url_of("/silent"), .networks = &cidr, .network_count = 1};
    struct fetch *fetch = fetch_start(fetcher, &request, on_answer, &seen, NULL);
    ck_assert_ptr_nonnull(fetch);
    for (int i = 0; i < 10 && last_request.len == 0; i++)
        loop_turn(loop, 100);
    fetch_cancel(&fetch);
    ck_assert_ptr_null(fetch);
    request.url = url_of("/ok");
    ck_assert_ptr_nonnull(fetch_start(fetcher, &request, on_answer, &other, NULL));
    wait_for(&other);
    ck_assert_int_eq(seen.calls, 0);
}
END_TEST

START_TEST(a_fetcher_goes_with_what_is_under_way) {
    struct seen seen = {0};
    struct cidr cidr = loopback();
    struct fetch_request request = {.url = url_of("/silent"), .networks = &cidr, .network_count = 1};
    ck_assert_ptr_nonnull(fetch_start(fetcher, &request, on_answer, &seen, NULL));
    request.url = "http://name.invalid/";
    ck_assert_ptr_nonnull(fetch_start(fetcher, &request, on_answer, &seen, NULL));
    for (int i = 0; i < 10 && last_request.len == 0; i++)
        loop_turn(loop, 100);
}
END_TEST

struct chain {
    struct seen seen;
    int left;
};

static void on_link(void *arg, const struct fetch_answer *a) {
    struct chain *chain = arg;
    struct cidr cidr = loopback();
    struct fetch_request request = {.url = url_of("/ok"), .networks = &cidr, .network_count = 1};
    if (--chain->left == 0)
        on_answer(&chain->seen, a);
    else
        ck_assert_ptr_nonnull(fetch_start(fetcher, &request, on_link, chain, NULL));
}

START_TEST(an_answer_may_start_another_fetch) {
    struct chain chain = {.left = 5};
    struct cidr cidr = loopback();
    struct fetch_request request = {.url = url_of("/ok"), .networks = &cidr, .network_count = 1};
    ck_assert_ptr_nonnull(fetch_start(fetcher, &request, on_link, &chain, NULL));
    wait_for(&chain.seen);
    ck_assert_int_eq(chain.seen.status, 200);
    ck_assert_uint_eq(connection_count, 5);
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof(table[0]))

Suite *store_fetch_suite(void);
Suite *store_fetch_suite(void) {
    Suite *suite = suite_create("fetch");
    TCase *tcase = tcase_create("fetch");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, an_answer_comes_with_body_and_what_it_is);
    tcase_add_test(tcase, a_conditional_request_says_what_we_have);
    tcase_add_test(tcase, a_post_carries_body_type_and_headers);
    tcase_add_test(tcase, other_statuses_are_answers_too);
    tcase_add_loop_test(tcase, sec_34_what_is_too_large_or_broken_is_an_error, 0, ROWS(BROKEN));
    tcase_add_test(tcase, sec_34_an_endless_head_is_an_error);
    tcase_add_test(tcase, sec_34_a_silent_server_is_waited_for_only_so_long);
    tcase_add_test(tcase, a_port_without_a_server_is_an_error);
    tcase_add_loop_test(tcase, sec_34_an_address_that_is_not_public_must_be_listed, 0, ROWS(NOT_PUBLIC));
    tcase_add_test(tcase, sec_34_permission_of_one_request_is_not_anothers);
    tcase_add_test(tcase, sec_34_no_proxy_from_the_environment);
    tcase_add_loop_test(tcase, sec_34_redirects_are_judged_one_by_one, 0, ROWS(REDIRECTS));
    tcase_add_test(tcase, headers_of_the_caller_stay_with_the_first_host);
    tcase_add_test(tcase, a_post_is_not_sent_on);
    tcase_add_loop_test(tcase, urls_are_checked_before_they_are_asked, 0, ROWS(URLS));
    tcase_add_test(tcase, a_long_url_is_refused);
    tcase_add_test(tcase, headers_that_would_split_are_refused);
    tcase_add_test(tcase, a_body_may_be_taken_in_pieces);
    tcase_add_test(tcase, a_taker_who_refuses_ends_the_transfer);
    tcase_add_test(tcase, nobody_is_called_after_cancelling);
    tcase_add_test(tcase, a_fetcher_goes_with_what_is_under_way);
    tcase_add_test(tcase, an_answer_may_start_another_fetch);
    suite_add_tcase(suite, tcase);
    return suite;
}
