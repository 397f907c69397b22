/*
 * acceptor: a listening socket. Hands accepted descriptors up; knows nothing of what becomes of them. When descriptors
 * run out (EMFILE, ENFILE, ENOBUFS, ENOMEM), or only those of the reserve are left (base/reserve), it pauses for 100 ms
 * and tries again; connections wait in the kernel's queue meanwhile.
 */
#ifndef SALLYPORT_IO_ACCEPTOR_H
#define SALLYPORT_IO_ACCEPTOR_H

#include "base/err.h"
#include "io/addr.h"
#include "io/loop.h"

struct acceptor;

/* fd is non-blocking, close-on-exec, and now the callee's. */
typedef void acceptor_fn(void *owner, int fd, const struct addr *peer);

/* Makes, binds and listens: SO_REUSEADDR, SO_REUSEPORT for TCP, backlog 4096; a unix socket of ours that nobody listens
 * on is replaced, mode 0660. Returns the descriptor or -1. */
MUST_CHECK int acceptor_bind(const struct addr *addr, struct err *err);
/* The two steps of it: a reserved address is ours, but no connection comes to it yet. */
MUST_CHECK int acceptor_reserve(const struct addr *addr, struct err *err);
MUST_CHECK int acceptor_listen(int fd, struct err *err);
/* Is the TCP address free? SO_REUSEPORT would let us share it with another process of the same account, which would
 * then get a part of the connections. For the start; a reload may bind what overlaps with its own. 0/-1. */
MUST_CHECK int acceptor_probe(const struct addr *addr, struct err *err);
/* Takes the listening descriptor over. name is for metrics and logs (the address as configured); copied. */
struct acceptor *acceptor_open(struct loop *loop, int listening_fd, const char *name, acceptor_fn *fn, void *owner);
/* The bound address (port 0 resolved). */
void acceptor_address(const struct acceptor *acceptor, struct addr *addr_out);
/* Takes what waits in the queue now, before a socket is closed for good; the reserve too. */
void acceptor_drain(struct acceptor *acceptor);
/* Closes the socket and frees. */
void acceptor_close(struct acceptor **acceptor);

#endif
