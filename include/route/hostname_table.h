/*
 * hostname_table: the one matcher of host names, for the ClientHello and for each request's Host (sec-05). Exact names
 * first; then the wildcard "*.rest", where "*" stands for exactly one label. There is no default entry.
 */
#ifndef SALLYPORT_ROUTE_HOSTNAME_TABLE_H
#define SALLYPORT_ROUTE_HOSTNAME_TABLE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "base/slice.h"

struct hostname_table {
    struct map exact;
    struct map wildcard; /* by what follows "*." */
};

void hostname_table_init(struct hostname_table *table);
void hostname_table_fini(struct hostname_table *table);
/* name: normalised, "host" or "*.host"; must outlive the table. Duplicate: error. */
MUST_CHECK int hostname_table_add(struct hostname_table *table, const char *name, void *value, struct err *err);
/* host: normalised (http/target host_normalise). NULL when nothing matches. IP literals match only exact entries. */
void *hostname_table_find(const struct hostname_table *table, struct slice host);

#endif
