/*
 * exchange: from one generation to the next without any worker being alone with either of them.
 *
 *   IDLE --BEGIN from control--> COLLECTING --END: sockets bound, every worker asked--> PREPARING --all PREPARED-->
 * COMMITTING --all IN_FORCE--> IDLE ^                               | an item is wrong | FAILED, a worker's end, time
 * `-- COMMITTED to control
 *    `------- REJECTED to control ---+------------------------------ ABORT ----------------'
 *
 * From the first COMMIT on there is no way back, and nothing that could fail: a worker that ends then is replaced by
 * one that starts with the new generation.
 */
#include <stdio.h>

#include "base/log.h"
#include "master_priv.h"

#define PREPARE_MS 10000
#define START_MS 300000 /* nobody is served yet: better late than never */
#define COMMIT_MS 5000

static void set_state(struct master *master, enum exchange_state state) {
    struct exchange *exchange = &master->exchange;
    bool is_start = master->in_force.number == 0;
    static const int64_t times[] = {
        [EXCHANGE_COLLECTING] = PREPARE_MS, [EXCHANGE_PREPARING] = PREPARE_MS, [EXCHANGE_COMMITTING] = COMMIT_MS};
    exchange->state = state;
    if (state == EXCHANGE_IDLE)
        loop_timer_cancel(exchange->timer);
    else
        loop_timer_set(exchange->timer, is_start ? START_MS : times[state]);
}

static bool is_awaited(const struct master *master) {
    for (size_t i = 0; i < GENERATION_WORKERS_MAX; i++)
        if (master->workers[i].is_awaited)
            return true;
    return false;
}

/* ---- giving up ---- */

static void abort_worker(struct master *master, struct worker_slot *slot, uint64_t number) {
    slot->is_awaited = false;
    if (!child_is_alive(&slot->child) || slot->child.asked != number)
        return;
    child_send(&slot->child, &(struct ipc_message){.type = IPC_ABORT, .number = number});
    slot->child.asked = slot->child.in_force;
    if (slot->child.index >= (int)master->in_force.workers)
        worker_dismiss(master, slot, true);
    else
        worker_catch_up(master, slot);
}

void exchange_reject(struct master *master, const char *why) {
    struct exchange *exchange = &master->exchange;
    uint64_t number = exchange->next.number;
    if (exchange->state != EXCHANGE_COLLECTING && exchange->state != EXCHANGE_PREPARING)
        return;
    set_state(master, EXCHANGE_IDLE);
    for (size_t i = 0; i < GENERATION_WORKERS_MAX; i++)
        abort_worker(master, &master->workers[i], number);
    sockets_rollback(&master->sockets);
    generation_fini(&exchange->next);
    control_tell(master, &(struct ipc_message){.type = IPC_REJECTED, .number = number, .text = slice_of(why)});
}

void exchange_worker_ended(struct master *master, struct worker_slot *slot) {
    char why[128];
    uint64_t asked = master->exchange.next.number;
    if (master->exchange.state == EXCHANGE_COMMITTING && slot->is_awaited)
        exchange_in_force(master, slot);
    if (master->exchange.state != EXCHANGE_PREPARING || asked == 0 ||
        slot->child.index >= (int)master->exchange.next.workers)
        return;
    (void)snprintf(why, sizeof why, "worker %d ended while it was asked to prepare", slot->child.index);
    exchange_reject(master, why);
}

static void on_timeout(void *arg) {
    struct master *master = arg;
    if (master->exchange.state == EXCHANGE_COMMITTING) {
        for (size_t i = 0; i < GENERATION_WORKERS_MAX; i++)
            if (master->workers[i].is_awaited)
                exchange_in_force(master, &master->workers[i]);
        return;
    }
    exchange_reject(master, "not every worker was ready in time");
}

/* ---- going on ---- */

static void finish(struct master *master) {
    set_state(master, EXCHANGE_IDLE);
    /* Before control says that the generation is in force, master's own words about it are to be read. */
    (void)logpipe_writer_flush(master->log_writer);
    control_tell(master, &(struct ipc_message){.type = IPC_COMMITTED, .number = master->in_force.number});
}

static void commit(struct master *master) {
    struct generation *next = &master->exchange.next;
    enum log_level level = LOG_INFO;
    if (log_level_from_name(slice_of(next->level), &level))
        log_set_level(level);
    log_set_sink(logpipe_writer_sink(master->log_writer, LOGPIPE_ERROR));
    generation_fini(&master->in_force);
    master->in_force = *next;
    generation_init(next);
    sockets_commit(&master->sockets, &master->in_force);
    set_state(master, EXCHANGE_COMMITTING);
    for (size_t i = 0; i < GENERATION_WORKERS_MAX; i++) {
        struct worker_slot *slot = &master->workers[i];
        if (!child_is_alive(&slot->child) || slot->child.state == CHILD_LEAVING)
            continue;
        if (i >= master->in_force.workers) {
            worker_dismiss(master, slot, true);
        } else if (slot->child.asked == master->in_force.number) {
            slot->is_awaited = true;
            child_send(&slot->child, &(struct ipc_message){.type = IPC_COMMIT, .number = master->in_force.number});
        }
    }
    if (!is_awaited(master))
        finish(master);
}

void exchange_prepared(struct master *master, struct worker_slot *slot) {
    slot->is_awaited = false;
    if (!is_awaited(master))
        commit(master);
}

void exchange_in_force(struct master *master, struct worker_slot *slot) {
    slot->is_awaited = false;
    if (!is_awaited(master))
        finish(master);
}

static void ask_all(struct master *master) {
    const struct generation *next = &master->exchange.next;
    bool is_first = master->in_force.number == 0;
    set_state(master, EXCHANGE_PREPARING);
    for (size_t i = 0; i < next->workers; i++) {
        struct worker_slot *slot = &master->workers[i];
        if (slot->child.state == CHILD_ABSENT)
            child_start(&slot->child);
        /* One that keeps dying starts with whatever is in force by then. */
        if (!is_first && (!child_is_alive(&slot->child) || slot->child.state == CHILD_LEAVING))
            continue;
        slot->is_awaited = true;
        if (child_is_alive(&slot->child))
            worker_ask(master, slot, next);
    }
    if (!is_awaited(master))
        commit(master);
}

static void prepare(struct master *master) {
    struct generation *next = &master->exchange.next;
    struct err err = {""};
    char why[sizeof err.text + 64];
    if (next->fault[0] != '\0')
        (void)snprintf(why, sizeof why, "the generation cannot be taken in: %s", next->fault);
    else if (next->number <= master->in_force.number)
        (void)snprintf(why, sizeof why, "generation %llu is not newer than the one in force",
                       (unsigned long long)next->number);
    else if (sockets_prepare(&master->sockets, next, &err) != 0)
        (void)snprintf(why, sizeof why, "%s", err.text);
    else {
        ask_all(master);
        return;
    }
    exchange_reject(master, why);
}

void exchange_take(struct master *master, struct ipc_message *message) {
    struct exchange *exchange = &master->exchange;
    bool is_begin = message->type == IPC_GENERATION_BEGIN;
    if (exchange->state != (is_begin ? EXCHANGE_IDLE : EXCHANGE_COLLECTING) || master->state > MASTER_SERVING)
        return;
    if (is_begin)
        set_state(master, EXCHANGE_COLLECTING);
    (void)generation_take(&exchange->next, message);
    if (message->type == IPC_GENERATION_END)
        prepare(master);
}

void exchange_init(struct master *master) {
    generation_init(&master->exchange.next);
    master->exchange.timer = loop_timer_new(master->loop, on_timeout, master);
}

void exchange_fini(struct master *master) {
    loop_timer_free(&master->exchange.timer);
    generation_fini(&master->exchange.next);
}
