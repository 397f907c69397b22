/*
 * signer: what control needs to sign tokens for one configuration: the applications with what they allow, the issuer,
 * the keys. What a worker states (session/claims.h) is taken within that: who it is about control cannot know; the key
 * and the header, the issuer, the times, and that the application is configured it does not take from anybody.
 */
#ifndef SALLYPORT_APP_SIGNER_H
#define SALLYPORT_APP_SIGNER_H

#include "conf/conf.h"
#include "session/claims.h"
#include "session/key_ring.h"

struct signer;

/* directory: of the keys. Copies what it needs of conf. Not open yet. */
struct signer *signer_new(const struct conf *conf, const char *directory);
void signer_free(struct signer **signer);
/* Reads the keys, makes the first one. Again after an error. */
MUST_CHECK int signer_open(struct signer *signer, int64_t now, struct err *err);
/* NULL before signer_open() went well. */
struct key_ring *signer_ring(const struct signer *signer);
/* Is this application one of the configuration's? */
bool signer_knows(const struct signer *signer, struct slice audience);
/* Appends issued_at and expires_at (8 bytes each, of the machine) and the token: the answer to ASK_SIGN. The
 * application is known, the signer open. */
MUST_CHECK int signer_sign(const struct signer *signer, const struct claims *claims, int64_t now, struct sbuf *out,
                           struct err *err);

#endif
