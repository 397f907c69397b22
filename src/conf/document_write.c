/*
 * document_write: the resolved document: struct conf as JSON, through the schema. Called by snapshot/resolve. Apart
 * from document.c because base/json and jansson both have a json_string().
 */
#include "base/arena.h"
#include "base/json.h"
#include "bind_priv.h"
#include "conf/document.h"

static void write_node(struct json *json, const char *key, const struct node *node) {
    if (node->kind == NODE_LIST) {
        json_open_array(json, key);
        for (size_t i = 0; i < node->count; i++)
            write_node(json, NULL, node->items[i]);
        json_close_array(json);
    } else if (node->kind == NODE_OBJECT) {
        json_open_object(json, key);
        for (size_t i = 0; i < node->count; i++)
            write_node(json, node->members[i].key.ptr, node->members[i].value);
        json_close_object(json);
    } else if (!node->is_bare) {
        json_string(json, key, node->text);
    } else if (slice_eq_str(node->text, "true") || slice_eq_str(node->text, "false")) {
        json_bool(json, key, node->text.ptr[0] == 't');
    } else {
        unsigned long long value = 0;
        INVARIANT(slice_to_u64(node->text, &value));
        json_int(json, key, (int64_t)value);
    }
}

void document_write(const struct conf *conf, struct sbuf *out) {
    struct arena *arena = arena_new(64 * 1024);
    struct json json;
    json_init(&json, out);
    write_node(&json, NULL, unbind_conf(conf, arena, true));
    sbuf_append_char(out, '\n');
    arena_free(arena);
}
