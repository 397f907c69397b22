/*
 * notify: see the header. Called by master. sd_notify(3) and sd_listen_fds(3) tell the protocol. Owns nothing: a socket
 * is made for each message (a handful in a life, and one per watchdog period), so none has to survive an upgrade.
 */
#include "app/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

#define FIRST_FD 3

/* The value of a variable as a number; -1 without one or for anything else. */
static long long number_from_env(const char *name) {
    unsigned long long value;
    const char *text = getenv(name);
    return text && slice_to_u64(slice_of(text), &value) ? (long long)value : -1;
}

/* 0 if the text is no address of a socket. */
static socklen_t make_address(const char *text, struct sockaddr_un *address) {
    size_t len = strlen(text);
    if ((text[0] != '/' && text[0] != '@') || text[1] == '\0' || len >= sizeof(address->sun_path))
        return 0;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, text, len);
    if (text[0] == '@')
        address->sun_path[0] = '\0'; /* such a name ends where the address ends */
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (text[0] != '@'));
}

void notify_send(const char *state) {
    const char *text = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address;
    socklen_t size = text ? make_address(text, &address) : 0;
    if (size == 0)
        return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, size) < 0)
        log_debug("the service manager does not hear: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
}

int64_t notify_watchdog_ms(void) {
    long long period_us = number_from_env("WATCHDOG_USEC"), pid = number_from_env("WATCHDOG_PID");
    if (period_us <= 0 || (getenv("WATCHDOG_PID") && pid != getpid()))
        return 0;
    (void)unsetenv("WATCHDOG_PID");
    return period_us < 2000 ? 1 : period_us / 2000;
}

static bool is_listening(int fd, struct addr *addr_out) {
    struct sockaddr_storage storage;
    int type = 0, listening = 0;
    socklen_t size = sizeof(type);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM)
        return false;
    size = sizeof(listening);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || !listening)
        return false;
    size = sizeof(storage);
    if (getsockname(fd, (struct sockaddr *)&storage, &size) != 0)
        return false;
    addr_from_sockaddr((const struct sockaddr *)&storage, size, addr_out);
    return true;
}

/* Also what a Unix shell or a service file may have left without these flags. */
static bool make_own(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

size_t notify_listen_fds(int *fds_out, struct addr *addrs_out, size_t max) {
    long long pid = number_from_env("LISTEN_PID"), passed = number_from_env("LISTEN_FDS");
    size_t count = 0;
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    if (pid != getpid() || passed <= 0 || passed > INT32_MAX - FIRST_FD)
        return 0;
    for (int fd = FIRST_FD; fd < FIRST_FD + (int)passed && fcntl(fd, F_GETFD) >= 0; fd++) {
        if (count < max && is_listening(fd, &addrs_out[count]) && make_own(fd)) {
            fds_out[count++] = fd;
            continue;
        }
        log_warning("descriptor %d, handed in by LISTEN_FDS, is not used: %s", fd,
                    count < max ? "it is no listening stream socket" : "there are too many");
        close(fd);
    }
    return count;
}
