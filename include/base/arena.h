/*
 * arena: memory with one lifetime, freed at once. One for each snapshot, client and exchange. Pointers point only
 * to things that live longer. Not for secrets.
 */
#ifndef SALLYPORT_BASE_ARENA_H
#define SALLYPORT_BASE_ARENA_H

#include <stddef.h>

#include "base/slice.h"

struct arena;

/* first_block is the size of the first block in bytes; later blocks grow to 64 KiB. Freed blocks of the common
 * sizes are kept on a small per-process list, so that a keep-alive request costs no malloc. */
struct arena *arena_new(size_t first_block);
void arena_free(struct arena *arena);
/* Forgets everything but keeps the first block. */
void arena_reset(struct arena *arena);
/* Zeroed, aligned for any type. Never NULL. */
void *arena_alloc(struct arena *arena, size_t size) __attribute__((returns_nonnull));
/* Not zeroed, byte-aligned. */
char *arena_bytes(struct arena *arena, size_t size) __attribute__((returns_nonnull));
struct slice arena_dup(struct arena *arena, struct slice s);
/* NUL-terminated copy. */
char *arena_str(struct arena *arena, struct slice s);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Bytes handed out so far, for tests and limits. */
size_t arena_used(const struct arena *arena);

#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_alloc((arena), sizeof(type) * (count)))

#endif
