/*
 * acceptor: listening sockets. Called by app (listeners, admin address) and by `whoami --listen`.
 *
 *   ACCEPTING --out of descriptors, or only the reserve is left--> waiting 100 ms --> ACCEPTING
 *
 * A wake-up takes a bounded batch, so that a flood of connections does not hold up those that are there.
 */
#include "io/acceptor.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/reserve.h"
#include "io/stream_impl.h"

#define ACCEPT_BATCH 64
#define ACCEPT_RETRY_MS 100
#define ACCEPT_WARN_EVERY_MS 10000
#define LISTEN_BACKLOG 4096

struct acceptor {
    struct loop *loop;
    int fd;
    char *name;
    acceptor_fn *fn;
    void *owner;
    struct loop_watch *watch;
    struct loop_timer *retry;
    bool is_short; /* of descriptors */
    bool is_closed;
    int64_t warned_ms; /* 0: never */
    struct loop_task reap;
};

/* ---- making the socket ---- */

static bool is_any_v6(const struct addr *addr) {
    return addr->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
}

/* A socket file of ours that nobody answers on is left over from an earlier run. */
static bool remove_stale_unix(const struct addr *addr) {
    const char *path = ((const struct sockaddr_un *)(const void *)&addr->storage)->sun_path;
    struct stat status;
    if (lstat(path, &status) != 0 || !S_ISSOCK(status.st_mode) || status.st_uid != geteuid()) {
        return false;
    }
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (probe < 0) {
        return false;
    }
    bool is_stale = connect(probe, &addr->sa, addr->len) != 0 && errno == ECONNREFUSED;
    (void)close(probe);
    return is_stale && unlink(path) == 0;
}

static int bind_unix(int fd, const struct addr *addr) {
    const char *path = ((const struct sockaddr_un *)(const void *)&addr->storage)->sun_path;
    /* Before: the file is never open to others, not even for a moment. After: whatever the umask took away. */
    (void)fchmod(fd, 0660);
    if (bind(fd, &addr->sa, addr->len) != 0) {
        if (errno != EADDRINUSE || !remove_stale_unix(addr) || bind(fd, &addr->sa, addr->len) != 0) {
            return -1;
        }
    }
    return chmod(path, 0660);
}

static int bind_tcp(int fd, const struct addr *addr) {
    int on = 1, off = 0;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) {
        return -1;
    }
    if (is_any_v6(addr) && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) {
        return -1;
    }
    return bind(fd, &addr->sa, addr->len);
}

static int try_bind(const struct addr *addr) {
    int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    bool is_unix = addr->sa.sa_family == AF_UNIX;
    if ((is_unix ? bind_unix(fd, addr) : bind_tcp(fd, addr)) != 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

int acceptor_reserve(const struct addr *addr, struct err *err) {
    int fd = try_bind(addr);
    if (fd < 0 && errno == EAFNOSUPPORT && is_any_v6(addr)) {
        /* A kernel without IPv6: all addresses means all IPv4 addresses. */
        struct addr any = {.in = {.sin_family = AF_INET, .sin_port = addr->in6.sin6_port}, .len = sizeof any.in};
        fd = try_bind(&any);
    }
    if (fd < 0) {
        char text[ADDR_TEXT_SIZE];
        return err_set(err, "cannot listen on %s: %s", addr_format(addr, text), strerror(errno));
    }
    return fd;
}

int acceptor_listen(int fd, struct err *err) {
    if (listen(fd, LISTEN_BACKLOG) != 0)
        return err_set(err, "cannot listen: %s", strerror(errno));
    return 0;
}

int acceptor_bind(const struct addr *addr, struct err *err) {
    int fd = acceptor_reserve(addr, err);
    if (fd >= 0 && acceptor_listen(fd, err) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

int acceptor_probe(const struct addr *addr, struct err *err) {
    if (addr->sa.sa_family == AF_UNIX || addr_port(addr) == 0) {
        return 0;
    }
    int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1, off = 0, error = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (is_any_v6(addr)) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    }
    if (fd >= 0 && bind(fd, &addr->sa, addr->len) != 0) {
        error = errno;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (error != EADDRINUSE) {
        return 0; /* anything else is acceptor_bind's to tell */
    }
    char text[ADDR_TEXT_SIZE];
    return err_set(err, "cannot listen on %s: %s", addr_format(addr, text), strerror(error));
}

/* ---- accepting ---- */

static void update_interest(struct acceptor *acceptor) {
    loop_watch_set(acceptor->watch, loop_timer_is_set(acceptor->retry) ? 0 : LOOP_READ);
}

static void set_short(struct acceptor *acceptor, bool is_short) {
    if (acceptor->is_short == is_short) {
        return;
    }
    acceptor->is_short = is_short;
    metric_set(METRIC_ACCEPT_PAUSED, is_short, acceptor->name);
    if (is_short) {
        metric_add(METRIC_ACCEPT_PAUSES, 1, acceptor->name);
    }
}

/* Once one descriptor of the reserve was given to a client, no acceptor of the process takes the next. */
static bool is_reserve_touched;

static void wait_for_descriptors(struct acceptor *acceptor, const char *why) {
    set_short(acceptor, true);
    int64_t now_ms = loop_now_ms(acceptor->loop);
    if (acceptor->warned_ms == 0 || now_ms - acceptor->warned_ms >= ACCEPT_WARN_EVERY_MS) {
        acceptor->warned_ms = now_ms;
        log_warning("listener %s: cannot accept: %s; waiting", acceptor->name, why);
    }
    loop_timer_set(acceptor->retry, ACCEPT_RETRY_MS);
    update_interest(acceptor);
}

/* The connection was gone before we took it, or its network is in trouble (accept(2)): the next one is not concerned.
 */
static bool is_of_one_connection(int error) {
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPERM:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
        return true;
    default:
        return false;
    }
}

/* Those who cannot be accepted wait in the kernel's queue. */
static bool has_room(struct acceptor *acceptor) {
    if (is_reserve_touched && reserve_is_next()) {
        wait_for_descriptors(acceptor, "the last file descriptors are kept for reloads");
        return false;
    }
    is_reserve_touched = false;
    return true;
}

static void accept_some(struct acceptor *acceptor, int max, bool is_last) {
    for (int i = 0; i < max && (is_last || has_room(acceptor)); i++) {
        struct sockaddr_storage storage;
        socklen_t size = sizeof storage;
        int fd = accept4(acceptor->fd, (struct sockaddr *)&storage, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && is_of_one_connection(errno)) {
            continue;
        }
        if (fd < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
            wait_for_descriptors(acceptor, stream_errno_text(errno));
            return;
        }
        set_short(acceptor, false);
        if (fd < 0) {
            return;
        }
        is_reserve_touched = reserve_is_touched(fd);
        struct addr peer;
        addr_from_sockaddr((const struct sockaddr *)&storage, size, &peer);
        acceptor->fn(acceptor->owner, fd, &peer);
        if (acceptor->is_closed) {
            return;
        }
    }
}

static void accept_batch(struct acceptor *acceptor) { accept_some(acceptor, ACCEPT_BATCH, false); }

void acceptor_drain(struct acceptor *acceptor) { accept_some(acceptor, LISTEN_BACKLOG, true); }

static void on_ready(void *arg, int ready) {
    (void)ready;
    accept_batch(arg);
}

static void on_retry(void *arg) {
    struct acceptor *acceptor = arg;
    update_interest(acceptor);
    accept_batch(acceptor);
}

static void reap(void *arg) {
    struct acceptor *acceptor = arg;
    mem_free(acceptor->name);
    mem_free(acceptor);
}

struct acceptor *acceptor_open(struct loop *loop, int listening_fd, const char *name, acceptor_fn *fn, void *owner) {
    struct acceptor *acceptor = NEW(struct acceptor);
    acceptor->loop = loop;
    acceptor->fd = listening_fd;
    acceptor->name = mem_strdup(name);
    acceptor->fn = fn;
    acceptor->owner = owner;
    int on = 1; /* connections inherit it; a socket that is not TCP refuses, which does not matter */
    (void)setsockopt(listening_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    acceptor->watch = loop_watch_new(loop, listening_fd, on_ready, acceptor);
    acceptor->retry = loop_timer_new(loop, on_retry, acceptor);
    loop_task_init(&acceptor->reap, reap, acceptor);
    metric_set(METRIC_ACCEPT_PAUSED, 0, name);
    update_interest(acceptor);
    return acceptor;
}

void acceptor_address(const struct acceptor *acceptor, struct addr *addr_out) {
    struct sockaddr_storage storage = {0};
    socklen_t size = sizeof storage;
    INVARIANT(getsockname(acceptor->fd, (struct sockaddr *)&storage, &size) == 0);
    addr_from_sockaddr((const struct sockaddr *)&storage, size, addr_out);
}

void acceptor_close(struct acceptor **acceptor_ptr) {
    struct acceptor *acceptor = *acceptor_ptr;
    *acceptor_ptr = NULL;
    if (!acceptor) {
        return;
    }
    acceptor->is_closed = true;
    set_short(acceptor, false);
    loop_watch_free(&acceptor->watch);
    loop_timer_free(&acceptor->retry);
    (void)close(acceptor->fd);
    loop_defer(acceptor->loop, &acceptor->reap);
}
