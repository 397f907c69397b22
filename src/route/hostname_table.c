/*
 * hostname_table: the one matcher of host names, asked by the ClientHello callback and by every request through
 * snapshot_hostname() (sec-05). Two maps: the exact names, and the wildcards by what follows "*.". It normalises
 * nothing: what comes in went through host_normalise(). It refuses to guess: no default entry, no second label under a
 * star.
 */
#include "route/hostname_table.h"

#include "ip_literal_priv.h"

void hostname_table_init(struct hostname_table *table) {
    map_init(&table->exact);
    map_init(&table->wildcard);
}

void hostname_table_fini(struct hostname_table *table) {
    map_fini(&table->exact);
    map_fini(&table->wildcard);
}

int hostname_table_add(struct hostname_table *table, const char *name, void *value, struct err *err) {
    struct slice key = slice_of(name);
    struct map *map = &table->exact;
    if (slice_starts_with(key, SLICE("*."))) {
        key = slice_after(key, 2);
        map = &table->wildcard;
    }
    if (key.len == 0 || slice_index(key, '*') < key.len)
        return err_set(err, "\"%s\" is neither a host name nor \"*.\" and one", name);
    if (map_get(map, key))
        return err_set(err, "the hostname \"%s\" is there twice", name);
    map_put(map, key, value);
    return 0;
}

void *hostname_table_find(const struct hostname_table *table, struct slice host) {
    if (host.len == 0)
        return NULL;
    void *value = map_get(&table->exact, host);
    if (value || host_is_ip_literal(host))
        return value;
    size_t dot = slice_index(host, '.');
    if (dot == 0 || dot >= host.len)
        return NULL;
    return map_get(&table->wildcard, slice_after(host, dot + 1));
}
