/*
 * h1_reader: the buffer for an incomplete head. It holds at most the limit of a head, and gives its memory back with
 * the end of the head when it is large, because idle connections are many.
 */
#include "h1_reader_priv.h"

void h1_reader_init(struct h1_reader *reader, size_t limit) {
    *reader = (struct h1_reader){.limit = limit};
    sbuf_init(&reader->collected, limit);
}

void h1_reader_fini(struct h1_reader *reader) { sbuf_fini(&reader->collected); }

void h1_reader_reset(struct h1_reader *reader) {
    sbuf_consume(&reader->collected, reader->collected.len);
    reader->scanned = 0;
}

static enum h1_scan take_first(struct h1_reader *reader, struct slice bytes, size_t *taken_out,
                               struct slice *head_out) {
    size_t len = bytes.len;
    reader->scanned = 0;
    enum h1_scan scan = h1_scan_head(bytes, &reader->scanned, reader->limit, &len);
    if (scan == H1_INCOMPLETE) {
        sbuf_append(&reader->collected, bytes);
    }
    *head_out = slice_first(bytes, len);
    *taken_out = len;
    return scan;
}

enum h1_scan h1_reader_take(struct h1_reader *reader, struct slice bytes, size_t *taken_out, struct slice *head_out) {
    if (reader->collected.len == 0) {
        return take_first(reader, bytes, taken_out, head_out);
    }
    size_t before = reader->collected.len;
    sbuf_append(&reader->collected, slice_first(bytes, sbuf_room(&reader->collected)));
    size_t len = reader->collected.len;
    enum h1_scan scan = h1_scan_head(sbuf_slice(&reader->collected), &reader->scanned, reader->limit, &len);
    *head_out = slice_first(sbuf_slice(&reader->collected), len);
    *taken_out = len - before;
    return scan;
}
