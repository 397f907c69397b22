#include "app/sandbox.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memfd.h"

/* ---- the account ---- */

START_TEST(an_account_that_does_not_exist_is_an_error) {
    struct sandbox_ids ids;
    struct err err;
    ck_assert_int_eq(sandbox_lookup(&(struct sandbox_source){"no-such-account"}, &ids, &err), -1);
    ck_assert_str_eq(err.text, "user: there is no account 'no-such-account'");
}
END_TEST

START_TEST(root_becomes_the_account_named_and_others_stay) {
    struct sandbox_ids ids;
    struct err err;
    const struct passwd *account = getpwnam("nobody");
    ck_assert_int_eq(sandbox_lookup(&(struct sandbox_source){"nobody"}, &ids, &err), 0);
    ck_assert_uint_eq(ids.uid, geteuid() == 0 ? account->pw_uid : 0);
    ck_assert_uint_eq(ids.gid, geteuid() == 0 ? account->pw_gid : 0);
}
END_TEST

START_TEST(root_becomes_somebody_without_being_told) {
    struct sandbox_ids ids;
    struct err err;
    const struct passwd *account = getpwnam("sallyport");
    if (!account)
        account = getpwnam("nobody");
    ck_assert_int_eq(sandbox_lookup(&(struct sandbox_source){NULL}, &ids, &err), 0);
    ck_assert_uint_eq(ids.uid, geteuid() == 0 ? account->pw_uid : 0);
}
END_TEST

/* ---- inside ---- */

/* Runs check in a process that has entered; it returns the line of what went wrong, 0 for nothing. */
static int inside(int (*check)(void), bool *was_killed_out) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct sandbox_ids ids;
        struct err err;
        log_set_level(LOG_ERROR);
        if (sandbox_lookup(&(struct sandbox_source){NULL}, &ids, &err) != 0 || sandbox_enter(&ids, &err) != 0) {
            fprintf(stderr, "%s\n", err.text);
            _exit(255);
        }
        int line = check();
        _exit(line == 0 ? 0 : line % 254 + 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    *was_killed_out = WIFSIGNALED(status);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

#define NEED(condition)                                             \
    do                                                              \
        if (!(condition)) {                                         \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
            return __LINE__;                                        \
        }                                                           \
    while (0)

static int listening; /* made outside */
static struct sockaddr_in listening_at;
static int sealed, shared;

static void make_what_a_worker_is_handed(void) {
    struct err err;
    socklen_t size = sizeof(listening_at);
    listening_at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listening, (const struct sockaddr *)&listening_at, sizeof(listening_at)), 0);
    ck_assert_int_eq(listen(listening, 5), 0);
    ck_assert_int_eq(getsockname(listening, (struct sockaddr *)&listening_at, &size), 0);
    sealed = memfd_seal("sealed", SLICE("content"), &err);
    shared = memfd_shared("shared", 4096, &err);
    ck_assert(sealed >= 0 && shared >= 0);
}

static int connections_work(void) {
    int on = 1, error = 1, epoll = epoll_create1(EPOLL_CLOEXEC), pair[2];
    struct linger linger = {1, 0};
    socklen_t size = sizeof(error);
    struct epoll_event event = {.events = EPOLLIN};
    char byte;
    int to = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    NEED(to >= 0 && socket(AF_INET6, SOCK_STREAM, 0) != -1);
    NEED(connect(to, (const struct sockaddr *)&listening_at, sizeof(listening_at)) == 0 || errno == EINPROGRESS);
    int from = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    NEED(from >= 0 && getsockopt(to, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0);
    NEED(setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
    NEED(setsockopt(from, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
    NEED(epoll_ctl(epoll, EPOLL_CTL_ADD, from, &event) == 0);
    NEED(send(to, "x", 1, MSG_NOSIGNAL) == 1 && epoll_wait(epoll, &event, 1, 5000) == 1);
    NEED(recv(from, &byte, 1, 0) == 1 && shutdown(from, SHUT_WR) == 0 && close(from) == 0);
    NEED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    NEED(fcntl(pair[0], F_DUPFD_CLOEXEC, 0) >= 0);
    return 0;
}

static int memory_works(void) {
    struct slice content;
    struct err err;
    NEED(memfd_map_sealed(sealed, 100, &content, &err) == 0 && slice_eq_str(content, "content"));
    memfd_unmap(&content);
    char *counters = memfd_map_shared(shared, 4096, true, &err);
    NEED(counters);
    counters[0] = 1;
    char *large = malloc(64 << 20);
    NEED(large);
    memset(large, 1, 64 << 20);
    large = realloc(large, 128 << 20);
    NEED(large);
    free(large);
    NEED(getrandom(counters, 16, 0) == 16);
    return 0;
}

static int privileges_are_gone(void) {
    uid_t real, effective, saved;
    NEED(getuid() != 0 && geteuid() != 0);
    NEED(getresuid(&real, &effective, &saved) != 0 || saved != 0);
    return 0;
}

static int work_is_done(void) {
    int line = connections_work();
    return line ? line : memory_works();
}

static int it_aborts(void) { abort(); }

static int it_is_alarmed(void) {
    (void)signal(SIGALRM, SIG_DFL); /* Check has a handler */
    alarm(1);
    NEED(poll(NULL, 0, 10000) == 0);
    return __LINE__;
}

START_TEST(a_worker_can_do_its_work) {
    bool was_killed;
    make_what_a_worker_is_handed();
    ck_assert_int_eq(inside(work_is_done, &was_killed), 0);
    ck_assert(!was_killed);
}
END_TEST

START_TEST(nothing_of_root_is_left) {
    bool was_killed;
    ck_assert_int_eq(inside(privileges_are_gone, &was_killed), 0);
}
END_TEST

START_TEST(a_bug_still_ends_in_an_abort) {
    bool was_killed;
    ck_assert_int_eq(inside(it_aborts, &was_killed), SIGABRT);
    ck_assert(was_killed);
}
END_TEST

START_TEST(the_alarm_still_rings) {
    bool was_killed;
    ck_assert_int_eq(inside(it_is_alarmed, &was_killed), SIGALRM);
    ck_assert(was_killed);
}
END_TEST

/* The kernel forgets it when ids change; master counts on it. */
START_TEST(the_parent_death_signal_is_kept) {
    int ends[2], result[2];
    char byte = 0;
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(pipe(result), 0);
    pid_t parent = fork();
    if (parent == 0) {
        if (fork() == 0) {
            struct sandbox_ids ids;
            struct err err;
            log_set_level(LOG_ERROR);
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (sandbox_lookup(&(struct sandbox_source){NULL}, &ids, &err) != 0 || sandbox_enter(&ids, &err) != 0)
                _exit(1);
            close(ends[0]);
            (void)!write(result[1], "y", 1);
            for (;;)
                (void)poll(NULL, 0, 1000);
        }
        (void)!read(result[0], &byte, 1);
        _exit(byte == 'y' ? 0 : 1);
    }
    int status;
    close(ends[1]);
    ck_assert_int_eq(waitpid(parent, &status, 0), parent);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(read(ends[0], &byte, 1), 0); /* its last holder has been killed */
}
END_TEST

Suite *app_sandbox_suite(void);
Suite *app_sandbox_suite(void) {
    Suite *suite = suite_create("sandbox");
    TCase *account = tcase_create("account");
    tcase_add_test(account, an_account_that_does_not_exist_is_an_error);
    tcase_add_test(account, root_becomes_the_account_named_and_others_stay);
    tcase_add_test(account, root_becomes_somebody_without_being_told);
    suite_add_tcase(suite, account);
    TCase *box = tcase_create("inside");
    tcase_add_test(box, a_worker_can_do_its_work);
    tcase_add_test(box, nothing_of_root_is_left);
    tcase_add_test(box, a_bug_still_ends_in_an_abort);
    tcase_add_test(box, the_alarm_still_rings);
    tcase_add_test(box, the_parent_death_signal_is_kept);
    suite_add_tcase(suite, box);
    return suite;
}
