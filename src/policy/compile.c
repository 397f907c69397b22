/*
 * compile: the policies of an application to a policy_set: predicates in the order of evaluation. Called when a
 * snapshot is built, and before that by the control side for the errors' sake. A group is compiled once and shared; one
 * that leads back to itself is refused.
 */
#include "predicate_priv.h"

#include "base/map.h"

#define GROUP_DEPTH_MAX 32
#define RULES_MAX 100000 /* of one policy, groups counted each time they are used: what one evaluation may cost */

struct compiler {
    const struct conf *conf;
    struct arena *arena;
    struct map groups; /* name to its predicate */
};

/* The groups being compiled, innermost first. */
struct nesting {
    const struct conf_group *group;
    const struct nesting *outer;
};

static struct predicate *compile_rules(struct compiler *compiler, const conf_rules lists[3],
                                       const struct nesting *nesting, struct err *err);

static int check_nesting(const struct conf_group *group, const struct nesting *nesting, struct err *err) {
    int depth = 0;
    for (; nesting; nesting = nesting->outer, depth++) {
        if (nesting->group == group)
            return err_set(err, "the group \"%s\" contains itself", group->name.text);
    }
    return depth < GROUP_DEPTH_MAX ? 0 : err_set(err, "groups nested deeper than %d", GROUP_DEPTH_MAX);
}

static const struct predicate *compile_group(struct compiler *compiler, const char *name, const struct nesting *nesting,
                                             struct err *err) {
    const struct conf_group *group = conf_find_group(compiler->conf, name);
    if (!group) {
        err_set(err, "there is no group \"%s\"", name);
        return NULL;
    }
    if (check_nesting(group, nesting, err) < 0)
        return NULL;
    struct predicate *known = map_get(&compiler->groups, slice_of(group->name.text));
    if (known)
        return known;
    const struct nesting inner = {group, nesting};
    const conf_rules lists[3] = {group->include, group->require, group->exclude};
    struct predicate *predicate = compile_rules(compiler, lists, &inner, err);
    if (!predicate) {
        err_context(err, "group \"%s\"", name);
        return NULL;
    }
    predicate->name = conf_rule_name(CONF_RULE_GROUP);
    predicate->shown.items = ARENA_NEW(compiler->arena, struct slice);
    predicate->shown.items[0] = arena_dup(compiler->arena, slice_of(name));
    predicate->shown.count = 1;
    map_put(&compiler->groups, slice_of(group->name.text), predicate);
    return predicate;
}

static const struct predicate *compile_rule(struct compiler *compiler, const struct conf_rule *rule,
                                            const struct nesting *nesting, struct err *err) {
    if (rule->kind != CONF_RULE_GROUP)
        return rule_compile(rule, compiler->arena, err);
    if (rule->values.count != 1) {
        err_set(err, "names no group");
        return NULL;
    }
    return compile_group(compiler, rule->values.items[0].text, nesting, err);
}

static struct predicate *inner_node(struct arena *arena, enum predicate_op op, const char *role, size_t count) {
    struct predicate *node = ARENA_NEW(arena, struct predicate);
    node->op = op;
    node->role = role;
    node->items = ARENA_ARRAY(arena, const struct predicate *, count);
    return node;
}

static int add_item(struct predicate *node, const struct predicate *item, struct err *err) {
    node->items[node->count++] = item;
    node->rules += item->rules;
    return node->rules <= RULES_MAX ? 0 : err_set(err, "more than %d rules, groups included", RULES_MAX);
}

static struct predicate *compile_list(struct compiler *compiler, const conf_rules *rules, struct predicate *node,
                                      const struct nesting *nesting, struct err *err) {
    for (size_t i = 0; i < rules->count; i++) {
        const struct predicate *item = compile_rule(compiler, &rules->items[i], nesting, err);
        if (!item || add_item(node, item, err) < 0) {
            err_context(err, "%s rule %zu (%s)", node->role, i + 1, conf_rule_name(rules->items[i].kind));
            return NULL;
        }
    }
    return node;
}

static void index_items(struct predicate *any, struct arena *arena) {
    any->index = predicate_index_new(any->items, any->count, arena);
    while (any->index && any->asks_from < any->count && !predicate_always_asks(any->items[any->asks_from]))
        any->asks_from++;
}

/* include: any of them; require: all; exclude: none. Without an include nobody would match, ever. */
static struct predicate *compile_rules(struct compiler *compiler, const conf_rules lists[3],
                                       const struct nesting *nesting, struct err *err) {
    static const struct {
        const char *role;
        enum predicate_op op;
    } parts[3] = {{"include", PREDICATE_ANY}, {"require", PREDICATE_ALL}, {"exclude", PREDICATE_ANY}};
    if (lists[0].count == 0) {
        err_set(err, "include has no rule");
        return NULL;
    }
    struct predicate *whole = inner_node(compiler->arena, PREDICATE_ALL, NULL, 3);
    for (int i = 0; i < 3; i++) {
        struct predicate *part = inner_node(compiler->arena, parts[i].op, parts[i].role, lists[i].count);
        part = compile_list(compiler, &lists[i], part, nesting, err);
        if (!part)
            return NULL;
        if (part->op == PREDICATE_ANY)
            index_items(part, compiler->arena);
        if (i == 2) {
            struct predicate *none = inner_node(compiler->arena, PREDICATE_NOT, parts[i].role, 1);
            if (add_item(none, part, err) < 0)
                return NULL;
            part = none;
        }
        if (add_item(whole, part, err) < 0)
            return NULL;
    }
    return whole;
}

static bool runs_first(enum conf_decision decision) { return decision == CONF_BYPASS || decision == CONF_SERVICE_AUTH; }

static int compile_phase(struct compiler *compiler, const struct conf_application *application, bool is_first,
                         struct policy_set *set, struct err *err) {
    for (size_t i = 0; i < application->policies.count; i++) {
        const struct conf_policy *policy = &application->policies.items[i];
        if (runs_first(policy->decision) != is_first)
            continue;
        const conf_rules lists[3] = {policy->include, policy->require, policy->exclude};
        struct predicate *predicate = compile_rules(compiler, lists, NULL, err);
        if (!predicate)
            return err_context(err, "policy \"%s\"", policy->name.text);
        set->policies[set->count++] = (struct policy){.name = arena_str(compiler->arena, slice_of(policy->name.text)),
                                                      .decision = policy->decision,
                                                      .is_report_only = policy->report_only,
                                                      .session_s = policy->session_duration_ms / 1000,
                                                      .predicate = predicate};
    }
    return 0;
}

static void index_policies(struct policy_set *set, struct arena *arena) {
    const struct predicate **predicates = ARENA_ARRAY(arena, const struct predicate *, set->count);
    for (size_t i = 0; i < set->count; i++) {
        predicates[i] = set->policies[i].predicate;
        set->asks = set->asks || (!set->policies[i].is_report_only && predicate_always_asks(predicates[i]));
    }
    set->index = predicate_index_new(predicates, set->count, arena);
}

struct policy_set *policy_set_new(const struct conf_application *application, const struct conf *conf,
                                  struct arena *arena, struct err *err) {
    struct compiler compiler = {.conf = conf, .arena = arena};
    map_init(&compiler.groups);
    struct policy_set *set = ARENA_NEW(arena, struct policy_set);
    set->application = arena_str(arena, slice_of(application->name.text));
    set->policies = ARENA_ARRAY(arena, struct policy, application->policies.count);
    if (compile_phase(&compiler, application, true, set, err) < 0 ||
        compile_phase(&compiler, application, false, set, err) < 0)
        set = NULL;
    if (set)
        index_policies(set, arena);
    map_fini(&compiler.groups);
    return set;
}
