/*
 * h1_probe: runs bytes through the HTTP/1.1 codecs and writes down what comes out, so that tests and fuzz targets can
 * compare two runs: the same bytes cut in other places must give the same transcript (split invariance), and a message
 * written from what was parsed must give it again (round trip).
 *
 * A transcript has one line for each fact: "request POST /x length 5 keep-alive", "header name: value", "body hello",
 * "trailer name: value", "end", "broken bad_request: why", "refused bad_request: why", "tunnel rest", "idle", "close",
 * "reset".
 */
#ifndef SALLYPORT_TESTS_SUPPORT_H1_PROBE_H
#define SALLYPORT_TESTS_SUPPORT_H1_PROBE_H

#include "http/codec.h"
#include "http/h1_client.h"

enum probe_answer {
    PROBE_AT_END,  /* within the event that completes the request */
    PROBE_AT_HEAD, /* within the event of the head, and the exchange is over then */
    PROBE_LATER,   /* between two receives, chunked or until close, piece by piece */
};

struct probe_plan {
    size_t piece;     /* bytes of each receive; 0: all at once */
    size_t first_cut; /* when not 0: the first receive ends here, the rest comes by `piece` */
    unsigned seed;    /* when not 0: random pieces of 1 to `piece` bytes instead */
    enum probe_answer answer;
    bool consume_later; /* the window opens between two receives only */
    bool switches;      /* answers an upgrade with 101 */
    bool no_eof;
    uint64_t max_body;
    struct h1_limits limits; /* zeros: 32 KiB, 100 */
};

/* The server codec. transcript and output (what the client would see; may be NULL) are appended to. */
void probe_server(struct slice input, const struct probe_plan *plan, struct sbuf *transcript, struct sbuf *output);

/* The client codec: request is a head as a client would send it; input is what the upstream sends after it. */
void probe_client(struct slice request, struct slice input, const struct probe_plan *plan, struct sbuf *transcript);

/* A chunked body alone: "body ...", "trailer ...", then "done", "more" or "bad", and what was left of input. */
void probe_chunked(struct slice input, const struct probe_plan *plan, struct sbuf *transcript);

/* For messages about failures: bytes as a C string literal would have them. */
void probe_escape(struct slice bytes, struct sbuf *out);

#endif
