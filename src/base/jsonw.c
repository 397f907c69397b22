/*
 * jsonw: the writer. Commas follow from one flag, because nothing is written after a value but a comma or a bracket.
 */
#include "base/jsonw.h"

#include <math.h>

#include "base/encode.h"

void jsonw_init(struct jsonw *json, struct sbuf *out) { *json = (struct jsonw){.out = out}; }

/* The comma and the key, whatever value comes next. */
static void begin_value(struct jsonw *json, const char *key) {
    if (json->comma)
        sbuf_append_char(json->out, ',');
    json->comma = true;
    if (key) {
        jsonw_escape(json->out, slice_of(key));
        sbuf_append_char(json->out, ':');
    }
}

static void open_bracket(struct jsonw *json, const char *key, char bracket) {
    begin_value(json, key);
    sbuf_append_char(json->out, bracket);
    json->comma = false;
}

static void close_bracket(struct jsonw *json, char bracket) {
    sbuf_append_char(json->out, bracket);
    json->comma = true;
}

void jsonw_open_object(struct jsonw *json, const char *key) { open_bracket(json, key, '{'); }
void jsonw_close_object(struct jsonw *json) { close_bracket(json, '}'); }
void jsonw_open_array(struct jsonw *json, const char *key) { open_bracket(json, key, '['); }
void jsonw_close_array(struct jsonw *json) { close_bracket(json, ']'); }

void jsonw_string(struct jsonw *json, const char *key, struct slice value) {
    begin_value(json, key);
    jsonw_escape(json->out, value);
}

void jsonw_str(struct jsonw *json, const char *key, const char *value) {
    if (value)
        jsonw_string(json, key, slice_of(value));
    else
        jsonw_null(json, key);
}

void jsonw_int(struct jsonw *json, const char *key, int64_t value) {
    begin_value(json, key);
    if (value < 0)
        sbuf_append_char(json->out, '-');
    sbuf_append_u64(json->out, value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value);
}

void jsonw_fixed(struct jsonw *json, const char *key, double value, int decimals) {
    begin_value(json, key);
    if (isfinite(value))
        sbuf_printf(json->out, "%.*f", decimals, value);
    else
        sbuf_append_str(json->out, "null");
}

void jsonw_bool(struct jsonw *json, const char *key, bool value) {
    begin_value(json, key);
    sbuf_append_str(json->out, value ? "true" : "false");
}

void jsonw_null(struct jsonw *json, const char *key) {
    begin_value(json, key);
    sbuf_append_str(json->out, "null");
}

static void escape_char(struct sbuf *out, unsigned char c) {
    switch (c) {
    case '"':
        sbuf_append_str(out, "\\\"");
        break;
    case '\\':
        sbuf_append_str(out, "\\\\");
        break;
    case '\n':
        sbuf_append_str(out, "\\n");
        break;
    case '\r':
        sbuf_append_str(out, "\\r");
        break;
    case '\t':
        sbuf_append_str(out, "\\t");
        break;
    default:
        sbuf_printf(out, "\\u%04x", c);
    }
}

void jsonw_escape(struct sbuf *out, struct slice value) {
    sbuf_append_char(out, '"');
    size_t plain = 0; /* bytes before the current one that can be copied as they are */
    while (plain < value.len) {
        unsigned char c = (unsigned char)value.ptr[plain];
        bool is_special = c < 0x20 || c == '"' || c == '\\' || c == 0x7f;
        size_t len = is_special ? 0 : utf8_length(slice_after(value, plain));
        /* The controls U+0080 to U+009F move a terminal's cursor as ESC does. */
        bool is_c1 = len == 2 && c == 0xc2 && (unsigned char)value.ptr[plain + 1] < 0xa0;
        if (len > 0 && !is_c1) {
            plain += len;
            continue;
        }
        sbuf_append(out, slice_first(value, plain));
        if (is_special)
            escape_char(out, c);
        else if (is_c1)
            escape_char(out, (unsigned char)value.ptr[++plain]);
        else
            sbuf_append_str(out, "\xef\xbf\xbd");
        value = slice_after(value, plain + 1);
        plain = 0;
    }
    sbuf_append(out, value);
    sbuf_append_char(out, '"');
}
