/*
 * load: the clients of the benchmark: TLS over epoll, one thread, loopback only. Started by tests/bench/bench.py and
 * gate.py; prints one JSON object.
 *
 *   load [options] PORT        what an operation is: --mode
 *     handshake   connect, full handshake, one request, close
 *     resume      the same, with the session of this place's last connection
 *     request     one request on a kept connection (GET, or POST of --body bytes)
 *     hold        connections that are set up and then held (--first: with one request each)
 *
 * Closed loop: each of --conns places begins its next operation when one has ended. With --rate the beginnings come
 * from a schedule and a latency counts from the scheduled time, so a server that stalls cannot hide it by slowing its
 * clients down. With --server PIDS the CPU time of those processes in the measured window is told.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "load_options.h"
#include "measure.h"

#define HEAD_MAX 32768 /* a head and what came with it in one record */
#define CHUNK 16384
#define SECOND 1000000000LL

/* CLOSED -> CONNECTING -> SENDING -> READING -> READY (request), CLOSED (handshake, resume), HELD (hold) */
enum phase { PHASE_CLOSED, PHASE_CONNECTING, PHASE_SENDING, PHASE_READING, PHASE_READY, PHASE_HELD };

struct credential {
    X509 *cert;
    EVP_PKEY *key;
};

struct place {
    enum phase phase;
    int fd, number;
    SSL *ssl;
    SSL_SESSION *session;
    char request[1024];
    size_t request_len, sent;
    unsigned long body_left, content_left;
    char head[HEAD_MAX];
    size_t head_len;
    bool is_in_body, closes;
    int64_t due, active;
};

static struct load_options options;
static SSL_CTX *tls;
static int epoll_fd, place_index;
static struct place *places, **idle;
static int idle_count;
static struct credential *credentials;
static unsigned long begun, done, failed, full, resumed, refused_status;
static bool is_measuring;
static char first_failure[128];
static struct samples samples;

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "");
    ERR_print_errors_fp(stderr);
    exit(2);
}

/* ---- TLS ---- */

static int keep_session(SSL *ssl, SSL_SESSION *session) {
    struct place *place = SSL_get_ex_data(ssl, place_index);
    if (options.mode != MODE_RESUME)
        return 0;
    SSL_SESSION_free(place->session);
    place->session = session;
    return 1;
}

/* Names come from the command line; what fills them is a number. */
static void numbered(char *out, size_t size, const char *pattern, int number) {
    const char *at = strstr(pattern, "%d");
    if (at)
        (void)snprintf(out, size, "%.*s%d%s", (int)(at - pattern), pattern, number, at + 2);
    else
        (void)snprintf(out, size, "%s", pattern);
}

static struct credential load_credential(int number) {
    char cert[512], key[512];
    numbered(cert, sizeof cert, options.cert, number);
    numbered(key, sizeof key, options.key, number);
    struct credential loaded;
    SSL *ssl = SSL_new(tls);
    if (SSL_use_certificate_file(ssl, cert, SSL_FILETYPE_PEM) != 1 ||
        SSL_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1)
        die(cert);
    loaded.cert = SSL_get_certificate(ssl);
    loaded.key = SSL_get_privatekey(ssl);
    X509_up_ref(loaded.cert);
    EVP_PKEY_up_ref(loaded.key);
    SSL_free(ssl);
    return loaded;
}

static void open_tls(void) {
    tls = SSL_CTX_new(TLS_client_method());
    place_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    SSL_CTX_set_mode(tls,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(tls, keep_session);
    int count = options.cert ? (options.certs ? options.certs : 1) : 0;
    credentials = calloc((size_t)count + 1, sizeof *credentials);
    for (int i = 0; i < count; i++)
        credentials[i] = load_credential(i);
}

static void start_tls(struct place *place) {
    char name[256];
    unsigned long turn = options.mode == MODE_RESUME ? (unsigned long)place->number : begun;
    int name_number = options.names ? (int)(turn % (unsigned)options.names) : 0;
    numbered(name, sizeof name, options.name, name_number);
    place->request_len = (size_t)snprintf(
        place->request, sizeof place->request, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: sallyport-bench\r\n%s",
        options.body ? "POST" : "GET", options.path, name,
        options.mode == MODE_HANDSHAKE || options.mode == MODE_RESUME ? "Connection: close\r\n" : "");
    if (options.body)
        place->request_len +=
            (size_t)snprintf(place->request + place->request_len, 64, "Content-Length: %lu\r\n", options.body);
    place->request_len += (size_t)snprintf(place->request + place->request_len, 8, "\r\n");
    place->ssl = SSL_new(tls);
    SSL_set_ex_data(place->ssl, place_index, place);
    SSL_set_fd(place->ssl, place->fd);
    SSL_set_tlsext_host_name(place->ssl, name);
    if (options.cert) {
        struct credential *own = &credentials[options.certs ? turn % (unsigned)options.certs : 0];
        SSL_use_certificate(place->ssl, own->cert);
        SSL_use_PrivateKey(place->ssl, own->key);
    }
    if (place->session)
        SSL_set_session(place->ssl, place->session);
    SSL_set_connect_state(place->ssl);
}

/* ---- a place ---- */

static void drive(struct place *place);
static void finish_operation(struct place *place);

static void close_place(struct place *place) {
    if (place->ssl) {
        if (place->phase > PHASE_CONNECTING)
            SSL_shutdown(place->ssl);
        ERR_clear_error();
        SSL_free(place->ssl);
        place->ssl = NULL;
    }
    if (place->fd >= 0)
        close(place->fd);
    place->fd = -1;
    place->phase = PHASE_CLOSED;
}

static void fail(struct place *place, const char *what) {
    if (!failed++) {
        unsigned long error = ERR_peek_error();
        const char *why = error ? ERR_reason_error_string(error) : (errno ? strerror(errno) : "closed");
        (void)snprintf(first_failure, sizeof first_failure, "%s: %s", what, why ? why : "?");
    }
    close_place(place);
    idle[idle_count++] = place;
}

static void start_request(struct place *place) {
    place->phase = PHASE_SENDING;
    place->sent = place->head_len = 0;
    place->body_left = options.body;
    place->is_in_body = place->closes = false;
}

static void start_connection(struct place *place) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = place};
    int one = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    place->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (place->fd < 0)
        die("socket");
    (void)setsockopt(place->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    place->phase = PHASE_CONNECTING;
    start_tls(place);
    begun++;
    if (connect(place->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
        fail(place, "connect");
    else if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, place->fd, &event) < 0)
        die("epoll_ctl");
}

static void start_operation(struct place *place, int64_t due) {
    place->due = due;
    place->active = now_ns();
    if (place->phase == PHASE_READY) {
        start_request(place);
        drive(place);
    } else {
        start_connection(place);
    }
}

static void finish_operation(struct place *place) {
    if (is_measuring) {
        done++;
        samples_add(&samples, now_ns() - place->due);
    }
    if (options.mode == MODE_HOLD) {
        place->phase = PHASE_HELD;
        return;
    }
    if (options.mode == MODE_REQUEST && !place->closes)
        place->phase = PHASE_READY;
    else
        close_place(place);
    idle[idle_count++] = place;
}

/* ---- the response ---- */

/* The value of a header field, or NULL. head ends with a NUL. */
static const char *field(const char *head, const char *name) {
    size_t len = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':')
            return line + 3 + len + strspn(line + 3 + len, " ");
    }
    return NULL;
}

/* Takes the head once it is whole; what follows it counts as body. False: not a response that we know. */
static bool take_head(struct place *place) {
    place->head[place->head_len] = '\0';
    char *end = strstr(place->head, "\r\n\r\n");
    if (!end)
        return place->head_len < HEAD_MAX - 1;
    size_t extra = place->head_len - (size_t)(end + 4 - place->head);
    end[2] = '\0';
    const char *length = field(place->head, "content-length"), *connection = field(place->head, "connection");
    if (!length || strncmp(place->head, "HTTP/1.1 ", 9) != 0)
        return false;
    refused_status += strncmp(place->head + 9, "200", 3) != 0;
    place->closes = connection && strncasecmp(connection, "close", 5) == 0;
    place->is_in_body = true;
    place->content_left = strtoul(length, NULL, 10);
    if (extra > place->content_left)
        return false;
    place->content_left -= extra;
    return true;
}

static bool take_bytes(struct place *place, const char *bytes, size_t len) {
    if (place->is_in_body) {
        if (len > place->content_left)
            return false;
        place->content_left -= len;
        return true;
    }
    if (len > HEAD_MAX - 1 - place->head_len)
        return false;
    memcpy(place->head + place->head_len, bytes, len);
    place->head_len += len;
    return take_head(place);
}

/* ---- progress ---- */

/* More to do at once; else the place waits for its socket, or has ended. */
static bool step_connecting(struct place *place) {
    int result = SSL_do_handshake(place->ssl);
    if (result == 1) {
        if (is_measuring)
            *(SSL_session_reused(place->ssl) ? &resumed : &full) += 1;
        if (options.mode == MODE_HOLD && !options.asks_first)
            finish_operation(place);
        else
            start_request(place);
        return true;
    }
    int error = SSL_get_error(place->ssl, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        fail(place, "handshake");
    return false;
}

static bool step_sending(struct place *place) {
    static const char body[CHUNK];
    const char *from = place->request + place->sent;
    size_t len = place->request_len - place->sent;
    if (len == 0 && place->body_left == 0) {
        place->phase = PHASE_READING;
        return true;
    }
    if (len == 0) {
        from = body;
        len = place->body_left < CHUNK ? place->body_left : CHUNK;
    }
    int result = SSL_write(place->ssl, from, (int)len);
    if (result > 0) {
        if (from == body)
            place->body_left -= (unsigned long)result;
        else
            place->sent += (size_t)result;
        return true;
    }
    if (SSL_get_error(place->ssl, result) != SSL_ERROR_WANT_WRITE)
        fail(place, "write");
    return false;
}

static bool step_reading(struct place *place) {
    static char bytes[CHUNK];
    int result = SSL_read(place->ssl, bytes, sizeof bytes);
    if (result > 0) {
        if (!take_bytes(place, bytes, (size_t)result)) {
            errno = 0;
            fail(place, "response");
        } else if (place->is_in_body && place->content_left == 0) {
            finish_operation(place);
        }
        return place->phase == PHASE_READING;
    }
    if (SSL_get_error(place->ssl, result) != SSL_ERROR_WANT_READ)
        fail(place, "read");
    return false;
}

/* A connection that waits: takes tickets, and notices its end. */
static void step_waiting(struct place *place) {
    char byte;
    int result = SSL_read(place->ssl, &byte, 1);
    if (result > 0 || SSL_get_error(place->ssl, result) == SSL_ERROR_WANT_READ)
        return;
    if (place->phase == PHASE_HELD && !failed++)
        (void)snprintf(first_failure, sizeof first_failure, "a held connection was closed");
    close_place(place); /* a READY place stays among the idle and connects again */
}

static void drive(struct place *place) {
    place->active = now_ns();
    bool goes_on = true;
    while (goes_on) {
        switch (place->phase) {
        case PHASE_CONNECTING:
            goes_on = step_connecting(place);
            break;
        case PHASE_SENDING:
            goes_on = step_sending(place);
            break;
        case PHASE_READING:
            goes_on = step_reading(place);
            break;
        case PHASE_READY:
        case PHASE_HELD:
            step_waiting(place);
            return;
        case PHASE_CLOSED:
            return;
        }
    }
}

static void wait_events(int64_t at_most_ns) {
    struct epoll_event events[256];
    struct timespec wait = {.tv_nsec = at_most_ns < 0 ? 0 : (long)at_most_ns};
    int count = epoll_pwait2(epoll_fd, events, 256, &wait, NULL);
    for (int i = 0; i < count; i++) {
        struct place *place = events[i].data.ptr;
        errno = 0;
        ERR_clear_error();
        drive(place);
    }
}

/* ---- loops ---- */

static bool is_busy(const struct place *place) {
    return place->phase == PHASE_CONNECTING || place->phase == PHASE_SENDING || place->phase == PHASE_READING;
}

static int count_busy(void) {
    int count = 0;
    for (int i = 0; i < options.conns; i++)
        count += is_busy(&places[i]);
    return count;
}

/* Begins what is due; returns how long there is nothing to begin. */
static int64_t begin_due(int64_t start, unsigned long *scheduled) {
    if (options.rate <= 0) {
        for (int n = idle_count; n > 0 && idle_count > 0; n--)
            start_operation(idle[--idle_count], now_ns());
        return idle_count ? 0 : 1000000;
    }
    int64_t now = now_ns();
    while (idle_count > 0) {
        int64_t due = start + (int64_t)((double)*scheduled * 1e9 / options.rate);
        if (due > now)
            return due - now < 1000000 ? due - now : 1000000;
        ++*scheduled;
        start_operation(idle[--idle_count], due);
    }
    return 1000000;
}

struct window {
    struct usage before, after;
    int64_t start, end;
    double own;
    unsigned long unsent;
};

static void open_window(struct window *window) {
    window->own = own_cpu_seconds();
    window->before = usage_read(options.server);
    window->start = now_ns();
    is_measuring = true;
}

static void close_window(struct window *window) {
    window->end = now_ns();
    window->after = usage_read(options.server);
    window->own = own_cpu_seconds() - window->own;
    is_measuring = false;
}

static void run_load(struct window *window) {
    int64_t start = now_ns(), measure_at = start + (int64_t)(options.requests ? 0 : options.warmup * 1e9);
    int64_t length = options.requests ? 300 * SECOND : (int64_t)(options.seconds * 1e9);
    unsigned long scheduled = 0;
    for (;;) {
        if (!is_measuring && now_ns() >= measure_at)
            open_window(window);
        if (is_measuring && (now_ns() >= window->start + length || (options.requests && done >= options.requests)))
            break;
        wait_events(begin_due(start, &scheduled));
    }
    close_window(window);
    if (options.rate > 0) {
        unsigned long should = (unsigned long)((double)(window->end - start) * options.rate / 1e9);
        window->unsent = should > scheduled ? should - scheduled : 0;
    }
    for (int64_t until = now_ns() + 2 * SECOND; count_busy() && now_ns() < until;)
        wait_events(1000000);
}

static void run_hold(struct window *window) {
    open_window(window);
    while (idle_count || count_busy()) {
        while (idle_count && count_busy() < 64 && !failed)
            start_operation(idle[--idle_count], now_ns());
        if (failed)
            break;
        wait_events(1000000);
    }
    for (int64_t until = now_ns() + (int64_t)(options.hold * 1e9); now_ns() < until;)
        wait_events(10000000);
    close_window(window);
}

/* ---- the result ---- */

static void print_result(const struct window *window) {
    double seconds = (double)(window->end - window->start) / 1e9, cpu = window->after.cpu_s - window->before.cpu_s;
    printf("{\"operations\": %lu, \"seconds\": %.3f, \"per_second\": %.1f, \"failed\": %lu, \"not_200\": %lu, ", done,
           seconds, (double)done / seconds, failed, refused_status);
    printf("\"full\": %lu, \"resumed\": %lu, \"client_busy\": %.2f", full, resumed, window->own / seconds);
    if (failed)
        printf(", \"first_failure\": \"%s\"", first_failure);
    if (options.rate > 0)
        printf(", \"rate\": %.1f, \"unsent\": %lu", options.rate, window->unsent);
    if (done)
        printf(", \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f",
               samples_percentile(&samples, 50), samples_percentile(&samples, 90), samples_percentile(&samples, 99),
               samples_percentile(&samples, 100));
    if (options.server && done)
        printf(", \"cpu_us\": %.2f, \"server_busy\": %.2f, \"pss_kib_before\": %lu, \"pss_kib_after\": %lu",
               cpu * 1e6 / (double)done, cpu / seconds, window->before.pss_kib, window->after.pss_kib);
    printf("}\n");
}

int main(int argc, char **argv) {
    struct rlimit files;
    struct window window = {.start = 0};
    if (!load_options_parse(argc, argv, &options))
        return 2;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_TIMERSLACK, 1000);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    open_tls();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    places = calloc((size_t)options.conns, sizeof *places);
    idle = calloc((size_t)options.conns, sizeof(struct place *));
    if (!places || !idle || epoll_fd < 0)
        die("start");
    for (int i = options.conns - 1; i >= 0; i--) {
        places[i].fd = -1;
        places[i].number = i;
        idle[idle_count++] = &places[i];
    }
    if (options.mode == MODE_HOLD)
        run_hold(&window);
    else
        run_load(&window);
    print_result(&window);
    return failed > 0;
}
