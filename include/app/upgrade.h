/*
 * upgrade: the program is replaced while it runs (USR2): the file at the path it was started with is executed beside
 * it, with its listening sockets (LISTEN_FDS) and ticket keys. The successor says through a pipe when it serves; then
 * the predecessor drains and ends. If the successor ends before that, nothing has happened.
 *
 *   NONE --upgrade_start--> RUNNING --"ready" through the pipe--> DONE (taken_over() is called)
 *     ^                        | it ended, or was not ready within 60 s
 *     `------------------------'
 *
 * Both states show in the process's name (/proc/PID/comm), where `sallyport upgrade` looks: sp-upgrading, sp-leaving,
 * and after a failure sp-kept-N.
 */
#ifndef SALLYPORT_APP_UPGRADE_H
#define SALLYPORT_APP_UPGRADE_H

#include "app/children.h"
#include "app/sockets.h"

#define UPGRADE_NAME_RUNNING "sp-upgrading"
#define UPGRADE_NAME_DONE "sp-leaving"
#define UPGRADE_NAME_FAILED "sp-kept-" /* and how many times */

enum upgrade_state { UPGRADE_NONE, UPGRADE_RUNNING, UPGRADE_DONE };

/* What a successor is given beside the sockets. */
struct upgrade_bequest {
    int keys, sessions;
};

struct upgrade {
    enum upgrade_state state;
    struct loop *loop;
    pid_t pid; /* of the successor */
    int pipe;  /* our end */
    struct loop_watch *watch;
    struct loop_timer *timer;
    unsigned failures;
    int to_predecessor; /* the pipe of the one that this process replaces; -1: none */
    /* -1: none. The caller's to take. */
    int inherited_keys;     /* its ticket keys, sealed */
    int inherited_sessions; /* its memory of TLS sessions */
    void (*taken_over)(void *arg);
    void *arg;
};

/* Also takes what a predecessor handed over. */
void upgrade_init(struct upgrade *upgrade, struct loop *loop, void (*taken_over)(void *arg), void *arg);
void upgrade_fini(struct upgrade *upgrade);
/* Is this process a successor that is not ready yet? */
bool upgrade_is_successor(const struct upgrade *upgrade);
/* The gateway serves: the predecessor may go. */
void upgrade_tell_ready(struct upgrade *upgrade);
void upgrade_start(struct upgrade *upgrade, const struct program *program, const struct sockets *sockets,
                   struct upgrade_bequest bequest);
/* After SIGCHLD. */
void upgrade_reaped(struct upgrade *upgrade, pid_t pid, int status);
/* Ends a successor that is not ready. */
void upgrade_cancel(struct upgrade *upgrade);

#endif
