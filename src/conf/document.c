/*
 * document: reads the resolved document: JSON to struct conf, through the schema. Called by snapshot/snapshot. The only
 * file that knows jansson. Trusts nothing in the text: what the schema would refuse in YAML it refuses here.
 */
#include "conf/document.h"

#include <jansson.h>
#include <stdio.h>

#include "base/arena.h"
#include "bind_priv.h"
#include "check_priv.h"

static struct node *read_node(struct arena *arena, json_t *from);

static struct node *read_object(struct arena *arena, json_t *from) {
    struct node *object = node_object(arena, json_object_size(from), (struct conf_pos){0, 0});
    for (void *at = json_object_iter(from); at; at = json_object_iter_next(from, at)) {
        const char *key = arena_str(arena, slice_of(json_object_iter_key(at)));
        node_put(object, key, read_node(arena, json_object_iter_value(at)));
    }
    return object;
}

static struct node *read_list(struct arena *arena, json_t *from) {
    struct node *list = node_list(arena, json_array_size(from), (struct conf_pos){0, 0});
    for (size_t i = 0; i < list->count; i++)
        list->items[i] = read_node(arena, json_array_get(from, i));
    return list;
}

/* The depth is bounded by jansson (JSON_PARSER_MAX_DEPTH, 2048). */
static struct node *read_node(struct arena *arena, json_t *from) {
    char number[32];
    switch (json_typeof(from)) {
    case JSON_OBJECT:
        return read_object(arena, from);
    case JSON_ARRAY:
        return read_list(arena, from);
    case JSON_STRING:
        return node_scalar(arena, slice_make(json_string_value(from), json_string_length(from)), false,
                           (struct conf_pos){0, 0});
    case JSON_INTEGER:
        snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(from));
        return node_scalar(arena, slice_of(number), true, (struct conf_pos){0, 0});
    case JSON_TRUE:
        return node_scalar(arena, SLICE("true"), true, (struct conf_pos){0, 0});
    case JSON_FALSE:
        return node_scalar(arena, SLICE("false"), true, (struct conf_pos){0, 0});
    default:
        return node_scalar(arena, SLICE("null"), true, (struct conf_pos){0, 0});
    }
}

struct conf *document_read(struct slice json, struct err *err) {
    json_error_t problem;
    json_t *root = json_loadb(json.ptr ? json.ptr : "", json.len, JSON_REJECT_DUPLICATES, &problem);
    if (!root) {
        err_set(err, "the resolved document is not JSON: line %d: %s", problem.line, problem.text);
        return NULL;
    }
    struct conf *conf = conf_new("resolved document");
    struct conf_messages messages;
    conf_messages_init(&messages, conf->file);
    struct binder binder = {.conf = conf, .arena = conf->arena, .messages = &messages, .is_document = true};
    bind_conf(&binder, read_node(conf->arena, root));
    json_decref(root);
    if (messages.errors == 0)
        check_references(conf, &messages);
    for (size_t i = 0; i < messages.count && messages.errors > 0; i++) {
        if (messages.items[i].is_warning)
            continue;
        err_set(err, "the resolved document is damaged: %s", messages.items[i].text);
        conf_free(&conf);
        break;
    }
    conf_messages_fini(&messages);
    return conf;
}
