/*
 * json: a small writer for log lines, denials and reports. It appends to an sbuf and looks after commas; escaping
 * follows RFC 8259, and bytes that are not UTF-8 become U+FFFD, so one line is always one valid JSON value.
 */
#ifndef SALLYPORT_BASE_JSON_H
#define SALLYPORT_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sbuf.h"
#include "base/slice.h"

struct json {
    struct sbuf *out;
    bool comma; /* the next member or element needs a comma first */
};

void json_init(struct json *json, struct sbuf *out);
/* key NULL: an element of an array, or the top value. */
void json_open_object(struct json *json, const char *key);
void json_close_object(struct json *json);
void json_open_array(struct json *json, const char *key);
void json_close_array(struct json *json);
void json_string(struct json *json, const char *key, struct slice value);
void json_str(struct json *json, const char *key, const char *value); /* NULL becomes null */
void json_int(struct json *json, const char *key, int64_t value);
void json_fixed(struct json *json, const char *key, double value, int decimals);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);
/* Just the quoted, escaped string. */
void json_escape(struct sbuf *out, struct slice value);

#endif
