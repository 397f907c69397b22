/*
 * fuzz_crl_verdict: lists that are signed as they should be, whatever they say: the input is up to four signed parts
 * (tbsCertList), each after its length in two bytes. Those that load go into one bundle, complete ones and deltas, and
 * a chain is judged by them. A certificate that no list names is not revoked, and what a report says adds up.
 */
#include "base/err.h"
#include "pki/verify.h"
#include "support/testpki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LISTS_MAX 4

static struct testpki root, mid, leaf;

static struct crl *load_part(struct slice part) {
    struct sbuf der;
    struct err err = {""};
    enum crl_fault fault;
    sbuf_init(&der, 1 << 20);
    testpki_sign(&root, part, &der);
    struct crl *crl = testpki_load(sbuf_slice(&der), &root, &fault, &err);
    INVARIANT((crl != NULL) == (fault == CRL_OK));
    INVARIANT(crl == NULL || !crl_is_delta(crl) || crl_has_number(crl));
    sbuf_fini(&der);
    return crl;
}

static void judge(struct crl **crls, size_t count, enum crl_require require) {
    struct err err = {""};
    struct verify_report report;
    struct cert_list sent = {NULL, 0};
    struct trust_bundle bundle = {.name = "fuzz", .crl_require = require, .crls = crls, .crl_count = count};
    cert_list_add(&bundle.certs, root.cert);
    cert_list_add(&sent, mid.cert);
    struct trust *trust = trust_new(&bundle, 1, &err);
    INVARIANT(trust != NULL);
    verify_chain(trust, leaf.cert, &sent, TESTPKI_NOW, NULL, &report);
    INVARIANT((report.reason == REASON_NONE) == (report.faults == 0));
    INVARIANT(report.depth <= 1);
    if (report.reason == REASON_NONE && require == CRL_CHAIN)
        INVARIANT(count > 0);
    verify_report_fini(&report);
    trust_unref(&trust);
    cert_list_fini(&bundle.certs);
    cert_list_fini(&sent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct crl *crls[LISTS_MAX];
    size_t count = 0;
    if (root.cert == NULL) {
        root = testpki_root("Root");
        mid = testpki_make(&(struct testpki_spec){.cn = "Mid", .is_ca = true, .issuer = &root, .serial = "0A"});
        leaf = testpki_make(&(struct testpki_spec){
            .cn = "x", .issuer = &mid, .serial = "0B", .extra = {{"crlDistributionPoints", "URI:http://crl.test/1"}}});
    }
    while (size >= 2 && count < LISTS_MAX) {
        size_t len = (size_t)data[0] << 8 | data[1];
        len = len < size - 2 ? len : size - 2;
        struct crl *crl = load_part(slice_make(data + 2, len));
        if (crl != NULL)
            crls[count++] = crl;
        data += 2 + len;
        size -= 2 + len;
    }
    judge(crls, count, CRL_IF_PRESENT);
    judge(crls, count, CRL_CHAIN);
    while (count > 0)
        crl_unref(&crls[--count]);
    return 0;
}
