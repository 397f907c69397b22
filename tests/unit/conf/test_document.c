/* The resolved document: what is written is read back to the same, and a damaged one is refused. */
#include "conf_rig.h"

#include "base/arena.h"
#include "base/mem.h"

#define EVERYTHING                                                                                                     \
    "workers: 1\nuser: nobody\nshutdown_timeout: 1500ms\n"                                                             \
    "listeners: [{address: '*:8443', no_sni: a.test}, {address: '[::1]:8444'}]\n"                                      \
    "log: {level: debug, file: e.log, access: off, audit: /var/log/a}\n"                                               \
    "admin: {address: '127.0.0.1:9443', token_file: token}\n"                                                          \
    "tls: {min_version: '1.3', session_timeout: 0, ciphers: 'ECDHE+AESGCM', groups: P-256}\n"                          \
    "limits: {max_connections: 0, connections_per_ip: 5, body_size: 1025, header_size: 16KiB}\n"                       \
    "ca_bundles:\n"                                                                                                    \
    "  - {name: \"b \\\"\xc3\xa9\\\"\", file: b.pem, associated_hostnames: [a.test, '*.b.test'], extended_key_usage: " \
    "any, partial_chain: true,\n"                                                                                      \
    "     allow_sha1: true, crl: {files: [x.crl, y.crl], require: chain, on_expired: grace 36h}}\n"                    \
    "hostnames:\n"                                                                                                     \
    "  - {name: A.test., certificate: [r.pem, e.pem], private_key: [r.key, e.key], upstream: "                         \
    "'http://127.0.0.1:3000', client_certificate: require,\n"                                                          \
    "     client_certificate_forwarding: first_request, forward_headers: [], explain_denials: code}\n"                 \
    "  - {name: '*.b.test', certificate: r.pem, private_key: r.key, upstream: u, explain_denials: off, "               \
    "client_certificate_forwarding: off}\n"                                                                            \
    "  - {name: open.test, certificate: r.pem, private_key: r.key, upstream: builtin:whoami, public: true}\n"          \
    "applications:\n"                                                                                                  \
    "  - name: p\n"                                                                                                    \
    "    domain: a.test/v1/*\n"                                                                                        \
    "    service_auth_401_redirect: true\n"                                                                            \
    "    policies:\n"                                                                                                  \
    "      - name: x\n"                                                                                                \
    "        decision: block\n"                                                                                        \
    "        report_only: true\n"                                                                                      \
    "        include: [{everyone: {}}, {certificate: {}}, {ip: {any_of: [192.0.2.0/24, '2001:db8::1']}}, {group: "     \
    "g}]\n"                                                                                                            \
    "        require: [{common_name: {wildcard: 'a*'}}, {san_uri: {ignore_case: 'spiffe://X'}}, {ca_bundle: \"b "      \
    "\\\"\xc3\xa9\\\"\"}]\n"                                                                                           \
    "        exclude: [{serial_number: '0a:1B'}, {method: POST}]\n"                                                    \
    "groups: [{name: g, include: [{organization: Example}]}]\n"                                                        \
    "upstreams: [{name: u, servers: ['localhost:1', {address: '[::1]:2', weight: 7}], pool_size: 0, connect_timeout: " \
    "250ms}]\n"                                                                                                        \
    "tests: [{url: 'https://a.test/', expect: deny, reason: policy_block, ip: 192.0.2.1, method: POST, certificate: "  \
    "c.pem}]\n"

START_TEST(written_and_read_it_is_written_the_same) {
    static const char *const rows[] = {LEAST, EVERYTHING};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {""};
        struct conf *conf = rig_parse(rows[i]);
        char *first = rig_document(conf);
        struct conf *again = document_read(slice_of(first), &err);
        ck_assert_msg(again != NULL, "%s", err.text);
        char *second = rig_document(again);
        ck_assert_str_eq(first, second);
        conf_free(&conf);
        conf_free(&again);
        mem_free(first);
        mem_free(second);
    }
}
END_TEST

START_TEST(values_survive) {
    struct err err;
    struct conf *conf = rig_parse(EVERYTHING);
    char *text = rig_document(conf);
    struct conf *again = document_read(slice_of(text), &err);
    ck_assert_ptr_nonnull(again);
    ck_assert_int_eq(again->shutdown_timeout_ms, 1500);
    ck_assert_str_eq(again->ca_bundles.items[0].name.text, "b \"\xc3\xa9\"");
    ck_assert_int_eq(again->ca_bundles.items[0].crl.on_expired, CONF_CRL_GRACE);
    ck_assert_int_eq(again->ca_bundles.items[0].crl.grace_ms, 36LL * 3600 * 1000);
    ck_assert_uint_eq(again->hostnames.items[0].forward_headers.count, 0);
    ck_assert_int_eq(again->hostnames.items[0].client_certificate, CONF_CLIENT_CERTIFICATE_REQUIRE);
    const struct conf_policy *policy = &again->applications.items[0].policies.items[0];
    ck_assert_int_eq(policy->decision, CONF_BLOCK);
    ck_assert_int_eq(policy->include.items[2].form, CONF_MATCH_ANY_OF);
    ck_assert_uint_eq(policy->include.items[2].values.count, 2);
    ck_assert_int_eq(policy->require.items[0].form, CONF_MATCH_WILDCARD);
    ck_assert_int_eq(policy->exclude.items[0].kind, CONF_RULE_SERIAL_NUMBER);
    ck_assert_uint_eq(again->tests.count, 0);
    ck_assert_ptr_nonnull(conf_find_upstream(again, "http://127.0.0.1:3000"));
    conf_free(&conf);
    conf_free(&again);
    mem_free(text);
}
END_TEST

START_TEST(sec_47_contents_are_inlined_and_secrets_are_not) {
    struct err err;
    struct conf *conf = rig_parse(EVERYTHING);
    struct conf_hostname *hostname = &conf->hostnames.items[0];
    static const char certificate[] = "line\nwith \"quotes\"\n", binary[] = "\x01\xff\x00z";
    memset(hostname->certificates.items[0].digest, 'a', 64);
    hostname->certificates.items[0].content = slice_make(certificate, strlen(certificate));
    hostname->certificates.items[1].content = slice_make(binary, sizeof(binary));
    hostname->private_keys.items[0].content = SLICE("a private key");
    conf->admin.token_file.content = SLICE("a token");
    char *text = rig_document(conf);
    ck_assert_ptr_null(strstr(text, "a private key"));
    ck_assert_ptr_null(strstr(text, "a token"));
    struct conf *again = document_read(slice_of(text), &err);
    ck_assert_ptr_nonnull(again);
    ck_assert(slice_eq(again->hostnames.items[0].certificates.items[0].content,
                       slice_make(certificate, strlen(certificate))));
    ck_assert(slice_eq(again->hostnames.items[0].certificates.items[1].content, slice_make(binary, sizeof(binary))));
    ck_assert_str_eq(again->hostnames.items[0].certificates.items[0].digest, hostname->certificates.items[0].digest);
    struct sbuf yaml;
    sbuf_init(&yaml, 1 << 20);
    conf_write_yaml(conf, &yaml);
    ck_assert_ptr_null(strstr(sbuf_text(&yaml), "a private key"));
    ck_assert_ptr_null(strstr(sbuf_text(&yaml), "a token"));
    sbuf_fini(&yaml);
    conf_free(&conf);
    conf_free(&again);
    mem_free(text);
}
END_TEST

/* Each of these in turn in place of the first appearance of what stands before it. */
START_TEST(a_damaged_document_is_refused) {
    static const struct {
        const char *from, *to, *said;
    } rows[] = {
        {"{", "", "not JSON"},
        {"\"workers\":1", "\"workers\":65", "expected 1 to 64"},
        {"\"workers\":1", "\"worker\":1", "unknown key"},
        {"\"workers\":1", "\"users\":\"root\",\"workers\":1", "unknown key"},
        {"\"workers\":1", "\"tests\":[],\"workers\":1", "unknown key"},
        {"\"workers\":1", "\"workers\":1,\"workers\":1", "not JSON"},
        {"\"workers\":1", "\"workers\":null", "expected auto or a number"},
        {"\"shutdown_timeout\":\"1500ms\"", "\"shutdown_timeout\":1500", "expected a duration"},
        {"\"no_sni\":\"a.test\"", "\"no_sni\":\"c.test\"", "names no hostname"},
        {"\"upstream\":\"u\"", "\"upstream\":\"v\"", "names no upstream"},
        {"\"group\":\"g\"", "\"group\":\"h\"", "names no group"},
        {"\"digest\":\"\"", "\"digest\":\"12\"", "expected a path"},
        {"\"digest\":\"\"", "\"digest\":7", "expected a path"},
        {"\"partial_chain\":true", "\"partial_chain\":\"maybe\"", "expected true or false"},
        {"\"decision\":\"block\"", "\"decision\":\"blok\"", "did you mean 'block'"},
        {"\"everyone\":{}", "\"nobody\":{}", "unknown rule"},
        {"\"address\":\"*:8443\",", "", "address is missing"},
    };
    struct conf *conf = rig_parse(EVERYTHING);
    char *text = rig_document(conf);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *at = strstr(text, rows[i].from);
        ck_assert_msg(at != NULL, "%s", rows[i].from);
        char *damaged = mem_printf("%.*s%s%s", (int)(at - text), text, rows[i].to, at + strlen(rows[i].from));
        struct err err = {""};
        struct conf *read = document_read(slice_of(damaged), &err);
        ck_assert_msg(read == NULL, "%s was accepted", rows[i].to);
        ck_assert_msg(strstr(err.text, rows[i].said) != NULL, "%s: %s", rows[i].to, err.text);
        mem_free(damaged);
    }
    mem_free(text);
    conf_free(&conf);
}
END_TEST

START_TEST(cut_short_it_is_refused) {
    struct conf *conf = rig_parse(LEAST);
    char *text = rig_document(conf);
    for (size_t len = 0; len + 2 < strlen(text); len += 7) {
        struct err err;
        ck_assert_ptr_null(document_read(slice_make(text, len), &err));
    }
    mem_free(text);
    conf_free(&conf);
}
END_TEST

/* What --print shows is a configuration that says the same. */
START_TEST(the_yaml_of_a_configuration_is_read_back_to_the_same) {
    struct conf *conf = rig_parse(EVERYTHING);
    struct sbuf yaml;
    sbuf_init(&yaml, 1 << 20);
    conf_write_yaml(conf, &yaml);
    /* Paths were made relative to the working directory: read it as if it lay there. Upstreams written inline have
     * become entries. */
    struct conf_messages messages;
    conf_messages_init(&messages, "again");
    struct conf *again = conf_parse(sbuf_slice(&yaml), "again", ".", &messages);
    struct sbuf said;
    sbuf_init(&said, 1 << 16);
    conf_messages_print(&messages, &said);
    ck_assert_msg(again != NULL, "%s\n%s", sbuf_text(&said), sbuf_text(&yaml));
    char *first = rig_document(conf), *second = rig_document(again);
    ck_assert_str_eq(first, second);
    mem_free(first);
    mem_free(second);
    sbuf_fini(&said);
    sbuf_fini(&yaml);
    conf_messages_fini(&messages);
    conf_free(&conf);
    conf_free(&again);
}
END_TEST

Suite *conf_document_suite(void);
Suite *conf_document_suite(void) {
    Suite *suite = suite_create("conf/document");
    TCase *tcase = tcase_create("document");
    tcase_add_test(tcase, written_and_read_it_is_written_the_same);
    tcase_add_test(tcase, values_survive);
    tcase_add_test(tcase, sec_47_contents_are_inlined_and_secrets_are_not);
    tcase_add_test(tcase, a_damaged_document_is_refused);
    tcase_add_test(tcase, cut_short_it_is_refused);
    tcase_add_test(tcase, the_yaml_of_a_configuration_is_read_back_to_the_same);
    suite_add_tcase(suite, tcase);
    return suite;
}
