/*
 * target: authority and path of a request, normalised once. Routing, policy, log and forwarding use this and nothing
 * else, so a path cannot mean one thing to policy and another to the upstream (sec-43).
 *
 * Normalisation of the path (RFC 3986 6.2.2, and stricter): percent-encoded unreserved characters are decoded, other
 * encodings get upper-case hex, empty segments ("//") are merged, "." and ".." segments are resolved. Refused as
 * malformed: "%2f", "%5c", "%00" and other encoded control characters, a backslash, ";" (servers disagree on what it
 * hides), bytes that are not allowed in a path, an incomplete "%", ".." above the root, a fragment. Host: lower case,
 * without a trailing dot, without the port; LDH names, IPv4, "[v6]"; at most 253 bytes.
 */
#ifndef SALLYPORT_HTTP_TARGET_H
#define SALLYPORT_HTTP_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

struct target {
    struct slice host;           /* normalised; empty when the request named none */
    struct slice authority;      /* as received (Host or :authority), port included, for Host and X-Forwarded-Host */
    uint16_t port;               /* 0: none given */
    struct slice path;           /* normalised, begins with "/"; "*" for OPTIONS * */
    struct slice route_path;     /* the path as domains of applications are compared with it; "/" for OPTIONS * */
    struct slice query;          /* without "?", as received (checked for allowed bytes); ptr NULL: no "?" at all */
    struct slice path_and_query; /* what goes upstream */
};

/* The form in which a normalised path and the path of a domain are compared: encoded "!", "$", "&", "'", "(", ")", "+",
 * ",", "=", ":" and "@" are decoded, because servers take both spellings for one and RFC 3986 forbids nobody to send
 * either. What goes upstream keeps its spelling. is_pattern: a "*" is a wildcard; in a path it is written "%2A". */
struct slice target_route_path(struct slice path, bool is_pattern, struct arena *arena);

/* All return NULL when fine, or what is wrong, a static sentence ("a backslash in the path"). */

/* origin-form ("/a/b?c"), or "*" when is_options. Fills path, route_path, query and path_and_query. */
const char *target_parse_path(struct slice origin_form, bool is_options, struct arena *arena,
                              struct target *target_out);
/* An authority ("Example.test:8443"). Fills host, authority, port. */
const char *target_parse_authority(struct slice authority, struct arena *arena, struct target *target_out);
/* A whole URL "https://host[:port]/path?query", for explain and tests. */
const char *target_parse_url(struct slice url, struct arena *arena, struct target *target_out);
/* Lower case, without a trailing dot, into out (at least 254 bytes); false when it is not a host name or IP literal.
 * For SNI and configuration. */
bool host_normalise(struct slice host, char *out);

#endif
