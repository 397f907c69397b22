/*
 * upgrade: see the header. Called by master only. Everything that needs memory is made before the fork; between fork
 * and exec there are system calls and one number written into a text (the successor's pid, which LISTEN_PID has to
 * name).
 */
#include "app/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "app/notify.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/memfd.h"

#define VARIABLE "SALLYPORT_UPGRADE" /* "PIPE KEYS SESSIONS": descriptors */
#define FIRST_FD 3
#define WAIT_MS 60000
#define OTHER_FDS 4 /* beside the sockets: pipe, keys, sessions, names */
#define PID_TEXT_SIZE 32

static void set_name(const char *name) { (void)prctl(PR_SET_NAME, name); }

/* ---- the successor's side ---- */

/* A descriptor's number in front of rest; -1: there is none. It stays out of children. */
static int take_descriptor(struct slice *rest) {
    struct slice word;
    unsigned long long fd;
    *rest = slice_cut(*rest, ' ', &word);
    return slice_to_u64(word, &fd) && fd <= INT_MAX && fcntl((int)fd, F_SETFD, FD_CLOEXEC) == 0 ? (int)fd : -1;
}

/* One of an older program names no sessions. */
static void take_descriptors(struct upgrade *upgrade) {
    struct slice rest = slice_of(getenv(VARIABLE));
    int pipe = take_descriptor(&rest), keys = take_descriptor(&rest);
    if (pipe < 0 || keys < 0)
        return;
    upgrade->to_predecessor = pipe;
    upgrade->inherited_keys = keys;
    upgrade->inherited_sessions = take_descriptor(&rest);
}

bool upgrade_is_successor(const struct upgrade *upgrade) { return upgrade->to_predecessor >= 0; }

void upgrade_tell_ready(struct upgrade *upgrade) {
    if (upgrade->to_predecessor < 0)
        return;
    if (write(upgrade->to_predecessor, "R", 1) != 1)
        log_warning("the program that this one replaces has ended already");
    (void)close(upgrade->to_predecessor);
    upgrade->to_predecessor = -1;
}

/* ---- the predecessor's side ---- */

static void stop_listening(struct upgrade *upgrade) {
    loop_watch_free(&upgrade->watch);
    loop_timer_cancel(upgrade->timer);
    if (upgrade->pipe >= 0)
        (void)close(upgrade->pipe);
    upgrade->pipe = -1;
}

static void fail(struct upgrade *upgrade, const char *why) {
    char name[16];
    log_error("upgrade failed, this program goes on: %s", why);
    stop_listening(upgrade);
    upgrade->state = UPGRADE_NONE;
    (void)snprintf(name, sizeof name, UPGRADE_NAME_FAILED "%u", ++upgrade->failures % 1000);
    set_name(name);
}

static void succeed(struct upgrade *upgrade) {
    char state[48];
    log_info("the new program (pid %d) serves; this one finishes what it has", (int)upgrade->pid);
    stop_listening(upgrade);
    upgrade->state = UPGRADE_DONE;
    set_name(UPGRADE_NAME_DONE);
    (void)snprintf(state, sizeof state, "MAINPID=%d", (int)upgrade->pid);
    notify_send(state);
    upgrade->taken_over(upgrade->arg);
}

/* At the end of the pipe the successor is ending: upgrade_reaped() tells how. */
static void on_pipe(void *arg, int ready) {
    struct upgrade *upgrade = arg;
    char byte;
    (void)ready;
    ssize_t size = read(upgrade->pipe, &byte, 1);
    if (size == 1)
        succeed(upgrade);
    else if (size == 0 || errno != EAGAIN)
        loop_watch_set(upgrade->watch, 0);
}

static void on_timeout(void *arg) {
    struct upgrade *upgrade = arg;
    log_error("the new program (pid %d) is not ready after 60 s; killing it", (int)upgrade->pid);
    (void)kill(upgrade->pid, SIGKILL);
}

void upgrade_reaped(struct upgrade *upgrade, pid_t pid, int status) {
    char how[64], why[96];
    if (pid != upgrade->pid || upgrade->state != UPGRADE_RUNNING)
        return;
    (void)snprintf(why, sizeof why, "the new program %s before it was ready", child_describe_exit(status, how));
    fail(upgrade, why);
}

void upgrade_cancel(struct upgrade *upgrade) {
    if (upgrade->state != UPGRADE_RUNNING)
        return;
    (void)kill(upgrade->pid, SIGKILL);
    fail(upgrade, "this program is stopping");
}

/* ---- fork and exec ---- */

/* What the new process is made of; fds[i] is to become FIRST_FD + i. */
struct handover {
    int *fds;
    size_t fd_count, socket_count;
    char **environment;
    size_t variable_count;
    char pid_text[PID_TEXT_SIZE];
    char *argv[5];
};

static bool is_ours(const char *variable) {
    static const char *const names[] = {"LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", VARIABLE "=",
                                        SOCKETS_NAMES_VARIABLE "="};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static void make_environment(struct handover *handover) {
    size_t count = 0;
    while (environ[count])
        count++;
    handover->environment = NEW_ARRAY(char *, count + 5);
    char **to = handover->environment;
    int pipe = FIRST_FD + (int)handover->socket_count;
    *to++ = handover->pid_text;
    *to++ = mem_printf("LISTEN_FDS=%zu", handover->socket_count);
    *to++ = mem_printf(VARIABLE "=%d %d %d", pipe, pipe + 1, pipe + 2);
    *to++ = mem_printf(SOCKETS_NAMES_VARIABLE "=%d", pipe + 3);
    for (size_t i = 0; i < count; i++)
        if (!is_ours(environ[i]))
            *to++ = environ[i];
}

static void handover_fini(struct handover *handover) {
    for (size_t i = 0; i < handover->fd_count; i++)
        if (handover->fds[i] >= 0)
            (void)close(handover->fds[i]);
    mem_free(handover->fds);
    if (handover->environment)
        for (size_t i = 1; i < 4; i++)
            mem_free(handover->environment[i]);
    mem_free(handover->environment);
}

/* The names of the sockets in their order: as a file, since a variable holds 128 KiB at most. */
static int seal_names(const struct sockets *sockets, struct handover *handover, struct err *err) {
    struct sbuf names;
    sbuf_init(&names, SOCKETS_NAMES_MAX);
    handover->socket_count = sockets_export(sockets, handover->fds, SOCKETS_INHERITED_MAX, &names);
    int fd = names.overflow ? err_set(err, "the listeners' names are too long") : 0;
    if (fd == 0)
        fd = memfd_seal("listeners", sbuf_slice(&names), err);
    sbuf_fini(&names);
    return fd;
}

/* Copies out of the way of the numbers that they are to have. */
static int copy_descriptors(struct handover *handover, const struct sockets *sockets, int pipe,
                            struct upgrade_bequest bequest, struct err *err) {
    handover->fds = NEW_ARRAY(int, SOCKETS_INHERITED_MAX + OTHER_FDS);
    int names = seal_names(sockets, handover, err), status = names < 0 ? -1 : 0;
    size_t count = handover->socket_count + OTHER_FDS;
    const int others[OTHER_FDS] = {pipe, bequest.keys, bequest.sessions, names};
    memcpy(handover->fds + handover->socket_count, others, sizeof others);
    for (; handover->fd_count < count && status == 0; handover->fd_count++) {
        int *fd = &handover->fds[handover->fd_count];
        *fd = fcntl(*fd, F_DUPFD_CLOEXEC, FIRST_FD + (int)count);
        if (*fd < 0)
            status = err_set(err, "no descriptor is free");
    }
    if (names >= 0)
        (void)close(names);
    return status;
}

/* In the new process. */
static void become(struct handover *handover, const char *path) {
    for (size_t i = 0; i < handover->fd_count; i++)
        if (dup2(handover->fds[i], FIRST_FD + (int)i) < 0)
            return;
    (void)close_range(FIRST_FD + (unsigned)handover->fd_count, ~0U, CLOSE_RANGE_CLOEXEC);
    (void)snprintf(handover->pid_text, sizeof handover->pid_text, "LISTEN_PID=%d", (int)getpid());
    (void)execve(path, handover->argv, handover->environment);
}

static pid_t start_successor(const struct program *program, const struct sockets *sockets, int pipe,
                             struct upgrade_bequest bequest, struct err *err) {
    struct handover handover = {.fds = NULL};
    pid_t pid = -1;
    char run[] = "run", option[] = "-c", *path = mem_strdup(program->path), *config = mem_strdup(program->config_path);
    if (copy_descriptors(&handover, sockets, pipe, bequest, err) == 0) {
        make_environment(&handover);
        char *argv[] = {path, run, option, config, NULL};
        memcpy(handover.argv, argv, sizeof argv);
        pid = fork();
        if (pid == 0) {
            become(&handover, program->path);
            _exit(127);
        }
        if (pid < 0)
            (void)err_set(err, "%s", strerror(errno));
    }
    handover_fini(&handover);
    mem_free(path);
    mem_free(config);
    return pid;
}

void upgrade_start(struct upgrade *upgrade, const struct program *program, const struct sockets *sockets,
                   struct upgrade_bequest bequest) {
    struct err err = {""};
    int ends[2];
    if (upgrade->state != UPGRADE_NONE) {
        log_warning("an upgrade is going on already");
        return;
    }
    log_info("upgrade: starting %s", program->path);
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        fail(upgrade, strerror(errno));
        return;
    }
    upgrade->pipe = ends[0];
    upgrade->pid = start_successor(program, sockets, ends[1], bequest, &err);
    (void)close(ends[1]);
    if (upgrade->pid < 0) {
        fail(upgrade, err.text);
        return;
    }
    upgrade->state = UPGRADE_RUNNING;
    set_name(UPGRADE_NAME_RUNNING);
    upgrade->watch = loop_watch_new(upgrade->loop, upgrade->pipe, on_pipe, upgrade);
    loop_watch_set(upgrade->watch, LOOP_READ);
    loop_timer_set(upgrade->timer, WAIT_MS);
}

void upgrade_init(struct upgrade *upgrade, struct loop *loop, void (*taken_over)(void *arg), void *arg) {
    *upgrade = (struct upgrade){.loop = loop,
                                .pipe = -1,
                                .to_predecessor = -1,
                                .inherited_keys = -1,
                                .inherited_sessions = -1,
                                .taken_over = taken_over,
                                .arg = arg};
    upgrade->timer = loop_timer_new(loop, on_timeout, upgrade);
    take_descriptors(upgrade);
    (void)unsetenv(VARIABLE);
}

void upgrade_fini(struct upgrade *upgrade) {
    stop_listening(upgrade);
    loop_timer_free(&upgrade->timer);
    if (upgrade->to_predecessor >= 0)
        (void)close(upgrade->to_predecessor);
    if (upgrade->inherited_keys >= 0)
        (void)close(upgrade->inherited_keys);
    if (upgrade->inherited_sessions >= 0)
        (void)close(upgrade->inherited_sessions);
}
