/* What a snapshot is made of: sharing, references, limits, gauges, and that nothing half-made comes out. */
#include "snapshot_rig.h"

#include <stdlib.h>

#include "../../../src/snapshot/build_priv.h"
#include "base/mem.h"

static const char config[] =
    "listeners:\n"
    "  - {address: \"127.0.0.1:8443\", no_sni: a.test}\n"
    "  - {address: \"127.0.0.1:8444\"}\n"
    "limits: {header_size: 8KiB}\n"
    "ca_bundles:\n"
    "  - {name: devices, file: devices-ca.pem, associated_hostnames: [a.test, \"*.a.test\", c.test], crl: {files: "
    "[devices.crl]}}\n"
    "  - {name: fleet, file: fleet-ca.pem, associated_hostnames: [a.test, \"*.a.test\", b.test]}\n"
    "hostnames:\n"
    "  - {name: a.test, certificate: server-a.pem, private_key: server-a-key.pem, upstream: up, forward_headers: "
    "[cf]}\n"
    "  - {name: \"*.a.test\", certificate: server-a.pem, private_key: server-a-key.pem, upstream: up,\n"
    "     client_certificate_forwarding: first_request, explain_denials: code}\n"
    "  - {name: b.test, certificate: server-b.pem, private_key: server-b-key.pem, upstream: \"builtin:whoami\", "
    "client_certificate: require}\n"
    "  - {name: c.test, certificate: server-b.pem, private_key: server-b-key.pem, upstream: up}\n"
    "  - {name: d.test, certificate: server-b.pem, private_key: server-b-key.pem, upstream: up, public: true}\n"
    "applications:\n"
    "  - {name: app, domain: a.test, policies: [{name: p, decision: allow, include: [{certificate: {}}]}]}\n"
    "upstreams:\n"
    "  - {name: up, servers: [{address: \"127.0.0.1:3000\", weight: 3}, {address: \"[::1]:3001\"}]}\n";

static const struct hostname *host(const struct snapshot *snapshot, const char *name) {
    const struct hostname *hostname = snapshot_hostname(snapshot, slice_of(name));
    ck_assert_msg(hostname != NULL, "%s", name);
    return hostname;
}

START_TEST(hostnames_have_what_the_file_says) {
    struct snapshot *snapshot = rig_snapshot(config);
    const struct hostname *a = host(snapshot, "a.test"), *wild = host(snapshot, "x.a.test"),
                          *b = host(snapshot, "b.test");
    ck_assert_str_eq(wild->name, "*.a.test");
    ck_assert(wild->is_wildcard && !a->is_wildcard);
    ck_assert_int_eq(a->forwarding, CONF_FORWARDING_EVERY_REQUEST);
    ck_assert_int_eq(wild->forwarding, CONF_FORWARDING_FIRST_REQUEST);
    ck_assert_int_eq(wild->explain, CONF_EXPLAIN_CODE);
    ck_assert_uint_eq(a->dialects, CONF_DIALECT_CF);
    ck_assert_int_eq(tls_host_mode(a->tls), CLIENT_CERTIFICATE_REQUEST);
    ck_assert_int_eq(tls_host_mode(b->tls), CLIENT_CERTIFICATE_REQUIRE);
    ck_assert_int_eq(tls_host_mode(host(snapshot, "d.test")->tls), CLIENT_CERTIFICATE_OFF);
    ck_assert(host(snapshot, "d.test")->public && !a->public);
    ck_assert_ptr_null(host(snapshot, "d.test")->trust);
    ck_assert_ptr_null(snapshot_hostname(snapshot, SLICE("e.test")));
    ck_assert_uint_eq(snapshot->hostname_count, 5);
    ck_assert_uint_eq(snapshot->h1_limits.head_size, 8 * 1024);
    ck_assert_uint_eq(snapshot->listener_count, 2);
    ck_assert_ptr_eq(snapshot->listeners[0].no_sni, a);
    ck_assert_ptr_null(snapshot->listeners[1].no_sni);
    snapshot_unref(&snapshot);
    ck_assert_ptr_null(snapshot);
}
END_TEST

START_TEST(upstreams_have_their_addresses) {
    struct snapshot *snapshot = rig_snapshot(config);
    const struct upstream *up = host(snapshot, "a.test")->upstream, *whoami = host(snapshot, "b.test")->upstream;
    ck_assert_uint_eq(up->endpoint_count, 2);
    ck_assert_str_eq(up->endpoints[0].name, "127.0.0.1:3000");
    ck_assert_uint_eq(up->endpoints[0].weight, 3);
    ck_assert_str_eq(up->endpoints[1].name, "[::1]:3001");
    ck_assert_uint_eq(whoami->endpoint_count, 1);
    ck_assert(whoami->endpoints[0].is_whoami && !up->endpoints[0].is_whoami);
    snapshot_unref(&snapshot);
}
END_TEST

START_TEST(equal_bundle_sets_share_one_trust) {
    struct snapshot *snapshot = rig_snapshot(config);
    const struct trust *both = host(snapshot, "a.test")->trust;
    ck_assert_uint_eq(trust_bundle_count(both), 2);
    ck_assert_str_eq(trust_bundle_name(both, 0), "devices");
    ck_assert_ptr_eq(host(snapshot, "x.a.test")->trust, both);
    ck_assert_ptr_ne(host(snapshot, "b.test")->trust, both);
    ck_assert_str_eq(trust_bundle_name(host(snapshot, "b.test")->trust, 0), "fleet");
    ck_assert_str_eq(trust_bundle_name(host(snapshot, "c.test")->trust, 0), "devices");
    ck_assert_ptr_eq(tls_host_trust(host(snapshot, "a.test")->tls), both);
    snapshot_unref(&snapshot);
}
END_TEST

/* sec-10: a generation that is pinned stays whole while the next one comes and goes. */
START_TEST(sec_10_references_keep_a_generation) {
    struct snapshot *first = rig_snapshot(config);
    struct snapshot *pinned = snapshot_ref(first);
    snapshot_unref(&first);
    struct snapshot *next = rig_snapshot(config);
    snapshot_unref(&next);
    struct answer answer = rig_ask(pinned, "https://a.test/", &rig_pki()->sensor);
    ck_assert_int_eq(answer.status, 200);
    answer_fini(&answer);
    snapshot_unref(&pinned);
    snapshot_unref(&pinned); /* NULL by now */
}
END_TEST

static void check_fails(struct resolved *resolved, const char *says) {
    struct err err = {""};
    struct snapshot *snapshot = snapshot_new(resolved, 1, rig_keys(), &err);
    ck_assert_ptr_null(snapshot);
    ck_assert_msg(strstr(err.text, says) != NULL, "%s", err.text);
    resolved_fini(resolved);
}

START_TEST(sec_09_nothing_half_made_comes_out) {
    struct resolved resolved;
    rig_resolve(config, &resolved);
    resolved.secrets[0].digest[0] ^= 1; /* a key is missing (that of "a.test" and "*.a.test" is there twice) */
    resolved.secrets[1].digest[0] ^= 1;
    check_fails(&resolved, "hostname \"a.test\": the private key");

    rig_resolve(config, &resolved);
    for (size_t i = 0; i < resolved.secret_count; i++)
        memset(resolved.secrets[i].bytes, 'x', resolved.secrets[i].size);
    check_fails(&resolved, "hostname \"a.test\"");

    rig_resolve(config, &resolved);
    char *certificate = strstr(resolved.document.data, "-----BEGIN CERTIFICATE-----");
    certificate[sizeof "-----BEGIN CERTIFICATE-----\\n" + 100] ^= 1;
    check_fails(&resolved, "is not what was proved");

    rig_resolve(config, &resolved);
    resolved.crls[0].digest[0] ^= 1;
    check_fails(&resolved, "CA bundle \"devices\": the CRL");

    rig_resolve(config, &resolved);
    resolved.document.len /= 2;
    check_fails(&resolved, "");

    rig_resolve(config, &resolved);
    sbuf_clear(&resolved.document);
    check_fails(&resolved, "");
}
END_TEST

START_TEST(gauges_describe_the_generation) {
    struct snapshot *snapshot = rig_snapshot(config);
    snapshot_publish_metrics(snapshot);
    const int64_t expiry = cert_not_after(rig_pki()->server_a.cert);
    ck_assert_int_eq(metric_value(METRIC_CERTIFICATE_NOT_AFTER, "server", "a.test"), expiry);
    ck_assert_int_eq(metric_value(METRIC_CERTIFICATE_NOT_AFTER, "ca", "fleet"), cert_not_after(rig_pki()->fleet.cert));
    ck_assert_int_eq(metric_value(METRIC_CRL_ENTRIES, "devices"), 1);
    ck_assert_int_eq(metric_value(METRIC_CRL_NEXT_UPDATE, "devices"), TESTPKI_NOW + 7 * TESTPKI_DAY);
    ck_assert_int_eq(metric_value(METRIC_GENERATION), 1);
    struct sbuf out;
    sbuf_init(&out, 1 << 20);
    metrics_render(&out);
    ck_assert_ptr_null(strstr(sbuf_text(&out), "sallyport_crl_entries{ca_bundle=\"fleet\"}")); /* has none */
    sbuf_fini(&out);
    snapshot_unref(&snapshot);
}
END_TEST

/* The tag of an application is the same after every restart, and another for another name. */
START_TEST(application_tags_are_stable) {
    struct snapshot *snapshot = rig_snapshot(config);
    const struct application *application = application_table_find(snapshot->applications, SLICE("a.test"), SLICE("/"));
    ck_assert_ptr_nonnull(application);
    char expected[65];
    sha256_hex(SLICE("app"), expected);
    ck_assert_str_eq(application->aud, expected);
    snapshot_unref(&snapshot);
}
END_TEST

/* ---- what generations share ---- */

/* Another list in place of the one of devices.crl, as refresh.c makes it: without the entry, or with it. */
static void swap_crl(struct resolved *resolved, bool has_entry, const char *number) {
    static const struct testpki_revoked entries[] = {{"66", 1, 0}, {NULL, 0, 0}}, none[] = {{NULL, 0, 0}};
    struct sbuf der;
    struct err err;
    enum crl_fault fault;
    char digest[65];
    sbuf_init(&der, 1 << 20);
    testpki_crl(&(struct testpki_crl_spec){.issuer = &rig_pki()->devices,
                                           .revoked = has_entry ? entries : none,
                                           .number = number},
                &der);
    sha256_hex(sbuf_slice(&der), digest);
    crl_unref(&resolved->crls[0].crl);
    resolved->crls[0].crl = testpki_load(sbuf_slice(&der), &rig_pki()->devices, &fault, &err);
    ck_assert_ptr_nonnull(resolved->crls[0].crl);
    char *at = memmem(resolved->document.data, resolved->document.len, resolved->crls[0].digest, 64);
    ck_assert_ptr_nonnull(at);
    memcpy(at, digest, 64);
    memcpy(resolved->crls[0].digest, digest, sizeof(digest));
    sbuf_fini(&der);
}

static struct snapshot *after(const struct resolved *resolved, uint64_t generation, const struct snapshot *previous) {
    struct err err;
    struct snapshot *snapshot = snapshot_new_after(resolved, generation, rig_keys(), previous, &err);
    ck_assert_msg(snapshot != NULL, "%s", err.text);
    return snapshot;
}

static int64_t gauge_of(const struct snapshot *snapshot, enum metric metric, const char *name) {
    for (size_t i = 0; i < snapshot->gauge_count; i++)
        if (snapshot->gauges[i].metric == metric && strcmp(snapshot->gauges[i].name, name) == 0)
            return snapshot->gauges[i].value;
    return -1;
}

static void expect_status(const struct snapshot *snapshot, const struct testpki *certificate, int status) {
    struct answer answer = rig_ask(snapshot, "https://a.test/", certificate);
    ck_assert_int_eq(answer.status, status);
    answer_fini(&answer);
}

START_TEST(a_generation_with_other_crls_shares_all_the_rest) {
    struct resolved resolved;
    rig_resolve(config, &resolved);
    struct snapshot *first = after(&resolved, 1, NULL);
    expect_status(first, &rig_pki()->revoked, 403);
    swap_crl(&resolved, false, "8");
    struct snapshot *second = after(&resolved, 2, first);
    ck_assert_uint_eq(second->generation, 2);
    ck_assert_ptr_eq(second->conf, first->conf);
    ck_assert_ptr_eq(second->tls, first->tls);
    ck_assert_ptr_eq(second->applications, first->applications);
    ck_assert_ptr_eq(second->upstreams, first->upstreams);
    ck_assert_uint_eq(second->gauge_count, first->gauge_count);
    ck_assert_int_eq(gauge_of(first, METRIC_CRL_ENTRIES, "devices"), 1);
    ck_assert_int_eq(gauge_of(second, METRIC_CRL_ENTRIES, "devices"), 0);
    ck_assert_int_eq(gauge_of(second, METRIC_CERTIFICATE_NOT_AFTER, "fleet"),
                     gauge_of(first, METRIC_CERTIFICATE_NOT_AFTER, "fleet"));
    /* b.test trusts only a bundle without lists, d.test nobody. */
    ck_assert_ptr_eq(host(second, "b.test")->tls, host(first, "b.test")->tls);
    ck_assert_ptr_eq(host(second, "d.test")->tls, host(first, "d.test")->tls);
    /* The others have a new trust, one for each set, that sessions are bound to as before. */
    const struct hostname *old = host(first, "a.test"), *next = host(second, "a.test");
    ck_assert_ptr_ne(next->trust, old->trust);
    ck_assert_ptr_eq(next->trust, host(second, "x.a.test")->trust);
    ck_assert_ptr_eq(next->trust, tls_host_trust(next->tls));
    ck_assert_mem_eq(trust_id(next->trust), trust_id(old->trust), SHA256_SIZE);
    ck_assert_mem_ne(trust_generation(next->trust), trust_generation(old->trust), SHA256_SIZE);
    ck_assert_mem_eq(tls_host_binding(next->tls), tls_host_binding(old->tls), SHA256_SIZE);
    ck_assert_int_eq(tls_host_mode(next->tls), tls_host_mode(old->tls));
    ck_assert_str_eq(next->name, "a.test");
    ck_assert(next->dialects == CONF_DIALECT_CF && next->upstream == old->upstream);
    ck_assert_ptr_eq(second->listeners[0].no_sni, next);
    ck_assert_ptr_null(second->listeners[1].no_sni);
    ck_assert_str_eq(second->listeners[1].address, "127.0.0.1:8444");
    /* Each judges by its own lists, whatever becomes of the other. */
    expect_status(first, &rig_pki()->revoked, 403);
    expect_status(second, &rig_pki()->revoked, 200);
    snapshot_unref(&first);
    expect_status(second, &rig_pki()->revoked, 200);
    swap_crl(&resolved, true, "9");
    struct snapshot *third = after(&resolved, 3, second);
    snapshot_unref(&second);
    expect_status(third, &rig_pki()->revoked, 403);
    expect_status(third, &rig_pki()->sensor, 200);
    snapshot_unref(&third);
    resolved_fini(&resolved);
}
END_TEST

START_TEST(a_list_that_goes_leaves_no_reference) {
    struct resolved resolved;
    rig_resolve(config, &resolved);
    struct snapshot *first = after(&resolved, 1, NULL);
    const char *old_document = first->common->document;
    swap_crl(&resolved, false, "8");
    struct snapshot *second = after(&resolved, 2, first);
    ck_assert_ptr_eq(second->common->document, old_document);
    ck_assert_uint_eq(first->common->refs, 2);
    snapshot_unref(&first);
    ck_assert_uint_eq(second->common->refs, 1);
    snapshot_unref(&second);
    resolved_fini(&resolved);
}
END_TEST

START_TEST(any_other_difference_is_built_anew_with_the_keys_there_were) {
    struct resolved resolved, other;
    rig_resolve(config, &resolved);
    struct snapshot *first = after(&resolved, 1, NULL);
    char *changed = mem_strdup(config);
    memcpy(strstr(changed, "8KiB"), "9KiB", 4); /* as long as before */
    rig_resolve(changed, &other);
    struct snapshot *second = after(&other, 2, first);
    ck_assert_ptr_ne(second->conf, first->conf);
    ck_assert_uint_eq(second->h1_limits.head_size, 9 * 1024);
    ck_assert_ptr_eq(second->tls, first->tls);
    ck_assert_ptr_eq(tls_host_keypair(host(second, "a.test")->tls, 0), tls_host_keypair(host(first, "a.test")->tls, 0));
    ck_assert_ptr_ne(host(second, "a.test")->trust, host(first, "a.test")->trust);
    snapshot_unref(&first);
    expect_status(second, &rig_pki()->sensor, 200);
    snapshot_unref(&second);
    mem_free(changed);
    resolved_fini(&resolved);
    resolved_fini(&other);
}
END_TEST

START_TEST(sec_09_a_list_that_was_not_handed_over_derives_nothing) {
    struct resolved resolved;
    struct err err = {""};
    rig_resolve(config, &resolved);
    struct snapshot *first = after(&resolved, 1, NULL);
    swap_crl(&resolved, false, "8");
    resolved.crls[0].digest[0] ^= 1;
    ck_assert_ptr_null(snapshot_new_after(&resolved, 2, rig_keys(), first, &err));
    ck_assert_msg(strstr(err.text, "was not handed over") != NULL, "%s", err.text);
    expect_status(first, &rig_pki()->revoked, 403);
    /* Nor does something in a digest's place that is none. */
    resolved.document.data[resolved.document.start + first->common->crl_places[0]] = '"';
    ck_assert(!snapshot_is_derivable(first, &resolved));
    snapshot_unref(&first);
    resolved_fini(&resolved);
}
END_TEST

Suite *snapshot_snapshot_suite(void);
Suite *snapshot_snapshot_suite(void) {
    Suite *suite = suite_create("snapshot");
    TCase *tcase = tcase_create("snapshot");
    tcase_add_test(tcase, hostnames_have_what_the_file_says);
    tcase_add_test(tcase, upstreams_have_their_addresses);
    tcase_add_test(tcase, equal_bundle_sets_share_one_trust);
    tcase_add_test(tcase, sec_10_references_keep_a_generation);
    tcase_add_test(tcase, sec_09_nothing_half_made_comes_out);
    tcase_add_test(tcase, gauges_describe_the_generation);
    tcase_add_test(tcase, application_tags_are_stable);
    tcase_add_test(tcase, a_generation_with_other_crls_shares_all_the_rest);
    tcase_add_test(tcase, a_list_that_goes_leaves_no_reference);
    tcase_add_test(tcase, any_other_difference_is_built_anew_with_the_keys_there_were);
    tcase_add_test(tcase, sec_09_a_list_that_was_not_handed_over_derives_nothing);
    suite_add_tcase(suite, tcase);
    return suite;
}
