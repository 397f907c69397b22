/*
 * head: the head of a request or a response as values, the same for HTTP/1.1 and HTTP/2. A parsed head is sealed: what
 * policy judged is what is forwarded, because both read this object. Outbound heads are built from empty
 * (proxy/forward). All slices live in the arena the head was parsed into (or that its builder chose).
 */
#ifndef SALLYPORT_HTTP_HEAD_H
#define SALLYPORT_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "http/target.h"

enum http_version { HTTP_1_0, HTTP_1_1, HTTP_2 };

/* "HTTP/1.1" etc., for logs. */
const char *http_version_name(enum http_version version);

/* How the body is delimited (RFC 9112 section 6). UNTIL_CLOSE is for responses from upstreams only. */
enum body_framing { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE };

struct header {
    struct slice name;  /* as received; compare with slice_eq_nocase */
    struct slice value; /* without surrounding OWS */
};

/* Order is kept; duplicates are allowed. Grows in its arena. */
struct headers {
    struct header *items;
    size_t count, cap;
    struct arena *arena;
};

void headers_init(struct headers *headers, struct arena *arena);
/* The slices are not copied. */
void headers_add(struct headers *headers, struct slice name, struct slice value);
/* First header of that name, or NULL. */
const struct header *headers_find(const struct headers *headers, struct slice name);
/* Takes out every header of a name that is_same says is this one. */
void headers_remove(struct headers *headers, struct slice name, bool (*is_same)(struct slice, struct slice));
/* How many headers have that name. */
size_t headers_count(const struct headers *headers, struct slice name);
/* All lines of that name as one list, ", " between them (RFC 9110 5.3); empty lines are left out. ptr NULL when there
 * is none. */
struct slice headers_join(const struct headers *headers, struct slice name, struct arena *arena);
/* Whether a comma-separated list header (all its lines) contains the token, ASCII case folded (RFC 9110 5.6.1). */
bool headers_has_token(const struct headers *headers, struct slice name, struct slice token);

struct request_head {
    enum http_version version;
    struct slice method;       /* 1 to 32 token characters, case-sensitive */
    struct slice raw_target;   /* as received, for the log */
    struct target target;      /* normalised once; the only thing routing, policy and forwarding look at */
    bool has_host;             /* false: an HTTP/1.0 request without Host; target.host is empty then */
    struct headers headers;    /* as received, Host included */
    enum body_framing framing; /* NONE, LENGTH or CHUNKED */
    uint64_t content_length;   /* for LENGTH */
    bool keep_alive;           /* the client allows another request on this connection */
    bool expect_continue;      /* Expect: 100-continue (RFC 9110 10.1.1) */
    struct slice upgrade;      /* protocol of an Upgrade that Connection nominates, e.g. "websocket", or empty */
};

struct response_head {
    enum http_version version; /* as received; the codec sets it to the client's when it sends */
    int status;
    struct slice phrase; /* may be empty: the standard phrase is used then */
    struct headers headers;
    enum body_framing framing;
    uint64_t content_length; /* for LENGTH; for NONE: what HEAD or 304 said the length would be, 0 for unknown */
    bool keep_alive;         /* the upstream allows another request on this connection */
};

/* "Not Found" for 404; "Unknown" for a number without a standard phrase. */
const char *status_phrase(int status);
/* A response to a HEAD request, and 1xx, 204, 304, never have a body (RFC 9110 6.4.1). */
bool status_has_body(int status, bool is_head_request);

#endif
