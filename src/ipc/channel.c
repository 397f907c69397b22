/*
 * channel: see the header. One packet of the socket is one message, so there is no reassembly and nothing of one
 * message can spill into another.
 *
 *   OPEN --peer gone, or it broke the rules--> ENDED (closed() was called) --channel_close--> freed at the end of the
 * turn
 *     `--channel_close-----------------------------------------------------'
 *
 * Descriptors that cannot be taken (none is free in this process) are not the sender's fault: the message comes without
 * them and the one who needs them says so.
 */
#include "ipc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "channel_priv.h"

#define MESSAGES_PER_TURN 64
#define RETRY_MS 10 /* the kernel had no room for more descriptors in flight */

enum channel_state { CHANNEL_OPEN, CHANNEL_ENDED, CHANNEL_CLOSED };

/* A message that waits, with descriptors of its own. */
struct queued {
    struct list node;
    int fds[IPC_FDS_MAX];
    int fd_count;
    size_t size;
    char frame[];
};

struct channel {
    struct loop *loop;
    int fd;
    enum channel_state state;
    struct loop_watch *watch;
    struct loop_timer *retry;
    struct loop_task reap;
    struct list queue;
    size_t queue_count;
    void (*message)(void *owner, struct ipc_message *message);
    void (*closed)(void *owner, const char *fault);
    void *owner;
    char buffer[IPC_FRAME_MAX + 1]; /* one more than fits, so that a longer packet shows */
};

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
};

int channel_pair(int *parent_out, int *child_out, struct err *err) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        return err_set(err, "no socket pair: %s", strerror(errno));
    *parent_out = ends[0];
    *child_out = ends[1];
    return 0;
}

/* ---- descriptors ---- */

static void close_all(int *fds, int *count) {
    for (int i = 0; i < *count; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    *count = 0;
}

int ipc_message_take_fd(struct ipc_message *message, int i) {
    if (i >= message->fd_count)
        return -1;
    int fd = message->fds[i];
    message->fds[i] = -1;
    return fd;
}

/* Takes the descriptors of a received packet; false when some were lost. */
static bool take_fds(struct msghdr *packet, struct ipc_message *message) {
    for (struct cmsghdr *part = CMSG_FIRSTHDR(packet); part; part = CMSG_NXTHDR(packet, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        int count = (int)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (int i = 0; i < count && message->fd_count < IPC_FDS_MAX; i++)
            memcpy(&message->fds[message->fd_count++], CMSG_DATA(part) + (size_t)i * sizeof(int), sizeof(int));
    }
    if (!(packet->msg_flags & MSG_CTRUNC))
        return true;
    close_all(message->fds, &message->fd_count);
    return false;
}

/* ---- receiving ---- */

static void end(struct channel *channel, const char *fault) {
    if (channel->state != CHANNEL_OPEN)
        return;
    channel->state = CHANNEL_ENDED;
    loop_watch_set(channel->watch, 0);
    loop_timer_cancel(channel->retry);
    channel->closed(channel->owner, fault);
}

/* One packet; false when there is none now, or ever again. */
static bool receive(struct channel *channel) {
    union control control;
    struct iovec piece = {channel->buffer, sizeof channel->buffer};
    struct msghdr packet = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t size = recvmsg(channel->fd, &packet, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (size <= 0) {
        end(channel, "");
        return false;
    }
    struct ipc_message message, head = {.fd_count = 0};
    (void)take_fds(&packet, &head);
    const char *fault = NULL;
    if (packet.msg_flags & MSG_TRUNC)
        fault = "a message that is too long";
    else if (!ipc_decode(slice_make(channel->buffer, (size_t)size), &message))
        fault = "a message that makes no sense";
    else if (head.fd_count > channel_fds_of(message.type))
        fault = "a message with descriptors that do not belong to it";
    if (fault) {
        close_all(head.fds, &head.fd_count);
        end(channel, fault);
        return false;
    }
    memcpy(message.fds, head.fds, sizeof message.fds);
    message.fd_count = head.fd_count;
    channel->message(channel->owner, &message);
    close_all(message.fds, &message.fd_count);
    return channel->state == CHANNEL_OPEN;
}

/* ---- sending ---- */

enum sent { SENT, SENT_LATER, SENT_TO_NOBODY };

static enum sent send_frame(struct channel *channel, const char *frame, size_t size, const int *fds, int fd_count) {
    union control control;
    struct iovec piece = {(void *)(uintptr_t)frame, size};
    struct msghdr packet = {.msg_iov = &piece, .msg_iovlen = 1};
    if (fd_count > 0) {
        memset(&control, 0, sizeof control);
        packet.msg_control = &control;
        packet.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)fd_count);
        struct cmsghdr *part = CMSG_FIRSTHDR(&packet);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)fd_count);
        memcpy(CMSG_DATA(part), fds, sizeof(int) * (size_t)fd_count);
    }
    if (sendmsg(channel->fd, &packet, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
        return SENT;
    switch (errno) {
    case EAGAIN:
    case EINTR:
        loop_watch_set(channel->watch, LOOP_READ | LOOP_WRITE);
        return SENT_LATER;
    case ENOBUFS:
    case ENOMEM:
    case ETOOMANYREFS:
        loop_watch_set(channel->watch, LOOP_READ);
        loop_timer_set(channel->retry, RETRY_MS);
        return SENT_LATER;
    default:
        return SENT_TO_NOBODY;
    }
}

static void queued_free(struct channel *channel, struct queued *queued) {
    list_remove(&queued->node);
    channel->queue_count--;
    close_all(queued->fds, &queued->fd_count);
    mem_free(queued);
}

static void send_queue(struct channel *channel) {
    while (!list_is_empty(&channel->queue) && channel->state == CHANNEL_OPEN) {
        struct queued *queued = LIST_ENTRY(channel->queue.next, struct queued, node);
        if (send_frame(channel, queued->frame, queued->size, queued->fds, queued->fd_count) == SENT_LATER)
            return;
        queued_free(channel, queued);
    }
    if (channel->state == CHANNEL_OPEN)
        loop_watch_set(channel->watch, LOOP_READ);
}

static bool put_in_queue(struct channel *channel, const char *frame, size_t size, const int *fds, int fd_count) {
    if (channel->queue_count >= IPC_QUEUE_MAX)
        return false;
    struct queued *queued = mem_new(sizeof *queued + size);
    list_init(&queued->node);
    for (; queued->fd_count < fd_count; queued->fd_count++) {
        int own = fcntl(fds[queued->fd_count], F_DUPFD_CLOEXEC, 0);
        if (own < 0) {
            close_all(queued->fds, &queued->fd_count);
            mem_free(queued);
            return false;
        }
        queued->fds[queued->fd_count] = own;
    }
    queued->size = size;
    memcpy(queued->frame, frame, size);
    list_push_back(&channel->queue, &queued->node);
    channel->queue_count++;
    return true;
}

bool channel_send(struct channel *channel, const struct ipc_message *message) {
    char frame[IPC_FRAME_MAX];
    if (channel->state != CHANNEL_OPEN)
        return true;
    INVARIANT(message->fd_count <= channel_fds_of(message->type));
    size_t size = ipc_encode(message, frame);
    if (list_is_empty(&channel->queue) &&
        send_frame(channel, frame, size, message->fds, message->fd_count) != SENT_LATER)
        return true;
    return put_in_queue(channel, frame, size, message->fds, message->fd_count);
}

void channel_flush(struct channel *channel, int timeout_ms) {
    int64_t until_us = clock_mono_us() + (int64_t)timeout_ms * 1000;
    for (;;) {
        send_queue(channel);
        int64_t left_ms = (until_us - clock_mono_us()) / 1000;
        if (list_is_empty(&channel->queue) || channel->state != CHANNEL_OPEN || left_ms <= 0)
            return;
        struct pollfd wait = {.fd = channel->fd, .events = POLLOUT};
        (void)poll(&wait, 1, left_ms < RETRY_MS ? (int)left_ms : RETRY_MS);
    }
}

/* ---- the channel ---- */

static void on_ready(void *arg, int ready) {
    struct channel *channel = arg;
    if (ready & LOOP_WRITE)
        send_queue(channel);
    for (int i = 0; (ready & LOOP_READ) && i < MESSAGES_PER_TURN && receive(channel); i++)
        continue;
}

static void on_retry(void *arg) { send_queue(arg); }

static void reap(void *arg) { mem_free(arg); }

struct channel *channel_open(struct loop *loop, int fd, void (*message)(void *owner, struct ipc_message *message),
                             void (*closed)(void *owner, const char *fault), void *owner) {
    struct channel *channel = NEW(struct channel);
    channel->loop = loop;
    channel->fd = fd;
    channel->message = message;
    channel->closed = closed;
    channel->owner = owner;
    channel->watch = loop_watch_new(loop, fd, on_ready, channel);
    channel->retry = loop_timer_new(loop, on_retry, channel);
    list_init(&channel->queue);
    loop_task_init(&channel->reap, reap, channel);
    loop_watch_set(channel->watch, LOOP_READ);
    return channel;
}

void channel_close(struct channel **channel_ptr) {
    struct channel *channel = *channel_ptr;
    *channel_ptr = NULL;
    if (!channel)
        return;
    channel->state = CHANNEL_CLOSED;
    loop_watch_free(&channel->watch);
    loop_timer_free(&channel->retry);
    LIST_EACH (at, next, &channel->queue)
        queued_free(channel, LIST_ENTRY(at, struct queued, node));
    (void)close(channel->fd);
    loop_defer(channel->loop, &channel->reap);
}
