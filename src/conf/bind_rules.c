/*
 * bind_rules: the rules of policies and groups: `{kind: value}`, where value is `{}`, a text, or a text in another form
 * (any_of, wildcard, regex, ignore_case). Called by bind.c.
 */
#include "bind_priv.h"

#include "base/arena.h"
#include "value_priv.h"

#define RULE_VALUE_MAX 4096
#define ANY_OF_MAX 100000

static bool bind_value(struct binder *binder, const struct node *node, const char *expected,
                       struct conf_text *value_out) {
    struct slice text;
    if (!bind_scalar(binder, node, expected, &text))
        return false;
    if (text.len == 0 || text.len > RULE_VALUE_MAX) {
        conf_error(binder->messages, node->pos, "%s: expected text of 1 to %d bytes, found %zu", binder->path,
                   RULE_VALUE_MAX, text.len);
        return false;
    }
    *value_out = (struct conf_text){arena_str(binder->arena, text), node->pos};
    return true;
}

static void bind_values(struct binder *binder, const struct node *list, conf_texts *values_out) {
    if (list->kind != NODE_LIST || list->count == 0 || list->count > ANY_OF_MAX) {
        bind_expected(binder, list, "a list of texts");
        return;
    }
    struct conf_text *items = ARENA_ARRAY(binder->arena, struct conf_text, list->count);
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        size_t before = bind_enter(binder, "[%zu]", i);
        if (bind_value(binder, list->items[i], "text", &items[count]))
            count++;
        bind_leave(binder, before);
    }
    values_out->items = items;
    values_out->count = count;
}

static const struct choice *form_find(struct slice name) {
    for (const struct choice *form = schema_forms; form->name; form++) {
        if (slice_eq_str(name, form->name))
            return form;
    }
    return NULL;
}

/* {any_of: [...]} and the like: exactly one key. */
static void bind_form(struct binder *binder, const struct rule_type *type, const struct node *node,
                      struct conf_rule *rule) {
    const char *expected = type->takes_forms ? "one of any_of, wildcard, regex, ignore_case" : "any_of";
    if (node->count != 1) {
        conf_error(binder->messages, node->pos, "%s: expected text, or an object with %s, found %zu keys", binder->path,
                   expected, node->count);
        return;
    }
    const struct node_member *member = &node->members[0];
    const struct choice *form = form_find(member->key);
    if (!form || (form->value != CONF_MATCH_ANY_OF && !type->takes_forms)) {
        struct nearest nearest;
        nearest_init(&nearest, member->key);
        for (form = schema_forms; form->name; form++) {
            if (form->value == CONF_MATCH_ANY_OF || type->takes_forms)
                nearest_offer(&nearest, slice_of(form->name));
        }
        struct sbuf hint;
        sbuf_init(&hint, 128);
        nearest_append(&nearest, &hint);
        conf_error(binder->messages, member->pos, "unknown key %s in %s; expected %s%s",
                   text_describe(binder->arena, member->key), binder->path, expected, sbuf_text(&hint));
        sbuf_fini(&hint);
        return;
    }
    size_t before = bind_enter(binder, ".%s", form->name);
    rule->form = (enum conf_match_form)form->value;
    if (form->is_later) {
        conf_error(binder->messages, member->pos, "%s: not supported yet", binder->path);
    } else if (rule->form == CONF_MATCH_ANY_OF) {
        bind_values(binder, member->value, &rule->values);
    } else {
        struct conf_text *value = ARENA_NEW(binder->arena, struct conf_text);
        if (bind_value(binder, member->value, "text", value)) {
            rule->values.items = value;
            rule->values.count = 1;
        }
    }
    bind_leave(binder, before);
}

static void bind_rule_value(struct binder *binder, const struct rule_type *type, const struct node *node,
                            struct conf_rule *rule) {
    if (!type->takes_value) {
        if (!node_is_null(node) && !(node->kind == NODE_OBJECT && node->count == 0))
            bind_expected(binder, node, "{}");
        return;
    }
    if (node->kind == NODE_OBJECT && type->takes_any_of) {
        bind_form(binder, type, node, rule);
        return;
    }
    const char *expected = type->takes_forms    ? "text, or {any_of: [...]}, {wildcard: ...}, {ignore_case: ...}"
                           : type->takes_any_of ? "text, or {any_of: [...]}"
                                                : "text";
    struct conf_text *value = ARENA_NEW(binder->arena, struct conf_text);
    if (bind_value(binder, node, expected, value)) {
        rule->values.items = value;
        rule->values.count = 1;
    }
}

static void refuse_kind(struct binder *binder, const struct node_member *member) {
    struct nearest nearest;
    nearest_init(&nearest, member->key);
    struct sbuf hint;
    sbuf_init(&hint, 1024);
    sbuf_append_str(&hint, "; expected one of");
    for (size_t kind = 0; kind < RULE_KINDS; kind++) {
        nearest_offer(&nearest, slice_of(schema_rules[kind].name));
        sbuf_printf(&hint, "%s %s", kind > 0 ? "," : "", schema_rules[kind].name);
    }
    if (nearest.best.ptr) {
        sbuf_clear(&hint);
        nearest_append(&nearest, &hint);
    }
    conf_error(binder->messages, member->pos, "unknown rule %s in %s%s", text_describe(binder->arena, member->key),
               binder->path, sbuf_text(&hint));
    sbuf_fini(&hint);
}

static void bind_rule(struct binder *binder, const struct node *node, struct conf_rule *rule) {
    rule->pos = node->pos;
    if (node->kind != NODE_OBJECT || node->count != 1) {
        if (node->kind == NODE_OBJECT && node->count > 1)
            conf_error(binder->messages, node->pos,
                       "%s: expected one rule, found %zu keys; write each as an element of its own", binder->path,
                       node->count);
        else
            bind_expected(binder, node, "a rule such as {certificate: {}}");
        return;
    }
    const struct node_member *member = &node->members[0];
    for (size_t kind = 0; kind < RULE_KINDS; kind++) {
        if (!slice_eq_str(member->key, schema_rules[kind].name))
            continue;
        rule->kind = (enum conf_rule_kind)kind;
        size_t before = bind_enter(binder, ".%s", schema_rules[kind].name);
        bind_rule_value(binder, &schema_rules[kind], member->value, rule);
        bind_leave(binder, before);
        return;
    }
    refuse_kind(binder, member);
}

void bind_rules(struct binder *binder, const struct node *node, conf_rules *rules_out) {
    if (node->kind != NODE_LIST) {
        bind_expected(binder, node, "a list of rules such as [{certificate: {}}]");
        return;
    }
    rules_out->items = ARENA_ARRAY(binder->arena, struct conf_rule, node->count);
    rules_out->count = node->count;
    for (size_t i = 0; i < node->count; i++) {
        size_t before = bind_enter(binder, "[%zu]", i);
        bind_rule(binder, node->items[i], &rules_out->items[i]);
        bind_leave(binder, before);
    }
}
