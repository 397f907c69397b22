/*
 * stream: what all kinds of streams have in common: telling the owner, closing, freeing at the end of the turn, and the
 * texts of failures. Called by stream_plain and tls/stream_tls, and by owners through io/stream.h.
 */
#include "io/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/stream_impl.h"

#define DISCARDS_PER_CALL 16

static void reap(void *arg) {
    struct stream *stream = arg;
    stream->ops->free(stream);
}

void stream_init(struct stream *stream, const struct stream_ops *ops, struct loop *loop, int fd, stream_fn *fn,
                 void *owner) {
    *stream = (struct stream){.ops = ops, .loop = loop, .fn = fn, .owner = owner, .fd = fd};
    loop_task_init(&stream->reap, reap, stream);
}

bool stream_emit(struct stream *stream, enum stream_event event) {
    if (stream->is_closed) {
        return false;
    }
    if (event == STREAM_READY) {
        stream->is_open = true;
    }
    stream->fn(stream->owner, event);
    return !stream->is_closed;
}

void stream_set_owner(struct stream *stream, stream_fn *fn, void *owner) {
    stream->fn = fn;
    stream->owner = owner;
}

void stream_set_failure(struct stream *stream, const char *text, int errnum) {
    if (stream->failure) {
        return;
    }
    stream->failure = text ? text : stream_errno_text(errnum);
    stream->failure_errno = errnum;
}

size_t stream_queued(const struct stream *stream) {
    int queued = 0;
    return stream->fd >= 0 && ioctl(stream->fd, SIOCOUTQ, &queued) == 0 && queued > 0 ? (size_t)queued : 0;
}

const char *stream_error(const struct stream *stream) { return stream->failure ? stream->failure : "no error"; }

const char *stream_errno_text(int errnum) {
    switch (errnum) {
    case ECONNREFUSED:
        return "connection refused";
    case ECONNRESET:
        return "connection reset by peer";
    case EPIPE:
        return "closed by peer";
    case EHOSTUNREACH:
        return "no route to host";
    case ENETUNREACH:
        return "network is unreachable";
    case ETIMEDOUT:
        return "timed out";
    case EADDRNOTAVAIL:
        return "no local address or port available";
    case EMFILE:
    case ENFILE:
        return "out of file descriptors";
    case EACCES:
    case EPERM:
        return "not permitted";
    default:
        break;
    }
    const char *text = strerrordesc_np(errnum);
    return text ? text : "unknown error";
}

ssize_t stream_discard_socket(struct stream *stream) {
    static char bytes[64 * 1024]; /* for TCP MSG_TRUNC copies nothing (tcp(7)) */
    ssize_t n = 0, total = 0;
    for (int i = 0; i < DISCARDS_PER_CALL; i++) {
        do {
            n = recv(stream->fd, bytes, sizeof bytes, MSG_TRUNC);
        } while (n < 0 && errno == EINTR);
        if (n <= 0) {
            break;
        }
        total += n;
    }
    if (total > 0 || n == 0) {
        return total;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return STREAM_AGAIN;
    }
    stream_set_failure(stream, NULL, errno);
    return STREAM_BROKEN;
}

void stream_prepare_fd(int fd) {
    /* accept4() and socket() have set the flags already; a descriptor from elsewhere may lack them. */
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && !(flags & O_NONBLOCK)) {
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    }
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    /* Fails on sockets that are not TCP, and does not matter there. */
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void stream_close(struct stream **stream_ptr, bool reset) {
    struct stream *stream = *stream_ptr;
    *stream_ptr = NULL;
    if (!stream) {
        return;
    }
    INVARIANT(!stream->is_closed);
    stream->is_closed = true;
    stream->ops->close(stream, reset);
    if (stream->fd >= 0) {
        if (reset) {
            struct linger at_once = {.l_onoff = 1, .l_linger = 0};
            (void)setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        }
        (void)close(stream->fd);
        stream->fd = -1;
    }
    loop_defer(stream->loop, &stream->reap);
}
