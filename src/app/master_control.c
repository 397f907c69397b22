/*
 * master_control: control's place: what it is given when it starts, what it may say, who comes after it. The first
 * control reads the configuration; one that replaces it is given the generation in force and goes on from there, while
 * the workers serve as if nothing had happened.
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/memfd.h"
#include "base/metrics.h"
#include "master_priv.h"

#define OWN_REGION (-1)
#define GONE_REGION (-2)

void control_tell(struct master *master, const struct ipc_message *message) { child_send(&master->control, message); }

void control_tell_pipe(struct master *master, int index, const struct log_pipe *log) {
    control_tell(master,
                 &(struct ipc_message){.type = IPC_LOG_PIPE, .value = index, .fds = {log->read}, .fd_count = 1});
}

static void tell_region(struct master *master, int index, int fd) {
    control_tell(master, &(struct ipc_message){.type = IPC_METRICS, .value = index, .fds = {fd}, .fd_count = 1});
}

void control_reload(struct master *master) {
    master->wants_reload = true;
    control_tell(master, &(struct ipc_message){.type = IPC_RELOAD});
}

/* ---- regions of the dead ---- */

static void keep_region(struct master *master, int *region) {
    size_t count = master->gone_metrics_count++;
    master->gone_metrics = mem_resize(master->gone_metrics, (count + 1) * sizeof(int));
    master->gone_metrics[count] = *region;
    *region = -1;
}

void control_absorb(struct master *master, int index, int *region) {
    if (!master->control.channel) {
        keep_region(master, region);
        return;
    }
    control_tell(master, &(struct ipc_message){.type = IPC_WORKER_GONE, .value = index});
    (void)close(*region);
    *region = -1;
}

static void tell_gone_regions(struct master *master) {
    for (size_t i = 0; i < master->gone_metrics_count; i++) {
        tell_region(master, GONE_REGION, master->gone_metrics[i]);
        (void)close(master->gone_metrics[i]);
    }
    master->gone_metrics_count = 0;
}

/* ---- beginning and end ---- */

static void tell_everything(struct master *master) {
    tell_region(master, OWN_REGION, master->control_metrics);
    tell_gone_regions(master);
    control_tell_pipe(master, -1, &master->log);
    for (int i = 0; i < GENERATION_WORKERS_MAX; i++) {
        const struct worker_slot *slot = &master->workers[i];
        if (slot->log.read >= 0)
            control_tell_pipe(master, i, &slot->log);
        if (slot->metrics >= 0)
            tell_region(master, i, slot->metrics);
        worker_connect(master, &master->workers[i]);
    }
    control_tell(master, &(struct ipc_message){.type = IPC_WORKERS_SERVING, .value = (int64_t)workers_serving(master)});
}

static void on_started(void *arg, struct child *child) {
    struct master *master = arg;
    struct err err = {""};
    master->control_metrics = memfd_shared("metrics", metrics_region_size(), &err);
    if (master->control_metrics < 0) {
        log_error("control: %s", err.text);
        child_kill(child, "cannot be given what it needs");
        return;
    }
    tell_everything(master);
    if (master->in_force.number == 0) {
        control_tell(master,
                     &(struct ipc_message){.type = IPC_RELOAD, .value = upgrade_is_successor(&master->upgrade)});
        return;
    }
    if (!generation_send_whole(&master->in_force, child->channel))
        child_kill(child, "does not take its messages");
    if (master->exchange.state != EXCHANGE_COMMITTING)
        control_tell(master, &(struct ipc_message){.type = IPC_COMMITTED, .number = master->in_force.number});
    if (master->state > MASTER_SERVING)
        control_tell(master, &(struct ipc_message){.type = IPC_STOP, .value = 1});
    if (master->wants_reload)
        control_reload(master);
}

static void on_message(void *arg, struct child *child, struct ipc_message *message) {
    struct master *master = arg;
    if (message->type >= IPC_GENERATION_BEGIN && message->type <= IPC_GENERATION_END) {
        exchange_take(master, message);
    } else if (message->type == IPC_READY) {
        child_set_serving(child);
        if (message->value == 1)
            master->wants_reload = false;
        master_ready(master);
    } else if (message->type == IPC_EXITING) {
        master_fail(master, (int)message->value);
    } else if (message->type != IPC_ALIVE) {
        child_kill(child, "says what only others may say");
    }
}

static void on_ended(void *arg, struct child *child, const char *how) {
    struct master *master = arg;
    exchange_reject(master, "control has ended");
    if (master->control_metrics >= 0)
        keep_region(master, &master->control_metrics);
    if (master->state == MASTER_STARTING) {
        log_error("control %s before the first configuration was in force", how);
        master_fail(master, 1);
    }
    if (master->state >= MASTER_ENDING) {
        child_forget(child);
    } else {
        log_error("control %s; starting another", how);
        child_start_again(child);
    }
    master_look_around(master);
}

void control_init(struct master *master) {
    master->control_events = (struct child_events){on_started, on_message, on_ended, master};
    master->control_metrics = -1;
    child_init(&master->control, master->loop, &master->program, &master->control_events, CHILD_CONTROL);
}

void control_fini(struct master *master) {
    child_fini(&master->control);
    for (size_t i = 0; i < master->gone_metrics_count; i++)
        (void)close(master->gone_metrics[i]);
    mem_free(master->gone_metrics);
    if (master->control_metrics >= 0)
        (void)close(master->control_metrics);
}
