/*
 * trace: the steps of a judgement, kept in order, for `explain`, `verify` and tests. Everything that judges takes a
 * `struct trace *` that may be NULL, and then costs one comparison.
 */
#ifndef SALLYPORT_BASE_TRACE_H
#define SALLYPORT_BASE_TRACE_H

#include <stddef.h>

#include "base/jsonw.h"
#include "base/sbuf.h"

enum trace_result { TRACE_INFO, TRACE_YES, TRACE_NO, TRACE_SKIPPED };

struct trace_entry {
    int depth;        /* 0: a step; 1 and more: part of the step above */
    const char *what; /* "hostname", "certificate", "crl", "ocsp", "application", "policy", "rule", "verdict" */
    enum trace_result result;
    char *text;
};

struct trace {
    struct trace_entry *entries;
    size_t count, cap;
    int depth; /* depth of the next entry; trace_enter and trace_leave move it */
};

void trace_init(struct trace *trace);
void trace_fini(struct trace *trace);
/* what is static. A NULL trace is fine for all three. */
void trace_add(struct trace *trace, const char *what, enum trace_result result, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void trace_enter(struct trace *trace);
void trace_leave(struct trace *trace);
/* Indented text, one line an entry. */
void trace_print(const struct trace *trace, struct sbuf *out);
/* The member "trace": an array of {"depth","step","result","text"}; result is info, yes, no or skipped. trace may be
 * NULL: an empty array. */
void trace_write_json(const struct trace *trace, struct jsonw *json);

#endif
