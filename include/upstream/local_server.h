/*
 * local_server: HTTP/1.1 connections that this process answers by itself: the whoami origin and the admin interface.
 * Keep-alive, whole answers, bodies of requests are counted and not kept. Speaks through the same codec as the
 * gateway's clients; knows no TLS.
 *
 *   SERVING --last response sent--> LINGERING --EOF or a second--> closed
 *       \--a cut response, a broken socket--> closed
 */
#ifndef SALLYPORT_UPSTREAM_LOCAL_SERVER_H
#define SALLYPORT_UPSTREAM_LOCAL_SERVER_H

#include "base/list.h"
#include "base/sbuf.h"
#include "http/head.h"
#include "io/loop.h"

/* A request that has arrived whole. Valid during the call. */
struct local_request {
    const struct request_head *head;
    uint64_t body_length;
    const struct headers *trailers;
};

/* Filled by the answer function; body is freed by the server. */
struct local_response {
    int status;            /* 200 to begin with */
    const char *type;      /* static */
    const char *challenge; /* static: WWW-Authenticate, with 401; or NULL */
    struct sbuf body;      /* empty to begin with, bounded */
};

struct local_server {
    struct loop *loop;
    void (*answer)(void *arg, const struct local_request *request, struct local_response *response);
    void *arg;
    struct list visits; /* open connections */
};

void local_server_init(struct local_server *server, struct loop *loop,
                       void (*answer)(void *arg, const struct local_request *request, struct local_response *response),
                       void *arg);
/* Serves one connected socket (taken over) until it ends or is idle for 75 s. */
void local_server_serve(struct local_server *server, int fd);
/* Closes every connection; nothing calls the answer function afterwards. */
void local_server_close(struct local_server *server);

#endif
