/*
 * whoami: a small origin that answers with what it received, as JSON:
 * {"method","path","http_version","headers":[{"name","value"}...], "body_length","trailers":[...]}. Behind
 * `builtin:whoami` it sits at the other end of a socketpair, so that requests take the same way as to any upstream;
 * `sallyport whoami --listen` puts it on a port.
 */
#ifndef SALLYPORT_UPSTREAM_WHOAMI_H
#define SALLYPORT_UPSTREAM_WHOAMI_H

#include "io/loop.h"

/* Serves one connected socket (taken over) until it ends or is idle for 75 s. */
void whoami_serve(struct loop *loop, int fd);
/* Closes all connections served in this loop; at the end of the process. */
void whoami_close_all(struct loop *loop);

#endif
