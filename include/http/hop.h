/*
 * hop: which headers stop here. Hop-by-hop names (RFC 9110 7.6.1), names that Connection nominates, and the identity
 * names that only sallyport may set (product: "Removed from the client's request first"). One table, used for
 * requests, responses and trailers.
 */
#ifndef SALLYPORT_HTTP_HOP_H
#define SALLYPORT_HTTP_HOP_H

#include "http/head.h"

/* Connection, Keep-Alive, Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Trailer, Transfer-Encoding,
 * Upgrade, HTTP2-Settings, Content-Length (framing is ours), and Expect on requests. */
bool header_is_hop_by_hop(struct slice name);
/* Any spelling (case, "_" for "-") of a name that carries identity or is set by us: cf-client-cert*, cf-cert-*,
 * cf-access-*, cf-ray, client-cert, client-cert-*, x-forwarded-*, x-client-cert*, x-arr-clientcert, x-amzn-mtls-*,
 * ssl-client-*, x-ssl-*, early-data, x-sallyport-*. Also what says otherwise than we do where a request is from or what
 * it asks for: forwarded, x-real-ip, true-client-ip, cf-connecting-ip*, x-original-*, x-rewrite-url. */
bool header_is_reserved(struct slice name);
/* A token (RFC 9110 5.1) of at most 128 characters. */
bool header_is_name(struct slice name);
/* Whether name is pattern, which is in lower case with "-" and may end in "*" for any rest; folded as below. */
bool header_is_like(struct slice name, const char *pattern);
/* The same name to an upstream that makes environment variables of names: case folded, "_" the same as "-" (sec-12). */
bool header_is_same(struct slice a, struct slice b);
/* Whether a Connection header of these nominates name. Any name can be nominated: that only ever removes what was
 * received, since what sallyport says (Host too) is added afterwards (sec-13). */
bool header_is_nominated(const struct headers *headers, struct slice name);

#endif
