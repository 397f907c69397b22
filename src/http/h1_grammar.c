/*
 * h1_grammar: characters, lines and fields of HTTP/1.1 (RFC 9110 5, RFC 9112 2 and 5), and the search for the end of a
 * head. Used by h1_parse for heads and by h1_chunk for trailers. One small function for each grammar element; nothing
 * here is lenient.
 */
#include "h1_grammar_priv.h"

#include "base/scan.h"

enum { TCHAR = 1, TEXT = 2 };

/* clang-format off */
#define T (TCHAR | TEXT)
#define X TEXT
/* tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." / "^" / "_" / "`" / "|" / "~" / DIGIT / ALPHA */
static const unsigned char chars[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, X, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /*  !  "  #  $  %  &  '  (  )  *  +  ,  -  .  /  0  1  2  3  4  5  6  7  8  9  :  ;  <  =  >  ? */
    X, T, X, T, T, T, T, T, X, X, T, T, X, T, T, X,  T, T, T, T, T, T, T, T, T, T, X, X, X, X, X, X,
    /* @ A to Z                                                                     [  \  ]  ^  _ */
    X, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T,  T, T, T, T, T, T, T, T, T, T, T, X, X, X, T, T,
    /* ` a to z                                                                     {  |  }  ~  DEL */
    T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T,  T, T, T, T, T, T, T, T, T, T, T, X, T, X, T, 0,
    /* obs-text = %x80-FF */
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,  X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,  X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,  X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,  X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
};
#undef T
#undef X
/* clang-format on */

bool h1_is_tchar(char c) { return chars[(unsigned char)c] & TCHAR; }

bool h1_is_text(char c) { return chars[(unsigned char)c] & TEXT; }

/* token = 1*tchar */
bool h1_is_token(struct slice s) {
    if (scan_is_plain_name(s)) {
        return true;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (!h1_is_tchar(s.ptr[i])) {
            return false;
        }
    }
    return s.len > 0;
}

/* field-value = *field-content      with the white space around it already gone, or not */
bool h1_is_field_value(struct slice s) {
    size_t i = scan_printable(s);
    while (i < s.len && s.ptr[i] == '\t') {
        i++;
        i += scan_printable(slice_after(s, i));
    }
    return i == s.len;
}

enum h1_scan h1_scan_head(struct slice arrived, size_t *scanned, size_t limit, size_t *head_len_out) {
    const char *p = arrived.ptr;
    size_t end = arrived.len < limit ? arrived.len : limit;
    size_t i = *scanned;
    while (i < end) {
        i += scan_printable(slice_make(p + i, end - i));
        if (i == end) {
            break;
        }
        if (p[i] == '\t') {
            i++;
            continue;
        }
        if (p[i] != '\r' || i == 0) {
            return H1_BAD;
        }
        if (i + 1 == end) {
            break; /* its LF may still come */
        }
        if (p[i + 1] != '\n') {
            return H1_BAD;
        }
        i += 2;
        if (i >= 4 && p[i - 3] == '\n') {
            *scanned = i;
            *head_len_out = i;
            return H1_COMPLETE;
        }
    }
    *scanned = i;
    return arrived.len >= limit ? H1_TOO_LARGE : H1_INCOMPLETE;
}

bool h1_take_line(struct slice *rest, struct slice *line_out) {
    size_t end = slice_index(*rest, '\r');
    if (end + 1 >= rest->len || rest->ptr[end + 1] != '\n') {
        return false;
    }
    *line_out = slice_first(*rest, end);
    *rest = slice_after(*rest, end + 2);
    return true;
}

/* field-line = field-name ":" OWS field-value OWS      no white space before the colon, no obs-fold (RFC 9112 5) */
static bool parse_field_line(struct slice line, struct headers *headers, struct h1_fault *fault_out) {
    if (line.ptr[0] == ' ' || line.ptr[0] == '\t') {
        return h1_refuse(fault_out, REASON_BAD_REQUEST, "a folded header line");
    }
    struct slice name;
    struct slice value = slice_cut(line, ':', &name);
    if (!value.ptr) {
        return h1_refuse(fault_out, REASON_BAD_REQUEST, "a header line without a colon");
    }
    if (!h1_is_token(name)) {
        return h1_refuse(fault_out, REASON_BAD_REQUEST,
                         slice_is_empty(name) ? "an empty header name" : "a malformed header name");
    }
    value = slice_trim(value);
    if (!h1_is_field_value(value)) {
        return h1_refuse(fault_out, REASON_BAD_REQUEST, "a control character in a header value");
    }
    headers_add(headers, name, value);
    return true;
}

bool h1_parse_fields(struct slice section, const struct h1_limits *limits, struct headers *headers,
                     struct h1_fault *fault_out) {
    struct slice line;
    while (h1_take_line(&section, &line)) {
        if (slice_is_empty(line)) {
            return slice_is_empty(section) || h1_refuse(fault_out, REASON_BAD_REQUEST, "an empty line among headers");
        }
        if (headers->count >= limits->field_count) {
            return h1_refuse(fault_out, REASON_HEADER_TOO_LARGE, "too many headers");
        }
        if (!parse_field_line(line, headers, fault_out)) {
            return false;
        }
    }
    return h1_refuse(fault_out, REASON_BAD_REQUEST, "a header line without CRLF");
}
