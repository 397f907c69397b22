/* control_priv: what the files of control share.
 *
 *   control.c          the process: messages from master
 *   control_change.c   from a file (configuration, CRL) to a generation in force, or not
 *   control_outside.c  what the operator sees: logs, metrics, the admin address
 *   control_ask.c      what workers ask
 *   control_tokens.c   the keys, and what is signed with them
 */
#ifndef SALLYPORT_APP_CONTROL_PRIV_H
#define SALLYPORT_APP_CONTROL_PRIV_H

#include "admin/admin.h"
#include "app/crl_watch.h"
#include "app/expiry_watch.h"
#include "app/generation.h"
#include "app/logs.h"
#include "app/ocsp_desk.h"
#include "app/signer.h"
#include "base/logpipe.h"
#include "ipc/ask.h"
#include "snapshot/snapshot.h"

/*
 *   WAITING --RELOAD: read the file----> OFFERED --COMMITTED--> IDLE --HUP, a CRL file changed--> OFFERED --COMMITTED,
 * REJECTED--> IDLE |  `--bad, or REJECTED: EXITING--> ENDED                   |
 *      `--a generation, COMMITTED: this one replaces a control----'          STOP 2, or master is gone: ENDED from
 * anywhere
 */
enum control_state { CONTROL_WAITING, CONTROL_IDLE, CONTROL_OFFERED, CONTROL_ENDED };

enum change_kind { CHANGE_START, CHANGE_RELOAD, CHANGE_CRLS, CHANGE_RESTORE };

/* A generation that is not in force yet, and what else changes with it. */
struct change {
    enum change_kind kind;
    struct conf *conf;
    struct resolved resolved;
    struct generation generation;
    struct snapshot *snapshot; /* a proof that workers can build it, and where the gauges come from */
    struct admin *admin;
    char *admin_address;
    struct signer *signer; /* NULL without applications, and with CHANGE_CRLS */
};

/* One process's log lines. */
struct log_source {
    struct list node;
    struct control *control;
    int index, fd;
    struct logpipe_reader *reader;
    struct loop_watch *watch; /* waits for the first line */
    struct loop_timer *rest;  /* then they are fetched when it fires, as long as there are any */
    int64_t rest_ms;
};

/* One worker's questions. */
struct asking {
    struct control *control;
    int fd; /* until there is a generation in force to answer by; -1 */
    struct answerer *answerer;
    bool knows_keys; /* the newest */
};

struct control {
    enum control_state state;
    int status;
    const char *config_path;
    struct loop *loop;
    struct channel *channel;
    struct conf *conf; /* of the generation in force, as everything up to admin_address */
    struct resolved resolved;
    struct generation in_force;
    struct snapshot *snapshot; /* so that the next proof costs only what changed */
    struct admin *admin;
    char *admin_address;      /* where admin is, as configured; or NULL */
    struct change change;     /* while OFFERED */
    struct generation handed; /* collected: what master has in force, for a control that replaces one */
    uint64_t last_number;
    bool wants_reload;
    bool has_waiting_crls; /* came while another change was on its way */
    struct resolved waiting_crls;
    struct crl_watch *crl_watch;
    struct expiry_watch *expiry_watch;
    struct ocsp_desk *ocsp_desk;
    struct ticket_keys *keys; /* for the proof only */
    struct logs logs;
    bool are_logs_open;
    struct list log_sources;
    void *regions[GENERATION_WORKERS_MAX]; /* mapped read-only; or NULL */
    struct asking asking[GENERATION_WORKERS_MAX];
    bool does_answer;
    struct signer *signer;
    struct sbuf key_set; /* as workers are told */
    struct loop_timer *key_timer;
    int64_t workers_serving;
    bool is_successor; /* of a gateway that still runs */
    bool is_stopping;
};

/* control.c */
void control_exit(struct control *control, int status);
void control_say(struct control *control, enum ipc_type type, int64_t value);

/* control_change.c */
void change_start(struct control *control);
void change_reload(struct control *control);
/* For crl_watch. */
void change_crls(void *arg, struct resolved *fresh);
/* Goes on from what master handed over. */
void change_restore(struct control *control);
void change_committed(struct control *control, uint64_t number);
void change_rejected(struct control *control, uint64_t number, struct slice why);
void change_fini(struct change *change);

/* control_ask.c */
void ask_start(struct control *control);
/* A worker's line, instead of the one it had. */
void ask_add(struct control *control, int64_t index, int fd);
/* A generation is in force: questions are answered from now on. */
void ask_open(struct control *control);
void ask_stop(struct control *control);

/* control_tokens.c */
void tokens_start(struct control *control);
void tokens_stop(struct control *control);
/* Opens, or makes, what is needed to sign for this configuration. */
MUST_CHECK int tokens_prepare(struct change *change, struct err *err);
void tokens_commit(struct control *control, struct change *change);
/* A line was opened: says the keys. */
void tokens_greet(struct asking *asking);
void tokens_answer(struct control *control, struct ask_question *question);

/* control_outside.c */
void outside_add_log(struct control *control, int index, int fd);
/* Logs are open: the other processes' lines are read from now on. */
void outside_open_logs(struct control *control);
/* All lines that have been written so far. */
void outside_read_logs(struct control *control);
void outside_add_region(struct control *control, int64_t index, int fd);
void outside_worker_gone(struct control *control, int64_t index);
void outside_fini(struct control *control);
/* Opens the admin interface of a change when it differs from the one in force. */
MUST_CHECK int outside_prepare_admin(struct control *control, struct change *change, struct err *err);
void outside_commit_admin(struct control *control, struct change *change);

#endif
