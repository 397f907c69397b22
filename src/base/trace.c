/*
 * trace: the list of steps and its two forms, text and JSON. What it prints may hold names out of a certificate, so
 * they are made harmless for a terminal.
 */
#include "base/trace.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"

void trace_init(struct trace *trace) { *trace = (struct trace){0}; }

void trace_fini(struct trace *trace) {
    for (size_t i = 0; i < trace->count; i++)
        mem_free(trace->entries[i].text);
    mem_free(trace->entries);
    trace_init(trace);
}

void trace_add(struct trace *trace, const char *what, enum trace_result result, const char *format, ...) {
    if (!trace)
        return;
    if (trace->count == trace->cap) {
        trace->cap = trace->cap ? trace->cap * 2 : 16;
        trace->entries = mem_resize(trace->entries, trace->cap * sizeof *trace->entries);
    }
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    INVARIANT(len >= 0);
    trace->entries[trace->count++] =
        (struct trace_entry){.depth = trace->depth, .what = what, .result = result, .text = text};
}

void trace_enter(struct trace *trace) {
    if (trace)
        trace->depth++;
}

void trace_leave(struct trace *trace) {
    if (!trace)
        return;
    INVARIANT(trace->depth > 0);
    trace->depth--;
}

void trace_print(const struct trace *trace, struct sbuf *out) {
    static const char *const results[] = {
        [TRACE_INFO] = "", [TRACE_YES] = " => yes", [TRACE_NO] = " => no", [TRACE_SKIPPED] = " => skipped"};
    for (size_t i = 0; i < trace->count; i++) {
        const struct trace_entry *entry = &trace->entries[i];
        sbuf_printf(out, "%*s%s: ", 2 * entry->depth, "", entry->what);
        sbuf_append_printable(out, slice_of(entry->text));
        sbuf_append_str(out, results[entry->result]);
        sbuf_append_char(out, '\n');
    }
}

void trace_write_json(const struct trace *trace, struct jsonw *json) {
    static const char *const results[] = {
        [TRACE_INFO] = "info", [TRACE_YES] = "yes", [TRACE_NO] = "no", [TRACE_SKIPPED] = "skipped"};
    jsonw_open_array(json, "trace");
    for (size_t i = 0; trace && i < trace->count; i++) {
        const struct trace_entry *entry = &trace->entries[i];
        jsonw_open_object(json, NULL);
        jsonw_int(json, "depth", entry->depth);
        jsonw_str(json, "step", entry->what);
        jsonw_str(json, "result", results[entry->result]);
        jsonw_str(json, "text", entry->text);
        jsonw_close_object(json);
    }
    jsonw_close_array(json);
}
