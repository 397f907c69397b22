/* The engine as `explain` asks it: from a URL and a certificate to a verdict, a status and a reason. */
#include "snapshot_rig.h"

#include <stdlib.h>

static const char config[] =
    "listeners: [{address: \"127.0.0.1:8443\"}]\n"
    "ca_bundles:\n"
    "  - {name: devices, file: devices-ca.pem, associated_hostnames: [iot.example.test, strict.example.test, "
    "\"*.lab.example.test\"],\n"
    "     crl: {files: [devices.crl]}}\n"
    "  - {name: fleet, file: fleet-ca.pem, associated_hostnames: [iot.example.test, fleet.example.test]}\n"
    "hostnames:\n"
    "  - {name: iot.example.test, certificate: server-a.pem, private_key: server-a-key.pem, upstream: up}\n"
    "  - {name: strict.example.test, certificate: server-a.pem, private_key: server-a-key.pem, upstream: up,\n"
    "     client_certificate: require}\n"
    "  - {name: fleet.example.test, certificate: server-a.pem, private_key: server-a-key.pem, upstream: up}\n"
    "  - {name: \"*.lab.example.test\", certificate: server-b.pem, private_key: server-b-key.pem, upstream: up}\n"
    "  - {name: public.example.test, certificate: server-b.pem, private_key: server-b-key.pem, upstream: up, public: "
    "true}\n"
    "  - {name: partly.example.test, certificate: server-b.pem, private_key: server-b-key.pem, upstream: up}\n"
    "applications:\n"
    "  - name: telemetry\n"
    "    domain: iot.example.test/v1\n"
    "    policies:\n"
    "      - {name: enrolled, decision: service_auth, include: [{certificate: {}}], require: [{ca_bundle: devices}],\n"
    "         exclude: [{common_name: lost-sensor-17}]}\n"
    "  - name: health\n"
    "    domain: iot.example.test/v1/health\n"
    "    policies: [{name: open, decision: bypass, include: [{everyone: {}}]}]\n"
    "  - name: closed\n"
    "    domain: iot.example.test/closed\n"
    "    policies: [{name: shut, decision: block, include: [{everyone: {}}]}]\n"
    "  - name: machines\n"
    "    domain: iot.example.test/machines\n"
    "    service_auth_401_redirect: true\n"
    "    policies: [{name: only, decision: service_auth, include: [{common_name: sensor-1}]}]\n"
    "  - name: api\n"
    "    domain: partly.example.test/api\n"
    "    policies: [{name: near, decision: allow, include: [{ip: 127.0.0.0/8}]}, {name: far, decision: allow, include: "
    "[{certificate: {}}]}]\n"
    "upstreams:\n"
    "  - {name: up, servers: [{address: \"127.0.0.1:3000\"}]}\n";

static struct snapshot *snapshot;

static void setup(void) { snapshot = rig_snapshot(config); }
static void teardown(void) { snapshot_unref(&snapshot); }

START_TEST(verdicts) {
    const struct rig_pki *pki = rig_pki();
    const struct {
        const char *url;
        const struct testpki *certificate;
        int status;
        enum reason reason;
        const char *application, *decision;
    } rows[] = {
        /* an application */
        {"https://iot.example.test/v1/x", &pki->sensor, 200, REASON_NONE, "telemetry", "service_auth"},
        {"https://iot.example.test/v1", NULL, 403, REASON_CERTIFICATE_MISSING, "telemetry", "default"},
        {"https://iot.example.test/v1", &pki->expired, 403, REASON_CERTIFICATE_EXPIRED, "telemetry", "default"},
        {"https://iot.example.test/v1", &pki->future, 403, REASON_CERTIFICATE_NOT_YET_VALID, "telemetry", "default"},
        {"https://iot.example.test/v1", &pki->revoked, 403, REASON_CERTIFICATE_REVOKED, "telemetry", "default"},
        {"https://iot.example.test/v1", &pki->server_only, 403, REASON_CERTIFICATE_PURPOSE, "telemetry", "default"},
        {"https://iot.example.test/v1", &pki->stranger, 403, REASON_CERTIFICATE_UNTRUSTED, "telemetry", "default"},
        {"https://iot.example.test/v1", &pki->truck, 403, REASON_POLICY_NO_MATCH, "telemetry", "default"},
        {"https://iot.example.test/v1/health", NULL, 200, REASON_NONE, "health", "bypass"},
        {"https://iot.example.test/v1/healthy", NULL, 403, REASON_CERTIFICATE_MISSING, "telemetry", "default"},
        {"https://iot.example.test/closed", &pki->sensor, 403, REASON_POLICY_BLOCK, "closed", "block"},
        {"https://iot.example.test/machines", &pki->sensor, 200, REASON_NONE, "machines", "service_auth"},
        {"https://iot.example.test/machines", NULL, 401, REASON_CERTIFICATE_MISSING, "machines", "default"},
        /* no application, a CA bundle: a valid certificate */
        {"https://iot.example.test/", &pki->sensor, 200, REASON_NONE, NULL, "default"},
        {"https://iot.example.test/", &pki->truck, 200, REASON_NONE, NULL, "default"},
        {"https://iot.example.test/v1x", NULL, 403, REASON_CERTIFICATE_MISSING, NULL, "default"},
        {"https://iot.example.test/", &pki->revoked, 403, REASON_CERTIFICATE_REVOKED, NULL, "default"},
        /* sec-23: bundles do not leak between hosts */
        {"https://fleet.example.test/", &pki->truck, 200, REASON_NONE, NULL, "default"},
        {"https://fleet.example.test/", &pki->sensor, 403, REASON_CERTIFICATE_UNTRUSTED, NULL, "default"},
        /* a wildcard */
        {"https://a.lab.example.test/", &pki->sensor, 200, REASON_NONE, NULL, "default"},
        {"https://a.lab.example.test/", NULL, 403, REASON_CERTIFICATE_MISSING, NULL, "default"},
        /* no bundle */
        {"https://public.example.test/any", NULL, 200, REASON_NONE, NULL, "public"},
        {"https://public.example.test/any", &pki->stranger, 200, REASON_NONE, NULL, "public"},
        {"https://partly.example.test/api", NULL, 200, REASON_NONE, "api", "allow"},
        {"https://partly.example.test/", NULL, 403, REASON_POLICY_NO_MATCH, NULL, "default"},
        /* require: the handshake ends it */
        {"https://strict.example.test/", &pki->sensor, 200, REASON_NONE, NULL, "default"},
        {"https://strict.example.test/", NULL, 0, REASON_CERTIFICATE_MISSING, NULL, "default"},
        {"https://strict.example.test/", &pki->expired, 0, REASON_CERTIFICATE_EXPIRED, NULL, "default"},
        {"https://strict.example.test/", &pki->truck, 0, REASON_CERTIFICATE_UNTRUSTED, NULL, "default"},
        /* unknown names: no default host (sec-05) */
        {"https://other.example.test/", &pki->sensor, 0, REASON_UNKNOWN_HOSTNAME, NULL, "default"},
        {"https://lab.example.test/", NULL, 0, REASON_UNKNOWN_HOSTNAME, NULL, "default"},
        {"https://a.b.lab.example.test/", NULL, 0, REASON_UNKNOWN_HOSTNAME, NULL, "default"},
        {"https://127.0.0.1/", NULL, 0, REASON_UNKNOWN_HOSTNAME, NULL, "default"},
        /* the same name in other clothes */
        {"HTTPS://IOT.Example.TEST.:8443/v1/health?x=1#top", NULL, 200, REASON_NONE, "health", "bypass"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer answer = rig_ask(snapshot, rows[i].url, rows[i].certificate);
        const char *application = answer.verdict.application ? answer.verdict.application : "-";
        ck_assert_msg(answer.status == rows[i].status && answer.verdict.reason == rows[i].reason, "row %zu, %s: %d %s",
                      i, rows[i].url, answer.status, reason_code(answer.verdict.reason));
        ck_assert_str_eq(application, rows[i].application ? rows[i].application : "-");
        ck_assert_str_eq(answer.verdict.decision, rows[i].decision);
        ck_assert_int_eq(answer.verdict.effect == EFFECT_DENY, rows[i].reason != REASON_NONE);
        ck_assert_int_eq(answer.detail[0] == '\0', rows[i].reason == REASON_NONE);
        answer_fini(&answer);
    }
}
END_TEST

/* sec-43: what the parser refuses never comes to policy; what it normalises is judged as normalised. */
START_TEST(sec_43_paths_are_judged_as_they_are_forwarded) {
    static const struct {
        const char *path;
        int status;
        const char *application;
    } rows[] = {
        {"/v1/%68ealth", 200, "health"},
        {"/v1//health", 200, "health"},
        {"/v1/./health/", 200, "health"},
        {"/v1/health/../x", 403, "telemetry"},
        {"/v1/health/%2e%2e/x", 403, "telemetry"},
        {"/v1/health%2f..%2fx", 400, "-"},
        {"/v1/health;a/../x", 400, "-"},
        {"/v1/health\\..\\x", 400, "-"},
        {"/../v1/health", 400, "-"},
        {"/v1/health%00", 400, "-"},
        {"/v1/health%", 400, "-"},
        {"/V1/health", 403, "-"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char url[128];
        snprintf(url, sizeof url, "https://iot.example.test%s", rows[i].path);
        struct answer answer = rig_ask(snapshot, url, NULL);
        const char *application = answer.verdict.application ? answer.verdict.application : "-";
        ck_assert_msg(answer.status == rows[i].status, "%s: %d", rows[i].path, answer.status);
        ck_assert_msg(strcmp(application, rows[i].application) == 0, "%s: %s", rows[i].path, application);
        if (answer.status == 400)
            ck_assert_int_eq(answer.verdict.reason, REASON_BAD_REQUEST);
        answer_fini(&answer);
    }
}
END_TEST

START_TEST(methods_of_the_request_line) {
    static const struct {
        const char *method;
        int status;
        enum reason reason;
    } rows[] = {
        {"GET", 200, REASON_NONE},
        {"DELETE", 200, REASON_NONE},
        {"CONNECT", 405, REASON_METHOD_NOT_ALLOWED},
        {"GET /", 400, REASON_BAD_REQUEST},
        {"G\r\nET", 400, REASON_BAD_REQUEST},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer answer = rig_ask_traced(snapshot, "https://public.example.test/", NULL, rows[i].method, NULL);
        ck_assert_msg(answer.status == rows[i].status && answer.verdict.reason == rows[i].reason, "%s", rows[i].method);
        answer_fini(&answer);
    }
    /* The handshake comes first. */
    struct answer answer = rig_ask_traced(snapshot, "https://strict.example.test/%00", NULL, "CONNECT", NULL);
    ck_assert_int_eq(answer.status, 0);
    ck_assert_int_eq(answer.verdict.reason, REASON_CERTIFICATE_MISSING);
    answer_fini(&answer);
}
END_TEST

START_TEST(what_is_no_url) {
    static const char *const refused[] = {"",
                                          "iot.example.test/v1",
                                          "ftp://iot.example.test/",
                                          "https://",
                                          "https:///v1",
                                          "https://iot_example.test/",
                                          "https://u@iot.example.test/",
                                          "https://iot.example.test:0/",
                                          "https://[::1/",
                                          "https",
                                          ":"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const struct question question = {.url = slice_of(refused[i]), .now = TESTPKI_NOW};
        struct answer answer;
        struct err err = {""};
        ck_assert_msg(judge_question(snapshot, &question, NULL, &answer, &err) == -1, "%s", refused[i]);
        ck_assert_msg(err.text[0] != '\0', "%s", refused[i]);
    }
}
END_TEST

START_TEST(sec_04_host_must_belong_to_the_connection) {
    static const struct {
        const char *server_name, *authority;
        bool belongs;
    } rows[] = {
        {"iot.example.test", "iot.example.test", true},
        {"iot.example.test", "iot.example.test:8443", true},
        {"iot.example.test", "IOT.Example.Test", true},
        {"iot.example.test", "iot.example.test.", true},
        {"iot.example.test", "fleet.example.test", false},
        {"iot.example.test", "unknown.example.test", false},
        {"iot.example.test", "127.0.0.1", false},
        {"iot.example.test", "[::1]:8443", false},
        {"iot.example.test", "a.lab.example.test", false},
        {"a.lab.example.test", "a.lab.example.test", true},
        {"a.lab.example.test", "A.lab.example.test:8443", true},
        {"a.lab.example.test", "b.lab.example.test", false}, /* the same entry, another name */
        {"a.lab.example.test", "iot.example.test", false},
    };
    struct arena *arena = arena_new(1024);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice name = slice_of(rows[i].server_name);
        const struct hostname *hostname = snapshot_hostname(snapshot, name);
        struct target target = {.port = 0};
        ck_assert_ptr_null(target_parse_authority(slice_of(rows[i].authority), arena, &target));
        ck_assert_msg(judge_host(snapshot, hostname, name, true, &target) == rows[i].belongs, "%s over %s",
                      rows[i].authority, rows[i].server_name);
    }
    const struct target none = {.port = 0};
    const struct hostname *hostname = snapshot_hostname(snapshot, SLICE("a.lab.example.test"));
    ck_assert(judge_host(snapshot, hostname, SLICE("a.lab.example.test"), false, &none)); /* HTTP/1.0 */
    ck_assert(!judge_host(snapshot, hostname, SLICE("a.lab.example.test"), true, &none)); /* an empty Host */
    arena_free(arena);
}
END_TEST

/* A hostname of an older generation is not one of this. */
START_TEST(a_hostname_of_another_snapshot_does_not_belong) {
    struct snapshot *next = rig_snapshot(config);
    struct arena *arena = arena_new(1024);
    struct target target = {.port = 0};
    ck_assert_ptr_null(target_parse_authority(SLICE("iot.example.test"), arena, &target));
    const struct hostname *old = snapshot_hostname(snapshot, target.host);
    ck_assert(judge_host(snapshot, old, target.host, true, &target));
    ck_assert(!judge_host(next, old, target.host, true, &target));
    arena_free(arena);
    snapshot_unref(&next);
}
END_TEST

START_TEST(a_request_without_host_is_for_the_connections_name) {
    struct facts facts = {.method = SLICE("GET")};
    struct verify_report report;
    struct verdict verdict;
    const struct application *application;
    const struct target target = {.path = SLICE("/v1/health"), .route_path = SLICE("/v1/health")};
    verify_none(&report);
    facts.report = &report;
    struct slice name = SLICE("iot.example.test");
    const struct hostname *hostname = snapshot_hostname(snapshot, name);
    facts.trust = hostname->trust;
    judge_request(snapshot, hostname, name, &target, &facts, NULL, &verdict, &application);
    ck_assert_int_eq(verdict.effect, EFFECT_BYPASS);
    ck_assert_str_eq(application->name, "health");
}
END_TEST

static void check_trace(const char *url, const struct testpki *certificate, const char *begins, const char *ends) {
    struct trace trace;
    struct sbuf out;
    trace_init(&trace);
    sbuf_init(&out, 65536);
    struct answer answer = rig_ask_traced(snapshot, url, certificate, NULL, &trace);
    ck_assert_int_eq(trace.depth, 0);
    trace_print(&trace, &out);
    struct slice text = sbuf_slice(&out);
    ck_assert_msg(slice_starts_with(text, slice_of(begins)), "%s", sbuf_text(&out));
    ck_assert_msg(slice_ends_with(text, slice_of(ends)), "%s", sbuf_text(&out));
    answer_fini(&answer);
    sbuf_fini(&out);
    trace_fini(&trace);
}

START_TEST(the_trace_tells_every_step) {
    const struct rig_pki *pki = rig_pki();
    check_trace("https://iot.example.test/v1/x", &pki->sensor,
                "hostname: \"iot.example.test\" is served as \"iot.example.test\" => yes\n",
                "application: \"telemetry\" (iot.example.test/v1) covers iot.example.test/v1/x => yes\n"
                "policy: \"enrolled\" (service_auth) => yes\n"
                "  rule: include: certificate is verified => yes\n"
                "  rule: require: ca_bundle is \"devices\", rule wants \"devices\" => yes\n"
                "  rule: exclude: common_name is \"sensor-1\", rule wants \"lost-sensor-17\" => no\n"
                "verdict: allowed by policy \"enrolled\" (service_auth) => yes\n");
    check_trace("https://a.lab.example.test/", NULL,
                "hostname: \"a.lab.example.test\" is served as \"*.lab.example.test\" => yes\n"
                "certificate: none was presented => no\n",
                "application: none covers / => no\n"
                "rule: require: certificate is not verified: no client certificate was presented => no\n"
                "verdict: denied, certificate_missing: no client certificate was presented => no\n");
    check_trace("https://strict.example.test/", NULL,
                "hostname: \"strict.example.test\" is served as \"strict.example.test\" => yes\n",
                "handshake: this hostname requires a verified certificate => no\n"
                "verdict: the handshake is refused, certificate_missing: no client certificate was presented => no\n");
    check_trace("https://public.example.test/", &pki->sensor,
                "hostname: \"public.example.test\" is served as \"public.example.test\" => yes\n"
                "certificate: this hostname asks for none, so a client sends none\n",
                "application: none covers / => no\nverdict: allowed (public) => yes\n");
    check_trace("https://a.lab.example.test/cdn-cgi/access/certs", NULL,
                "hostname: \"a.lab.example.test\" is served as \"*.lab.example.test\" => yes\n"
                "certificate: none was presented => no\n",
                "verdict: answered by sallyport itself, whoever asks => yes\n");
    check_trace("https://a.lab.example.test/cdn-cgi/access/certs/x", NULL,
                "hostname: \"a.lab.example.test\" is served as \"*.lab.example.test\" => yes\n"
                "certificate: none was presented => no\n",
                "application: none covers /cdn-cgi/access/certs/x => no\n"
                "rule: require: certificate is not verified: no client certificate was presented => no\n"
                "verdict: denied, certificate_missing: no client certificate was presented => no\n");
    check_trace("https://public.example.test/cdn-cgi/access/certs", NULL,
                "hostname: \"public.example.test\" is served as \"public.example.test\" => yes\n"
                "certificate: this hostname asks for none\n",
                "application: none covers /cdn-cgi/access/certs => no\nverdict: allowed (public) => yes\n");
    check_trace("https://nobody.test/", NULL, "hostname: \"nobody.test\" is not configured => no\n",
                "verdict: the handshake is refused, unknown_hostname: the client asked for a hostname that is not "
                "configured => no\n");
}
END_TEST

Suite *snapshot_judge_suite(void);
Suite *snapshot_judge_suite(void) {
    Suite *suite = suite_create("judge");
    TCase *tcase = tcase_create("judge");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, verdicts);
    tcase_add_test(tcase, sec_43_paths_are_judged_as_they_are_forwarded);
    tcase_add_test(tcase, methods_of_the_request_line);
    tcase_add_test(tcase, what_is_no_url);
    tcase_add_test(tcase, sec_04_host_must_belong_to_the_connection);
    tcase_add_test(tcase, a_hostname_of_another_snapshot_does_not_belong);
    tcase_add_test(tcase, a_request_without_host_is_for_the_connections_name);
    tcase_add_test(tcase, the_trace_tells_every_step);
    suite_add_tcase(suite, tcase);
    return suite;
}
