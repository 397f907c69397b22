/* token_claims: what a worker states of a client for a token, from what it saw of it. */
#ifndef SALLYPORT_PROXY_TOKEN_CLAIMS_H
#define SALLYPORT_PROXY_TOKEN_CLAIMS_H

#include "proxy/tokens.h"
#include "session/claims.h"

/* Views of the subject's memory, valid as long as it. */
void token_claims_fill(const struct token_subject *subject, struct claims *claims_out);
/* Subjects of one key have one token. Returns the size of the key; it is cut at size, which no real one reaches. */
size_t token_subject_key(const struct token_subject *subject, char *key_out, size_t size);

#endif
