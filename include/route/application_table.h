/*
 * application_table: which application a host and path belong to, by Cloudflare's rules (facts 2.6): the most specific one wins, nothing is inherited.
 *   example.com, example.com/X*   the host and every path; "/alpha" covers itself and what is below, on segment borders; "/alpha/X*" only what is below
 *   *.example.com                 exactly one label; *test.example.com also matches test.example.com
 * (X* stands for a star here.) At most one star between two dots of the host and between two slashes of the path.
 * Look-up cost grows with the depth of the path and the number of patterns with stars on that host, not with the number of applications.
 */
#ifndef SALLYPORT_ROUTE_APPLICATION_TABLE_H
#define SALLYPORT_ROUTE_APPLICATION_TABLE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

struct application_table;

struct application_table *application_table_new(void);
void application_table_free(struct application_table **table);
/* Checks a domain's form without adding it; for the configuration's error message. */
MUST_CHECK int application_domain_check(const char *domain, struct err *err);
/* domain must outlive the table. Two applications of equal domain: error. */
MUST_CHECK int application_table_add(struct application_table *table, const char *domain, void *value, struct err *err);
/* host and path normalised. The most specific match, or NULL. */
void *application_table_find(const struct application_table *table, struct slice host, struct slice path);
/* Calls fn for every application that could match some path of this configured hostname ("host" or "*.host"), for `check --print` and coverage. */
void application_table_each(const struct application_table *table, const char *hostname, void (*fn)(void *arg, const char *domain, void *value), void *arg);

#endif
