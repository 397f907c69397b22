/*
 * err: how set-up code reports failure, and how a bug of our own stops the program.
 *
 * Set-up functions return 0 or -1 and take a `struct err *` last; the function that fails writes the text, each
 * caller may put its context in front once, and the one who handles it logs it once. Traffic code does not use
 * this: it returns enums that say what to do next.
 */
#ifndef SALLYPORT_BASE_ERR_H
#define SALLYPORT_BASE_ERR_H

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_index, first_argument) __attribute__((format(printf, format_index, first_argument)))

/* One error text, always NUL-terminated. Lives on the caller's stack. */
struct err {
    char text[1024];
};

/* Sets the text (truncated to fit). Returns -1 always, so that `return err_set(err, ...)` reads well. err may be NULL.
 */
int err_set(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* Puts "context: " in front of the text. Returns -1 always. err may be NULL. */
int err_context(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* Prints the broken condition with its place to stderr and aborts. Use through INVARIANT. */
_Noreturn void err_broken_invariant(const char *condition, const char *file, int line);

/* A condition that only a bug of our own can break; on in every build. */
#define INVARIANT(condition) ((condition) ? (void)0 : err_broken_invariant(#condition, __FILE__, __LINE__))

#endif
