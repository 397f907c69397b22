/*
 * exchange: one request and its response, from the head to the access log line. The only caller of the stages: one
 * driver over a table of steps (architecture, "How a request moves"). Facts are written by the step named beside them
 * and const afterwards.
 */
#ifndef SALLYPORT_PROXY_EXCHANGE_H
#define SALLYPORT_PROXY_EXCHANGE_H

#include "base/id.h"
#include "http/codec.h"
#include "proxy/client.h"
#include "proxy/statuses.h"
#include "proxy/tokens.h"
#include "snapshot/judge.h"
#include "upstream/link.h"

/* How it ended: who ended it, in which phase, logged as "client:request_body". Decided once. */
enum ending_who {
    ENDING_NONE,
    ENDING_COMPLETE,
    ENDING_DENIED,
    ENDING_BY_CLIENT,
    ENDING_BY_UPSTREAM,
    ENDING_BY_GATEWAY
};
enum ending_phase {
    PHASE_REQUEST_HEAD,
    PHASE_POLICY,
    PHASE_CONNECT,
    PHASE_REQUEST_BODY,
    PHASE_RESPONSE_HEAD,
    PHASE_RESPONSE_BODY,
    PHASE_TUNNEL
};

struct exchange {
    struct client *client;
    struct codec_stream *stream; /* NULL once finished or aborted */
    struct arena *arena;
    struct request_head *request; /* sealed; NULL for a head that was refused */
    char ray_id[RAY_ID_SIZE];
    int64_t started_us; /* monotonic */
    int64_t started_wall_us;

    struct snapshot *snapshot;       /* pin: a reference */
    const struct hostname *hostname; /* pin; NULL when the hostname is gone */

    const struct application *application; /* policy */
    struct verdict verdict;                /* policy */

    struct brought_token *stand_in; /* policy: a reference to the token that stands in for the certificate, or NULL */
    struct issued_token *token;     /* session: a reference to what assertion, cookie and set_cookie are parts of */
    struct slice assertion, cookie; /* session: for the origin, the token and "CF_Authorization=<token>"; empty: none */
    struct slice set_cookie;        /* session: for the client; empty: none */

    const struct upstream *upstream; /* pick */
    const struct endpoint *endpoint; /* pick */
    struct link *link;               /* link */
    uint64_t tried;                  /* endpoints, bits */
    unsigned attempts;
    bool body_started; /* body bytes have gone upstream: no retry */
    int64_t upstream_started_us;
    int64_t upstream_head_us; /* 0: no response head came */

    int status;                   /* sent to the client; 0: none */
    enum reason reason;           /* of a local response or an ending; NONE */
    char detail[256];             /* facts for people, "" */
    uint64_t bytes_in, bytes_out; /* body bytes */
    enum ending_who ending_who;
    enum ending_phase phase; /* where it is; where it ended */
    bool is_finished;

    /* How far it has come; for exchange.c, steps.c, relay.c and the client's deadlines only. */
    unsigned step;                  /* index into the table of steps */
    const struct headers *trailers; /* of the request, those that pass; with request_ended */
    struct sbuf held;        /* request body that the link has no room for; still counted in the codec's window */
    size_t owed;             /* response body that the link has not been told is gone */
    size_t owed_to_client;   /* request body that the codec has not been told is gone, though the link has it */
    bool fresh;              /* the next link must not come from the pool */
    bool request_ended;      /* the client's request has arrived as a whole */
    bool end_sent;           /* ... and has gone upstream as a whole */
    bool continue_sent;      /* the client has seen 100 Continue */
    bool response_ended;     /* the response is complete in the codec */
    struct wait token_wait;  /* session */
    struct wait status_wait; /* status */
    struct loop_timer *expect_timer; /* an upstream that ignores Expect: 100-continue */
    struct loop_task reap;
};

/* events.request of codec.h: opens an exchange and drives it. */
struct exchange *exchange_open(struct client *client, struct codec_stream *stream, struct request_head *head,
                               struct arena *arena);
/* events.refused: a head that could not be parsed: answers, observes. */
void exchange_refuse(struct client *client, struct codec_stream *stream, const struct h1_fault *fault,
                     struct slice raw_head);
/* The client is going away or its time is up: ends the exchange, whatever it waits for. */
void exchange_abort(struct exchange *exchange, enum ending_who who, enum reason reason, const char *detail);
/* Judged again by the snapshot in force and the clock: ended when the client has lost its right to it (sec-32). */
void exchange_judge(struct exchange *exchange);
/* For log lines: "ray=... while awaiting the response of 127.0.0.1:3000". */
void exchange_describe(const struct exchange *exchange, struct sbuf *out);
/* The rest of the seam between codec and exchange; the vtable for h1c_new. */
extern const struct codec_events exchange_codec_events;

#endif
