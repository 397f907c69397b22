/* What is wrong with a configuration, all of it at once, at its place; and the twins that are right. */
#include "conf_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

struct row {
    const char *yaml, *messages;
};

static void expect_rows(const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++)
        rig_expect(rows[i].yaml, rows[i].messages);
}
#define EXPECT_ROWS(rows) expect_rows(rows, sizeof(rows) / sizeof((rows)[0]))

START_TEST(the_least_is_accepted) { rig_expect(LEAST, ""); }
END_TEST

START_TEST(sec_11_a_misspelt_key_is_named_with_the_nearest) {
    static const struct row rows[] = {
        {LEAST "limit: {}\n", "f:4:1: unknown key 'limit' at the top level; did you mean 'limits'?\n"},
        {LEAST "tls: {min_verison: '1.3'}\n", "f:4:7: unknown key 'min_verison' in tls; did you mean 'min_version'?\n"},
        {LEAST "applications:\n  - name: p\n    domain: a.test\n    polices: []\n",
         "f:5:5: warning: application 'p' has no policies: everybody is denied\n"
         "f:7:5: unknown key 'polices' in applications[0]; did you mean 'policies'?\n"},
        {LEAST "applications:\n  - name: p\n    domain: a.test\n    policies:\n      - {name: x, decision: "
               "service_auth, includ: [{certificate: {}}]}\n",
         "f:8:9: policy 'x' has no include: expected at least one rule in it\n"
         "f:8:43: unknown key 'includ' in applications[0].policies[0]; did you mean 'include'?\n"},
        {LEAST "groups: [{name: g, include: [{comon_name: x}]}]\n",
         "f:4:17: warning: group 'g' is unused\nf:4:31: unknown rule 'comon_name' in groups[0].include[0]; did you "
         "mean 'common_name'?\n"},
        {LEAST "groups: [{name: g, include: [{common_name: {wildcart: x}}]}]\n",
         "f:4:17: warning: group 'g' is unused\n"
         "f:4:45: unknown key 'wildcart' in groups[0].include[0].common_name; expected one of any_of, wildcard, regex, "
         "ignore_case; did you mean "
         "'wildcard'?\n"},
    };
    EXPECT_ROWS(rows);
}
END_TEST

START_TEST(sec_11_a_dangling_reference_is_named_with_the_nearest) {
    static const struct row rows[] = {
        {"listeners: [{address: '*:1', no_sni: a.tset}]\n"
         "hostnames: [{name: a.test, certificate: c, private_key: k, upstream: telemetri, public: true}]\n"
         "upstreams: [{name: telemetry, servers: ['h:1']}]\n",
         "f:1:38: no_sni 'a.tset' names no hostname; did you mean 'a.test'?\n"
         "f:2:70: upstream 'telemetri' names no upstream; did you mean 'telemetry'?\n"
         "f:3:20: warning: upstream 'telemetry' is unused\n"},
        {LEAST "ca_bundles: [{name: devices, file: d.pem, associated_hostnames: [b.test]}]\n",
         "f:4:66: associated hostname 'b.test' names no hostname; did you mean 'a.test'?\n"},
        {LEAST "ca_bundles: [{name: devices, file: d.pem, associated_hostnames: [a.test]}]\n"
               "applications: [{name: p, domain: b.test/x, policies: [{name: x, decision: allow, include: [{ca_bundle: "
               "device}, {group: g}]}]}]\n",
         "f:3:98: warning: hostname 'a.test' has a CA bundle, so public: true has no effect\n"
         "f:5:34: application domain 'b.test/x' meets no hostname; did you mean 'a.test'?\n"
         "f:5:104: ca_bundle 'device' names no CA bundle; did you mean 'devices'?\n"
         "f:5:121: group 'g' names no group\n"},
    };
    EXPECT_ROWS(rows);
}
END_TEST

START_TEST(sec_11_an_unused_ca_bundle_is_an_error) {
    static const struct row rows[] = {
        {LEAST "ca_bundles: [{name: devices, file: d.pem}]\n",
         "f:4:21: CA bundle 'devices' is unused: expected a hostname in its associated_hostnames\n"},
        {LEAST "ca_bundles: [{name: devices, file: d.pem, associated_hostnames: []}]\n",
         "f:4:21: CA bundle 'devices' is unused: expected a hostname in its associated_hostnames\n"},
        {LEAST "groups: [{name: g, include: [{everyone: {}}]}]\nupstreams: [{name: u, servers: ['h:1']}]\n",
         "f:4:17: warning: group 'g' is unused\nf:5:20: warning: upstream 'u' is unused\n"},
    };
    EXPECT_ROWS(rows);
}
END_TEST

START_TEST(duplicate_names_are_refused) {
    static const struct row rows[] = {
        {LEAST "  - {name: A.TEST., certificate: c, private_key: k, upstream: builtin:whoami, public: true}\n",
         "f:4:12: duplicate hostname 'a.test'; first on line 3\n"},
        {LEAST "upstreams: [{name: u, servers: ['h:1']}, {name: u, servers: ['h:2']}]\n",
         "f:4:20: warning: upstream 'u' is unused\nf:4:49: duplicate upstream 'u'; first on line 4\nf:4:49: warning: "
         "upstream 'u' is unused\n"},
        {LEAST "applications:\n"
               "  - {name: p, domain: a.test, policies: [{name: x, decision: bypass, include: [{everyone: {}}]}, "
               "{name: x, decision: bypass, include: "
               "[{everyone: }]}]}\n"
               "  - {name: p, domain: a.test/x, policies: [{name: x, decision: bypass, include: [{everyone: {}}]}]}\n",
         "f:5:105: duplicate policy name 'x'; first on line 5\nf:6:12: duplicate application name 'p'; first on line "
         "5\n"},
        {LEAST "ca_bundles:\n  - {name: d, file: d.pem, associated_hostnames: [a.test, A.test]}\n  - {name: d, file: "
               "d.pem, associated_hostnames: a.test}\n",
         "f:3:98: warning: hostname 'a.test' has a CA bundle, so public: true has no effect\n"
         "f:5:59: duplicate associated hostname 'a.test'; first on line 5\n"
         "f:6:12: duplicate CA bundle 'd'; first on line 5\n"},
    };
    EXPECT_ROWS(rows);
}
END_TEST

#define OPEN_HOST(rest)                                                                                    \
    "listeners: [{address: '*:1'}]\nhostnames: [{name: a.test, certificate: c, private_key: k, upstream: " \
    "builtin:whoami" rest "}]\n"
#define BUNDLE "ca_bundles: [{name: b, file: b.pem, associated_hostnames: [a.test]}]\n"

START_TEST(sec_09_nothing_is_open_by_omission) {
    static const struct row rows[] = {
        {OPEN_HOST(""), "f:2:20: hostname 'a.test' is covered by no CA bundle and no application: expected one of "
                        "them, or public: true\n"},
        {OPEN_HOST(", public: false"), "f:2:20: hostname 'a.test' is covered by no CA bundle and no application: "
                                       "expected one of them, or public: true\n"},
        {OPEN_HOST(", public: true"), ""},
        {OPEN_HOST("") BUNDLE, ""},
        {OPEN_HOST("") "applications: [{name: p, domain: a.test/v1, policies: [{name: x, decision: allow, include: "
                       "[{ip: 192.0.2.0/24}]}]}]\n",
         ""},
        {OPEN_HOST("") "applications: [{name: p, domain: '*.test', policies: [{name: x, decision: allow, include: "
                       "[{ip: 192.0.2.0/24}]}]}]\n",
         ""},
        /* one label, never the apex, never another host */
        {OPEN_HOST("") "applications: [{name: p, domain: '*.a.test', policies: [{name: x, decision: allow, include: "
                       "[{ip: 192.0.2.0/24}]}]}]\n",
         "f:2:20: hostname 'a.test' is covered by no CA bundle and no application: expected one of them, or public: "
         "true\n"
         "f:3:34: application domain '*.a.test' meets no hostname; did you mean 'a.test'?\n"},
        {OPEN_HOST("") BUNDLE "applications: [{name: p, domain: a.test, policies: [{name: x, decision: allow}]}]\n",
         "f:4:53: policy 'x' has no include: expected at least one rule in it\n"},
        {OPEN_HOST("") BUNDLE
         "applications: [{name: p, domain: a.test, policies: [{name: x, decision: allow, include: []}]}]\n",
         "f:4:53: policy 'x' has no include: expected at least one rule in it\n"},
        {OPEN_HOST("") BUNDLE "applications: [{name: p, domain: a.test}]\n",
         "f:4:16: warning: application 'p' has no policies: everybody is denied\n"},
    };
    EXPECT_ROWS(rows);
}
END_TEST

START_TEST(client_certificate_and_bundles_belong_together) {
    static const struct row rows[] = {
        {OPEN_HOST(", public: true, client_certificate: request"),
         "f:2:120: hostname 'a.test' asks for client certificates, but no CA bundle is associated with it\n"},
        {OPEN_HOST(", public: true, client_certificate: require"),
         "f:2:120: hostname 'a.test' asks for client certificates, but no CA bundle is associated with it\n"},
        {OPEN_HOST(", public: true, client_certificate: off"), ""},
        {OPEN_HOST(", client_certificate: require") BUNDLE, ""},
        {OPEN_HOST(", client_certificate: off") BUNDLE,
         "f:2:106: warning: hostname 'a.test' has a CA bundle but never asks for a certificate\n"},
        {OPEN_HOST("") "applications: [{name: p, domain: a.test, policies: [{name: x, decision: allow, include: "
                       "[{common_name: a}, {ip: 192.0.2.1}]}]}]\n",
         "f:3:90: warning: rule common_name can never match: no hostname of this application asks for a client "
         "certificate\n"},
    };
    EXPECT_ROWS(rows);
}
END_TEST

START_TEST(certificates_and_keys_are_paired) {
    static const struct row rows[] = {
        {"listeners: [{address: '*:1'}]\nhostnames: [{name: a.test, certificate: [r, e], private_key: [k], upstream: "
         "builtin:whoami, public: true}]\n",
         "f:2:63: hostname 'a.test': expected as many private keys as certificates (2), found 1\n"},
        {"listeners: [{address: '*:1'}]\nhostnames: [{name: a.test, certificate: [r, e], private_key: [k, l], "
         "upstream: builtin:whoami, public: true}]\n",
         ""},
        {"listeners: [{address: '*:1'}]\nhostnames: [{name: a.test, certificate: [], private_key: k, upstream: "
         "builtin:whoami, public: true}]\n",
         "f:2:41: hostnames[0].certificate: expected at least one, found none\n"},
    };
    EXPECT_ROWS(rows);
}
END_TEST

START_TEST(host_names_have_one_form) {
    static const struct {
        const char *written, *kept;
    } good[] = {{"A.Test", "a.test"},
                {"a.test.", "a.test"},
                {"'*.A.test.'", "*.a.test"},
                {"xn--bcher-kva.test", "xn--bcher-kva.test"},
                {"localhost", "localhost"},
                {"192.0.2.7", "192.0.2.7"},
                {"'[2001:DB8::1]'", "[2001:db8::1]"},
                {"'*.test'", "*.test"}};
    static const struct {
        const char *written, *expected;
    } bad[] = {{"'*'", "a host name, or *. and a host name"},
               {"'*.*.test'", "a host name, or *."},
               {"'a.*.test'", "a host name, or *."},
               {"'*a.test'", "a host name, or *."},
               {"b\xc3\xbc"
                "cher.test",
                "a host name in ASCII form (xn--...)"},
               {"a..test", "a host name such as"},
               {"-a.test", "a host name such as"},
               {"a_b.test", "a host name such as"},
               {"a.test:443", "a host name without port"},
               {"https://a.test", "a host name without scheme and path"},
               {"'a b'", "a host name such as"},
               {"'.'", "a host name such as"},
               {"'*.'", "a host name, or *."}};
    char yaml[1024];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        (void)snprintf(yaml, sizeof(yaml),
                       "listeners: [{address: '*:1'}]\nhostnames: [{name: %s, certificate: c, private_key: k, "
                       "upstream: builtin:whoami, public: true}]\n",
                       good[i].written);
        struct conf *conf = rig_parse(yaml);
        ck_assert_str_eq(conf->hostnames.items[0].name.text, good[i].kept);
        conf_free(&conf);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char wanted[256];
        (void)snprintf(yaml, sizeof(yaml),
                       "listeners: [{address: '*:1'}]\nhostnames: [{name: %s, certificate: c, private_key: k, "
                       "upstream: builtin:whoami, public: true}]\n",
                       bad[i].written);
        (void)snprintf(wanted, sizeof(wanted), "f:2:20: hostnames[0].name: expected %s", bad[i].expected);
        rig_expect_part(yaml, wanted);
    }
}
END_TEST

START_TEST(upstreams_may_be_written_inline) {
    static const struct {
        const char *written, *address;
    } good[] = {{"http://127.0.0.1:3000", "127.0.0.1:3000"},
                {"'http://[::1]:3000/'", "[::1]:3000"},
                {"http://app", "app:80"},
                {"builtin:whoami", "builtin:whoami"}};
    static const struct row bad[] = {
        {"https://app:1", "TLS to the upstream (https://) is not supported yet"},
        {"http://app/base", "expected http://host:port without a path"},
        {"http://user@app", "expected http://host:port without a path"},
        {"'http://'", "expected http://host:port without a path"},
        {"builtin:echo", "expected builtin:whoami, found 'builtin:echo'"},
        {"app:3000", "upstream 'app:3000' names no upstream"},
    };
    char yaml[1024];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        (void)snprintf(yaml, sizeof(yaml),
                       "listeners: [{address: '*:1'}]\nhostnames: [{name: a.test, certificate: c, private_key: k, "
                       "upstream: %s, public: true},"
                       " {name: b.test, certificate: c, private_key: k, upstream: %s, public: true}]\n",
                       good[i].written, good[i].written);
        struct conf *conf = rig_parse(yaml);
        ck_assert_uint_eq(conf->upstreams.count, 1);
        const struct conf_upstream *upstream = conf_find_upstream(conf, conf->hostnames.items[1].upstream.text);
        ck_assert_ptr_nonnull(upstream);
        ck_assert_str_eq(upstream->servers.items[0].address.text, good[i].address);
        ck_assert_int_eq(upstream->connect_timeout_ms, 5000);
        conf_free(&conf);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        (void)snprintf(yaml, sizeof(yaml),
                       "listeners: [{address: '*:1'}]\nhostnames: [{name: a.test, certificate: c, private_key: k, "
                       "upstream: %s, public: true}]\n",
                       bad[i].yaml);
        rig_expect_part(yaml, bad[i].messages);
    }
    rig_expect_part(LEAST "upstreams: [{name: 'http://app:1', servers: ['other:1']}]\n",
                    "expected a name that does not look like an address");
    rig_expect_part(LEAST "upstreams: [{name: u, servers: ['https://app:1']}]\n",
                    "TLS to the upstream (https://) is not supported yet");
    rig_expect_part(LEAST "upstreams: [{name: u, servers: ['http://app:1']}]\n", "expected host:port without a scheme");
}
END_TEST

START_TEST(many_inline_upstreams_each_get_an_entry) {
    struct sbuf yaml;
    sbuf_init(&yaml, 1 << 20);
    sbuf_append_str(&yaml, "listeners: [{address: '*:1'}]\nupstreams: [{name: u, servers: ['h:1']}, {name: v, servers: "
                           "['h:1']}, {name: w, servers: ['h:1']}]\nhostnames:\n");
    for (int i = 0; i < 300; i++)
        sbuf_printf(&yaml,
                    "  - {name: h%d.test, certificate: c, private_key: k, public: true, upstream: 'http://app%d:80'}\n",
                    i, i % 200);
    struct conf *conf = rig_parse(sbuf_text(&yaml));
    ck_assert_uint_eq(conf->upstreams.count, 203);
    for (size_t i = 0; i < conf->hostnames.count; i++)
        ck_assert_ptr_nonnull(conf_find_upstream(conf, conf->hostnames.items[i].upstream.text));
    ck_assert_str_eq(conf->upstreams.items[2].name.text, "w");
    conf_free(&conf);
    sbuf_fini(&yaml);
}
END_TEST

START_TEST(groups_have_no_cycle_and_a_bounded_depth) {
    rig_expect_part(LEAST "groups:\n  - {name: g, include: [{group: g}]}\n",
                    "f:5:33: group 'g' refers to itself, directly or through others");
    rig_expect_part(LEAST "groups:\n  - {name: g, include: [{group: h}]}\n  - {name: h, include: [{everyone: {}}], "
                          "exclude: [{group: g}]}\n",
                    "f:6:60: group 'g' refers to itself, directly or through others");
    for (int depth = 30; depth <= 40; depth += 10) {
        struct sbuf yaml;
        sbuf_init(&yaml, 1 << 20);
        sbuf_append_str(&yaml, LEAST "groups:\n  - {name: g0, include: [{everyone: {}}]}\n");
        for (int i = 1; i < depth; i++)
            sbuf_printf(&yaml, "  - {name: g%d, include: [{group: g%d}, {group: g%d}]}\n", i, i - 1, i - 1);
        char *messages = rig_messages(sbuf_text(&yaml));
        ck_assert_int_eq(strstr(messages, "groups are nested too deep: at most 32 levels") != NULL, depth > 32);
        mem_free(messages);
        sbuf_fini(&yaml);
    }
    /* Diamonds are no cycles. */
    struct conf *conf = rig_parse(
        LEAST "groups:\n  - {name: a, include: [{group: b}, {group: c}]}\n  - {name: b, include: [{group: d}]}\n"
              "  - {name: c, include: [{group: d}]}\n  - {name: d, include: [{everyone: {}}]}\n");
    conf_free(&conf);
}
END_TEST

START_TEST(sec_47_an_admin_address_that_others_reach_needs_a_token) {
    static const struct row rows[] = {
        {LEAST "admin: {address: '127.0.0.1:9443'}\n",
         "f:4:18: admin.address: a TCP address needs a token_file; or use unix:PATH\n"},
        {LEAST "admin: {address: '127.0.0.1:9443', token_file: t}\n", ""},
        {LEAST "admin: {address: 'unix:run/admin.sock'}\n", ""},
        {LEAST "admin: {token_file: t}\n", "f:4:21: admin.token_file: expected an admin.address with it\n"},
    };
    EXPECT_ROWS(rows);
}
END_TEST

START_TEST(what_comes_later_is_refused_and_never_ignored) {
    static const struct row rows[] = {
        {"listeners: [{address: '*:1', proxy_protocol: {trust: [10.0.0.0/8]}, trusted_forwarders: "
         "[10.0.0.0/8]}]\n" OPEN_HOST(", public: true"),
         "f:1:30: listeners[0].proxy_protocol: not supported yet\nf:1:69: listeners[0].trusted_forwarders: not "
         "supported yet\nf:2:1: duplicate key 'listeners'; first on line 1\n"},
        {"listeners: [{address: '*:1', proxy_protocol: off, trusted_forwarders: []}]\n"
         "hostnames: [{name: a.test, certificate: c, private_key: k, upstream: builtin:whoami, public: true}]\n",
         ""},
        {OPEN_HOST(
             "") "ca_bundles: [{name: b, file: b.pem, associated_hostnames: [a.test], ocsp: off, crl: {urls: []}}]\n",
         ""},
        {OPEN_HOST("") BUNDLE "applications: [{name: p, domain: a.test, custom_deny_url: "
                              "no, policies: [{name: x, decision: allow, include: "
                              "[{common_name: {regex: '^a$'}}]}]}]\n",
         "f:4:42: applications[0].custom_deny_url: "
         "not supported yet\n"
         "f:4:126: applications[0].policies[0].include[0].common_name.regex: not supported yet\n"},
        {LEAST "upstreams: [{name: u, servers: ['h:1'], balance: least_conn, health: {}, tls: {}, retries: 1}]\n",
         "f:4:20: warning: upstream 'u' is unused\nf:4:41: upstreams[0].balance: not supported yet\nf:4:62: "
         "upstreams[0].health: not supported yet\n"
         "f:4:74: upstreams[0].tls: not supported yet\nf:4:83: upstreams[0].retries: not supported yet\n"},
    };
    EXPECT_ROWS(rows);
}
END_TEST

START_TEST(ranges_say_what_they_are) {
    static const struct row rows[] = {
        {LEAST "limits: {header_size: 1MiB, handshake_timeout: 1h}\n", ""},
        {LEAST "limits: {header_size: 1025KiB, handshake_timeout: 61m, max_connections: 99999999}\n",
         "f:4:23: limits.header_size: expected 1KiB to 1MiB, found '1025KiB'\n"
         "f:4:51: limits.handshake_timeout: expected 0 to 1h, found '61m'\n"
         "f:4:73: limits.max_connections: expected 0 to 10000000, found '99999999'\n"},
        {LEAST "upstreams: [{name: u, servers: [{address: 'h:1', weight: 0}]}]\n",
         "f:4:20: warning: upstream 'u' is unused\nf:4:58: upstreams[0].servers[0].weight: expected 1 to 1000, found "
         "'0'\n"},
        {LEAST "workers: 0\n", "f:4:10: workers: expected 1 to 64, found '0'\n"},
        {LEAST "workers: 65\n", "f:4:10: workers: expected 1 to 64, found '65'\n"},
        {LEAST "workers: 64\nuser: nobody\n", ""},
        {LEAST "workers: auto\n", ""},
    };
    EXPECT_ROWS(rows);
}
END_TEST

START_TEST(tests_name_known_reasons) {
    static const struct row rows[] = {
        {LEAST "tests: [{url: 'https://a.test/', expect: deny, reason: certificate_mising}]\n",
         "f:4:56: unknown reason 'certificate_mising'; did you mean 'certificate_missing'?\n"},
        {LEAST "tests: [{url: 'https://a.test/', expect: allow, reason: policy_block}]\n",
         "f:4:57: a reason is expected only with expect: deny\n"},
        {LEAST "tests: [{url: 'https://a.test/', expect: deny, reason: policy_block}]\n", ""},
    };
    EXPECT_ROWS(rows);
}
END_TEST

/* ---- the environment ---- */

START_TEST(variables_are_expanded_in_values_and_never_parsed_again) {
    setenv("SALLYPORT_T_HOST", "a.test", 1);
    setenv("SALLYPORT_T_ODD", "x: [1, ${NOPE} # y", 1);
    struct conf *conf = rig_parse("listeners: [{address: '*:1'}]\n"
                                  "hostnames: [{name: '${SALLYPORT_T_HOST}', certificate: 'c${SALLYPORT_T_HOST}d', "
                                  "private_key: '/$${HOME}$x$$', upstream: builtin:whoami,\n"
                                  "  public: true}]\nlog: {file: '/${SALLYPORT_T_ODD}'}\n");
    ck_assert_str_eq(conf->hostnames.items[0].name.text, "a.test");
    ck_assert_str_eq(conf->hostnames.items[0].certificates.items[0].path.text, "dir/ca.testd");
    ck_assert_str_eq(conf->hostnames.items[0].private_keys.items[0].path.text, "/${HOME}$x$$");
    ck_assert_str_eq(conf->log.file.text, "/x: [1, ${NOPE} # y");
    conf_free(&conf);
}
END_TEST

START_TEST(variables_that_cannot_be_expanded_are_errors) {
    unsetenv("SALLYPORT_T_UNSET");
    setenv("SALLYPORT_T_LINES", "a\nb", 1);
    setenv("SALLYPORT_T_EMPTY", "", 1);
    setenv("SALLYPORT_T_LATIN", "\xe9", 1);
    rig_expect(LEAST "log: {file: '${SALLYPORT_T_UNSET}', access: '${', audit: '${A'}\n",
               "f:4:13: log.file: the environment variable SALLYPORT_T_UNSET is not set\n"
               "f:4:45: log.access: expected ${NAME} in '${'; a literal ${ is written $${\n"
               "f:4:58: log.audit: expected ${NAME} in '${A'; a literal ${ is written $${\n");
    rig_expect(
        LEAST "log: {file: '${SALLYPORT_T_LINES}', access: '${SALLYPORT_T_EMPTY}', audit: '${SALLYPORT_T_LATIN}'}\n",
        "f:4:13: log.file: expected a path, stdout, stderr or off, found a control character (such as a line break)\n"
        "f:4:45: log.access: expected a path, stdout, stderr or off, found ''\n"
        "f:4:76: log.audit: expected a path, stdout, stderr or off, found text that is not UTF-8\n");
    rig_expect(LEAST "limits: {max_connections: '${SALLYPORT_T_HOST_}'}\n",
               "f:4:27: limits.max_connections: the environment variable SALLYPORT_T_HOST_ is not set\n");
}
END_TEST

START_TEST(sec_47_a_key_pasted_into_the_file_is_not_repeated) {
    char *messages = rig_messages("listeners: [{address: '*:1'}]\nhostnames:\n  - name: a.test\n    certificate: c\n   "
                                  " public: true\n    upstream: '-----BEGIN "
                                  "PRIVATE KEY-----MIGH'\n"
                                  "    private_key: |\n      -----BEGIN "
                                  "PRIVATE KEY-----\n      MIGHsecret\n");
    ck_assert_ptr_null(strstr(messages, "MIGH"));
    ck_assert_ptr_nonnull(strstr(messages, "f:7:18: hostnames[0].private_key: expected a path"));
    mem_free(messages);
}
END_TEST

START_TEST(paths_are_relative_to_the_file) {
    struct conf *conf = rig_parse(
        LEAST "log: {access: logs/a, audit: /a, file: off}\nadmin: {address: 'unix:run/s'}\n"
              "ca_bundles: [{name: b, file: ../b.pem, associated_hostnames: [a.test], crl: {files: [c, /d]}}]\n");
    ck_assert_str_eq(conf->log.access.text, "dir/logs/a");
    ck_assert_str_eq(conf->log.audit.text, "/a");
    ck_assert_str_eq(conf->log.file.text, "off");
    ck_assert_str_eq(conf->admin.address.text, "unix:dir/run/s");
    ck_assert_str_eq(conf->ca_bundles.items[0].file.path.text, "dir/../b.pem");
    ck_assert_str_eq(conf->ca_bundles.items[0].crl.files.items[0].path.text, "dir/c");
    ck_assert_str_eq(conf->ca_bundles.items[0].crl.files.items[1].path.text, "/d");
    conf_free(&conf);
}
END_TEST

START_TEST(a_misspelt_log_target_is_warned_about) {
    rig_expect(LEAST "log: {access: stdot}\n",
               "f:4:15: warning: log.access: 'stdot' is taken as a path; did you mean 'stdout'?\n");
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_an_error_with_a_place) {
    struct conf_messages messages;
    struct sbuf out;
    conf_messages_init(&messages, "/nonexistent/x.yaml");
    sbuf_init(&out, 4096);
    ck_assert_ptr_null(conf_load("/nonexistent/x.yaml", &messages));
    conf_messages_print(&messages, &out);
    ck_assert_str_eq(sbuf_text(&out),
                     "/nonexistent/x.yaml:1:1: the configuration cannot be opened: No such file or directory\n");
    conf_messages_fini(&messages);
    sbuf_fini(&out);
}
END_TEST

START_TEST(ten_thousand_hostnames_are_checked_quickly) {
    struct sbuf yaml;
    sbuf_init(&yaml, 64 << 20);
    sbuf_append_str(&yaml, "listeners: [{address: '*:1'}]\nhostnames:\n");
    for (int i = 0; i < 10000; i++)
        sbuf_printf(&yaml, "  - {name: h%d.test, certificate: c, private_key: k, upstream: builtin:whoami}\n", i);
    sbuf_append_str(&yaml, "applications:\n");
    for (int i = 0; i < 10000; i++)
        sbuf_printf(
            &yaml,
            "  - {name: p%d, domain: h%d.test, policies: [{name: x, decision: allow, include: [{everyone: {}}]}]}\n", i,
            i);
    struct conf *conf = rig_parse(sbuf_text(&yaml));
    ck_assert_uint_eq(conf->hostnames.count, 10000);
    conf_free(&conf);
    sbuf_fini(&yaml);
}
END_TEST

Suite *conf_check_suite(void);
Suite *conf_check_suite(void) {
    Suite *suite = suite_create("conf/check");
    TCase *tcase = tcase_create("check");
    tcase_add_test(tcase, the_least_is_accepted);
    tcase_add_test(tcase, sec_11_a_misspelt_key_is_named_with_the_nearest);
    tcase_add_test(tcase, sec_11_a_dangling_reference_is_named_with_the_nearest);
    tcase_add_test(tcase, sec_11_an_unused_ca_bundle_is_an_error);
    tcase_add_test(tcase, duplicate_names_are_refused);
    tcase_add_test(tcase, sec_09_nothing_is_open_by_omission);
    tcase_add_test(tcase, client_certificate_and_bundles_belong_together);
    tcase_add_test(tcase, certificates_and_keys_are_paired);
    tcase_add_test(tcase, host_names_have_one_form);
    tcase_add_test(tcase, upstreams_may_be_written_inline);
    tcase_add_test(tcase, many_inline_upstreams_each_get_an_entry);
    tcase_add_test(tcase, groups_have_no_cycle_and_a_bounded_depth);
    tcase_add_test(tcase, sec_47_an_admin_address_that_others_reach_needs_a_token);
    tcase_add_test(tcase, what_comes_later_is_refused_and_never_ignored);
    tcase_add_test(tcase, ranges_say_what_they_are);
    tcase_add_test(tcase, tests_name_known_reasons);
    tcase_add_test(tcase, variables_are_expanded_in_values_and_never_parsed_again);
    tcase_add_test(tcase, variables_that_cannot_be_expanded_are_errors);
    tcase_add_test(tcase, sec_47_a_key_pasted_into_the_file_is_not_repeated);
    tcase_add_test(tcase, paths_are_relative_to_the_file);
    tcase_add_test(tcase, a_misspelt_log_target_is_warned_about);
    tcase_add_test(tcase, a_file_that_cannot_be_read_is_an_error_with_a_place);
    tcase_add_test(tcase, ten_thousand_hostnames_are_checked_quickly);
    suite_add_tcase(suite, tcase);
    return suite;
}
