/*
 * log: the error log. One line: time, level, message, scopes. The scopes say whom the line is about and what was
 * being done ("client=192.0.2.7:4711 ray=... while connecting to upstream"), so messages need not.
 *
 * Lines go to a sink (base/logsink.h), which never blocks. Before log_set_sink() they go to stderr.
 */
#ifndef SALLYPORT_BASE_LOG_H
#define SALLYPORT_BASE_LOG_H

#include "base/err.h"
#include "base/sbuf.h"
#include "base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

struct logsink;

/* A scope lives on the stack or in the object it describes while it is pushed. describe() appends "key=value" or "while
 * ...". */
struct log_scope {
    void (*describe)(const void *subject, struct sbuf *out);
    const void *subject;
    const struct log_scope *parent;
};

void log_set_level(enum log_level level);
bool log_level_from_name(struct slice name, enum log_level *level_out);
/* NULL: stderr again. The sink stays the caller's. */
void log_set_sink(struct logsink *sink);
void log_push(struct log_scope *scope);
void log_pop(struct log_scope *scope);
void log_write(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

#endif
