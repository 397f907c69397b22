/*
 * children: see the header. Called by master only. Between fork and exec nothing but system calls: the new process has
 * the descriptors 0 to 3 and an address space of its own. That a child has ended is known when both its process was
 * reaped and its channel read to the end, so that its last words are heard.
 */
#include "app/children.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define CHANNEL_FD 3
#define LONG_LIFE_MS 10000
#define DELAY_MS 100
#define DELAY_MAX_MS 5000
#define FAREWELL_MS 5000 /* a process that has closed its channel is to end by itself within this time */

static int64_t now_ms(void) { return clock_mono_us() / 1000; }

static void set_state(struct child *child, enum child_state state) {
    child->state = state;
    if (state != CHILD_WAITING)
        loop_timer_cancel(child->again);
}

const char *child_name(const struct child *child) {
    static char name[32];
    if (child->index == CHILD_CONTROL)
        return "control";
    (void)snprintf(name, sizeof name, "worker %d", child->index);
    return name;
}

bool child_is_alive(const struct child *child) { return child->pid != 0; }

const char *child_describe_exit(int status, char *out) {
    if (WIFSIGNALED(status))
        (void)snprintf(out, 64, "was killed by signal %d", WTERMSIG(status));
    else
        (void)snprintf(out, 64, "ended with status %d", WEXITSTATUS(status));
    return out;
}

/* ---- the end ---- */

static void end_if_over(struct child *child) {
    char how[64];
    if (child->pid != 0 || child->channel)
        return;
    loop_timer_cancel(child->deadline);
    set_state(child, CHILD_ENDED);
    child->asked = child->in_force = 0;
    child->events->ended(child->events->arg, child, child_describe_exit(child->exit_status, how));
}

void child_reaped(struct child *child, int status) {
    child->pid = 0;
    child->exit_status = status;
    child->ended_us = clock_mono_us();
    end_if_over(child);
}

void child_kill(struct child *child, const char *why) {
    if (child->pid == 0)
        return;
    if (why)
        log_error("%s (pid %d) %s; killing it", child_name(child), (int)child->pid, why);
    (void)kill(child->pid, SIGKILL);
}

static void on_deadline(void *arg) { child_kill(arg, "does not end"); }

static void on_closed(void *arg, const char *fault) {
    struct child *child = arg;
    channel_close(&child->channel);
    if (fault[0] != '\0') {
        log_error("%s (pid %d) sent %s; killing it", child_name(child), (int)child->pid, fault);
        child_kill(child, NULL);
    } else if (child->pid != 0 && !loop_timer_is_set(child->deadline)) {
        loop_timer_set(child->deadline, FAREWELL_MS);
    }
    end_if_over(child);
}

static void on_message(void *arg, struct ipc_message *message) {
    struct child *child = arg;
    child->heard_ms = now_ms();
    child->events->message(child->events->arg, child, message);
}

/* ---- starting ---- */

static void on_again(void *arg) { child_start(arg); }

void child_init(struct child *child, struct loop *loop, const struct program *program,
                const struct child_events *events, int index) {
    *child = (struct child){.loop = loop, .program = program, .events = events, .index = index};
    child->again = loop_timer_new(loop, on_again, child);
    child->deadline = loop_timer_new(loop, on_deadline, child);
}

void child_fini(struct child *child) {
    channel_close(&child->channel);
    loop_timer_free(&child->again);
    loop_timer_free(&child->deadline);
}

/* In the new process. A worker has no use for standard input and output; its standard error is for its last words. */
static void become(const struct child *child, int channel_fd, pid_t parent, char *const argv[]) {
    bool is_worker = child->index != CHILD_CONTROL;
    int null = open("/dev/null", O_RDWR);
    (void)prctl(PR_SET_PDEATHSIG, is_worker ? SIGALRM : SIGKILL); /* a worker finishes what it has: worker_process.c */
    if (getppid() != parent || null < 0 || dup2(null, STDIN_FILENO) < 0 || (is_worker && dup2(null, STDOUT_FILENO) < 0))
        return;
    /* dup2() of a descriptor to itself would leave it close-on-exec. */
    if (channel_fd == CHANNEL_FD ? fcntl(CHANNEL_FD, F_SETFD, 0) < 0 : dup2(channel_fd, CHANNEL_FD) < 0)
        return;
    (void)close_range(CHANNEL_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    (void)fexecve(child->program->fd, argv, environ);
}

static pid_t fork_child(const struct child *child, int channel_fd) {
    char index[16], command_control[] = "control", command_worker[] = "worker", option[] = "-c",
                    program[] = "sallyport";
    bool is_control = child->index == CHILD_CONTROL;
    char *config = mem_strdup(child->program->config_path);
    (void)snprintf(index, sizeof index, "%d", child->index);
    char *control_argv[] = {program, command_control, option, config, NULL};
    char *worker_argv[] = {program, command_worker, index, NULL};
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        become(child, channel_fd, parent, is_control ? control_argv : worker_argv);
        _exit(127);
    }
    mem_free(config);
    return pid;
}

static void wait_for_next_try(struct child *child) {
    int64_t delay_ms = DELAY_MS;
    for (unsigned i = 2; i < child->short_lives && delay_ms < DELAY_MAX_MS; i++)
        delay_ms *= 2;
    set_state(child, CHILD_WAITING);
    loop_timer_set(child->again, delay_ms < DELAY_MAX_MS ? delay_ms : DELAY_MAX_MS);
}

void child_start(struct child *child) {
    struct err err = {""};
    int ours = -1, theirs = -1;
    INVARIANT(!child_is_alive(child) && !child->channel);
    pid_t pid = channel_pair(&ours, &theirs, &err) == 0 ? fork_child(child, theirs) : -1;
    if (pid < 0) {
        log_error("%s cannot be started: %s", child_name(child), ours < 0 ? err.text : strerror(errno));
        if (ours >= 0) {
            (void)close(ours);
            (void)close(theirs);
        }
        child->short_lives++;
        wait_for_next_try(child);
        return;
    }
    (void)close(theirs);
    child->pid = pid;
    child->started_ms = child->heard_ms = now_ms();
    child->channel = channel_open(child->loop, ours, on_message, on_closed, child);
    set_state(child, CHILD_STARTING);
    child->events->started(child->events->arg, child);
}

void child_start_again(struct child *child) {
    bool was_short = now_ms() - child->started_ms < LONG_LIFE_MS;
    child->short_lives = was_short ? child->short_lives + 1 : 0;
    if (child->short_lives <= 1)
        child_start(child);
    else
        wait_for_next_try(child);
}

void child_forget(struct child *child) {
    set_state(child, CHILD_ABSENT);
    child->ended_us = 0;
}

void child_set_serving(struct child *child) {
    set_state(child, CHILD_SERVING);
    if (child->ended_us > 0)
        log_info("%s (pid %d) serves, %.1f ms after the one before it ended", child_name(child), (int)child->pid,
                 (double)(clock_mono_us() - child->ended_us) / 1000);
    child->ended_us = 0;
}

void child_set_leaving(struct child *child, int64_t timeout_ms) {
    set_state(child, CHILD_LEAVING);
    if (timeout_ms > 0)
        loop_timer_set(child->deadline, timeout_ms);
}

void child_send(struct child *child, const struct ipc_message *message) {
    if (child->channel && !channel_send(child->channel, message))
        child_kill(child, "does not take its messages");
}
