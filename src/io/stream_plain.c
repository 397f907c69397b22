/*
 * stream_plain: bytes in the clear over a connected socket (TCP, a unix socket, one end of a socketpair). Links to
 * upstreams, whoami and the admin server use it.
 *
 *   CONNECTING --READY--> OPEN          CONNECTING --FAILED--> DEAD
 *
 * Reads and writes go straight to the socket; waiting to write begins only when the socket has no room. A write that
 * breaks does not end reading: what the peer said before it went away is still there (an upstream that answers early).
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/reserve.h"
#include "io/stream_impl.h"

enum plain_state { PLAIN_CONNECTING, PLAIN_OPEN, PLAIN_DEAD };

struct stream_plain {
    struct stream base;
    enum plain_state state;
    struct loop_watch *watch;
    bool wants_reading;
    bool wants_writable; /* a write was short */
    bool is_read_over;   /* EOF or broken: level-triggered readiness would not end */
    bool is_write_over;
};

static struct stream_plain *plain_of(struct stream *stream) { return (struct stream_plain *)stream; }

static void update_interest(struct stream_plain *plain) {
    int interest = 0;
    if (plain->state == PLAIN_CONNECTING) {
        interest = plain->base.fd >= 0 ? LOOP_WRITE : 0;
    } else if (plain->state == PLAIN_OPEN) {
        interest |= plain->wants_reading && !plain->is_read_over ? LOOP_READ : 0;
        interest |= plain->wants_writable ? LOOP_WRITE : 0;
    }
    loop_watch_set(plain->watch, interest);
}

static void set_state(struct stream_plain *plain, enum plain_state state) {
    plain->state = state;
    update_interest(plain);
}

/* The connection stands or not: the first readiness of the socket, or a trigger, says so. */
static void end_connecting(struct stream_plain *plain) {
    struct stream *stream = &plain->base;
    if (!stream->failure) {
        int error = 0;
        socklen_t size = sizeof error;
        if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
            error = errno;
        }
        if (error != 0) {
            stream_set_failure(stream, NULL, error);
        }
    }
    bool is_connected = !stream->failure;
    set_state(plain, is_connected ? PLAIN_OPEN : PLAIN_DEAD);
    (void)!stream_emit(stream, is_connected ? STREAM_READY : STREAM_FAILED);
}

static void on_ready(void *arg, int ready) {
    struct stream_plain *plain = arg;
    if (plain->state == PLAIN_CONNECTING) {
        end_connecting(plain);
        return;
    }
    if ((ready & LOOP_READ) && plain->wants_reading && !plain->is_read_over &&
        !stream_emit(&plain->base, STREAM_READABLE)) {
        return;
    }
    if ((ready & LOOP_WRITE) && plain->wants_writable) {
        plain->wants_writable = false;
        if (!stream_emit(&plain->base, STREAM_WRITABLE)) {
            return;
        }
        update_interest(plain);
    }
}

static ssize_t plain_read(struct stream *stream, void *buf, size_t size) {
    struct stream_plain *plain = plain_of(stream);
    if (plain->state != PLAIN_OPEN) {
        return plain->state == PLAIN_DEAD ? STREAM_BROKEN : STREAM_AGAIN;
    }
    ssize_t n;
    do {
        n = recv(stream->fd, buf, size, 0);
    } while (n < 0 && errno == EINTR);
    stream->is_drained = n > 0 && (size_t)n < size;
    if (n > 0) {
        return n;
    }
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return STREAM_AGAIN;
    }
    if (n < 0) {
        stream_set_failure(stream, NULL, errno);
    }
    plain->is_read_over = true;
    update_interest(plain);
    return n == 0 ? STREAM_EOF : STREAM_BROKEN;
}

static ssize_t plain_write(struct stream *stream, struct slice bytes) {
    struct stream_plain *plain = plain_of(stream);
    if (plain->state == PLAIN_DEAD || plain->is_write_over) {
        return STREAM_BROKEN;
    }
    size_t done = 0;
    while (plain->state == PLAIN_OPEN && done < bytes.len) {
        ssize_t n = send(stream->fd, bytes.ptr + done, bytes.len - done, MSG_NOSIGNAL);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        } else if (errno != EINTR) {
            stream_set_failure(stream, NULL, errno);
            plain->is_write_over = true;
            return STREAM_BROKEN;
        }
    }
    if (done < bytes.len && !plain->wants_writable) {
        plain->wants_writable = true;
        update_interest(plain);
    }
    return (ssize_t)done;
}

static void plain_set_reading(struct stream *stream, bool on) {
    struct stream_plain *plain = plain_of(stream);
    plain->wants_reading = on;
    update_interest(plain);
}

static void plain_shutdown_write(struct stream *stream) {
    plain_of(stream)->is_write_over = true;
    (void)shutdown(stream->fd, SHUT_WR);
}

static ssize_t plain_discard(struct stream *stream) {
    struct stream_plain *plain = plain_of(stream);
    if (plain->state != PLAIN_OPEN) {
        return plain->state == PLAIN_DEAD ? STREAM_BROKEN : STREAM_AGAIN;
    }
    ssize_t n = stream_discard_socket(stream);
    plain->is_read_over |= n == STREAM_EOF || n == STREAM_BROKEN;
    update_interest(plain);
    return n;
}

static void plain_close(struct stream *stream, bool reset) {
    (void)reset;
    loop_watch_free(&plain_of(stream)->watch);
}

static void plain_free(struct stream *stream) { mem_free(stream); }

static const struct stream_ops PLAIN_OPS = {
    .read = plain_read,
    .write = plain_write,
    .set_reading = plain_set_reading,
    .shutdown_write = plain_shutdown_write,
    .discard = plain_discard,
    .close = plain_close,
    .free = plain_free,
};

static struct stream_plain *plain_new(struct loop *loop, int fd, stream_fn *fn, void *owner) {
    struct stream_plain *plain = NEW(struct stream_plain);
    stream_init(&plain->base, &PLAIN_OPS, loop, fd, fn, owner);
    plain->wants_reading = true;
    plain->watch = loop_watch_new(loop, fd, on_ready, plain);
    return plain;
}

struct stream *stream_plain_new(struct loop *loop, int fd, stream_fn *fn, void *owner) {
    stream_prepare_fd(fd);
    struct stream_plain *plain = plain_new(loop, fd, fn, owner);
    loop_watch_trigger(plain->watch, LOOP_WRITE);
    return &plain->base;
}

struct stream *stream_plain_connect(struct loop *loop, const struct addr *addr, stream_fn *fn, void *owner) {
    int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = fd < 0 ? errno : 0;
    if (reserve_is_half_used(fd)) {
        (void)close(fd);
        fd = -1;
        error = EMFILE;
    }
    struct stream_plain *plain = plain_new(loop, fd, fn, owner);
    if (fd >= 0) {
        stream_prepare_fd(fd);
        error = connect(fd, &addr->sa, addr->len) == 0 ? 0 : errno;
    }
    if (error == EINPROGRESS) {
        update_interest(plain);
        return &plain->base;
    }
    if (error != 0) {
        stream_set_failure(&plain->base, NULL, error);
    }
    loop_watch_trigger(plain->watch, LOOP_WRITE);
    return &plain->base;
}
