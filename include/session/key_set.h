/*
 * key_set: the published keys as a worker knows them: to check the tokens that clients bring, and to show them at
 * /cdn-cgi/access/certs. Immutable; made from what control tells.
 */
#ifndef SALLYPORT_SESSION_KEY_SET_H
#define SALLYPORT_SESSION_KEY_SET_H

#include "session/token_key.h"

#define KEY_SET_MAX 8
#define KEY_CERTIFICATE_MAX 1600 /* DER; so that a set fits into a notice (ipc/ask.h) */

struct key_set;

/* certificates: DER, the current key's first; as key_set_read() takes it. */
void key_set_write(const struct slice *certificates, size_t count, struct sbuf *out);
MUST_CHECK struct key_set *key_set_read(struct slice text, struct err *err);
void key_set_free(struct key_set **set);
/* NULL: no such key is published. */
const struct token_key *key_set_find(const struct key_set *set, struct slice kid);
/* The key that signs now. */
const struct token_key *key_set_current(const struct key_set *set);
/* The body of /cdn-cgi/access/certs (facts 3.5). */
struct slice key_set_json(const struct key_set *set);

#endif
