/*
 * codec: what the client side of a connection speaks (HTTP/1.1 in h1c.c; HTTP/2 will be a second one), and the seam
 * between it and the exchanges above. A codec owns no descriptor: its owner (proxy/client) gives it bytes and takes
 * bytes from `out`. Time limits are the owner's.
 *
 *   bytes --codec_receive--> codec --events--> exchange        (requests)
 *   bytes <------ out ------ codec <--codec_send_*-- exchange  (responses)
 *
 * Backpressure: body bytes given to an exchange count against a window of CODEC_BODY_WINDOW until the exchange says
 * codec_consumed(); with a full window the codec takes no more input (codec_wants_input() is false). Towards the
 * client, the exchange sends only while codec_can_send(); events.writable says when that is so again.
 */
#ifndef SALLYPORT_HTTP_CODEC_H
#define SALLYPORT_HTTP_CODEC_H

#include "base/err.h"
#include "base/reason.h"
#include "base/sbuf.h"
#include "http/h1_parse.h"
#include "http/head.h"

#define CODEC_BODY_WINDOW (64 * 1024)
/* codec_can_send() is false while `out` holds this much or more. */
#define CODEC_OUT_HIGH (16 * 1024)
/* events.writable comes when `out` has drained to this or less. */
#define CODEC_OUT_LOW (4 * 1024)

#define CODEC_BULK (8 * 1024)

struct codec;
/* One request and its response. Belongs to the codec; valid from events.request until codec_finish() or codec_abort().
 */
struct codec_stream;

struct codec_events {
    /* A complete request head. arena holds it and becomes the exchange's, which frees it at its own end. The return
     * value is the exchange, passed to the events below (never NULL). The exchange may answer from within this call. */
    void *(*request)(void *owner, struct codec_stream *stream, struct request_head *head, struct arena *arena);
    /* Body bytes; a view, valid during the call. The exchange calls codec_consumed() now or later. */
    void (*body)(void *exchange, struct slice data);
    /* The request is complete; trailers may be empty, never NULL, and live in the exchange's arena. */
    void (*end)(void *exchange, const struct headers *trailers);
    /* The rest of the request will not come: the body turned out bad (BAD_REQUEST), too large, or the client went away
     * (reason NONE). */
    void (*broken)(void *exchange, enum reason reason, const char *detail);
    /* codec_can_send() is true again. */
    void (*writable)(void *exchange);
    /* A request that never became an exchange: head malformed or too large. The owner answers through `stream`
     * (proxy/reply) and finishes it, then or later, then the connection closes. codec_stream_arena() is there for the
     * answer. No other event is made for this stream. raw_head: what came, a view, valid during the call. */
    void (*refused)(void *owner, struct codec_stream *stream, const struct h1_fault *fault, struct slice raw_head);
};

struct codec_ops {
    size_t (*receive)(struct codec *codec, struct slice bytes);
    void (*receive_eof)(struct codec *codec);
    bool (*wants_input)(const struct codec *codec);
    size_t (*input_room)(const struct codec *codec);
    void (*drained)(struct codec *codec);
    void (*drain)(struct codec *codec);
    void (*refuse)(struct codec *codec, const struct h1_fault *fault);
    void (*consumed)(struct codec_stream *stream, size_t n);
    void (*send_informational)(struct codec_stream *stream, const struct response_head *head);
    void (*send_head)(struct codec_stream *stream, const struct response_head *head);
    void (*send_body)(struct codec_stream *stream, struct slice data);
    void (*send_end)(struct codec_stream *stream, const struct headers *trailers);
    void (*finish)(struct codec_stream *stream);
    void (*abort)(struct codec_stream *stream);
    void (*free)(struct codec *codec);
};

/* First member of every codec. */
struct codec {
    const struct codec_ops *ops;
    const struct codec_events *events;
    void *owner;
    struct sbuf out; /* bytes for the client; the owner consumes them, then calls codec_drained() */
    /* NULL, or set by the owner: writes at once what would go into an empty `out`, as far as it can, and returns how
     * much that was. Only for pieces of CODEC_BULK and more: it spares them the way through `out`. */
    size_t (*write)(void *owner, struct slice bytes);
    bool close_after_out; /* the connection is over once `out` is empty */
    bool is_idle;         /* between requests: no head begun, no exchange open */
    bool in_head;         /* a head has begun and is incomplete */
    uint64_t requests;    /* heads parsed so far */
    bool reset_after_out; /* with close_after_out: the response is cut short; close so that the client sees it (no
                             close_notify, a reset) */
};

/* Server side of HTTP/1.0 and HTTP/1.1. One exchange at a time; pipelined requests wait in the owner's input. max_body
 * 0: no limit. */
struct codec *h1c_new(const struct codec_events *events, void *owner, const struct h1_limits *limits,
                      uint64_t max_body);

/* Bytes from the client; returns how many were taken. What is not taken must be offered again when codec_wants_input()
 * (the owner asks after each event). */
static inline size_t codec_receive(struct codec *c, struct slice bytes) { return c->ops->receive(c, bytes); }
/* The client will send no more; to be called when all that it sent has been taken. With an exchange open in mid-request
 * this is events.broken; after a complete request the response still goes out. */
static inline void codec_receive_eof(struct codec *c) { c->ops->receive_eof(c); }
static inline bool codec_wants_input(const struct codec *c) { return c->ops->wants_input(c); }
/* While it wants input: more than this at once may not all be taken. */
static inline size_t codec_input_room(const struct codec *c) { return c->ops->input_room(c); }
/* The owner has consumed bytes of `out`. May call events.writable. */
static inline void codec_drained(struct codec *c) { c->ops->drained(c); }
/* Graceful stop: the response in progress is the last (Connection: close); an idle connection gets close_after_out at
 * once. */
static inline void codec_drain(struct codec *c) { c->ops->drain(c); }
/* The owner gives up on a head that has begun (it took too long): events.refused, with what has come of it. Only while
 * in_head. */
static inline void codec_refuse(struct codec *c, const struct h1_fault *fault) { c->ops->refuse(c, fault); }
static inline bool codec_can_send(const struct codec *c) { return c->out.len < CODEC_OUT_HIGH; }
/* Frees the codec; open exchanges must have been aborted or finished. */
static inline void codec_free(struct codec *c) { c->ops->free(c); }

/* n body bytes have left the exchange. */
void codec_consumed(struct codec_stream *stream, size_t n);
struct codec *codec_stream_codec(struct codec_stream *stream);
/* The arena of the stream. For a refused stream it becomes the caller's, who frees it; when nobody asks, the codec
 * does. */
struct arena *codec_stream_arena(struct codec_stream *stream);

/* A 1xx response (not to HTTP/1.0 clients: nothing is sent). 101 ends HTTP on this connection: after it,
 * codec_finish(), and the owner takes the raw bytes over (proxy/tunnel). */
void codec_send_informational(struct codec_stream *stream, const struct response_head *head);
/* The final head. head->framing says how the body will come: LENGTH or NONE as given; CHUNKED or UNTIL_CLOSE mean
 * "length unknown": the codec chooses what this client understands. */
void codec_send_head(struct codec_stream *stream, const struct response_head *head);
/* At most CODEC_BODY_WINDOW at once; exactly as much as a LENGTH said. Where the response has no body (HEAD, 204, 304)
 * it is dropped. */
void codec_send_body(struct codec_stream *stream, struct slice data);
/* End of the response; trailers may be NULL; they are sent where the framing has room for them. */
void codec_send_end(struct codec_stream *stream, const struct headers *trailers);
/* The exchange is over, both ways. If the request's body has not fully arrived the connection closes after the response
 * (a small rest, up to 64 KiB, is read and dropped instead). The stream is gone afterwards; the next pipelined request
 * may begin with the next codec_receive(). */
void codec_finish(struct codec_stream *stream);
/* The response cannot be completed: the client must see that (HTTP/1.1: the connection closes without the final chunk,
 * as a reset if need be). The stream is gone afterwards. */
void codec_abort(struct codec_stream *stream);

#endif
