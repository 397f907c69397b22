/* value: single values as text and back: durations, sizes, numbers; and the nearest of several known words for one that
 * is not known. */
#ifndef SALLYPORT_CONF_VALUE_PRIV_H
#define SALLYPORT_CONF_VALUE_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sbuf.h"
#include "base/slice.h"

/* "30s", "5m", "24h", "7d", "250ms", also "1h30m"; "0" alone. False for anything else, and for what does not fit. */
bool duration_parse(struct slice text, int64_t *ms_out);
/* The shortest form: "90s", "24h"; never loses a millisecond. */
void duration_format(int64_t ms, struct sbuf *out);
/* "16KiB", "1MiB", "2GiB", "1TiB", or plain bytes. */
bool size_parse(struct slice text, int64_t *bytes_out);
void size_format(int64_t bytes, struct sbuf *out);
/* Decimal digits. */
bool integer_parse(struct slice text, int64_t *value_out);

/* The nearest of the words offered one after the other to one that is not known. */
struct nearest {
    struct slice unknown;
    struct slice best; /* ptr NULL: none is near enough to be meant */
    size_t distance;
};
void nearest_init(struct nearest *nearest, struct slice unknown);
void nearest_offer(struct nearest *nearest, struct slice word);
/* Appends "; did you mean 'x'?" if there is one. */
void nearest_append(const struct nearest *nearest, struct sbuf *out);

#endif
