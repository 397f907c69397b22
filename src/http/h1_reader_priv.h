/*
 * h1_reader_priv: collects one head out of what arrives. A head that is whole in one piece of input, the usual case, is
 * never copied here. Used by h1c and h1_client.
 */
#ifndef SALLYPORT_SRC_HTTP_H1_READER_PRIV_H
#define SALLYPORT_SRC_HTTP_H1_READER_PRIV_H

#include "http/h1_parse.h"

struct h1_reader {
    struct sbuf collected; /* an incomplete head */
    size_t scanned;        /* how much of it h1_scan_head() has seen */
    size_t limit;
};

void h1_reader_init(struct h1_reader *reader, size_t limit);
void h1_reader_fini(struct h1_reader *reader);
/* Takes bytes up to the end of the head, never beyond. *head_out is a view into bytes or into the reader, valid until
 * the next call; when BAD or TOO_LARGE it is what has come so far. */
enum h1_scan h1_reader_take(struct h1_reader *reader, struct slice bytes, size_t *taken_out, struct slice *head_out);
/* Ready for the next head. */
void h1_reader_reset(struct h1_reader *reader);
static inline bool h1_reader_has_begun(const struct h1_reader *reader) { return reader->collected.len > 0; }

#endif
