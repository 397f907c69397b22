/*
 * slice: a view of bytes that somebody else owns. Not NUL-terminated. Comparison is by length and bytes; the
 * `_nocase` forms fold ASCII only (RFC 9110 field names and host names are ASCII).
 */
#ifndef SALLYPORT_BASE_SLICE_H
#define SALLYPORT_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *ptr;
    size_t len;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})
#define SLICE_NONE ((struct slice){NULL, 0})
/* For printf: printf("name=" SLICE_FMT, SLICE_ARG(name)) */
#define SLICE_FMT "%.*s"
#define SLICE_ARG(s) (int)(s).len, (s).ptr ? (s).ptr : ""

static inline struct slice slice_make(const void *ptr, size_t len) { return (struct slice){(const char *)ptr, len}; }
/* text may be NULL: the result is SLICE_NONE then. */
static inline struct slice slice_of(const char *text) { return (struct slice){text, text ? strlen(text) : 0}; }
static inline bool slice_is_empty(struct slice s) { return s.len == 0; }

/* A slice of length 0 may have any pointer, also NULL, so nothing here hands a zero length to memcmp or memchr. */
static inline bool slice_eq(struct slice a, struct slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool slice_eq_str(struct slice a, const char *text) { return slice_eq(a, slice_of(text)); }
/* Of two slices of the same length; use slice_eq_nocase(). */
bool slice_same_folded(struct slice a, struct slice b);
static inline bool slice_eq_nocase(struct slice a, struct slice b) { return a.len == b.len && slice_same_folded(a, b); }
bool slice_starts_with(struct slice s, struct slice prefix);
bool slice_starts_with_nocase(struct slice s, struct slice prefix);
bool slice_ends_with(struct slice s, struct slice suffix);
/* Byte order, shorter first on a common prefix; for qsort and sorted tables. */
int slice_compare(struct slice a, struct slice b);
/* Index of the first c, or s.len. */
size_t slice_index(struct slice s, char c);
/* Without the first n bytes / only the first n bytes; n is clamped to the length. */
static inline struct slice slice_after(struct slice s, size_t n) {
    n = n < s.len ? n : s.len;
    return n ? slice_make(s.ptr + n, s.len - n) : s;
}
static inline struct slice slice_first(struct slice s, size_t n) { return slice_make(s.ptr, n < s.len ? n : s.len); }
/* Without spaces and tabs (OWS of RFC 9110 5.6.3) on both ends. */
struct slice slice_trim(struct slice s);
/* Cuts at the first separator: *head is what stands before it, the return value what stands after. Without a
 * separator *head is all of s and the rest is SLICE_NONE (ptr NULL). */
struct slice slice_cut(struct slice s, char separator, struct slice *head_out);
/* An unsigned decimal number of 1 to 18 digits and nothing else. */
bool slice_to_u64(struct slice s, unsigned long long *value_out);

static inline char ascii_lower(char c) { return (c >= 'A' && c <= 'Z') ? (char)(c + 32) : c; }

#endif
