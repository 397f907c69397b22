/*
 * h1_client: the other side: one HTTP/1.1 connection to an upstream, as a pure state machine. The owner (upstream/link)
 * writes `out` to the socket and feeds what it reads. One request at a time; bytes from the upstream ahead of a request
 * are a fault (sec-42).
 *
 * Rules for responses: 1xx other than 101 are reported and awaited past (at most 16); 101 only when the request asked
 * for an upgrade; framing faults, a head over the limits, bytes after the end of the response are INVALID.
 */
#ifndef SALLYPORT_HTTP_H1_CLIENT_H
#define SALLYPORT_HTTP_H1_CLIENT_H

#include "base/sbuf.h"
#include "http/h1_parse.h"
#include "http/head.h"

struct h1_client;

#define H1_CLIENT_BULK (8 * 1024)

struct h1_client_events {
    void (*informational)(void *owner, const struct response_head *head);
    /* The final head (or 101). head lives in the arena given to h1_client_request(). */
    void (*head)(void *owner, const struct response_head *head);
    /* A view, valid during the call. */
    void (*body)(void *owner, struct slice data);
    void (*end)(void *owner, const struct headers *trailers);
    /* NULL, or writes to the upstream at once what would go into an empty `out`, as far as it can, and returns how much
     * that was. Only for pieces of H1_CLIENT_BULK and more of a body. */
    size_t (*write)(void *owner, struct slice bytes);
    /* The response cannot be used; detail is static. The connection must be closed. */
    void (*invalid)(void *owner, const char *detail);
};

/* out is the owner's; its limit must leave room for a head and CODEC_BODY_WINDOW: an overflow is an INVARIANT. */
struct h1_client *h1_client_new(const struct h1_client_events *events, void *owner, const struct h1_limits *limits,
                                struct sbuf *out);
void h1_client_free(struct h1_client *client);
/* Serialises the head into out (for a connection that persists, whatever head->keep_alive says) and begins to expect a
 * response. arena is for the response's heads; it must outlive the response. */
void h1_client_request(struct h1_client *client, const struct request_head *head, struct arena *arena);
/* Request body, framed as the head said. */
void h1_client_body(struct h1_client *client, struct slice data);
void h1_client_end(struct h1_client *client, const struct headers *trailers);
/* Bytes from the upstream; all are taken, unless the machine is at rest or at an end, where any byte is invalid
 * (returns the number taken). After 101 head: takes nothing, the rest is the tunnel's. Bytes that follow the end of a
 * response in the same call are not taken: end is made, and h1_client_is_reusable() is false already then. */
size_t h1_client_receive(struct h1_client *client, struct slice bytes);
/* The upstream closed. Ends an UNTIL_CLOSE body; otherwise, in mid-response, invalid. Returns false when it came before
 * the first byte of a response (a stale pooled connection, or an upstream that hangs up): no event is made then, the
 * owner decides. */
bool h1_client_receive_eof(struct h1_client *client);
/* The owner gives the response up, also from within an event: no more events are made, nothing is reusable. */
void h1_client_stop(struct h1_client *client);
/* Has the first byte of the response arrived? */
bool h1_client_has_begun(const struct h1_client *client);
/* Request completely written, response completely read, both allow reuse. */
bool h1_client_is_reusable(const struct h1_client *client);

#endif
