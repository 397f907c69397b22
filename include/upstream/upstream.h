/*
 * upstream: a named group of servers, as values of the snapshot. Immutable; what changes (idle connections, whose turn
 * it is) is the pool's (upstream/pool.h).
 */
#ifndef SALLYPORT_UPSTREAM_UPSTREAM_H
#define SALLYPORT_UPSTREAM_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/addr.h"

/* One address to connect to. */
struct endpoint {
    struct addr addr;
    char name[ADDR_TEXT_SIZE]; /* "127.0.0.1:3000", for logs */
    unsigned weight;           /* 1 to 1000 */
    bool is_whoami;            /* builtin:whoami: served by this process, no socket of its own */
};

struct upstream {
    const char *name;
    struct endpoint *endpoints;
    size_t endpoint_count;
    int64_t connect_timeout_ms;
    int64_t read_timeout_ms; /* longest silence of an upstream that owes us bytes, and longest stall of one that takes
                                none */
    size_t pool_size;        /* idle connections kept for each endpoint */
    int64_t pool_idle_ms;    /* how long */
};

#endif
