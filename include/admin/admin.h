/*
 * admin: the operator's HTTP interface: GET /metrics (Prometheus), /healthz (the process lives), /readyz (it takes
 * clients), /crls and /crls.txt (how the CRLs stand: JSON, a table). On a unix socket (who may connect may ask) or on
 * TCP with a bearer token, compared in constant time; never on a client listener (sec-47).
 */
#ifndef SALLYPORT_ADMIN_ADMIN_H
#define SALLYPORT_ADMIN_ADMIN_H

#include <stdbool.h>

#include "base/err.h"
#include "base/sbuf.h"
#include "base/slice.h"
#include "io/loop.h"

struct admin;

struct admin_source {
    const char *address; /* "unix:path" or "127.0.0.1:9443" */
    struct slice token;  /* copied, wiped on close; empty only for unix sockets */
    /* Whether new clients are taken; detail_out gets a static word for the answer ("ready", "shutting down"). */
    bool (*is_ready)(void *arg, const char **detail_out);
    /* Appends the metrics. */
    void (*render)(void *arg, struct sbuf *out);
    /* Appends how the CRLs stand: as JSON, or as a table. */
    void (*render_crls)(void *arg, bool is_json, struct sbuf *out);
    void *arg;
    bool is_successor; /* a predecessor may still serve on the unix socket's path: take the path with admin_take_path */
};

/* Binds and serves. NULL with err when the address cannot be had. */
MUST_CHECK struct admin *admin_open(struct loop *loop, const struct admin_source *source, struct err *err);
/* Replaces the token; connections that are open need it with their next request. */
void admin_set_token(struct admin *admin, struct slice token);
/* The successor serves: the path leads to it from now on. */
void admin_take_path(struct admin *admin);
/* Closes the socket and every connection, removes a unix socket's file if it is still its own. Sets *admin to NULL. */
void admin_close(struct admin **admin);

#endif
