/* session_rig: what the tests of tokens share: claims, keys made once, a directory. */
#ifndef SESSION_RIG_H
#define SESSION_RIG_H

#include "session/claims.h"
#include "session/jwt.h"
#include "session/token_key.h"

#define RIG_NOW 1800000000
#define RIG_AUDIENCE "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define RIG_ISSUER "https://team.example.test"
#define RIG_HOST "app.example.test"

/* Made at the first call; lives until the process ends. which: 0, 1 for two different ones. */
const struct token_key *rig_key(enum token_algorithm algorithm, unsigned which);
/* A set with this key as the current one, and another key if not NULL; the caller frees. */
struct key_set *rig_set(const struct token_key *current, const struct token_key *other);
struct claims rig_claims(void);
/* The token for claims, issued at RIG_NOW for an hour. Static until the next call. */
struct slice rig_token(const struct token_key *key, const struct claims *claims);
/* A token of any header and payload (JSON), signed with key; or with no signature when it is NULL. Static. */
struct slice rig_forge(const struct token_key *key, const char *header, const char *payload);

#endif
