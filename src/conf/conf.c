/*
 * conf: loads a configuration: file, tree, values, checks, in this order. Called by snapshot/resolve and the commands;
 * owns struct conf. Opens no file but the configuration itself.
 */
#include "conf/conf.h"

#include <limits.h>

#include "base/file.h"
#include "base/mem.h"
#include "bind_priv.h"
#include "check_priv.h"

#define CONF_FILE_MAX ((size_t)256 * 1024 * 1024)
#define CONF_FIRST_BLOCK ((size_t)16 * 1024)

struct conf *conf_new(const char *file) {
    struct arena *arena = arena_new(CONF_FIRST_BLOCK);
    struct conf *conf = ARENA_NEW(arena, struct conf);
    conf->arena = arena;
    conf->file = arena_str(arena, slice_of(file));
    map_init(&conf->places);
    return conf;
}

void conf_free(struct conf **conf) {
    if (!*conf)
        return;
    map_fini(&(*conf)->places);
    arena_free((*conf)->arena); /* conf itself lives there */
    *conf = NULL;
}

struct conf_pos conf_place(const struct conf *conf, const void *member, struct conf_pos fallback) {
    const struct conf_pos *pos = map_get(&conf->places, slice_make(&member, sizeof(member)));
    return pos ? *pos : fallback;
}

/* NULL only when there is nothing to bind. */
static struct conf *parse_partial(struct slice yaml, const char *file, const char *directory,
                                  struct conf_messages *messages) {
    struct conf *conf = conf_new(file);
    struct arena *tree = arena_new(CONF_FIRST_BLOCK);
    const struct node *root = yaml_parse(tree, yaml, messages);
    if (root) {
        struct binder binder = {.conf = conf, .arena = conf->arena, .messages = messages, .directory = directory};
        bind_conf(&binder, root);
        check_normalise(conf, messages);
        check_references(conf, messages);
        check_meaning(conf, messages);
    } else {
        conf_free(&conf);
    }
    arena_free(tree);
    return conf;
}

struct conf *conf_parse(struct slice yaml, const char *file, const char *directory, struct conf_messages *messages) {
    size_t errors_before = messages->errors;
    struct conf *conf = parse_partial(yaml, file, directory, messages);
    if (messages->errors > errors_before)
        conf_free(&conf);
    return conf;
}

struct conf *conf_load(const char *path, struct conf_messages *messages) {
    struct sbuf content;
    sbuf_init(&content, CONF_FILE_MAX);
    struct err err;
    struct conf *conf = NULL;
    char *directory = path_directory(path);
    if (file_read(path, CONF_FILE_MAX, &content, &err) == 0)
        conf = parse_partial(sbuf_slice(&content), path, directory, messages);
    else
        conf_error(messages, (struct conf_pos){1, 1}, "the configuration %s", err.text);
    mem_free(directory);
    sbuf_fini(&content);
    return conf;
}

/* A configuration has few of most things; the checks, which look up many, make maps of their own. */
const struct conf_upstream *conf_find_upstream(const struct conf *conf, const char *name) {
    for (size_t i = 0; i < conf->upstreams.count; i++) {
        const char *own = conf->upstreams.items[i].name.text;
        if (own && strcmp(own, name) == 0)
            return &conf->upstreams.items[i];
    }
    return NULL;
}

const struct conf_group *conf_find_group(const struct conf *conf, const char *name) {
    for (size_t i = 0; i < conf->groups.count; i++) {
        const char *own = conf->groups.items[i].name.text;
        if (own && strcmp(own, name) == 0)
            return &conf->groups.items[i];
    }
    return NULL;
}

const char *conf_rule_name(enum conf_rule_kind kind) { return schema_rules[kind].name; }

const char *conf_decision_name(enum conf_decision decision) {
    static const char *const names[] = {
        [CONF_SERVICE_AUTH] = "service_auth", [CONF_ALLOW] = "allow", [CONF_BLOCK] = "block", [CONF_BYPASS] = "bypass"};
    return names[decision];
}

void conf_write_yaml(const struct conf *conf, struct sbuf *out) {
    struct arena *arena = arena_new(CONF_FIRST_BLOCK);
    node_print_yaml(unbind_conf(conf, arena, false), 0, out);
    arena_free(arena);
}
