/*
 * rotation: when which signing key signs, when the next one is made, when an old one is forgotten. Pure: times go in,
 * decisions come out; session/key_ring keeps the keys themselves.
 *
 *   made, published        signs                              still published
 *   |------- lead -------|------------ period -------------|----- overlap -----|
 *                                          | the next one is made, published ... signs
 *
 * Validators keep a key set for a while, so that a key is published before it signs and after it has ceased to; no
 * token outlives the publication of its key (rotation_good_until).
 */
#ifndef SALLYPORT_SESSION_ROTATION_H
#define SALLYPORT_SESSION_ROTATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rotation {
    int64_t period_s, overlap_s;
};

/* active: the times, in seconds since 1970, from which the keys sign; ascending, at least one in the first two. */

/* Which one signs now: the last whose time has come; the first when the clock is behind them all. */
size_t rotation_current(const int64_t *active, size_t count, int64_t now);
/* Until when the i-th key is published; INT64_MAX for the last one, after which no other is known yet. */
int64_t rotation_retires(const int64_t *active, size_t count, size_t i, const struct rotation *rotation);
/* Until when a token of the current key may be valid at most: what is certain now about its publication. */
int64_t rotation_good_until(const int64_t *active, size_t count, int64_t now, const struct rotation *rotation);
/* Is a new key to be made now? *active_from_out: from when it shall sign. */
bool rotation_wants_key(const int64_t *active, size_t count, int64_t now, const struct rotation *rotation,
                        int64_t *active_from_out);

#endif
