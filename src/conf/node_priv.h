/*
 * node: a value as the file (or the resolved document) spells it, before the schema gives it a type: scalar, list or
 * object, each with its place. Made by yaml.c, document.c and unbind.c; read by bind.c and the printers. Lives in an
 * arena.
 */
#ifndef SALLYPORT_CONF_NODE_PRIV_H
#define SALLYPORT_CONF_NODE_PRIV_H

#include "conf/conf.h"

#define NODE_DEPTH_MAX 24
#define NODE_COUNT_MAX 4000000

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_OBJECT };

struct node_member {
    struct slice key;
    struct conf_pos pos; /* of the key */
    struct node *value;
};

struct node {
    enum node_kind kind;
    struct conf_pos pos;
    struct slice text; /* of a scalar; NUL-terminated */
    bool is_bare;      /* a scalar without quotes: in JSON a number, a truth value or null */
    size_t count;
    struct node **items;         /* of a list */
    struct node_member *members; /* of an object, in file order, keys unique */
};

struct node *node_scalar(struct arena *arena, struct slice text, bool is_bare, struct conf_pos pos);
/* With room for count items or members, which the caller fills in. */
struct node *node_list(struct arena *arena, size_t count, struct conf_pos pos);
struct node *node_object(struct arena *arena, size_t count, struct conf_pos pos);
/* Appends to an object made with enough room. key is static or as long-lived as the node. */
void node_put(struct node *object, const char *key, struct node *value);
const struct node_member *node_find(const struct node *object, const char *key);
/* YAML's null: nothing, ~ or null without quotes. */
bool node_is_null(const struct node *node);
/* What was found, for messages: "'ten'", "a list", "an object", "nothing". Long or secret-looking text is not repeated.
 * Lives in the arena. */
const char *node_describe(struct arena *arena, const struct node *node);
const char *text_describe(struct arena *arena, struct slice text);

/* YAML text of the tree, block style, for `check --print`. */
void node_print_yaml(const struct node *node, int indent, struct sbuf *out);

/* Parses one YAML document. NULL, with errors in messages, when it cannot be used; several errors are reported where
 * the parser can go on. */
struct node *yaml_parse(struct arena *arena, struct slice text, struct conf_messages *messages);

#endif
