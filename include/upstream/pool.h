/*
 * pool: the connections of this process to upstreams, across snapshots: idle links by endpoint address, and whose turn
 * it is by upstream name. One for each worker.
 */
#ifndef SALLYPORT_UPSTREAM_POOL_H
#define SALLYPORT_UPSTREAM_POOL_H

#include "io/loop.h"
#include "upstream/upstream.h"

struct pool;

struct pool *pool_new(struct loop *loop);
/* Closes what is idle; links in use must have been released. */
void pool_free(struct pool **pool);
/* The next endpoint by smooth weighted round robin, leaving out those whose bit is set in tried (bit i: endpoint i;
 * endpoints past 63 are not tried twice). NULL when all were tried. */
const struct endpoint *pool_pick(struct pool *pool, const struct upstream *upstream, uint64_t tried, size_t *index_out);
/* Closes idle links to endpoints that are not among these upstreams' (after a reload). */
void pool_keep_only(struct pool *pool, const struct upstream *const *upstreams, size_t count);
/* Idle links, for tests (metrics count them by upstream). */
size_t pool_idle_count(const struct pool *pool);

#endif
