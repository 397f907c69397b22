/*
 * worker: what serves clients: one loop, the snapshot in force, its connections. Made by app/, which gives it accepted
 * sockets and new snapshots and, at the end, asks it to drain. Opens no file.
 */
#ifndef SALLYPORT_PROXY_WORKER_H
#define SALLYPORT_PROXY_WORKER_H

#include "base/limit_table.h"
#include "base/list.h"
#include "base/logsink.h"
#include "io/loop.h"
#include "snapshot/snapshot.h"
#include "upstream/pool.h"

struct asker;
struct client;
struct flood;
struct tokens;

struct worker {
    struct loop *loop;
    struct snapshot *snapshot; /* in force; a reference. Exchanges pin their own */
    struct pool *pool;
    struct tokens *tokens;
    struct logsink *access, *audit;
    struct list clients; /* struct client, all */
    size_t client_count;
    struct limit_table *limits; /* of the whole gateway */
    unsigned index;             /* of this worker in it */
    struct statuses *statuses;  /* what OCSP responders say */
    struct flood *flood;        /* what the audit log is spared */
    bool draining;
    void (*drained)(void *arg); /* when draining and the last client is gone */
    void *drained_arg;
    struct loop_timer *drain_timer;
    struct list without_hello; /* struct client by hello_node: no ClientHello has come; the oldest first */
    struct list to_judge;      /* struct client by judge_node: in progress when the snapshot was published */
    struct loop_timer *judge_timer;
    uint64_t next_client_id;
    char *buffer; /* WORKER_BUFFER_SIZE bytes that each read goes through; nothing stays in it */
};

/* What is read from a client at once: four TLS records. */
#define WORKER_BUFFER_SIZE (64 * 1024)

/* A listener as the worker knows it; app/ keeps it alive longer than the worker. */
struct worker_listener {
    const char *address; /* as configured, for logs and metrics */
    size_t index;        /* of snapshot->listeners, kept up to date by app/ on reload */
};

/* What a worker is made of; all but the snapshot, of which it takes a reference, stays the caller's and lives longer.
 */
struct worker_source {
    struct loop *loop;
    struct snapshot *snapshot;
    struct logsink *access, *audit;
    struct limit_table *limits;
    unsigned index;
    struct asker *asker; /* questions to control; NULL: there is none to ask */
};

struct worker *worker_new(const struct worker_source *source);
/* Swaps the snapshot at once; live connections judge their next request by it, tunnels that lost their right are closed
 * within 2 s, the pool forgets endpoints that are gone. Takes its own reference. */
void worker_publish(struct worker *worker, struct snapshot *snapshot);
/* A new connection. Refuses it (closes, counts, logs) beyond max_connections, connections_per_ip or
 * concurrent_handshakes; in the last case a connection that has not sent its ClientHello goes in its place, of the same
 * address if there is one, else the oldest (sec-41). */
void worker_accept(struct worker *worker, const struct worker_listener *listener, int fd, const struct addr *peer);
/* Graceful stop: idle connections close at once, requests finish within timeout_ms (0: no limit), then everything is
 * closed; drained() is called when the last is gone (maybe at once, from the loop). */
void worker_drain(struct worker *worker, int64_t timeout_ms, void (*drained)(void *arg), void *arg);
void worker_free(struct worker **worker);
/* client to worker: its handshake is over, one way or the other. */
void worker_handshake_over(struct worker *worker);
/* client to worker: its memory is about to go. */
void worker_client_gone(struct worker *worker, struct client *client);

#endif
