/*
 * sockets: master's listening sockets: for each configured address one socket for each worker (SO_REUSEPORT), made once
 * and never closed while the address is configured, so that no queue of connections is ever lost: not by a worker that
 * dies, not by a change of their number, not by an upgrade.
 *
 * Sockets handed in (systemd, a sallyport that is replaced) are taken for their addresses. One that cannot be shared
 * out (no SO_REUSEPORT, a unix socket) is used by all workers together.
 */
#ifndef SALLYPORT_APP_SOCKETS_H
#define SALLYPORT_APP_SOCKETS_H

#include "app/generation.h"
#include "base/list.h"
#include "io/addr.h"

#define SOCKETS_INHERITED_MAX 1024

struct inherited_socket {
    int fd; /* -1: taken */
    struct addr addr;
    const char *name; /* the address as the predecessor's configuration had it, or NULL */
};

struct sockets {
    struct list addresses; /* struct socket_address */
    struct inherited_socket *inherited;
    size_t inherited_count;
    char *names; /* what inherited[].name points into */
};

/* Takes over what was handed to this process. */
void sockets_init(struct sockets *sockets);
/* Closes all: nobody is served any more. */
void sockets_close(struct sockets *sockets);
void sockets_fini(struct sockets *sockets);
/* Binds what the generation needs and is not there. No connection comes to it yet. On failure nothing has changed. */
MUST_CHECK int sockets_prepare(struct sockets *sockets, const struct generation *next, struct err *err);
/* Opens what was prepared, closes what the generation in force does not name. Cannot fail. */
void sockets_commit(struct sockets *sockets, const struct generation *in_force);
/* Closes what was prepared. */
void sockets_rollback(struct sockets *sockets);
/* Sends LISTENER messages with the sockets that this worker is to serve: its own, and those of workers that are no
 * more. */
MUST_CHECK bool sockets_send(const struct sockets *sockets, const struct generation *generation, unsigned worker,
                             struct channel *channel);
/* All that are listening, for a successor: at most max; names: one line each, the configured address. */
size_t sockets_export(const struct sockets *sockets, int *fds_out, size_t max, struct sbuf *names);

/* The variable that names the descriptor in which a successor finds the names: sealed memory. */
#define SOCKETS_NAMES_VARIABLE "SALLYPORT_LISTENERS"
#define SOCKETS_NAMES_MAX ((size_t)512 * 1024)

#endif
