/* The schema table: every key refuses what it does not take, every default is the contract's, the JSON Schema names
 * every key. */
#include "conf_rig.h"

#include <jansson.h>

#include "../../../src/conf/schema_priv.h"
#include "base/mem.h"

/* ---- a configuration made from the table, with one key given another value ---- */

static bool type_has(const struct object_type *type, const struct field *target) {
    for (const struct field *field = type->fields; field->name; field++) {
        if (field == target || (field->object && type_has(field->object, target)))
            return true;
    }
    return false;
}

static void emit_object(const struct object_type *type, const struct field *target, const char *value,
                        struct sbuf *out);

static void emit_valid(const struct field *field, struct sbuf *out) {
    if (field->type == FIELD_OBJECTS) {
        sbuf_append_char(out, '[');
        emit_object(field->object, NULL, NULL, out);
        sbuf_append_char(out, ']');
    } else {
        sbuf_append_str(out, field->example ? field->example : field->choices ? field->choices[0].name : "x");
    }
}

/* One line, flow style. */
static void emit_object(const struct object_type *type, const struct field *target, const char *value,
                        struct sbuf *out) {
    sbuf_append_char(out, '{');
    for (const struct field *field = type->fields; field->name; field++) {
        bool leads_there = field->object && target && type_has(field->object, target);
        if (field != target && !leads_there && !field->is_required)
            continue;
        sbuf_printf(out, "%s: ", field->name);
        if (field == target) {
            sbuf_append_str(out, value);
        } else if (leads_there) {
            sbuf_append_str(out, field->type == FIELD_OBJECTS ? "[" : "");
            emit_object(field->object, target, value, out);
            sbuf_append_str(out, field->type == FIELD_OBJECTS ? "]" : "");
        } else {
            emit_valid(field, out);
        }
        sbuf_append_str(out, ", ");
    }
    sbuf_append_char(out, '}');
}

static void each_field(const struct object_type *type,
                       void (*fn)(const struct object_type *type, const struct field *field)) {
    for (const struct field *field = type->fields; field->name; field++) {
        if (field->is_internal)
            continue;
        fn(type, field);
        if (field->object)
            each_field(field->object, fn);
    }
}

/* ---- wrong types ---- */

/* Values that no field of the type takes. */
static const char *const *wrong_values(const struct field *field) {
    static const char *const texts[] = {"{a: b}", "[{a: b}]", "~", "''", "\"a\\nb\"", NULL};
    static const char *const bools[] = {"{a: b}", "[a]", "~", "yes", "1", "True", NULL};
    static const char *const numbers[] = {
        "{a: b}", "[a]", "~", "''", "ten", "-1", "1.5", "0x10", "99999999999999999999", "999999999999999999", NULL};
    static const char *const words[] = {"{a: b}", "[a]", "~", "''", "no-such-word", NULL};
    static const char *const objects[] = {"[a]", "~", "''", "text", NULL};
    static const char *const headers[] = {"[a]",       "~",
                                          "text",      "{X-A: [a]}",
                                          "{X-A: ''}", "{X-A: {operation: append, value: b}}",
                                          "{X-A: {}}", "{X-A: {operation: set}}",
                                          "{X-A: ~}",  "{X-A: {operation: remove, value: b}}",
                                          NULL};
    static const char *const lists[] = {"{a: b}", "~", "''", "text", "[text, [a]]", NULL};
    static const char *const laters[] = {"{a: b}", "[a]", "text", NULL};
    switch (field->type) {
    case FIELD_TEXT:
        return field->choices ? words : texts;
    case FIELD_TARGET:
    case FIELD_ADDRESS:
    case FIELD_FILE:
        return texts;
    case FIELD_BOOL:
        return bools;
    case FIELD_INT:
    case FIELD_DURATION:
    case FIELD_SIZE:
        return numbers;
    case FIELD_ENUM:
    case FIELD_ON_EXPIRED:
        return words;
    case FIELD_OBJECT:
        return objects;
    case FIELD_OBJECTS:
    case FIELD_RULES:
        return lists;
    case FIELD_TEXTS:
    case FIELD_FILES:
        return texts;
    case FIELD_HEADERS:
        return headers;
    case FIELD_LATER:
        return laters;
    }
    return NULL;
}

static void refuse_wrong_values(const struct object_type *type, const struct field *field) {
    (void)type;
    for (const char *const *value = wrong_values(field); *value; value++) {
        struct sbuf yaml;
        char wanted[128];
        sbuf_init(&yaml, 1 << 16);
        emit_object(&schema_root, field, *value, &yaml);
        const char *complaint = field->type == FIELD_LATER ? "not supported yet" : "expected ";
        /* The path ends with the key, or goes on into a list's elements. */
        (void)snprintf(wanted, sizeof(wanted), "%s", field->name);
        char *messages = rig_messages(sbuf_text(&yaml));
        bool is_found = false;
        for (char *line = strtok(messages, "\n"); line && !is_found; line = strtok(NULL, "\n")) {
            const char *name = strstr(line, wanted), *said = strstr(line, complaint);
            is_found = name && said && name < said && strncmp(line, "f:1:", 4) == 0;
        }
        ck_assert_msg(is_found, "%s: nothing is said about %s", sbuf_text(&yaml), field->name);
        mem_free(messages);
        sbuf_fini(&yaml);
    }
}

START_TEST(sec_11_every_key_refuses_a_wrong_type) { each_field(&schema_root, refuse_wrong_values); }
END_TEST

static void refuse_unknown_beside(const struct object_type *type, const struct field *field) {
    struct sbuf yaml;
    char value[64], wanted[128];
    (void)type;
    if (field->type != FIELD_OBJECT && field->type != FIELD_OBJECTS)
        return;
    sbuf_init(&yaml, 1 << 16);
    (void)snprintf(value, sizeof(value), field->type == FIELD_OBJECTS ? "[{no_such_key: 1}]" : "{no_such_key: 1}");
    (void)snprintf(wanted, sizeof(wanted), "unknown key 'no_such_key' in ");
    emit_object(&schema_root, field, value, &yaml);
    rig_expect_part(sbuf_text(&yaml), wanted);
    sbuf_fini(&yaml);
}

START_TEST(sec_11_every_object_refuses_unknown_keys) {
    each_field(&schema_root, refuse_unknown_beside);
    rig_expect_part(LEAST "no_such_key: 1\n", "f:4:1: unknown key 'no_such_key' at the top level");
}
END_TEST

static void miss_required(const struct object_type *type, const struct field *field) {
    (void)type;
    if (!field->is_required)
        return;
    struct sbuf yaml;
    char wanted[128];
    sbuf_init(&yaml, 1 << 16);
    /* An object beside it, misspelt, takes its place. */
    emit_object(&schema_root, field, "1, no_such_key: 1", &yaml);
    char *text = mem_strdup(sbuf_text(&yaml)), *at;
    char cut[64];
    (void)snprintf(cut, sizeof(cut), "%s: 1, no_such_key: 1, ", field->name);
    ck_assert_ptr_nonnull(at = strstr(text, cut));
    memmove(at, at + strlen(cut), strlen(at + strlen(cut)) + 1);
    (void)snprintf(wanted, sizeof(wanted), "%s is missing", field->name);
    rig_expect_part(text, wanted);
    mem_free(text);
    sbuf_fini(&yaml);
}

START_TEST(every_required_key_is_missed) { each_field(&schema_root, miss_required); }
END_TEST

START_TEST(every_rule_refuses_wrong_values) {
    for (size_t kind = 0; kind < RULE_KINDS; kind++) {
        static const char *const wrong[] = {"[]",
                                            "{}",
                                            "{no_such_form: a}",
                                            "{any_of: a}",
                                            "{any_of: []}",
                                            "{any_of: [[a]]}",
                                            "{any_of: [a], wildcard: b}",
                                            "''",
                                            NULL};
        const struct rule_type *type = &schema_rules[kind];
        for (size_t i = 0; wrong[i]; i++) {
            struct sbuf yaml;
            sbuf_init(&yaml, 4096);
            sbuf_printf(&yaml, LEAST "groups: [{name: g, include: [{%s: %s}]}]\n", type->name, wrong[i]);
            if (type->takes_value || strcmp(wrong[i], "{}") != 0)
                rig_expect_part(sbuf_text(&yaml), type->name);
            sbuf_fini(&yaml);
        }
    }
}
END_TEST

/* ---- defaults ---- */

START_TEST(defaults_are_those_of_the_contract) {
    struct conf *conf = rig_parse("listeners: [{address: '127.0.0.1:8443'}]\n"
                                  "ca_bundles: [{name: b, file: b.pem, associated_hostnames: [a.test]}]\n"
                                  "hostnames: [{name: a.test, certificate: a.pem, private_key: k.pem, upstream: u}]\n"
                                  "applications: [{name: p, domain: a.test, policies: [{name: x, decision: allow, "
                                  "include: [{certificate: {}}]}]}]\n"
                                  "upstreams: [{name: u, servers: [{address: '127.0.0.1:3000'}]}]\n"
                                  "tests: [{url: 'https://a.test/', expect: allow}]\n");
    ck_assert_int_eq(conf->workers, 0);
    ck_assert_int_eq(conf->shutdown_timeout_ms, 10000);
    ck_assert_ptr_null(conf->listeners.items[0].no_sni.text);
    ck_assert_str_eq(conf->log.level.text, "info");
    ck_assert_str_eq(conf->log.file.text, "stderr");
    ck_assert_str_eq(conf->log.access.text, "stdout");
    ck_assert_str_eq(conf->log.audit.text, "stdout");
    ck_assert_ptr_null(conf->admin.address.text);
    ck_assert_str_eq(conf->tls.min_version.text, "1.2");
    ck_assert_str_eq(conf->tls.ciphers.text, "secure");
    ck_assert_str_eq(conf->tls.groups.text, "X25519:P-256:P-384:P-521");
    ck_assert_int_eq(conf->tls.session_timeout_ms, 8 * 3600 * 1000);
    ck_assert_int_eq(conf->limits.max_connections, 100000);
    ck_assert_int_eq(conf->limits.connections_per_ip, 0);
    ck_assert_int_eq(conf->limits.concurrent_handshakes, 0);
    ck_assert_int_eq(conf->limits.handshake_timeout_ms, 10000);
    ck_assert_int_eq(conf->limits.header_timeout_ms, 10000);
    ck_assert_int_eq(conf->limits.idle_timeout_ms, 75000);
    ck_assert_int_eq(conf->limits.header_size, 32 * 1024);
    ck_assert_int_eq(conf->limits.certificate_chain_size, 32 * 1024);
    ck_assert_int_eq(conf->limits.body_size, 0);
    const struct conf_ca_bundle *bundle = &conf->ca_bundles.items[0];
    ck_assert_int_eq(bundle->extended_key_usage, CONF_EKU_CLIENT_AUTH);
    ck_assert(!bundle->partial_chain && !bundle->allow_sha1);
    ck_assert_int_eq(bundle->crl.require, CONF_CRL_IF_PRESENT);
    ck_assert_int_eq(bundle->crl.on_expired, CONF_CRL_DENY);
    ck_assert_uint_eq(bundle->crl.files.count, 0);
    const struct conf_hostname *hostname = &conf->hostnames.items[0];
    ck_assert_int_eq(hostname->client_certificate, CONF_CLIENT_CERTIFICATE_REQUEST);
    ck_assert_int_eq(hostname->client_certificate_forwarding, CONF_FORWARDING_EVERY_REQUEST);
    ck_assert_uint_eq(hostname->forward_headers.count, 1);
    ck_assert_str_eq(hostname->forward_headers.items[0].text, "cf");
    ck_assert(!hostname->public);
    ck_assert_int_eq(hostname->explain_denials, CONF_EXPLAIN_FULL);
    ck_assert(!conf->applications.items[0].service_auth_401_redirect);
    ck_assert(!conf->applications.items[0].policies.items[0].report_only);
    ck_assert_int_eq(conf->upstreams.items[0].servers.items[0].weight, 1);
    ck_assert_int_eq(conf->upstreams.items[0].connect_timeout_ms, 5000);
    ck_assert_int_eq(conf->upstreams.items[0].read_timeout_ms, 60000);
    ck_assert_str_eq(conf->tests.items[0].method.text, "GET");
    ck_assert_str_eq(conf->tests.items[0].ip.text, "127.0.0.1");
    conf_free(&conf);
}
END_TEST

START_TEST(client_certificate_defaults_to_off_without_a_bundle) {
    struct conf *conf = rig_parse(LEAST);
    ck_assert_int_eq(conf->hostnames.items[0].client_certificate, CONF_CLIENT_CERTIFICATE_OFF);
    conf_free(&conf);
}
END_TEST

START_TEST(zero_is_the_most_for_what_cannot_be_unbounded) {
    struct conf *conf =
        rig_parse(LEAST "limits: {header_size: 0, certificate_chain_size: 0, idle_timeout: 0, body_size: 0}\n");
    ck_assert_int_eq(conf->limits.header_size, 1024 * 1024);
    ck_assert_int_eq(conf->limits.certificate_chain_size, 1024 * 1024);
    ck_assert_int_eq(conf->limits.idle_timeout_ms, 0);
    conf_free(&conf);
}
END_TEST

/* ---- JSON Schema ---- */

/* The members of an object type, under "properties" or within the second of two alternatives. */
static json_t *properties_of(json_t *schema) {
    json_t *alternative = json_array_get(json_object_get(schema, "anyOf"), 1);
    json_t *properties = json_object_get(alternative ? alternative : schema, "properties");
    return properties ? properties : json_object_get(json_object_get(schema, "items"), "properties");
}

static void expect_properties(const struct object_type *type, json_t *properties) {
    ck_assert_msg(json_is_object(properties), "%s has no properties", type->what);
    size_t count = 0;
    for (const struct field *field = type->fields; field->name; field++) {
        if (field->is_internal)
            continue;
        json_t *property = json_object_get(properties, field->name);
        ck_assert_msg(json_is_object(property), "%s of %s is not in the schema", field->name, type->what);
        ck_assert_msg(json_string_length(json_object_get(property, "description")) > 0, "%s has no description",
                      field->name);
        if (field->object)
            expect_properties(field->object, field->type == FIELD_OBJECT
                                                 ? properties_of(property)
                                                 : properties_of(json_object_get(property, "items")));
        count++;
    }
    ck_assert_uint_eq(json_object_size(properties), count);
}

START_TEST(the_json_schema_is_json_and_names_every_key) {
    struct sbuf out;
    sbuf_init(&out, 1 << 20);
    conf_write_json_schema(&out);
    json_error_t problem;
    json_t *root = json_loads(sbuf_text(&out), JSON_REJECT_DUPLICATES, &problem);
    ck_assert_msg(root != NULL, "%d: %s", problem.line, problem.text);
    expect_properties(&schema_root, json_object_get(root, "properties"));
    json_t *rules = json_object_get(json_object_get(json_object_get(root, "$defs"), "rule"), "properties");
    for (size_t kind = 0; kind < RULE_KINDS; kind++)
        ck_assert_msg(json_object_get(rules, schema_rules[kind].name), "rule %s is not in the schema",
                      schema_rules[kind].name);
    json_decref(root);
    sbuf_fini(&out);
}
END_TEST

Suite *conf_schema_suite(void);
Suite *conf_schema_suite(void) {
    Suite *suite = suite_create("conf/schema");
    TCase *tcase = tcase_create("schema");
    tcase_add_test(tcase, sec_11_every_key_refuses_a_wrong_type);
    tcase_add_test(tcase, sec_11_every_object_refuses_unknown_keys);
    tcase_add_test(tcase, every_required_key_is_missed);
    tcase_add_test(tcase, every_rule_refuses_wrong_values);
    tcase_add_test(tcase, defaults_are_those_of_the_contract);
    tcase_add_test(tcase, client_certificate_defaults_to_off_without_a_bundle);
    tcase_add_test(tcase, zero_is_the_most_for_what_cannot_be_unbounded);
    tcase_add_test(tcase, the_json_schema_is_json_and_names_every_key);
    suite_add_tcase(suite, tcase);
    return suite;
}
