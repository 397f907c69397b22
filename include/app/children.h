/*
 * children: the life of master's children, control and workers alike: started from the program's own file, heard over
 * their channel, replaced when they end.
 *
 *             child_start                        child_set_serving            child_set_leaving
 *   ABSENT ----------------> STARTING ------------------------------> SERVING ------------------> LEAVING
 *      ^                        | ended              ended |                                         | ended
 *      |    nobody wants it     v                          v                                         v
 *      +--------------------- ENDED <------------------------------------------------------------- ENDED
 *                               | child_start_again: at once; 100 ms, 200 ms ... 5 s when it never lives for 10 s
 *                               +--> WAITING --timer--> STARTING
 */
#ifndef SALLYPORT_APP_CHILDREN_H
#define SALLYPORT_APP_CHILDREN_H

#include <sys/types.h>

#include "ipc/channel.h"

#define CHILD_CONTROL (-1) /* index of control */

enum child_state { CHILD_ABSENT, CHILD_STARTING, CHILD_SERVING, CHILD_LEAVING, CHILD_ENDED, CHILD_WAITING };

struct child;

/* What master does with them. */
struct child_events {
    void (*started)(void *arg, struct child *child); /* the channel is there: say what it has to know */
    void (*message)(void *arg, struct child *child, struct ipc_message *message);
    /* Both are gone: the process and its channel. how: "ended with status 1", "was killed by signal 9". */
    void (*ended)(void *arg, struct child *child, const char *how);
    void *arg;
};

struct child {
    struct loop *loop;
    const struct child_events *events;
    const struct program *program;
    int index; /* of the worker; or CHILD_CONTROL */
    enum child_state state;
    pid_t pid;               /* 0: no process */
    struct channel *channel; /* or NULL */
    int64_t started_ms, heard_ms;
    int64_t ended_us;     /* the one before it ended then; 0: there was none, or it was told of */
    unsigned short_lives; /* in a row */
    int exit_status;      /* of waitpid */
    struct loop_timer *again, *deadline;
    uint64_t asked, in_force; /* workers: generation that was asked for last, that it serves */
};

/* How children are started: always the file that this process runs, whatever is at its path by now. */
struct program {
    int fd;           /* O_PATH of it */
    const char *path; /* where it was */
    const char *config_path;
};

void child_init(struct child *child, struct loop *loop, const struct program *program,
                const struct child_events *events, int index);
void child_fini(struct child *child);
/* "control", "worker 3". Static until the next call. */
const char *child_name(const struct child *child);
/* A process is there (it may still be on its way out). */
bool child_is_alive(const struct child *child);
/* Forks and executes; failing that the next try is a timer's. */
void child_start(struct child *child);
/* After ended(): a successor, with the delay that fits. */
void child_start_again(struct child *child);
/* No successor is wanted (any more). */
void child_forget(struct child *child);
void child_set_serving(struct child *child);
/* It was told to go; killed when it has not within timeout_ms (0: no limit). */
void child_set_leaving(struct child *child, int64_t timeout_ms);
void child_kill(struct child *child, const char *why);
/* Sends, or kills a child that does not read. */
void child_send(struct child *child, const struct ipc_message *message);
/* After SIGCHLD, with what waitpid said of child->pid. */
void child_reaped(struct child *child, int status);
/* "ended with status 1" etc. out: 64 bytes. */
const char *child_describe_exit(int status, char *out);

#endif
