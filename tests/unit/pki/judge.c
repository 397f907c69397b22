/* judge: see judge.h. */
#include "judge.h"

#include <check.h>
#include <openssl/crypto.h>

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
    verify_chain(trust, scene->leaf->cert, &untrusted, scene->now ? scene->now : TESTPKI_NOW, NULL, &report);
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
