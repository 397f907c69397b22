/*
 * control_change: from files to a generation in force, or to the one before. Everything that can fail is done before
 * anything changes: reading and proving the files, building a snapshot, opening logs and the admin address, sealing;
 * then master asks the workers. A change that fails leaves all as it was (sec-09, sec-10).
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/crl_audit.h"
#include "app/crl_fetch.h"
#include "app/sandbox.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/reserve.h"
#include "conf/document.h"
#include "control_priv.h"
#include "pki/cert.h"
#include "proxy/observe.h"

void change_fini(struct change *change) {
    admin_close(&change->admin);
    mem_free(change->admin_address);
    signer_free(&change->signer);
    snapshot_unref(&change->snapshot);
    generation_fini(&change->generation);
    resolved_fini(&change->resolved);
    conf_free(&change->conf);
    change->admin_address = NULL;
}

static void change_init(struct change *change, enum change_kind kind) {
    *change = (struct change){.kind = kind};
    generation_init(&change->generation);
}

#define RESERVE_MIN 64
/* A list of a million entries keeps a processor busy for a third of a second: workers come first. */
#define CONTROL_NICENESS 5
#define MESSAGES_MAX ((size_t)64 << 20)

/* ---- making a generation ---- */

static unsigned worker_count(const struct conf *conf) {
    cpu_set_t cpus;
    int count = (int)conf->workers;
    if (count == 0)
        count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    return (unsigned)(count < 1 ? 1 : count > GENERATION_WORKERS_MAX ? GENERATION_WORKERS_MAX : count);
}

/* The log says itself that it is a warning. */
static void log_message(struct slice line) {
    static const char mark[] = ": warning: ";
    const char *found = memmem(line.ptr, line.len, mark, sizeof mark - 1);
    if (!found) {
        log_error(SLICE_FMT, SLICE_ARG(line));
        return;
    }
    struct slice place = slice_make(line.ptr, (size_t)(found - line.ptr));
    struct slice text = slice_after(line, place.len + sizeof mark - 1);
    log_warning(SLICE_FMT ": " SLICE_FMT, SLICE_ARG(place), SLICE_ARG(text));
}

/* Every message of the configuration, on the terminal at start and in the log on reload. */
static void report_messages(struct conf_messages *messages, bool is_start) {
    struct sbuf text;
    sbuf_init(&text, MESSAGES_MAX);
    conf_messages_print(messages, &text);
    struct slice rest = sbuf_slice(&text), line;
    while (rest.ptr && rest.len > 0) {
        rest = slice_cut(rest, '\n', &line);
        if (line.len == 0)
            continue;
        if (is_start)
            fprintf(stderr, SLICE_FMT "\n", SLICE_ARG(line));
        else
            log_message(line);
    }
    sbuf_fini(&text);
}

static int read_files(struct control *control, struct change *change, struct err *err) {
    struct conf_messages messages;
    bool is_start = change->kind == CHANGE_START;
    conf_messages_init(&messages, control->config_path);
    int loaded = resolve_file(control->config_path, is_start ? NULL : &control->resolved, &messages, &change->conf,
                              &change->resolved);
    report_messages(&messages, is_start);
    size_t errors = messages.errors;
    conf_messages_fini(&messages);
    if (loaded != 0)
        return err_set(err, "%s: %zu error%s in the configuration", control->config_path, errors,
                       errors == 1 ? "" : "s");
    return 0;
}

/* What workers are going to do with it works. */
static int prove(struct control *control, struct change *change, uint64_t number, struct err *err) {
    struct sandbox_source source = {.user = change->conf->user.text};
    struct sandbox_ids ids;
    change->snapshot = snapshot_new_after(&change->resolved, number, control->keys, control->snapshot, err);
    if (!change->snapshot)
        return -1;
    return sandbox_lookup(&source, &ids, err) == 0 ? 0 : err_context(err, "user");
}

static int open_outside(struct control *control, struct change *change, struct err *err) {
    if (logs_prepare(&control->logs, &change->conf->log, err) != 0)
        return -1;
    if (outside_prepare_admin(control, change, err) == 0)
        return 0;
    logs_rollback(&control->logs);
    return -1;
}

static int seal(struct control *control, struct change *change, uint64_t number, struct err *err) {
    if (generation_seal(&change->generation, &change->resolved, change->conf, &control->in_force, err) != 0)
        return -1;
    change->generation.number = number;
    change->generation.workers = worker_count(change->conf);
    return 0;
}

/* change becomes the control's; the answer is COMMITTED or REJECTED. */
static int offer(struct control *control, struct change *change, struct err *err) {
    if (!generation_send_whole(&change->generation, control->channel))
        return err_set(err, "the channel to master is full");
    control->change = *change;
    control->state = CONTROL_OFFERED;
    control->last_number = change->generation.number;
    return 0;
}

/* Returns 0, 1 (could not), or 2 (bad configuration). */
static int load(struct control *control, enum change_kind kind, struct err *err) {
    struct change change;
    uint64_t number = control->last_number + 1;
    change_init(&change, kind);
    if (read_files(control, &change, err) != 0 || prove(control, &change, number, err) != 0 ||
        tokens_prepare(&change, err) != 0 || crl_fetch_prepare(change.conf, err) != 0) {
        change_fini(&change);
        return 2;
    }
    if (open_outside(control, &change, err) != 0) {
        change_fini(&change);
        return 1;
    }
    if (seal(control, &change, number, err) != 0 || offer(control, &change, err) != 0) {
        logs_rollback(&control->logs);
        change_fini(&change);
        return 1;
    }
    return 0;
}

/* ---- outcomes ---- */

static void go_on(struct control *control);

static void fail_start(struct control *control, const char *why, int status) {
    fprintf(stderr, "sallyport: %s\n", why);
    control_say(control, IPC_EXITING, status);
    control_exit(control, status);
}

static void fail_reload(struct control *control, const char *why) {
    log_error("reload failed, generation %llu stays in force: %s", (unsigned long long)control->in_force.number, why);
    observe_event(control->logs.audit.sink, "reload", "failed", why, control->in_force.number);
    metric_add(METRIC_RELOADS, 1, "failed");
    metric_set(METRIC_RELOAD_SUCCESS, 0);
    control_say(control, IPC_READY, 1);
}

static const char *plural(size_t count) { return count == 1 ? "" : "s"; }

static void report_success(struct control *control, const struct change *change) {
    unsigned long long number = control->in_force.number;
    switch (change->kind) {
    case CHANGE_START:
        metric_set(METRIC_RELOAD_SUCCESS, 1);
        metric_set(METRIC_INFO, 1, SALLYPORT_VERSION, openssl_version());
        metric_add(METRIC_RELOADS, 0, "ok");
        metric_add(METRIC_RELOADS, 0, "failed");
        log_info("sallyport " SALLYPORT_VERSION " is ready: %zu hostname%s, %zu application%s, %u worker%s",
                 control->snapshot->hostname_count, plural(control->snapshot->hostname_count),
                 control->conf->applications.count, plural(control->conf->applications.count),
                 control->in_force.workers, plural(control->in_force.workers));
        break;
    case CHANGE_RELOAD:
        log_info("generation %llu in force", number);
        observe_event(control->logs.audit.sink, "reload", "ok", "", number);
        metric_add(METRIC_RELOADS, 1, "ok");
        metric_set(METRIC_RELOAD_SUCCESS, 1);
        break;
    case CHANGE_RESTORE:
        metric_set(METRIC_RELOAD_SUCCESS, 1);
        log_warning("control was restarted and goes on with generation %llu", number);
        break;
    case CHANGE_CRLS:
        break; /* crl_watch says what is new */
    }
}

/* Puts change in force and takes it apart. */
static void commit(struct control *control, struct change *change) {
    if (change->kind != CHANGE_CRLS) {
        logs_commit(&control->logs, &change->conf->log);
        outside_commit_admin(control, change);
        outside_open_logs(control);
    }
    struct change old = {.conf = control->conf,
                         .resolved = control->resolved,
                         .generation = control->in_force,
                         .snapshot = control->snapshot};
    control->conf = change->conf;
    control->resolved = change->resolved;
    control->in_force = change->generation;
    control->snapshot = change->snapshot;
    /* Who asks on the admin address does not keep control from reading files. */
    reserve_set(RESERVE_MIN + 2 * (control->in_force.crl_count + control->in_force.listener_count));
    change->conf = NULL;
    change->snapshot = NULL;
    change->resolved = (struct resolved){.secrets = NULL};
    generation_init(&change->generation);
    control->state = CONTROL_IDLE;
    tokens_commit(control, change);
    ask_open(control);
    if (change->kind == CHANGE_RELOAD) {
        const struct crl_view before = {old.conf, &old.resolved, old.generation.number};
        const struct crl_view now = {control->conf, &control->resolved, control->in_force.number};
        crl_audit(control->logs.audit.sink, &before, &now);
    }
    /* Master has said what it listens on before it said that the generation is in force. */
    outside_read_logs(control);
    snapshot_publish_metrics(control->snapshot);
    const struct crl_view in_force = {control->conf, &control->resolved, control->in_force.number};
    crl_watch_set(control->crl_watch, &in_force, control->logs.audit.sink, change->kind != CHANGE_CRLS);
    ocsp_desk_set(control->ocsp_desk, control->conf, control->snapshot);
    expiry_watch_set(control->expiry_watch, control->conf, &control->resolved, control->in_force.number,
                     control->logs.audit.sink);
    report_success(control, change);
    change_fini(&old);
    change_fini(change);
    mem_trim();
    /* From now on there are clients, and what is done for them comes first. */
    (void)setpriority(PRIO_PROCESS, 0, CONTROL_NICENESS);
    if (change->kind != CHANGE_CRLS)
        control_say(control, IPC_READY, change->kind == CHANGE_RELOAD);
}

/* The change that was offered, out of control's hands. */
static struct change take_change(struct control *control) {
    struct change change = control->change;
    change_init(&control->change, change.kind);
    return change;
}

void change_committed(struct control *control, uint64_t number) {
    if (control->state != CONTROL_OFFERED || control->change.generation.number != number)
        return;
    struct change change = take_change(control);
    if (control->has_waiting_crls && change.kind != CHANGE_CRLS) {
        /* crl_watch_set looks at the files again. */
        control->has_waiting_crls = false;
        resolved_fini(&control->waiting_crls);
    }
    commit(control, &change);
    go_on(control);
}

void change_rejected(struct control *control, uint64_t number, struct slice why) {
    char text[1024];
    if (control->state != CONTROL_OFFERED || control->change.generation.number != number)
        return;
    (void)snprintf(text, sizeof text, SLICE_FMT, SLICE_ARG(why));
    struct change change = take_change(control);
    control->state = control->in_force.number > 0 ? CONTROL_IDLE : CONTROL_WAITING;
    if (change.kind != CHANGE_CRLS)
        logs_rollback(&control->logs);
    change_fini(&change);
    if (change.kind == CHANGE_START) {
        fail_start(control, text, 1);
        return;
    }
    if (change.kind == CHANGE_RELOAD)
        fail_reload(control, text);
    else
        crl_watch_rejected(control->crl_watch, text);
    go_on(control);
}

/* ---- what brings a change about ---- */

void change_start(struct control *control) {
    struct err err = {""};
    int status = load(control, CHANGE_START, &err);
    if (status != 0)
        fail_start(control, err.text, status);
}

void change_reload(struct control *control) {
    struct err err = {""};
    control->wants_reload = control->state != CONTROL_IDLE;
    if (control->wants_reload || control->is_stopping)
        return;
    log_info("reloading %s", control->config_path);
    if (load(control, CHANGE_RELOAD, &err) != 0)
        fail_reload(control, err.text);
}

static void offer_crls(struct control *control, struct resolved *fresh) {
    struct change change;
    struct err err = {""};
    uint64_t number = control->last_number + 1;
    change_init(&change, CHANGE_CRLS);
    change.resolved = *fresh;
    change.conf = document_read(sbuf_slice(&fresh->document), &err);
    if (change.conf && prove(control, &change, number, &err) == 0 && seal(control, &change, number, &err) == 0 &&
        offer(control, &change, &err) == 0)
        return;
    change_fini(&change);
    crl_watch_rejected(control->crl_watch, err.text);
}

void change_crls(void *arg, struct resolved *fresh) {
    struct control *control = arg;
    if (control->state == CONTROL_IDLE) {
        offer_crls(control, fresh);
        return;
    }
    control->has_waiting_crls = true;
    control->waiting_crls = *fresh;
}

/* What came while a change was on its way. */
static void go_on(struct control *control) {
    if (control->state != CONTROL_IDLE)
        return;
    if (control->has_waiting_crls) {
        control->has_waiting_crls = false;
        struct resolved fresh = control->waiting_crls;
        offer_crls(control, &fresh);
    }
    if (control->wants_reload && control->state == CONTROL_IDLE)
        change_reload(control);
}

void change_restore(struct control *control) {
    struct change change;
    struct err err = {""};
    change_init(&change, CHANGE_RESTORE);
    change.generation = control->handed;
    generation_init(&control->handed);
    control->last_number = change.generation.number;
    bool is_open = generation_open(&change.generation, NULL, &change.resolved, &err) == 0;
    if (is_open)
        change.conf = document_read(sbuf_slice(&change.resolved.document), &err);
    if (change.conf && prove(control, &change, change.generation.number, &err) == 0 &&
        open_outside(control, &change, &err) == 0) {
        if (tokens_prepare(&change, &err) != 0)
            log_error("%s", err.text); /* tried again; meanwhile nothing is signed */
        commit(control, &change);
        go_on(control);
        return;
    }
    fprintf(stderr, "sallyport: control cannot go on from generation %llu: %s\n",
            (unsigned long long)change.generation.number, err.text);
    change_fini(&change);
    control_exit(control, 1);
}
