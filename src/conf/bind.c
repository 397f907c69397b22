/*
 * bind: the untyped tree to struct conf, by the schema table. Called by conf.c for YAML and by document.c for the
 * resolved document. Reports every error it meets and goes on; opens no file, knows nothing of what names refer to
 * (that is references.c's).
 */
#include "bind_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/mem.h"
#include "value_priv.h"

#define TEXT_MAX_BYTES 4096
#define EXPECTED_MAX 512

static void bind_object(struct binder *binder, const struct object_type *type, const struct node *node, void *base);

size_t bind_enter(struct binder *binder, const char *format, ...) {
    size_t before = binder->path_len;
    size_t room = sizeof(binder->path) - before;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(binder->path + before, room, format, args);
    va_end(args);
    if (n > 0)
        binder->path_len += (size_t)n < room ? (size_t)n : room - 1;
    return before;
}

void bind_leave(struct binder *binder, size_t path_len) {
    binder->path_len = path_len;
    binder->path[path_len] = '\0';
}

void bind_expected(struct binder *binder, const struct node *node, const char *expected) {
    conf_error(binder->messages, node->pos, "%s: expected %s, found %s", binder->path_len ? binder->path : "the file",
               expected, node_describe(binder->arena, node));
}

static void expected_field(struct binder *binder, const struct field *field, const struct node *node) {
    struct sbuf expected;
    sbuf_init(&expected, EXPECTED_MAX);
    schema_describe(field, &expected);
    bind_expected(binder, node, sbuf_text(&expected));
    sbuf_fini(&expected);
}

/* Length of the name at the beginning of text: letters, digits and underscores, no digit first. */
static size_t env_name_length(struct slice text) {
    size_t n = 0;
    while (n < text.len) {
        char c = text.ptr[n];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!is_letter && !(n > 0 && c >= '0' && c <= '9'))
            break;
        n++;
    }
    return n;
}

/* One "${NAME}" at the beginning of text, its value to out; returns how much of text it is, 0 after an error. */
static size_t expand_one(struct binder *binder, const struct node *node, struct slice text, struct sbuf *out) {
    size_t len = env_name_length(slice_after(text, 2));
    if (len == 0 || 2 + len >= text.len || text.ptr[2 + len] != '}') {
        conf_error(binder->messages, node->pos, "%s: expected ${NAME} in %s; a literal ${ is written $${", binder->path,
                   text_describe(binder->arena, node->text));
        return 0;
    }
    const char *name = arena_str(binder->arena, slice_first(slice_after(text, 2), len));
    const char *value = getenv(name);
    if (!value) {
        conf_error(binder->messages, node->pos, "%s: the environment variable %s is not set", binder->path, name);
        return 0;
    }
    sbuf_append_str(out, value);
    return len + 3;
}

/* ${NAME} becomes its value, $${ becomes ${; the result is never parsed again. */
static bool expand(struct binder *binder, const struct node *node, struct slice *text_out) {
    struct slice text = node->text;
    *text_out = text;
    if (binder->is_document || node->pos.line == 0 || !memmem(text.ptr, text.len, "${", 2))
        return true;
    struct sbuf out;
    sbuf_init(&out, 1 << 20);
    bool ok = true;
    while (text.len > 0 && ok) {
        size_t used = 1;
        if (slice_starts_with(text, SLICE("$${"))) {
            sbuf_append_str(&out, "${");
            used = 3;
        } else if (slice_starts_with(text, SLICE("${"))) {
            used = expand_one(binder, node, text, &out);
            ok = used > 0;
        } else {
            sbuf_append_char(&out, text.ptr[0]);
        }
        text = slice_after(text, used);
    }
    *text_out = slice_make(arena_str(binder->arena, sbuf_slice(&out)), out.len);
    if (ok && out.overflow) {
        conf_error(binder->messages, node->pos, "%s: too long once its variables are expanded", binder->path);
        ok = false;
    }
    sbuf_fini(&out);
    return ok;
}

/* Control characters would break lines of logs and headers later; NUL would cut the text short. */
static const char *text_fault(struct slice text) {
    for (struct slice rest = text; rest.len > 0;) {
        size_t len = utf8_length(rest);
        if (len == 0)
            return "text that is not UTF-8";
        unsigned char c = (unsigned char)rest.ptr[0];
        if (c < 0x20 || c == 0x7f)
            return "a control character (such as a line break)";
        rest = slice_after(rest, len);
    }
    return NULL;
}

bool bind_scalar(struct binder *binder, const struct node *node, const char *expected, struct slice *text_out) {
    if (node->kind != NODE_SCALAR || node_is_null(node)) {
        bind_expected(binder, node, expected);
        return false;
    }
    if (!expand(binder, node, text_out))
        return false;
    const char *fault = text_fault(*text_out);
    if (fault)
        conf_error(binder->messages, node->pos, "%s: expected %s, found %s", binder->path, expected, fault);
    return !fault;
}

/* A scalar by its field's description; the text is not empty. */
static bool scalar_of(struct binder *binder, const struct field *field, const struct node *node,
                      struct slice *text_out) {
    struct sbuf expected;
    sbuf_init(&expected, EXPECTED_MAX);
    schema_describe(field, &expected);
    bool ok = bind_scalar(binder, node, sbuf_text(&expected), text_out);
    if (ok && text_out->len == 0) {
        conf_error(binder->messages, node->pos, "%s: expected %s, found ''", binder->path, sbuf_text(&expected));
        ok = false;
    }
    sbuf_fini(&expected);
    return ok;
}

/* The error for a scalar whose text, after expansion, is not what the field takes. */
static void refuse_text(struct binder *binder, const struct field *field, const struct node *node, struct slice text) {
    struct node found = *node;
    found.text = text;
    expected_field(binder, field, &found);
}

static const struct choice *bind_choice(struct binder *binder, const struct field *field, const struct node *node,
                                        struct slice text) {
    struct nearest nearest;
    nearest_init(&nearest, text);
    for (const struct choice *choice = field->choices; choice->name; choice++) {
        if (!slice_eq_str(text, choice->name)) {
            nearest_offer(&nearest, slice_of(choice->name));
        } else if (choice->is_later) {
            conf_error(binder->messages, node->pos, "%s: '%s' is not supported yet", binder->path, choice->name);
            return NULL;
        } else {
            return choice;
        }
    }
    struct sbuf expected;
    sbuf_init(&expected, EXPECTED_MAX);
    schema_describe(field, &expected);
    sbuf_printf(&expected, ", found %s", text_describe(binder->arena, text));
    nearest_append(&nearest, &expected);
    conf_error(binder->messages, node->pos, "%s: expected %s", binder->path, sbuf_text(&expected));
    sbuf_fini(&expected);
    return NULL;
}

static void record_place(struct binder *binder, const void *member, const struct node *node) {
    if (node->pos.line == 0)
        return;
    struct place {
        const void *member;
        struct conf_pos pos;
    } *place = arena_alloc(binder->arena, sizeof(*place));
    place->member = member;
    place->pos = node->pos;
    map_put(&binder->conf->places, slice_make(&place->member, sizeof(place->member)), &place->pos);
}

static void bind_one_text(struct binder *binder, const struct field *field, const struct node *node,
                          struct conf_text *text_out) {
    struct slice text;
    if (!scalar_of(binder, field, node, &text))
        return;
    size_t limit = field->type == FIELD_TEXT && field->max > 0 ? (size_t)field->max : TEXT_MAX_BYTES;
    if (text.len > limit) {
        conf_error(binder->messages, node->pos, "%s: expected at most %zu bytes, found %zu", binder->path, limit,
                   text.len);
        return;
    }
    if (field->choices && field->type != FIELD_TARGET && !bind_choice(binder, field, node, text))
        return;
    *text_out = (struct conf_text){arena_str(binder->arena, text), node->pos};
}

/* Relative to the file. What comes from the document has been through this already. */
static const char *join_path(const struct binder *binder, const char *path) {
    if (binder->is_document || strcmp(binder->directory, ".") == 0)
        return path;
    char *joined = path_join(binder->directory, path);
    const char *kept = arena_str(binder->arena, slice_of(joined));
    mem_free(joined);
    return kept;
}

static void bind_target(struct binder *binder, const struct field *field, const struct node *node,
                        struct conf_text *target_out) {
    bind_one_text(binder, field, node, target_out);
    if (!target_out->text || node->pos.line == 0)
        return;
    struct nearest nearest;
    nearest_init(&nearest, slice_of(target_out->text));
    for (const struct choice *choice = field->choices; choice->name; choice++) {
        if (strcmp(target_out->text, choice->name) == 0)
            return;
        nearest_offer(&nearest, slice_of(choice->name));
    }
    if (nearest.best.ptr && !strpbrk(target_out->text, "/."))
        conf_warning(binder->messages, node->pos, "%s: '%s' is taken as a path; did you mean '" SLICE_FMT "'?",
                     binder->path, target_out->text, SLICE_ARG(nearest.best));
    target_out->text = join_path(binder, target_out->text);
}

static void bind_address(struct binder *binder, const struct field *field, const struct node *node,
                         struct conf_text *address_out) {
    bind_one_text(binder, field, node, address_out);
    if (address_out->text && strncmp(address_out->text, "unix:", 5) == 0 && address_out->text[5] != '\0')
        address_out->text = arena_printf(binder->arena, "unix:%s", join_path(binder, address_out->text + 5));
}

static const char *member_text(const struct node *object, const char *key) {
    const struct node_member *member = node_find(object, key);
    return member && member->value->kind == NODE_SCALAR ? member->value->text.ptr : NULL;
}

/* In the document a file is an object: path, digest, and content unless it is a secret or a CRL; certificates with
 * their end. */
static void bind_document_file(struct binder *binder, const struct field *field, const struct node *node,
                               struct conf_file *file_out) {
    const char *digest = node->kind == NODE_OBJECT ? member_text(node, "digest") : NULL;
    const char *path = node->kind == NODE_OBJECT ? member_text(node, "path") : NULL;
    uint8_t bytes[32];
    if (!path || !digest || (*digest && (strlen(digest) != 64 || !hex_decode(slice_of(digest), bytes)))) {
        expected_field(binder, field, node);
        return;
    }
    const char *not_after = member_text(node, "not_after");
    file_out->path.text = path;
    file_out->not_after = not_after ? strtoll(not_after, NULL, 10) : 0;
    memcpy(file_out->digest, digest, strlen(digest) + 1);
    const struct node_member *content = node_find(node, "content");
    const char *base64 = member_text(node, "content_base64");
    if (content && content->value->kind == NODE_SCALAR)
        file_out->content = content->value->text;
    if (!base64)
        return;
    struct sbuf decoded;
    sbuf_init(&decoded, strlen(base64) + 4);
    if (base64_decode(slice_of(base64), &decoded))
        file_out->content = arena_dup(binder->arena, sbuf_slice(&decoded));
    else
        conf_error(binder->messages, node->pos, "%s: content_base64 is not base64", binder->path);
    sbuf_fini(&decoded);
}

static void bind_file(struct binder *binder, const struct field *field, const struct node *node,
                      struct conf_file *file_out) {
    if (binder->is_document) {
        bind_document_file(binder, field, node, file_out);
        return;
    }
    bind_one_text(binder, field, node, &file_out->path);
    if (file_out->path.text)
        file_out->path.text = join_path(binder, file_out->path.text);
}

static void bind_bool(struct binder *binder, const struct field *field, const struct node *node, bool *value_out) {
    struct slice text;
    if (!scalar_of(binder, field, node, &text))
        return;
    *value_out = slice_eq_str(text, "true");
    if (!*value_out && !slice_eq_str(text, "false"))
        refuse_text(binder, field, node, text);
}

static void bind_enum(struct binder *binder, const struct field *field, const struct node *node, void *target) {
    struct slice text;
    if (!scalar_of(binder, field, node, &text))
        return;
    const struct choice *choice = bind_choice(binder, field, node, text);
    if (choice)
        memcpy(target, &choice->value, sizeof(choice->value)); /* the enums of conf.h have the size of int */
}

static bool number_parse(enum field_type type, struct slice text, int64_t *value_out) {
    if (type == FIELD_DURATION || type == FIELD_ON_EXPIRED)
        return duration_parse(text, value_out);
    return type == FIELD_SIZE ? size_parse(text, value_out) : integer_parse(text, value_out);
}

static void number_format(enum field_type type, int64_t value, struct sbuf *out) {
    if (type == FIELD_DURATION || type == FIELD_ON_EXPIRED)
        duration_format(value, out);
    else if (type == FIELD_SIZE)
        size_format(value, out);
    else
        sbuf_append_u64(out, (unsigned long long)value);
}

static bool check_range(struct binder *binder, const struct field *field, const struct node *node, int64_t value) {
    if (value >= field->min && value <= field->max)
        return true;
    struct sbuf expected;
    sbuf_init(&expected, EXPECTED_MAX);
    number_format(field->type, field->min, &expected);
    sbuf_append_str(&expected, " to ");
    number_format(field->type, field->max, &expected);
    bind_expected(binder, node, sbuf_text(&expected));
    sbuf_fini(&expected);
    return false;
}

static void bind_number(struct binder *binder, const struct field *field, const struct node *node, int64_t *value_out) {
    struct slice text;
    if (!scalar_of(binder, field, node, &text))
        return;
    int64_t value;
    if (field->zero_word && slice_eq_str(text, field->zero_word)) {
        *value_out = 0;
    } else if (!number_parse(field->type, text, &value)) {
        refuse_text(binder, field, node, text);
    } else if (field->is_zero_max && value == 0) {
        *value_out = field->max;
    } else if (!check_range(binder, field, node, value)) {
        return;
    } else {
        *value_out = value;
    }
}

static void bind_on_expired(struct binder *binder, const struct field *field, const struct node *node,
                            struct conf_crl *crl) {
    struct slice text, word;
    if (!scalar_of(binder, field, node, &text))
        return;
    struct slice rest = slice_trim(slice_cut(slice_trim(text), ' ', &word));
    if (slice_eq_str(word, "grace") && duration_parse(rest, &crl->grace_ms)) {
        if (check_range(binder, field, node, crl->grace_ms))
            crl->on_expired = CONF_CRL_GRACE;
    } else if (rest.len > 0 || (!slice_eq_str(word, "deny") && !slice_eq_str(word, "allow"))) {
        refuse_text(binder, field, node, text);
    } else {
        crl->on_expired = slice_eq_str(word, "deny") ? CONF_CRL_DENY : CONF_CRL_ALLOW;
    }
}

static bool check_count(struct binder *binder, const struct field *field, const struct node *list) {
    if (list->count < (size_t)field->min) {
        conf_error(binder->messages, list->pos, "%s: expected at least one, found none", binder->path);
        return false;
    }
    if (field->max > 0 && list->count > (size_t)field->max) {
        conf_error(binder->messages, list->pos, "%s: expected at most %lld, found %zu", binder->path,
                   (long long)field->max, list->count);
        return false;
    }
    return true;
}

static void bind_element(struct binder *binder, const struct field *field, const struct node *node, void *element) {
    if (field->type == FIELD_TEXTS)
        bind_one_text(binder, field, node, element);
    else if (field->type == FIELD_FILES)
        bind_file(binder, field, node, element);
    else
        bind_object(binder, field->object, node, element);
}

static size_t element_size(const struct field *field) {
    if (field->type == FIELD_TEXTS)
        return sizeof(struct conf_text);
    return field->type == FIELD_FILES ? sizeof(struct conf_file) : field->object->size;
}

static void bind_list(struct binder *binder, const struct field *field, const struct node *node, void *target) {
    bool is_one = node->kind != NODE_LIST && field->is_one_or_list && !node_is_null(node);
    if (!is_one && node->kind != NODE_LIST) {
        expected_field(binder, field, node);
        return;
    }
    if (!is_one && !check_count(binder, field, node))
        return;
    size_t count = is_one ? 1 : node->count, size = element_size(field);
    char *items = arena_alloc(binder->arena, count * size);
    for (size_t i = 0; i < count; i++) {
        size_t before = is_one ? binder->path_len : bind_enter(binder, "[%zu]", i);
        bind_element(binder, field, is_one ? node : node->items[i], items + i * size);
        bind_leave(binder, before);
    }
    list_store(target, (struct list_parts){items, count});
}

/* Is the value the one that says what holds anyway? */
static bool later_is_harmless(const struct field *field, const struct node *node) {
    if (!field->fallback)
        return false;
    if (strcmp(field->fallback, "[]") == 0)
        return node->kind == NODE_LIST && node->count == 0;
    return node->kind == NODE_SCALAR && slice_eq_str(node->text, field->fallback);
}

static void bind_field(struct binder *binder, const struct field *field, const struct node *node, void *base) {
    void *target = (char *)base + field->offset;
    switch (field->type) {
    case FIELD_TEXT:
        bind_one_text(binder, field, node, target);
        break;
    case FIELD_TARGET:
        bind_target(binder, field, node, target);
        break;
    case FIELD_ADDRESS:
        bind_address(binder, field, node, target);
        break;
    case FIELD_FILE:
        bind_file(binder, field, node, target);
        break;
    case FIELD_BOOL:
        bind_bool(binder, field, node, target);
        break;
    case FIELD_ENUM:
        bind_enum(binder, field, node, target);
        break;
    case FIELD_INT:
    case FIELD_DURATION:
    case FIELD_SIZE:
        bind_number(binder, field, node, target);
        break;
    case FIELD_ON_EXPIRED:
        bind_on_expired(binder, field, node, base);
        break;
    case FIELD_OBJECT:
        bind_object(binder, field->object, node, target);
        break;
    case FIELD_TEXTS:
    case FIELD_FILES:
    case FIELD_OBJECTS:
        bind_list(binder, field, node, target);
        break;
    case FIELD_RULES:
        bind_rules(binder, node, target);
        break;
    case FIELD_HEADERS:
        if (check_count(binder, field, node))
            bind_headers(binder, node, target);
        break;
    case FIELD_LATER:
        break; /* it has no value */
    }
    if (field->type == FIELD_BOOL || field->type == FIELD_ENUM || field->type == FIELD_INT ||
        field->type == FIELD_DURATION || field->type == FIELD_SIZE || field->type == FIELD_ON_EXPIRED)
        record_place(binder, target, node);
}

static bool field_is_known(const struct binder *binder, const struct field *field) {
    return binder->is_document ? !field->is_local && field->type != FIELD_LATER : !field->is_internal;
}

static void refuse_key(struct binder *binder, const struct object_type *type, const struct node_member *member) {
    struct nearest nearest;
    nearest_init(&nearest, member->key);
    struct sbuf hint;
    sbuf_init(&hint, EXPECTED_MAX);
    sbuf_append_str(&hint, "; expected one of");
    for (const struct field *field = type->fields; field->name; field++) {
        if (!field_is_known(binder, field))
            continue;
        nearest_offer(&nearest, slice_of(field->name));
        if (field->type != FIELD_LATER)
            sbuf_printf(&hint, "%s %s", hint.len > 18 ? "," : "", field->name);
    }
    if (nearest.best.ptr) {
        sbuf_clear(&hint);
        nearest_append(&nearest, &hint);
    }
    conf_error(binder->messages, member->pos, "unknown key %s %s%s%s", text_describe(binder->arena, member->key),
               binder->path_len ? "in " : "at the top level", binder->path, sbuf_text(&hint));
    sbuf_fini(&hint);
}

static void bind_member(struct binder *binder, const struct object_type *type, const struct node_member *member,
                        void *base) {
    const struct field *field = schema_find(type, member->key);
    if (!field || !field_is_known(binder, field)) {
        refuse_key(binder, type, member);
        return;
    }
    size_t before = bind_enter(binder, "%s%s", binder->path_len ? "." : "", field->name);
    if (field->type != FIELD_LATER)
        bind_field(binder, field, member->value, base);
    else if (!later_is_harmless(field, member->value))
        conf_error(binder->messages, member->pos, "%s: not supported yet", binder->path);
    bind_leave(binder, before);
}

/* The members that the file leaves out: defaults, and errors where there is none. */
static void bind_absent(struct binder *binder, const struct object_type *type, const struct node *node, void *base) {
    for (const struct field *field = type->fields; field->name; field++) {
        if (!field_is_known(binder, field) || (node && node_find(node, field->name)))
            continue;
        size_t before = bind_enter(binder, "%s%s", binder->path_len ? "." : "", field->name);
        if (field->type == FIELD_OBJECT) {
            bind_absent(binder, field->object, NULL, (char *)base + field->offset);
        } else if (field->fallback && field->type != FIELD_LATER) {
            struct node fallback = {.kind = NODE_SCALAR, .text = slice_of(field->fallback)};
            bind_field(binder, field, &fallback, base);
        } else if (field->is_required && node) {
            conf_error(binder->messages, node->pos, "%s is missing", binder->path);
        }
        bind_leave(binder, before);
    }
}

static void bind_object(struct binder *binder, const struct object_type *type, const struct node *node, void *base) {
    if (type->has_pos)
        memcpy(base, &node->pos, sizeof(node->pos));
    if (node->kind == NODE_SCALAR && type->shorthand && !node_is_null(node)) {
        struct node_member only = {slice_of(type->shorthand), node->pos, NULL};
        struct node object = {.kind = NODE_OBJECT, .pos = node->pos, .count = 1, .members = &only};
        struct node value = *node;
        only.value = &value;
        bind_object(binder, type, &object, base);
        return;
    }
    if (node->kind != NODE_OBJECT) {
        struct sbuf expected;
        sbuf_init(&expected, EXPECTED_MAX);
        sbuf_append_str(&expected, "an object with keys such as ");
        sbuf_append_str(&expected, type->fields[0].name);
        bind_expected(binder, node, sbuf_text(&expected));
        sbuf_fini(&expected);
        bind_absent(binder, type, NULL, base);
        return;
    }
    for (size_t i = 0; i < node->count; i++)
        bind_member(binder, type, &node->members[i], base);
    bind_absent(binder, type, node, base);
}

void bind_defaults(struct conf *conf, struct conf_messages *messages, const struct object_type *type, void *base) {
    struct binder binder = {.conf = conf, .arena = conf->arena, .messages = messages, .directory = "."};
    bind_absent(&binder, type, NULL, base);
}

void bind_conf(struct binder *binder, const struct node *root) {
    bind_object(binder, &schema_root, root, binder->conf);
}
