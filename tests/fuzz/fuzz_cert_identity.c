/*
 * fuzz_cert_identity: bytes to certificate to identity to verdict, as a client's certificate goes, and the same bytes
 * as a PEM file. Nothing in an identity may hold a control character, and nothing but what the corpus' CA signed may
 * verify.
 */
#include "base/err.h"
#include "base/mem.h"
#include "fuzz_root.h"
#include "pki/identity.h"
#include "pki/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW ((time_t)1900000000)

static struct trust *trust;

static void check_text(struct slice text) {
    for (size_t i = 0; i < text.len; i++)
        INVARIANT((unsigned char)text.ptr[i] >= 0x20 && text.ptr[i] != 0x7f);
}

static void check_texts(struct texts texts) {
    for (size_t i = 0; i < texts.count; i++)
        check_text(texts.items[i]);
}

static void check_identity(const struct identity *identity) {
    check_text(identity->common_name);
    check_text(identity->issuer_common_name);
    check_text(identity->subject_dn);
    check_text(identity->issuer_dn);
    check_text(identity->subject_dn_legacy);
    check_text(identity->issuer_dn_legacy);
    check_text(identity->serial);
    check_text(identity->not_before);
    check_text(identity->not_after);
    check_texts(identity->organization);
    check_texts(identity->organizational_unit);
    check_texts(identity->san_dns);
    check_texts(identity->san_uri);
    check_texts(identity->san_email);
    check_texts(identity->san_ip);
    check_texts(identity->extended_key_usage);
    check_texts(identity->certificate_policy);
}

static void judge(struct cert *cert) {
    struct verify_report report;
    struct cert_list untrusted = {NULL, 0};
    cert_list_add(&untrusted, cert);
    verify_chain(trust, cert, &untrusted, NOW, NULL, &report);
    INVARIANT((report.reason == REASON_NONE) == (report.faults == 0));
    INVARIANT((report.reason == REASON_NONE) == (report.bundles == 1));
    struct identity *identity = identity_new(cert, &report);
    check_identity(identity);
    identity_free(&identity);
    verify_report_fini(&report);
    cert_list_fini(&untrusted);
    char *subject = cert_subject_text(cert);
    mem_free(subject);
}

static void set_up(void) {
    struct err err = {""};
    struct trust_bundle bundle = {.name = "fuzz"};
    struct cert *root = cert_from_der(slice_make(FUZZ_ROOT, sizeof(FUZZ_ROOT)), &err);
    cert_list_add(&bundle.certs, root);
    trust = trust_new(&bundle, 1, &err);
    INVARIANT(trust != NULL);
    cert_list_fini(&bundle.certs);
    cert_unref(&root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err = {""};
    struct cert_list list;
    if (trust == NULL)
        set_up();
    struct cert *cert = cert_from_der(slice_make(data, size), &err);
    if (cert != NULL)
        judge(cert);
    cert_unref(&cert);
    if (cert_list_from_pem(slice_make(data, size), true, &list, &err) == 0) {
        for (size_t i = 0; i < list.count; i++)
            judge(list.items[i]);
        cert_list_fini(&list);
    }
    return 0;
}
