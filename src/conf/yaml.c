/*
 * yaml: YAML text to an untyped tree with places, by libyaml; the only file that knows libyaml. Called by conf.c.
 *
 * Two passes over the text: the tokens first, where anchors, aliases, tags, depth and size are refused at their place
 * and before anything grows with them; then the document API. One document only, UTF-8 only, every key once. Scalars
 * stay text: the schema gives types, so `no`, `off` and `1.20` mean what they look like.
 */
#include "node_priv.h"

#include <yaml.h>

#include "base/arena.h"
#include "base/map.h"

struct yaml_reading {
    struct arena *arena;
    struct slice text;
    struct conf_messages *messages;
    yaml_document_t *document;
};

static struct conf_pos pos_of(yaml_mark_t mark) { return (struct conf_pos){(int)mark.line + 1, (int)mark.column + 1}; }

/* Errors of the byte reader carry an offset only. */
static struct conf_pos pos_of_offset(struct slice text, size_t offset) {
    struct conf_pos pos = {1, 1};
    for (size_t i = 0; i < offset && i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '\n') {
            pos.line++;
            pos.column = 1;
        } else if ((c & 0xc0) != 0x80) {
            pos.column++;
        }
    }
    return pos;
}

static void report_syntax(struct yaml_reading *reading, const yaml_parser_t *parser) {
    const char *problem = parser->problem ? parser->problem : "cannot be parsed";
    if (parser->error == YAML_MEMORY_ERROR) {
        conf_error(reading->messages, (struct conf_pos){0, 0}, "syntax error: out of memory");
    } else if (parser->error == YAML_READER_ERROR) {
        conf_error(reading->messages, pos_of_offset(reading->text, parser->problem_offset), "syntax error: %s",
                   problem);
    } else if (parser->context && parser->context_mark.line != parser->problem_mark.line) {
        conf_error(reading->messages, pos_of(parser->problem_mark), "syntax error: %s, %s that begins on line %d",
                   problem, parser->context, (int)parser->context_mark.line + 1);
    } else {
        conf_error(reading->messages, pos_of(parser->problem_mark), "syntax error: %s%s%s", problem,
                   parser->context ? ", " : "", parser->context ? parser->context : "");
    }
}

static void parser_open(yaml_parser_t *parser, struct slice text) {
    INVARIANT(yaml_parser_initialize(parser));
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(parser, (const unsigned char *)(text.ptr ? text.ptr : ""), text.len);
}

/* Looks at one token; depth is that of open lists and objects. */
static void check_token(struct yaml_reading *reading, const yaml_token_t *token, int *depth) {
    struct conf_pos pos = pos_of(token->start_mark);
    switch (token->type) {
    case YAML_ANCHOR_TOKEN:
        conf_error(reading->messages, pos, "anchors are not supported: write the value out");
        break;
    case YAML_ALIAS_TOKEN:
        conf_error(reading->messages, pos, "aliases are not supported: write the value out");
        break;
    case YAML_TAG_TOKEN:
        conf_error(reading->messages, pos, "tags are not supported: write the value without it");
        break;
    case YAML_BLOCK_SEQUENCE_START_TOKEN:
    case YAML_BLOCK_MAPPING_START_TOKEN:
    case YAML_FLOW_SEQUENCE_START_TOKEN:
    case YAML_FLOW_MAPPING_START_TOKEN:
        if (++*depth == NODE_DEPTH_MAX + 1)
            conf_error(reading->messages, pos, "nested too deep: at most %d levels", NODE_DEPTH_MAX);
        break;
    case YAML_BLOCK_END_TOKEN:
    case YAML_FLOW_SEQUENCE_END_TOKEN:
    case YAML_FLOW_MAPPING_END_TOKEN:
        --*depth;
        break;
    default:
        break;
    }
}

/* The first pass. Goes on after a refused token, so that all of them are named; ends at the first syntax error. */
static bool scan_tokens(struct yaml_reading *reading) {
    size_t errors_before = reading->messages->errors, count = 0;
    yaml_parser_t parser;
    parser_open(&parser, reading->text);
    int depth = 0;
    for (bool at_end = false; !at_end;) {
        yaml_token_t token;
        if (!yaml_parser_scan(&parser, &token)) {
            report_syntax(reading, &parser);
            break;
        }
        check_token(reading, &token, &depth);
        at_end = token.type == YAML_STREAM_END_TOKEN || depth > NODE_DEPTH_MAX;
        if (token.type == YAML_SCALAR_TOKEN && ++count > NODE_COUNT_MAX) {
            conf_error(reading->messages, pos_of(token.start_mark), "too large: more than %d values", NODE_COUNT_MAX);
            at_end = true;
        }
        yaml_token_delete(&token);
    }
    yaml_parser_delete(&parser);
    return reading->messages->errors == errors_before;
}

static struct node *convert(struct yaml_reading *reading, int index, int depth);

static struct node *convert_list(struct yaml_reading *reading, const yaml_node_t *from, int depth) {
    size_t count = (size_t)(from->data.sequence.items.top - from->data.sequence.items.start);
    struct node *list = node_list(reading->arena, count, pos_of(from->start_mark));
    for (size_t i = 0; i < count; i++)
        list->items[i] = convert(reading, from->data.sequence.items.start[i], depth + 1);
    return list;
}

static struct node *convert_object(struct yaml_reading *reading, const yaml_node_t *from, int depth) {
    size_t count = (size_t)(from->data.mapping.pairs.top - from->data.mapping.pairs.start);
    struct node *object = node_object(reading->arena, count, pos_of(from->start_mark));
    struct map seen;
    map_init(&seen);
    for (size_t i = 0; i < count; i++) {
        const yaml_node_pair_t *pair = &from->data.mapping.pairs.start[i];
        const struct node *key = convert(reading, pair->key, depth + 1);
        struct node *value = convert(reading, pair->value, depth + 1);
        if (key->kind != NODE_SCALAR) {
            conf_error(reading->messages, key->pos, "expected a key, found %s", node_describe(reading->arena, key));
            continue;
        }
        struct node_member *member = &object->members[object->count];
        *member = (struct node_member){key->text, key->pos, value};
        const struct node_member *earlier = map_get(&seen, key->text);
        if (earlier) {
            conf_error(reading->messages, key->pos, "duplicate key %s; first on line %d",
                       text_describe(reading->arena, key->text), earlier->pos.line);
            continue;
        }
        map_put(&seen, key->text, member);
        object->count++;
    }
    map_fini(&seen);
    return object;
}

/* Depth and number of nodes are bounded by the first pass; without aliases every node is met once. */
static struct node *convert(struct yaml_reading *reading, int index, int depth) {
    const yaml_node_t *from = yaml_document_get_node(reading->document, index);
    INVARIANT(from && depth <= 2 * NODE_DEPTH_MAX + 2);
    if (from->type == YAML_SEQUENCE_NODE)
        return convert_list(reading, from, depth);
    if (from->type == YAML_MAPPING_NODE)
        return convert_object(reading, from, depth);
    bool is_bare = from->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return node_scalar(reading->arena, slice_make(from->data.scalar.value, from->data.scalar.length), is_bare,
                       pos_of(from->start_mark));
}

/* Nothing may follow the first document. */
static void check_single(struct yaml_reading *reading, yaml_parser_t *parser) {
    yaml_document_t second;
    if (!yaml_parser_load(parser, &second)) {
        report_syntax(reading, parser);
        return;
    }
    if (yaml_document_get_root_node(&second))
        conf_error(reading->messages, pos_of(second.start_mark), "a second document begins here: expected only one");
    yaml_document_delete(&second);
}

struct node *yaml_parse(struct arena *arena, struct slice text, struct conf_messages *messages) {
    /* libyaml would take a byte order mark for a column. */
    if (slice_starts_with(text, SLICE("\xef\xbb\xbf")))
        text = slice_after(text, 3);
    struct yaml_reading reading = {arena, text, messages, NULL};
    if (!scan_tokens(&reading))
        return NULL;
    yaml_parser_t parser;
    parser_open(&parser, text);
    yaml_document_t document;
    struct node *root = NULL;
    if (!yaml_parser_load(&parser, &document)) {
        report_syntax(&reading, &parser);
        goto out;
    }
    reading.document = &document;
    if (!yaml_document_get_root_node(&document)) {
        conf_error(messages, (struct conf_pos){1, 1},
                   "the file is empty: expected at least 'listeners' and 'hostnames'");
    } else {
        root = convert(&reading, 1, 0);
        check_single(&reading, &parser);
    }
    yaml_document_delete(&document);
out:
    yaml_parser_delete(&parser);
    return root;
}
