/*
 * client: one connection of a client: socket, TLS, codec, deadlines. Owns the stream and the codec; holds the facts of
 * the connection (struct peer).
 *
 *   accepted --> handshake --> idle <--> head --> exchange --> idle ... --> closing --> reaped at the end of a turn
 *                                                    \--> tunnel
 */
#ifndef SALLYPORT_PROXY_CLIENT_H
#define SALLYPORT_PROXY_CLIENT_H

#include "base/list.h"
#include "base/log.h"
#include "http/codec.h"
#include "io/stream.h"
#include "proxy/worker.h"
#include "tls/peer.h"

enum client_state { CLIENT_HANDSHAKE, CLIENT_IDLE, CLIENT_HEAD, CLIENT_EXCHANGE, CLIENT_TUNNEL, CLIENT_CLOSING };

struct exchange;
struct tunnel;

struct client {
    struct list node;       /* worker->clients */
    struct list judge_node; /* worker->to_judge, or alone */
    struct list hello_node; /* worker->without_hello, or alone */
    struct worker *worker;
    uint64_t id;
    const char *listener; /* address as configured; lives as long as the process's listener table entry or is copied */
    const struct worker_listener *worker_listener;
    struct addr addr;
    char *host_text; /* "192.0.2.7" */
    int64_t accepted_us;
    enum client_state state; /* written by client_set_state only */
    struct stream *stream;
    struct peer *peer; /* from the end of the handshake */
    struct codec *codec;
    struct certificate_headers *certificate_headers; /* of forward.c; NULL until a request carries them */
    struct log_fields *log_fields;                   /* of observe.c; NULL until a request is logged */
    struct exchange *exchange;                       /* the one in progress, or NULL */
    struct tunnel *tunnel;
    struct sbuf in;           /* read, not yet taken by the codec */
    struct loop_timer *timer; /* the deadline of the current state */
    struct loop_task reap;
    uint64_t requests;       /* exchanges begun */
    bool eof;                /* the client half-closed */
    bool is_closed;          /* client_close() was called; only the reaping is left */
    bool is_blocked;         /* a short write: STREAM_WRITABLE is to come */
    bool is_eof_told;        /* the codec knows of eof */
    bool is_awaited;         /* it is the client's turn to send or take bytes */
    struct loop_task update; /* the end of the event: what was added is written, what may flow flows */
    const char *state_label; /* the gauge it is counted in */
    int64_t state_since_ms;
    int64_t progress_ms; /* last byte taken or sent, or when the client's turn began */
    int64_t eof_ms;
    bool is_body_awaited;   /* it is the client's turn to send more of a body, */
    int64_t body_since_ms;  /* since when, */
    int64_t body_waited_ms; /* and how long it was so before, for this request */
    int64_t drain_by_ms; /* while draining: it has until then to finish its handshake, to send its first request, or to
                            read what it was told */
    int64_t judge_at_ms; /* the exchange or tunnel in progress is judged again */
    int64_t timer_at_ms; /* when timer fires, never later than the deadline; 0: it is not set */
    size_t queued;       /* in the kernel when the client's turn began, or at the last look */
};

struct client *client_open(struct worker *worker, const struct worker_listener *listener, int fd,
                           const struct addr *peer);
/* Ends it in any state: aborts the exchange or tunnel, closes the stream, freed at the end of the turn. reset: the
 * client must see that a response is incomplete. */
void client_close(struct client *client, bool reset);
/* Graceful: closes now when idle, else after the response in progress. Who has only just come may finish the handshake
 * and ask once. */
void client_drain(struct client *client);
/* Is a request or a tunnel in progress, whose right to go on a new snapshot may end? */
bool client_is_judged(const struct client *client);
/* Ends it if so. */
void client_judge(struct client *client);
/* exchange to client: an exchange has begun. */
void client_exchange_begun(struct client *client, struct exchange *exchange);
/* exchange to client: output was added, or input may flow again; done at the end of the event. */
void client_kick(struct client *client);
/* exchange to client: this exchange is over (the next request may begin). */
void client_exchange_done(struct client *client);
/* The only place that changes the state. */
void client_set_state(struct client *client, enum client_state state);
/* A scope for log_push() around everything that happens on behalf of this client. */
struct log_scope client_scope(const struct client *client);
/* Frees a closed client at once instead of at the end of the turn; worker_free only. */
void client_reap(struct client *client);

#endif
