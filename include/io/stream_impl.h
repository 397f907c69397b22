/*
 * stream_impl: what the kinds of streams share (io/stream_plain, tls/stream_tls). Not for those who use streams.
 *
 * Rules for an implementation. Each failure is reported once: while connecting or handshaking as FAILED, from READY on
 * as STREAM_BROKEN of the read or write that met it. Nothing is called back from within an operation of the owner:
 * READY, and whatever else becomes known inside one, waits for the next turn (loop_watch_trigger). After stream_emit()
 * returned false the owner has closed the stream: return at once; the memory is still there, the descriptor is not.
 */
#ifndef SALLYPORT_IO_STREAM_IMPL_H
#define SALLYPORT_IO_STREAM_IMPL_H

#include "io/stream.h"

/* Fills in the base of a stream that owns fd (-1: none could be had). */
void stream_init(struct stream *stream, const struct stream_ops *ops, struct loop *loop, int fd, stream_fn *fn,
                 void *owner);
/* Tells the owner; READY also sets is_open. Does nothing once closed. Returns whether the stream is still there
 * afterwards. */
MUST_CHECK bool stream_emit(struct stream *stream, enum stream_event event);
/* Remembers why the stream failed; the first reason stays. text is static, or NULL: that of errnum. */
void stream_set_failure(struct stream *stream, const char *text, int errnum);
/* "connection refused", "no route to host", ...; static. */
const char *stream_errno_text(int errnum);
/* What has come to the socket is dropped inside the kernel, 1 MiB at most; results as of stream_read(). */
ssize_t stream_discard_socket(struct stream *stream);
/* Non-blocking, close-on-exec, TCP_NODELAY where that means something. */
void stream_prepare_fd(int fd);

#endif
