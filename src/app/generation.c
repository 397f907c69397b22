/*
 * generation: see the header: collecting, sending and letting go. What is inside the memory is generation_seal.c's.
 */
#include "app/generation.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

static void close_fd(int *fd) {
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

void generation_init(struct generation *generation) {
    *generation = (struct generation){.document = -1, .secrets = -1, .controls_secrets = -1};
}

void generation_close_fds(struct generation *generation) {
    close_fd(&generation->document);
    close_fd(&generation->secrets);
    close_fd(&generation->controls_secrets);
    for (size_t i = 0; i < generation->crl_count; i++)
        close_fd(&generation->crls[i].fd);
}

void generation_fini(struct generation *generation) {
    generation_close_fds(generation);
    for (size_t i = 0; i < generation->crl_count; i++)
        crl_unref(&generation->crls[i].crl);
    for (size_t i = 0; i < generation->listener_count; i++) {
        close_fd(&generation->listeners[i].fd);
        mem_free(generation->listeners[i].address);
    }
    mem_free(generation->crls);
    mem_free(generation->listeners);
    generation_init(generation);
}

/* ---- receiving ---- */

static void set_fault(struct generation *generation, const char *fault) {
    if (generation->fault[0] == '\0')
        (void)snprintf(generation->fault, sizeof generation->fault, "%s", fault);
}

/* "10000 info" */
static bool read_words(struct generation *generation, struct slice text) {
    struct slice timeout, level = slice_cut(text, ' ', &timeout);
    unsigned long long ms;
    enum log_level known;
    if (!slice_to_u64(timeout, &ms) || !log_level_from_name(level, &known) || level.len >= sizeof generation->level)
        return false;
    generation->shutdown_timeout_ms = (int64_t)ms;
    memcpy(generation->level, level.ptr, level.len);
    return true;
}

static void begin(struct generation *generation, const struct ipc_message *message) {
    generation_fini(generation);
    generation->number = message->number;
    if (message->number == 0 || message->value < 1 || message->value > GENERATION_WORKERS_MAX ||
        !read_words(generation, message->text)) {
        set_fault(generation, "its head makes no sense");
        return;
    }
    generation->workers = (unsigned)message->value;
}

static int take_fd(struct generation *generation, struct ipc_message *message) {
    int fd = ipc_message_take_fd(message, 0);
    if (fd < 0)
        set_fault(generation, "there are not enough descriptors left to take it in");
    return fd;
}

static void take_crl(struct generation *generation, struct ipc_message *message) {
    int fd = take_fd(generation, message);
    if (fd < 0)
        return;
    if (message->text.len != 64) {
        set_fault(generation, "one of its CRLs has no digest");
        (void)close(fd);
        return;
    }
    generation->crls = mem_resize(generation->crls, (generation->crl_count + 1) * sizeof *generation->crls);
    struct generation_crl *crl = &generation->crls[generation->crl_count++];
    *crl = (struct generation_crl){.fd = fd, .memory = message->number};
    memcpy(crl->digest, message->text.ptr, 64);
}

static void take_listener(struct generation *generation, struct ipc_message *message) {
    generation->listeners =
        mem_resize(generation->listeners, (generation->listener_count + 1) * sizeof *generation->listeners);
    struct generation_listener *listener = &generation->listeners[generation->listener_count++];
    *listener = (struct generation_listener){.address = mem_strndup(message->text.ptr, message->text.len),
                                             .socket = (unsigned)message->value,
                                             .fd = ipc_message_take_fd(message, 0)};
}

bool generation_take(struct generation *generation, struct ipc_message *message) {
    if (message->type < IPC_GENERATION_BEGIN || message->type > IPC_GENERATION_END)
        return false;
    if (message->type == IPC_GENERATION_BEGIN) {
        begin(generation, message);
        return true;
    }
    if (generation->number == 0 || generation->is_complete) {
        set_fault(generation, "it has no beginning");
        return true;
    }
    if (generation->crl_count + generation->listener_count >= GENERATION_ITEMS_MAX) {
        set_fault(generation, "it has too many CRLs and listeners");
        return true;
    }
    switch (message->type) {
    case IPC_DOCUMENT:
        close_fd(&generation->document);
        generation->document = take_fd(generation, message);
        break;
    case IPC_SECRETS:
        close_fd(&generation->secrets);
        generation->secrets = take_fd(generation, message);
        break;
    case IPC_CONTROLS_SECRETS:
        close_fd(&generation->controls_secrets);
        generation->controls_secrets = take_fd(generation, message);
        break;
    case IPC_CRL:
        take_crl(generation, message);
        break;
    case IPC_LISTENER:
        take_listener(generation, message);
        break;
    default:
        generation->is_complete = true;
        if (generation->document < 0 || generation->secrets < 0)
            set_fault(generation, "it has no document or no secrets");
    }
    return true;
}

/* ---- sending ---- */

static bool send_fd(struct channel *channel, enum ipc_type type, int fd) {
    return channel_send(channel, &(struct ipc_message){.type = type, .fds = {fd}, .fd_count = 1});
}

static bool send_crl(struct channel *channel, const struct generation_crl *crl) {
    struct ipc_message message = {
        .type = IPC_CRL, .number = crl->memory, .text = slice_of(crl->digest), .fds = {crl->fd}, .fd_count = 1};
    return channel_send(channel, &message);
}

bool generation_send(const struct generation *generation, struct channel *channel) {
    char words[64];
    (void)snprintf(words, sizeof words, "%lld %s", (long long)generation->shutdown_timeout_ms, generation->level);
    struct ipc_message begin = {.type = IPC_GENERATION_BEGIN,
                                .number = generation->number,
                                .value = generation->workers,
                                .text = slice_of(words)};
    bool is_sent = channel_send(channel, &begin) && send_fd(channel, IPC_DOCUMENT, generation->document) &&
                   send_fd(channel, IPC_SECRETS, generation->secrets);
    for (size_t i = 0; i < generation->crl_count && is_sent; i++)
        is_sent = send_crl(channel, &generation->crls[i]);
    return is_sent;
}

bool generation_send_whole(const struct generation *generation, struct channel *channel) {
    bool is_sent =
        generation_send(generation, channel) && send_fd(channel, IPC_CONTROLS_SECRETS, generation->controls_secrets);
    for (size_t i = 0; i < generation->listener_count && is_sent; i++) {
        struct ipc_message listener = {.type = IPC_LISTENER, .text = slice_of(generation->listeners[i].address)};
        is_sent = channel_send(channel, &listener);
    }
    return is_sent && channel_send(channel, &(struct ipc_message){.type = IPC_GENERATION_END});
}
