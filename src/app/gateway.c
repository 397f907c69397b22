/*
 * gateway: see the header. Start-up and reload are one path: load (control), prepare everything that can fail, then
 * commit, which cannot fail.
 *
 *   resolve_file -> snapshot_new -> logs_prepare -> listeners_prepare -> [admin] -> commit: publish to the worker
 *        any failure: roll back, the old generation stays (sec-09, sec-10)
 */
#include "app/gateway.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin/admin.h"
#include "app/crl_audit.h"
#include "app/listeners.h"
#include "app/logs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "io/loop.h"
#include "pki/cert.h"
#include "proxy/observe.h"
#include "proxy/worker.h"
#include "snapshot/resolve.h"
#include "snapshot/snapshot.h"

#define HOUSEKEEPING_MS 60000
#define TICKET_ROTATION_MS (12LL * 3600 * 1000)

struct gateway {
    const char *config_path;
    struct loop *loop;
    struct conf *conf;        /* control side: the file as loaded */
    struct resolved resolved; /* control side: what workers were given */
    struct ticket_keys *keys;
    struct snapshot *snapshot; /* in force */
    struct worker *worker;
    struct listeners listeners;
    struct logs logs;
    struct admin *admin;
    char *admin_address; /* where admin is, as configured; or NULL */
    struct loop_timer *housekeeping;
    bool is_stopping;
    int status;
};

/* A generation that is not in force yet. */
struct candidate {
    struct conf *conf;
    struct resolved resolved;
    struct snapshot *snapshot;
    struct admin *admin;
    char *admin_address;
};

static void candidate_fini(struct candidate *candidate) {
    admin_close(&candidate->admin);
    mem_free(candidate->admin_address);
    snapshot_unref(&candidate->snapshot);
    resolved_fini(&candidate->resolved);
    conf_free(&candidate->conf);
}

/* Every message of the configuration, on the terminal at start and in the log on reload. */
static void report_messages(struct conf_messages *messages, bool is_start) {
    struct sbuf text;
    sbuf_init(&text, 1 << 20);
    conf_messages_print(messages, &text);
    struct slice rest = sbuf_slice(&text), line;
    while (rest.ptr && rest.len > 0) {
        rest = slice_cut(rest, '\n', &line);
        if (line.len == 0)
            continue;
        if (is_start)
            fprintf(stderr, SLICE_FMT "\n", SLICE_ARG(line));
        else
            log_write(messages->errors > 0 ? LOG_ERROR : LOG_WARNING, SLICE_FMT, SLICE_ARG(line));
    }
    sbuf_fini(&text);
}

static bool admin_is_ready(void *arg, const char **detail_out) {
    const struct gateway *gateway = arg;
    *detail_out = gateway->is_stopping ? "shutting down" : "ready";
    return !gateway->is_stopping;
}

static void admin_refresh(void *arg) {
    const struct gateway *gateway = arg;
    snapshot_publish_metrics(gateway->snapshot);
}

/* resolve has taken the white space off its end. */
static struct slice admin_token(const struct conf *conf, const struct resolved *resolved) {
    for (size_t i = 0; i < resolved->secret_count; i++)
        if (conf->admin.token_file.digest[0] && strcmp(resolved->secrets[i].digest, conf->admin.token_file.digest) == 0)
            return slice_trim(slice_make(resolved->secrets[i].bytes, resolved->secrets[i].size));
    return SLICE_NONE;
}

static bool has_same_admin_address(const struct gateway *gateway, const struct candidate *next) {
    const char *now = gateway->admin_address, *wanted = next->admin_address;
    return now && wanted && strcmp(now, wanted) == 0;
}

/* Opens the admin interface of the candidate when it is to be elsewhere than the one in force. */
static int prepare_admin(struct gateway *gateway, struct candidate *next, struct err *err) {
    const char *address = next->conf->admin.address.text;
    if (!address)
        return 0;
    next->admin_address = mem_strdup(address);
    if (has_same_admin_address(gateway, next))
        return 0;
    struct admin_source source = {.address = address,
                                  .token = admin_token(next->conf, &next->resolved),
                                  .is_ready = admin_is_ready,
                                  .refresh = admin_refresh,
                                  .arg = gateway};
    next->admin = admin_open(gateway->loop, &source, err);
    return next->admin ? 0 : err_context(err, "admin %s", address);
}

static void commit_admin(struct gateway *gateway, struct candidate *next) {
    if (has_same_admin_address(gateway, next)) {
        admin_set_token(gateway->admin, admin_token(next->conf, &next->resolved));
        return;
    }
    admin_close(&gateway->admin);
    mem_free(gateway->admin_address);
    gateway->admin = next->admin;
    gateway->admin_address = next->admin_address;
    next->admin = NULL;
    next->admin_address = NULL;
}

/* Control side, then worker side, then whatever else can fail. Returns 0, 1 (could not), or 2 (bad configuration). */
static int prepare(struct gateway *gateway, struct candidate *next, bool is_start, struct err *err) {
    struct conf_messages messages;
    conf_messages_init(&messages, gateway->config_path);
    const struct resolved *previous = is_start ? NULL : &gateway->resolved;
    int loaded = resolve_file(gateway->config_path, previous, &messages, &next->conf, &next->resolved);
    report_messages(&messages, is_start);
    size_t errors = messages.errors;
    conf_messages_fini(&messages);
    if (loaded != 0) {
        err_set(err, "%s: %zu error%s in the configuration", gateway->config_path, errors, errors == 1 ? "" : "s");
        return 2;
    }
    uint64_t generation = is_start ? 1 : gateway->snapshot->generation + 1;
    next->snapshot = snapshot_new(&next->resolved, generation, gateway->keys, err);
    if (!next->snapshot)
        return 2;
    if (logs_prepare(&gateway->logs, &next->conf->log, err) != 0)
        return 1;
    if (listeners_prepare(&gateway->listeners, next->snapshot, err) != 0 || prepare_admin(gateway, next, err) != 0) {
        listeners_rollback(&gateway->listeners);
        logs_rollback(&gateway->logs);
        return 1;
    }
    return 0;
}

/* Puts a prepared candidate in force. */
static void commit(struct gateway *gateway, struct candidate *next) {
    struct logsink *access =
        gateway->logs.access.next_sink ? gateway->logs.access.next_sink : gateway->logs.access.sink;
    struct logsink *audit = gateway->logs.audit.next_sink ? gateway->logs.audit.next_sink : gateway->logs.audit.sink;
    if (gateway->worker) {
        gateway->worker->access = access;
        gateway->worker->audit = audit;
        worker_publish(gateway->worker, next->snapshot);
    } else {
        gateway->worker = worker_new(gateway->loop, next->snapshot, access, audit);
    }
    logs_commit(&gateway->logs, &next->conf->log);
    listeners_commit(&gateway->listeners, next->snapshot, gateway->worker);
    commit_admin(gateway, next);

    struct candidate old = {gateway->conf, gateway->resolved, gateway->snapshot, NULL, NULL};
    gateway->conf = next->conf;
    gateway->resolved = next->resolved;
    gateway->snapshot = next->snapshot;
    if (old.snapshot) {
        const struct crl_view before = {old.conf, &old.resolved, old.snapshot->generation};
        const struct crl_view now = {gateway->conf, &gateway->resolved, gateway->snapshot->generation};
        crl_audit(audit, &before, &now);
    }
    next->conf = NULL;
    next->snapshot = NULL;
    memset(&next->resolved, 0, sizeof next->resolved);
    candidate_fini(&old);
    candidate_fini(next);
    snapshot_publish_metrics(gateway->snapshot);
}

static void reload(void *arg) {
    struct gateway *gateway = arg;
    if (gateway->is_stopping)
        return;
    log_info("reloading %s", gateway->config_path);
    struct candidate next = {0};
    struct err err = {""};
    if (prepare(gateway, &next, false, &err) != 0) {
        log_error("reload failed, generation %llu stays in force: %s",
                  (unsigned long long)gateway->snapshot->generation, err.text);
        observe_event(gateway->logs.audit.sink, "reload", "failed", err.text, gateway->snapshot->generation);
        metric_add(METRIC_RELOADS, 1, "failed");
        metric_set(METRIC_RELOAD_SUCCESS, 0);
        candidate_fini(&next);
        return;
    }
    commit(gateway, &next);
    log_info("generation %llu in force", (unsigned long long)gateway->snapshot->generation);
    observe_event(gateway->logs.audit.sink, "reload", "ok", "", gateway->snapshot->generation);
    metric_add(METRIC_RELOADS, 1, "ok");
    metric_set(METRIC_RELOAD_SUCCESS, 1);
}

static void reopen_logs(void *arg) {
    struct gateway *gateway = arg;
    log_info("reopening logs");
    logs_reopen(&gateway->logs);
}

static void stopped(void *arg) {
    struct gateway *gateway = arg;
    loop_stop(gateway->loop);
}

static void stop_gracefully(void *arg) {
    struct gateway *gateway = arg;
    if (gateway->is_stopping)
        return;
    gateway->is_stopping = true;
    log_info("stopping: %zu connections, at most %lld ms", gateway->worker->client_count,
             (long long)gateway->conf->shutdown_timeout_ms);
    listeners_close(&gateway->listeners);
    worker_drain(gateway->worker, gateway->conf->shutdown_timeout_ms, stopped, gateway);
}

static void quit(void *arg) {
    struct gateway *gateway = arg;
    log_info("quitting at once");
    gateway->is_stopping = true;
    gateway->status = 1;
    loop_stop(gateway->loop);
}

static void refuse_upgrade(void *arg) {
    (void)arg;
    log_warning("USR2: replacing the program is not supported yet; restart it instead");
}

static void housekeeping(void *arg) {
    struct gateway *gateway = arg;
    ticket_keys_rotate(gateway->keys, loop_now_ms(gateway->loop), TICKET_ROTATION_MS);
    loop_timer_set(gateway->housekeeping, HOUSEKEEPING_MS);
}

static int watch_signals(struct gateway *gateway, struct err *err) {
    static const struct {
        int signo;
        void (*fn)(void *arg);
    } table[] = {{SIGHUP, reload},          {SIGUSR1, reopen_logs}, {SIGTERM, stop_gracefully},
                 {SIGINT, stop_gracefully}, {SIGQUIT, quit},        {SIGUSR2, refuse_upgrade}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (loop_signal(gateway->loop, table[i].signo, table[i].fn, gateway, err) != 0)
            return -1;
    return 0;
}

/* As many descriptors as the system lets us have: two for each connection. */
static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* No key in a core dump. */
static void forbid_core_dumps(void) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
}

static int start(struct gateway *gateway) {
    struct err err = {""};
    struct candidate first = {0};
    int status = prepare(gateway, &first, true, &err);
    if (status == 0 && watch_signals(gateway, &err) != 0) {
        listeners_rollback(&gateway->listeners);
        logs_rollback(&gateway->logs);
        status = 1;
    }
    if (status != 0) {
        fprintf(stderr, "sallyport: %s\n", err.text);
        candidate_fini(&first);
        return status;
    }
    commit(gateway, &first);
    if (geteuid() == 0)
        log_warning("running as root: `user` is not supported yet, so give the service an account of its own");
    metric_set(METRIC_RELOAD_SUCCESS, 1);
    metric_set(METRIC_INFO, 1, SALLYPORT_VERSION, openssl_version());
    metric_add(METRIC_RELOADS, 0, "ok");
    metric_add(METRIC_RELOADS, 0, "failed");
    log_info("sallyport " SALLYPORT_VERSION " is ready: %zu hostnames, %zu applications",
             gateway->snapshot->hostname_count, gateway->conf->applications.count);
    gateway->housekeeping = loop_timer_new(gateway->loop, housekeeping, gateway);
    housekeeping(gateway);
    return 0;
}

static void gateway_fini(struct gateway *gateway) {
    struct candidate last = {gateway->conf, gateway->resolved, gateway->snapshot, gateway->admin,
                             gateway->admin_address};
    listeners_close(&gateway->listeners);
    worker_free(&gateway->worker);
    listeners_fini(&gateway->listeners);
    candidate_fini(&last);
    ticket_keys_free(&gateway->keys);
    logs_close(&gateway->logs);
    loop_timer_free(&gateway->housekeeping);
    loop_free(gateway->loop);
}

int gateway_run(const char *config_path) {
    struct err err = {""};
    struct gateway gateway = {.config_path = config_path};
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    forbid_core_dumps();
    listeners_init(&gateway.listeners);
    gateway.loop = loop_new(&err);
    if (!gateway.loop) {
        fprintf(stderr, "sallyport: %s\n", err.text);
        return 1;
    }
    gateway.keys = ticket_keys_new();
    gateway.status = start(&gateway);
    if (gateway.status == 0) {
        loop_run(gateway.loop);
        log_info("stopped");
    }
    gateway_fini(&gateway);
    return gateway.status;
}
