/*
 * token_key: one key that signs tokens, or its public half. The private half is in control only, and in a file of mode
 * 0600; what others are shown is a self-signed certificate of it, whose key they check signatures with.
 */
#ifndef SALLYPORT_SESSION_TOKEN_KEY_H
#define SALLYPORT_SESSION_TOKEN_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sbuf.h"
#include "base/slice.h"

enum token_algorithm { TOKEN_RS256, TOKEN_ES256 };
/* "RS256". Static. */
const char *token_algorithm_name(enum token_algorithm algorithm);

#define TOKEN_KID_SIZE 65        /* 64 hex digits: SHA-256 of the public key (DER of SubjectPublicKeyInfo) */
#define TOKEN_SIGNATURE_MAX 1024 /* RSA up to 8192 bits */

struct token_key;

/* A new pair: RSA of 2048 bits, or P-256. */
MUST_CHECK struct token_key *token_key_make(enum token_algorithm algorithm, int64_t now, struct err *err);
/* Both halves as PEM: to be wiped. */
void token_key_write(const struct token_key *key, struct sbuf *out);
/* What token_key_write() wrote; errors for other keys than RSA from 2048 bits and P-256, and for a certificate of
 * another key. */
MUST_CHECK struct token_key *token_key_read(struct slice pem, struct err *err);
/* The public half, from the certificate. */
MUST_CHECK struct token_key *token_key_from_certificate(struct slice der, struct err *err);
void token_key_free(struct token_key **key);

enum token_algorithm token_key_algorithm(const struct token_key *key);
const char *token_key_id(const struct token_key *key);
struct slice token_key_certificate(const struct token_key *key); /* DER */

/* RS256: RSASSA-PKCS1-v1_5; ES256: r and s, 64 bytes (RFC 7518 3.3, 3.4). A private half. Returns the size. */
MUST_CHECK int token_key_sign(const struct token_key *key, struct slice text, uint8_t out[TOKEN_SIGNATURE_MAX],
                              size_t *size_out, struct err *err);
bool token_key_verify(const struct token_key *key, struct slice text, struct slice signature);

/* The key's entry of a JWKS (RFC 7517), and its certificate as PEM in one line of JSON. */
struct jsonw;
void token_key_write_jwk(const struct token_key *key, struct jsonw *json);
void token_key_write_pem(const struct token_key *key, struct sbuf *out);

#endif
