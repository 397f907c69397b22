/* judge: see judge.h. */
#include "judge.h"

#include <check.h>
#include <openssl/crypto.h>

static void assert_same(const struct verify_report *a, const struct verify_report *b) {
    ck_assert_int_eq(a->reason, b->reason);
    ck_assert_uint_eq(a->faults, b->faults);
    ck_assert_uint_eq(a->bundles, b->bundles);
    ck_assert_int_eq(a->depth, b->depth);
    ck_assert_str_eq(a->detail, b->detail);
    ck_assert_str_eq(a->verified_text, b->verified_text);
    ck_assert_mem_eq(a->anchor_sha256, b->anchor_sha256, SHA256_SIZE);
    ck_assert_int_eq(a->not_after, b->not_after);
    ck_assert_int_eq(a->not_before, b->not_before);
    ck_assert_int_eq(a->crl_next_update, b->crl_next_update);
    /* Of a path that holds, it does not matter when those that do not may change. */
    ck_assert(a->changes_at == b->changes_at || (a->reason == REASON_NONE && b->changes_at > a->changes_at));
    ck_assert_uint_eq(a->chain.count, b->chain.count);
    for (size_t i = 0; i < a->chain.count; i++)
        ck_assert_ptr_eq(a->chain.items[i], b->chain.items[i]);
}

/* Whatever the verdict, a cache changes nothing about it: not when it is empty, and not when it knows. */
static void assert_cache_agrees(const struct trust *trust, const struct scene *scene, const struct cert_list *untrusted,
                                const struct verify_report *report) {
    struct verify_cache *cache = verify_cache_new();
    for (int i = 0; i < 2; i++) {
        struct verify_report again;
        verify_chain_cached(cache, trust, scene->leaf->cert, untrusted, report->judged_at, &again);
        assert_same(report, &again);
        verify_report_fini(&again);
    }
    ck_assert(report->reason != REASON_NONE || report->bundles != 0);
    verify_cache_free(&cache);
}

struct verify_report judge_report(const struct scene *scene) {
    struct trust_bundle bundle = scene->bundle;
    struct cert_list untrusted = {NULL, 0};
    struct crl *crls[8];
    struct err err = {""};
    struct verify_report report;
    bundle.name = bundle.name ? bundle.name : "test";
    for (size_t i = 0; scene->cas[i] != NULL; i++)
        cert_list_add(&bundle.certs, scene->cas[i]->cert);
    for (size_t i = 0; scene->untrusted[i] != NULL; i++)
        cert_list_add(&untrusted, scene->untrusted[i]->cert);
    while (scene->crls[bundle.crl_count] != NULL)
        bundle.crl_count++;
    memcpy(crls, scene->crls, sizeof(crls));
    bundle.crls = crls;
    struct trust *trust = trust_new(&bundle, 1, &err);
    ck_assert_msg(trust != NULL, "%s", err.text);
    time_t now = scene->now ? scene->now : TESTPKI_NOW;
    if (scene->cache != NULL) {
        verify_chain_cached(scene->cache, trust, scene->leaf->cert, &untrusted, now, &report);
    } else {
        verify_chain(trust, scene->leaf->cert, &untrusted, now, NULL, &report);
        assert_cache_agrees(trust, scene, &untrusted, &report);
    }
    for (size_t i = 0; i < bundle.crl_count; i++)
        crl_unref(&crls[i]);
    trust_unref(&trust);
    cert_list_fini(&bundle.certs);
    cert_list_fini(&untrusted);
    return report;
}

enum reason judge(const struct scene *scene) {
    struct verify_report report = judge_report(scene);
    enum reason reason = report.reason;
    verify_report_fini(&report);
    return reason;
}

const char *judge_code(const struct scene *scene) { return reason_code(judge(scene)); }

struct crl *judge_crl(const struct testpki_crl_spec *spec) {
    struct sbuf der;
    struct err err = {""};
    enum crl_fault fault;
    sbuf_init(&der, 1 << 20);
    testpki_crl(spec, &der);
    const struct testpki *signer = spec->signer ? spec->signer : spec->issuer;
    struct crl *crl = testpki_load(sbuf_slice(&der), signer, &fault, &err);
    ck_assert_msg(crl != NULL, "%s", err.text);
    sbuf_fini(&der);
    return crl;
}

struct crl *judge_crl_of(const struct testpki *issuer, const struct testpki *revoked) {
    char *serial = testpki_serial_of(revoked);
    struct testpki_revoked entries[] = {{serial, 1, 0}, {NULL, 0, 0}};
    struct crl *crl = judge_crl(&(struct testpki_crl_spec){.issuer = issuer, .revoked = entries});
    OPENSSL_free(serial);
    return crl;
}
