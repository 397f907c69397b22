/*
 * map: byte string to pointer, open addressing, keyed hash (a client that chooses keys cannot make them collide).
 * Keys are not copied: they must live as long as the map, normally in the same arena as the values.
 */
#ifndef SALLYPORT_BASE_MAP_H
#define SALLYPORT_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct map_entry {
    struct slice key;
    void *value; /* NULL marks an empty place */
};

struct map {
    struct map_entry *entries;
    size_t cap, count;
};

/* SipHash-1-3 with a per-process random key. */
uint64_t map_hash(struct slice key);
/* The same with a given key. */
uint64_t map_hash_keyed(const uint64_t key[2], struct slice s);
void map_init(struct map *map);
void map_fini(struct map *map);
/* value must not be NULL. Returns the value that stood there before, or NULL. */
void *map_put(struct map *map, struct slice key, void *value);
void *map_get(const struct map *map, struct slice key);
void *map_remove(struct map *map, struct slice key);
/* for (size_t i = 0; (e = map_next(map, &i)) != NULL;) */
const struct map_entry *map_next(const struct map *map, size_t *cursor);

#endif
