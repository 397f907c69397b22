/*
 * der_priv: DER read strictly: definite lengths in their shortest form, one-byte tags, nothing else. Two readers: a
 * cursor over bytes in memory, and a stream that keeps 256 KiB of a list of any size. Both belong to the CRL loader.
 */
#ifndef SALLYPORT_PKI_DER_PRIV_H
#define SALLYPORT_PKI_DER_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/slice.h"
#include "pki/crl.h"

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_OID = 0x06,
    DER_ENUMERATED = 0x0a,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
};

struct der_header {
    uint8_t tag;
    size_t header_len;
    uint64_t content_len;
};
#define DER_HEADER_MAX 10

/* False: not a header of the strict kind, or more than `avail` bytes long. */
bool der_header_parse(const uint8_t *at, size_t avail, struct der_header *header_out);

/* --- in memory: der_next takes one element off the front --- */
bool der_next(struct slice *rest, struct der_header *header_out, struct slice *content_out);
/* The same, for an element that must have this tag. */
bool der_take(struct slice *rest, uint8_t tag, struct slice *content_out);
/* The tag of the next element, 0 at the end. */
uint8_t der_peek_tag(struct slice rest);
/* Content of a BOOLEAN. */
bool der_boolean(struct slice content, bool *value_out);
/* Content of a UTCTime or GeneralizedTime as RFC 5280 4.1.2.5 wants it: with seconds, ending in Z. */
bool der_time(uint8_t tag, struct slice content, time_t *time_out);

/* --- as a stream --- */
#define DER_WINDOW (256 * 1024)
#define DER_ELEMENT_MAX (192 * 1024) /* what can be looked at in one piece */

/* Gets every byte that was passed over, in order, in large pieces. False ends the reading. */
typedef bool der_tap_fn(void *arg, uint64_t offset, const uint8_t *bytes, size_t len);

struct der_stream {
    crl_read_fn *read;
    void *source;
    der_tap_fn *tap;
    void *tap_arg;
    uint8_t *window;   /* DER_WINDOW bytes */
    size_t tapped;     /* in window: first byte that tap has not seen */
    size_t start, end; /* in window: bytes not passed over yet */
    uint64_t offset;   /* of start, from the beginning of the source */
    bool has_failed;   /* the source or the tap failed */
};

void der_stream_init(struct der_stream *stream, crl_read_fn *read, void *source, der_tap_fn *tap, void *tap_arg);
void der_stream_fini(struct der_stream *stream);
/* The next len bytes in one piece, not passed over yet; NULL at the end, or when len is over DER_ELEMENT_MAX. Valid
 * until the next call. */
const uint8_t *der_stream_need(struct der_stream *stream, size_t len);
bool der_stream_header(struct der_stream *stream, struct der_header *header_out);
/* Passes over bytes that der_stream_need has shown. */
void der_stream_pass(struct der_stream *stream, size_t len);
/* No byte is left in the source. */
bool der_stream_is_at_end(struct der_stream *stream);
/* Gives tap what it has not seen yet. */
bool der_stream_flush(struct der_stream *stream);

#endif
