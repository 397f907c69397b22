/*
 * exchange_priv: what the driver (exchange.c), the steps (steps.c) and the relay (relay.c) share. Nobody else includes
 * it, but for the unit tests.
 *
 *   pin -> host -> own -> status -> policy -> body -> session -> pick -> link -> forward -> bytes both ways -> the end
 *                                                       ^       ^                       |
 *   steps.c, access.c, steps.c, session.c               |       fresh link              relay.c        exchange.c
 *                                                       other endpoint <-- a failed link
 */
#ifndef SALLYPORT_SRC_PROXY_EXCHANGE_PRIV_H
#define SALLYPORT_SRC_PROXY_EXCHANGE_PRIV_H

#include "proxy/exchange.h"

enum step_result {
    STEP_NEXT, /* go on with the next one */
    STEP_WAIT, /* an event will drive on */
    STEP_DONE  /* the exchange is over */
};

enum step_id {
    STEP_PIN,
    STEP_HOST,
    STEP_OWN,
    STEP_STATUS,
    STEP_POLICY,
    STEP_BODY,
    STEP_SESSION,
    STEP_PICK,
    STEP_LINK,
    STEP_FORWARD,
    STEP_COUNT
};

struct step {
    const char *name;
    enum ending_phase phase; /* what it is part of */
    enum step_result (*run)(struct exchange *exchange);
};

extern const struct step exchange_steps[STEP_COUNT];

/* ---- exchange.c ---- */

/* Runs steps from exchange->step on, until one waits or the exchange is over. */
void exchange_drive(struct exchange *exchange);
/* The same from the loop, when what a step waited for has come or will not come; arg is the exchange. */
void exchange_go_on(void *arg);
/* Answers locally, then finishes. detail: for people, or NULL for the reason's sentence. Nothing may have been sent
 * yet. */
void exchange_answer(struct exchange *exchange, enum reason reason, const char *detail);
/* The same for what is no refusal. */
struct reply_page;
void exchange_answer_page(struct exchange *exchange, const struct reply_page *page);
/* The end, exactly once: the link is released, the stream closed, the exchange observed. The memory stays until the end
 * of the turn. */
void exchange_finish(struct exchange *exchange, enum ending_who who);
void exchange_set_detail(struct exchange *exchange, const char *detail);
/* Whose doing an ending with this reason is. */
enum ending_who exchange_blame(enum reason reason);
/* The connection of the client ends with this response. */
void exchange_close_after(struct exchange *exchange);

/* ---- steps.c ---- */

/* The snapshot in force and the hostname of the connection in it; also for a head that was refused. */
void exchange_pin(struct exchange *exchange);
/* May this client, as the snapshot and the clock judge it now, have what it asked for? NONE: yes. *detail_out lives as
 * long as the peer. */
enum reason exchange_judge_now(const struct exchange *exchange, const struct snapshot *snapshot,
                               const char **detail_out);

/* ---- session.c ---- */

/* The token for the origin and the cookie for the client; may wait for control. */
enum step_result session_step(struct exchange *exchange);
/* Looks for a token that stands in for the certificate. Before policy. */
void session_find_stand_in(struct exchange *exchange);
/* Whose certificate counts under this snapshot: the connection's, or the one that a token stands in for. */
struct peer *session_peer(const struct exchange *exchange, const struct snapshot *snapshot, time_t now);
/* The one token of the client's Cookie headers; false when there is none, or more than one. */
bool session_cookie(const struct exchange *exchange, struct slice *token_out);
/* Checks the client's token for an application (empty: any). A reference, or NULL. */
struct brought_token *session_check(const struct exchange *exchange, struct slice token, struct slice aud);

/* ---- access.c ---- */

/* Answers what is under /cdn-cgi/access/. */
enum step_result access_step(struct exchange *exchange);

/* ---- status.c ---- */

/* What OCSP says of the certificate, where its bundle wants to know. */
enum step_result status_step(struct exchange *exchange);

/* ---- relay.c ---- */

extern const struct link_events relay_link_events;

/* What follows when a link fails. */
enum failure_action {
    FAILURE_OTHER_ENDPOINT, /* nothing was sent: the next one may do it */
    FAILURE_FRESH_LINK,     /* a connection from the pool had died: once more with a new one */
    FAILURE_ANSWER,         /* the client is told */
    FAILURE_CUT             /* the response has begun: the client must see that it is incomplete */
};
enum failure_action relay_judge_failure(const struct exchange *exchange, enum link_failure failure);
/* The code for a failure that is not mended. */
enum reason relay_failure_reason(enum link_failure failure);
/* As much of the request as the link has room for. */
void relay_request(struct exchange *exchange);
/* Waits, for a second, for an upstream to say 100 Continue; then the client hears it from us. */
void relay_await_continue(struct exchange *exchange);

#endif
