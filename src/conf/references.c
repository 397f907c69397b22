/*
 * references: names are unique within their kind, and every name that refers to something leads there. Called by
 * conf.c, and by document.c for the resolved document.
 */
#include "base/arena.h"
#include "base/map.h"
#include "base/mem.h"
#include "bind_priv.h"
#include "check_priv.h"
#include "value_priv.h"

#define GROUP_DEPTH_MAX 32

struct names {
    const char *what;
    struct map map; /* name to its conf_text */
};

struct group_walk {
    const struct conf *conf;
    struct conf_messages *messages;
    struct map index; /* name to group */
    enum { WALK_NEW, WALK_OPEN, WALK_DONE } * states;
    int *heights; /* levels of groups below, this one included */
};

struct checking {
    const struct conf *conf;
    struct conf_messages *messages;
    struct names bundles, hostnames, applications, groups, upstreams;
};

static void names_add(struct checking *checking, struct names *names, const struct conf_text *name) {
    if (!name->text)
        return;
    const struct conf_text *earlier = map_get(&names->map, slice_of(name->text));
    if (earlier)
        conf_error(checking->messages, name->pos, "duplicate %s %s; first on line %d", names->what,
                   text_describe(checking->conf->arena, slice_of(name->text)), earlier->pos.line);
    else
        map_put(&names->map, slice_of(name->text), (void *)(uintptr_t)name);
}

/* An error, with the nearest known name, when name is not among them. */
static void names_require(struct checking *checking, const struct names *names, const struct conf_text *name,
                          const char *role) {
    if (!name->text || map_get(&names->map, slice_of(name->text)))
        return;
    struct nearest nearest;
    nearest_init(&nearest, slice_of(name->text));
    size_t cursor = 0;
    const struct map_entry *entry;
    while ((entry = map_next(&names->map, &cursor)) != NULL) {
        /* The map has no order of its own: of equally near ones the first in the alphabet. */
        struct nearest one = nearest;
        nearest_init(&one, nearest.unknown);
        nearest_offer(&one, entry->key);
        if (one.best.ptr && (!nearest.best.ptr || one.distance < nearest.distance ||
                             (one.distance == nearest.distance && slice_compare(one.best, nearest.best) < 0)))
            nearest = one;
    }
    struct sbuf hint;
    sbuf_init(&hint, 256);
    nearest_append(&nearest, &hint);
    if (names == &checking->upstreams && strchr(name->text, ':'))
        sbuf_append_str(&hint, "; one written inline is http://host:port");
    conf_error(checking->messages, name->pos, "%s %s names no %s%s", role,
               text_describe(checking->conf->arena, slice_of(name->text)), names->what, sbuf_text(&hint));
    sbuf_fini(&hint);
}

static void check_policy_names(struct checking *checking, const struct conf_application *application) {
    struct names policies = {.what = "policy name"};
    map_init(&policies.map);
    for (size_t i = 0; i < application->policies.count; i++)
        names_add(checking, &policies, &application->policies.items[i].name);
    map_fini(&policies.map);
}

static void check_unique(struct checking *checking) {
    const struct conf *conf = checking->conf;
    for (size_t i = 0; i < conf->ca_bundles.count; i++)
        names_add(checking, &checking->bundles, &conf->ca_bundles.items[i].name);
    for (size_t i = 0; i < conf->hostnames.count; i++)
        names_add(checking, &checking->hostnames, &conf->hostnames.items[i].name);
    for (size_t i = 0; i < conf->groups.count; i++)
        names_add(checking, &checking->groups, &conf->groups.items[i].name);
    for (size_t i = 0; i < conf->upstreams.count; i++)
        names_add(checking, &checking->upstreams, &conf->upstreams.items[i].name);
    for (size_t i = 0; i < conf->applications.count; i++) {
        names_add(checking, &checking->applications, &conf->applications.items[i].name);
        check_policy_names(checking, &conf->applications.items[i]);
    }
}

static void check_rules(struct checking *checking, const conf_rules *rules) {
    for (size_t i = 0; i < rules->count; i++) {
        const struct conf_rule *rule = &rules->items[i];
        for (size_t j = 0; j < rule->values.count; j++) {
            if (rule->kind == CONF_RULE_GROUP)
                names_require(checking, &checking->groups, &rule->values.items[j], "group");
            else if (rule->kind == CONF_RULE_CA_BUNDLE)
                names_require(checking, &checking->bundles, &rule->values.items[j], "ca_bundle");
        }
    }
}

static void check_bundle_hostnames(struct checking *checking, const struct conf_ca_bundle *bundle) {
    struct names own = {.what = "associated hostname"};
    map_init(&own.map);
    for (size_t i = 0; i < bundle->associated_hostnames.count; i++) {
        names_add(checking, &own, &bundle->associated_hostnames.items[i]);
        names_require(checking, &checking->hostnames, &bundle->associated_hostnames.items[i], "associated hostname");
    }
    map_fini(&own.map);
}

static void check_dangling(struct checking *checking) {
    const struct conf *conf = checking->conf;
    for (size_t i = 0; i < conf->listeners.count; i++)
        names_require(checking, &checking->hostnames, &conf->listeners.items[i].no_sni, "no_sni");
    for (size_t i = 0; i < conf->ca_bundles.count; i++)
        check_bundle_hostnames(checking, &conf->ca_bundles.items[i]);
    for (size_t i = 0; i < conf->hostnames.count; i++)
        names_require(checking, &checking->upstreams, &conf->hostnames.items[i].upstream, "upstream");
    for (size_t i = 0; i < conf->groups.count; i++) {
        check_rules(checking, &conf->groups.items[i].include);
        check_rules(checking, &conf->groups.items[i].require);
        check_rules(checking, &conf->groups.items[i].exclude);
    }
    for (size_t i = 0; i < conf->applications.count; i++) {
        for (size_t j = 0; j < conf->applications.items[i].policies.count; j++) {
            const struct conf_policy *policy = &conf->applications.items[i].policies.items[j];
            check_rules(checking, &policy->include);
            check_rules(checking, &policy->require);
            check_rules(checking, &policy->exclude);
        }
    }
}

static int walk_group(struct group_walk *walk, size_t group, int depth);

static int walk_rules(struct group_walk *walk, const conf_rules *rules, int depth) {
    int height = 0;
    for (size_t i = 0; i < rules->count; i++) {
        const struct conf_rule *rule = &rules->items[i];
        if (rule->kind != CONF_RULE_GROUP || rule->values.count == 0)
            continue;
        const struct conf_text *name = &rule->values.items[0];
        const struct conf_group *to = map_get(&walk->index, slice_of(name->text));
        if (!to)
            continue; /* dangling: said already */
        size_t index = (size_t)(to - walk->conf->groups.items);
        if (walk->states[index] == WALK_OPEN) {
            conf_error(walk->messages, name->pos, "group %s refers to itself, directly or through others",
                       text_describe(walk->conf->arena, slice_of(name->text)));
        } else if (depth + 1 + walk->heights[index] > GROUP_DEPTH_MAX) {
            conf_error(walk->messages, name->pos, "groups are nested too deep: at most %d levels", GROUP_DEPTH_MAX);
        } else {
            int below = walk_group(walk, index, depth + 1);
            height = below > height ? below : height;
        }
    }
    return height;
}

/* Depth first; its recursion is bounded by GROUP_DEPTH_MAX. Returns the group's height. */
static int walk_group(struct group_walk *walk, size_t group, int depth) {
    if (walk->states[group] == WALK_DONE)
        return walk->heights[group];
    walk->states[group] = WALK_OPEN;
    const struct conf_group *from = &walk->conf->groups.items[group];
    int include = walk_rules(walk, &from->include, depth);
    int require = walk_rules(walk, &from->require, depth);
    int exclude = walk_rules(walk, &from->exclude, depth);
    int below = include > require ? include : require;
    walk->heights[group] = 1 + (below > exclude ? below : exclude);
    walk->states[group] = WALK_DONE;
    return walk->heights[group];
}

static void check_group_cycles(const struct conf *conf, struct conf_messages *messages) {
    size_t count = conf->groups.count;
    struct group_walk walk = {.conf = conf, .messages = messages};
    walk.states = mem_new_array(count + 1, sizeof(*walk.states));
    walk.heights = mem_new_array(count + 1, sizeof(*walk.heights));
    map_init(&walk.index);
    for (size_t i = 0; i < count; i++) {
        if (conf->groups.items[i].name.text)
            map_put(&walk.index, slice_of(conf->groups.items[i].name.text), &conf->groups.items[i]);
    }
    for (size_t i = 0; i < count; i++)
        walk_group(&walk, i, 0);
    map_fini(&walk.index);
    mem_free(walk.states);
    mem_free(walk.heights);
}

void check_references(const struct conf *conf, struct conf_messages *messages) {
    struct checking checking = {
        .conf = conf,
        .messages = messages,
        .bundles = {.what = "CA bundle"},
        .hostnames = {.what = "hostname"},
        .applications = {.what = "application name"},
        .groups = {.what = "group"},
        .upstreams = {.what = "upstream"},
    };
    struct names *all[] = {&checking.bundles, &checking.hostnames, &checking.applications, &checking.groups,
                           &checking.upstreams};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        map_init(&all[i]->map);
    check_unique(&checking);
    check_dangling(&checking);
    check_group_cycles(conf, messages);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        map_fini(&all[i]->map);
}
