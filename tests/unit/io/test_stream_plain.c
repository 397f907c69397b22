#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/acceptor.h"
#include "io/stream.h"

/* One stream under test and the raw descriptor at its other end. */
struct end {
    struct stream *stream;
    int peer;
    int ready, readable, writable, failed;
    bool close_at_ready, close_at_readable;
    ssize_t last_read;
    char received[64];
    size_t received_len;
};

static struct loop *loop;
static struct end end;

static void on_event(void *owner, enum stream_event event) {
    struct end *e = owner;
    switch (event) {
    case STREAM_READY:
        e->ready++;
        break;
    case STREAM_WRITABLE:
        e->writable++;
        break;
    case STREAM_FAILED:
        e->failed++;
        break;
    case STREAM_READABLE:
        e->readable++;
        while (!e->close_at_readable) {
            size_t room = sizeof e->received - e->received_len;
            e->last_read = stream_read(e->stream, e->received + e->received_len, room);
            if (e->last_read <= 0) {
                break;
            }
            e->received_len += (size_t)e->last_read;
        }
        break;
    }
    if ((event == STREAM_READY && e->close_at_ready) || (event == STREAM_READABLE && e->close_at_readable)) {
        stream_close(&e->stream, false);
    }
}

static void set_up(void) {
    (void)signal(SIGPIPE, SIG_DFL); /* whoever runs the tests may ignore it */
    loop = loop_new(NULL);
    end = (struct end){.peer = -1};
}

static void tear_down(void) {
    stream_close(&end.stream, false);
    if (end.peer >= 0) {
        close(end.peer);
    }
    loop_free(loop);
}

static void open_pair(void) {
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    end.peer = fds[1];
    end.stream = stream_plain_new(loop, fds[0], on_event, &end);
}

static int listen_on_loopback(struct addr *addr_out) {
    struct addr addr;
    ck_assert_int_eq(addr_parse(SLICE("127.0.0.1:0"), &addr, NULL), 0);
    int fd = acceptor_bind(&addr, NULL);
    ck_assert_int_ge(fd, 0);
    struct sockaddr_storage storage;
    socklen_t size = sizeof storage;
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&storage, &size), 0);
    addr_from_sockaddr((struct sockaddr *)&storage, size, addr_out);
    return fd;
}

static void open_tcp(void) {
    struct addr addr;
    int listener = listen_on_loopback(&addr);
    end.stream = stream_plain_connect(loop, &addr, on_event, &end);
    for (int i = 0; i < 100 && end.peer < 0; i++) {
        loop_turn(loop, 10);
        end.peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    }
    ck_assert_int_ge(end.peer, 0);
    close(listener);
}

static void turn_until(const int *count, int wanted) {
    for (int i = 0; i < 500 && *count < wanted; i++) {
        loop_turn(loop, 20);
    }
    ck_assert_int_ge(*count, wanted);
}

START_TEST(ready_comes_once_and_not_from_within_the_call) {
    open_pair();
    ck_assert_int_eq(end.ready, 0);
    ck_assert(!end.stream->is_open);
    loop_turn(loop, 1000);
    ck_assert_int_eq(end.ready, 1);
    ck_assert(end.stream->is_open);
    ck_assert_int_ne(fcntl(end.stream->fd, F_GETFL) & O_NONBLOCK, 0);
    loop_turn(loop, 0);
    ck_assert_int_eq(end.ready, 1);
    ck_assert_str_eq(stream_error(end.stream), "no error");
}
END_TEST

START_TEST(bytes_go_both_ways) {
    open_tcp();
    turn_until(&end.ready, 1);
    ck_assert_int_eq(stream_write(end.stream, SLICE("ping")), 4);
    char text[8] = "";
    ck_assert_int_eq(recv(end.peer, text, sizeof text, 0), 4);
    ck_assert_str_eq(text, "ping");
    ck_assert_int_eq(send(end.peer, "pong", 4, 0), 4);
    turn_until(&end.readable, 1);
    ck_assert_int_eq(end.last_read, STREAM_AGAIN);
    ck_assert_mem_eq(end.received, "pong", 4);
}
END_TEST

START_TEST(connecting_to_nobody_fails_in_the_next_turn_with_a_text) {
    struct addr addr;
    close(listen_on_loopback(&addr));
    end.stream = stream_plain_connect(loop, &addr, on_event, &end);
    ck_assert_int_eq(end.failed, 0);
    turn_until(&end.failed, 1);
    ck_assert_int_eq(end.ready, 0);
    ck_assert_str_eq(stream_error(end.stream), "connection refused");
    ck_assert_int_eq(end.stream->failure_errno, ECONNREFUSED);
    char c;
    ck_assert_int_eq(stream_read(end.stream, &c, 1), STREAM_BROKEN);
    ck_assert_int_eq(stream_write(end.stream, SLICE("x")), STREAM_BROKEN);
    loop_turn(loop, 0);
    ck_assert_int_eq(end.failed, 1);
}
END_TEST

START_TEST(a_failure_known_at_once_waits_for_the_next_turn_too) {
    struct addr addr;
    ck_assert_int_eq(addr_parse(SLICE("unix:/nonexistent/socket"), &addr, NULL), 0);
    end.stream = stream_plain_connect(loop, &addr, on_event, &end);
    ck_assert_int_eq(end.failed, 0);
    stream_set_reading(end.stream, false);
    stream_set_reading(end.stream, true);
    loop_turn(loop, 1000);
    ck_assert_int_eq(end.failed, 1);
    ck_assert_str_eq(stream_error(end.stream), "No such file or directory");
}
END_TEST

START_TEST(running_out_of_descriptors_is_a_failure_like_others) {
    struct addr addr;
    ck_assert_int_eq(addr_parse(SLICE("127.0.0.1:1"), &addr, NULL), 0);
    struct rlimit old;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    struct rlimit none = {.rlim_cur = 3, .rlim_max = old.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    end.stream = stream_plain_connect(loop, &addr, on_event, &end);
    stream_set_reading(end.stream, true);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    loop_turn(loop, 1000);
    ck_assert_int_eq(end.failed, 1);
    ck_assert_str_eq(stream_error(end.stream), "out of file descriptors");
}
END_TEST

START_TEST(a_short_write_is_followed_by_writable_once) {
    open_pair();
    loop_turn(loop, 1000);
    static const char block[256 * 1024];
    size_t sent = 0;
    ssize_t n;
    while ((n = stream_write(end.stream, slice_make(block, sizeof block))) > 0) {
        sent += (size_t)n;
    }
    ck_assert_int_eq(n, 0);
    loop_turn(loop, 10);
    ck_assert_int_eq(end.writable, 0);
    static char sink[64 * 1024];
    size_t drained = 0;
    while (drained < sent) {
        n = recv(end.peer, sink, sizeof sink, 0);
        ck_assert_int_gt(n, 0);
        drained += (size_t)n;
    }
    turn_until(&end.writable, 1);
    loop_turn(loop, 10);
    ck_assert_int_eq(end.writable, 1);
}
END_TEST

START_TEST(a_write_before_ready_is_taken_up_after_it) {
    open_pair();
    ck_assert_int_eq(stream_write(end.stream, SLICE("early")), 0);
    turn_until(&end.writable, 1);
    ck_assert_int_eq(end.ready, 1);
}
END_TEST

START_TEST(nothing_is_reported_while_reading_is_off) {
    open_pair();
    loop_turn(loop, 1000);
    stream_set_reading(end.stream, false);
    ck_assert_int_eq(send(end.peer, "x", 1, 0), 1);
    loop_turn(loop, 20);
    loop_turn(loop, 0);
    ck_assert_int_eq(end.readable, 0);
    stream_set_reading(end.stream, true);
    turn_until(&end.readable, 1);
    ck_assert_uint_eq(end.received_len, 1);
}
END_TEST

START_TEST(eof_is_reported_and_does_not_spin) {
    open_pair();
    loop_turn(loop, 1000);
    ck_assert_int_eq(shutdown(end.peer, SHUT_WR), 0);
    turn_until(&end.readable, 1);
    ck_assert_int_eq(end.last_read, STREAM_EOF);
    loop_turn(loop, 20);
    loop_turn(loop, 20);
    ck_assert_int_eq(end.readable, 1);
    ck_assert_int_eq(stream_write(end.stream, SLICE("still")), 5); /* half closed only */
}
END_TEST

START_TEST(shutdown_write_lets_the_answer_through) {
    open_tcp();
    turn_until(&end.ready, 1);
    stream_shutdown_write(end.stream);
    ck_assert_int_eq(stream_write(end.stream, SLICE("x")), STREAM_BROKEN);
    char c;
    ck_assert_int_eq(recv(end.peer, &c, 1, 0), 0);
    ck_assert_int_eq(send(end.peer, "answer", 6, 0), 6);
    turn_until(&end.readable, 1);
    ck_assert_mem_eq(end.received, "answer", 6);
}
END_TEST

/* Whatever the peer has to say, as TCP and over a unix socket. */
START_TEST(what_is_discarded_is_gone_and_the_end_is_told) {
    static char block[65536];
    if (_i == 0) {
        open_tcp();
    } else {
        open_pair();
    }
    turn_until(&end.ready, 1);
    stream_set_reading(end.stream, false);
    ck_assert_int_eq(stream_discard(end.stream), STREAM_AGAIN);
    stream_shutdown_write(end.stream);
    ssize_t sent = 0, dropped = 0;
    for (int i = 0; i < 100; i++) {
        ssize_t n = send(end.peer, block, sizeof block, MSG_DONTWAIT);
        sent += n > 0 ? n : 0;
        n = stream_discard(end.stream);
        dropped += n > 0 ? n : 0;
    }
    ck_assert_int_eq(shutdown(end.peer, SHUT_WR), 0);
    for (ssize_t n = 1; n > 0; dropped += n) {
        n = stream_discard(end.stream);
        ck_assert_int_ge(n, 0);
    }
    ck_assert_int_gt(sent, (ssize_t)sizeof block);
    ck_assert_int_eq(dropped, sent);
    stream_set_reading(end.stream, true);
    loop_turn(loop, 20);
    ck_assert_int_eq(end.readable, 0); /* told is told */
}
END_TEST

START_TEST(a_reset_ends_discarding) {
    open_tcp();
    turn_until(&end.ready, 1);
    stream_set_reading(end.stream, false);
    struct linger at_once = {.l_onoff = 1};
    ck_assert_int_eq(setsockopt(end.peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(end.peer);
    end.peer = -1;
    ck_assert_int_eq(stream_discard(end.stream), STREAM_BROKEN);
    ck_assert_str_eq(stream_error(end.stream), "connection reset by peer");
}
END_TEST

/* An upstream that answers early, closes, and gets more of the request: the answer is still read. No SIGPIPE either. */
START_TEST(what_the_peer_said_survives_a_broken_write) {
    open_tcp();
    turn_until(&end.ready, 1);
    stream_set_reading(end.stream, false);
    ck_assert_int_eq(send(end.peer, "answer", 6, 0), 6);
    struct linger at_once = {.l_onoff = 1};
    ck_assert_int_eq(setsockopt(end.peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(end.peer);
    end.peer = -1;
    ssize_t n = 0;
    for (int i = 0; i < 1000 && n >= 0; i++) {
        n = stream_write(end.stream, SLICE("more"));
    }
    ck_assert_int_eq(n, STREAM_BROKEN);
    ck_assert_int_eq(stream_write(end.stream, SLICE("more")), STREAM_BROKEN);
    stream_set_reading(end.stream, true);
    turn_until(&end.readable, 1);
    ck_assert_uint_eq(end.received_len, 6);
    ck_assert_mem_eq(end.received, "answer", 6);
}
END_TEST

START_TEST(a_write_to_a_peer_that_left_is_no_signal) {
    open_pair();
    loop_turn(loop, 1000);
    close(end.peer);
    end.peer = -1;
    ck_assert_int_eq(stream_write(end.stream, SLICE("x")), STREAM_BROKEN);
    ck_assert_str_eq(stream_error(end.stream), "closed by peer");
}
END_TEST

START_TEST(a_reset_breaks_reading) {
    open_tcp();
    turn_until(&end.ready, 1);
    struct linger at_once = {.l_onoff = 1};
    ck_assert_int_eq(setsockopt(end.peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(end.peer);
    end.peer = -1;
    turn_until(&end.readable, 1);
    ck_assert_int_eq(end.last_read, STREAM_BROKEN);
    ck_assert_str_eq(stream_error(end.stream), "connection reset by peer");
    loop_turn(loop, 20);
    ck_assert_int_eq(end.readable, 1);
}
END_TEST

static void check_close(bool reset, ssize_t expected, int expected_errno) {
    open_tcp();
    turn_until(&end.ready, 1);
    stream_close(&end.stream, reset);
    ck_assert_ptr_null(end.stream);
    loop_turn(loop, 0);
    char c;
    errno = 0;
    ck_assert_int_eq(recv(end.peer, &c, 1, 0), expected);
    ck_assert_int_eq(errno, expected_errno);
}

START_TEST(close_is_an_end_for_the_peer) { check_close(false, 0, 0); }
END_TEST
START_TEST(close_with_reset_is_a_reset_for_the_peer) { check_close(true, -1, ECONNRESET); }
END_TEST

START_TEST(a_stream_may_be_closed_in_its_own_events) {
    open_pair();
    end.close_at_ready = true;
    ck_assert_int_eq(send(end.peer, "x", 1, 0), 1);
    loop_turn(loop, 1000);
    loop_turn(loop, 0);
    ck_assert_int_eq(end.ready, 1);
    ck_assert_int_eq(end.readable, 0);
    close(end.peer);
    end = (struct end){.close_at_readable = true};
    open_pair();
    loop_turn(loop, 1000);
    ck_assert_int_eq(send(end.peer, "x", 1, 0), 1);
    turn_until(&end.readable, 1);
    loop_turn(loop, 0);
    ck_assert_int_eq(end.readable, 1);
}
END_TEST

START_TEST(no_event_comes_after_close) {
    open_pair();
    stream_close(&end.stream, false);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    ck_assert_int_eq(end.ready + end.readable + end.failed, 0);
    stream_close(&end.stream, false); /* NULL is fine */
}
END_TEST

START_TEST(another_owner_gets_further_events) {
    open_pair();
    loop_turn(loop, 1000);
    struct end other = {.stream = end.stream};
    stream_set_owner(end.stream, on_event, &other);
    ck_assert_int_eq(send(end.peer, "x", 1, 0), 1);
    turn_until(&other.readable, 1);
    ck_assert_int_eq(end.readable, 0);
}
END_TEST

Suite *io_stream_plain_suite(void);
Suite *io_stream_plain_suite(void) {
    Suite *suite = suite_create("stream_plain");
    TCase *tcase = tcase_create("stream_plain");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, ready_comes_once_and_not_from_within_the_call);
    tcase_add_test(tcase, bytes_go_both_ways);
    tcase_add_test(tcase, connecting_to_nobody_fails_in_the_next_turn_with_a_text);
    tcase_add_test(tcase, a_failure_known_at_once_waits_for_the_next_turn_too);
    tcase_add_test(tcase, running_out_of_descriptors_is_a_failure_like_others);
    tcase_add_test(tcase, a_short_write_is_followed_by_writable_once);
    tcase_add_test(tcase, a_write_before_ready_is_taken_up_after_it);
    tcase_add_test(tcase, nothing_is_reported_while_reading_is_off);
    tcase_add_test(tcase, eof_is_reported_and_does_not_spin);
    tcase_add_test(tcase, shutdown_write_lets_the_answer_through);
    tcase_add_loop_test(tcase, what_is_discarded_is_gone_and_the_end_is_told, 0, 2);
    tcase_add_test(tcase, a_reset_ends_discarding);
    tcase_add_test(tcase, what_the_peer_said_survives_a_broken_write);
    tcase_add_test(tcase, a_write_to_a_peer_that_left_is_no_signal);
    tcase_add_test(tcase, a_reset_breaks_reading);
    tcase_add_test(tcase, close_is_an_end_for_the_peer);
    tcase_add_test(tcase, close_with_reset_is_a_reset_for_the_peer);
    tcase_add_test(tcase, a_stream_may_be_closed_in_its_own_events);
    tcase_add_test(tcase, no_event_comes_after_close);
    tcase_add_test(tcase, another_owner_gets_further_events);
    suite_add_tcase(suite, tcase);
    return suite;
}
