/*
 * json_schema: the schema table as JSON Schema (draft 2020-12), for editors and for the reference in docs/. What is not
 * supported yet is named, so that an editor can say so, and allows no value but the harmless one.
 */
#include "base/jsonw.h"
#include "schema_priv.h"

#include "value_priv.h"

/* A value may be, or hold, a variable of the environment. */
#define VARIABLE "|.*\\$\\{.*"

static void write_type(struct jsonw *json, const struct field *field);

static void write_words(struct jsonw *json, const struct choice *choices) {
    jsonw_open_array(json, "enum");
    for (const struct choice *choice = choices; choice->name; choice++) {
        if (!choice->is_later)
            jsonw_str(json, NULL, choice->name);
    }
    jsonw_close_array(json);
}

static void write_pattern(struct jsonw *json, const char *pattern) {
    jsonw_open_array(json, "type");
    jsonw_str(json, NULL, "string");
    jsonw_str(json, NULL, "integer");
    jsonw_close_array(json);
    jsonw_str(json, "pattern", pattern);
}

/* ${ENV} may stand for a number or a flag, so these also take such a text. */
static void write_or_variable(struct jsonw *json) {
    jsonw_open_object(json, NULL);
    jsonw_str(json, "type", "string");
    jsonw_str(json, "pattern", "\\$\\{");
    jsonw_close_object(json);
}

static void write_integer(struct jsonw *json, const struct field *field) {
    jsonw_open_array(json, "anyOf");
    jsonw_open_object(json, NULL);
    jsonw_str(json, "type", "integer");
    jsonw_int(json, "minimum", field->min);
    jsonw_int(json, "maximum", field->max);
    jsonw_close_object(json);
    if (field->zero_word) {
        jsonw_open_object(json, NULL);
        jsonw_str(json, "const", field->zero_word);
        jsonw_close_object(json);
    }
    write_or_variable(json);
    jsonw_close_array(json);
}

static void write_bool(struct jsonw *json) {
    jsonw_open_array(json, "anyOf");
    jsonw_open_object(json, NULL);
    jsonw_str(json, "type", "boolean");
    jsonw_close_object(json);
    write_or_variable(json);
    jsonw_close_array(json);
}

static void write_members(struct jsonw *json, const struct object_type *type) {
    jsonw_str(json, "type", "object");
    jsonw_bool(json, "additionalProperties", false);
    jsonw_open_object(json, "properties");
    for (const struct field *field = type->fields; field->name; field++) {
        if (field->is_internal)
            continue;
        jsonw_open_object(json, field->name);
        write_type(json, field);
        jsonw_close_object(json);
    }
    jsonw_close_object(json);
    jsonw_open_array(json, "required");
    for (const struct field *field = type->fields; field->name; field++) {
        if (field->is_required && !field->is_internal)
            jsonw_str(json, NULL, field->name);
    }
    jsonw_close_array(json);
}

/* An object, or the one scalar that may stand for it. */
static void write_object(struct jsonw *json, const struct object_type *type) {
    if (!type->shorthand) {
        write_members(json, type);
        return;
    }
    jsonw_open_array(json, "anyOf");
    jsonw_open_object(json, NULL);
    jsonw_str(json, "type", "string");
    jsonw_close_object(json);
    jsonw_open_object(json, NULL);
    write_members(json, type);
    jsonw_close_object(json);
    jsonw_close_array(json);
}

static void write_element(struct jsonw *json, const struct field *field) {
    if (field->type == FIELD_OBJECTS) {
        write_object(json, field->object);
    } else if (field->type == FIELD_RULES) {
        jsonw_str(json, "$ref", "#/$defs/rule");
    } else {
        jsonw_str(json, "type", "string");
        if (field->choices)
            write_words(json, field->choices);
    }
}

static void write_list(struct jsonw *json, const struct field *field) {
    jsonw_str(json, "type", "array");
    if (field->min > 0)
        jsonw_int(json, "minItems", field->min);
    if (field->max > 0)
        jsonw_int(json, "maxItems", field->max);
    jsonw_open_object(json, "items");
    write_element(json, field);
    jsonw_close_object(json);
}

static void write_list_or_one(struct jsonw *json, const struct field *field) {
    if (!field->is_one_or_list) {
        write_list(json, field);
        return;
    }
    jsonw_open_array(json, "anyOf");
    jsonw_open_object(json, NULL);
    write_element(json, field);
    jsonw_close_object(json);
    jsonw_open_object(json, NULL);
    write_list(json, field);
    jsonw_close_object(json);
    jsonw_close_array(json);
}

/* name: template | {operation: remove} | {operation: set, value: template} */
static void write_headers(struct jsonw *json) {
    jsonw_str(json, "type", "object");
    jsonw_open_object(json, "additionalProperties");
    jsonw_open_array(json, "anyOf");
    jsonw_open_object(json, NULL);
    jsonw_str(json, "$ref", "#/$defs/text");
    jsonw_close_object(json);
    jsonw_open_object(json, NULL);
    jsonw_str(json, "type", "object");
    jsonw_bool(json, "additionalProperties", false);
    jsonw_open_object(json, "properties");
    jsonw_open_object(json, "operation");
    jsonw_open_array(json, "enum");
    jsonw_str(json, NULL, "set");
    jsonw_str(json, NULL, "remove");
    jsonw_close_array(json);
    jsonw_close_object(json);
    jsonw_open_object(json, "value");
    jsonw_str(json, "$ref", "#/$defs/text");
    jsonw_close_object(json);
    jsonw_close_object(json);
    jsonw_open_array(json, "required");
    jsonw_str(json, NULL, "operation");
    jsonw_close_array(json);
    jsonw_close_object(json);
    jsonw_close_array(json);
    jsonw_close_object(json);
}

static void write_later(struct jsonw *json, const struct field *field) {
    jsonw_bool(json, "deprecated", true);
    if (!field->fallback) {
        jsonw_open_object(json, "not");
        jsonw_close_object(json);
    } else if (field->fallback[0] == '[') {
        jsonw_str(json, "type", "array");
        jsonw_int(json, "maxItems", 0);
    } else {
        jsonw_str(json, "const", field->fallback);
    }
}

static void write_scalar(struct jsonw *json, const struct field *field) {
    switch (field->type) {
    case FIELD_BOOL:
        write_bool(json);
        break;
    case FIELD_INT:
        write_integer(json, field);
        break;
    case FIELD_DURATION:
        write_pattern(json, "^(0|([0-9]+(d|h|m|s|ms))+" VARIABLE ")$");
        break;
    case FIELD_SIZE:
        write_pattern(json, "^([0-9]+(KiB|MiB|GiB|TiB)?" VARIABLE ")$");
        break;
    case FIELD_ON_EXPIRED:
        write_pattern(json, "^(deny|allow|grace +([0-9]+(d|h|m|s|ms))+" VARIABLE ")$");
        break;
    default:
        jsonw_str(json, "type", "string");
        if (field->choices && field->type != FIELD_TARGET)
            write_words(json, field->choices);
        break;
    }
}

static void write_description(struct jsonw *json, const struct field *field) {
    struct sbuf text;
    sbuf_init(&text, 4096);
    sbuf_append_str(&text, field->doc);
    if (field->type == FIELD_LATER)
        sbuf_append_str(&text, " Not supported yet.");
    jsonw_string(json, "description", sbuf_slice(&text));
    if (field->type != FIELD_LATER) { /* in words, for the reference in docs/ */
        sbuf_clear(&text);
        schema_describe(field, &text);
        jsonw_string(json, "x-expected", sbuf_slice(&text));
    }
    sbuf_fini(&text);
    if (field->fallback)
        jsonw_str(json, "default", field->fallback);
    if (field->example) {
        jsonw_open_array(json, "examples");
        jsonw_str(json, NULL, field->example);
        jsonw_close_array(json);
    }
}

static void write_type(struct jsonw *json, const struct field *field) {
    write_description(json, field);
    switch (field->type) {
    case FIELD_OBJECT:
        write_object(json, field->object);
        break;
    case FIELD_TEXTS:
    case FIELD_FILES:
    case FIELD_OBJECTS:
    case FIELD_RULES:
        write_list_or_one(json, field);
        break;
    case FIELD_HEADERS:
        write_headers(json);
        break;
    case FIELD_LATER:
        write_later(json, field);
        break;
    default:
        write_scalar(json, field);
        break;
    }
}

/* text | {any_of: [...]} | ... */
static void write_rule_value(struct jsonw *json, const struct rule_type *type) {
    if (!type->takes_value) {
        jsonw_open_array(json, "type");
        jsonw_str(json, NULL, "object");
        jsonw_str(json, NULL, "null");
        jsonw_close_array(json);
        jsonw_int(json, "maxProperties", 0);
    } else {
        jsonw_str(json, "$ref",
                  type->takes_forms    ? "#/$defs/match"
                  : type->takes_any_of ? "#/$defs/any_of"
                                       : "#/$defs/text");
    }
}

static void write_rule(struct jsonw *json) {
    jsonw_open_object(json, "rule");
    jsonw_str(json, "type", "object");
    jsonw_int(json, "minProperties", 1);
    jsonw_int(json, "maxProperties", 1);
    jsonw_bool(json, "additionalProperties", false);
    jsonw_open_object(json, "properties");
    for (size_t kind = 0; kind < RULE_KINDS; kind++) {
        jsonw_open_object(json, schema_rules[kind].name);
        jsonw_str(json, "description", schema_rules[kind].doc);
        write_rule_value(json, &schema_rules[kind]);
        jsonw_close_object(json);
    }
    jsonw_close_object(json);
    jsonw_close_object(json);
}

static void write_texts(struct jsonw *json, const char *key) {
    jsonw_open_object(json, key);
    jsonw_str(json, "type", "array");
    jsonw_int(json, "minItems", 1);
    jsonw_open_object(json, "items");
    jsonw_str(json, "$ref", "#/$defs/text");
    jsonw_close_object(json);
    jsonw_close_object(json);
}

static void write_match(struct jsonw *json, const char *name, bool with_forms) {
    jsonw_open_object(json, name);
    jsonw_open_array(json, "anyOf");
    jsonw_open_object(json, NULL);
    jsonw_str(json, "$ref", "#/$defs/text");
    jsonw_close_object(json);
    jsonw_open_object(json, NULL);
    jsonw_str(json, "type", "object");
    jsonw_int(json, "minProperties", 1);
    jsonw_int(json, "maxProperties", 1);
    jsonw_bool(json, "additionalProperties", false);
    jsonw_open_object(json, "properties");
    for (const struct choice *form = schema_forms; form->name; form++) {
        if (form->value == CONF_MATCH_ANY_OF) {
            write_texts(json, form->name);
        } else if (with_forms) {
            jsonw_open_object(json, form->name);
            jsonw_str(json, "description", form->is_later ? "Not supported yet." : "");
            if (form->is_later) {
                jsonw_open_object(json, "not");
                jsonw_close_object(json);
            } else {
                jsonw_str(json, "$ref", "#/$defs/text");
            }
            jsonw_close_object(json);
        }
    }
    jsonw_close_object(json);
    jsonw_close_object(json);
    jsonw_close_array(json);
    jsonw_close_object(json);
}

void conf_write_json_schema(struct sbuf *out) {
    struct jsonw json;
    jsonw_init(&json, out);
    jsonw_open_object(&json, NULL);
    jsonw_str(&json, "$schema", "https://json-schema.org/draft/2020-12/schema");
    jsonw_str(&json, "title", "sallyport configuration");
    write_members(&json, &schema_root);
    jsonw_open_object(&json, "$defs");
    jsonw_open_object(&json, "text");
    jsonw_open_array(&json, "type");
    jsonw_str(&json, NULL, "string");
    jsonw_str(&json, NULL, "number");
    jsonw_close_array(&json);
    jsonw_close_object(&json);
    write_match(&json, "any_of", false);
    write_match(&json, "match", true);
    write_rule(&json);
    jsonw_close_object(&json);
    jsonw_close_object(&json);
    sbuf_append_char(out, '\n');
}
