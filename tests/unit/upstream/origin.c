#include "upstream/origin.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/acceptor.h"

#define TURNS_MAX 500
#define TURN_MS 10

struct loop *test_loop;
struct pool *test_pool;
struct upstream test_upstream;
int origin_listener;
static struct endpoint endpoint;

void origin_set_up(void) {
    test_loop = loop_new(NULL);
    test_pool = pool_new(test_loop);
    struct addr addr;
    ck_assert_int_eq(addr_parse(SLICE("127.0.0.1:0"), &addr, NULL), 0);
    origin_listener = acceptor_bind(&addr, NULL);
    ck_assert_int_ge(origin_listener, 0);
    struct sockaddr_storage storage;
    socklen_t size = sizeof storage;
    ck_assert_int_eq(getsockname(origin_listener, (struct sockaddr *)&storage, &size), 0);
    endpoint = (struct endpoint){.weight = 1};
    addr_from_sockaddr((struct sockaddr *)&storage, size, &endpoint.addr);
    addr_format(&endpoint.addr, endpoint.name);
    test_upstream = (struct upstream){.name = "origin",
                                      .endpoints = &endpoint,
                                      .endpoint_count = 1,
                                      .connect_timeout_ms = 5000,
                                      .read_timeout_ms = 5000,
                                      .pool_size = 4,
                                      .pool_idle_ms = 60000};
}

void origin_tear_down(void) {
    pool_free(&test_pool);
    loop_free(test_loop);
    if (origin_listener >= 0) {
        close(origin_listener);
    }
}

int origin_accept(void) {
    for (int i = 0; i < 50; i++) {
        loop_turn(test_loop, TURN_MS);
        int fd = accept4(origin_listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            return fd;
        }
    }
    return -1;
}

void origin_hear(int fd, struct sbuf *heard, const char *text) {
    for (int i = 0; i < TURNS_MAX && !strstr(sbuf_text(heard), text); i++) {
        char bytes[16384];
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n > 0) {
            sbuf_append(heard, slice_make(bytes, (size_t)n));
        } else {
            loop_turn(test_loop, TURN_MS);
        }
    }
    ck_assert_msg(strstr(sbuf_text(heard), text) != NULL, "heard: %s", sbuf_text(heard));
}

void origin_say_bytes(int fd, const void *bytes, size_t size) {
    size_t sent = 0;
    for (int i = 0; i < 5 * TURNS_MAX && sent < size; i++) {
        ssize_t n = send(fd, (const char *)bytes + sent, size - sent, MSG_NOSIGNAL);
        if (n > 0) {
            sent += (size_t)n;
        } else {
            ck_assert_int_eq(errno, EAGAIN);
            loop_turn(test_loop, TURN_MS);
        }
    }
    ck_assert_uint_eq(sent, size);
}

void origin_say(int fd, const char *text) { origin_say_bytes(fd, text, strlen(text)); }

void origin_close(int *fd) {
    close(*fd);
    *fd = -1;
}

void origin_reset(int *fd) {
    struct linger at_once = {.l_onoff = 1};
    ck_assert_int_eq(setsockopt(*fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    origin_close(fd);
}

bool origin_is_left(int fd) {
    for (int i = 0; i < 50; i++) {
        char bytes[4096];
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            return true;
        }
        loop_turn(test_loop, TURN_MS);
    }
    return false;
}

/* ---- the probe ---- */

static void release_in(struct probe *probe, const char *event) {
    if (probe->release && strcmp(probe->release, event) == 0) {
        link_release(&probe->link);
    }
}

static void on_informational(void *owner, const struct response_head *head) {
    struct probe *probe = owner;
    probe->informationals++;
    probe->status = head->status;
    release_in(probe, "informational");
}

static void on_head(void *owner, const struct response_head *head) {
    struct probe *probe = owner;
    probe->heads++;
    probe->status = head->status;
    release_in(probe, "head");
}

static void on_body(void *owner, struct slice data) {
    struct probe *probe = owner;
    ck_assert_ptr_nonnull(probe->link);
    probe->body_seen += data.len;
    sbuf_append(&probe->body, data);
    if (!probe->keeps_window) {
        link_consumed(probe->link, data.len);
    }
    release_in(probe, "body");
}

static void on_end(void *owner, const struct headers *trailers) {
    struct probe *probe = owner;
    probe->ends++;
    probe->trailers = (int)trailers->count;
    release_in(probe, "end");
    if (probe->chained) {
        probe_open(probe->chained, false);
        probe_get(probe->chained, "/chained");
    }
}

static void on_writable(void *owner) {
    struct probe *probe = owner;
    probe->writables++;
    release_in(probe, "writable");
}

static void on_failed(void *owner, enum link_failure failure, const char *detail) {
    struct probe *probe = owner;
    probe->failures++;
    probe->failure = failure;
    snprintf(probe->detail, sizeof probe->detail, "%s", detail);
    release_in(probe, "failed");
}

static const struct link_events PROBE_EVENTS = {
    .informational = on_informational,
    .head = on_head,
    .body = on_body,
    .end = on_end,
    .writable = on_writable,
    .failed = on_failed,
};

void probe_open(struct probe *probe, bool fresh) {
    probe->arena = arena_new(1024);
    sbuf_init(&probe->body, 16 * 1024 * 1024);
    probe->link = link_acquire(test_pool, &test_upstream, &test_upstream.endpoints[0], fresh, &PROBE_EVENTS, probe);
    ck_assert_int_eq(probe->failures, 0);
}

void probe_close(struct probe *probe) {
    link_release(&probe->link);
    arena_free(probe->arena);
    sbuf_fini(&probe->body);
    memset(probe, 0, sizeof *probe);
}

static struct request_head head_of(struct probe *probe, const char *method, const char *target) {
    struct request_head head = {.version = HTTP_1_1, .method = slice_of(method), .keep_alive = true};
    head.target.path_and_query = slice_of(target);
    headers_init(&head.headers, probe->arena);
    headers_add(&head.headers, SLICE("Host"), SLICE("origin.test"));
    return head;
}

void probe_get(struct probe *probe, const char *target) {
    struct request_head head = head_of(probe, "GET", target);
    link_send_head(probe->link, &head, probe->arena);
    link_send_end(probe->link, NULL);
}

void probe_post(struct probe *probe, const char *body, bool is_whole) {
    struct request_head head = head_of(probe, "POST", "/");
    head.framing = BODY_CHUNKED;
    link_send_head(probe->link, &head, probe->arena);
    link_send_body(probe->link, slice_of(body));
    if (is_whole) {
        link_send_end(probe->link, NULL);
    }
}

void turn_until(const int *count, int wanted) {
    for (int i = 0; i < TURNS_MAX && *count < wanted; i++) {
        loop_turn(test_loop, TURN_MS);
    }
    ck_assert_int_ge(*count, wanted);
}

void turn_for(int ms) {
    int64_t end_us = clock_mono_us() + (int64_t)ms * 1000;
    while (clock_mono_us() < end_us) {
        loop_turn(test_loop, 5);
    }
}
