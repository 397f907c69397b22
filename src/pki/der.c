/* der: the two strict DER readers of the CRL loader. No allocation but the stream's window; no length is believed
 * before its bytes are there. */
#include "der_priv.h"

#include <string.h>

#include "base/mem.h"

#define READ_MIN (DER_WINDOW - DER_ELEMENT_MAX) /* room that a read always finds, once the window has moved */

bool der_header_parse(const uint8_t *at, size_t avail, struct der_header *header_out) {
    if (avail < 2 || (at[0] & 0x1f) == 0x1f)
        return false;
    header_out->tag = at[0];
    if (at[1] < 0x80) {
        header_out->header_len = 2;
        header_out->content_len = at[1];
        return true;
    }
    size_t count = at[1] & 0x7f;
    if (count == 0 || count > 8 || avail < 2 + count || at[2] == 0)
        return false;
    uint64_t len = 0;
    for (size_t i = 0; i < count; i++)
        len = len << 8 | at[2 + i];
    if (len < 0x80 || len > INT64_MAX / 2)
        return false;
    header_out->header_len = 2 + count;
    header_out->content_len = len;
    return true;
}

bool der_next(struct slice *rest, struct der_header *header_out, struct slice *content_out) {
    if (!der_header_parse((const uint8_t *)rest->ptr, rest->len, header_out) ||
        header_out->content_len > rest->len - header_out->header_len)
        return false;
    *content_out = slice_make(rest->ptr + header_out->header_len, (size_t)header_out->content_len);
    *rest = slice_after(*rest, header_out->header_len + content_out->len);
    return true;
}

bool der_take(struct slice *rest, uint8_t tag, struct slice *content_out) {
    struct der_header header;
    return der_peek_tag(*rest) == tag && der_next(rest, &header, content_out);
}

uint8_t der_peek_tag(struct slice rest) { return rest.len > 0 ? (uint8_t)rest.ptr[0] : 0; }

bool der_boolean(struct slice content, bool *value_out) {
    if (content.len != 1 || (content.ptr[0] != 0 && (uint8_t)content.ptr[0] != 0xff))
        return false;
    *value_out = content.ptr[0] != 0;
    return true;
}

/* Two digits as a number, -1 for anything else. */
static int two_digits(const char *at) {
    unsigned tens = (unsigned)(at[0] - '0'), ones = (unsigned)(at[1] - '0');
    return tens > 9 || ones > 9 ? -1 : (int)(tens * 10 + ones);
}

/* Days since 1970-01-01 of a date in the Gregorian calendar, years counted from March. */
static int64_t days_since_1970(int year, int month, int day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400, year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

bool der_time(uint8_t tag, struct slice content, time_t *time_out) {
    const char *at = content.ptr;
    int century;
    if (tag == DER_GENERALIZED_TIME && content.len == 15) {
        century = two_digits(at);
        at += 2;
    } else if (tag == DER_UTC_TIME && content.len == 13) {
        century = two_digits(at) >= 50 ? 19 : 20;
    } else {
        return false;
    }
    int year = two_digits(at), month = two_digits(at + 2), day = two_digits(at + 4);
    int hour = two_digits(at + 6), minute = two_digits(at + 8), second = two_digits(at + 10);
    if (century < 0 || year < 0 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 59 || at[12] != 'Z')
        return false;
    *time_out =
        (time_t)(days_since_1970(century * 100 + year, month, day) * 86400 + hour * 3600 + minute * 60 + second);
    return true;
}

void der_stream_init(struct der_stream *stream, crl_read_fn *read, void *source, der_tap_fn *tap, void *tap_arg) {
    *stream = (struct der_stream){.read = read, .source = source, .tap = tap, .tap_arg = tap_arg};
    stream->window = mem_new(DER_WINDOW);
}

void der_stream_fini(struct der_stream *stream) {
    mem_free(stream->window);
    stream->window = NULL;
}

bool der_stream_flush(struct der_stream *stream) {
    size_t len = stream->start - stream->tapped;
    if (len > 0 && !stream->tap(stream->tap_arg, stream->offset - len, stream->window + stream->tapped, len))
        stream->has_failed = true;
    stream->tapped = stream->start;
    return !stream->has_failed;
}

/* Makes room behind the unread bytes and reads once more. False at the end of the source and on error. */
static bool refill(struct der_stream *stream) {
    if (stream->end > DER_WINDOW - READ_MIN) {
        if (!der_stream_flush(stream))
            return false;
        memmove(stream->window, stream->window + stream->start, stream->end - stream->start);
        stream->end -= stream->start;
        stream->start = stream->tapped = 0;
    }
    long got = stream->read(stream->source, stream->window + stream->end, DER_WINDOW - stream->end);
    if (got < 0)
        stream->has_failed = true;
    if (got <= 0)
        return false;
    INVARIANT((size_t)got <= DER_WINDOW - stream->end);
    stream->end += (size_t)got;
    return true;
}

const uint8_t *der_stream_need(struct der_stream *stream, size_t len) {
    if (len > DER_ELEMENT_MAX || stream->has_failed)
        return NULL;
    while (stream->end - stream->start < len)
        if (!refill(stream))
            return NULL;
    return stream->window + stream->start;
}

bool der_stream_header(struct der_stream *stream, struct der_header *header_out) {
    const uint8_t *at = der_stream_need(stream, 2);
    if (at == NULL)
        return false;
    size_t len = 2 + (at[1] > 0x80 ? (size_t)(at[1] & 0x7f) : 0);
    if (len > DER_HEADER_MAX)
        return false;
    at = der_stream_need(stream, len);
    return at != NULL && der_header_parse(at, len, header_out);
}

void der_stream_pass(struct der_stream *stream, size_t len) {
    INVARIANT(len <= stream->end - stream->start);
    stream->start += len;
    stream->offset += len;
}

bool der_stream_is_at_end(struct der_stream *stream) {
    return der_stream_need(stream, 1) == NULL && !stream->has_failed;
}
