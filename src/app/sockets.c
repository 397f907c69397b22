/*
 * sockets: see the header. A socket is first only bound: that is what can fail, and it takes no connection away from
 * anyone. It listens from the commit on, so a generation that is given up resets nobody.
 */
#include "app/sockets.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/notify.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/memfd.h"
#include "io/acceptor.h"

struct socket_address {
    struct list node;
    char *address; /* as configured */
    struct addr bound;
    int fds[GENERATION_WORKERS_MAX];
    unsigned count;     /* of fds */
    unsigned listening; /* the first so many of them are open to connections */
    bool is_shared;     /* one for all workers */
};

/* ---- what was handed in ---- */

/* What a predecessor says of its sockets; NULL if nobody did. */
static char *take_names(void) {
    const char *text = getenv(SOCKETS_NAMES_VARIABLE);
    struct slice bytes = SLICE_NONE;
    struct err err;
    char *names = NULL, *end;
    long fd = text ? strtol(text, &end, 10) : -1;
    if (fd > STDERR_FILENO && fd <= INT_MAX && *end == '\0') {
        if (memfd_map_sealed((int)fd, SOCKETS_NAMES_MAX, &bytes, &err) == 0)
            names = mem_strndup(bytes.ptr, bytes.len);
        else
            log_warning("the listeners' names: %s", err.text);
        memfd_unmap(&bytes);
        (void)close((int)fd);
    }
    (void)unsetenv(SOCKETS_NAMES_VARIABLE);
    return names;
}

void sockets_init(struct sockets *sockets) {
    int *fds = NEW_ARRAY(int, SOCKETS_INHERITED_MAX);
    struct addr *addrs = NEW_ARRAY(struct addr, SOCKETS_INHERITED_MAX);
    *sockets = (struct sockets){.names = NULL};
    list_init(&sockets->addresses);
    size_t count = notify_listen_fds(fds, addrs, SOCKETS_INHERITED_MAX);
    char *rest = sockets->names = take_names();
    sockets->inherited = NEW_ARRAY(struct inherited_socket, count);
    sockets->inherited_count = count;
    for (size_t i = 0; i < count; i++)
        sockets->inherited[i] =
            (struct inherited_socket){.fd = fds[i], .addr = addrs[i], .name = rest ? strsep(&rest, "\n") : NULL};
    mem_free(fds);
    mem_free(addrs);
}

static bool can_be_shared_out(int fd) {
    int on = 0;
    socklen_t size = sizeof on;
    return getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, &size) == 0 && on;
}

static void adopt(struct sockets *sockets, struct socket_address *at, const struct addr *wanted) {
    for (size_t i = 0; i < sockets->inherited_count && at->count < GENERATION_WORKERS_MAX; i++) {
        struct inherited_socket *inherited = &sockets->inherited[i];
        bool is_it = inherited->name ? strcmp(inherited->name, at->address) == 0 : addr_eq(&inherited->addr, wanted);
        if (inherited->fd < 0 || !is_it)
            continue;
        at->fds[at->count++] = inherited->fd;
        at->listening = at->count;
        at->bound = inherited->addr;
        inherited->fd = -1;
    }
    at->is_shared = wanted->sa.sa_family == AF_UNIX || (at->count > 0 && !can_be_shared_out(at->fds[0]));
}

static void drop_inherited(struct sockets *sockets, bool is_in_force) {
    char text[ADDR_TEXT_SIZE];
    for (size_t i = 0; i < sockets->inherited_count; i++) {
        if (sockets->inherited[i].fd < 0)
            continue;
        if (is_in_force)
            log_warning("the socket of %s was handed in, but no listener has this address",
                        addr_format(&sockets->inherited[i].addr, text));
        (void)close(sockets->inherited[i].fd);
    }
    mem_free(sockets->inherited);
    mem_free(sockets->names);
    sockets->inherited = NULL;
    sockets->inherited_count = 0;
    sockets->names = NULL;
}

/* ---- binding ---- */

static struct socket_address *find(const struct sockets *sockets, const char *address) {
    LIST_EACH (node, next, &sockets->addresses) {
        struct socket_address *at = LIST_ENTRY(node, struct socket_address, node);
        if (strcmp(at->address, address) == 0)
            return at;
    }
    return NULL;
}

static void free_from(struct socket_address *at, unsigned first) {
    while (at->count > first)
        (void)close(at->fds[--at->count]);
    if (at->listening > at->count)
        at->listening = at->count;
}

static void address_free(struct socket_address *at) {
    list_remove(&at->node);
    free_from(at, 0);
    mem_free(at->address);
    mem_free(at);
}

/* Port 0: the first socket finds one, the others take the same. */
static bool learn_bound(struct socket_address *at) {
    struct sockaddr_storage storage = {0};
    socklen_t size = sizeof storage;
    if (getsockname(at->fds[0], (struct sockaddr *)&storage, &size) != 0)
        return false;
    addr_from_sockaddr((const struct sockaddr *)&storage, size, &at->bound);
    return true;
}

static int bind_all(struct socket_address *at, unsigned workers, const struct addr *wanted, struct err *err) {
    unsigned needed = at->is_shared ? 1 : workers;
    while (at->count < needed) {
        /* An IPv4-mapped or wildcard address is bound again as it was asked for, with the port that was found. */
        struct addr again = *wanted;
        if (at->count > 0 && again.sa.sa_family == AF_INET6)
            again.in6.sin6_port = htons(addr_port(&at->bound));
        else if (at->count > 0)
            again.in.sin_port = htons(addr_port(&at->bound));
        int fd = acceptor_reserve(at->count > 0 ? &again : wanted, err);
        if (fd < 0)
            return -1;
        at->fds[at->count++] = fd;
        if (at->count == 1 && !learn_bound(at))
            return err_set(err, "the socket has no address");
    }
    return 0;
}

static int prepare_address(struct sockets *sockets, const char *address, unsigned workers, struct err *err) {
    struct addr wanted;
    if (addr_parse(slice_of(address), &wanted, err) != 0)
        return -1;
    struct socket_address *at = find(sockets, address);
    if (!at) {
        at = NEW(struct socket_address);
        at->address = mem_strdup(address);
        list_push_back(&sockets->addresses, &at->node);
        adopt(sockets, at, &wanted);
    }
    return bind_all(at, workers, &wanted, err);
}

/* At start, before any is bound: they may overlap with each other, but nobody else may be there. */
static int probe_all(const struct generation *next, struct err *err) {
    for (size_t i = 0; i < next->listener_count; i++) {
        struct addr addr;
        if (addr_parse(slice_of(next->listeners[i].address), &addr, err) != 0 || acceptor_probe(&addr, err) != 0)
            return err_context(err, "listener %s", next->listeners[i].address);
    }
    return 0;
}

int sockets_prepare(struct sockets *sockets, const struct generation *next, struct err *err) {
    bool is_start = list_is_empty(&sockets->addresses) && sockets->inherited_count == 0;
    if (is_start && probe_all(next, err) != 0)
        return -1;
    for (size_t i = 0; i < next->listener_count; i++) {
        const char *address = next->listeners[i].address;
        if (prepare_address(sockets, address, next->workers, err) != 0) {
            sockets_rollback(sockets);
            return err_context(err, "listener %s", address);
        }
    }
    return 0;
}

void sockets_rollback(struct sockets *sockets) {
    LIST_EACH (node, next, &sockets->addresses) {
        struct socket_address *at = LIST_ENTRY(node, struct socket_address, node);
        free_from(at, at->listening);
        if (at->count == 0)
            address_free(at);
    }
}

/* ---- in force ---- */

static void open_prepared(struct socket_address *at) {
    struct err err;
    char text[ADDR_TEXT_SIZE];
    bool is_new = at->listening == 0;
    for (; at->listening < at->count; at->listening++)
        if (acceptor_listen(at->fds[at->listening], &err) != 0)
            log_error("listener %s: %s", at->address, err.text);
    if (is_new)
        log_info("listening on %s", addr_format(&at->bound, text));
}

static bool has_listener(const struct generation *generation, const char *address) {
    for (size_t i = 0; i < generation->listener_count; i++)
        if (strcmp(generation->listeners[i].address, address) == 0)
            return true;
    return false;
}

void sockets_commit(struct sockets *sockets, const struct generation *in_force) {
    bool is_first = sockets->inherited != NULL;
    LIST_EACH (node, next, &sockets->addresses) {
        struct socket_address *at = LIST_ENTRY(node, struct socket_address, node);
        if (!has_listener(in_force, at->address)) {
            log_info("no longer listening on %s", at->address);
            address_free(at);
            continue;
        }
        char text[ADDR_TEXT_SIZE];
        if (is_first && at->listening > 0)
            log_info("listening on %s", addr_format(&at->bound, text));
        open_prepared(at);
    }
    if (is_first)
        drop_inherited(sockets, true);
}

bool sockets_send(const struct sockets *sockets, const struct generation *generation, unsigned worker,
                  struct channel *channel) {
    for (size_t i = 0; i < generation->listener_count; i++) {
        const struct socket_address *at = find(sockets, generation->listeners[i].address);
        INVARIANT(at);
        for (unsigned j = 0; j < at->count; j++) {
            if (!at->is_shared && j % generation->workers != worker)
                continue;
            struct ipc_message message = {
                .type = IPC_LISTENER, .value = j, .text = slice_of(at->address), .fds = {at->fds[j]}, .fd_count = 1};
            if (!channel_send(channel, &message))
                return false;
        }
    }
    return true;
}

size_t sockets_export(const struct sockets *sockets, int *fds_out, size_t max, struct sbuf *names) {
    size_t count = 0;
    LIST_EACH (node, next, &sockets->addresses) {
        const struct socket_address *at = LIST_ENTRY(node, struct socket_address, node);
        for (unsigned i = 0; i < at->listening && count < max; i++) {
            sbuf_printf(names, "%s%s", count > 0 ? "\n" : "", at->address);
            fds_out[count++] = at->fds[i];
        }
    }
    return count;
}

void sockets_close(struct sockets *sockets) {
    LIST_EACH (node, next, &sockets->addresses)
        address_free(LIST_ENTRY(node, struct socket_address, node));
}

void sockets_fini(struct sockets *sockets) {
    drop_inherited(sockets, false);
    sockets_close(sockets);
}
