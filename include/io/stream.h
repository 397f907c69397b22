/*
 * stream: bytes over a connected socket, in the clear (stream_plain here) or through TLS (tls/stream_tls). Readiness
 * style: the stream says when something can be read or written, the owner reads and writes. No buffers in here: what
 * stream_write() does not take stays with the owner. Knows no HTTP and no time limits.
 *
 *   connecting / handshaking --READY--> open --READABLE/WRITABLE...--> FAILED or stream_close()
 */
#ifndef SALLYPORT_IO_STREAM_H
#define SALLYPORT_IO_STREAM_H

#include <sys/types.h>

#include "base/err.h"
#include "base/slice.h"
#include "io/addr.h"
#include "io/loop.h"

enum stream_event {
    STREAM_READY,    /* connected, or the handshake is done; once */
    STREAM_READABLE, /* read until STREAM_AGAIN, or come back later: it is level-triggered */
    STREAM_WRITABLE, /* after a short stream_write(); once for each */
    STREAM_FAILED    /* connection or TLS failed; stream_error() says why; close it */
};

struct stream;
typedef void stream_fn(void *owner, enum stream_event event);

/* Results of stream_read() besides a count > 0. */
enum { STREAM_EOF = 0, STREAM_AGAIN = -1, STREAM_BROKEN = -2 };

struct stream_ops {
    ssize_t (*read)(struct stream *stream, void *buf, size_t size);
    ssize_t (*write)(struct stream *stream, struct slice bytes);
    void (*set_reading)(struct stream *stream, bool on);
    void (*shutdown_write)(struct stream *stream);
    ssize_t (*discard)(struct stream *stream);
    /* Part of stream_close(), with is_closed already set: says good-bye to the peer (TLS) and lets go of the watch. */
    void (*close)(struct stream *stream, bool reset);
    /* At the end of the turn, after the descriptor was closed: frees the object. */
    void (*free)(struct stream *stream);
};

/* First member of every stream. */
struct stream {
    const struct stream_ops *ops;
    struct loop *loop;
    stream_fn *fn;
    void *owner;
    int fd;
    bool is_open;        /* after READY */
    bool is_drained;     /* written by read: see stream_is_drained() */
    const char *failure; /* static text, or NULL */
    int failure_errno;   /* or 0 */
    bool is_closed;      /* stream_close() was called; the memory stays until the end of the turn */
    struct loop_task reap;
};

/* A connected socket (accepted, or a socketpair end). READY comes with the next turn. Takes fd over; sets it
 * non-blocking, TCP_NODELAY. */
struct stream *stream_plain_new(struct loop *loop, int fd, stream_fn *fn, void *owner);
/* Begins to connect. Never fails at once: a failure comes as FAILED in the next turn. */
struct stream *stream_plain_connect(struct loop *loop, const struct addr *addr, stream_fn *fn, void *owner);

/* > 0 bytes; STREAM_EOF: the peer will send no more (TLS: close_notify); STREAM_AGAIN; STREAM_BROKEN (also TLS EOF
 * without close_notify: failure says so). */
static inline ssize_t stream_read(struct stream *s, void *buf, size_t size) { return s->ops->read(s, buf, size); }
/* After a read of > 0 bytes: it took all there was. Another read would say AGAIN, and cost as much as this one. */
static inline bool stream_is_drained(const struct stream *s) { return s->is_drained; }
/* How many bytes were taken, maybe 0, or STREAM_BROKEN. When fewer than given, WRITABLE will come. */
static inline ssize_t stream_write(struct stream *s, struct slice bytes) { return s->ops->write(s, bytes); }
/* Whether READABLE is wanted. Starts on. Turning it on reports bytes that already wait inside. */
static inline void stream_set_reading(struct stream *s, bool on) { s->ops->set_reading(s, on); }
/* Half close: nothing more will be written (TLS: close_notify, then FIN). */
static inline void stream_shutdown_write(struct stream *s) { s->ops->shutdown_write(s); }
/* Takes what the peer still sends and drops it (TLS: without decrypting it), a part at a time; results as of
 * stream_read(), which may not follow. For a connection that lingers after stream_shutdown_write(). */
static inline ssize_t stream_discard(struct stream *s) { return s->ops->discard(s); }
/* Closes (TLS: close_notify first unless reset), frees at the end of the turn, sets *stream to NULL. No event comes
 * afterwards. reset: SO_LINGER 0, the peer sees a reset: for a response that could not be completed. */
void stream_close(struct stream **stream, bool reset);
/* Further events go to another owner (a tunnel takes over from a link). */
void stream_set_owner(struct stream *stream, stream_fn *fn, void *owner);
/* Bytes that were taken by stream_write() and that the peer has not acknowledged yet; 0 where that is not known. Tells
 * a slow peer from one that takes nothing. */
size_t stream_queued(const struct stream *stream);
/* "connection refused", "TLS: certificate unknown", ... Never NULL. */
const char *stream_error(const struct stream *stream);

#endif
