/*
 * listeners: see the header. Nothing is bound here: the sockets come from master, and a socket that stays is not
 * touched by a change of generation.
 */
#include "app/listeners.h"

#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/acceptor.h"

struct listening_socket {
    struct list node;
    unsigned index; /* master's, among those of the address */
    struct acceptor *acceptor;
    bool is_wanted; /* during a commit: the new generation has it too */
};

struct listener {
    struct list node;
    char *address; /* as configured */
    struct list sockets;
    struct worker_listener known_as; /* what the worker sees; clients point to it */
    struct worker *worker;
};

static void accepted(void *owner, int fd, const struct addr *peer) {
    struct listener *listener = owner;
    worker_accept(listener->worker, &listener->known_as, fd, peer);
}

static struct listener *find(const struct list *list, const char *address) {
    LIST_EACH (at, next, list) {
        struct listener *listener = LIST_ENTRY(at, struct listener, node);
        if (strcmp(listener->address, address) == 0)
            return listener;
    }
    return NULL;
}

static struct listening_socket *find_socket(const struct listener *listener, unsigned index) {
    LIST_EACH (at, next, &listener->sockets) {
        struct listening_socket *found = LIST_ENTRY(at, struct listening_socket, node);
        if (found->index == index)
            return found;
    }
    return NULL;
}

static void close_socket(struct listening_socket *closing) {
    list_remove(&closing->node);
    acceptor_close(&closing->acceptor);
    mem_free(closing);
}

static void close_sockets(struct listener *listener, bool takes_queue) {
    LIST_EACH (at, next, &listener->sockets) {
        struct listening_socket *closing = LIST_ENTRY(at, struct listening_socket, node);
        if (takes_queue)
            acceptor_drain(closing->acceptor);
        close_socket(closing);
    }
}

void listeners_init(struct listeners *listeners) {
    list_init(&listeners->served);
    list_init(&listeners->retired);
}

/* ---- a new generation ---- */

static struct listener *listener_of(struct listeners *listeners, const char *address, struct worker *worker) {
    struct listener *listener = find(&listeners->served, address);
    if (listener)
        return listener;
    listener = NEW(struct listener);
    listener->address = mem_strdup(address);
    listener->known_as.address = listener->address;
    listener->worker = worker;
    list_init(&listener->sockets);
    list_push_back(&listeners->served, &listener->node);
    return listener;
}

/* One that is served already: the copy of its descriptor stays with the generation, which closes it. */
static void serve(struct listener *listener, struct generation_listener *from) {
    struct listening_socket *found = find_socket(listener, from->socket);
    if (!found) {
        found = NEW(struct listening_socket);
        found->index = from->socket;
        found->acceptor = acceptor_open(listener->worker->loop, from->fd, listener->address, accepted, listener);
        from->fd = -1;
        list_push_back(&listener->sockets, &found->node);
    }
    found->is_wanted = true;
}

static bool snapshot_index(const struct snapshot *snapshot, const char *address, size_t *index_out) {
    for (size_t i = 0; i < snapshot->listener_count; i++) {
        if (strcmp(snapshot->listeners[i].address, address) == 0) {
            *index_out = i;
            return true;
        }
    }
    return false;
}

/* A client keeps a pointer to known_as, so the struct of a listener that is taken out of service stays. */
static void retire(struct listeners *listeners, struct listener *listener, bool takes_queue) {
    close_sockets(listener, takes_queue);
    listener->known_as.index = SIZE_MAX; /* a handshake still going on gets no other listener's no_sni */
    list_remove(&listener->node);
    list_push_back(&listeners->retired, &listener->node);
}

static void drop_unwanted(struct listener *listener) {
    LIST_EACH (at, next, &listener->sockets) {
        struct listening_socket *each = LIST_ENTRY(at, struct listening_socket, node);
        if (!each->is_wanted)
            close_socket(each);
        else
            each->is_wanted = false;
    }
}

void listeners_commit(struct listeners *listeners, struct generation *generation, const struct snapshot *snapshot,
                      struct worker *worker) {
    for (size_t i = 0; i < generation->listener_count; i++)
        if (generation->listeners[i].fd >= 0)
            serve(listener_of(listeners, generation->listeners[i].address, worker), &generation->listeners[i]);
    LIST_EACH (at, next, &listeners->served) {
        struct listener *listener = LIST_ENTRY(at, struct listener, node);
        size_t index = 0;
        if (snapshot_index(snapshot, listener->address, &index)) {
            listener->known_as.index = index;
            drop_unwanted(listener);
        } else {
            retire(listeners, listener, true);
        }
    }
}

/* ---- the end ---- */

void listeners_close(struct listeners *listeners, bool takes_queue) {
    LIST_EACH (at, next, &listeners->served)
        retire(listeners, LIST_ENTRY(at, struct listener, node), takes_queue);
}

void listeners_fini(struct listeners *listeners) {
    listeners_close(listeners, false);
    LIST_EACH (at, next, &listeners->retired) {
        struct listener *listener = LIST_ENTRY(at, struct listener, node);
        list_remove(&listener->node);
        mem_free(listener->address);
        mem_free(listener);
    }
}
