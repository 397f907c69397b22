/*
 * reply: the only producer of local responses: denials and gateway errors (product 5). Body by Accept: JSON, an HTML
 * page, or one line of text.
 */
#ifndef SALLYPORT_PROXY_REPLY_H
#define SALLYPORT_PROXY_REPLY_H

#include "base/reason.h"
#include "http/codec.h"
#include "snapshot/snapshot.h"

struct reply {
    enum reason reason;
    int status;                /* 0: the reason's own; 401 and 302 are the application's */
    const char *detail;        /* a sentence with the facts; NULL: the reason's sentence */
    enum conf_explain explain; /* FULL: detail and hint; CODE: the code only; OFF: neither body nor header says why (the
                                  reason header is left out too) */
    const struct application
        *application; /* cf-access-aud, cf-access-domain, its own words and page for a denial; or NULL */
    const char *ray_id;
    const char *hostname; /* shown on the page; NULL: nothing */
    struct slice accept;  /* the request's Accept header(s), or empty */
    bool is_head;         /* HEAD: headers only, with the length the body would have */
    time_t now;
};

/* A page of our own that is no refusal. */
struct reply_page {
    int status;
    const char *type; /* Content-Type */
    struct slice body;
    const char *cache_control;
    const struct headers *more; /* or NULL */
};
/* As reply_send(). */
int reply_send_page(struct codec_stream *stream, const struct reply_page *page, const char *ray_id, bool is_head,
                    struct arena *arena, uint64_t *bytes_out);
/* Sends head, body and end on the stream (not codec_finish). Returns the status sent and adds the body bytes to
 * *bytes_out. */
int reply_send(struct codec_stream *stream, const struct reply *reply, struct arena *arena, uint64_t *bytes_out);
/* The body and its type as they would be sent; for tests and the page's picture. */
void reply_render(const struct reply *reply, struct sbuf *body, const char **content_type_out);
/* Which form an Accept asks for (RFC 9110 12.5.1, with q): "application/json", "text/html" or "text/plain". Static.
 * Who takes anything alike, as curl does, gets text. */
const char *reply_negotiate(struct slice accept);

#endif
