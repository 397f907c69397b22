/*
 * channel: messages with descriptors between master and its children, over a SOCK_SEQPACKET socketpair. Bounded and
 * checked on receipt: a message has a known type, a size within IPC_TEXT_MAX, at most IPC_FDS_MAX descriptors, and
 * comes from the one process at the other end. What a worker may send is small and means little; master and control
 * survive a worker that lies (fuzz_ipc).
 *
 * Sending never blocks: messages queue up to a bound; a child that does not read is broken and its owner ends it.
 */
#ifndef SALLYPORT_IPC_CHANNEL_H
#define SALLYPORT_IPC_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "io/loop.h"

#define IPC_TEXT_MAX (16 * 1024)
#define IPC_FDS_MAX 8
#define IPC_QUEUE_MAX 4096
#define IPC_FRAME_MAX (24 + IPC_TEXT_MAX)

/* clang-format off */
#define IPC_TYPES(X) \
    /* control to master: a generation, item by item, then END; master to worker: the same, then PREPARE */ \
    X(GENERATION_BEGIN, "number = generation; value = workers; text = shutdown timeout in ms and the error log's level") \
    X(DOCUMENT, "fd = sealed resolved document") \
    X(SECRETS, "fd = sealed secrets that workers need: digest (64 bytes), size (8 bytes), bytes") \
    X(CONTROLS_SECRETS, "fd = the same of those that only control needs: kept by master for the next control") \
    X(CRL, "fd = sealed index (crl_bytes); number = which memory it is; text = digest of the file") \
    X(LISTENER, "text = address as configured; master to worker also: fd = socket, value = its index; a worker may have several of one address") \
    X(GENERATION_END, "") \
    /* master to worker */ \
    X(PREPARE, "number = generation") \
    X(COMMIT, "number = generation") \
    X(ABORT, "number = generation") \
    X(TICKET_KEYS, "fd = sealed ticket keys, newest first") \
    X(LIMITS, "fd = the shared table of limits; value = the receiver's row") \
    X(SESSIONS, "fd = the shared memory of TLS sessions") \
    X(DRAIN, "value = timeout in ms; finish and exit; number = 1: others serve the sockets, so leave what waits there to them") \
    /* worker to master */ \
    X(PREPARED, "number = generation") \
    X(FAILED, "number = generation; text = why") \
    X(IN_FORCE, "number = generation: after COMMIT, new clients are judged by it") \
    X(ALIVE, "number = a counter; once a second, for the watchdog") \
    /* master to control */ \
    X(RELOAD, "value = 1: at start, while a predecessor still has the admin address") \
    X(REOPEN_LOGS, "") \
    X(COMMITTED, "number = generation") \
    X(REJECTED, "number = generation; text = why") \
    X(LOG_PIPE, "fd = read end; value = worker index, -1: master's; to a worker: fd = write end") \
    X(METRICS, "fd = region; value = worker index, -1: the receiver's own, -2: of one that is gone, to be absorbed; to a worker: its own") \
    X(ASK, "fd = one end of a line for questions (ipc/ask.h), value = worker index; to a worker: the other end") \
    X(WORKER_GONE, "value = worker index: absorb its region") \
    X(WORKERS_SERVING, "value = how many workers take clients") \
    X(STOP, "value = 1: not ready for new clients; 2: exit") \
    /* control to master */ \
    X(READY, "value = 0: start-up is over; 1: a reload, well or not") \
    X(EXITING, "value = exit status: the configuration is bad at start")
/* clang-format on */

enum ipc_type {
    IPC_NONE,
#define X(name, help) IPC_##name,
    IPC_TYPES(X)
#undef X
        IPC_TYPE_COUNT
};

struct ipc_message {
    enum ipc_type type;
    uint64_t number;
    int64_t value;
    struct slice text;    /* received: valid during the call */
    int fds[IPC_FDS_MAX]; /* received: the callee's to keep, by ipc_message_take_fd(); what is left is closed after the
                             call */
    int fd_count;
};

struct channel;

/* "COMMIT" etc., for logs. */
const char *ipc_type_name(enum ipc_type type);
/* A connected pair for parent and child; close-on-exec. */
MUST_CHECK int channel_pair(int *parent_out, int *child_out, struct err *err);
/* fd is taken over. message is called for each; closed once, when the other side is gone or has broken the rules (text
 * says which; "" for gone). */
struct channel *channel_open(struct loop *loop, int fd, void (*message)(void *owner, struct ipc_message *message),
                             void (*closed)(void *owner, const char *fault), void *owner);
/* Descriptors are duplicated into the message: they stay the caller's. false: the queue is full (IPC_QUEUE_MAX
 * messages), or no descriptor is free. To one who is gone everything can be sent; closed() says so in its time. */
MUST_CHECK bool channel_send(struct channel *channel, const struct ipc_message *message);
/* Waits until everything is sent, at most timeout_ms (before an exit). */
void channel_flush(struct channel *channel, int timeout_ms);
void channel_close(struct channel **channel);

/* The i-th descriptor, now the caller's; -1 if it is not there (the receiver had none left to take it with). */
int ipc_message_take_fd(struct ipc_message *message, int i);

/* The frame as bytes: pure, for the fuzzer. Returns false for what would be refused. */
bool ipc_decode(struct slice frame, struct ipc_message *message_out);
/* Returns the frame's size; the text must not be longer than IPC_TEXT_MAX. */
size_t ipc_encode(const struct ipc_message *message, char frame_out[IPC_FRAME_MAX]);

#endif
