/*
 * h1_parse: the grammar of HTTP/1.1 messages (RFC 9112), element by element, strict. A head is complete in memory
 * before it is parsed, once; chunked bodies are decoded piece by piece. No I/O, no clock. Used for requests and for
 * responses.
 *
 * Refused with the reason to answer: bare CR or LF, NUL and control characters, obs-fold, white space before the
 * colon, an empty field name, HTTP/0.9 and any version but 1.0 and 1.1, Content-Length with Transfer-Encoding, several
 * or malformed Content-Length, any Transfer-Encoding but exactly one "chunked" in 1.1, no Host or two in 1.1, an
 * absolute-form authority that differs from Host, heads over the limits (sec-42).
 */
#ifndef SALLYPORT_HTTP_H1_PARSE_H
#define SALLYPORT_HTTP_H1_PARSE_H

#include "base/err.h"
#include "base/reason.h"
#include "base/sbuf.h"
#include "http/head.h"

struct h1_limits {
    size_t head_size;   /* whole head in bytes, e.g. 32 KiB */
    size_t field_count; /* e.g. 100 */
};

enum h1_scan { H1_INCOMPLETE, H1_COMPLETE, H1_BAD, H1_TOO_LARGE };

/* Finds the end of a head (CRLFCRLF) in what has arrived so far. *scanned carries the progress between calls (start
 * with 0) so that each byte is looked at once. A bare LF, bare CR or NUL is BAD at once, however incomplete the head.
 * COMPLETE: *head_len_out is the length with the final CRLFCRLF. */
enum h1_scan h1_scan_head(struct slice arrived, size_t *scanned, size_t limit, size_t *head_len_out);

/* Why a message was refused. */
struct h1_fault {
    enum reason reason; /* BAD_REQUEST, HEADER_TOO_LARGE, METHOD_NOT_ALLOWED (CONNECT) */
    const char *detail; /* static sentence, e.g. "Content-Length together with Transfer-Encoding" */
};

/* head is a complete head as found by h1_scan_head; its bytes are copied into arena. */
MUST_CHECK bool h1_parse_request(struct slice head, const struct h1_limits *limits, struct arena *arena,
                                 struct request_head *request_out, struct h1_fault *fault_out);
/* is_head: the request was HEAD (decides on the framing). */
MUST_CHECK bool h1_parse_response(struct slice head, const struct h1_limits *limits, bool is_head, struct arena *arena,
                                  struct response_head *response_out, struct h1_fault *fault_out);

/* Chunked decoding (RFC 9112 7.1): chunk extensions are parsed strictly, at most 256 bytes a chunk, and ignored;
 * trailers are kept, at most limits.head_size bytes together. */
enum chunk_state { CHUNK_SIZE, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILERS, CHUNK_DONE, CHUNK_BAD };
struct chunk_decoder {
    enum chunk_state state;
    uint64_t remaining; /* bytes of the current chunk still to come */
    struct sbuf line;   /* the incomplete size line or trailer section */
    size_t scanned;
    struct h1_limits limits;
    const char *detail; /* when BAD */
};
void chunk_decoder_init(struct chunk_decoder *decoder, const struct h1_limits *limits);
void chunk_decoder_fini(struct chunk_decoder *decoder);
/* Takes bytes from the front of *input and advances it. *data_out is the piece of body data found (a view into input;
 * may be empty). Call again until *input is empty or the state is DONE or BAD. */
enum chunk_state chunk_decode(struct chunk_decoder *decoder, struct slice *input, struct slice *data_out);
/* After DONE: the trailers, copied into arena; false (with fault) when they break the field grammar. */
MUST_CHECK bool chunk_trailers(const struct chunk_decoder *decoder, struct arena *arena, struct headers *trailers_out,
                               struct h1_fault *fault_out);

/* Field grammar, shared with configuration and templates. */
bool h1_is_token(struct slice s); /* RFC 9110 5.6.2 */
/* What is wrong with a method, a static sentence, or NULL: at most 32 token characters; not a well-known one in another
 * case ("delete"), which is another method to policy and may be the same to an upstream (sec-43). */
const char *h1_method_fault(struct slice method);
bool h1_is_field_value(struct slice s); /* VCHAR, obs-text, SP, HTAB; no control character */

#endif
