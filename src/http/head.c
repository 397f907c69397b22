/*
 * head: the header list that requests, responses and trailers share. It grows in its arena and never copies what it is
 * given; looking a header up is a walk, because a head holds at most a hundred of them.
 */
#include "http/head.h"

const char *http_version_name(enum http_version version) {
    switch (version) {
    case HTTP_1_0:
        return "HTTP/1.0";
    case HTTP_1_1:
        return "HTTP/1.1";
    case HTTP_2:
        return "HTTP/2";
    }
    return "HTTP/?";
}

void headers_init(struct headers *headers, struct arena *arena) { *headers = (struct headers){.arena = arena}; }

void headers_add(struct headers *headers, struct slice name, struct slice value) {
    if (headers->count == headers->cap) {
        size_t cap = headers->cap ? headers->cap * 2 : 16;
        struct header *items = ARENA_ARRAY(headers->arena, struct header, cap);
        if (headers->count) {
            memcpy(items, headers->items, headers->count * sizeof(*items));
        }
        headers->items = items;
        headers->cap = cap;
    }
    headers->items[headers->count++] = (struct header){name, value};
}

const struct header *headers_find(const struct headers *headers, struct slice name) {
    for (size_t i = 0; i < headers->count; i++) {
        if (slice_eq_nocase(headers->items[i].name, name)) {
            return &headers->items[i];
        }
    }
    return NULL;
}

void headers_remove(struct headers *headers, struct slice name, bool (*is_same)(struct slice, struct slice)) {
    size_t kept = 0;
    for (size_t i = 0; i < headers->count; i++) {
        if (!is_same(headers->items[i].name, name)) {
            headers->items[kept++] = headers->items[i];
        }
    }
    headers->count = kept;
}

size_t headers_count(const struct headers *headers, struct slice name) {
    size_t count = 0;
    for (size_t i = 0; i < headers->count; i++) {
        count += slice_eq_nocase(headers->items[i].name, name);
    }
    return count;
}

struct slice headers_join(const struct headers *headers, struct slice name, struct arena *arena) {
    size_t total = 0, count = 0, at = 0;
    struct slice only = SLICE_NONE;
    for (size_t i = 0; i < headers->count; i++) {
        if (headers->items[i].value.len && slice_eq_nocase(headers->items[i].name, name)) {
            only = headers->items[i].value;
            total += only.len + 2;
            count++;
        }
    }
    if (count < 2) {
        return only;
    }
    char *all = arena_bytes(arena, total);
    for (size_t i = 0; i < headers->count; i++) {
        const struct header *header = &headers->items[i];
        if (header->value.len && slice_eq_nocase(header->name, name)) {
            memcpy(all + at, header->value.ptr, header->value.len);
            memcpy(all + at + header->value.len, ", ", 2);
            at += header->value.len + 2;
        }
    }
    return slice_make(all, total - 2);
}

/* #element => [ element ] *( OWS "," OWS [ element ] )     (RFC 9110 5.6.1.2: empty elements are skipped) */
static bool list_has_token(struct slice list, struct slice token) {
    while (list.ptr) {
        struct slice element;
        list = slice_cut(list, ',', &element);
        if (slice_eq_nocase(slice_trim(element), token)) {
            return true;
        }
    }
    return false;
}

bool headers_has_token(const struct headers *headers, struct slice name, struct slice token) {
    if (slice_is_empty(token)) {
        return false;
    }
    for (size_t i = 0; i < headers->count; i++) {
        if (slice_eq_nocase(headers->items[i].name, name) && list_has_token(headers->items[i].value, token)) {
            return true;
        }
    }
    return false;
}
