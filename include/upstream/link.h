/*
 * link: one connection to an endpoint, lent to one exchange at a time. New or from the pool; HTTP/1.1 by
 * http/h1_client. Owns the socket, its deadlines and its buffers; decides nothing about retries (proxy/exchange does).
 *
 *   link_acquire --> connecting | reused --> request sent --> head --> body... --> end --> link_release
 *                                                                                         (pooled or closed)
 *
 * Backpressure: at most 64 KiB of response body are outstanding until link_consumed(); towards the upstream send only
 * while link_can_send(), events.writable says when again.
 */
#ifndef SALLYPORT_UPSTREAM_LINK_H
#define SALLYPORT_UPSTREAM_LINK_H

#include "base/sbuf.h"
#include "http/head.h"
#include "io/stream.h"
#include "upstream/pool.h"

struct link;

enum link_failure {
    LINK_UNREACHABLE, /* could not connect (refused, reset, no route, timed out while connecting): nothing was sent */
    LINK_STALE,   /* a reused connection closed before the first byte of a response: the request may be sent again if it
                     can be repeated */
    LINK_CLOSED,  /* closed or reset in mid-request or mid-response */
    LINK_TIMEOUT, /* silence longer than read_timeout */
    LINK_INVALID  /* the response breaks the rules */
};

struct link_events {
    void (*informational)(void *owner, const struct response_head *head);
    void (*head)(void *owner, const struct response_head *head); /* 101 too */
    void (*body)(void *owner, struct slice data);                /* a view; then link_consumed() */
    void (*end)(void *owner, const struct headers *trailers);
    void (*writable)(void *owner);
    /* Once; release the link then. detail is a short text ("connection refused"), valid during the call. */
    void (*failed)(void *owner, enum link_failure failure, const char *detail);
};

/* Never fails at once: failures come as events, never from within this call. fresh: do not take one from the pool (a
 * retry after LINK_STALE). */
struct link *link_acquire(struct pool *pool, const struct upstream *upstream, const struct endpoint *endpoint,
                          bool fresh, const struct link_events *events, void *owner);
/* Did it come from the pool? For tests. */
bool link_is_reused(const struct link *link);
/* The request head; may be called at once, before the connection stands. arena takes the response's heads and must live
 * until link_release(). */
void link_send_head(struct link *link, const struct request_head *head, struct arena *arena);
void link_send_body(struct link *link, struct slice data);
void link_send_end(struct link *link, const struct headers *trailers);
bool link_can_send(const struct link *link);
/* n bytes of response body have left the exchange. */
void link_consumed(struct link *link, size_t n);
/* Back to the pool if both messages are complete and reuse is allowed; closed otherwise. Sets *link to NULL; no event
 * comes afterwards. Allowed within an event. */
void link_release(struct link **link);
/* After a 101 head (allowed within its event): hands the stream over for the tunnel, with bytes already read appended
 * to rest. Sets *link to NULL. The new owner calls stream_set_owner() before the loop runs again. */
struct stream *link_detach(struct link **link, struct sbuf *rest);

#endif
