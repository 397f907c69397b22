/*
 * key_ring: the keys with which control signs tokens: files of mode 0600 in a directory of the gateway's own, one for
 * each key, named after the time from which it signs. Several gateways may share a directory: what is there is what
 * counts, at every look. Private halves never leave control; workers are told the public ones (session/key_set.h).
 */
#ifndef SALLYPORT_SESSION_KEY_RING_H
#define SALLYPORT_SESSION_KEY_RING_H

#include "session/rotation.h"
#include "session/token_key.h"

struct key_ring;

struct key_ring_source {
    const char *directory; /* exists; store/state.h */
    enum token_algorithm algorithm;
    struct rotation rotation;
};

/* Reads what is there and makes the first key, or one of this algorithm if there is none. Errors name the file. */
MUST_CHECK struct key_ring *key_ring_open(const struct key_ring_source *source, int64_t now, struct err *err);
void key_ring_free(struct key_ring **ring);
/* Another look: reads keys that are new, makes the next one when it is time, removes those that are over. After an
 * error the keys it has go on. */
MUST_CHECK int key_ring_update(struct key_ring *ring, int64_t now, struct err *err);
/* How often to look, in ms. */
int64_t key_ring_interval_ms(const struct key_ring *ring);
/* The key that signs now. *good_until_out: no token may be valid for longer. */
const struct token_key *key_ring_current(const struct key_ring *ring, int64_t now, int64_t *good_until_out);
/* What workers are told: all published keys, the current one first. */
void key_ring_write_set(const struct key_ring *ring, int64_t now, struct sbuf *out);

#endif
