/*
 * domain: an application's `domain` ("*.example.com/foo*" + "/bar") taken apart: grammar, normal form, matching and the
 * order of specificity. For application_table, which keeps the parsed domains in maps and asks here.
 */
#ifndef SALLYPORT_ROUTE_DOMAIN_PRIV_H
#define SALLYPORT_ROUTE_DOMAIN_PRIV_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

struct domain {
    struct slice host;   /* lower case, without port */
    struct slice suffix; /* of the host: what follows the last starred label and its dot; all of it without a star */
    struct slice
        path; /* normalised, without a slash at the end; "" covers every path, and so does what was written "/" + "*" */
    struct slice literal; /* of the path: what stands before the last slash in front of the first star; all of it
                             without a star */
    struct slice below;   /* path + "/" + "*", what it covers besides itself; empty when the path ends with a star */
    bool has_host_star, has_path_star;
};

/* Everything of *domain_out lives in arena. */
MUST_CHECK int domain_parse(const char *text, struct arena *arena, struct domain *domain_out, struct err *err);
/* A pattern against a normalised host that is not an IP literal. */
bool domain_host_matches(struct slice pattern, struct slice host);
bool domain_path_matches(const struct domain *domain, struct slice path);
/* Below 0 when a is the more specific one; 0 only for equal ones. Both forms are total orders. */
int domain_compare_hosts(struct slice a, struct slice b);
int domain_compare_paths(struct slice a, struct slice b);

#endif
