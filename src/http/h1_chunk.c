/*
 * h1_chunk: the chunked transfer coding, decoded piece by piece (RFC 9112 7.1). Used by h1c and h1_client. Data comes
 * out as views of the input; only size lines and trailers, both bounded, are collected. Extensions are held to their
 * grammar and then forgotten.
 *
 *   SIZE --size--> DATA --all of it--> DATA_END --CRLF--> SIZE ...
 *   SIZE --0--> TRAILERS --empty line--> DONE             anything else --> BAD
 */
#include "h1_grammar_priv.h"

#define SIZE_DIGITS_MAX 15
#define EXTENSIONS_MAX 256
#define SIZE_LINE_MAX (SIZE_DIGITS_MAX + EXTENSIONS_MAX + 2)

void chunk_decoder_init(struct chunk_decoder *decoder, const struct h1_limits *limits) {
    *decoder = (struct chunk_decoder){.state = CHUNK_SIZE, .limits = *limits};
    sbuf_init(&decoder->line, limits->head_size > SIZE_LINE_MAX ? limits->head_size : SIZE_LINE_MAX);
}

void chunk_decoder_fini(struct chunk_decoder *decoder) { sbuf_fini(&decoder->line); }

static void set_state(struct chunk_decoder *decoder, enum chunk_state state) {
    decoder->state = state;
    decoder->scanned = 0;
    if (state != CHUNK_DONE) {
        sbuf_clear(&decoder->line);
    }
}

static void fail(struct chunk_decoder *decoder, const char *detail) {
    set_state(decoder, CHUNK_BAD);
    decoder->detail = detail;
}

/* ---- the size line ---- */

/* Leaves out leading BWS. BWS = *( SP / HTAB ) */
static struct slice skip_blank(struct slice s) {
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s = slice_after(s, 1);
    }
    return s;
}

/* token = 1*tchar      at the front of *rest */
static bool take_token(struct slice *rest) {
    size_t len = 0;
    while (len < rest->len && h1_is_tchar(rest->ptr[len])) {
        len++;
    }
    *rest = slice_after(*rest, len);
    return len > 0;
}

/* quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE      (RFC 9110 5.6.4) */
static bool take_quoted_string(struct slice *rest) {
    size_t i = 1;
    while (i < rest->len && rest->ptr[i] != '"') {
        if (rest->ptr[i] == '\\') {
            i++;
        }
        if (i >= rest->len || !h1_is_text(rest->ptr[i])) {
            return false;
        }
        i++;
    }
    if (i >= rest->len) {
        return false;
    }
    *rest = slice_after(*rest, i + 1);
    return true;
}

/* chunk-ext-val = token / quoted-string */
static bool take_extension_value(struct slice *rest) {
    return rest->len && rest->ptr[0] == '"' ? take_quoted_string(rest) : take_token(rest);
}

/* chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )      (RFC 9112 7.1.1) */
static bool are_extensions(struct slice rest) {
    while (rest.len) {
        rest = skip_blank(rest);
        if (!rest.len || rest.ptr[0] != ';') {
            return false;
        }
        rest = skip_blank(slice_after(rest, 1));
        if (!take_token(&rest)) {
            return false;
        }
        struct slice value = skip_blank(rest);
        if (value.len && value.ptr[0] == '=') {
            rest = skip_blank(slice_after(value, 1));
            if (!take_extension_value(&rest)) {
                return false;
            }
        }
    }
    return true;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* chunk-size = 1*HEXDIG      at most 15, so that nothing overflows */
static bool take_size(struct slice *rest, uint64_t *size_out) {
    size_t digits = 0;
    *size_out = 0;
    while (digits < rest->len && hex_digit(rest->ptr[digits]) >= 0) {
        if (digits == SIZE_DIGITS_MAX) {
            return false;
        }
        *size_out = *size_out * 16 + (uint64_t)hex_digit(rest->ptr[digits++]);
    }
    *rest = slice_after(*rest, digits);
    return digits > 0;
}

/* chunk-size [ chunk-ext ] CRLF      the line is whole, and its CRLF has been checked */
static void end_size_line(struct chunk_decoder *decoder) {
    struct slice line = sbuf_slice(&decoder->line);
    uint64_t size;
    line = slice_first(line, line.len - 2);
    if (!take_size(&line, &size)) {
        fail(decoder, "a malformed chunk size");
    } else if (line.len > EXTENSIONS_MAX) {
        fail(decoder, "chunk extensions over 256 bytes");
    } else if (!are_extensions(line)) {
        fail(decoder, "a malformed chunk extension");
    } else {
        decoder->remaining = size;
        set_state(decoder, size ? CHUNK_DATA : CHUNK_TRAILERS);
    }
}

enum line { LINE_PART, LINE_WHOLE, LINE_TOO_LONG };

/* Moves bytes from *input to the line, up to and with the first LF, and never more than limit in all. */
static enum line collect_line(struct chunk_decoder *decoder, struct slice *input, size_t limit) {
    size_t end = slice_index(*input, '\n');
    size_t room = limit - decoder->line.len;
    size_t take = end < input->len ? end + 1 : end;
    if (take > room) {
        sbuf_append(&decoder->line, slice_first(*input, room));
        return LINE_TOO_LONG;
    }
    sbuf_append(&decoder->line, slice_first(*input, take));
    *input = slice_after(*input, take);
    return end < take ? LINE_WHOLE : LINE_PART;
}

/* A fault is told as soon as it is there, not when the line ends: a line that never ends must not hold the reader. */
static bool has_early_fault(struct chunk_decoder *decoder) {
    struct slice line = sbuf_slice(&decoder->line);
    for (; decoder->scanned < line.len; decoder->scanned++) {
        char c = line.ptr[decoder->scanned];
        bool after_cr = decoder->scanned > 0 && line.ptr[decoder->scanned - 1] == '\r';
        if (after_cr != (c == '\n') || (decoder->scanned == 0 && hex_digit(c) < 0)) {
            return true;
        }
        if (!h1_is_text(c) && c != '\r' && c != '\n') {
            return true;
        }
    }
    return false;
}

static void decode_size(struct chunk_decoder *decoder, struct slice *input) {
    enum line line = collect_line(decoder, input, SIZE_LINE_MAX);
    if (has_early_fault(decoder)) {
        fail(decoder, "a malformed chunk size line");
    } else if (line == LINE_TOO_LONG) {
        fail(decoder, "a chunk size line that is too long");
    } else if (line == LINE_WHOLE) {
        end_size_line(decoder);
    }
}

/* ---- data and trailers ---- */

static struct slice decode_data(struct chunk_decoder *decoder, struct slice *input) {
    size_t take = input->len < decoder->remaining ? input->len : (size_t)decoder->remaining;
    struct slice data = slice_first(*input, take);
    *input = slice_after(*input, take);
    decoder->remaining -= take;
    if (decoder->remaining == 0) {
        set_state(decoder, CHUNK_DATA_END);
    }
    return data;
}

/* CRLF      `scanned` counts how much of it has come */
static void decode_data_end(struct chunk_decoder *decoder, struct slice *input) {
    if (input->ptr[0] != "\r\n"[decoder->scanned]) {
        fail(decoder, "chunk data that does not end with CRLF");
        return;
    }
    *input = slice_after(*input, 1);
    if (++decoder->scanned == 2) {
        set_state(decoder, CHUNK_SIZE);
    }
}

/* trailer-section = *( field-line CRLF )      with the CRLF that ends the body */
static void decode_trailers(struct chunk_decoder *decoder, struct slice *input) {
    size_t ignored;
    enum line line = collect_line(decoder, input, decoder->limits.head_size);
    struct slice section = sbuf_slice(&decoder->line);
    if (slice_eq_str(section, "\r")) {
        return;
    }
    if (slice_eq_str(section, "\r\n")) {
        set_state(decoder, CHUNK_DONE);
        return;
    }
    enum h1_scan scan = h1_scan_head(section, &decoder->scanned, SIZE_MAX, &ignored);
    if (scan == H1_BAD) {
        fail(decoder, "a control character, a bare CR or a bare LF in the trailers");
    } else if (line == LINE_TOO_LONG) {
        fail(decoder, "trailers that are too large");
    } else if (scan == H1_COMPLETE) {
        set_state(decoder, CHUNK_DONE);
    }
}

enum chunk_state chunk_decode(struct chunk_decoder *decoder, struct slice *input, struct slice *data_out) {
    *data_out = slice_first(*input, 0);
    while (input->len && data_out->len == 0) {
        switch (decoder->state) {
        case CHUNK_SIZE:
            decode_size(decoder, input);
            break;
        case CHUNK_DATA:
            *data_out = decode_data(decoder, input);
            break;
        case CHUNK_DATA_END:
            decode_data_end(decoder, input);
            break;
        case CHUNK_TRAILERS:
            decode_trailers(decoder, input);
            break;
        case CHUNK_DONE:
        case CHUNK_BAD:
            return decoder->state;
        }
    }
    return decoder->state;
}

/* Fields that decide where a message ends or goes must not come after it (RFC 9110 6.5.1). */
static bool is_forbidden_trailer(struct slice name) {
    return slice_eq_nocase(name, SLICE("Content-Length")) || slice_eq_nocase(name, SLICE("Transfer-Encoding")) ||
           slice_eq_nocase(name, SLICE("Host"));
}

bool chunk_trailers(const struct chunk_decoder *decoder, struct arena *arena, struct headers *trailers_out,
                    struct h1_fault *fault_out) {
    INVARIANT(decoder->state == CHUNK_DONE);
    headers_init(trailers_out, arena);
    if (!h1_parse_fields(arena_dup(arena, sbuf_slice(&decoder->line)), &decoder->limits, trailers_out, fault_out)) {
        return false;
    }
    for (size_t i = 0; i < trailers_out->count; i++) {
        if (is_forbidden_trailer(trailers_out->items[i].name)) {
            return h1_refuse(fault_out, REASON_BAD_REQUEST, "a framing or routing header in the trailers");
        }
    }
    return true;
}
