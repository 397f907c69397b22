/* master_priv: what the files of master share.
 *
 *   master.c           start, signals, stop
 *   master_workers.c   the workers: what each is given, what they say, their replacement
 *   master_control.c   control: what it is given, what it says, its replacement
 *   exchange.c         from one generation to the next, in two phases
 */
#ifndef SALLYPORT_APP_MASTER_PRIV_H
#define SALLYPORT_APP_MASTER_PRIV_H

#include "app/children.h"
#include "app/generation.h"
#include "app/sockets.h"
#include "app/ticket_box.h"
#include "app/upgrade.h"
#include "base/limit_table.h"
#include "base/logpipe.h"

/*
 *   STARTING --control is ready--> SERVING --TERM, INT, replaced--> DRAINING --workers gone--> ENDING --control gone-->
 * ENDED
 *      `--start failed, TERM-------------------------------------------------------------------^ ^ QUIT from anywhere:
 * workers are killed, then ENDING ----------------------------------------------------------------'
 */
enum master_state { MASTER_STARTING, MASTER_SERVING, MASTER_DRAINING, MASTER_ENDING, MASTER_ENDED };

enum exchange_state { EXCHANGE_IDLE, EXCHANGE_COLLECTING, EXCHANGE_PREPARING, EXCHANGE_COMMITTING };

struct exchange {
    enum exchange_state state;
    struct generation next;
    struct loop_timer *timer;
};

/* Log lines from one process to control. Both ends stay open here: lines outlive their writer and their reader. */
struct log_pipe {
    int read, write; /* -1: not made yet */
};

/* A worker's place, and what stays there when the worker is replaced. */
struct worker_slot {
    struct child child;
    bool is_awaited; /* the exchange waits for its answer */
    int metrics;     /* its region; -1 without a process */
    struct log_pipe log;
};

struct master {
    struct loop *loop;
    enum master_state state;
    int status;
    struct program program;
    struct child_events worker_events, control_events;
    struct child control;
    bool wants_reload; /* HUP came, and no control has said yet that it is done */
    struct worker_slot workers[GENERATION_WORKERS_MAX];
    struct generation in_force;
    struct exchange exchange;
    struct sockets sockets;
    struct ticket_box tickets;
    struct upgrade upgrade;
    int limits;   /* shared memory of the table */
    int sessions; /* shared memory of TLS sessions */
    struct limit_table *limit_table;
    int control_metrics; /* region of the control that runs, or ran last */
    int *gone_metrics;   /* regions of dead processes that nobody has absorbed yet */
    size_t gone_metrics_count;
    struct log_pipe log;
    struct logpipe_writer *log_writer;
    struct loop_timer *housekeeping, *deadline;
};

/* master.c */
void master_set_state(struct master *master, enum master_state state);
/* Control says that the first generation is in force and everything is open. */
void master_ready(struct master *master);
/* Could not start, for the reason that control has told. */
void master_fail(struct master *master, int status);
/* A worker or control has ended: is that the end? */
void master_look_around(struct master *master);
void master_stop(struct master *master, bool is_replaced);

/* master_workers.c */
void workers_init(struct master *master);
void workers_fini(struct master *master);
size_t workers_alive(const struct master *master);
size_t workers_serving(const struct master *master);
/* Sends a generation and asks to prepare it. */
void worker_ask(struct master *master, struct worker_slot *slot, const struct generation *generation);
/* If it serves another generation than the one in force and is not on its way there: asks. */
void worker_catch_up(struct master *master, struct worker_slot *slot);
/* To all that are there. */
void workers_send_tickets(struct master *master);
/* Makes a line for questions between this worker and control, instead of the one before, if both are there. */
void worker_connect(struct master *master, struct worker_slot *slot);
void worker_dismiss(struct master *master, struct worker_slot *slot, bool is_replaced);
void workers_watch(struct master *master);

/* master_control.c */
void control_init(struct master *master);
void control_tell(struct master *master, const struct ipc_message *message);
void control_reload(struct master *master);
void control_fini(struct master *master);
/* The region of a dead worker goes to control, or waits for one. */
void control_absorb(struct master *master, int index, int *region);
/* Control reads what comes through it from now on. index: of the worker, -1: master's. */
void control_tell_pipe(struct master *master, int index, const struct log_pipe *log);

/* exchange.c */
void exchange_init(struct master *master);
void exchange_fini(struct master *master);
/* An item from control. */
void exchange_take(struct master *master, struct ipc_message *message);
void exchange_prepared(struct master *master, struct worker_slot *slot);
void exchange_in_force(struct master *master, struct worker_slot *slot);
/* Gives the next generation up: every worker stays with the one in force. Harmless when there is none. */
void exchange_reject(struct master *master, const char *why);
/* A worker that was waited for has ended. */
void exchange_worker_ended(struct master *master, struct worker_slot *slot);

#endif
