/*
 * pool: idle links and the round robin, by upstream name and endpoint address, so that both outlive a reload. Called by
 * the exchange (whose turn is it) and by link (idle connections). It owns what is idle; lent links belong to their
 * exchange.
 *
 *   pool --by name--> group --node--> place --idle--> link
 */
#include "upstream/pool.h"

#include "base/mem.h"
#include "base/metrics.h"
#include "pool_priv.h"
#include "upstream/whoami.h"

#define TRIED_BITS 64

struct pool_group {
    struct list node; /* in the pool */
    char *name;
    struct list places;
};

static struct pool_place *place_at(struct list *node) { return LIST_ENTRY(node, struct pool_place, node); }
static struct pool_group *group_at(struct list *node) { return LIST_ENTRY(node, struct pool_group, node); }

/* ---- groups and places ---- */

static struct pool_group *group_of(struct pool *pool, const char *name) {
    struct pool_group *group = map_get(&pool->by_name, slice_of(name));
    if (!group) {
        group = NEW(struct pool_group);
        group->name = mem_strdup(name);
        list_init(&group->places);
        list_push_back(&pool->groups, &group->node);
        (void)map_put(&pool->by_name, slice_of(group->name), group);
    }
    return group;
}

static bool is_place_of(const struct pool_place *place, const struct endpoint *endpoint) {
    if (place->is_whoami || endpoint->is_whoami) {
        return place->is_whoami && endpoint->is_whoami;
    }
    return addr_eq(&place->addr, &endpoint->addr);
}

static struct pool_place *place_in(struct pool_group *group, const struct endpoint *endpoint) {
    LIST_EACH (node, next, &group->places) {
        if (is_place_of(place_at(node), endpoint)) {
            return place_at(node);
        }
    }
    struct pool_place *place = NEW(struct pool_place);
    place->group = group;
    place->addr = endpoint->addr;
    place->is_whoami = endpoint->is_whoami;
    place->is_kept = true;
    list_init(&place->idle);
    list_push_back(&group->places, &place->node);
    return place;
}

struct pool_place *pool_place_of(struct pool *pool, const struct upstream *upstream, const struct endpoint *endpoint) {
    return place_in(group_of(pool, upstream->name), endpoint);
}

const char *pool_place_upstream(const struct pool_place *place) { return place->group->name; }

static void free_group_if_empty(struct pool *pool, struct pool_group *group) {
    if (list_is_empty(&group->places)) {
        list_remove(&group->node);
        (void)map_remove(&pool->by_name, slice_of(group->name));
        mem_free(group->name);
        mem_free(group);
    }
}

static void free_place(struct pool *pool, struct pool_place *place) {
    struct pool_group *group = place->group;
    list_remove(&place->node);
    mem_free(place);
    free_group_if_empty(pool, group);
}

void pool_place_add_link(struct pool_place *place) { place->link_count++; }

void pool_place_drop_link(struct pool *pool, struct pool_place *place) {
    INVARIANT(place->link_count > 0);
    if (--place->link_count == 0 && !place->is_kept) {
        free_place(pool, place);
    }
}

/* ---- idle links ---- */

void pool_add_idle(struct pool *pool, struct pool_place *place, struct list *node) {
    list_push_front(&place->idle, node);
    place->idle_count++;
    pool->idle_count++;
    metric_add(METRIC_UPSTREAM_IDLE, 1, place->group->name);
}

void pool_remove_idle(struct pool *pool, struct pool_place *place, struct list *node) {
    list_remove(node);
    place->idle_count--;
    pool->idle_count--;
    metric_add(METRIC_UPSTREAM_IDLE, -1, place->group->name);
}

/* Lets a place go: its idle links at once, itself with the last lent one. */
static void abandon_place(struct pool *pool, struct pool_place *place) {
    place->is_kept = false;
    place->link_count++; /* keeps the place while its links go */
    LIST_EACH (node, next, &place->idle) {
        link_discard(node);
    }
    pool_place_drop_link(pool, place);
}

static bool is_configured(const struct pool_place *place, const struct upstream *const *upstreams, size_t count) {
    struct slice name = slice_of(place->group->name);
    for (size_t i = 0; i < count; i++) {
        if (!slice_eq_str(name, upstreams[i]->name)) {
            continue;
        }
        for (size_t j = 0; j < upstreams[i]->endpoint_count; j++) {
            if (is_place_of(place, &upstreams[i]->endpoints[j])) {
                return true;
            }
        }
    }
    return false;
}

void pool_keep_only(struct pool *pool, const struct upstream *const *upstreams, size_t count) {
    LIST_EACH (group_node, next_group, &pool->groups) {
        struct list *places = &group_at(group_node)->places;
        /* The group goes with its last place: the end of its list must be known before. */
        struct list *last = places->prev;
        for (struct list *node = places->next, *next = NULL; node; node = next) {
            next = node == last ? NULL : node->next;
            if (is_configured(place_at(node), upstreams, count)) {
                place_at(node)->is_kept = true;
            } else {
                abandon_place(pool, place_at(node));
            }
        }
    }
}

size_t pool_idle_count(const struct pool *pool) { return pool->idle_count; }

/* ---- whose turn it is ---- */

static bool is_tried(uint64_t tried, size_t index) { return index < TRIED_BITS ? tried >> index & 1 : tried != 0; }

/* Each turn every candidate gains its weight, and the heaviest pays the sum of all: a 5:1:1 group gives a a b a c a a,
 * not a a a a a b c. */
const struct endpoint *pool_pick(struct pool *pool, const struct upstream *upstream, uint64_t tried,
                                 size_t *index_out) {
    if (upstream->endpoint_count == 1) {
        if (is_tried(tried, 0)) {
            return NULL;
        }
        *index_out = 0;
        return &upstream->endpoints[0];
    }
    struct pool_place *best = NULL;
    int64_t total = 0;
    for (size_t i = 0; i < upstream->endpoint_count; i++) {
        if (is_tried(tried, i)) {
            continue;
        }
        struct pool_place *place = pool_place_of(pool, upstream, &upstream->endpoints[i]);
        place->weight += upstream->endpoints[i].weight;
        total += upstream->endpoints[i].weight;
        if (!best || place->weight > best->weight) {
            best = place;
            *index_out = i;
        }
    }
    if (!best) {
        return NULL;
    }
    best->weight -= total;
    return &upstream->endpoints[*index_out];
}

/* ---- the pool ---- */

struct pool *pool_new(struct loop *loop) {
    struct pool *pool = NEW(struct pool);
    pool->loop = loop;
    list_init(&pool->groups);
    map_init(&pool->by_name);
    pool->read_buffer = mem_new(POOL_READ_SIZE);
    return pool;
}

void pool_free(struct pool **pool_ptr) {
    struct pool *pool = *pool_ptr;
    *pool_ptr = NULL;
    if (!pool) {
        return;
    }
    pool_keep_only(pool, NULL, 0);
    INVARIANT(list_is_empty(&pool->groups)); /* else a link is still lent */
    whoami_close_all(pool->loop);
    map_fini(&pool->by_name);
    mem_free(pool->read_buffer);
    mem_free(pool);
}
