/*
 * node: constructors of the untyped tree, how it is described in messages, and its YAML form. Used within conf/ only.
 * Owns nothing: everything lives in the caller's arena.
 */
#include "node_priv.h"

#include "base/arena.h"

#define DESCRIBED_MAX 60

static struct node *node_make(struct arena *arena, enum node_kind kind, struct conf_pos pos) {
    struct node *node = ARENA_NEW(arena, struct node);
    node->kind = kind;
    node->pos = pos;
    return node;
}

struct node *node_scalar(struct arena *arena, struct slice text, bool is_bare, struct conf_pos pos) {
    struct node *node = node_make(arena, NODE_SCALAR, pos);
    node->text = slice_make(arena_str(arena, text), text.len);
    node->is_bare = is_bare;
    return node;
}

struct node *node_list(struct arena *arena, size_t count, struct conf_pos pos) {
    struct node *node = node_make(arena, NODE_LIST, pos);
    node->count = count;
    node->items = ARENA_ARRAY(arena, struct node *, count);
    return node;
}

struct node *node_object(struct arena *arena, size_t count, struct conf_pos pos) {
    struct node *node = node_make(arena, NODE_OBJECT, pos);
    node->members = ARENA_ARRAY(arena, struct node_member, count);
    return node;
}

void node_put(struct node *object, const char *key, struct node *value) {
    object->members[object->count++] = (struct node_member){slice_of(key), {0, 0}, value};
}

const struct node_member *node_find(const struct node *object, const char *key) {
    for (size_t i = 0; i < object->count; i++) {
        if (slice_eq_str(object->members[i].key, key))
            return &object->members[i];
    }
    return NULL;
}

bool node_is_null(const struct node *node) {
    return node->kind == NODE_SCALAR && node->is_bare &&
           (node->text.len == 0 || slice_eq_str(node->text, "~") || slice_eq_str(node->text, "null"));
}

/* Somebody who pastes a key where a path belongs must not find it in a log. */
static bool text_looks_secret(struct slice text) {
    return memmem(text.ptr ? text.ptr : "", text.len, "-----BEGIN", 10) != NULL;
}

const char *text_describe(struct arena *arena, struct slice text) {
    if (text_looks_secret(text))
        return "PEM text";
    struct sbuf out;
    sbuf_init(&out, 8 * DESCRIBED_MAX);
    sbuf_append_char(&out, '\'');
    sbuf_append_printable(&out, slice_first(text, DESCRIBED_MAX));
    sbuf_append_str(&out, text.len > DESCRIBED_MAX ? "...'" : "'");
    const char *described = arena_str(arena, sbuf_slice(&out));
    sbuf_fini(&out);
    return described;
}

const char *node_describe(struct arena *arena, const struct node *node) {
    if (node->kind == NODE_LIST)
        return node->count == 0 ? "an empty list" : "a list";
    if (node->kind == NODE_OBJECT)
        return "an object";
    return node_is_null(node) ? "nothing" : text_describe(arena, node->text);
}

static void print_indent(int indent, struct sbuf *out) {
    for (int i = 0; i < indent; i++)
        sbuf_append_char(out, ' ');
}

/* Can the text stand without quotes and mean the same? Conservative: letters, digits and signs that mean nothing to
 * YAML where they stand. */
static bool text_is_plain(struct slice text) {
    if (text.len == 0 || slice_eq_str(text, "null") || slice_eq_str(text, "true") || slice_eq_str(text, "false"))
        return false;
    if (strspn(text.ptr, "0123456789.") == text.len) /* a number to others */
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool is_word =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' || c == '.';
        bool is_inner = c != '\0' && i > 0 && i + 1 < text.len && strchr("_+ -:", c);
        if (!is_word && !is_inner)
            return false;
        if (c == ':' && text.ptr[i + 1] == ' ')
            return false;
    }
    return true;
}

static void print_scalar(const struct node *node, struct sbuf *out) {
    if (node->is_bare || text_is_plain(node->text)) {
        sbuf_append(out, node->text);
        return;
    }
    sbuf_append_char(out, '\'');
    for (size_t i = 0; i < node->text.len; i++) {
        if (node->text.ptr[i] == '\'')
            sbuf_append_char(out, '\'');
        if (slice_starts_with(slice_after(node->text, i), SLICE("${")))
            sbuf_append_char(out, '$'); /* or it would be a variable when read */
        sbuf_append_char(out, node->text.ptr[i]);
    }
    sbuf_append_char(out, '\'');
}

static bool list_is_short(const struct node *node) {
    size_t len = 0;
    for (size_t i = 0; i < node->count; i++) {
        if (node->items[i]->kind != NODE_SCALAR)
            return false;
        len += node->items[i]->text.len + 2;
    }
    return len < 80;
}

static void print_value(const struct node *node, int indent, struct sbuf *out);

static void print_list(const struct node *node, int indent, struct sbuf *out) {
    if (list_is_short(node)) {
        sbuf_append_str(out, " [");
        for (size_t i = 0; i < node->count; i++) {
            sbuf_append_str(out, i > 0 ? ", " : "");
            print_scalar(node->items[i], out);
        }
        sbuf_append_str(out, "]\n");
        return;
    }
    sbuf_append_char(out, '\n');
    for (size_t i = 0; i < node->count; i++) {
        print_indent(indent, out);
        sbuf_append_char(out, '-');
        const struct node *item = node->items[i];
        if (item->kind == NODE_OBJECT && item->count > 0) {
            /* The first member goes on the dash's line. */
            struct sbuf members;
            sbuf_init(&members, out->limit);
            node_print_yaml(item, indent + 2, &members);
            sbuf_append_char(out, ' ');
            sbuf_append(out, slice_after(sbuf_slice(&members), (size_t)indent + 2));
            sbuf_fini(&members);
        } else {
            print_value(item, indent + 2, out);
        }
    }
}

static void print_value(const struct node *node, int indent, struct sbuf *out) {
    if (node->kind == NODE_LIST) {
        print_list(node, indent, out);
    } else if (node->kind == NODE_OBJECT && node->count > 0) {
        sbuf_append_char(out, '\n');
        node_print_yaml(node, indent, out);
    } else {
        sbuf_append_char(out, ' ');
        if (node->kind == NODE_OBJECT)
            sbuf_append_str(out, "{}");
        else
            print_scalar(node, out);
        sbuf_append_char(out, '\n');
    }
}

void node_print_yaml(const struct node *node, int indent, struct sbuf *out) {
    for (size_t i = 0; i < node->count; i++) {
        print_indent(indent, out);
        sbuf_append(out, node->members[i].key);
        sbuf_append_char(out, ':');
        print_value(node->members[i].value, indent + (node->members[i].value->kind == NODE_SCALAR ? 0 : 2), out);
    }
}
