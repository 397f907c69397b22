/*
 * control: the process that reads files: configuration, keys, CAs, CRLs; that writes the logs and answers on the admin
 * address. It sees no byte of a client. Master starts it and replaces it; workers serve on without it.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "app/processes.h"
#include "base/log.h"
#include "base/mem.h"
#include "control_priv.h"

#define FLUSH_MS 1000

void control_exit(struct control *control, int status) {
    control->status = status;
    control->state = CONTROL_ENDED;
    loop_stop(control->loop);
}

void control_say(struct control *control, enum ipc_type type, int64_t value) {
    if (control->channel && !channel_send(control->channel, &(struct ipc_message){.type = type, .value = value}))
        log_error("the channel to master is full");
}

static void stop(struct control *control, int64_t how) {
    control->is_stopping = true;
    if (how != 2)
        return;
    outside_read_logs(control);
    log_info("stopped");
    control_exit(control, 0);
}

static void on_closed(void *arg, const char *fault) {
    struct control *control = arg;
    channel_close(&control->channel);
    log_error("control: master is gone%s%s", fault[0] ? ": it sent " : "", fault);
    outside_read_logs(control);
    control_exit(control, 1);
}

static void on_committed(struct control *control, uint64_t number) {
    if (control->state == CONTROL_WAITING && control->handed.is_complete && control->handed.number == number)
        change_restore(control);
    else
        change_committed(control, number);
}

static void on_reload(struct control *control, bool is_successor) {
    if (control->state == CONTROL_WAITING && control->handed.number == 0) {
        control->is_successor = is_successor;
        change_start(control);
    } else {
        change_reload(control);
    }
}

static void on_message(void *arg, struct ipc_message *message) {
    struct control *control = arg;
    if (control->state == CONTROL_ENDED || generation_take(&control->handed, message))
        return;
    switch (message->type) {
    case IPC_RELOAD:
        on_reload(control, message->value == 1);
        break;
    case IPC_COMMITTED:
        on_committed(control, message->number);
        break;
    case IPC_REJECTED:
        change_rejected(control, message->number, message->text);
        break;
    case IPC_REOPEN_LOGS:
        if (!control->are_logs_open)
            break;
        log_info("reopening logs");
        logs_reopen(&control->logs);
        break;
    case IPC_LOG_PIPE:
        outside_add_log(control, (int)message->value, ipc_message_take_fd(message, 0));
        break;
    case IPC_METRICS:
        outside_add_region(control, message->value, ipc_message_take_fd(message, 0));
        break;
    case IPC_ASK:
        ask_add(control, message->value, ipc_message_take_fd(message, 0));
        break;
    case IPC_WORKER_GONE:
        outside_worker_gone(control, message->value);
        break;
    case IPC_WORKERS_SERVING:
        control->workers_serving = message->value;
        break;
    case IPC_STOP:
        stop(control, message->value);
        break;
    default:
        break;
    }
}

static void control_fini(struct control *control) {
    if (control->channel)
        channel_flush(control->channel, FLUSH_MS);
    ocsp_desk_free(&control->ocsp_desk);
    expiry_watch_free(&control->expiry_watch);
    crl_watch_free(&control->crl_watch);
    ask_stop(control);
    tokens_stop(control);
    change_fini(&control->change);
    struct change last = {.conf = control->conf,
                          .resolved = control->resolved,
                          .generation = control->in_force,
                          .snapshot = control->snapshot};
    outside_fini(control);
    change_fini(&last);
    generation_fini(&control->handed);
    if (control->has_waiting_crls)
        resolved_fini(&control->waiting_crls);
    ticket_keys_free(&control->keys);
    logs_close(&control->logs);
    channel_close(&control->channel);
    loop_free(control->loop);
}

static int control_run(struct control *control, struct err *err) {
    control->loop = loop_new(err);
    if (!control->loop)
        return -1;
    generation_init(&control->in_force);
    generation_init(&control->handed);
    generation_init(&control->change.generation);
    list_init(&control->log_sources);
    ask_start(control);
    tokens_start(control);
    control->keys = ticket_keys_new();
    control->crl_watch = crl_watch_new(control->loop, change_crls, control, err);
    if (!control->crl_watch)
        return -1;
    control->expiry_watch = expiry_watch_new(control->loop, err);
    control->ocsp_desk = ocsp_desk_new(control->loop, err);
    if (!control->expiry_watch || !control->ocsp_desk)
        return -1;
    control->channel = channel_open(control->loop, PROCESS_CHANNEL_FD, on_message, on_closed, control);
    loop_run(control->loop);
    control_fini(control);
    return 0;
}

int cmd_control(int argc, char **argv) {
    struct err err = {""};
    struct control control = {.config_path = ""}; /* master says which */
    if (process_begin("sp-control") != 0)
        return 2;
    for (int option; (option = getopt(argc, argv, "c:")) != -1;)
        if (option == 'c')
            control.config_path = optarg;
    if (control_run(&control, &err) != 0) {
        fprintf(stderr, "sallyport: control: %s\n", err.text);
        return 1;
    }
    return control.status;
}
