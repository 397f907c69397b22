/*
 * application_table: applications by host, then by directory.
 *
 *   exact:    "iot.example.test" -> host
 *   suffixes: "example.test"     -> host -> host ...   (the starred hosts of one suffix, most specific first)
 *   host: directories: ""    -> { self, below, starred -> starred ... }
 *                      "/v1" -> { self, below, starred }
 *
 * A directory is a literal path. `self` covers it and what is below, `below` ("/v1/" and a star) only what is below,
 * `starred` are the patterns whose first star comes after it. A look-up walks down the request's path, as far as the
 * longest directory of the host goes, and keeps the most specific match. The table owns its arena; domains and values
 * stay the caller's.
 */
#include "route/application_table.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "domain_priv.h"
#include "ip_literal_priv.h"

struct route {
    struct domain domain;
    const char *text; /* as configured */
    void *value;
    struct route *next_starred; /* of the directory */
    struct route *next_of_host;
};

struct directory {
    struct route *self, *below, *starred;
};

struct host {
    struct slice pattern;
    struct map directories; /* by literal path */
    size_t longest;         /* bytes of the longest of them */
    struct route *routes;
    struct host *next_of_suffix;
    struct host *next;
};

struct application_table {
    struct arena *arena;
    struct map exact;    /* hosts without a star */
    struct map suffixes; /* first starred host of each suffix */
    struct host *hosts;  /* all of them */
};

struct application_table *application_table_new(void) {
    struct application_table *table = NEW(struct application_table);
    table->arena = arena_new(4096);
    map_init(&table->exact);
    map_init(&table->suffixes);
    return table;
}

void application_table_free(struct application_table **table) {
    if (!*table)
        return;
    for (struct host *host = (*table)->hosts; host; host = host->next)
        map_fini(&host->directories);
    map_fini(&(*table)->exact);
    map_fini(&(*table)->suffixes);
    arena_free((*table)->arena);
    mem_free(*table);
    *table = NULL;
}

/* ---- adding ---- */

/* Puts a starred host in its place among those of its suffix, unless it is there. */
static struct host **find_starred_place(struct host **place, struct slice pattern) {
    while (*place && domain_compare_hosts((*place)->pattern, pattern) < 0)
        place = &(*place)->next_of_suffix;
    return place;
}

static struct host *host_new(struct application_table *table, struct slice pattern) {
    struct host *host = ARENA_NEW(table->arena, struct host);
    host->pattern = pattern;
    map_init(&host->directories);
    host->next = table->hosts;
    table->hosts = host;
    return host;
}

static struct host *host_of(struct application_table *table, const struct domain *domain) {
    if (!domain->has_host_star) {
        struct host *host = map_get(&table->exact, domain->host);
        if (!host) {
            host = host_new(table, domain->host);
            map_put(&table->exact, domain->host, host);
        }
        return host;
    }
    struct host *first = map_get(&table->suffixes, domain->suffix);
    struct host **place = find_starred_place(&first, domain->host);
    if (*place && slice_eq((*place)->pattern, domain->host))
        return *place;
    struct host *host = host_new(table, domain->host);
    host->next_of_suffix = *place;
    *place = host;
    map_put(&table->suffixes, domain->suffix, first);
    return host;
}

static struct directory *directory_of(struct application_table *table, struct host *host, struct slice path) {
    struct directory *directory = map_get(&host->directories, path);
    if (directory)
        return directory;
    directory = ARENA_NEW(table->arena, struct directory);
    map_put(&host->directories, path, directory);
    if (path.len > host->longest)
        host->longest = path.len;
    return directory;
}

/* Where a domain hangs in its directory: the place of its route, or of the route that has the same domain. */
static struct route **route_place(struct directory *directory, const struct domain *domain) {
    if (!domain->has_path_star)
        return &directory->self;
    if (slice_eq(slice_after(domain->path, domain->literal.len), SLICE("/*")))
        return &directory->below;
    struct route **place = &directory->starred;
    while (*place && !slice_eq((*place)->domain.path, domain->path))
        place = &(*place)->next_starred;
    return place;
}

int application_table_add(struct application_table *table, const char *text, void *value, struct err *err) {
    struct domain domain;
    if (domain_parse(text, table->arena, &domain, err) < 0)
        return -1;
    struct host *host = host_of(table, &domain);
    struct directory *directory = directory_of(table, host, domain.literal);
    struct route **place = route_place(directory, &domain);
    if (*place)
        return err_set(err, "the domain \"%s\" is taken by another application, as \"%s\"", text, (*place)->text);
    struct route *route = ARENA_NEW(table->arena, struct route);
    *route = (struct route){.domain = domain, .text = text, .value = value, .next_of_host = host->routes};
    host->routes = route;
    *place = route;
    return 0;
}

/* ---- finding ---- */

static const struct route *more_specific(const struct route *a, const struct route *b) {
    if (!a || !b)
        return a ? a : b;
    return domain_compare_paths(a->domain.path, b->domain.path) < 0 ? a : b;
}

/* The best of a directory on the way to path; is_above: path goes on after it. */
static const struct route *find_in_directory(const struct directory *directory, struct slice path, bool is_above) {
    const struct route *best = directory->self;
    if (is_above)
        best = more_specific(best, directory->below);
    for (const struct route *route = directory->starred; route; route = route->next_starred) {
        if (domain_path_matches(&route->domain, path))
            best = more_specific(best, route);
    }
    return best;
}

static const struct route *find_in_host(const struct host *host, struct slice path) {
    const struct route *best = NULL;
    size_t end = 0;
    while (end <= host->longest) {
        const struct directory *directory = map_get(&host->directories, slice_first(path, end));
        if (directory)
            best = more_specific(best, find_in_directory(directory, path, end < path.len));
        if (end >= path.len)
            break;
        end += 1 + slice_index(slice_after(path, end + 1), '/');
    }
    return best;
}

/* The next shorter suffix of a host; false after the empty one. */
static bool shorten(struct slice *suffix) {
    if (suffix->len == 0)
        return false;
    *suffix = slice_after(*suffix, slice_index(*suffix, '.') + 1);
    return true;
}

void *application_table_find(const struct application_table *table, struct slice host, struct slice path) {
    const struct host *exact = map_get(&table->exact, host);
    const struct route *route = exact ? find_in_host(exact, path) : NULL;
    struct slice suffix = host;
    bool is_literal = host_is_ip_literal(host);
    while (!route && !is_literal && shorten(&suffix)) {
        const struct host *starred = map_get(&table->suffixes, suffix);
        for (; starred && !route; starred = starred->next_of_suffix) {
            if (domain_host_matches(starred->pattern, host))
                route = find_in_host(starred, path);
        }
    }
    return route ? route->value : NULL;
}

/* ---- listing ---- */

struct listing {
    const struct route **items;
    size_t count, cap;
};

static void list_host(struct listing *listing, const struct host *host) {
    for (const struct route *route = host->routes; route; route = route->next_of_host) {
        if (listing->count == listing->cap) {
            listing->cap = listing->cap ? 2 * listing->cap : 16;
            listing->items = mem_resize(listing->items, listing->cap * sizeof(const struct route *));
        }
        listing->items[listing->count++] = route;
    }
}

static void list_exact(struct listing *listing, const struct application_table *table, struct slice hostname) {
    const struct host *exact = map_get(&table->exact, hostname);
    if (exact)
        list_host(listing, exact);
    struct slice suffix = hostname;
    while (!host_is_ip_literal(hostname) && shorten(&suffix)) {
        const struct host *host = map_get(&table->suffixes, suffix);
        for (; host; host = host->next_of_suffix) {
            if (domain_host_matches(host->pattern, hostname))
                list_host(listing, host);
        }
    }
}

/* Every host that could be a name of one label and rest. */
static void list_wildcard(struct listing *listing, const struct application_table *table, struct slice rest) {
    for (const struct host *host = table->hosts; host; host = host->next) {
        struct slice first;
        struct slice pattern_rest = slice_cut(host->pattern, '.', &first);
        if (pattern_rest.ptr && !host_is_ip_literal(host->pattern) && domain_host_matches(pattern_rest, rest))
            list_host(listing, host);
    }
}

static int compare_routes(const void *a, const void *b) {
    const struct domain *left = &(*(const struct route *const *)a)->domain;
    const struct domain *right = &(*(const struct route *const *)b)->domain;
    int order = domain_compare_hosts(left->host, right->host);
    return order ? order : domain_compare_paths(left->path, right->path);
}

void application_table_each(const struct application_table *table, const char *hostname,
                            void (*fn)(void *arg, const char *domain, void *value), void *arg) {
    struct listing listing = {.items = NULL};
    struct slice name = slice_of(hostname);
    if (slice_starts_with(name, SLICE("*.")))
        list_wildcard(&listing, table, slice_after(name, 2));
    else
        list_exact(&listing, table, name);
    if (listing.count)
        qsort(listing.items, listing.count, sizeof(const struct route *), compare_routes);
    for (size_t i = 0; i < listing.count; i++)
        fn(arg, listing.items[i]->text, listing.items[i]->value);
    mem_free(listing.items);
}
