/*
 * master_workers: the workers' places: what a worker is given when it starts, what it may say, who comes after it. A
 * worker's word counts for little: it can say that a generation is prepared or failed and that it is alive; anything
 * else ends it.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memfd.h"
#include "base/metrics.h"
#include "master_priv.h"

#define SILENCE_MS 60000   /* a worker that says nothing for so long hangs */
#define KILL_AFTER_MS 5000 /* beyond the time it was given to finish */

static struct worker_slot *slot_of(struct child *child) { return (struct worker_slot *)(void *)child; }
_Static_assert(offsetof(struct worker_slot, child) == 0, "slot_of");

size_t workers_alive(const struct master *master) {
    size_t count = 0;
    for (size_t i = 0; i < GENERATION_WORKERS_MAX; i++)
        count += child_is_alive(&master->workers[i].child) || master->workers[i].child.channel != NULL;
    return count;
}

size_t workers_serving(const struct master *master) {
    size_t count = 0;
    for (size_t i = 0; i < GENERATION_WORKERS_MAX; i++)
        count += master->workers[i].child.state == CHILD_SERVING;
    return count;
}

static void tell_serving(struct master *master) {
    control_tell(master, &(struct ipc_message){.type = IPC_WORKERS_SERVING, .value = (int64_t)workers_serving(master)});
}

static void send_fd(struct child *child, enum ipc_type type, int fd) {
    child_send(child, &(struct ipc_message){.type = type, .value = child->index, .fds = {fd}, .fd_count = 1});
}

void worker_connect(struct master *master, struct worker_slot *slot) {
    struct err err = {""};
    int workers_end, controls_end;
    if (!slot->child.channel || !master->control.channel)
        return;
    if (channel_pair(&workers_end, &controls_end, &err) != 0) {
        log_error("%s cannot ask control: %s", child_name(&slot->child), err.text);
        return;
    }
    send_fd(&slot->child, IPC_ASK, workers_end);
    control_tell(master, &(struct ipc_message){
                             .type = IPC_ASK, .value = slot->child.index, .fds = {controls_end}, .fd_count = 1});
    (void)close(workers_end);
    (void)close(controls_end);
}

/* ---- generations ---- */

void worker_ask(struct master *master, struct worker_slot *slot, const struct generation *generation) {
    struct child *child = &slot->child;
    child->asked = generation->number;
    if (!child->channel)
        return;
    bool is_sent =
        generation_send(generation, child->channel) &&
        sockets_send(&master->sockets, generation, (unsigned)child->index, child->channel) &&
        channel_send(child->channel, &(struct ipc_message){.type = IPC_PREPARE, .number = generation->number});
    if (!is_sent)
        child_kill(child, "does not take its messages");
}

void worker_catch_up(struct master *master, struct worker_slot *slot) {
    const struct generation *in_force = &master->in_force;
    bool takes_part = slot->child.state == CHILD_STARTING || slot->child.state == CHILD_SERVING;
    if (takes_part && slot->child.index < (int)in_force->workers && slot->child.asked != in_force->number)
        worker_ask(master, slot, in_force);
}

/* ---- what workers say ---- */

static void take_prepared(struct master *master, struct worker_slot *slot, uint64_t number) {
    if (slot->child.asked != number)
        return; /* given up meanwhile */
    if (master->exchange.state == EXCHANGE_PREPARING && number == master->exchange.next.number)
        exchange_prepared(master, slot);
    else if (number == master->in_force.number)
        child_send(&slot->child, &(struct ipc_message){.type = IPC_COMMIT, .number = number});
    else
        worker_catch_up(master, slot);
}

static void take_failed(struct master *master, struct worker_slot *slot, const struct ipc_message *message) {
    char why[512];
    struct sbuf text;
    if (slot->child.asked != message->number)
        return;
    sbuf_init(&text, sizeof why);
    sbuf_append_printable(&text, slice_first(message->text, 300));
    (void)snprintf(why, sizeof why, "worker %d: %s", slot->child.index, sbuf_text(&text));
    sbuf_fini(&text);
    if (master->exchange.state == EXCHANGE_PREPARING && message->number == master->exchange.next.number) {
        exchange_reject(master, why);
        return;
    }
    log_error("%s", why);
    child_kill(&slot->child, "cannot serve");
}

static void take_in_force(struct master *master, struct worker_slot *slot, uint64_t number) {
    if (slot->child.asked != number || slot->child.state == CHILD_LEAVING)
        return;
    slot->child.in_force = number;
    if (slot->child.state == CHILD_STARTING) {
        child_set_serving(&slot->child);
        tell_serving(master);
    }
    if (master->exchange.state == EXCHANGE_COMMITTING && slot->is_awaited)
        exchange_in_force(master, slot);
    else
        worker_catch_up(master, slot);
}

static void on_message(void *arg, struct child *child, struct ipc_message *message) {
    struct master *master = arg;
    switch (message->type) {
    case IPC_PREPARED:
        take_prepared(master, slot_of(child), message->number);
        break;
    case IPC_FAILED:
        take_failed(master, slot_of(child), message);
        break;
    case IPC_IN_FORCE:
        take_in_force(master, slot_of(child), message->number);
        break;
    case IPC_ALIVE:
        break;
    default:
        child_kill(child, "says what only others may say");
    }
}

/* ---- beginning and end ---- */

static int make_region(int *fd_out, struct err *err) {
    *fd_out = memfd_shared("metrics", metrics_region_size(), err);
    return *fd_out < 0 ? -1 : 0;
}

static void on_started(void *arg, struct child *child) {
    struct master *master = arg;
    struct worker_slot *slot = slot_of(child);
    struct err err = {""};
    bool is_new_pipe = slot->log.read < 0;
    if ((is_new_pipe && logpipe_make(&slot->log.read, &slot->log.write, &err) != 0) ||
        make_region(&slot->metrics, &err) != 0) {
        log_error("%s: %s", child_name(child), err.text);
        child_kill(child, "cannot be given what it needs");
        return;
    }
    send_fd(child, IPC_METRICS, slot->metrics);
    send_fd(child, IPC_LOG_PIPE, slot->log.write);
    send_fd(child, IPC_LIMITS, master->limits);
    send_fd(child, IPC_TICKET_KEYS, master->tickets.fd);
    send_fd(child, IPC_SESSIONS, master->sessions);
    if (is_new_pipe)
        control_tell_pipe(master, child->index, &slot->log);
    control_tell(master, &(struct ipc_message){
                             .type = IPC_METRICS, .value = child->index, .fds = {slot->metrics}, .fd_count = 1});
    worker_connect(master, slot);
    if (master->exchange.state == EXCHANGE_PREPARING && slot->is_awaited)
        worker_ask(master, slot, &master->exchange.next);
    else if (master->in_force.number > 0)
        worker_catch_up(master, slot);
}

static void on_ended(void *arg, struct child *child, const char *how) {
    struct master *master = arg;
    struct worker_slot *slot = slot_of(child);
    bool was_wanted = child->index < (int)master->in_force.workers || master->exchange.state == EXCHANGE_PREPARING;
    limit_table_clear_worker(master->limit_table, (unsigned)child->index);
    if (slot->metrics >= 0)
        control_absorb(master, child->index, &slot->metrics);
    exchange_worker_ended(master, slot);
    tell_serving(master);
    if (master->state > MASTER_SERVING || !was_wanted || child->index >= (int)master->in_force.workers) {
        if (child->exit_status != 0 && master->state < MASTER_ENDING)
            log_error("%s %s before it was done", child_name(child), how);
        child_forget(child);
    } else {
        log_error("%s %s; starting another", child_name(child), how);
        child_start_again(child);
    }
    master_look_around(master);
}

void worker_dismiss(struct master *master, struct worker_slot *slot, bool is_replaced) {
    int64_t timeout_ms = master->in_force.shutdown_timeout_ms;
    if (!child_is_alive(&slot->child) || slot->child.state == CHILD_LEAVING)
        return;
    slot->is_awaited = false;
    child_set_leaving(&slot->child, timeout_ms > 0 ? timeout_ms + KILL_AFTER_MS : 0);
    child_send(&slot->child, &(struct ipc_message){.type = IPC_DRAIN, .value = timeout_ms, .number = is_replaced});
    tell_serving(master);
}

void workers_send_tickets(struct master *master) {
    for (size_t i = 0; i < GENERATION_WORKERS_MAX; i++)
        if (master->workers[i].child.channel)
            send_fd(&master->workers[i].child, IPC_TICKET_KEYS, master->tickets.fd);
}

void workers_watch(struct master *master) {
    int64_t now_ms = clock_mono_us() / 1000;
    for (size_t i = 0; i < GENERATION_WORKERS_MAX; i++) {
        struct child *child = &master->workers[i].child;
        if (child_is_alive(child) && now_ms - child->heard_ms > SILENCE_MS)
            child_kill(child, "has said nothing for 60 s");
    }
}

void workers_init(struct master *master) {
    master->worker_events = (struct child_events){on_started, on_message, on_ended, master};
    for (int i = 0; i < GENERATION_WORKERS_MAX; i++) {
        struct worker_slot *slot = &master->workers[i];
        child_init(&slot->child, master->loop, &master->program, &master->worker_events, i);
        slot->metrics = slot->log.read = slot->log.write = -1;
    }
}

void workers_fini(struct master *master) {
    for (size_t i = 0; i < GENERATION_WORKERS_MAX; i++) {
        struct worker_slot *slot = &master->workers[i];
        int *fds[] = {&slot->metrics, &slot->log.read, &slot->log.write};
        child_fini(&slot->child);
        for (size_t j = 0; j < sizeof fds / sizeof fds[0]; j++)
            if (*fds[j] >= 0)
                (void)close(*fds[j]);
    }
}
