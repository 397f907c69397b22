/*
 * logs: the three log sinks of the gateway across reloads: opened anew only when their target changes, before the old
 * one is let go.
 */
#ifndef SALLYPORT_APP_LOGS_H
#define SALLYPORT_APP_LOGS_H

#include "base/err.h"
#include "base/logsink.h"
#include "conf/conf.h"

struct log_target {
    char *target; /* as opened */
    struct logsink *sink;
    char *next_target; /* prepared, or NULL: no change */
    struct logsink *next_sink;
};

struct logs {
    struct log_target error, access, audit;
};

/* Opens what differs from what is open. On failure nothing has changed. */
MUST_CHECK int logs_prepare(struct logs *logs, const struct conf_log *conf, struct err *err);
/* Puts the prepared sinks in force and closes the ones they replace; the caller tells whoever holds the old pointers
 * first. */
void logs_commit(struct logs *logs, const struct conf_log *conf);
void logs_rollback(struct logs *logs);
void logs_reopen(struct logs *logs);
void logs_close(struct logs *logs);

#endif
