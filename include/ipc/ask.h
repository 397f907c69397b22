/*
 * ask: questions of a worker to control, over a SOCK_SEQPACKET pair of their own for each worker (made by master, anew
 * when one of the two is replaced). What a worker may not do itself, sign and fetch, it asks for here.
 *
 *   worker: asker_ask --question--> control: asked() --ask_question_answer, ask_question_refuse--> worker: done(), once
 *                     <--- notices: answerer_tell() at any time ---
 *
 * Nothing blocks and nothing is queued: what the socket does not take at once is not said, and the question has no
 * answer. Both ends bound and check every packet; control keeps at most ASK_OUTSTANDING_MAX questions of a worker open
 * and a worker that lies loses its line (fuzz_ipc). What an answer is worth is for those who ask and answer to judge.
 */
#ifndef SALLYPORT_IPC_ASK_H
#define SALLYPORT_IPC_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"
#include "io/loop.h"

#define ASK_TEXT_MAX (16 * 1024) /* of a question, an answer or a notice */
#define ASK_OUTSTANDING_MAX 256
#define ASK_FRAME_MAX (16 + ASK_TEXT_MAX)

enum ask_kind {
    ASK_SIGN = 1, /* a token (session/claims.h); noticed: the keys (session/keys.h) */
    ASK_OCSP,
    ASK_KIND_END
};

enum ask_result {
    ASK_ANSWERED,
    ASK_REFUSED,   /* control says no */
    ASK_UNANSWERED /* not in time, control is gone, or it has no room */
};

/* ---- the worker's end ---- */

struct asker;

/* One question; a member of who asks. */
struct ask {
    struct list node;
    struct asker *asker;
    uint64_t id; /* 0: not open */
    enum ask_kind kind;
    struct loop_timer *timer;
    /* answer: valid during the call; empty unless ANSWERED. May ask again. */
    void (*done)(void *arg, enum ask_result result, struct slice answer);
    void *arg;
};

/* told: a notice of control has come, valid during the call. Without a line until asker_connect(). */
struct asker *asker_new(struct loop *loop, void (*told)(void *arg, enum ask_kind kind, struct slice text), void *arg);
/* The line from now on; fd is taken over (-1: none). What is open on the line before it has no answer. */
void asker_connect(struct asker *asker, int fd);
bool asker_is_connected(const struct asker *asker);
void asker_free(struct asker **asker);

void ask_init(struct ask *ask, void (*done)(void *arg, enum ask_result result, struct slice answer), void *arg);
/* Asks; done() follows from the loop, once, within timeout_ms. false: it cannot be asked now (no line, no room, too
 * many open, text longer than ASK_TEXT_MAX), and done() will not follow. */
MUST_CHECK bool asker_ask(struct asker *asker, struct ask *ask, enum ask_kind kind, struct slice text,
                          int64_t timeout_ms);
static inline bool ask_is_open(const struct ask *ask) { return ask->id != 0; }
/* done() will not be called any more. Harmless when it is not open. */
void ask_cancel(struct ask *ask);

/* ---- control's end ---- */

struct answerer;

/* The answerer's until it is answered or refused, which may be any time later: it stays valid when the worker goes. */
struct ask_question {
    struct list node;
    struct answerer *answerer; /* NULL: nobody waits any more */
    enum ask_kind kind;
    uint64_t id;
    struct slice text;
};

/* fd is taken over. asked: one of ask_question_answer() and ask_question_refuse() must follow. closed, once: the worker
 * is gone, or has broken the rules (fault says how; "" for gone); answerer_close() is still to be called. */
struct answerer *answerer_open(struct loop *loop, int fd, void (*asked)(void *arg, struct ask_question *question),
                               void (*closed)(void *arg, const char *fault), void *arg);
void answerer_close(struct answerer **answerer);
/* A notice for the worker; false: it is not said, because the worker does not read. */
MUST_CHECK bool answerer_tell(struct answerer *answerer, enum ask_kind kind, struct slice text);
/* answer: at most ASK_TEXT_MAX bytes. */
void ask_question_answer(struct ask_question **question, struct slice answer);
void ask_question_refuse(struct ask_question **question);

/* ---- packets: pure, for the fuzzer ---- */

enum ask_packet_type {
    ASK_PACKET_QUESTION = 1,
    ASK_PACKET_ANSWER,
    ASK_PACKET_REFUSAL,
    ASK_PACKET_NOTICE,
    ASK_PACKET_END
};

struct ask_packet {
    enum ask_packet_type type;
    enum ask_kind kind;
    uint64_t id;       /* 0 for a notice, and only there */
    struct slice text; /* decoded: a part of the packet; empty for a refusal */
};

/* false for what is refused. */
bool ask_decode(struct slice bytes, struct ask_packet *packet_out);
/* Returns the size. */
size_t ask_encode(const struct ask_packet *packet, char out[ASK_FRAME_MAX]);

#endif
