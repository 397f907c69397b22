/* encode: hex, base64 (RFC 4648 section 4, padded, one line; section 5) to and from bytes; UTF-8, checked. */
#ifndef SALLYPORT_BASE_ENCODE_H
#define SALLYPORT_BASE_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sbuf.h"
#include "base/slice.h"

/* out needs 2 * len + 1 bytes; NUL-terminated. Returns out. */
char *hex_lower(const void *bytes, size_t len, char *out);
char *hex_upper(const void *bytes, size_t len, char *out);
/* Exactly text.len / 2 bytes; false for an odd length or another character. */
bool hex_decode(struct slice text, uint8_t *out);

#define BASE64_SIZE(len) ((((len) + 2) / 3) * 4)
/* What a character stands for, 0 to 63; -1 for any other. */
int base64_value(char c);
void base64_encode(struct slice bytes, struct sbuf *out);
/* Padded or not; white space is skipped; false for anything else. */
bool base64_decode(struct slice text, struct sbuf *out);

/* The alphabet of tokens (RFC 4648 section 5), without padding, white space or bits that say nothing. */
void base64url_encode(struct slice bytes, struct sbuf *out);
/* false for anything that base64url_encode() does not write. */
bool base64url_decode(struct slice text, struct sbuf *out);

/* Length (1 to 4) of the UTF-8 sequence that s begins with; 0 if s is empty or begins with none (RFC 3629: no
 * surrogates, no overlong forms). */
size_t utf8_length(struct slice s);

#endif
