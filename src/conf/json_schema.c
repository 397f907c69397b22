/*
 * json_schema: the schema table as JSON Schema (draft 2020-12), for editors and for the reference in docs/. What is not
 * supported yet is named, so that an editor can say so, and allows no value but the harmless one.
 */
#include "base/json.h"
#include "schema_priv.h"

#include "value_priv.h"

/* A value may be, or hold, a variable of the environment. */
#define VARIABLE "|.*\\$\\{.*"

static void write_type(struct json *json, const struct field *field);

static void write_words(struct json *json, const struct choice *choices) {
    json_open_array(json, "enum");
    for (const struct choice *choice = choices; choice->name; choice++) {
        if (!choice->is_later)
            json_str(json, NULL, choice->name);
    }
    json_close_array(json);
}

static void write_pattern(struct json *json, const char *pattern) {
    json_open_array(json, "type");
    json_str(json, NULL, "string");
    json_str(json, NULL, "integer");
    json_close_array(json);
    json_str(json, "pattern", pattern);
}

/* ${ENV} may stand for a number or a flag, so these also take such a text. */
static void write_or_variable(struct json *json) {
    json_open_object(json, NULL);
    json_str(json, "type", "string");
    json_str(json, "pattern", "\\$\\{");
    json_close_object(json);
}

static void write_integer(struct json *json, const struct field *field) {
    json_open_array(json, "anyOf");
    json_open_object(json, NULL);
    json_str(json, "type", "integer");
    json_int(json, "minimum", field->min);
    json_int(json, "maximum", field->max);
    json_close_object(json);
    if (field->zero_word) {
        json_open_object(json, NULL);
        json_str(json, "const", field->zero_word);
        json_close_object(json);
    }
    write_or_variable(json);
    json_close_array(json);
}

static void write_bool(struct json *json) {
    json_open_array(json, "anyOf");
    json_open_object(json, NULL);
    json_str(json, "type", "boolean");
    json_close_object(json);
    write_or_variable(json);
    json_close_array(json);
}

static void write_members(struct json *json, const struct object_type *type) {
    json_str(json, "type", "object");
    json_bool(json, "additionalProperties", false);
    json_open_object(json, "properties");
    for (const struct field *field = type->fields; field->name; field++) {
        if (field->is_internal)
            continue;
        json_open_object(json, field->name);
        write_type(json, field);
        json_close_object(json);
    }
    json_close_object(json);
    json_open_array(json, "required");
    for (const struct field *field = type->fields; field->name; field++) {
        if (field->is_required && !field->is_internal)
            json_str(json, NULL, field->name);
    }
    json_close_array(json);
}

/* An object, or the one scalar that may stand for it. */
static void write_object(struct json *json, const struct object_type *type) {
    if (!type->shorthand) {
        write_members(json, type);
        return;
    }
    json_open_array(json, "anyOf");
    json_open_object(json, NULL);
    json_str(json, "type", "string");
    json_close_object(json);
    json_open_object(json, NULL);
    write_members(json, type);
    json_close_object(json);
    json_close_array(json);
}

static void write_element(struct json *json, const struct field *field) {
    if (field->type == FIELD_OBJECTS) {
        write_object(json, field->object);
    } else if (field->type == FIELD_RULES) {
        json_str(json, "$ref", "#/$defs/rule");
    } else {
        json_str(json, "type", "string");
        if (field->choices)
            write_words(json, field->choices);
    }
}

static void write_list(struct json *json, const struct field *field) {
    json_str(json, "type", "array");
    if (field->min > 0)
        json_int(json, "minItems", field->min);
    if (field->max > 0)
        json_int(json, "maxItems", field->max);
    json_open_object(json, "items");
    write_element(json, field);
    json_close_object(json);
}

static void write_list_or_one(struct json *json, const struct field *field) {
    if (!field->is_one_or_list) {
        write_list(json, field);
        return;
    }
    json_open_array(json, "anyOf");
    json_open_object(json, NULL);
    write_element(json, field);
    json_close_object(json);
    json_open_object(json, NULL);
    write_list(json, field);
    json_close_object(json);
    json_close_array(json);
}

static void write_later(struct json *json, const struct field *field) {
    json_bool(json, "deprecated", true);
    if (!field->fallback) {
        json_open_object(json, "not");
        json_close_object(json);
    } else if (field->fallback[0] == '[') {
        json_str(json, "type", "array");
        json_int(json, "maxItems", 0);
    } else {
        json_str(json, "const", field->fallback);
    }
}

static void write_scalar(struct json *json, const struct field *field) {
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
        json_str(json, "type", "string");
        if (field->choices && field->type != FIELD_TARGET)
            write_words(json, field->choices);
        break;
    }
}

static void write_description(struct json *json, const struct field *field) {
    struct sbuf text;
    sbuf_init(&text, 4096);
    sbuf_append_str(&text, field->doc);
    if (field->type == FIELD_LATER)
        sbuf_append_str(&text, " Not supported yet.");
    json_string(json, "description", sbuf_slice(&text));
    if (field->type != FIELD_LATER) { /* in words, for the reference in docs/ */
        sbuf_clear(&text);
        schema_describe(field, &text);
        json_string(json, "x-expected", sbuf_slice(&text));
    }
    sbuf_fini(&text);
    if (field->fallback)
        json_str(json, "default", field->fallback);
    if (field->example) {
        json_open_array(json, "examples");
        json_str(json, NULL, field->example);
        json_close_array(json);
    }
}

static void write_type(struct json *json, const struct field *field) {
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
    case FIELD_LATER:
        write_later(json, field);
        break;
    default:
        write_scalar(json, field);
        break;
    }
}

/* text | {any_of: [...]} | ... */
static void write_rule_value(struct json *json, const struct rule_type *type) {
    if (!type->takes_value) {
        json_open_array(json, "type");
        json_str(json, NULL, "object");
        json_str(json, NULL, "null");
        json_close_array(json);
        json_int(json, "maxProperties", 0);
    } else {
        json_str(json, "$ref",
                 type->takes_forms    ? "#/$defs/match"
                 : type->takes_any_of ? "#/$defs/any_of"
                                      : "#/$defs/text");
    }
}

static void write_rule(struct json *json) {
    json_open_object(json, "rule");
    json_str(json, "type", "object");
    json_int(json, "minProperties", 1);
    json_int(json, "maxProperties", 1);
    json_bool(json, "additionalProperties", false);
    json_open_object(json, "properties");
    for (size_t kind = 0; kind < RULE_KINDS; kind++) {
        json_open_object(json, schema_rules[kind].name);
        json_str(json, "description", schema_rules[kind].doc);
        write_rule_value(json, &schema_rules[kind]);
        json_close_object(json);
    }
    json_close_object(json);
    json_close_object(json);
}

static void write_texts(struct json *json, const char *key) {
    json_open_object(json, key);
    json_str(json, "type", "array");
    json_int(json, "minItems", 1);
    json_open_object(json, "items");
    json_str(json, "$ref", "#/$defs/text");
    json_close_object(json);
    json_close_object(json);
}

static void write_match(struct json *json, const char *name, bool with_forms) {
    json_open_object(json, name);
    json_open_array(json, "anyOf");
    json_open_object(json, NULL);
    json_str(json, "$ref", "#/$defs/text");
    json_close_object(json);
    json_open_object(json, NULL);
    json_str(json, "type", "object");
    json_int(json, "minProperties", 1);
    json_int(json, "maxProperties", 1);
    json_bool(json, "additionalProperties", false);
    json_open_object(json, "properties");
    for (const struct choice *form = schema_forms; form->name; form++) {
        if (form->value == CONF_MATCH_ANY_OF) {
            write_texts(json, form->name);
        } else if (with_forms) {
            json_open_object(json, form->name);
            json_str(json, "description", form->is_later ? "Not supported yet." : "");
            if (form->is_later) {
                json_open_object(json, "not");
                json_close_object(json);
            } else {
                json_str(json, "$ref", "#/$defs/text");
            }
            json_close_object(json);
        }
    }
    json_close_object(json);
    json_close_object(json);
    json_close_array(json);
    json_close_object(json);
}

void conf_write_json_schema(struct sbuf *out) {
    struct json json;
    json_init(&json, out);
    json_open_object(&json, NULL);
    json_str(&json, "$schema", "https://json-schema.org/draft/2020-12/schema");
    json_str(&json, "title", "sallyport configuration");
    write_members(&json, &schema_root);
    json_open_object(&json, "$defs");
    json_open_object(&json, "text");
    json_open_array(&json, "type");
    json_str(&json, NULL, "string");
    json_str(&json, NULL, "number");
    json_close_array(&json);
    json_close_object(&json);
    write_match(&json, "any_of", false);
    write_match(&json, "match", true);
    write_rule(&json);
    json_close_object(&json);
    json_close_object(&json);
    sbuf_append_char(out, '\n');
}
