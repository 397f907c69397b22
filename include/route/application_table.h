/*
 * application_table: which application a host and path belong to, by Cloudflare's rules (facts 2.6): the most specific
 * one wins, nothing is inherited. The forms of a domain, with # for the star:
 *
 *   example.com, example.com/#   the host and every path
 *   example.com/alpha            /alpha and what is below it, on segment borders
 *   example.com/alpha/#          only what is below /alpha
 *   #.example.com                exactly one label
 *   #test.example.com            test.example.com and atest.example.com
 *   example.com/foo#/bar         a star in the path takes any run of characters, also over slashes
 *
 * At most one star between two dots of the host and between two slashes of the path; a star in the host never meets an
 * IP literal. A port is dropped, a slash at the end too; a scheme, a query or a fragment is refused. The host's case
 * does not matter, the path's does; the path is normalised as a request's is (http/target.h).
 *
 * Most specific: first by host, then by path; a host whose paths do not cover the request leaves it to the next one.
 *   host  label by label from the right: without a star, the longer part beside the star, the star alone; so a host
 *         without a star comes first, then the longer suffix
 *   path  more segments; then, segment by segment from the left: without a star, the longer part beside the star, the
 *         star alone; at last the order of bytes
 *
 * Look-up cost grows with the length of the longest pattern on that host and the number of starred patterns in the
 * directories on the way, not with the number of applications, nor with the length of a path that a client sends.
 */
#ifndef SALLYPORT_ROUTE_APPLICATION_TABLE_H
#define SALLYPORT_ROUTE_APPLICATION_TABLE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

struct application_table;

struct application_table *application_table_new(void);
void application_table_free(struct application_table **table);
/* domain must outlive the table. Errors: a form that is none, two applications of equal domain. */
MUST_CHECK int application_table_add(struct application_table *table, const char *domain, void *value, struct err *err);
/* host and path normalised. The most specific match, or NULL. */
void *application_table_find(const struct application_table *table, struct slice host, struct slice path);
/* Calls fn for every application that could match some path of this configured hostname ("host" or "*.host"), most
 * specific first, for `check --print` and coverage. */
void application_table_each(const struct application_table *table, const char *hostname,
                            void (*fn)(void *arg, const char *domain, void *value), void *arg);

#endif
