/*
 * document_write: the resolved document: struct conf as JSON, through the schema. Called by snapshot/resolve. The
 * reader is document.c.
 */
#include "base/arena.h"
#include "base/jsonw.h"
#include "bind_priv.h"
#include "conf/document.h"

static void write_node(struct jsonw *json, const char *key, const struct node *node) {
    if (node->kind == NODE_LIST) {
        jsonw_open_array(json, key);
        for (size_t i = 0; i < node->count; i++)
            write_node(json, NULL, node->items[i]);
        jsonw_close_array(json);
    } else if (node->kind == NODE_OBJECT) {
        jsonw_open_object(json, key);
        for (size_t i = 0; i < node->count; i++)
            write_node(json, node->members[i].key.ptr, node->members[i].value);
        jsonw_close_object(json);
    } else if (!node->is_bare) {
        jsonw_string(json, key, node->text);
    } else if (slice_eq_str(node->text, "true") || slice_eq_str(node->text, "false")) {
        jsonw_bool(json, key, node->text.ptr[0] == 't');
    } else {
        unsigned long long value = 0;
        INVARIANT(slice_to_u64(node->text, &value));
        jsonw_int(json, key, (int64_t)value);
    }
}

void document_write(const struct conf *conf, struct sbuf *out) {
    struct arena *arena = arena_new(64 * 1024);
    struct jsonw json;
    jsonw_init(&json, out);
    write_node(&json, NULL, unbind_conf(conf, arena, true));
    sbuf_append_char(out, '\n');
    arena_free(arena);
}
