/*
 * arena: bump allocation out of blocks that are freed together. The arena itself lives in its first block.
 *
 * Blocks of 1 to 64 KiB (powers of two) go to a per-process cache when freed; larger ones go back to the heap. Used
 * by the event loop's thread only, so the cache needs no lock. Under AddressSanitizer nothing is cached and what is
 * not handed out is poisoned, so that a use after free and a small overrun are found as with malloc.
 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(ptr, size) ASAN_POISON_MEMORY_REGION(ptr, size)
#define UNPOISON(ptr, size) ASAN_UNPOISON_MEMORY_REGION(ptr, size)
#define RED_ZONE 16
#define CACHE_PER_CLASS 0
#else
#define POISON(ptr, size) ((void)(ptr))
#define UNPOISON(ptr, size) ((void)(ptr))
#define RED_ZONE 0
#define CACHE_PER_CLASS 64
#endif

#define ALIGNMENT alignof(max_align_t)
#define CLASS_MIN 1024
#define CLASS_COUNT 7
#define CLASS_MAX (CLASS_MIN << (CLASS_COUNT - 1))

struct block {
    struct block *older;
    size_t size; /* of `bytes` */
    size_t used;
    alignas(max_align_t) char bytes[];
};

struct arena {
    struct block *first;
    struct block *newest;  /* where small pieces come from */
    size_t next_size;      /* of the next block, header included */
    size_t used;           /* bytes handed out */
    size_t first_occupied; /* of the first block, by this struct */
};

static struct {
    struct block *head;
    size_t count;
} cache[CLASS_COUNT];

/* Index of the smallest class that holds size bytes, or -1. */
static int class_of(size_t size) {
    for (int i = 0; i < CLASS_COUNT; i++) {
        if (size <= (size_t)CLASS_MIN << i)
            return i;
    }
    return -1;
}

/* total counts the header. */
static struct block *block_new(size_t total) {
    int class = class_of(total);
    struct block *block;
    if (class >= 0 && cache[class].head) {
        block = cache[class].head;
        cache[class].head = block->older;
        cache[class].count--;
    } else {
        if (class >= 0)
            total = (size_t)CLASS_MIN << class;
        block = mem_resize(NULL, total);
        block->size = total - sizeof *block;
    }
    block->older = NULL;
    block->used = 0;
    POISON(block->bytes, block->size);
    return block;
}

static void block_free(struct block *block) {
    int class = class_of(block->size + sizeof *block);
    UNPOISON(block->bytes, block->size);
    if (class >= 0 && cache[class].count + 1 <= CACHE_PER_CLASS) {
        block->older = cache[class].head;
        cache[class].head = block;
        cache[class].count++;
    } else {
        mem_free(block);
    }
}

/* Takes size bytes at the alignment out of the block, or returns NULL. */
static char *block_take(struct block *block, size_t size, size_t alignment) {
    size_t at = (block->used + alignment - 1) & ~(alignment - 1);
    if (at > block->size || size > block->size - at)
        return NULL;
    UNPOISON(block->bytes + at, size);
    block->used = at + size + RED_ZONE;
    if (block->used > block->size)
        block->used = block->size;
    return block->bytes + at;
}

struct arena *arena_new(size_t first_block) {
    size_t least = sizeof(struct block) + sizeof(struct arena) + RED_ZONE + ALIGNMENT;
    struct block *block = block_new(first_block > least ? first_block : least);
    struct arena *arena = (struct arena *)(void *)block_take(block, sizeof *arena, ALIGNMENT);
    *arena = (struct arena){.first = block, .newest = block, .first_occupied = block->used};
    arena->next_size = block->size < CLASS_MAX / 2 ? 2 * (block->size + sizeof *block) : CLASS_MAX;
    return arena;
}

static void free_newer_blocks(struct arena *arena) {
    struct block *block = arena->newest;
    while (block != arena->first) {
        struct block *older = block->older;
        block_free(block);
        block = older;
    }
}

void arena_free(struct arena *arena) {
    if (!arena)
        return;
    struct block *first = arena->first;
    free_newer_blocks(arena);
    block_free(first);
}

void arena_reset(struct arena *arena) {
    free_newer_blocks(arena);
    struct block *first = arena->first;
    arena->newest = first;
    arena->used = 0;
    first->used = arena->first_occupied;
    POISON(first->bytes + first->used, first->size - first->used);
}

/* A large piece gets a block of its own, put behind the newest, whose rest stays in use. (Not behind the first, which
 * ends the list.) */
static char *take_from_new_block(struct arena *arena, size_t size, size_t alignment) {
    size_t total = sizeof(struct block) + size + RED_ZONE;
    if (total > arena->next_size / 2 && arena->newest != arena->first) {
        struct block *own = block_new(total);
        own->older = arena->newest->older;
        arena->newest->older = own;
        return block_take(own, size, alignment);
    }
    struct block *block = block_new(total > arena->next_size ? total : arena->next_size);
    block->older = arena->newest;
    arena->newest = block;
    if (arena->next_size < CLASS_MAX)
        arena->next_size *= 2;
    return block_take(block, size, alignment);
}

static char *take(struct arena *arena, size_t size, size_t alignment) {
    INVARIANT(size < PTRDIFF_MAX / 2);
    char *place = block_take(arena->newest, size, alignment);
    if (!place)
        place = take_from_new_block(arena, size, alignment);
    arena->used += size;
    return place;
}

void *arena_alloc(struct arena *arena, size_t size) { return memset(take(arena, size, ALIGNMENT), 0, size); }

char *arena_bytes(struct arena *arena, size_t size) { return take(arena, size, 1); }

struct slice arena_dup(struct arena *arena, struct slice s) {
    char *copy = arena_bytes(arena, s.len);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return slice_make(copy, s.len);
}

char *arena_str(struct arena *arena, struct slice s) {
    char *copy = arena_bytes(arena, s.len + 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

char *arena_printf(struct arena *arena, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    INVARIANT(len >= 0);
    char *text = arena_bytes(arena, (size_t)len + 1);
    vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return text;
}

size_t arena_used(const struct arena *arena) { return arena->used; }
