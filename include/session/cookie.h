/*
 * cookie: the CF_Authorization cookie in a client's Cookie headers and in our Set-Cookie (facts 3.2). Pure.
 *
 * An origin may read cookies more leniently than RFC 6265 writes them: PHP takes "CF.Authorization" for
 * CF_Authorization, Python's SimpleCookie ends a cookie at a space. So a crumb (what stands between two semicolons) in
 * which the name can be read anyhow does not pass; every other byte passes as it came.
 */
#ifndef SALLYPORT_SESSION_COOKIE_H
#define SALLYPORT_SESSION_COOKIE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/sbuf.h"
#include "base/slice.h"

#define COOKIE_NAME "CF_Authorization"
#define COOKIE_SIZE_MAX 4096 /* of name and value: browsers drop longer ones */

/* The value of a Cookie header without every crumb that could be ours. Not copied when there is none; empty when
 * nothing is left. */
struct slice cookie_strip(struct slice header, struct arena *arena);
/* Our token in a Cookie header: counts the crumbs that could be ours and gives the value of the last that is exactly so
 * named. A client has one only if the count over all its Cookie headers is 1. */
size_t cookie_find(struct slice header, struct slice *value_out);
/* How browsers treat it; zero: the defaults. */
enum cookie_same_site { COOKIE_SAME_SITE_NONE, COOKIE_SAME_SITE_LAX, COOKIE_SAME_SITE_STRICT };
struct cookie_attributes {
    bool http_only;
    enum cookie_same_site same_site;
    struct slice path; /* empty: "/" */
};
/* The value of a Set-Cookie header. */
void cookie_write(struct slice token, int64_t expires_at, const struct cookie_attributes *attributes, struct sbuf *out);
/* One that removes the cookie of this path. */
void cookie_write_removal(struct slice path, struct sbuf *out);
/* The path of an application's domain, up to the first segment with a star: "/a/b" of "app.test/a/b". Empty: the whole
 * hostname. */
struct slice cookie_path(const char *domain);

#endif
