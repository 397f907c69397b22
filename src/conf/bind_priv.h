/*
 * bind: from the untyped tree to struct conf, by the schema; and back (unbind.c). One binder for YAML and for the
 * resolved document, which differs only in what is relative to the file, expanded or inlined.
 */
#ifndef SALLYPORT_CONF_BIND_PRIV_H
#define SALLYPORT_CONF_BIND_PRIV_H

#include "node_priv.h"
#include "schema_priv.h"

#define BIND_PATH_MAX 256

struct binder {
    struct conf *conf;
    struct arena *arena;
    struct conf_messages *messages;
    const char *directory; /* what relative paths are relative to */
    bool is_document;
    char path[BIND_PATH_MAX]; /* of the value at hand: "hostnames[0].certificate" */
    size_t path_len;
};

/* Binds the whole tree into binder->conf, defaults included. Errors go to messages. */
void bind_conf(struct binder *binder, const struct node *root);

/* The defaults of one object that the file does not spell out. */
void bind_defaults(struct conf *conf, struct conf_messages *messages, const struct object_type *type, void *base);

/* Between bind.c, bind_rules.c and bind_headers.c. */
size_t bind_enter(struct binder *binder, const char *format, ...) PRINTF_LIKE(2, 3); /* returns what bind_leave takes */
void bind_leave(struct binder *binder, size_t path_len);
void bind_expected(struct binder *binder, const struct node *node, const char *expected);
/* The text of a scalar, ${ENV} expanded; false after an error. */
bool bind_scalar(struct binder *binder, const struct node *node, const char *expected, struct slice *text_out);
void bind_headers(struct binder *binder, const struct node *node, conf_headers *headers_out);
void bind_rules(struct binder *binder, const struct node *node, conf_rules *rules_out);

/* Lists of any element type have one layout. */
struct list_parts {
    void *items;
    size_t count;
};
static inline struct list_parts list_load(const void *list) {
    struct list_parts parts;
    memcpy(&parts, list, sizeof(parts));
    return parts;
}
static inline void list_store(void *list, struct list_parts parts) { memcpy(list, &parts, sizeof(parts)); }

/* The tree of a conf: as the resolved document has it (files inlined), or as a file would spell it (paths only). */
struct node *unbind_conf(const struct conf *conf, struct arena *arena, bool is_document);

#endif
