/*
 * listeners: the listening sockets of the gateway across reloads. A socket lives as long as its address is configured: a reload never closes and
 * reopens one that stays.
 */
#ifndef SALLYPORT_APP_LISTENERS_H
#define SALLYPORT_APP_LISTENERS_H

#include "base/err.h"
#include "base/list.h"
#include "io/acceptor.h"
#include "proxy/worker.h"

struct listeners {
    struct list bound;   /* struct listener, in force */
    struct list pending; /* bound by listeners_prepare, not yet in force */
    struct list retired; /* closed, but clients still name them; a few small structs */
};

void listeners_init(struct listeners *listeners);
/* Binds what the snapshot has and is not bound yet. On failure nothing has changed. */
MUST_CHECK int listeners_prepare(struct listeners *listeners, const struct snapshot *snapshot, struct err *err);
/* Puts a prepared snapshot in force: opens the new sockets' acceptors, closes those whose address is gone. Cannot fail. */
void listeners_commit(struct listeners *listeners, const struct snapshot *snapshot, struct worker *worker);
/* Drops what listeners_prepare bound. */
void listeners_rollback(struct listeners *listeners);
/* Stops accepting on all and closes the sockets; the structs stay for the clients that are left. */
void listeners_close(struct listeners *listeners);
/* Frees everything; no client is left. */
void listeners_fini(struct listeners *listeners);

#endif
