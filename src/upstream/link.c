/*
 * link: one HTTP/1.1 connection to an endpoint. Called by the exchange; owns the socket, its deadlines and what waits
 * to be sent. It decides nothing about retries, it says what happened.
 *
 *   CONNECTING --READY--> LENT --release, clean--> IDLE --acquire--> LENT
 *        \--failure--> OVER <--failure--/              \--readable, too old, not configured--> freed
 *
 * Events are made from the loop only, never from within a call of the owner: what is sent is written at the end of the
 * turn (which also puts head and body into one packet), or at once if it is much; a broken write is left to the reading
 * side, where the response of an upstream that answered early and closed may still be waiting.
 */
#include "upstream/link.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "http/h1_client.h"
#include "io/stream_impl.h"
#include "pool_priv.h"
#include "upstream/whoami.h"

/* Response body that is with the owner. */
#define LINK_WINDOW ((size_t)64 * 1024)
/* With less room than this reading stops, with this much it goes on: no reads of a few bytes. */
#define LINK_PAUSE_ROOM ((size_t)16 * 1024)
#define LINK_RESUME_ROOM ((size_t)32 * 1024)
/* link_can_send() is false from here; writable comes at the lower mark. */
#define LINK_OUT_HIGH ((size_t)16 * 1024)
#define LINK_OUT_LOW ((size_t)4 * 1024)
/* Never reached: owners send a head, and what their own window allows above LINK_OUT_HIGH. */
#define LINK_OUT_LIMIT ((size_t)4 * 1024 * 1024)
#define LINK_READS_PER_WAKE 4

static const struct h1_limits RESPONSE_LIMITS = {.head_size = 64 * 1024, .field_count = 200};

enum link_state { LINK_CONNECTING, LINK_LENT, LINK_IDLE, LINK_OVER };

struct link {
    struct pool *pool;
    struct pool_place *place;
    enum link_state state;
    struct stream *stream; /* NULL when OVER */
    struct h1_client *client;
    struct sbuf out;
    struct loop_timer *timer; /* fires at timer_at_ms, never later than the deadline; then it is set anew if need be */
    int64_t timer_at_ms;      /* 0: not set */
    int64_t deadline_ms;      /* CONNECTING: connect timeout; LENT: read timeout; IDLE: idle time; 0: none */
    struct loop_task work;    /* writes what waits, or reports what failed at once */
    struct loop_task reap;
    struct list idle_node;

    /* The lease. */
    uint64_t lease; /* changes when the link is lent and when it is released */
    const struct upstream *upstream;
    const struct link_events *events;
    void *owner;
    const char *early_failure;            /* known in link_acquire() */
    const struct response_head *switched; /* a 101 whose event waits for the bytes behind it */
    struct sbuf rest;                     /* these bytes */
    size_t window_used;
    bool is_reused;
    bool has_request;         /* the head was sent (at least into out) */
    bool is_request_complete; /* so was the end */
    bool is_response_complete;
    bool is_write_broken;
    bool is_blocked; /* link_can_send() was false */
    bool is_paused;  /* the window is full */
    bool is_at_eof;
};

static int64_t now_of(const struct link *link) { return loop_now_ms(link->pool->loop); }

/* Deadlines move with every request and are hardly ever reached: the timer follows only when it fires. */
static void arm_timer(struct link *link) {
    if (link->deadline_ms && (!link->timer_at_ms || link->timer_at_ms > link->deadline_ms)) {
        link->timer_at_ms = link->deadline_ms;
        loop_timer_set(link->timer, link->deadline_ms - now_of(link));
    }
}

/* 0: none. */
static void set_deadline(struct link *link, int64_t after_ms) {
    link->deadline_ms = after_ms > 0 ? now_of(link) + after_ms : 0;
    arm_timer(link);
}

static struct link *link_at(struct list *idle_node) { return LIST_ENTRY(idle_node, struct link, idle_node); }

/* ---- the end of a link ---- */

static void reap(void *arg) {
    struct link *link = arg;
    h1_client_free(link->client);
    sbuf_fini(&link->out);
    sbuf_fini(&link->rest);
    mem_free(link);
}

/* The upstream must not take half a request for a whole one. */
static bool is_mid_request(const struct link *link) {
    return link->has_request && (!link->is_request_complete || link->out.len > 0);
}

static void close_connection(struct link *link) {
    link->state = LINK_OVER;
    set_deadline(link, 0);
    loop_task_cancel(&link->work);
    h1_client_stop(link->client);
    stream_close(&link->stream, is_mid_request(link));
    sbuf_clear(&link->out);
}

/* Nothing of the link is used any more but by those who are still in one of its calls. */
static void dispose(struct link *link) {
    close_connection(link);
    link->lease++;
    link->events = NULL;
    loop_timer_free(&link->timer);
    pool_place_drop_link(link->pool, link->place);
    link->place = NULL;
    loop_defer(link->pool->loop, &link->reap);
}

void link_discard(struct list *idle_node) {
    struct link *link = link_at(idle_node);
    INVARIANT(link->state == LINK_IDLE);
    pool_remove_idle(link->pool, link->place, idle_node);
    dispose(link);
}

/* The connection is of no more use. An owner that has its whole response need not hear of it, but must not wait for
 * room either. */
static void fail(struct link *link, enum link_failure failure, const char *detail) {
    close_connection(link);
    if (!link->is_response_complete) {
        link->events->failed(link->owner, failure, detail);
    } else if (link->is_blocked) {
        link->is_blocked = false;
        link->events->writable(link->owner);
    }
}

/* ---- deadlines ---- */

/* Whether the silence is the upstream's: it takes nothing, or owes the response, and it is not we who hold it up. */
static bool is_upstream_due(const struct link *link) {
    if (link->state != LINK_LENT || !link->has_request || link->is_response_complete || link->is_paused) {
        return false;
    }
    return link->is_request_complete || link->is_write_broken || link->out.len > 0;
}

static void restart_read_timeout(struct link *link) {
    set_deadline(link, is_upstream_due(link) ? link->upstream->read_timeout_ms : 0);
}

static const char *silence_text(const struct link *link) {
    if (link->out.len > 0) {
        return "the upstream does not take the request";
    }
    return h1_client_has_begun(link->client) ? "the response stalled" : "no response in time";
}

static void on_timeout(void *arg) {
    struct link *link = arg;
    link->timer_at_ms = 0;
    if (link->deadline_ms == 0 || now_of(link) < link->deadline_ms) {
        arm_timer(link);
    } else if (link->state == LINK_IDLE) {
        link_discard(&link->idle_node);
    } else if (link->state == LINK_CONNECTING) {
        fail(link, LINK_UNREACHABLE, "timed out while connecting");
    } else {
        fail(link, LINK_TIMEOUT, silence_text(link));
    }
}

/* ---- the response ---- */

static void on_informational(void *owner, const struct response_head *head) {
    struct link *link = owner;
    link->events->informational(link->owner, head);
}

static void on_head(void *owner, const struct response_head *head) {
    struct link *link = owner;
    if (head->status == 101) {
        link->switched = head; /* see take() */
        return;
    }
    link->events->head(link->owner, head);
}

static void on_body(void *owner, struct slice data) {
    struct link *link = owner;
    link->window_used += data.len;
    link->events->body(link->owner, data);
}

static void on_end(void *owner, const struct headers *trailers) {
    struct link *link = owner;
    link->is_response_complete = true;
    restart_read_timeout(link);
    link->events->end(link->owner, trailers);
}

static void on_invalid(void *owner, const char *detail) {
    struct link *link = owner;
    fail(link, link->is_at_eof ? LINK_CLOSED : LINK_INVALID, detail);
}

static size_t on_write(void *owner, struct slice bytes);

static const struct h1_client_events CLIENT_EVENTS = {
    .write = on_write,
    .informational = on_informational,
    .head = on_head,
    .body = on_body,
    .end = on_end,
    .invalid = on_invalid,
};

static bool is_lease(const struct link *link, uint64_t lease) {
    return link->lease == lease && link->state == LINK_LENT;
}

/* Bytes of the upstream. Returns whether the lease goes on and more may be read. */
static bool take(struct link *link, struct slice bytes) {
    uint64_t lease = link->lease;
    size_t taken = h1_client_receive(link->client, bytes);
    if (!is_lease(link, lease)) {
        return false;
    }
    if (link->switched) {
        link->is_response_complete = true;
        sbuf_append(&link->rest, slice_after(bytes, taken));
        stream_set_reading(link->stream, false);
        link->events->head(link->owner, link->switched);
        return false;
    }
    if (LINK_WINDOW - link->window_used < LINK_PAUSE_ROOM) {
        link->is_paused = true;
        stream_set_reading(link->stream, false);
    }
    return !link->is_paused;
}

/* EOF or a reset. One that came before the first byte of a response is the usual fate of a connection that rested too
 * long. */
static void end_input(struct link *link, bool is_broken) {
    /* A reset whose error was already given to a write shows as EOF. */
    bool was_reset = is_broken || link->stream->failure_errno == ECONNRESET;
    bool has_begun = link->has_request && h1_client_has_begun(link->client);
    uint64_t lease = link->lease;
    if (!was_reset) {
        link->is_at_eof = true;
        if (h1_client_receive_eof(link->client) || !is_lease(link, lease)) {
            return;
        }
    }
    const char *detail = was_reset ? stream_error(link->stream) : "the upstream closed the connection";
    fail(link, link->is_reused && !has_begun ? LINK_STALE : LINK_CLOSED, detail);
}

static void read_response(struct link *link) {
    uint64_t lease = link->lease;
    bool goes_on = true;
    for (int i = 0; i < LINK_READS_PER_WAKE && goes_on; i++) {
        size_t room = LINK_WINDOW - link->window_used;
        size_t size = room < POOL_READ_SIZE ? room : POOL_READ_SIZE;
        ssize_t n = stream_read(link->stream, link->pool->read_buffer, size);
        if (n == STREAM_EOF || n == STREAM_BROKEN) {
            end_input(link, n == STREAM_BROKEN);
            return;
        }
        bool was_all = n < 0 || stream_is_drained(link->stream);
        goes_on = n > 0 && take(link, slice_make(link->pool->read_buffer, (size_t)n)) && !was_all;
    }
    if (is_lease(link, lease)) {
        restart_read_timeout(link);
    }
}

/* ---- the request ---- */

static void drop_unsent(struct link *link) {
    link->is_write_broken = true;
    sbuf_clear(&link->out);
}

/* Returns whether anything was taken. */
static bool write_out(struct link *link) {
    bool has_progress = false;
    while (link->state == LINK_LENT && link->out.len > 0) {
        ssize_t n = link->is_write_broken ? STREAM_BROKEN : stream_write(link->stream, sbuf_slice(&link->out));
        if (n == STREAM_BROKEN) {
            drop_unsent(link);
            break;
        }
        if (n == 0) {
            break;
        }
        sbuf_consume(&link->out, (size_t)n);
        has_progress = true;
    }
    return has_progress;
}

/* A large piece of body, which need not be copied into out. */
static size_t on_write(void *owner, struct slice bytes) {
    struct link *link = owner;
    if (link->state != LINK_LENT || link->is_write_broken) {
        return 0;
    }
    ssize_t n = stream_write(link->stream, bytes);
    if (n == STREAM_BROKEN) {
        drop_unsent(link);
        return bytes.len;
    }
    if (n > 0) {
        restart_read_timeout(link);
    }
    return (size_t)n;
}

static void flush(struct link *link) {
    if (link->state != LINK_LENT) {
        return;
    }
    bool has_progress = write_out(link);
    if (has_progress || link->is_write_broken || link->deadline_ms == 0) {
        restart_read_timeout(link);
    }
    if (link->is_blocked && link->out.len <= LINK_OUT_LOW) {
        link->is_blocked = false;
        link->events->writable(link->owner);
    }
}

static void on_work(void *arg) {
    struct link *link = arg;
    if (link->early_failure) {
        fail(link, LINK_UNREACHABLE, link->early_failure);
        return;
    }
    flush(link);
}

/* ---- the connection ---- */

/* Before a request goes out: nothing may have come yet (sec-42), and a connection that has ended is better known now.
 * Returns what stream_read() says; STREAM_AGAIN is the good answer. */
static ssize_t listen_first(struct link *link) {
    char byte;
    return stream_read(link->stream, &byte, sizeof byte);
}

static void begin(struct link *link) {
    metric_add(METRIC_UPSTREAM_CONNECTIONS, 1, pool_place_upstream(link->place));
    set_deadline(link, 0);
    link->state = LINK_LENT;
    ssize_t n = listen_first(link);
    if (n > 0) {
        fail(link, LINK_INVALID, "bytes that no request asked for");
    } else if (n == STREAM_AGAIN) {
        flush(link);
    } else {
        end_input(link, n == STREAM_BROKEN);
    }
}

static void on_stream(void *owner, enum stream_event event) {
    struct link *link = owner;
    if (link->state == LINK_IDLE) {
        link_discard(&link->idle_node); /* it closed, or speaks unasked (sec-42) */
        return;
    }
    switch (event) {
    case STREAM_READY:
        begin(link);
        break;
    case STREAM_READABLE:
        read_response(link);
        break;
    case STREAM_WRITABLE:
        flush(link);
        break;
    case STREAM_FAILED:
        if (link->state == LINK_CONNECTING) {
            fail(link, LINK_UNREACHABLE, stream_error(link->stream));
        } else {
            end_input(link, true);
        }
        break;
    }
}

static void connect_whoami(struct link *link) {
    struct loop *loop = link->pool->loop;
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) {
        link->early_failure = stream_errno_text(errno);
        loop_defer(loop, &link->work);
        return;
    }
    whoami_serve(loop, fds[1]);
    link->stream = stream_plain_new(loop, fds[0], on_stream, link);
}

static struct link *open_link(struct pool *pool, struct pool_place *place) {
    struct link *link = NEW(struct link);
    link->pool = pool;
    link->place = place;
    pool_place_add_link(place);
    sbuf_init(&link->out, LINK_OUT_LIMIT);
    sbuf_init(&link->rest, POOL_READ_SIZE);
    link->client = h1_client_new(&CLIENT_EVENTS, link, &RESPONSE_LIMITS, &link->out);
    link->timer = loop_timer_new(pool->loop, on_timeout, link);
    loop_task_init(&link->work, on_work, link);
    loop_task_init(&link->reap, reap, link);
    list_init(&link->idle_node);
    link->state = LINK_CONNECTING;
    if (place->is_whoami) {
        connect_whoami(link);
    } else {
        link->stream = stream_plain_connect(pool->loop, &place->addr, on_stream, link);
    }
    return link;
}

/* The one used last is the one least likely to have been closed meanwhile. */
static struct link *take_idle(struct pool *pool, struct pool_place *place) {
    while (!list_is_empty(&place->idle)) {
        struct link *link = link_at(place->idle.next);
        if (listen_first(link) == STREAM_AGAIN) {
            pool_remove_idle(pool, place, &link->idle_node);
            set_deadline(link, 0);
            link->state = LINK_LENT;
            link->is_reused = true;
            return link;
        }
        link_discard(&link->idle_node);
    }
    return NULL;
}

struct link *link_acquire(struct pool *pool, const struct upstream *upstream, const struct endpoint *endpoint,
                          bool fresh, const struct link_events *events, void *owner) {
    struct pool_place *place = pool_place_of(pool, upstream, endpoint);
    place->link_count++; /* it stays although its last idle link may turn out dead */
    struct link *link = fresh ? NULL : take_idle(pool, place);
    if (!link) {
        link = open_link(pool, place);
        set_deadline(link, upstream->connect_timeout_ms);
    }
    pool_place_drop_link(pool, place);
    link->lease++;
    link->upstream = upstream;
    link->events = events;
    link->owner = owner;
    return link;
}

bool link_is_reused(const struct link *link) { return link->is_reused; }

/* ---- from the owner ---- */

static void note_sent(struct link *link) {
    link->is_blocked |= !link_can_send(link);
    if (link->state == LINK_LENT) {
        loop_defer(link->pool->loop, &link->work);
    }
}

void link_send_head(struct link *link, const struct request_head *head, struct arena *arena) {
    if (link->state == LINK_OVER) {
        return;
    }
    INVARIANT(!link->has_request);
    link->has_request = true;
    h1_client_request(link->client, head, arena);
    note_sent(link);
}

void link_send_body(struct link *link, struct slice data) {
    if (link->state == LINK_OVER) {
        return;
    }
    if (data.len >= H1_CLIENT_BULK && write_out(link)) { /* the head, so that the body can go straight to the socket */
        restart_read_timeout(link);
    }
    h1_client_body(link->client, data);
    note_sent(link);
}

void link_send_end(struct link *link, const struct headers *trailers) {
    if (link->state == LINK_OVER) {
        return;
    }
    link->is_request_complete = true;
    h1_client_end(link->client, trailers);
    note_sent(link);
}

/* Not before the connection stands: a body that has not left its owner can go to another endpoint. */
bool link_can_send(const struct link *link) { return link->state != LINK_CONNECTING && link->out.len < LINK_OUT_HIGH; }

void link_consumed(struct link *link, size_t n) {
    INVARIANT(n <= link->window_used);
    link->window_used -= n;
    if (link->is_paused && LINK_WINDOW - link->window_used >= LINK_RESUME_ROOM) {
        link->is_paused = false;
        if (link->stream) {
            stream_set_reading(link->stream, true);
            restart_read_timeout(link);
        }
    }
}

static bool is_clean(const struct link *link) {
    return link->state == LINK_LENT && link->has_request && !link->is_write_broken && link->out.len == 0 &&
           link->place->is_kept && link->upstream->pool_size > 0 && h1_client_is_reusable(link->client);
}

static void end_lease(struct link *link) {
    link->lease++;
    link->events = NULL;
    link->owner = NULL;
    link->switched = NULL;
    link->window_used = 0;
    link->is_reused = link->has_request = link->is_request_complete = link->is_response_complete = false;
    link->is_blocked = false;
}

static void rest_in_pool(struct link *link) {
    const struct upstream *upstream = link->upstream;
    struct pool_place *place = link->place;
    /* The one that has rested longest makes room. */
    while (place->idle_count >= upstream->pool_size) {
        link_discard(place->idle.prev);
    }
    loop_task_cancel(&link->work);
    end_lease(link);
    link->upstream = NULL;
    link->state = LINK_IDLE;
    if (link->is_paused) {
        link->is_paused = false;
        stream_set_reading(link->stream, true);
    }
    set_deadline(link, upstream->pool_idle_ms);
    pool_add_idle(link->pool, place, &link->idle_node);
}

void link_release(struct link **link_ptr) {
    struct link *link = *link_ptr;
    *link_ptr = NULL;
    if (!link) {
        return;
    }
    INVARIANT(link->events);
    if (is_clean(link)) {
        rest_in_pool(link);
    } else {
        dispose(link);
    }
}

struct stream *link_detach(struct link **link_ptr, struct sbuf *rest) {
    struct link *link = *link_ptr;
    *link_ptr = NULL;
    INVARIANT(link->switched && link->stream);
    struct stream *stream = link->stream;
    link->stream = NULL;
    sbuf_append(rest, sbuf_slice(&link->rest));
    stream_set_reading(stream, true);
    dispose(link);
    return stream;
}
