/*
 * fetch: HTTP and HTTPS requests of the control side: CRLs, OCSP, webhooks. Nothing here waits: the loop drives it, the
 * answer comes in a callback. A worker never calls this.
 *
 * What is asked of others is bounded and goes where it was meant to go (sec-34): size, time and redirects have limits;
 * http and https only; an address that is not public is connected to only if the request lists it, and that is judged
 * of the address of each connection, redirects included, so that a name which changes its address does not help. No
 * proxy, no cookies, no .netrc, nothing from the environment. Every request has a connection of its own.
 */
#ifndef SALLYPORT_STORE_FETCH_H
#define SALLYPORT_STORE_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "io/addr.h"
#include "io/loop.h"

#define FETCH_URL_MAX 2048
#define FETCH_RUNNING_MAX 32 /* at a time; further ones wait, and their time runs */

/* One for a process: its transfers under way. */
struct fetcher;
MUST_CHECK struct fetcher *fetcher_new(struct loop *loop, struct err *err);
/* Drops what is under way; nobody is called. Not from a fetch_fn. */
void fetcher_free(struct fetcher **fetcher);

enum fetch_method { FETCH_GET, FETCH_POST };

/* Zero, NULL: the default named. All is copied; nothing need outlive fetch_start. */
struct fetch_request {
    const char *url; /* http or https, without a user name; see fetch_check_url */
    enum fetch_method method;
    struct slice body; /* POST */
    const char *content_type;
    const char *const *headers; /* "Name: value" each, without CR and LF; not sent to another host after a redirect */
    size_t header_count;
    const char *etag, *last_modified;  /* of what the caller has: an answer with status 304 says that it still holds */
    size_t size_max;                   /* of the body; 0: 1 MiB. More ends the transfer with an error */
    int64_t connect_ms, total_ms;      /* 10 s; 30 s. The total is for everything: name, redirects, body */
    unsigned redirects_max;            /* none: a redirect is answered as it came. POST: never followed */
    const char *const *redirect_hosts; /* where redirects may lead besides the host of url; "*": anywhere. Never from
                                          https to http */
    size_t redirect_host_count;
    const struct cidr *networks; /* addresses that are not public and may be connected to */
    size_t network_count;
    const char *ca_file; /* PEM; NULL: the CAs of the system */
    /* The body of a 2xx in pieces, instead of in the answer. False: ends the transfer, with an error. Not to call any
     * fetch function. */
    bool (*take)(void *arg, struct slice piece);
};

struct fetch_answer {
    int status;                                      /* of the last response; 0: there was none, or not whole */
    const char *error;                               /* for people, with status 0; else "" */
    const char *url;                                 /* the last one, after redirects */
    struct slice body;                               /* empty if the request has take() */
    const char *content_type, *etag, *last_modified; /* "" where there is none */
    int64_t retry_after_s;                           /* 0: not given */
};
/* Everything is valid during the call only. The fetch is over; other fetches may be started and cancelled. */
typedef void fetch_fn(void *arg, const struct fetch_answer *answer);

/* Calls fn once, later, never from here; unless it is cancelled. What comes back is valid until fn is called. NULL: the
 * request itself is wrong, fn is not called. */
struct fetch;
MUST_CHECK struct fetch *fetch_start(struct fetcher *fetcher, const struct fetch_request *request, fetch_fn *fn,
                                     void *arg, struct err *err);
/* fn is not called any more. Sets *fetch to NULL. Not from take(). */
void fetch_cancel(struct fetch **fetch);

/* Whether fetch_start would take it: scheme, host, no user name, length. For the checking of configurations. */
MUST_CHECK int fetch_check_url(const char *url, struct err *err);

#endif
