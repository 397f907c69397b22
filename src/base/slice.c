/*
 * slice: comparison, search and cutting of borrowed bytes. Pure, no allocation. A slice of length 0 may have any
 * pointer, also NULL, so nothing here hands a zero length to memcmp or memchr.
 */
#include "base/slice.h"

bool slice_same_folded(struct slice a, struct slice b) {
    for (size_t i = 0; i < a.len; i++) {
        if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
            return false;
    }
    return true;
}

bool slice_starts_with(struct slice s, struct slice prefix) {
    return s.len >= prefix.len && slice_eq(slice_first(s, prefix.len), prefix);
}

bool slice_starts_with_nocase(struct slice s, struct slice prefix) {
    return s.len >= prefix.len && slice_eq_nocase(slice_first(s, prefix.len), prefix);
}

bool slice_ends_with(struct slice s, struct slice suffix) {
    return s.len >= suffix.len && slice_eq(slice_after(s, s.len - suffix.len), suffix);
}

int slice_compare(struct slice a, struct slice b) {
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.ptr, b.ptr, common) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

size_t slice_index(struct slice s, char c) {
    const char *found = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return found ? (size_t)(found - s.ptr) : s.len;
}

struct slice slice_trim(struct slice s) {
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = slice_after(s, 1);
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

struct slice slice_cut(struct slice s, char separator, struct slice *head_out) {
    size_t at = slice_index(s, separator);
    *head_out = slice_first(s, at);
    return at == s.len ? SLICE_NONE : slice_after(s, at + 1);
}

bool slice_to_u64(struct slice s, unsigned long long *value_out) {
    unsigned long long value = 0;
    if (s.len == 0 || s.len > 18)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        value = value * 10 + (unsigned)(s.ptr[i] - '0');
    }
    *value_out = value;
    return true;
}
