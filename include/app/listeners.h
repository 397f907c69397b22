/*
 * listeners: the listening sockets that a worker serves, across generations. Master owns the sockets; here are copies
 * of their descriptors, and what clients know of the listener they came through.
 */
#ifndef SALLYPORT_APP_LISTENERS_H
#define SALLYPORT_APP_LISTENERS_H

#include "app/generation.h"
#include "base/list.h"
#include "proxy/worker.h"

struct listeners {
    struct list served;  /* struct listener */
    struct list retired; /* without sockets, but clients still name them; a few small structs */
};

void listeners_init(struct listeners *listeners);
/* Serves the sockets of the generation (whose descriptors it takes), which snapshot was made of: those that are new,
 * those served already as before. A socket that is no longer ours is left to another worker; that of an address that is
 * configured no more is closed, after its queue was taken in. Cannot fail. */
void listeners_commit(struct listeners *listeners, struct generation *generation, const struct snapshot *snapshot,
                      struct worker *worker);
/* Stops accepting. takes_queue: what waits on the sockets is accepted first, because nobody else will. */
void listeners_close(struct listeners *listeners, bool takes_queue);
/* Frees everything; no client is left. */
void listeners_fini(struct listeners *listeners);

#endif
