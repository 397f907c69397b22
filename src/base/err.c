/*
 * err: the error text of set-up code, and the end of the program on a broken invariant.
 *
 * Texts are rendered into a scratch first, so that an error may be built from its own old text.
 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int err_set(struct err *err, const char *format, ...) {
    if (!err)
        return -1;
    char text[sizeof err->text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(err->text, text, strlen(text) + 1);
    return -1;
}

int err_context(struct err *err, const char *format, ...) {
    if (!err)
        return -1;
    char text[sizeof err->text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);

    /* What does not fit is cut off the old text: the context says where to look. */
    size_t context_len = strnlen(text, sizeof text - sizeof ": ");
    size_t old_len = strnlen(err->text, sizeof err->text - sizeof ": " - context_len);
    memmove(err->text + context_len + 2, err->text, old_len);
    memcpy(err->text, text, context_len);
    memcpy(err->text + context_len, ": ", 2);
    err->text[context_len + 2 + old_len] = '\0';
    return -1;
}

void err_broken_invariant(const char *condition, const char *file, int line) {
    fprintf(stderr, "sallyport: broken invariant: %s (%s:%d)\n", condition, file, line);
    abort();
}
