/*
 * control_outside: what the operator sees. Log lines of master and workers come through pipes and go into the sinks;
 * metrics are summed over the processes' regions; both are other processes' memory and words, which are not believed.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/memfd.h"
#include "base/metrics.h"
#include "control_priv.h"

#define OWN_REGION (-1)
#define GONE_REGION (-2)
#define TAKES_MAX 1000 /* of one source at the end: more than a pipe holds */
#define TAKES_PER_WAKE 4
/* So long lines may gather in a pipe of 1 MiB, and less in a smaller one: every look costs a switch of processes, and
 * looking at once would be one for each request of an idle worker. */
#define REST_MS 20
#define REST_PIPE_BYTES (1024 * 1024)

/* ---- logs ---- */

static void on_line(void *arg, enum logpipe_kind kind, struct slice line) {
    const struct log_source *source = arg;
    const struct logs *logs = &source->control->logs;
    const struct log_target *targets[] = {
        [LOGPIPE_ERROR] = &logs->error, [LOGPIPE_ACCESS] = &logs->access, [LOGPIPE_AUDIT] = &logs->audit};
    if (kind < LOGPIPE_KINDS && targets[kind]->sink)
        logsink_line(targets[kind]->sink, line);
}

static void source_free(struct log_source *source) {
    list_remove(&source->node);
    loop_watch_free(&source->watch);
    loop_timer_free(&source->rest);
    logpipe_reader_free(&source->reader);
    (void)close(source->fd);
    mem_free(source);
}

/* Whether it may be asked again. */
static bool take(struct log_source *source) {
    int result = logpipe_reader_take(source->reader);
    if (result > 0)
        return true;
    if (result < 0)
        log_error("the log lines of %s %d make no sense and are not read any more",
                  source->index < 0 ? "process" : "worker", source->index);
    source_free(source);
    return false;
}

static bool has_more(const struct log_source *source) {
    int size = 0;
    return ioctl(source->fd, FIONREAD, &size) == 0 && size > 0;
}

/* What there is; then the pipe is left alone for a while. */
static void fetch(struct log_source *source) {
    bool is_more = true;
    for (int i = 0; i < TAKES_PER_WAKE && is_more; i++) {
        if (!take(source))
            return;
        is_more = has_more(source);
    }
    loop_watch_set(source->watch, 0);
    loop_timer_set(source->rest, is_more ? 0 : source->rest_ms);
}

static void on_readable(void *arg, int ready) {
    (void)ready;
    fetch(arg);
}

static void on_rested(void *arg) {
    struct log_source *source = arg;
    if (has_more(source))
        fetch(source);
    else
        loop_watch_set(source->watch, LOOP_READ);
}

static int64_t rest_of(int fd) {
    int64_t size = fcntl(fd, F_GETPIPE_SZ);
    int64_t rest_ms = size * REST_MS / REST_PIPE_BYTES;
    return rest_ms < 1 ? 1 : rest_ms > REST_MS ? REST_MS : rest_ms;
}

void outside_add_log(struct control *control, int index, int fd) {
    if (fd < 0)
        return;
    struct log_source *source = NEW(struct log_source);
    source->control = control;
    source->index = index;
    source->fd = fd;
    source->reader = logpipe_reader_new(fd, on_line, source);
    source->watch = loop_watch_new(control->loop, fd, on_readable, source);
    source->rest = loop_timer_new(control->loop, on_rested, source);
    source->rest_ms = rest_of(fd);
    list_push_back(&control->log_sources, &source->node);
    loop_watch_set(source->watch, control->are_logs_open ? LOOP_READ : 0);
}

void outside_open_logs(struct control *control) {
    control->are_logs_open = true;
    LIST_EACH (node, next, &control->log_sources)
        loop_watch_set(LIST_ENTRY(node, struct log_source, node)->watch, LOOP_READ);
}

void outside_read_logs(struct control *control) {
    if (!control->are_logs_open)
        return;
    LIST_EACH (node, next, &control->log_sources) {
        struct log_source *source = LIST_ENTRY(node, struct log_source, node);
        for (int i = 0; i < TAKES_MAX && has_more(source) && take(source); i++)
            continue;
    }
}

/* ---- metrics ---- */

static void unmap(void **region) {
    if (*region)
        (void)munmap(*region, metrics_region_size());
    *region = NULL;
}

static void absorb(void **region) {
    if (*region)
        metrics_absorb(*region);
    unmap(region);
}

void outside_add_region(struct control *control, int64_t index, int fd) {
    struct err err = {""};
    void *memory = memfd_map_shared(fd, metrics_region_size(), index == OWN_REGION, &err);
    if (fd >= 0)
        (void)close(fd);
    if (!memory) {
        log_error("metrics of process %lld: %s", (long long)index, err.text);
    } else if (index == OWN_REGION) {
        metrics_use_region(memory);
    } else if (index == GONE_REGION) {
        absorb(&memory);
    } else if (index >= 0 && index < GENERATION_WORKERS_MAX) {
        absorb(&control->regions[index]);
        control->regions[index] = memory;
    } else {
        unmap(&memory);
    }
}

void outside_worker_gone(struct control *control, int64_t index) {
    if (index >= 0 && index < GENERATION_WORKERS_MAX)
        absorb(&control->regions[index]);
}

/* ---- the admin address ---- */

static bool admin_is_ready(void *arg, const char **detail_out) {
    const struct control *control = arg;
    *detail_out = control->is_stopping            ? "shutting down"
                  : control->workers_serving <= 0 ? "no worker is ready"
                                                  : "ready";
    return !control->is_stopping && control->workers_serving > 0;
}

static void admin_render(void *arg, struct sbuf *out) {
    const struct control *control = arg;
    const void *regions[GENERATION_WORKERS_MAX];
    size_t count = 0;
    crl_watch_publish(control->crl_watch);
    for (size_t i = 0; i < GENERATION_WORKERS_MAX; i++)
        if (control->regions[i])
            regions[count++] = control->regions[i];
    metrics_render_all(regions, count, out);
}

static void admin_render_crls(void *arg, bool is_json, struct sbuf *out) {
    const struct control *control = arg;
    if (is_json)
        crl_watch_render_json(control->crl_watch, out);
    else
        crl_watch_render_table(control->crl_watch, out);
}

/* resolve has taken the white space off its end. */
static struct slice admin_token(const struct change *change) {
    return slice_trim(resolved_secret(&change->resolved, change->conf->admin.token_file.digest));
}

static bool has_same_admin_address(const struct control *control, const struct change *change) {
    const char *now = control->admin_address, *wanted = change->admin_address;
    return now && wanted && strcmp(now, wanted) == 0;
}

int outside_prepare_admin(struct control *control, struct change *change, struct err *err) {
    const char *address = change->conf->admin.address.text;
    if (!address)
        return 0;
    change->admin_address = mem_strdup(address);
    if (has_same_admin_address(control, change))
        return 0;
    struct admin_source source = {.address = address,
                                  .token = admin_token(change),
                                  .is_ready = admin_is_ready,
                                  .render = admin_render,
                                  .render_crls = admin_render_crls,
                                  .arg = control,
                                  .is_successor = control->is_successor};
    change->admin = admin_open(control->loop, &source, err);
    return change->admin ? 0 : err_context(err, "admin %s", address);
}

void outside_commit_admin(struct control *control, struct change *change) {
    if (has_same_admin_address(control, change)) {
        admin_set_token(control->admin, admin_token(change));
        return;
    }
    admin_close(&control->admin);
    mem_free(control->admin_address);
    control->admin = change->admin;
    control->admin_address = change->admin_address;
    change->admin = NULL;
    change->admin_address = NULL;
    if (control->admin)
        admin_take_path(control->admin);
}

void outside_fini(struct control *control) {
    LIST_EACH (node, next, &control->log_sources)
        source_free(LIST_ENTRY(node, struct log_source, node));
    for (size_t i = 0; i < GENERATION_WORKERS_MAX; i++)
        unmap(&control->regions[i]);
    admin_close(&control->admin);
    mem_free(control->admin_address);
}
