/*
 * logs: see the header. A change of targets is prepared before anything is let go, so that a reload with a log
 * file that cannot be opened changes nothing.
 */
#include "app/logs.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"

static int prepare_target(struct log_target *log, const char *name, const char *target, struct err *err) {
    if (log->target && strcmp(log->target, target) == 0)
        return 0;
    log->next_sink = logsink_open(name, target, err);
    if (!log->next_sink)
        return err_context(err, "log.%s", strcmp(name, "error") == 0 ? "file" : name);
    log->next_target = mem_strdup(target);
    return 0;
}

static void rollback_target(struct log_target *log) {
    logsink_close(&log->next_sink);
    mem_free(log->next_target);
    log->next_target = NULL;
}

int logs_prepare(struct logs *logs, const struct conf_log *conf, struct err *err) {
    if (prepare_target(&logs->error, "error", conf->file.text, err) == 0 &&
        prepare_target(&logs->access, "access", conf->access.text, err) == 0 &&
        prepare_target(&logs->audit, "audit", conf->audit.text, err) == 0)
        return 0;
    logs_rollback(logs);
    return -1;
}

void logs_rollback(struct logs *logs) {
    rollback_target(&logs->error);
    rollback_target(&logs->access);
    rollback_target(&logs->audit);
}

static void commit_target(struct log_target *log) {
    if (!log->next_sink)
        return;
    logsink_retire(&log->sink);
    mem_free(log->target);
    log->sink = log->next_sink;
    log->target = log->next_target;
    log->next_sink = NULL;
    log->next_target = NULL;
}

void logs_commit(struct logs *logs, const struct conf_log *conf) {
    enum log_level level = LOG_INFO;
    if (log_level_from_name(slice_of(conf->level.text), &level))
        log_set_level(level);
    if (logs->error.next_sink)
        log_set_sink(logs->error.next_sink);
    commit_target(&logs->error);
    commit_target(&logs->access);
    commit_target(&logs->audit);
}

void logs_reopen(struct logs *logs) {
    logsink_reopen(logs->error.sink);
    logsink_reopen(logs->access.sink);
    logsink_reopen(logs->audit.sink);
}

static void close_target(struct log_target *log) {
    logsink_close(&log->sink);
    mem_free(log->target);
    log->target = NULL;
}

void logs_close(struct logs *logs) {
    logs_rollback(logs);
    log_set_sink(NULL);
    close_target(&logs->access);
    close_target(&logs->audit);
    close_target(&logs->error);
}
