/*
 * listeners: see the header. Binding is the step of a reload that can fail for reasons outside the file, so it is done
 * before anything changes; taking the new sockets into service cannot fail.
 */
#include "app/listeners.h"

#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

struct listener {
    struct list node;
    char *address; /* as configured */
    int fd;        /* -1 once the acceptor has it */
    struct acceptor *acceptor;
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

static bool snapshot_index(const struct snapshot *snapshot, const char *address, size_t *index_out) {
    for (size_t i = 0; i < snapshot->listener_count; i++) {
        if (strcmp(snapshot->listeners[i].address, address) == 0) {
            *index_out = i;
            return true;
        }
    }
    return false;
}

static void listener_free(struct listener *listener) {
    list_remove(&listener->node);
    acceptor_close(&listener->acceptor);
    if (listener->fd >= 0)
        close(listener->fd);
    mem_free(listener->address);
    mem_free(listener);
}

void listeners_init(struct listeners *listeners) {
    list_init(&listeners->bound);
    list_init(&listeners->pending);
    list_init(&listeners->retired);
}

/* At start, before any is bound: they may overlap with each other, but nobody else may be there. */
static int probe_all(const struct snapshot *snapshot, struct err *err) {
    for (size_t i = 0; i < snapshot->listener_count; i++) {
        struct addr addr;
        if (addr_parse(slice_of(snapshot->listeners[i].address), &addr, err) != 0 || acceptor_probe(&addr, err) != 0)
            return err_context(err, "listener %s", snapshot->listeners[i].address);
    }
    return 0;
}

int listeners_prepare(struct listeners *listeners, const struct snapshot *snapshot, struct err *err) {
    if (list_is_empty(&listeners->bound) && probe_all(snapshot, err) != 0)
        return -1;
    for (size_t i = 0; i < snapshot->listener_count; i++) {
        const char *address = snapshot->listeners[i].address;
        if (find(&listeners->bound, address))
            continue;
        struct addr addr;
        int fd = -1;
        if (addr_parse(slice_of(address), &addr, err) == 0)
            fd = acceptor_bind(&addr, err);
        if (fd < 0) {
            listeners_rollback(listeners);
            return err_context(err, "listener %s", address);
        }
        struct listener *listener = NEW(struct listener);
        listener->address = mem_strdup(address);
        listener->fd = fd;
        list_push_back(&listeners->pending, &listener->node);
    }
    return 0;
}

void listeners_rollback(struct listeners *listeners) {
    LIST_EACH (at, next, &listeners->pending)
        listener_free(LIST_ENTRY(at, struct listener, node));
}

static void open_pending(struct listeners *listeners, struct worker *worker) {
    LIST_EACH (at, next, &listeners->pending) {
        struct listener *listener = LIST_ENTRY(at, struct listener, node);
        list_remove(&listener->node);
        list_push_back(&listeners->bound, &listener->node);
        listener->worker = worker;
        listener->known_as.address = listener->address;
        listener->acceptor = acceptor_open(worker->loop, listener->fd, listener->address, accepted, listener);
        listener->fd = -1;
        struct addr addr;
        char text[ADDR_TEXT_SIZE];
        acceptor_address(listener->acceptor, &addr);
        log_info("listening on %s", addr_format(&addr, text));
    }
}

/* A client keeps a pointer to known_as, so the struct of a listener that is taken out of service stays. */
static void retire(struct listeners *listeners, struct listener *listener) {
    log_info("no longer listening on %s", listener->address);
    acceptor_close(&listener->acceptor);
    listener->known_as.index = SIZE_MAX; /* a handshake still going on gets no other listener's no_sni */
    list_remove(&listener->node);
    list_push_back(&listeners->retired, &listener->node);
}

void listeners_commit(struct listeners *listeners, const struct snapshot *snapshot, struct worker *worker) {
    open_pending(listeners, worker);
    LIST_EACH (at, next, &listeners->bound) {
        struct listener *listener = LIST_ENTRY(at, struct listener, node);
        size_t index = 0;
        if (snapshot_index(snapshot, listener->address, &index))
            listener->known_as.index = index;
        else
            retire(listeners, listener);
    }
}

void listeners_close(struct listeners *listeners) {
    listeners_rollback(listeners);
    LIST_EACH (at, next, &listeners->bound)
        retire(listeners, LIST_ENTRY(at, struct listener, node));
}

void listeners_fini(struct listeners *listeners) {
    listeners_close(listeners);
    LIST_EACH (at, next, &listeners->retired)
        listener_free(LIST_ENTRY(at, struct listener, node));
}
