/*
 * h1_write: messages as HTTP/1.1 bytes, serialised from values; nothing is ever passed through. The framing headers
 * (Content-Length, Transfer-Encoding) and Connection are written here and nowhere else.
 */
#ifndef SALLYPORT_HTTP_H1_WRITE_H
#define SALLYPORT_HTTP_H1_WRITE_H

#include "base/sbuf.h"
#include "http/head.h"

/* method, path_and_query and headers of request; framing from request->framing. upgrade non-empty: adds Connection:
 * Upgrade and Upgrade. Headers named Content-Length, Transfer-Encoding, Connection, Keep-Alive, Upgrade, TE, Trailer in
 * the list are an INVARIANT, as are names that are no token and values with control characters (sec-14). */
void h1_write_request(struct sbuf *out, const struct request_head *request, bool keep_alive);
/* A final response. close: adds Connection: close; otherwise an HTTP/1.0 client (response->version) is told keep-alive.
 * framing NONE with a content_length sends that (HEAD, 304). With framing CHUNKED to an HTTP/1.0 client the caller must
 * choose UNTIL_CLOSE. */
void h1_write_response(struct sbuf *out, const struct response_head *response, bool close);
/* 100 Continue or 103 Early Hints ... : status line and headers, no framing. 101: adds Connection: Upgrade; the Upgrade
 * header is in the list. */
void h1_write_informational(struct sbuf *out, const struct response_head *response);
/* One chunk (nothing for an empty slice: that would end the body). */
void h1_write_chunk(struct sbuf *out, struct slice data);
/* The last chunk and the trailers (may be NULL); trailers of the names above are left out. */
void h1_write_last_chunk(struct sbuf *out, const struct headers *trailers);

#endif
