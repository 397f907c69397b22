/*
 * tunnel: after 101: bytes both ways between client and upstream, with backpressure (64 KiB each way), half close
 * passed on, idle and trust deadlines.
 */
#ifndef SALLYPORT_PROXY_TUNNEL_H
#define SALLYPORT_PROXY_TUNNEL_H

#include "proxy/exchange.h"

/* Takes over client->stream's events and the upstream stream; rest: bytes the upstream sent behind its 101; client->in:
 * bytes the client sent ahead. Ends with the client. */
struct tunnel *tunnel_open(struct exchange *exchange, struct stream *upstream, struct sbuf *rest);
/* The client's end of the event: moves what can be moved. */
void tunnel_update(struct tunnel *tunnel);
/* Once a second, from the client's timer: closes a tunnel through which nothing went for idle_timeout. */
void tunnel_tick(struct tunnel *tunnel);
/* Ends both sides and finishes the exchange; the client closes. */
void tunnel_close(struct tunnel *tunnel, enum ending_who who, enum reason reason);

#endif
