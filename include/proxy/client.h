/*
 * client: one connection of a client: socket, TLS, codec, deadlines. Owns the stream and the codec; holds the facts of the connection (struct peer).
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
    struct list node; /* worker->clients */
    struct worker *worker;
    uint64_t id;
    const char *listener;             /* address as configured; lives as long as the process's listener table entry or is copied */
    const struct worker_listener *worker_listener;
    struct addr addr;
    char addr_text[ADDR_TEXT_SIZE];   /* "192.0.2.7:4711" */
    char host_text[ADDR_TEXT_SIZE];   /* "192.0.2.7" */
    int64_t accepted_us;
    enum client_state state;          /* written by client_set_state only */
    struct stream *stream;
    struct peer *peer;                /* from the end of the handshake */
    struct codec *codec;
    struct exchange *exchange;        /* the one in progress, or NULL */
    struct tunnel *tunnel;
    struct sbuf in;                   /* read, not yet taken by the codec */
    struct loop_timer *timer;         /* the deadline of the current state */
    struct loop_task reap;
    uint64_t requests;                /* exchanges begun */
    bool eof;                         /* the client half-closed */
};

struct client *client_open(struct worker *worker, const struct worker_listener *listener, int fd, const struct addr *peer);
/* Ends it in any state: aborts the exchange or tunnel, closes the stream, freed at the end of the turn. reset: the client must see that a response is incomplete. */
void client_close(struct client *client, bool reset);
/* Graceful: closes now when idle, else after the response in progress. */
void client_drain(struct client *client);
/* The snapshot changed: tunnels are judged again. */
void client_snapshot_changed(struct client *client);
/* exchange to client: output was added, or input may flow again; done at the end of the event. */
void client_kick(struct client *client);
/* exchange to client: this exchange is over (the next request may begin). */
void client_exchange_done(struct client *client);

#endif
