/*
 * scan: sixteen bytes are one vector, and a few operations tell whether any of them is in a class. Which one it is, and
 * what is left at the end, is looked up byte by byte. Vectors are the compiler's (gcc, clang): SSE2 on x86-64, NEON on
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

static inline bool is_printable(char c) { return (unsigned char)c >= 0x20 && c != DEL; }

static inline bool is_json(char c) { return is_printable(c) && (unsigned char)c < DEL && c != '"' && c != '\\'; }

size_t scan_printable(struct slice s) {
    size_t at = 0;
    while (s.len - at >= WIDTH) {
        bytes v = load(s.ptr + at);
        if (has_any((bytes)((v < 0x20) | (v == DEL))))
            break;
        at += WIDTH;
    }
    while (at < s.len && is_printable(s.ptr[at]))
        at++;
    return at;
}

size_t scan_json(struct slice s) {
    size_t at = 0;
    while (s.len - at >= WIDTH) {
        bytes v = load(s.ptr + at);
        /* Of 0x20 to 0x7e, less those two. */
        if (has_any((bytes)((v - 0x20 > DEL - 1 - 0x20) | (v == '"') | (v == '\\'))))
            break;
        at += WIDTH;
    }
    while (at < s.len && is_json(s.ptr[at]))
        at++;
    return at;
}
