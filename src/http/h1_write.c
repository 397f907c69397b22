/*
 * h1_write: heads, chunks and trailers as bytes. Called by h1c and h1_client only. Every line is made here from
 * values, and a name or value that could make two lines of one stops the program: the grammar was checked where
 * it came in, so this is a bug of ours (sec-14).
 */
#include "http/h1_write.h"

#include "base/err.h"
#include "http/h1_parse.h"

#define CRLF SLICE("\r\n")

/* Written by this file only; a builder that puts one of these into its list has made a mistake. */
static bool is_ours(struct slice name) {
    static const struct slice names[] = {SLICE("Content-Length"), SLICE("Transfer-Encoding"), SLICE("Connection"),
                                         SLICE("Keep-Alive"),     SLICE("Upgrade"),           SLICE("TE"),
                                         SLICE("Trailer")};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slice_eq_nocase(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* field-line = field-name ":" OWS field-value OWS */
static void write_field(struct sbuf *out, struct slice name, struct slice value) {
    INVARIANT(h1_is_token(name) && h1_is_field_value(value));
    char *place = sbuf_reserve(out, name.len + value.len + 4);
    if (!place) {
        out->overflow = true;
        return;
    }
    memcpy(place, name.ptr, name.len);
    memcpy(place + name.len, ": ", 2);
    if (value.len) {
        memcpy(place + name.len + 2, value.ptr, value.len);
    }
    memcpy(place + name.len + 2 + value.len, "\r\n", 2);
    sbuf_commit(out, name.len + value.len + 4);
}

static void write_fields(struct sbuf *out, const struct headers *headers) {
    for (size_t i = 0; i < headers->count; i++) {
        INVARIANT(!is_ours(headers->items[i].name));
        write_field(out, headers->items[i].name, headers->items[i].value);
    }
}

static void write_content_length(struct sbuf *out, uint64_t length) {
    sbuf_append_str(out, "Content-Length: ");
    sbuf_append_u64(out, length);
    sbuf_append(out, CRLF);
}

static void write_framing(struct sbuf *out, enum body_framing framing, uint64_t length) {
    if (framing == BODY_LENGTH) {
        write_content_length(out, length);
    } else if (framing == BODY_CHUNKED) {
        sbuf_append_str(out, "Transfer-Encoding: chunked\r\n");
    }
}

/* What comes from a parsed target has none of these; explain and tests could bring one. */
static bool is_target(struct slice target) {
    for (size_t i = 0; i < target.len; i++) {
        if (target.ptr[i] <= 0x20 || target.ptr[i] == 0x7f) {
            return false;
        }
    }
    return target.len > 0;
}

void h1_write_request(struct sbuf *out, const struct request_head *request, bool keep_alive) {
    INVARIANT(h1_is_token(request->method) && is_target(request->target.path_and_query));
    INVARIANT(request->framing != BODY_UNTIL_CLOSE);
    sbuf_append(out, request->method);
    sbuf_append_char(out, ' ');
    sbuf_append(out, request->target.path_and_query);
    sbuf_append_str(out, " HTTP/1.1\r\n");
    write_fields(out, &request->headers);
    write_framing(out, request->framing, request->content_length);
    if (!slice_is_empty(request->upgrade)) {
        sbuf_append_str(out, "Connection: Upgrade\r\n");
        write_field(out, SLICE("Upgrade"), request->upgrade);
    } else if (!keep_alive) {
        sbuf_append_str(out, "Connection: close\r\n");
    }
    sbuf_append(out, CRLF);
}

/* status-line = HTTP-version SP status-code SP [ reason-phrase ] */
static void write_status_line(struct sbuf *out, const struct response_head *response) {
    INVARIANT(response->status >= 100 && response->status <= 999 && h1_is_field_value(response->phrase));
    sbuf_append_str(out, "HTTP/1.1 ");
    sbuf_append_u64(out, (unsigned long long)response->status);
    sbuf_append_char(out, ' ');
    sbuf_append(out, slice_is_empty(response->phrase) ? slice_of(status_phrase(response->status)) : response->phrase);
    sbuf_append(out, CRLF);
}

void h1_write_response(struct sbuf *out, const struct response_head *response, bool close) {
    INVARIANT(response->status >= 200);
    write_status_line(out, response);
    write_fields(out, &response->headers);
    bool may_have_length = response->status != 204;
    if (response->framing == BODY_NONE && response->content_length && may_have_length) {
        write_content_length(out, response->content_length);
    } else {
        write_framing(out, response->framing, response->content_length);
    }
    if (close) {
        sbuf_append_str(out, "Connection: close\r\n");
    } else if (response->version == HTTP_1_0) {
        sbuf_append_str(out, "Connection: keep-alive\r\n");
    }
    sbuf_append(out, CRLF);
}

void h1_write_informational(struct sbuf *out, const struct response_head *response) {
    INVARIANT(response->status >= 100 && response->status < 200);
    write_status_line(out, response);
    if (response->status == 101) {
        sbuf_append_str(out, "Connection: Upgrade\r\n");
        for (size_t i = 0; i < response->headers.count; i++) {
            const struct header *header = &response->headers.items[i];
            INVARIANT(slice_eq_nocase(header->name, SLICE("Upgrade")) || !is_ours(header->name));
            write_field(out, header->name, header->value);
        }
    } else {
        write_fields(out, &response->headers);
    }
    sbuf_append(out, CRLF);
}

/* chunk = chunk-size CRLF chunk-data CRLF */
void h1_write_chunk(struct sbuf *out, struct slice data) {
    if (slice_is_empty(data)) {
        return;
    }
    sbuf_printf(out, "%zx\r\n", data.len);
    sbuf_append(out, data);
    sbuf_append(out, CRLF);
}

/* last-chunk trailer-section CRLF      Trailers come from the other side late: one that is ours is left out. */
void h1_write_last_chunk(struct sbuf *out, const struct headers *trailers) {
    sbuf_append_str(out, "0\r\n");
    for (size_t i = 0; trailers && i < trailers->count; i++) {
        if (!is_ours(trailers->items[i].name)) {
            write_field(out, trailers->items[i].name, trailers->items[i].value);
        }
    }
    sbuf_append(out, CRLF);
}
