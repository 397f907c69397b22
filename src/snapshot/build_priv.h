/* build: the making of a snapshot; see build.c. */
#ifndef SALLYPORT_SNAPSHOT_BUILD_PRIV_H
#define SALLYPORT_SNAPSHOT_BUILD_PRIV_H

#include "snapshot/snapshot.h"

/* Fills an empty snapshot (arena and conf are there). On failure it is left half-made, good for snapshot_unref() only.
 */
MUST_CHECK int snapshot_build(struct snapshot *snapshot, const struct resolved *resolved, struct ticket_keys *keys,
                              struct err *err);

#endif
