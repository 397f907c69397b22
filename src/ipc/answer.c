/*
 * answer: control's end of ask.h. It reads a few questions a turn, so that one worker's flood leaves the others their
 * turns, and refuses what is more than ASK_OUTSTANDING_MAX. An answer that the socket does not take is lost: the worker
 * does not read, and its time runs out by itself.
 */
#include <unistd.h>

#include "ask_priv.h"
#include "base/mem.h"

#define PACKETS_PER_TURN 8

struct answerer {
    struct loop *loop;
    int fd;
    struct loop_watch *watch;
    struct list open; /* struct ask_question */
    size_t open_count;
    bool is_closed; /* answerer_close() was called; only the reaping is left */
    struct loop_task reap;
    void (*asked)(void *arg, struct ask_question *question);
    void (*closed)(void *arg, const char *fault);
    void *arg;
    char buffer[ASK_FRAME_MAX + 1];
};

/* ---- a question ---- */

static void detach(struct ask_question *question) {
    if (question->answerer)
        question->answerer->open_count--;
    list_remove(&question->node);
    question->answerer = NULL;
}

static void reply(struct ask_question **question_ptr, enum ask_packet_type type, struct slice answer) {
    struct ask_question *question = *question_ptr;
    *question_ptr = NULL;
    if (question->answerer) {
        struct ask_packet packet = {.type = type, .kind = question->kind, .id = question->id, .text = answer};
        (void)ask_send(question->answerer->fd, &packet);
    }
    detach(question);
    mem_free((void *)(uintptr_t)question->text.ptr);
    mem_free(question);
}

void ask_question_answer(struct ask_question **question, struct slice answer) {
    reply(question, ASK_PACKET_ANSWER, answer);
}

void ask_question_refuse(struct ask_question **question) { reply(question, ASK_PACKET_REFUSAL, SLICE_NONE); }

static void take_question(struct answerer *answerer, const struct ask_packet *packet) {
    struct ask_question *question = NEW(struct ask_question);
    *question =
        (struct ask_question){.answerer = answerer,
                              .kind = packet->kind,
                              .id = packet->id,
                              .text = slice_make(mem_dup(packet->text.ptr, packet->text.len), packet->text.len)};
    list_init(&question->node);
    list_push_back(&answerer->open, &question->node);
    answerer->open_count++;
    if (answerer->open_count > ASK_OUTSTANDING_MAX)
        ask_question_refuse(&question);
    else
        answerer->asked(answerer->arg, question);
}

/* ---- the line ---- */

static void on_ready(void *arg, int ready) {
    struct answerer *answerer = arg;
    struct ask_packet packet;
    (void)ready;
    for (int i = 0; i < PACKETS_PER_TURN && !answerer->is_closed; i++) {
        enum ask_received received = ask_receive(answerer->fd, answerer->buffer, &packet);
        if (received == ASK_NOTHING)
            return;
        bool is_question = received == ASK_RECEIVED && packet.type == ASK_PACKET_QUESTION;
        if (!is_question) {
            loop_watch_set(answerer->watch, 0);
            answerer->closed(answerer->arg, received == ASK_GONE ? "" : "what is no question");
            return;
        }
        take_question(answerer, &packet);
    }
}

bool answerer_tell(struct answerer *answerer, enum ask_kind kind, struct slice text) {
    return ask_send(answerer->fd, &(struct ask_packet){.type = ASK_PACKET_NOTICE, .kind = kind, .text = text});
}

static void reap(void *arg) { mem_free(arg); }

struct answerer *answerer_open(struct loop *loop, int fd, void (*asked)(void *arg, struct ask_question *question),
                               void (*closed)(void *arg, const char *fault), void *arg) {
    struct answerer *answerer = NEW(struct answerer);
    answerer->loop = loop;
    answerer->fd = fd;
    answerer->asked = asked;
    answerer->closed = closed;
    answerer->arg = arg;
    list_init(&answerer->open);
    loop_task_init(&answerer->reap, reap, answerer);
    answerer->watch = loop_watch_new(loop, fd, on_ready, answerer);
    loop_watch_set(answerer->watch, LOOP_READ);
    return answerer;
}

void answerer_close(struct answerer **answerer_ptr) {
    struct answerer *answerer = *answerer_ptr;
    *answerer_ptr = NULL;
    if (!answerer)
        return;
    answerer->is_closed = true;
    LIST_EACH (node, next, &answerer->open)
        detach(LIST_ENTRY(node, struct ask_question, node));
    loop_watch_free(&answerer->watch);
    (void)close(answerer->fd);
    loop_defer(answerer->loop, &answerer->reap);
}
