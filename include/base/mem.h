/*
 * mem: heap allocation that never returns NULL. Running out of memory ends the process with a message: sizes that
 * a client drives are bounded before they are allocated, so this is either a bug or a machine that is too small.
 */
#ifndef SALLYPORT_BASE_MEM_H
#define SALLYPORT_BASE_MEM_H

#include <stddef.h>

/* Zeroed memory. */
void *mem_new(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_new_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *mem_resize(void *ptr, size_t size) __attribute__((returns_nonnull));
char *mem_strdup(const char *text) __attribute__((malloc, returns_nonnull));
char *mem_strndup(const char *text, size_t len) __attribute__((malloc, returns_nonnull));
void *mem_dup(const void *ptr, size_t size) __attribute__((malloc, returns_nonnull));
char *mem_printf(const char *format, ...) __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));
/* free() that says whose memory it is; NULL is fine. */
void mem_free(void *ptr);
/* Overwrites in a way the compiler keeps. */
void mem_wipe(void *ptr, size_t size);
/* For secrets: overwrites, then frees. NULL is fine. */
void mem_wipe_free(void *ptr, size_t size);
/* Gives back to the system what was freed: after work that took much more than it left. Milliseconds for a large heap.
 */
void mem_trim(void);

#define NEW(type) ((type *)mem_new(sizeof(type)))
#define NEW_ARRAY(type, count) ((type *)mem_new_array((count), sizeof(type)))

#endif
