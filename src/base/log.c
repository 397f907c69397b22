/*
 * log: renders the lines of the error log. A line stays one line whatever a message or a scope holds: control
 * characters are escaped. Used by the event loop's thread only.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/logsink.h"

#define MESSAGE_SIZE 8192

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARNING] = "warning", [LOG_ERROR] = "error"};

static enum log_level lowest_level = LOG_INFO;
static struct logsink *current_sink;
static const struct log_scope *innermost;

void log_set_level(enum log_level level) { lowest_level = level; }

bool log_level_from_name(struct slice name, enum log_level *level_out) {
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        if (slice_eq_str(name, level_names[i])) {
            *level_out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_set_sink(struct logsink *sink) { current_sink = sink; }

void log_push(struct log_scope *scope) {
    scope->parent = innermost;
    innermost = scope;
}

void log_pop(struct log_scope *scope) {
    INVARIANT(innermost == scope);
    innermost = scope->parent;
}

/* The outermost scope first: who, then what was being done. */
static void describe_scopes(const struct log_scope *scope, struct sbuf *out) {
    if (!scope)
        return;
    describe_scopes(scope->parent, out);
    sbuf_append_char(out, ' ');
    scope->describe(scope->subject, out);
}

static void write_to_stderr(struct slice line) {
    while (line.len > 0) {
        ssize_t written = write(STDERR_FILENO, line.ptr, line.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        line = slice_after(line, (size_t)written);
    }
}

void log_write(enum log_level level, const char *format, ...) {
    if (level < lowest_level)
        return;
    char message[MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    bool is_cut = vsnprintf(message, sizeof message, format, args) >= (int)sizeof message;
    va_end(args);

    struct sbuf raw, line;
    sbuf_init(&raw, 2 * MESSAGE_SIZE);
    sbuf_init(&line, 8 * MESSAGE_SIZE + 2 * CLOCK_TEXT_SIZE);
    sbuf_append_str(&raw, message);
    sbuf_append_str(&raw, is_cut ? "..." : "");
    describe_scopes(innermost, &raw);

    char time_text[CLOCK_TEXT_SIZE];
    sbuf_printf(&line, "%s %s ", clock_format_ms(clock_wall_us(), time_text), level_names[level]);
    sbuf_append_printable(&line, sbuf_slice(&raw));
    if (current_sink) {
        logsink_line(current_sink, sbuf_slice(&line));
    } else {
        sbuf_append_char(&line, '\n');
        write_to_stderr(sbuf_slice(&line));
    }
    sbuf_fini(&raw);
    sbuf_fini(&line);
}
