/*
 * bind_headers: `request_headers` and `response_headers`: a map of header names, each to a template, or, in the shape
 * of Cloudflare's header rules, to `{operation: set, value: template}` or `{operation: remove}`. Called by bind.c. The
 * names are judged by snapshot/resolve, which knows HTTP.
 */
#include "bind_priv.h"

#include "base/arena.h"
#include "value_priv.h"

#define TEMPLATE_MAX 4096
#define EXPECTED "a template such as \"{cert_subject_dn}\", or {operation: remove}"

static void bind_template(struct binder *binder, const struct node *node, struct conf_header *header) {
    struct slice text;
    struct err err = {0};
    if (!bind_scalar(binder, node, EXPECTED, &text))
        return;
    if (text.len == 0 || text.len > TEMPLATE_MAX)
        conf_error(binder->messages, node->pos, "%s: expected text of 1 to %d bytes, found %zu", binder->path,
                   TEMPLATE_MAX, text.len);
    else if (template_parse(arena_str(binder->arena, text), binder->arena, &header->value, &err) < 0)
        conf_error(binder->messages, node->pos, "%s: %s", binder->path, err.text);
}

static void bind_operation(struct binder *binder, const struct node *node, struct conf_header *header) {
    const struct node_member *operation = node_find(node, "operation"), *value = node_find(node, "value");
    struct slice word;
    if (!operation || node->count != (value ? 2u : 1u)) {
        bind_expected(binder, node, EXPECTED);
        return;
    }
    if (!bind_scalar(binder, operation->value, "set or remove", &word))
        return;
    header->is_removed = slice_eq_str(word, "remove");
    if (!header->is_removed && !slice_eq_str(word, "set"))
        bind_expected(binder, operation->value, "set or remove");
    else if (header->is_removed == (value != NULL))
        conf_error(binder->messages, node->pos, "%s: expected a value with set and none with remove", binder->path);
    else if (value)
        bind_template(binder, value->value, header);
}

void bind_headers(struct binder *binder, const struct node *node, conf_headers *headers_out) {
    if (node->kind != NODE_OBJECT) {
        bind_expected(binder, node, "a map of header names to templates");
        return;
    }
    headers_out->items = ARENA_ARRAY(binder->arena, struct conf_header, node->count);
    headers_out->count = node->count;
    for (size_t i = 0; i < node->count; i++) {
        const struct node_member *member = &node->members[i];
        struct conf_header *header = &headers_out->items[i];
        size_t before = bind_enter(binder, "." SLICE_FMT, SLICE_ARG(slice_first(member->key, 100)));
        header->name = (struct conf_text){arena_str(binder->arena, member->key), member->pos};
        if (member->value->kind == NODE_OBJECT)
            bind_operation(binder, member->value, header);
        else
            bind_template(binder, member->value, header);
        bind_leave(binder, before);
    }
}
