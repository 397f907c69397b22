/*
 * jsonw: a small writer for log lines, denials and reports. It appends to an sbuf and looks after commas; escaping
 * follows RFC 8259, and bytes that are not UTF-8 become U+FFFD, so one line is always one valid JSON value.
 */
#ifndef SALLYPORT_BASE_JSONW_H
#define SALLYPORT_BASE_JSONW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sbuf.h"
#include "base/slice.h"

struct jsonw {
    struct sbuf *out;
    bool comma; /* the next member or element needs a comma first */
};

void jsonw_init(struct jsonw *json, struct sbuf *out);
/* key NULL: an element of an array, or the top value. */
void jsonw_open_object(struct jsonw *json, const char *key);
void jsonw_close_object(struct jsonw *json);
void jsonw_open_array(struct jsonw *json, const char *key);
void jsonw_close_array(struct jsonw *json);
void jsonw_string(struct jsonw *json, const char *key, struct slice value);
void jsonw_str(struct jsonw *json, const char *key, const char *value); /* NULL becomes null */
void jsonw_int(struct jsonw *json, const char *key, int64_t value);
/* Microseconds as milliseconds: 1234 becomes 1.234. */
void jsonw_ms(struct jsonw *json, const char *key, int64_t us);
void jsonw_bool(struct jsonw *json, const char *key, bool value);
void jsonw_null(struct jsonw *json, const char *key);
/* Members, or elements, that were written before by a jsonw that did nothing else. Empty: nothing. */
void jsonw_written(struct jsonw *json, struct slice members);
/* Just the quoted, escaped string. */
void jsonw_escape(struct sbuf *out, struct slice value);

#endif
