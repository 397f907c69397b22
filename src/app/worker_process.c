/*
 * worker_process: the process around proxy/worker: takes generations from master, builds their snapshots, serves the
 * sockets it is given. Opens no file; before it takes its first client it gives up being able to (app/sandbox).
 *
 *   STARTING --first COMMIT--> SERVING --DRAIN, or master is gone--> DRAINING --last client gone--> ENDED
 *      `--DRAIN, or master is gone-------------------------------------------------------------------^
 *
 * Beside that, a generation is on its way or not: items -> PREPARE builds it (PREPARED or FAILED) -> COMMIT puts it in
 * force, ABORT drops it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app/listeners.h"
#include "app/processes.h"
#include "app/sandbox.h"
#include "base/limit_table.h"
#include "base/log.h"
#include "base/logpipe.h"
#include "base/mem.h"
#include "base/memfd.h"
#include "base/metrics.h"
#include "base/reserve.h"
#include "ipc/ask.h"
#include "proxy/tokens.h"

#define TURN_MS 200 /* at most so long do log lines wait that the pipe did not take at once */
#define ALIVE_MS 1000
#define ORPHAN_GRACE_SECONDS 5
#define RESERVE_MIN 64

enum process_state { PROCESS_STARTING, PROCESS_SERVING, PROCESS_DRAINING, PROCESS_ENDED };

struct process {
    enum process_state state;
    unsigned index;
    struct loop *loop;
    struct channel *channel;
    struct asker *asker;
    struct sbuf key_set; /* what control said of the keys of tokens */
    struct loop_timer *alive;
    uint64_t alive_count;
    struct logpipe_writer *log;
    int log_fd;
    struct limit_table *limits;
    struct ticket_keys *keys;
    struct generation next, in_force;
    struct snapshot *prepared; /* of next */
    struct worker *worker;
    struct listeners listeners;
    bool is_boxed;
};

/* Seconds after which a worker whose master died is killed by the alarm, if it has not ended by then. */
static volatile sig_atomic_t orphan_seconds = 10;

static void set_state(struct process *process, enum process_state state) { process->state = state; }

static void say(struct process *process, enum ipc_type type, uint64_t number, const char *text) {
    struct ipc_message message = {.type = type, .number = number, .text = slice_of(text)};
    if (!channel_send(process->channel, &message))
        log_error("the channel to master is full");
}

/* ---- the end ---- */

static void on_drained(void *arg) { set_state(arg, PROCESS_ENDED); }

static void drain(struct process *process, int64_t timeout_ms, bool takes_queue) {
    if (process->state >= PROCESS_DRAINING)
        return;
    if (!process->worker) {
        set_state(process, PROCESS_ENDED);
        return;
    }
    set_state(process, PROCESS_DRAINING);
    listeners_close(&process->listeners, takes_queue);
    log_info("worker %u stops: %zu connections, at most %lld ms", process->index, process->worker->client_count,
             (long long)timeout_ms);
    worker_drain(process->worker, timeout_ms, on_drained, process);
}

static void on_closed(void *arg, const char *fault) {
    struct process *process = arg;
    channel_close(&process->channel);
    log_error("worker %u: master is gone%s%s", process->index, fault[0] ? ": it sent " : "", fault);
    drain(process, process->in_force.shutdown_timeout_ms, true);
}

/* Master has died (its death signal): the channel's end starts the drain, this ends what would hang. The next alarm is
 * not caught. */
static void on_orphaned(int signo) {
    (void)signo;
    if (orphan_seconds > 0)
        (void)alarm((unsigned)orphan_seconds);
}

static void catch_orphanage(void) {
    struct sigaction action = {.sa_handler = on_orphaned, .sa_flags = (int)(SA_RESETHAND | SA_RESTART)};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGALRM, &action, NULL);
}

/* ---- what a worker is given ---- */

static void take_log(struct process *process, int fd) {
    if (fd < 0 || process->log)
        return;
    process->log_fd = fd;
    process->log = logpipe_writer_new(fd);
    log_set_sink(logpipe_writer_sink(process->log, LOGPIPE_ERROR));
}

static void take_shared(struct process *process, enum ipc_type type, int fd) {
    struct err err = {""};
    size_t size = type == IPC_METRICS    ? metrics_region_size()
                  : type == IPC_SESSIONS ? session_store_size()
                                         : limit_table_size();
    void *memory = memfd_map_shared(fd, size, true, &err);
    if (fd >= 0)
        (void)close(fd);
    if (!memory) {
        log_error("worker %u: %s", process->index, err.text);
        set_state(process, PROCESS_ENDED);
    } else if (type == IPC_METRICS) {
        metrics_use_region(memory);
    } else if (type == IPC_SESSIONS) {
        ticket_keys_keep_sessions(process->keys, memory);
    } else {
        process->limits = limit_table_open(memory);
    }
}

static void take_keys(struct process *process, int fd) {
    struct err err = {""};
    struct slice bytes = SLICE_NONE;
    if (memfd_map_sealed(fd, TICKET_KEYS_MAX * TICKET_KEY_SIZE, &bytes, &err) != 0 ||
        ticket_keys_load(process->keys, bytes, &err) != 0)
        log_error("worker %u: ticket keys: %s", process->index, err.text);
    memfd_unmap(&bytes);
    if (fd >= 0)
        (void)close(fd);
}

/* ---- generations ---- */

static void drop_prepared(struct process *process) {
    snapshot_unref(&process->prepared);
    generation_fini(&process->next);
}

static int enter_box(struct process *process, const struct conf *conf, struct err *err) {
    struct sandbox_source source = {.user = conf->user.text};
    struct sandbox_ids ids;
    if (process->is_boxed)
        return 0;
    if (sandbox_lookup(&source, &ids, err) != 0 || sandbox_enter(&ids, err) != 0)
        return -1;
    process->is_boxed = true;
    return 0;
}

static int build(struct process *process, uint64_t number, struct err *err) {
    struct resolved resolved;
    struct generation *next = &process->next;
    if (next->number != number || next->document < 0 || next->secrets < 0)
        return err_set(err, "%s", next->fault[0] ? next->fault : "the generation did not come whole");
    for (size_t i = 0; i < next->listener_count; i++)
        if (next->listeners[i].fd < 0)
            return err_set(err, "there are not enough descriptors left for its sockets");
    if (generation_open(next, &process->in_force, &resolved, err) != 0)
        return -1;
    const struct snapshot *previous = process->worker ? process->worker->snapshot : NULL;
    process->prepared = snapshot_new_after(&resolved, number, process->keys, previous, err);
    resolved_fini(&resolved);
    generation_close_fds(next);
    if (!process->prepared || enter_box(process, process->prepared->conf, err) != 0) {
        snapshot_unref(&process->prepared);
        return -1;
    }
    return 0;
}

static void prepare(struct process *process, uint64_t number) {
    struct err err = {""};
    if (build(process, number, &err) == 0) {
        say(process, IPC_PREPARED, number, "");
        return;
    }
    say(process, IPC_FAILED, number, err.text);
    drop_prepared(process);
}

static bool is_off(const struct conf_text *target) { return strcmp(target->text, "off") == 0; }

static void set_logs(struct process *process, const struct conf_log *conf) {
    enum log_level level = LOG_INFO;
    if (log_level_from_name(slice_of(conf->level.text), &level))
        log_set_level(level);
    logpipe_writer_set_off(process->log, LOGPIPE_ERROR, is_off(&conf->file));
    logpipe_writer_set_off(process->log, LOGPIPE_ACCESS, is_off(&conf->access));
    logpipe_writer_set_off(process->log, LOGPIPE_AUDIT, is_off(&conf->audit));
}

static void publish(struct process *process) {
    set_logs(process, &process->prepared->conf->log);
    if (process->worker) {
        worker_publish(process->worker, process->prepared);
        return;
    }
    struct worker_source source = {.loop = process->loop,
                                   .snapshot = process->prepared,
                                   .access = logpipe_writer_sink(process->log, LOGPIPE_ACCESS),
                                   .audit = logpipe_writer_sink(process->log, LOGPIPE_AUDIT),
                                   .limits = process->limits,
                                   .index = process->index,
                                   .asker = process->asker};
    process->worker = worker_new(&source);
    if (process->key_set.len > 0)
        tokens_told(process->worker->tokens, sbuf_slice(&process->key_set));
    mem_trim(); /* nobody is served yet */
    set_state(process, PROCESS_SERVING);
}

/* The next generation comes beside the one in force, with a descriptor for each of its lists and sockets. */
static void keep_descriptors(const struct generation *generation) {
    reserve_set(RESERVE_MIN + 2 * (generation->crl_count + generation->listener_count));
}

static void commit(struct process *process, uint64_t number) {
    if (!process->prepared || process->next.number != number || process->state >= PROCESS_DRAINING)
        return;
    publish(process);
    keep_descriptors(&process->next);
    listeners_commit(&process->listeners, &process->next, process->prepared, process->worker);
    snapshot_unref(&process->prepared);
    generation_fini(&process->in_force);
    process->in_force = process->next;
    generation_init(&process->next);
    orphan_seconds = process->in_force.shutdown_timeout_ms == 0
                         ? 0
                         : (int)(process->in_force.shutdown_timeout_ms / 1000) + ORPHAN_GRACE_SECONDS;
    say(process, IPC_IN_FORCE, number, "");
}

static void on_message(void *arg, struct ipc_message *message) {
    struct process *process = arg;
    if (message->type == IPC_GENERATION_BEGIN)
        drop_prepared(process);
    if (generation_take(&process->next, message))
        return;
    switch (message->type) {
    case IPC_LOG_PIPE:
        take_log(process, ipc_message_take_fd(message, 0));
        break;
    case IPC_METRICS:
    case IPC_LIMITS:
    case IPC_SESSIONS:
        take_shared(process, message->type, ipc_message_take_fd(message, 0));
        break;
    case IPC_TICKET_KEYS:
        take_keys(process, ipc_message_take_fd(message, 0));
        break;
    case IPC_ASK:
        asker_connect(process->asker, ipc_message_take_fd(message, 0));
        break;
    case IPC_PREPARE:
        prepare(process, message->number);
        break;
    case IPC_COMMIT:
        commit(process, message->number);
        break;
    case IPC_ABORT:
        if (process->next.number == message->number)
            drop_prepared(process);
        break;
    case IPC_DRAIN:
        drain(process, message->value, message->number != 1);
        break;
    default:
        break;
    }
}

/* Control says something unasked. It may do so before there is a worker: kept until then. */
static void on_told(void *arg, enum ask_kind kind, struct slice text) {
    struct process *process = arg;
    if (kind != ASK_SIGN)
        return;
    sbuf_clear(&process->key_set);
    sbuf_append(&process->key_set, text);
    if (process->worker)
        tokens_told(process->worker->tokens, text);
}

/* ---- the process ---- */

static void on_alive(void *arg) {
    struct process *process = arg;
    if (process->channel)
        say(process, IPC_ALIVE, ++process->alive_count, "");
    loop_timer_set(process->alive, ALIVE_MS);
}

static void process_fini(struct process *process) {
    if (process->channel)
        channel_flush(process->channel, ALIVE_MS);
    listeners_close(&process->listeners, false);
    worker_free(&process->worker);
    asker_free(&process->asker);
    sbuf_fini(&process->key_set);
    listeners_fini(&process->listeners);
    drop_prepared(process);
    generation_fini(&process->in_force);
    ticket_keys_free(&process->keys);
    loop_timer_free(&process->alive);
    if (process->log)
        (void)logpipe_writer_flush(process->log);
    log_set_sink(NULL);
    logpipe_writer_free(&process->log);
    channel_close(&process->channel);
    loop_free(process->loop);
}

int cmd_worker(int argc, char **argv) {
    struct err err = {""};
    char name[16];
    struct process process = {.index = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 10) : GENERATION_WORKERS_MAX};
    if (process.index >= GENERATION_WORKERS_MAX)
        return 2;
    (void)snprintf(name, sizeof name, "sp-worker-%u", process.index);
    if (process_begin(name) != 0)
        return 2;
    catch_orphanage();
    tzset();                  /* reads a file, so before the box */
    reserve_set(RESERVE_MIN); /* asks for the limit */
    process.loop = loop_new(&err);
    if (!process.loop) {
        fprintf(stderr, "sallyport: worker %u: %s\n", process.index, err.text);
        return 1;
    }
    generation_init(&process.next);
    generation_init(&process.in_force);
    listeners_init(&process.listeners);
    process.keys = ticket_keys_new();
    sbuf_init(&process.key_set, ASK_TEXT_MAX);
    process.asker = asker_new(process.loop, on_told, &process);
    process.channel = channel_open(process.loop, PROCESS_CHANNEL_FD, on_message, on_closed, &process);
    process.alive = loop_timer_new(process.loop, on_alive, &process);
    on_alive(&process);
    while (process.state != PROCESS_ENDED) {
        loop_turn(process.loop, TURN_MS);
        if (process.log)
            (void)logpipe_writer_flush(process.log);
    }
    process_fini(&process);
    return 0;
}
