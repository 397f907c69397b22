/*
 * unbind: struct conf back to a tree, by the schema: what document.c writes as JSON and `check --print` as YAML.
 * Deterministic: members in the order of the table, lists always, texts and files only when given.
 */
#include "bind_priv.h"

#include "base/arena.h"
#include "base/encode.h"
#include "value_priv.h"

struct unbinder {
    struct arena *arena;
    bool is_document;
};

static const struct conf_pos nowhere = {0, 0};

static struct node *text_node(const struct unbinder *u, struct slice text) {
    return node_scalar(u->arena, text, false, nowhere);
}

static struct node *bare_node(const struct unbinder *u, const char *text) {
    return node_scalar(u->arena, slice_of(text), true, nowhere);
}

/* JSON strings hold UTF-8 without NUL; a PEM file may have anything around its blocks. */
static bool is_clean_text(struct slice s) {
    while (s.len > 0) {
        size_t len = utf8_length(s);
        if (len == 0 || s.ptr[0] == '\0')
            return false;
        s = slice_after(s, len);
    }
    return true;
}

static struct node *content_node(const struct unbinder *u, struct slice content) {
    struct sbuf base64;
    sbuf_init(&base64, BASE64_SIZE(content.len));
    base64_encode(content, &base64);
    struct node *node = text_node(u, sbuf_slice(&base64));
    sbuf_fini(&base64);
    return node;
}

static struct node *file_node(const struct unbinder *u, const struct field *field, const struct conf_file *file) {
    if (!file->path.text)
        return NULL;
    if (!u->is_document)
        return text_node(u, slice_of(file->path.text));
    struct node *node = node_object(u->arena, 4, nowhere);
    node_put(node, "path", text_node(u, slice_of(file->path.text)));
    node_put(node, "digest", text_node(u, slice_of(file->digest)));
    if (file->not_after != 0)
        node_put(node, "not_after", text_node(u, slice_of(arena_printf(u->arena, "%lld", (long long)file->not_after))));
    if (field->is_secret || !file->content.ptr)
        return node;
    if (is_clean_text(file->content))
        node_put(node, "content", text_node(u, file->content));
    else
        node_put(node, "content_base64", content_node(u, file->content));
    return node;
}

static struct node *number_node(const struct unbinder *u, const struct field *field, int64_t value) {
    struct sbuf text;
    sbuf_init(&text, 64);
    if (field->zero_word && value == 0)
        sbuf_append_str(&text, field->zero_word);
    else if (field->type == FIELD_DURATION)
        duration_format(value, &text);
    else if (field->type == FIELD_SIZE)
        size_format(value, &text);
    else
        sbuf_append_u64(&text, (unsigned long long)value);
    bool is_bare = field->type == FIELD_INT && !(field->zero_word && value == 0);
    struct node *node = node_scalar(u->arena, sbuf_slice(&text), is_bare, nowhere);
    sbuf_fini(&text);
    return node;
}

static struct node *choice_node(const struct unbinder *u, const struct field *field, const void *target) {
    int value;
    memcpy(&value, target, sizeof(value));
    for (const struct choice *choice = field->choices; choice->name; choice++) {
        if (choice->value == value)
            return text_node(u, slice_of(choice->name));
    }
    INVARIANT(!"an enum has a value that its row does not name");
    return NULL;
}

static struct node *on_expired_node(const struct unbinder *u, const struct conf_crl *crl) {
    if (crl->on_expired != CONF_CRL_GRACE)
        return text_node(u, slice_of(crl->on_expired == CONF_CRL_ALLOW ? "allow" : "deny"));
    struct sbuf text;
    sbuf_init(&text, 64);
    sbuf_append_str(&text, "grace ");
    duration_format(crl->grace_ms, &text);
    struct node *node = text_node(u, sbuf_slice(&text));
    sbuf_fini(&text);
    return node;
}

static struct node *texts_node(const struct unbinder *u, const struct conf_text *items, size_t count) {
    struct node *list = node_list(u->arena, count, nowhere);
    for (size_t i = 0; i < count; i++)
        list->items[i] = text_node(u, slice_of(items[i].text));
    return list;
}

static struct node *rule_node(const struct unbinder *u, const struct conf_rule *rule) {
    struct node *value;
    const struct choice *form = schema_forms;
    while (form->name && form->value != (int)rule->form)
        form++;
    if (!schema_rules[rule->kind].takes_value) {
        value = node_object(u->arena, 0, nowhere);
    } else if (rule->form == CONF_MATCH_EXACT || !form->name) {
        value = text_node(u, slice_of(rule->values.items[0].text));
    } else {
        value = node_object(u->arena, 1, nowhere);
        node_put(value, form->name,
                 rule->form == CONF_MATCH_ANY_OF ? texts_node(u, rule->values.items, rule->values.count)
                                                 : text_node(u, slice_of(rule->values.items[0].text)));
    }
    struct node *node = node_object(u->arena, 1, nowhere);
    node_put(node, schema_rules[rule->kind].name, value);
    return node;
}

static struct node *rules_node(const struct unbinder *u, const conf_rules *rules) {
    struct node *list = node_list(u->arena, rules->count, nowhere);
    for (size_t i = 0; i < rules->count; i++)
        list->items[i] = rule_node(u, &rules->items[i]);
    return list;
}

static struct node *headers_node(const struct unbinder *u, const conf_headers *headers) {
    struct node *map = node_object(u->arena, headers->count, nowhere);
    for (size_t i = 0; i < headers->count; i++) {
        const struct conf_header *header = &headers->items[i];
        struct node *value = NULL;
        if (header->is_removed) {
            value = node_object(u->arena, 1, nowhere);
            node_put(value, "operation", text_node(u, SLICE("remove")));
        } else {
            value = text_node(u, slice_of(header->value.text));
        }
        node_put(map, header->name.text, value);
    }
    return map;
}

static struct node *object_node(const struct unbinder *u, const struct object_type *type, const void *base);

static struct node *files_node(const struct unbinder *u, const struct field *field, const conf_files *files) {
    struct node *list = node_list(u->arena, files->count, nowhere);
    for (size_t i = 0; i < files->count; i++)
        list->items[i] = file_node(u, field, &files->items[i]);
    return list;
}

static struct node *objects_node(const struct unbinder *u, const struct field *field, const void *target) {
    struct list_parts parts = list_load(target);
    struct node *list = node_list(u->arena, parts.count, nowhere);
    for (size_t i = 0; i < parts.count; i++)
        list->items[i] = object_node(u, field->object, (const char *)parts.items + i * field->object->size);
    return list;
}

/* NULL: not given, left out. */
static struct node *field_node(const struct unbinder *u, const struct field *field, const void *base) {
    const void *target = (const char *)base + field->offset;
    switch (field->type) {
    case FIELD_TEXT:
    case FIELD_TARGET:
    case FIELD_ADDRESS: {
        const struct conf_text *text = target;
        return text->text ? text_node(u, slice_of(text->text)) : NULL;
    }
    case FIELD_BOOL:
        return bare_node(u, *(const bool *)target ? "true" : "false");
    case FIELD_INT:
    case FIELD_DURATION:
    case FIELD_SIZE:
        return number_node(u, field, *(const int64_t *)target);
    case FIELD_ENUM:
        return choice_node(u, field, target);
    case FIELD_FILE:
        return file_node(u, field, target);
    case FIELD_TEXTS:
        return texts_node(u, list_load(target).items, list_load(target).count);
    case FIELD_FILES:
        return files_node(u, field, target);
    case FIELD_OBJECT:
        return object_node(u, field->object, target);
    case FIELD_OBJECTS:
        return objects_node(u, field, target);
    case FIELD_RULES:
        return rules_node(u, target);
    case FIELD_HEADERS:
        return headers_node(u, target);
    case FIELD_ON_EXPIRED:
        return on_expired_node(u, base);
    case FIELD_LATER:
        return NULL;
    }
    return NULL;
}

static struct node *object_node(const struct unbinder *u, const struct object_type *type, const void *base) {
    size_t count = 0;
    for (const struct field *field = type->fields; field->name; field++)
        count++;
    struct node *object = node_object(u->arena, count, nowhere);
    for (const struct field *field = type->fields; field->name; field++) {
        if (field->type == FIELD_LATER || (u->is_document ? field->is_local : field->is_internal))
            continue;
        struct node *value = field_node(u, field, base);
        if (value)
            node_put(object, field->name, value);
    }
    return object;
}

struct node *unbind_conf(const struct conf *conf, struct arena *arena, bool is_document) {
    const struct unbinder u = {arena, is_document};
    return object_node(&u, &schema_root, conf);
}
