/*
 * origin: the upstream of the benchmark: plain HTTP/1.1 with keep-alive on loopback, one thread, so that what a
 * stranger measures does not hang on which server he has. Started by tests/bench/bench.py and gate.py.
 *
 *   origin        prints the port it listens on; ends when its standard input is closed
 *
 * GET /1m answers 1 MiB, everything else 1 KiB; a body of known length is read to its end first. Chunked requests are
 * not understood: the connection is closed.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX 32768
#define SMALL 1024
#define LARGE (1024 * 1024)

struct connection {
    int fd;
    char head[HEAD_MAX];
    size_t len;
    unsigned long body_left;
    bool is_in_body, is_large;
    size_t written, to_write;
    bool waits_for_write;
};

static int epoll_fd;
static char small_answer[SMALL + 512], large_answer[LARGE + 512];
static size_t small_size, large_size;

static void die(const char *what) {
    fprintf(stderr, "origin: %s: %s\n", what, strerror(errno));
    exit(2);
}

static size_t make_answer(char *out, size_t size, size_t body) {
    int head = snprintf(out, size,
                        "HTTP/1.1 200 OK\r\nServer: bench-origin\r\nContent-Type: application/octet-stream\r\n"
                        "Content-Length: %zu\r\nConnection: keep-alive\r\n\r\n",
                        body);
    memset(out + head, 'b', body);
    return (size_t)head + body;
}

static void close_connection(struct connection *connection) {
    close(connection->fd);
    free(connection);
}

static void want(struct connection *connection, bool writes) {
    struct epoll_event event = {.events = writes ? EPOLLOUT : EPOLLIN, .data.ptr = connection};
    if (connection->waits_for_write != writes && epoll_ctl(epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) < 0)
        die("epoll_ctl");
    connection->waits_for_write = writes;
}

/* False: the connection has failed. */
static bool write_answer(struct connection *connection) {
    const char *answer = connection->is_large ? large_answer : small_answer;
    while (connection->written < connection->to_write) {
        ssize_t n = send(connection->fd, answer + connection->written, connection->to_write - connection->written,
                         MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0)
            return false;
        connection->written += (size_t)n;
    }
    want(connection, connection->written < connection->to_write);
    return true;
}

static bool answer(struct connection *connection) {
    connection->is_in_body = false;
    connection->len = 0;
    connection->written = 0;
    connection->to_write = connection->is_large ? large_size : small_size;
    return write_answer(connection);
}

static bool take_head(struct connection *connection) {
    connection->head[connection->len] = '\0';
    char *end = strstr(connection->head, "\r\n\r\n");
    if (!end)
        return connection->len < HEAD_MAX - 1;
    size_t extra = connection->len - (size_t)(end + 4 - connection->head);
    end[2] = '\0';
    const char *length = strcasestr(connection->head, "\r\ncontent-length:");
    if (strcasestr(connection->head, "\r\ntransfer-encoding:"))
        return false;
    connection->is_large = strncmp(connection->head, "GET /1m ", 8) == 0;
    connection->body_left = length ? strtoul(length + 17, NULL, 10) : 0;
    if (extra > connection->body_left)
        return false;
    connection->body_left -= extra;
    connection->is_in_body = true;
    return connection->body_left || answer(connection);
}

static bool read_some(struct connection *connection) {
    static char body[262144];
    char *to = connection->is_in_body ? body : connection->head + connection->len;
    size_t size = connection->is_in_body ? sizeof body : HEAD_MAX - 1 - connection->len;
    ssize_t n = recv(connection->fd, to, size, 0);
    if (n < 0 && errno == EAGAIN)
        return true;
    if (n <= 0)
        return false;
    if (!connection->is_in_body) {
        connection->len += (size_t)n;
        return take_head(connection);
    }
    if ((unsigned long)n > connection->body_left)
        return false;
    connection->body_left -= (unsigned long)n;
    return connection->body_left || answer(connection);
}

static void accept_all(int listening) {
    int fd, one = 1;
    while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *connection = calloc(1, sizeof *connection);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        if (!connection)
            die("memory");
        connection->fd = fd;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
            die("epoll_ctl");
    }
}

static int listen_somewhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        die("listen");
    printf("%d\n", ntohs(address.sin_port));
    (void)fflush(stdout);
    return fd;
}

int main(void) {
    static int input = STDIN_FILENO, listening;
    struct epoll_event events[256];
    (void)signal(SIGPIPE, SIG_IGN);
    small_size = make_answer(small_answer, sizeof small_answer, SMALL);
    large_size = make_answer(large_answer, sizeof large_answer, LARGE);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    listening = listen_somewhere();
    struct epoll_event on_input = {.events = EPOLLIN, .data.ptr = &input};
    struct epoll_event on_listening = {.events = EPOLLIN, .data.ptr = &listening};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, input, &on_input) < 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listening, &on_listening) < 0)
        die("epoll_ctl");
    for (;;) {
        int count = epoll_wait(epoll_fd, events, 256, -1);
        for (int i = 0; i < count; i++) {
            void *of = events[i].data.ptr;
            if (of == &input)
                return 0;
            if (of == &listening) {
                accept_all(listening);
                continue;
            }
            struct connection *connection = of;
            if (!(connection->waits_for_write ? write_answer(connection) : read_some(connection)))
                close_connection(connection);
        }
    }
}
