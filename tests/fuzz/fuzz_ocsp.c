/*
 * fuzz_ocsp: answers of responders: the bytes as they are, which nobody signed and which may never be believed, and as
 * the signed part of an answer by the CA, whatever it says. The CA's key is new each time, so "KKKKKKKKKKKKKKKKKKKK" in
 * the input stands for its hash.
 */
#include "base/err.h"
#include "base/mem.h"
#include "pki/ocsp.h"
#include "support/testpki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct testpki root, leaf;
static const struct ocsp_rules rules = {.now = TESTPKI_NOW, .skew_seconds = 300, .max_age_seconds = 3600};

static enum ocsp_fault read_answer(struct slice bytes) {
    struct ocsp_question question = {.cert = leaf.cert, .issuer = root.cert, .nonce = SLICE("0123456789abcdef")};
    struct ocsp_answer answer;
    struct err err = {""};
    int status = ocsp_response_read(bytes, &question, &rules, &answer, &err);
    INVARIANT((status == 0) == (answer.fault == OCSP_OK));
    INVARIANT(status == 0 || err.text[0] != '\0');
    if (status == 0)
        INVARIANT(answer.this_update <= rules.now + rules.skew_seconds &&
                  answer.usable_until >= rules.now - rules.skew_seconds && answer.responder == NULL);
    enum ocsp_fault fault = answer.fault;
    ocsp_answer_fini(&answer);
    return fault;
}

static void append_header(struct sbuf *out, uint8_t tag, size_t len) {
    uint8_t header[] = {tag, 0x83, (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};
    sbuf_append(out, slice_make(header, sizeof(header)));
}

/* OCSPResponse { successful, { id-pkix-ocsp-basic, BasicOCSPResponse } }; OpenSSL minds no long lengths. */
static void wrap(struct slice basic, struct sbuf *out) {
    static const struct slice head = {"\x0a\x01\0", 3}, type = {"\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x01", 11};
    enum { HEADER = 5 };
    append_header(out, 0x30, head.len + 2 * HEADER + type.len + HEADER + basic.len);
    sbuf_append(out, head);
    append_header(out, 0xa0, HEADER + type.len + HEADER + basic.len);
    append_header(out, 0x30, type.len + HEADER + basic.len);
    sbuf_append(out, type);
    append_header(out, 0x04, basic.len);
    sbuf_append(out, basic);
}

static void put_key_hash(char *bytes, size_t size) {
    static const char mark[] = "KKKKKKKKKKKKKKKKKKKK";
    char *at = size > 0 ? memmem(bytes, size, mark, sizeof(mark) - 1) : NULL;
    unsigned len = 0;
    if (at != NULL)
        INVARIANT(X509_pubkey_digest(root.x509, EVP_sha1(), (unsigned char *)at, &len) == 1 && len == sizeof(mark) - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sbuf basic, der;
    char *copy = mem_dup(data, size);
    if (root.cert == NULL) {
        root = testpki_root("Root");
        leaf = testpki_make(&(struct testpki_spec){.cn = "x", .issuer = &root, .serial = "0B"});
    }
    INVARIANT(read_answer(slice_make(data, size)) != OCSP_OK);
    put_key_hash(copy, size);
    sbuf_init(&basic, 1 << 20);
    sbuf_init(&der, 1 << 20);
    testpki_sign(&root, slice_make(copy, size), &basic);
    wrap(sbuf_slice(&basic), &der);
    (void)read_answer(sbuf_slice(&der));
    sbuf_fini(&basic);
    sbuf_fini(&der);
    mem_free(copy);
    return 0;
}
