#include "app/notify.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- messages ---- */

static char directory[] = "/tmp/sallyport-notify-XXXXXX";
static char address_text[80];

/* The manager's end. path: as in NOTIFY_SOCKET. */
static int manager_open(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    memcpy(address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(
        bind(fd, (const struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)), 0);
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", path, 1), 0);
    return fd;
}

static const char *heard(int fd) {
    static char text[256];
    ssize_t size = recv(fd, text, sizeof(text) - 1, 0);
    text[size < 0 ? 0 : size] = '\0';
    return text;
}

START_TEST(a_message_reaches_a_path) {
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(address_text, sizeof(address_text), "%s/notify", directory);
    int manager = manager_open(address_text);
    notify_send("READY=1");
    ck_assert_str_eq(heard(manager), "READY=1");
    notify_send("RELOADING=1\nMONOTONIC_USEC=17");
    ck_assert_str_eq(heard(manager), "RELOADING=1\nMONOTONIC_USEC=17");
    unlink(address_text);
    rmdir(directory);
}
END_TEST

START_TEST(a_message_reaches_an_abstract_address) {
    snprintf(address_text, sizeof(address_text), "@sallyport-test-%d", (int)getpid());
    int manager = manager_open(address_text);
    notify_send("WATCHDOG=1");
    ck_assert_str_eq(heard(manager), "WATCHDOG=1");
}
END_TEST

START_TEST(a_manager_that_does_not_read_holds_nobody_up) {
    snprintf(address_text, sizeof(address_text), "@sallyport-test-%d", (int)getpid());
    int manager = manager_open(address_text);
    for (int i = 0; i < 10000; i++)
        notify_send("WATCHDOG=1");
    ck_assert_str_eq(heard(manager), "WATCHDOG=1");
}
END_TEST

static const char *const deaf[] = {
    NULL,
    "",
    "relative",
    "@",
    "/",
    "vsock:2:1",
    "/nonexistent/notify",
    "/a/path/that/is/longer/than/an/address/of/a/unix/socket/can/be/and/then/some/more/of/it/"
    "so/that/it/does/not/fit"};

START_TEST(without_an_address_nothing_happens) {
    int before = dup(0);
    close(before);
    if (deaf[_i])
        setenv("NOTIFY_SOCKET", deaf[_i], 1);
    else
        unsetenv("NOTIFY_SOCKET");
    notify_send("READY=1");
    ck_assert_int_eq(dup(0), before); /* and no descriptor is left */
}
END_TEST

/* ---- the watchdog ---- */

#define OURS "ours"

static const struct {
    const char *usec, *pid;
    int64_t ms;
} watchdogs[] = {
    {"30000000", OURS, 15000},
    {"30000000", NULL, 15000},
    {"1000", OURS, 1},
    {"30000000", "1", 0},
    {"30000000", "", 0},
    {"30000000", "x", 0},
    {NULL, OURS, 0},
    {"0", OURS, 0},
    {"-5", OURS, 0},
    {"x", OURS, 0},
    {"", NULL, 0},
    {NULL, NULL, 0},
};

static void set_variable(const char *name, const char *value, const char *ours) {
    if (value)
        setenv(name, strcmp(value, OURS) == 0 ? ours : value, 1);
    else
        unsetenv(name);
}

START_TEST(the_watchdog_is_fed_at_half_its_period_by_whom_it_is_for) {
    char pid[24];
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    set_variable("WATCHDOG_USEC", watchdogs[_i].usec, pid);
    set_variable("WATCHDOG_PID", watchdogs[_i].pid, pid);
    ck_assert_int_eq(notify_watchdog_ms(), watchdogs[_i].ms);
    ck_assert_int_eq(notify_watchdog_ms(), watchdogs[_i].ms);
}
END_TEST

START_TEST(a_successor_inherits_the_watchdog) {
    char pid[24];
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("WATCHDOG_USEC", "4000000", 1);
    setenv("WATCHDOG_PID", pid, 1);
    ck_assert_int_eq(notify_watchdog_ms(), 2000);
    pid_t successor = fork();
    if (successor == 0)
        _exit(notify_watchdog_ms() == 2000 ? 0 : 1);
    int status;
    ck_assert_int_eq(waitpid(successor, &status, 0), successor);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* ---- sockets that are handed in ---- */

#define MAX 4

/* What a child finds that gets these descriptors as 3, 4, ...; it puts -1 into fds[0] for variables left behind. */
struct found {
    size_t count;
    int fds[MAX];
    struct addr addrs[MAX];
    int flags[MAX]; /* F_GETFD | F_GETFL */
    bool are_open[2 * MAX];
};

static void look(struct found *found, size_t max) {
    found->count = notify_listen_fds(found->fds, found->addrs, max);
    for (size_t i = 0; i < found->count; i++)
        found->flags[i] =
            (fcntl(found->fds[i], F_GETFD) & FD_CLOEXEC ? 1 : 0) | (fcntl(found->fds[i], F_GETFL) & O_NONBLOCK ? 2 : 0);
    for (int i = 0; i < 2 * MAX; i++)
        found->are_open[i] = fcntl(3 + i, F_GETFD) >= 0;
    if (getenv("LISTEN_PID") || getenv("LISTEN_FDS") || getenv("LISTEN_FDNAMES"))
        found->fds[0] = -1;
}

static struct found hand_over(const int *fds, size_t count, const char *announced, const char *pid, size_t max) {
    struct found found;
    int result[2], status;
    ck_assert_int_eq(pipe(result), 0);
    pid_t child = fork();
    if (child == 0) {
        char text[24];
        int high[MAX], out = fcntl(result[1], F_DUPFD, 100);
        for (size_t i = 0; i < count; i++)
            high[i] = fcntl(fds[i], F_DUPFD, 100);
        for (int fd = 3; fd < 100; fd++)
            close(fd);
        for (size_t i = 0; i < count; i++)
            dup2(high[i], 3 + (int)i);
        snprintf(text, sizeof(text), "%d", (int)getpid());
        set_variable("LISTEN_PID", pid, text);
        set_variable("LISTEN_FDS", announced, text);
        setenv("LISTEN_FDNAMES", "a:b", 1);
        memset(&found, 0, sizeof(found));
        look(&found, max);
        _exit(write(out, &found, sizeof(found)) == (ssize_t)sizeof(found) ? 0 : 1);
    }
    close(result[1]);
    ck_assert_int_eq(read(result[0], &found, sizeof(found)), (ssize_t)sizeof(found));
    close(result[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_ne(found.fds[0], -1);
    return found;
}

static int listener(int family, struct addr *addr_out) {
    struct err err;
    ck_assert_int_eq(addr_parse(slice_of(family == AF_INET ? "127.0.0.1:0" : "[::1]:0"), addr_out, &err), 0);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, &addr_out->sa, addr_out->len), 0);
    ck_assert_int_eq(listen(fd, 5), 0);
    ck_assert_int_eq(getsockname(fd, &addr_out->sa, &addr_out->len), 0);
    return fd;
}

START_TEST(listening_sockets_are_taken_with_their_addresses) {
    struct addr first, second;
    int fds[] = {listener(AF_INET, &first), listener(AF_INET, &second)};
    struct found found = hand_over(fds, 2, "2", OURS, MAX);
    ck_assert_uint_eq(found.count, 2);
    ck_assert_int_eq(found.fds[0], 3);
    ck_assert_int_eq(found.fds[1], 4);
    ck_assert(addr_eq(&found.addrs[0], &first));
    ck_assert(addr_eq(&found.addrs[1], &second));
    ck_assert_int_eq(found.flags[0], 3);
    ck_assert_int_eq(found.flags[1], 3);
}
END_TEST

START_TEST(what_does_not_listen_is_closed) {
    struct addr addr;
    int fds[] = {socket(AF_INET, SOCK_STREAM, 0), socket(AF_INET, SOCK_DGRAM, 0), listener(AF_INET, &addr), dup(0)};
    struct found found = hand_over(fds, 4, "4", OURS, MAX);
    ck_assert_uint_eq(found.count, 1);
    ck_assert_int_eq(found.fds[0], 5);
    ck_assert(addr_eq(&found.addrs[0], &addr));
    ck_assert(!found.are_open[0] && !found.are_open[1] && found.are_open[2] && !found.are_open[3]);
}
END_TEST

START_TEST(more_than_asked_for_are_closed) {
    struct addr addr;
    int fds[] = {listener(AF_INET, &addr), listener(AF_INET, &addr), listener(AF_INET, &addr)};
    struct found found = hand_over(fds, 3, "3", OURS, 2);
    ck_assert_uint_eq(found.count, 2);
    ck_assert(found.are_open[0] && found.are_open[1] && !found.are_open[2]);
}
END_TEST

static const struct {
    const char *announced, *pid;
    size_t count;
} announcements[] = {
    {"1", OURS, 1},
    {"1000000000", OURS, 1},
    {"1", "1", 0},
    {"1", NULL, 0},
    {"1", "", 0},
    {"0", OURS, 0},
    {"-1", OURS, 0},
    {"", OURS, 0},
    {NULL, OURS, 0},
    {"1x", OURS, 0},
    {"99999999999999999999", OURS, 0},
};

START_TEST(descriptors_of_others_are_left_alone) {
    struct addr addr;
    int fd = listener(AF_INET, &addr);
    struct found found = hand_over(&fd, 1, announcements[_i].announced, announcements[_i].pid, MAX);
    ck_assert_uint_eq(found.count, announcements[_i].count);
    ck_assert(found.are_open[0]);
}
END_TEST

Suite *app_notify_suite(void);
Suite *app_notify_suite(void) {
    Suite *suite = suite_create("notify");
    TCase *messages = tcase_create("messages");
    tcase_add_test(messages, a_message_reaches_a_path);
    tcase_add_test(messages, a_message_reaches_an_abstract_address);
    tcase_add_test(messages, a_manager_that_does_not_read_holds_nobody_up);
    tcase_add_loop_test(messages, without_an_address_nothing_happens, 0, sizeof(deaf) / sizeof(deaf[0]));
    suite_add_tcase(suite, messages);
    TCase *watchdog = tcase_create("watchdog");
    tcase_add_loop_test(watchdog, the_watchdog_is_fed_at_half_its_period_by_whom_it_is_for, 0,
                        sizeof(watchdogs) / sizeof(watchdogs[0]));
    tcase_add_test(watchdog, a_successor_inherits_the_watchdog);
    suite_add_tcase(suite, watchdog);
    TCase *sockets = tcase_create("sockets");
    tcase_add_test(sockets, listening_sockets_are_taken_with_their_addresses);
    tcase_add_test(sockets, what_does_not_listen_is_closed);
    tcase_add_test(sockets, more_than_asked_for_are_closed);
    tcase_add_loop_test(sockets, descriptors_of_others_are_left_alone, 0,
                        sizeof(announcements) / sizeof(announcements[0]));
    suite_add_tcase(suite, sockets);
    return suite;
}
