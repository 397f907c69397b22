/*
 * sbuf: a byte buffer that grows at its end and is consumed at its front, with a limit it never passes.
 * An append that would pass the limit changes nothing and sets `overflow`, which stays set: build the whole thing,
 * ask once at the end.
 */
#ifndef SALLYPORT_BASE_SBUF_H
#define SALLYPORT_BASE_SBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct sbuf {
    char *data;    /* allocation, or NULL */
    size_t start;  /* first unconsumed byte */
    size_t len;    /* unconsumed bytes */
    size_t cap;    /* size of the allocation */
    size_t limit;  /* most that len may become */
    bool overflow; /* an append did not fit */
};

/* No allocation until the first append. */
void sbuf_init(struct sbuf *buf, size_t limit);
/* Frees; the buffer can be used again with the same limit. */
void sbuf_fini(struct sbuf *buf);
/* Empties, clears overflow, keeps the memory. */
void sbuf_clear(struct sbuf *buf);
static inline struct slice sbuf_slice(const struct sbuf *buf) {
    return slice_make(buf->data ? buf->data + buf->start : "", buf->len);
}
/* Room left under the limit. */
static inline size_t sbuf_room(const struct sbuf *buf) { return buf->limit - buf->len; }
/* sbuf_append() where the allocation is too small. */
void sbuf_append_growing(struct sbuf *buf, struct slice s);
static inline void sbuf_append(struct sbuf *buf, struct slice s) {
    if (s.len == 0)
        return;
    if (s.len < buf->cap - buf->start - buf->len && s.len <= sbuf_room(buf)) {
        memcpy(buf->data + buf->start + buf->len, s.ptr, s.len);
        buf->len += s.len;
    } else {
        sbuf_append_growing(buf, s);
    }
}
static inline void sbuf_append_str(struct sbuf *buf, const char *text) { sbuf_append(buf, slice_of(text)); }
static inline void sbuf_append_char(struct sbuf *buf, char c) { sbuf_append(buf, slice_make(&c, 1)); }
void sbuf_append_u64(struct sbuf *buf, unsigned long long value);
/* For terminals and logs: control characters and bytes that are not UTF-8 become \xNN. */
void sbuf_append_printable(struct sbuf *buf, struct slice s);
void sbuf_printf(struct sbuf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sbuf_vprintf(struct sbuf *buf, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
/* Space for at least want bytes at the end, to be filled by the caller, then sbuf_commit(). NULL past the limit. */
char *sbuf_reserve(struct sbuf *buf, size_t want);
void sbuf_commit(struct sbuf *buf, size_t added);
/* Drops n bytes from the front; an empty buffer gives its memory back when it is larger than 16 KiB. */
void sbuf_consume(struct sbuf *buf, size_t n);
/* NUL-terminated text of the buffer's content (the NUL is not counted). */
const char *sbuf_text(struct sbuf *buf);

#endif
