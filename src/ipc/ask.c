/*
 * ask: the worker's end: see the header. A question is open from asker_ask() until its one answer, its time is up, the
 * line is gone, or nobody wants it any more:
 *
 *   not open --asker_ask--> open --answer, refusal, timeout, no line--> done()
 *                             `----ask_cancel--> not open
 *
 * Answers to questions that are not open (any more) are dropped.
 */
#include "ipc/ask.h"

#include <unistd.h>

#include "ask_priv.h"
#include "base/mem.h"

#define PACKETS_PER_TURN 64

struct asker {
    struct loop *loop;
    int fd; /* -1: no line */
    struct loop_watch *watch;
    struct list open; /* struct ask, the oldest first */
    size_t open_count;
    uint64_t last_id;
    void (*told)(void *arg, enum ask_kind kind, struct slice text);
    void *arg;
    char buffer[ASK_FRAME_MAX + 1];
};

/* ---- a question ---- */

void ask_init(struct ask *ask, void (*done)(void *arg, enum ask_result result, struct slice answer), void *arg) {
    *ask = (struct ask){.done = done, .arg = arg};
    list_init(&ask->node);
}

void ask_cancel(struct ask *ask) {
    if (!ask_is_open(ask))
        return;
    list_remove(&ask->node);
    ask->asker->open_count--;
    ask->id = 0;
    loop_timer_free(&ask->timer);
}

static void finish(struct ask *ask, enum ask_result result, struct slice answer) {
    ask_cancel(ask);
    ask->done(ask->arg, result, answer);
}

static void on_timeout(void *arg) { finish(arg, ASK_UNANSWERED, SLICE_NONE); }

bool asker_ask(struct asker *asker, struct ask *ask, enum ask_kind kind, struct slice text, int64_t timeout_ms) {
    INVARIANT(!ask_is_open(ask));
    if (asker->fd < 0 || asker->open_count >= ASK_OUTSTANDING_MAX || text.len > ASK_TEXT_MAX)
        return false;
    struct ask_packet packet = {.type = ASK_PACKET_QUESTION, .kind = kind, .id = asker->last_id + 1, .text = text};
    if (!ask_send(asker->fd, &packet))
        return false;
    ask->asker = asker;
    ask->id = ++asker->last_id;
    ask->kind = kind;
    ask->timer = loop_timer_new(asker->loop, on_timeout, ask);
    loop_timer_set(ask->timer, timeout_ms);
    list_push_back(&asker->open, &ask->node);
    asker->open_count++;
    return true;
}

/* ---- the line ---- */

static void disconnect(struct asker *asker) {
    if (asker->fd < 0)
        return;
    loop_watch_free(&asker->watch);
    (void)close(asker->fd);
    asker->fd = -1;
    /* Of those that are open now: who asks again asks on the next line. */
    struct list lost;
    list_init(&lost);
    LIST_EACH (node, next, &asker->open) {
        list_remove(node);
        list_push_back(&lost, node);
    }
    while (!list_is_empty(&lost))
        finish(LIST_ENTRY(lost.next, struct ask, node), ASK_UNANSWERED, SLICE_NONE);
}

static void take_answer(struct asker *asker, const struct ask_packet *packet) {
    LIST_EACH (node, next, &asker->open) {
        struct ask *ask = LIST_ENTRY(node, struct ask, node);
        if (ask->id != packet->id)
            continue;
        if (ask->kind == packet->kind)
            finish(ask, packet->type == ASK_PACKET_ANSWER ? ASK_ANSWERED : ASK_REFUSED, packet->text);
        return;
    }
}

static void on_ready(void *arg, int ready) {
    struct asker *asker = arg;
    struct ask_packet packet;
    (void)ready;
    for (int i = 0; i < PACKETS_PER_TURN && asker->fd >= 0; i++) {
        enum ask_received received = ask_receive(asker->fd, asker->buffer, &packet);
        if (received == ASK_NOTHING)
            return;
        if (received != ASK_RECEIVED || packet.type == ASK_PACKET_QUESTION) {
            disconnect(asker);
            return;
        }
        if (packet.type == ASK_PACKET_NOTICE)
            asker->told(asker->arg, packet.kind, packet.text);
        else
            take_answer(asker, &packet);
    }
}

struct asker *asker_new(struct loop *loop, void (*told)(void *arg, enum ask_kind kind, struct slice text), void *arg) {
    struct asker *asker = NEW(struct asker);
    asker->loop = loop;
    asker->fd = -1;
    asker->told = told;
    asker->arg = arg;
    list_init(&asker->open);
    return asker;
}

void asker_connect(struct asker *asker, int fd) {
    disconnect(asker);
    if (fd < 0)
        return;
    asker->fd = fd;
    asker->watch = loop_watch_new(asker->loop, fd, on_ready, asker);
    loop_watch_set(asker->watch, LOOP_READ);
}

bool asker_is_connected(const struct asker *asker) { return asker->fd >= 0; }

void asker_free(struct asker **asker_ptr) {
    struct asker *asker = *asker_ptr;
    *asker_ptr = NULL;
    if (!asker)
        return;
    LIST_EACH (node, next, &asker->open)
        ask_cancel(LIST_ENTRY(node, struct ask, node));
    disconnect(asker);
    mem_free(asker);
}
