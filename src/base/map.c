/*
 * map: linear probing in a table of a power of two, at most three quarters full. Removal moves the entries behind
 * the gap up, so there are no tombstones. The hash is SipHash-1-3 with a key drawn once per process.
 */
#include "base/map.h"

#include <endian.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/id.h"
#include "base/mem.h"

#define MAP_FIRST 16

static uint64_t rotate(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }

static inline void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static uint64_t read_le64(const char *from) {
    uint64_t word;
    memcpy(&word, from, sizeof word);
    return le64toh(word);
}

uint64_t map_hash_keyed(const uint64_t key[2], struct slice s) {
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
                     key[1] ^ 0x7465646279746573};
    const char *from = s.ptr;
    for (size_t left = s.len / 8; left > 0; left--, from += 8) {
        uint64_t word = read_le64(from);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)s.len << 56;
    for (size_t i = 0; i < s.len % 8; i++)
        last |= (uint64_t)(unsigned char)from[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t map_hash(struct slice key) {
    static uint64_t secret[2];
    static bool is_drawn;
    if (!is_drawn) {
        random_bytes(secret, sizeof secret);
        is_drawn = true;
    }
    return map_hash_keyed(secret, key);
}

void map_init(struct map *map) { *map = (struct map){0}; }

void map_fini(struct map *map) {
    mem_free(map->entries);
    map_init(map);
}

/* The place of the key, or the empty one where it belongs. The table must have an empty place. */
static struct map_entry *find(const struct map *map, struct slice key) {
    size_t at = map_hash(key) & (map->cap - 1);
    while (map->entries[at].value && !slice_eq(map->entries[at].key, key))
        at = (at + 1) & (map->cap - 1);
    return &map->entries[at];
}

static void grow(struct map *map) {
    struct map old = *map;
    map->cap = old.cap ? old.cap * 2 : MAP_FIRST;
    map->entries = NEW_ARRAY(struct map_entry, map->cap);
    for (size_t i = 0; i < old.cap; i++) {
        if (old.entries[i].value)
            *find(map, old.entries[i].key) = old.entries[i];
    }
    mem_free(old.entries);
}

void *map_put(struct map *map, struct slice key, void *value) {
    INVARIANT(value != NULL);
    if (map->count >= map->cap / 4 * 3)
        grow(map);
    struct map_entry *entry = find(map, key);
    void *before = entry->value;
    if (!before)
        map->count++;
    *entry = (struct map_entry){key, value};
    return before;
}

void *map_get(const struct map *map, struct slice key) { return map->count ? find(map, key)->value : NULL; }

void *map_remove(struct map *map, struct slice key) {
    struct map_entry *gap = map->count ? find(map, key) : NULL;
    if (!gap || !gap->value)
        return NULL;
    void *before = gap->value;
    size_t mask = map->cap - 1, empty = (size_t)(gap - map->entries);
    for (size_t at = (empty + 1) & mask; map->entries[at].value; at = (at + 1) & mask) {
        /* An entry may move into the gap unless its own place lies between the gap and where it is. */
        size_t home = map_hash(map->entries[at].key) & mask;
        if (((at - home) & mask) >= ((at - empty) & mask)) {
            map->entries[empty] = map->entries[at];
            empty = at;
        }
    }
    map->entries[empty] = (struct map_entry){SLICE_NONE, NULL};
    map->count--;
    return before;
}

const struct map_entry *map_next(const struct map *map, size_t *cursor) {
    while (*cursor < map->cap) {
        const struct map_entry *entry = &map->entries[(*cursor)++];
        if (entry->value)
            return entry;
    }
    return NULL;
}
