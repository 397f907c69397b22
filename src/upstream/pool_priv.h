/*
 * pool_priv: what pool and link know of each other. The pool keeps, for each upstream by name and each of its
 * endpoints, a place: the idle links, and the running weight of the round robin. A link, lent or idle, holds on to its
 * place.
 */
#ifndef SALLYPORT_SRC_UPSTREAM_POOL_PRIV_H
#define SALLYPORT_SRC_UPSTREAM_POOL_PRIV_H

#include "base/list.h"
#include "base/map.h"
#include "upstream/pool.h"

/* The largest piece that is read at once. */
#define POOL_READ_SIZE (64 * 1024)

struct pool_group;

struct pool_place {
    struct list node; /* in its group */
    struct pool_group *group;
    struct addr addr;
    bool is_whoami;
    bool is_kept;     /* false: no longer configured; links are not pooled again */
    int64_t weight;   /* running weight (smooth weighted round robin) */
    struct list idle; /* links, the one used last in front */
    size_t idle_count;
    size_t link_count; /* lent and idle */
};

struct pool {
    struct loop *loop;
    struct list groups;
    struct map by_name; /* upstream name to group */
    size_t idle_count;
    char *read_buffer; /* POOL_READ_SIZE, for whichever link is reading */
};

/* Finds or makes the place of an endpoint. */
struct pool_place *pool_place_of(struct pool *pool, const struct upstream *upstream, const struct endpoint *endpoint);
/* For metrics. */
const char *pool_place_upstream(const struct pool_place *place);
/* A link begins or ceases to exist; a place that is not kept goes with its last link. */
void pool_place_add_link(struct pool_place *place);
void pool_place_drop_link(struct pool *pool, struct pool_place *place);
/* A link comes to rest or is taken out. node is the link's. */
void pool_add_idle(struct pool *pool, struct pool_place *place, struct list *node);
void pool_remove_idle(struct pool *pool, struct pool_place *place, struct list *node);

/* In link.c: closes an idle link, given by its node on place->idle. */
void link_discard(struct list *idle_node);

#endif
