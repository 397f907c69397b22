/*
 * mem: the heap, with one answer to its exhaustion. A request of 0 bytes yields a pointer that can be freed.
 */
#include "base/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

static void *mem_or_die(void *ptr, size_t size) {
    if (!ptr) {
        fprintf(stderr, "sallyport: out of memory (%zu bytes)\n", size);
        abort();
    }
    return ptr;
}

void *mem_new(size_t size) { return mem_or_die(calloc(1, size ? size : 1), size); }

void *mem_new_array(size_t count, size_t size) {
    INVARIANT(size == 0 || count <= PTRDIFF_MAX / size);
    return mem_new(count * size);
}

void *mem_resize(void *ptr, size_t size) { return mem_or_die(realloc(ptr, size ? size : 1), size); }

char *mem_strdup(const char *text) { return mem_strndup(text, strlen(text)); }

char *mem_strndup(const char *text, size_t len) {
    char *copy = mem_or_die(malloc(len + 1), len + 1);
    if (len)
        memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

void *mem_dup(const void *ptr, size_t size) {
    void *copy = mem_or_die(malloc(size ? size : 1), size);
    if (size)
        memcpy(copy, ptr, size);
    return copy;
}

char *mem_printf(const char *format, ...) {
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    return mem_or_die(len < 0 ? NULL : text, strlen(format));
}

void mem_free(void *ptr) { free(ptr); }

void mem_wipe(void *ptr, size_t size) {
    if (size)
        explicit_bzero(ptr, size);
}

void mem_wipe_free(void *ptr, size_t size) {
    if (ptr)
        mem_wipe(ptr, size);
    free(ptr);
}

void mem_trim(void) { (void)malloc_trim(0); }
