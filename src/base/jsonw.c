/*
 * jsonw: the writer. Commas follow from one flag, because nothing is written after a value but a comma or a bracket.
 */
#include "base/jsonw.h"

#include "base/encode.h"
#include "base/scan.h"

void jsonw_init(struct jsonw *json, struct sbuf *out) { *json = (struct jsonw){.out = out}; }

/* Nearly every text is ordinary from end to end: then it goes between its quotes as it is, with at most a character
 * before and one behind it ('\0': none). false: it is not, or there is no room; nothing was written. */
static bool append_plain(struct sbuf *out, char before, struct slice text, char behind) {
    if (scan_json(text) < text.len)
        return false;
    char *start = sbuf_reserve(out, text.len + 4), *at = start;
    if (!start)
        return false;
    if (before)
        *at++ = before;
    *at++ = '"';
    if (text.len)
        memcpy(at, text.ptr, text.len);
    at += text.len;
    *at++ = '"';
    if (behind)
        *at++ = behind;
    sbuf_commit(out, (size_t)(at - start));
    return true;
}

/* The comma and the key, whatever value comes next. */
static void begin_value(struct jsonw *json, const char *key) {
    char comma = json->comma ? ',' : '\0';
    json->comma = true;
    if (key && append_plain(json->out, comma, slice_of(key), ':'))
        return;
    if (comma)
        sbuf_append_char(json->out, comma);
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

void jsonw_ms(struct jsonw *json, const char *key, int64_t us) {
    begin_value(json, key);
    uint64_t size = us < 0 ? 0 - (uint64_t)us : (uint64_t)us, below = size % 1000;
    char decimals[] = {'.', (char)('0' + below / 100), (char)('0' + below / 10 % 10), (char)('0' + below % 10)};
    if (us < 0)
        sbuf_append_char(json->out, '-');
    sbuf_append_u64(json->out, size / 1000);
    sbuf_append(json->out, slice_make(decimals, sizeof decimals));
}

void jsonw_bool(struct jsonw *json, const char *key, bool value) {
    begin_value(json, key);
    sbuf_append_str(json->out, value ? "true" : "false");
}

void jsonw_null(struct jsonw *json, const char *key) {
    begin_value(json, key);
    sbuf_append_str(json->out, "null");
}

void jsonw_written(struct jsonw *json, struct slice members) {
    if (members.len == 0)
        return;
    begin_value(json, NULL);
    sbuf_append(json->out, members);
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

/* What stands at the front of value and is not ordinary; returns its length. */
static size_t escape_one(struct sbuf *out, struct slice value) {
    unsigned char c = (unsigned char)value.ptr[0];
    if (c < 0x80) {
        escape_char(out, c);
        return 1;
    }
    size_t len = utf8_length(value);
    if (len == 2 && c == 0xc2 && (unsigned char)value.ptr[1] < 0xa0) {
        /* The controls U+0080 to U+009F move a terminal's cursor as ESC does. */
        escape_char(out, (unsigned char)value.ptr[1]);
    } else if (len > 0) {
        sbuf_append(out, slice_first(value, len));
    } else {
        sbuf_append_str(out, "\xef\xbf\xbd");
        return 1;
    }
    return len;
}

void jsonw_escape(struct sbuf *out, struct slice value) {
    if (append_plain(out, '\0', value, '\0'))
        return;
    sbuf_append_char(out, '"');
    for (;;) {
        size_t plain = scan_json(value);
        sbuf_append(out, slice_first(value, plain));
        value = slice_after(value, plain);
        if (value.len == 0)
            break;
        value = slice_after(value, escape_one(out, value));
    }
    sbuf_append_char(out, '"');
}
