/*
 * worker: see the header. Keeps the list of clients and the counts that its limits need; what a client does is in
 * client.c. Snapshots come from app/ (later: from the control process) and are in force from the moment worker_publish
 * is called.
 */
#include "proxy/worker.h"

#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "proxy/client.h"
#include "proxy/observe.h"

static const struct upstream *const *upstreams_of(const struct snapshot *snapshot) {
    return (const struct upstream *const *)snapshot->upstreams;
}

static void end_drain(void *arg);

struct worker *worker_new(struct loop *loop, struct snapshot *snapshot, struct logsink *access, struct logsink *audit) {
    struct worker *worker = NEW(struct worker);
    worker->loop = loop;
    worker->snapshot = snapshot_ref(snapshot);
    worker->pool = pool_new(loop);
    worker->access = access;
    worker->audit = audit;
    list_init(&worker->clients);
    map_init(&worker->per_address);
    worker->drain_timer = loop_timer_new(loop, end_drain, worker);
    worker->next_client_id = 1;
    worker->buffer = mem_new(WORKER_BUFFER_SIZE);
    return worker;
}

void worker_publish(struct worker *worker, struct snapshot *snapshot) {
    struct snapshot *old = worker->snapshot;
    worker->snapshot = snapshot_ref(snapshot);
    pool_keep_only(worker->pool, upstreams_of(snapshot), snapshot->upstream_count);
    LIST_EACH (at, next, &worker->clients) {
        client_snapshot_changed(LIST_ENTRY(at, struct client, node));
    }
    snapshot_unref(&old);
}

/* ---- accepting ---- */

static struct address_count *count_of(struct worker *worker, const char *host) {
    struct address_count *count = map_get(&worker->per_address, slice_of(host));
    if (count) {
        return count;
    }
    count = NEW(struct address_count);
    memcpy(count->host, host, strlen(host) + 1);
    (void)map_put(&worker->per_address, slice_of(count->host), count);
    return count;
}

static void uncount(struct worker *worker, struct address_count *count) {
    if (count && --count->clients == 0) {
        (void)map_remove(&worker->per_address, slice_of(count->host));
        mem_free(count);
    }
}

/* Whether there is room; *count_out is the place to count it in, NULL without a limit. */
static bool admit(struct worker *worker, const struct addr *peer, struct address_count **count_out) {
    const struct conf_limits *limits = &worker->snapshot->conf->limits;
    char host[ADDR_TEXT_SIZE];
    *count_out = NULL;
    if (limits->max_connections > 0 && worker->client_count >= (size_t)limits->max_connections) {
        return false;
    }
    if (limits->connections_per_ip <= 0) {
        return true;
    }
    struct address_count *count = count_of(worker, addr_format_host(peer, host));
    if (count->clients >= (size_t)limits->connections_per_ip) {
        return false;
    }
    count->clients++;
    *count_out = count;
    return true;
}

void worker_accept(struct worker *worker, const struct worker_listener *listener, int fd, const struct addr *peer) {
    struct address_count *count = NULL;
    if (worker->draining) {
        (void)close(fd);
        return;
    }
    if (!admit(worker, peer, &count)) {
        observe_refused(worker, listener->address, peer, REASON_CONNECTION_LIMIT);
        (void)close(fd);
        return;
    }
    metric_add(METRIC_CONNECTIONS_TOTAL, 1, listener->address);
    struct client *client = client_open(worker, listener, fd, peer);
    client->counted = count;
    list_push_back(&worker->clients, &client->node);
    worker->client_count++;
}

/* ---- the end ---- */

static void tell_drained(struct worker *worker) {
    void (*drained)(void *arg) = worker->drained;
    worker->drained = NULL;
    if (drained) {
        drained(worker->drained_arg);
    }
}

void worker_client_gone(struct worker *worker, struct client *client) {
    list_remove(&client->node);
    worker->client_count--;
    uncount(worker, client->counted);
    if (worker->draining && worker->client_count == 0) {
        tell_drained(worker);
    }
}

/* Time is up, or there was nobody to wait for. */
static void end_drain(void *arg) {
    struct worker *worker = arg;
    if (worker->client_count == 0) {
        tell_drained(worker);
        return;
    }
    log_info("%zu connections are closed before they were done", worker->client_count);
    LIST_EACH (at, next, &worker->clients) {
        client_close(LIST_ENTRY(at, struct client, node), true);
    }
}

void worker_drain(struct worker *worker, int64_t timeout_ms, void (*drained)(void *arg), void *arg) {
    worker->draining = true;
    worker->drained = drained;
    worker->drained_arg = arg;
    LIST_EACH (at, next, &worker->clients) {
        client_drain(LIST_ENTRY(at, struct client, node));
    }
    if (worker->client_count == 0) {
        loop_timer_set(worker->drain_timer, 0);
    } else if (timeout_ms > 0) {
        loop_timer_set(worker->drain_timer, timeout_ms);
    }
}

void worker_free(struct worker **worker_ptr) {
    struct worker *worker = *worker_ptr;
    *worker_ptr = NULL;
    if (!worker) {
        return;
    }
    worker->drained = NULL;
    LIST_EACH (at, next, &worker->clients) {
        struct client *client = LIST_ENTRY(at, struct client, node);
        client_close(client, true);
        client_reap(client);
    }
    pool_free(&worker->pool);
    loop_timer_free(&worker->drain_timer);
    map_fini(&worker->per_address);
    snapshot_unref(&worker->snapshot);
    mem_free(worker->buffer);
    mem_free(worker);
}
