/*
 * worker: see the header. Keeps the list of clients and counts them in the gateway's table of limits; what a client
 * does is in client.c. Snapshots come from app/ (later: from the control process) and are in force from the moment
 * worker_publish is called.
 */
#include "proxy/worker.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "proxy/client.h"
#include "proxy/flood.h"
#include "proxy/observe.h"
#include "proxy/tokens.h"
#include "tls/stream_tls.h"

static const struct upstream *const *upstreams_of(const struct snapshot *snapshot) {
    return (const struct upstream *const *)snapshot->upstreams;
}

/* Handshakes at a time for each worker, when the configuration does not say: what one can work off in about a second.
 */
#define HANDSHAKES_PER_WORKER 1024

/* Of those without a ClientHello so many are compared, and so many asked, when one has to go. */
#define COMPARED_MAX 1024
#define ASKED_MAX 16

#define LIMIT_HANDSHAKES "concurrent_handshakes"

/* So long may a turn go on with judging what is in progress after a change: others wait for their answers. */
#define JUDGE_US 1000

static void end_drain(void *arg);
static void judge_some(void *arg);

static void on_left_out(void *arg, const struct flood_kind *kind, uint64_t count) {
    const struct worker *worker = arg;
    observe_left_out(worker, kind, count);
}

struct worker *worker_new(const struct worker_source *source) {
    struct worker *worker = NEW(struct worker);
    worker->loop = source->loop;
    worker->snapshot = snapshot_ref(source->snapshot);
    worker->pool = pool_new(source->loop);
    worker->tokens = tokens_new(source->loop, source->asker);
    worker->access = source->access;
    worker->audit = source->audit;
    worker->limits = source->limits;
    worker->index = source->index;
    worker->statuses = statuses_new(source->loop, source->asker);
    limit_table_join(worker->limits, worker->index);
    worker->flood = flood_new(source->loop, on_left_out, worker);
    list_init(&worker->clients);
    worker->drain_timer = loop_timer_new(source->loop, end_drain, worker);
    list_init(&worker->without_hello);
    list_init(&worker->to_judge);
    worker->judge_timer = loop_timer_new(source->loop, judge_some, worker);
    worker->next_client_id = 1;
    worker->buffer = mem_new(WORKER_BUFFER_SIZE);
    return worker;
}

void worker_publish(struct worker *worker, struct snapshot *snapshot) {
    struct snapshot *old = worker->snapshot;
    worker->snapshot = snapshot_ref(snapshot);
    pool_keep_only(worker->pool, upstreams_of(snapshot), snapshot->upstream_count);
    LIST_EACH (at, next, &worker->clients) {
        struct client *client = LIST_ENTRY(at, struct client, node);
        list_remove(&client->judge_node);
        if (client_is_judged(client)) {
            list_push_back(&worker->to_judge, &client->judge_node);
        }
    }
    snapshot_unref(&old);
    judge_some(worker);
}

/* Thousands of tunnels are judged in as many turns as it takes; the new snapshot is in force for requests meanwhile. */
static void judge_some(void *arg) {
    struct worker *worker = arg;
    int64_t end_us = clock_mono_us() + JUDGE_US;
    while (!list_is_empty(&worker->to_judge) && clock_mono_us() < end_us) {
        struct list *first = worker->to_judge.next;
        list_remove(first);
        client_judge(LIST_ENTRY(first, struct client, judge_node));
    }
    if (!list_is_empty(&worker->to_judge)) {
        loop_timer_set(worker->judge_timer, 0);
    }
}

/* ---- accepting ---- */

/* The bytes of the address, without port and scope. */
static struct slice address_of(const struct addr *addr) {
    switch (addr->sa.sa_family) {
    case AF_INET:
        return slice_make(&addr->in.sin_addr, sizeof addr->in.sin_addr);
    case AF_INET6:
        return slice_make(&addr->in6.sin6_addr, sizeof addr->in6.sin6_addr);
    default:
        return SLICE_NONE;
    }
}

static void leave(struct worker *worker, const struct addr *peer) {
    struct slice address = address_of(peer);
    limit_table_give_back(worker->limits, worker->index, address.ptr, address.len);
}

/* Takes a place for a connection and its handshake, or returns the limit that stands against it. */
static const char *find_limit(struct worker *worker, const struct addr *peer) {
    const struct conf_limits *limits = &worker->snapshot->conf->limits;
    struct slice address = address_of(peer);
    if (!limit_table_take(worker->limits, worker->index, address.ptr, address.len, limits->max_connections,
                          limits->connections_per_ip)) {
        int64_t total = limit_table_connections(worker->limits);
        bool is_full = limits->max_connections > 0 && total >= limits->max_connections;
        return is_full ? "max_connections" : "connections_per_ip";
    }
    int64_t handshakes = limits->concurrent_handshakes;
    if (handshakes == 0) {
        handshakes = (int64_t)HANDSHAKES_PER_WORKER * limit_table_workers(worker->limits);
    }
    if (!limit_table_take_handshake(worker->limits, worker->index, handshakes)) {
        leave(worker, peer);
        return LIMIT_HANDSHAKES;
    }
    return NULL;
}

/* The oldest that has said nothing yet, of this address (NULL: of any); or NULL. */
static struct client *find_silent(const struct worker *worker, const struct addr *peer) {
    int compared = 0, asked = 0;
    LIST_EACH (at, next, &worker->without_hello) {
        struct client *client = LIST_ENTRY(at, struct client, hello_node);
        if (compared++ == COMPARED_MAX || asked == ASKED_MAX) {
            break;
        }
        if (peer && !slice_eq(address_of(&client->addr), address_of(peer))) {
            continue;
        }
        asked++;
        if (stream_tls_is_silent(client->stream)) {
            return client;
        }
    }
    return NULL;
}

/* Who says nothing does not keep out those who do. What a client sent is not thrown away: a flood of ClientHellos
 * waits in line as it came. */
static bool make_room(struct worker *worker, const struct addr *peer) {
    struct client *silent = find_silent(worker, peer);
    if (!silent) {
        silent = find_silent(worker, NULL);
    }
    if (!silent) {
        return false;
    }
    observe_refused(worker, silent->listener, &silent->addr, LIMIT_HANDSHAKES);
    client_close(silent, false);
    return true;
}

void worker_accept(struct worker *worker, const struct worker_listener *listener, int fd, const struct addr *peer) {
    if (worker->draining) {
        (void)close(fd);
        return;
    }
    const char *limit = find_limit(worker, peer);
    if (limit && strcmp(limit, LIMIT_HANDSHAKES) == 0 && make_room(worker, peer)) {
        limit = find_limit(worker, peer);
    }
    if (limit) {
        observe_refused(worker, listener->address, peer, limit);
        (void)close(fd);
        return;
    }
    metric_add(METRIC_CONNECTIONS_TOTAL, 1, listener->address);
    struct client *client = client_open(worker, listener, fd, peer);
    list_push_back(&worker->clients, &client->node);
    list_push_back(&worker->without_hello, &client->hello_node);
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

void worker_handshake_over(struct worker *worker) { limit_table_give_back_handshake(worker->limits, worker->index); }

void worker_client_gone(struct worker *worker, struct client *client) {
    list_remove(&client->node);
    worker->client_count--;
    leave(worker, &client->addr);
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
    statuses_free(&worker->statuses);
    pool_free(&worker->pool);
    tokens_free(&worker->tokens);
    loop_timer_free(&worker->drain_timer);
    loop_timer_free(&worker->judge_timer);
    flood_free(&worker->flood);
    snapshot_unref(&worker->snapshot);
    mem_free(worker->buffer);
    mem_free(worker);
}
