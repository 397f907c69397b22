/*
 * forward: builds what goes upstream and what comes back, each from an empty list (product 6); never edits the head
 * that came in.
 */
#ifndef SALLYPORT_PROXY_FORWARD_H
#define SALLYPORT_PROXY_FORWARD_H

#include "http/head.h"
#include "proxy/exchange.h"

/* What a connection's requests carry of its certificate, rendered once. forward_request makes it, the client frees it
 * with itself. */
struct certificate_headers;
void certificate_headers_free(struct certificate_headers **headers);

/* The outbound request head, in the exchange's arena: client's end-to-end headers without reserved ones; Host kept
 * (canonical), X-Forwarded-For, -Proto, -Host, Via, cf-ray, and the certificate dialects when a verified certificate
 * was presented, as the hostname's forwarding setting says. Points into the identity of the peer: to be sent at once.
 */
struct request_head *forward_request(struct exchange *exchange);
/* The response head for the client: hop-by-hop and reserved response names removed, Via and cf-ray added. */
struct response_head *forward_response(struct exchange *exchange, const struct response_head *upstream);
/* Trailers that may pass (end-to-end, not reserved, not framing, none of the names in rules, which may be NULL). */
void forward_trailers(const struct headers *trailers, const conf_headers *rules, struct headers *out);

#endif
