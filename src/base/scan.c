/*
 * scan: sixteen bytes are one vector, and a few operations tell whether any of them is in a class. Which one it is, is
 * looked up byte by byte. Vectors are the compiler's (gcc, clang): SSE2 on x86-64, NEON on
 * aarch64, plain words elsewhere.
 */
#include "base/scan.h"

#include <stdint.h>

#define DEL 0x7f
#define WIDTH 16

typedef uint8_t bytes __attribute__((vector_size(WIDTH)));

static inline bytes load(const char *from) {
    bytes v;
    memcpy(&v, from, sizeof v);
    return v;
}

/* Of a vector whose bytes are 0 or 0xff. */
static inline bool has_any(bytes v) {
    uint64_t halves[2];
    memcpy(halves, &v, sizeof halves);
    return (halves[0] | halves[1]) != 0;
}

/* All the bytes of a text shorter than a vector, and nothing else: some of them twice. */
static inline bytes load_short(struct slice s) {
    uint64_t halves[2];
    if (s.len >= 8) {
        memcpy(&halves[0], s.ptr, 8);
        memcpy(&halves[1], s.ptr + s.len - 8, 8);
    } else if (s.len >= 4) {
        uint32_t first, last;
        memcpy(&first, s.ptr, 4);
        memcpy(&last, s.ptr + s.len - 4, 4);
        halves[0] = halves[1] = (uint64_t)first << 32 | last;
    } else {
        uint64_t first = (unsigned char)s.ptr[0], middle = (unsigned char)s.ptr[s.len / 2];
        uint64_t last = (unsigned char)s.ptr[s.len - 1];
        halves[0] = halves[1] = UINT64_C(0x0101010101) * first | middle << 40 | last << 48 | last << 56;
    }
    bytes v;
    memcpy(&v, halves, sizeof v);
    return v;
}

static inline bool has_control(bytes v) { return has_any((bytes)((v < 0x20) | (v == DEL))); }

/* Something else than 0x20 to 0x7e without those two. */
static inline bool has_special(bytes v) {
    return has_any((bytes)((v - 0x20 > DEL - 1 - 0x20) | (v == '"') | (v == '\\')));
}

static inline bool is_printable(char c) { return (unsigned char)c >= 0x20 && c != DEL; }

static inline bool is_json(char c) { return is_printable(c) && (unsigned char)c < DEL && c != '"' && c != '\\'; }

/* The last vector overlaps the one before it. Inlined into both callers, so that nothing is called for a byte. */
static inline __attribute__((always_inline)) size_t scan(struct slice s, bool (*has_other)(bytes),
                                                         bool (*is_ordinary)(char)) {
    size_t at = 0;
    if (s.len < WIDTH) {
        if (s.len == 0 || !has_other(load_short(s)))
            return s.len;
    } else {
        while (s.len - at > WIDTH && !has_other(load(s.ptr + at)))
            at += WIDTH;
        if (s.len - at <= WIDTH && !has_other(load(s.ptr + s.len - WIDTH)))
            return s.len;
    }
    while (at < s.len && is_ordinary(s.ptr[at]))
        at++;
    return at;
}

static inline bool has_other_than_name(bytes v) {
    bytes letter = (v | 0x20) - 'a', digit = v - '0';
    return has_any((bytes)((letter > 'z' - 'a') & (digit > 9) & (v != '-')));
}

bool scan_is_plain_name(struct slice s) {
    if (s.len < WIDTH)
        return s.len > 0 && !has_other_than_name(load_short(s));
    for (size_t at = 0; s.len - at > WIDTH; at += WIDTH) {
        if (has_other_than_name(load(s.ptr + at)))
            return false;
    }
    return !has_other_than_name(load(s.ptr + s.len - WIDTH));
}

size_t scan_printable(struct slice s) { return scan(s, has_control, is_printable); }

size_t scan_json(struct slice s) { return scan(s, has_special, is_json); }
