/*
 * stream_tls: the server side of TLS as an io/stream. The proxy's client opens one for each accepted connection;
 * readiness comes from io/loop, bytes go by SSL_read and SSL_write through bio.c, which makes few system calls of them.
 * Owns the descriptor, the SSL, the handshake's record and, until it is taken, the peer.
 *
 *   HANDSHAKING --READY--> OPEN --read or write broke--> DEAD
 *        \------FAILED---------------------------------> DEAD
 *
 * A step of a handshake takes as long as twenty requests: it is queued (io/loop), so that those who are connected do
 * not wait for those who would be. A handshake that has begun goes before one that has not.
 *
 * A read may have to wait until the socket can be written (OpenSSL answers a renewal of keys): `read_waits`. Bytes that
 * OpenSSL or the BIO hold make no socket readable, so reading triggers itself as long as there are any.
 *
 * A write makes up to four records and sends them at once. The owner hears that they were taken when all of them are in
 * the kernel: what it keeps until then is what a client is slow to take.
 */
#include "tls/stream_tls.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "bio_priv.h"
#include "handshake_priv.h"
#include "io/stream_impl.h"

#define RECORD_MAX 16384
#define RECORDS_PER_SEND 4
/* Input thrown away when a connection is closed: unread bytes would make the kernel send a reset, which may overtake
 * our last words. */
#define DISCARD_MAX (256 * 1024)

/* Reads of the socket for one call of OpenSSL: a record takes two, when it comes whole. */
#define READS_PER_CALL 64
/* Records in a row that brought no data: renewals of keys, warnings, empty ones. Each costs more than it cost its
 * sender; honest clients send one now and then (sec-38, sec-41). */
#define BARE_RECORDS_MAX 32

enum tls_state { TLS_HANDSHAKING, TLS_OPEN, TLS_DEAD };

struct stream_tls {
    struct stream base;
    enum tls_state state;
    SSL *ssl;
    struct loop_watch *watch;
    struct handshake *handshake; /* while HANDSHAKING, and after FAILED */
    struct peer *peer;
    bool is_silent;        /* the client went away before its ClientHello */
    bool wants_reading;    /* the owner's wish */
    bool wants_writable;   /* a write was short */
    struct loop_task step; /* of the handshake, when the socket is ready for it */
    bool has_begun;        /* a step has been done */
    bool has_waited;       /* not in the turn in which it was ready */
    int handshake_waits;   /* LOOP_READ or LOOP_WRITE: what the next step waits for */
    int read_waits;
    unsigned bare_records; /* since data last came */
    size_t retry_len;      /* bytes whose records are made, but not sent: the next write starts with them */
    bool is_in_readable;   /* the owner is being told: what it leaves is looked at afterwards */
    bool is_read_over;     /* EOF or broken */
    bool is_discarding;    /* what comes is no longer decrypted */
    bool is_write_over;    /* half closed or broken */
    bool is_fin_sent;
    bool has_close_notify_due; /* close_notify is still to be sent */
};

static struct stream_tls *tls_of(struct stream *stream) { return (struct stream_tls *)stream; }
static const struct stream_tls *tls_of_const(const struct stream *stream) { return (const struct stream_tls *)stream; }

static void update_interest(struct stream_tls *tls) {
    int interest = 0;
    if (tls->state == TLS_HANDSHAKING) {
        interest = tls->handshake_waits;
    } else if (tls->state == TLS_OPEN) {
        interest |= tls->wants_reading && !tls->is_read_over ? tls->read_waits : 0;
        interest |= tls->wants_writable ? LOOP_WRITE : 0;
        interest |= tls->has_close_notify_due ? LOOP_WRITE : 0;
    }
    loop_watch_set(tls->watch, interest);
}

static void set_state(struct stream_tls *tls, enum tls_state state) {
    tls->state = state;
    update_interest(tls);
}

static BIO *bio_of(const struct stream_tls *tls) { return SSL_get_rbio(tls->ssl); }

/* Bytes inside OpenSSL or the BIO are as good as a readable socket. */
static bool has_pending(const struct stream_tls *tls) {
    return !tls->is_discarding && (SSL_pending(tls->ssl) > 0 || socket_bio_holds(bio_of(tls)));
}

static void trigger_pending(struct stream_tls *tls) {
    if (tls->state == TLS_OPEN && tls->wants_reading && !tls->is_read_over && has_pending(tls)) {
        loop_watch_trigger(tls->watch, LOOP_READ);
    }
}

/* OpenSSL judges a failure by its queue of errors, which is nearly always empty; emptying it again takes longer than to
 * look. */
static void forget_errors(void) {
    if (ERR_peek_error() != 0) {
        ERR_clear_error();
    }
}

/* ---- records ---- */

/* OpenSSL tells of every record that comes in. */
static void count_record(int is_written, int version, int type, const void *bytes, size_t len, SSL *ssl, void *arg) {
    (void)version;
    (void)bytes;
    (void)len;
    (void)ssl;
    struct stream_tls *tls = arg;
    if (!is_written && type == SSL3_RT_HEADER && ++tls->bare_records > BARE_RECORDS_MAX) {
        socket_bio_allow_reads(bio_of(tls), 0);
    }
}

/* ---- handshake ---- */

static void finish_handshake(struct stream_tls *tls) {
    tls->peer = peer_capture(tls->handshake, tls->ssl);
    tls_host_take_back(tls->ssl);
    SSL_set_app_data(tls->ssl, NULL);
    handshake_free(&tls->handshake);
    SSL_set_msg_callback(tls->ssl, count_record);
    SSL_set_msg_callback_arg(tls->ssl, tls);
    set_state(tls, TLS_OPEN);
    if (stream_emit(&tls->base, STREAM_READY)) {
        trigger_pending(tls);
    }
}

static void fail_handshake(struct stream_tls *tls) {
    struct handshake *handshake = tls->handshake;
    if (handshake->full.leaf) {
        tls->peer = peer_capture(handshake, tls->ssl);
    }
    stream_set_failure(&tls->base, handshake->detail, socket_bio_errno(bio_of(tls)));
    set_state(tls, TLS_DEAD);
    (void)!stream_emit(&tls->base, STREAM_FAILED);
}

/* It gave up while it waited its turn: nothing is spent on it. */
static bool has_client_left(const struct stream_tls *tls) {
    struct pollfd client = {.fd = tls->base.fd, .events = POLLRDHUP};
    return tls->has_waited && !tls->has_begun && poll(&client, 1, 0) == 1 &&
           (client.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

bool stream_tls_is_silent(const struct stream *stream) {
    const struct stream_tls *tls = tls_of_const(stream);
    struct pollfd client = {.fd = tls->base.fd, .events = POLLIN};
    return tls->state == TLS_HANDSHAKING && !tls->handshake->has_hello && !loop_task_waits(&tls->step) &&
           poll(&client, 1, 0) == 0;
}

static void step_handshake(void *arg) {
    struct stream_tls *tls = arg;
    if (has_client_left(tls)) {
        char byte;
        tls->is_silent = recv(tls->base.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
        handshake_refuse(tls->handshake, REASON_HANDSHAKE_FAILED,
                         "the client closed the connection before its turn came");
        fail_handshake(tls);
        return;
    }
    tls->has_begun = true;
    ERR_clear_error();
    socket_bio_ready(bio_of(tls));
    socket_bio_allow_reads(bio_of(tls), READS_PER_CALL);
    int result = SSL_do_handshake(tls->ssl);
    int error = SSL_get_error(tls->ssl, result);
    if (result == 1 && SSL_session_reused(tls->ssl) && !tls->handshake->has_resumed) {
        handshake_refuse(tls->handshake, REASON_HANDSHAKE_FAILED, "a session was resumed that was not judged");
        fail_handshake(tls);
    } else if (result == 1) {
        finish_handshake(tls);
    } else if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        tls->handshake_waits = error == SSL_ERROR_WANT_READ ? LOOP_READ : LOOP_WRITE;
        update_interest(tls);
        if (error == SSL_ERROR_WANT_READ && socket_bio_holds(bio_of(tls))) {
            loop_watch_trigger(tls->watch, LOOP_READ);
        }
    } else {
        bool is_gone = handshake_explain(tls->handshake, tls->ssl, error, socket_bio_errno(bio_of(tls)));
        tls->is_silent = is_gone && !tls->handshake->has_hello;
        fail_handshake(tls);
    }
}

/* ---- bytes ---- */

/* A read or write failed for good: remembers why. */
static void break_off(struct stream_tls *tls, int ssl_error) {
    unsigned long code = ERR_peek_last_error();
    int errnum = socket_bio_errno(bio_of(tls));
    const char *text = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_reason_error_string(code) : NULL;
    if (tls->bare_records > BARE_RECORDS_MAX) {
        stream_set_failure(&tls->base, "too many TLS records without data", 0);
    } else if (ssl_error == SSL_ERROR_SSL && ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        stream_set_failure(&tls->base, "closed without close_notify", 0);
    } else if (ssl_error == SSL_ERROR_SYSCALL && errnum != 0) {
        stream_set_failure(&tls->base, NULL, errnum);
    } else {
        stream_set_failure(&tls->base, text ? text : "TLS failed", 0);
    }
    openssl_drain(NULL, "TLS");
    tls->is_read_over = tls->is_write_over = true;
    set_state(tls, TLS_DEAD);
}

static ssize_t tls_read(struct stream *stream, void *buf, size_t size) {
    struct stream_tls *tls = tls_of(stream);
    if (tls->state != TLS_OPEN) {
        return tls->state == TLS_DEAD ? STREAM_BROKEN : STREAM_AGAIN;
    }
    if (tls->is_read_over) {
        return STREAM_EOF;
    }
    forget_errors();
    socket_bio_allow_reads(bio_of(tls), READS_PER_CALL);
    socket_bio_want(bio_of(tls), size);
    stream->is_drained = false;
    int n = SSL_read(tls->ssl, buf, size > INT_MAX ? INT_MAX : (int)size);
    if (n > 0) {
        tls->bare_records = 0;
        stream->is_drained = SSL_pending(tls->ssl) == 0 && socket_bio_is_drained(bio_of(tls));
        if (!tls->is_in_readable) {
            trigger_pending(tls);
        }
        return n;
    }
    int error = SSL_get_error(tls->ssl, n);
    if (tls->bare_records > BARE_RECORDS_MAX) {
        break_off(tls, error);
        return STREAM_BROKEN;
    }
    switch (error) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        tls->read_waits = error == SSL_ERROR_WANT_READ ? LOOP_READ : LOOP_WRITE;
        update_interest(tls);
        if (error == SSL_ERROR_WANT_READ && !tls->is_in_readable) {
            trigger_pending(tls);
        }
        return STREAM_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        tls->is_read_over = true;
        update_interest(tls);
        return STREAM_EOF;
    default:
        break_off(tls, error);
        return STREAM_BROKEN;
    }
}

/* Makes records of the front of bytes and sends them. Returns how many bytes are in the kernel, or -1. */
static ssize_t write_records(struct stream_tls *tls, struct slice bytes) {
    size_t made = 0;
    int error = SSL_ERROR_NONE;
    forget_errors();
    socket_bio_gather(bio_of(tls));
    for (int i = 0; i < RECORDS_PER_SEND && made < bytes.len && error == SSL_ERROR_NONE; i++) {
        size_t rest = bytes.len - made;
        int n = SSL_write(tls->ssl, bytes.ptr + made, (int)(rest < RECORD_MAX ? rest : RECORD_MAX));
        if (n > 0) {
            made += (size_t)n;
        } else {
            error = SSL_get_error(tls->ssl, n);
        }
    }
    enum bio_sent sent = socket_bio_send(bio_of(tls));
    if (error != SSL_ERROR_NONE || sent == BIO_SENT_NEVER) {
        break_off(tls, error != SSL_ERROR_NONE ? error : SSL_ERROR_SYSCALL);
        return -1;
    }
    tls->retry_len = sent == BIO_SENT_ALL ? 0 : made;
    return sent == BIO_SENT_ALL ? (ssize_t)made : 0;
}

/* The records that wait since an earlier write; likewise. */
static ssize_t write_rest(struct stream_tls *tls) {
    size_t made = tls->retry_len;
    enum bio_sent sent = socket_bio_send_rest(bio_of(tls));
    if (sent == BIO_SENT_NEVER) {
        break_off(tls, SSL_ERROR_SYSCALL);
        return -1;
    }
    if (sent == BIO_SENT_PART) {
        return 0;
    }
    tls->retry_len = 0;
    return (ssize_t)made;
}

static ssize_t tls_write(struct stream *stream, struct slice bytes) {
    struct stream_tls *tls = tls_of(stream);
    if (tls->state == TLS_DEAD || tls->is_write_over) {
        return STREAM_BROKEN;
    }
    INVARIANT(bytes.len >= tls->retry_len); /* what was not taken has to come again */
    size_t done = 0;
    while (tls->state == TLS_OPEN && done < bytes.len) {
        ssize_t n = tls->retry_len > 0 ? write_rest(tls) : write_records(tls, slice_after(bytes, done));
        if (n < 0) {
            return STREAM_BROKEN;
        }
        if (n == 0) {
            break;
        }
        done += (size_t)n;
    }
    if (done < bytes.len) {
        tls->wants_writable = true;
        update_interest(tls);
    }
    return (ssize_t)done;
}

static void tls_set_reading(struct stream *stream, bool on) {
    struct stream_tls *tls = tls_of(stream);
    tls->wants_reading = on;
    update_interest(tls);
    trigger_pending(tls);
}

/* ---- closing ---- */

/* Sends close_notify, then FIN; later when the socket has no room. */
static void send_close_notify(struct stream_tls *tls) {
    ERR_clear_error();
    int result = SSL_shutdown(tls->ssl);
    tls->has_close_notify_due = result < 0 && SSL_get_error(tls->ssl, result) == SSL_ERROR_WANT_WRITE;
    openssl_drain(NULL, "TLS");
    if (!tls->has_close_notify_due) {
        tls->is_fin_sent = true;
        (void)shutdown(tls->base.fd, SHUT_WR);
    }
    update_interest(tls);
}

static void tls_shutdown_write(struct stream *stream) {
    struct stream_tls *tls = tls_of(stream);
    if (tls->state == TLS_OPEN && !tls->is_write_over) {
        tls->is_write_over = true;
        tls->wants_writable = false;
        send_close_notify(tls);
    }
}

static ssize_t tls_discard(struct stream *stream) {
    struct stream_tls *tls = tls_of(stream);
    if (tls->state != TLS_OPEN) {
        return tls->state == TLS_DEAD ? STREAM_BROKEN : STREAM_AGAIN;
    }
    tls->is_discarding = true;
    ssize_t n = stream_discard_socket(stream);
    tls->is_read_over |= n == STREAM_EOF || n == STREAM_BROKEN;
    tls->read_waits = LOOP_READ;
    update_interest(tls);
    return n;
}

static void discard_input(int fd) {
    char bytes[4096];
    size_t total = 0;
    ssize_t n;
    while (total < DISCARD_MAX && (n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
        total += (size_t)n;
    }
}

static void tls_close(struct stream *stream, bool reset) {
    struct stream_tls *tls = tls_of(stream);
    if (!reset) {
        tls_shutdown_write(stream);
        if (!tls->is_fin_sent) {
            (void)shutdown(stream->fd, SHUT_WR);
        }
        discard_input(stream->fd);
    }
    loop_task_cancel(&tls->step);
    loop_watch_free(&tls->watch);
}

static void tls_free(struct stream *stream) {
    struct stream_tls *tls = tls_of(stream);
    tls_host_take_back(tls->ssl);
    SSL_free(tls->ssl);
    handshake_free(&tls->handshake);
    peer_free(&tls->peer);
    mem_free(tls);
}

static const struct stream_ops TLS_OPS = {
    .read = tls_read,
    .write = tls_write,
    .set_reading = tls_set_reading,
    .shutdown_write = tls_shutdown_write,
    .discard = tls_discard,
    .close = tls_close,
    .free = tls_free,
};

/* ---- readiness ---- */

static void on_ready(void *arg, int ready) {
    struct stream_tls *tls = arg;
    if (tls->state == TLS_HANDSHAKING) {
        if (loop_task_waits(&tls->step)) {
            tls->has_waited = true;
            loop_watch_set(tls->watch, 0); /* once told is enough; the step sets it again */
        }
        loop_queue(tls->base.loop, &tls->step, tls->has_begun);
        return;
    }
    if (ready & LOOP_READ) {
        socket_bio_ready(bio_of(tls));
    }
    if (tls->has_close_notify_due && (ready & LOOP_WRITE)) {
        send_close_notify(tls);
    }
    if (tls->wants_writable && (ready & LOOP_WRITE)) {
        tls->wants_writable = false;
        if (!stream_emit(&tls->base, STREAM_WRITABLE)) {
            return;
        }
        update_interest(tls);
    }
    bool is_readable = (ready & tls->read_waits) || ((ready & LOOP_READ) && has_pending(tls));
    if (tls->state == TLS_OPEN && tls->wants_reading && !tls->is_read_over && is_readable) {
        tls->read_waits = LOOP_READ;
        tls->is_in_readable = true;
        if (!stream_emit(&tls->base, STREAM_READABLE)) {
            return;
        }
        tls->is_in_readable = false;
        update_interest(tls);
        trigger_pending(tls);
    }
}

struct stream *stream_tls_accept(struct loop *loop, int fd, struct tls_profile *profile, tls_select_fn *select,
                                 stream_fn *fn, void *owner) {
    struct stream_tls *tls = NEW(struct stream_tls);
    stream_init(&tls->base, &TLS_OPS, loop, fd, fn, owner);
    tls->handshake = handshake_new(profile, select, owner);
    tls->wants_reading = true;
    tls->handshake_waits = tls->read_waits = LOOP_READ;
    tls->ssl = SSL_new(tls_profile_ctx(profile));
    INVARIANT(tls->ssl);
    SSL_set_app_data(tls->ssl, tls->handshake);
    BIO *bio = socket_bio_new(fd);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_accept_state(tls->ssl);
    loop_task_init(&tls->step, step_handshake, tls);
    tls->watch = loop_watch_new(loop, fd, on_ready, tls);
    update_interest(tls);
    return &tls->base;
}

/* ---- what the owner may ask ---- */

struct peer *stream_tls_take_peer(struct stream *stream) {
    struct stream_tls *tls = tls_of(stream);
    INVARIANT(stream->is_open && tls->peer);
    struct peer *peer = tls->peer;
    tls->peer = NULL;
    return peer;
}

void stream_tls_failure(const struct stream *stream, struct handshake_failure *failure_out) {
    const struct stream_tls *tls = tls_of_const(stream);
    const struct handshake *handshake = tls->handshake;
    INVARIANT(handshake);
    *failure_out = (struct handshake_failure){
        .reason = handshake->reason == REASON_NONE ? REASON_HANDSHAKE_FAILED : handshake->reason,
        .is_silent = tls->is_silent,
        .hostname = handshake->host ? tls_host_name(handshake->host) : NULL,
        .tls_version = handshake->host && SSL_version(tls->ssl) <= TLS1_3_VERSION ? SSL_get_version(tls->ssl) : NULL,
        .peer = tls->peer,
    };
    const char *detail = handshake->reason == REASON_NONE ? "the handshake is not over" : handshake->detail;
    (void)snprintf(failure_out->detail, sizeof failure_out->detail, "%s", detail);
    (void)snprintf(failure_out->server_name, sizeof failure_out->server_name, "%s", handshake->server_name);
}
