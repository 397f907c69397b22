#include "pki/crl.h"

#include <check.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "judge.h"

static struct testpki root;
static struct sbuf der;

static void make_root(void) {
    root = testpki_root("Root");
    sbuf_init(&der, 256u << 20);
}

static void free_root(void) {
    testpki_free(&root);
    sbuf_fini(&der);
}

static struct slice make(const struct testpki_crl_spec *spec) {
    sbuf_clear(&der);
    testpki_crl(spec, &der);
    return sbuf_slice(&der);
}

#define MAKE(...) make(&(struct testpki_crl_spec){.issuer = &root, __VA_ARGS__})

static void check_refused(struct slice bytes, enum crl_fault expected, const char *text) {
    struct err err = {""};
    enum crl_fault fault = CRL_OK;
    struct crl *crl = testpki_load(bytes, &root, &fault, &err);
    ck_assert_msg(crl == NULL, "accepted; expected: %s", text);
    ck_assert_msg(fault == expected, "fault %d: %s", (int)fault, err.text);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' lacks '%s'", err.text, text);
}

static struct crl *load_good(struct slice bytes) {
    struct err err = {""};
    enum crl_fault fault;
    struct crl *crl = testpki_load(bytes, &root, &fault, &err);
    ck_assert_msg(crl != NULL, "%s", err.text);
    ck_assert_int_eq(fault, CRL_OK);
    return crl;
}

static bool has(const struct crl *crl, struct slice serial) {
    struct crl_entry entry;
    return crl_lookup(crl, serial, &entry);
}

START_TEST(facts_and_entries) {
    struct testpki_revoked revoked[] = {
        {"0A", 1, 0}, {"80", -1, TESTPKI_NOW - 5}, {"0102030405060708090A0B0C0D0E0F1011121314", 6, 0}, {NULL, 0, 0}};
    struct slice bytes = MAKE(.revoked = revoked, .number = "258");
    struct crl *crl = load_good(bytes);
    uint8_t key[SHA256_SIZE], digest[SHA256_SIZE];
    struct crl_entry entry;
    crl_issuer_key_of(root.cert, key);
    sha256(bytes, digest);
    ck_assert_mem_eq(crl_issuer_key(crl), key, SHA256_SIZE);
    ck_assert_mem_eq(crl_digest(crl), digest, SHA256_SIZE);
    ck_assert_str_eq(crl_issuer_text(crl), "CN=Root");
    ck_assert_int_eq(crl_this_update(crl), TESTPKI_NOW - TESTPKI_DAY);
    ck_assert_int_eq(crl_next_update(crl), TESTPKI_NOW + 7 * TESTPKI_DAY);
    ck_assert(crl_has_number(crl) && slice_eq(crl_number(crl), SLICE("\1\2")));
    ck_assert_uint_eq(crl_count(crl), 3);
    ck_assert(crl_covers_leaves(crl) && crl_covers_cas(crl));
    ck_assert(crl_lookup(crl, SLICE("\x0a"), &entry));
    ck_assert_int_eq(entry.reason, 1);
    ck_assert_int_eq(entry.revoked_at, TESTPKI_NOW - TESTPKI_DAY);
    ck_assert(crl_lookup(crl, SLICE("\0\x80"), &entry));
    ck_assert_int_eq(entry.reason, -1);
    ck_assert_int_eq(entry.revoked_at, TESTPKI_NOW - 5);
    ck_assert_str_eq(crl_reason_text(1), "keyCompromise");
    ck_assert_str_eq(crl_reason_text(-1), "unspecified");
    ck_assert_str_eq(crl_reason_text(99), "unspecified");
    crl_unref(&crl);
}
END_TEST

START_TEST(serials_are_compared_as_numbers) {
    struct testpki_revoked revoked[] = {{"FF", -1, 0}, {"7F", -1, 0}, {"-2", -1, 0}, {NULL, 0, 0}};
    struct crl *crl = load_good(MAKE(.revoked = revoked));
    ck_assert(has(crl, SLICE("\0\xff")));
    ck_assert(has(crl, SLICE("\0\0\0\xff")));
    ck_assert(!has(crl, SLICE("\xff"))); /* that is -1 */
    ck_assert(has(crl, SLICE("\x7f")) && has(crl, SLICE("\0\x7f")));
    ck_assert(has(crl, SLICE("\xfe")) && has(crl, SLICE("\xff\xfe"))); /* -2 */
    ck_assert(!has(crl, SLICE("\0\xfe")));
    ck_assert(!has(crl, SLICE("\x7f\0")));
    ck_assert(!has(crl, SLICE("")));
    crl_unref(&crl);
}
END_TEST

START_TEST(number_next_update_and_version_may_be_missing) {
    struct testpki_revoked revoked[] = {{"0A", -1, 0}, {NULL, 0, 0}};
    struct crl *crl = load_good(MAKE(.revoked = revoked));
    ck_assert(!crl_has_number(crl));
    ck_assert_uint_eq(crl_number(crl).len, 0);
    crl_unref(&crl);
    crl = load_good(MAKE(.revoked = revoked, .is_v1 = true, .has_no_next_update = true));
    ck_assert_int_eq(crl_next_update(crl), 0);
    ck_assert(has(crl, SLICE("\x0a")));
    crl_unref(&crl);
    crl = load_good(MAKE(.number = "0"));
    ck_assert(crl_has_number(crl) && crl_count(crl) == 0);
    crl_unref(&crl);
    crl = load_good(MAKE(.this_update = 2600000000, .next_update = 2700000000)); /* GeneralizedTime */
    ck_assert_int_eq(crl_this_update(crl), 2600000000);
    crl_unref(&crl);
}
END_TEST

START_TEST(signature_algorithms) {
    EVP_PKEY *keys[] = {testpki_key_rsa(2048), testpki_key_ed25519(), testpki_key_ec()};
    const EVP_MD *digests[] = {EVP_sha256(), EVP_sha384(), EVP_sha512()};
    for (int k = 0; k < 3; k++) {
        struct testpki ca = testpki_make(&(struct testpki_spec){.cn = "CA", .is_ca = true, .key = keys[k]});
        for (int d = 0; d < 3; d++) {
            struct crl *crl = judge_crl(&(struct testpki_crl_spec){.issuer = &ca, .digest = digests[d]});
            crl_unref(&crl);
        }
        testpki_free(&ca);
        EVP_PKEY_free(keys[k]);
    }
}
END_TEST

/* X509_CRL_sign has no way to PSS but through a context. */
START_TEST(rsa_pss) {
    EVP_PKEY *key = testpki_key_rsa(2048);
    struct testpki ca = testpki_make(&(struct testpki_spec){.cn = "CA", .is_ca = true, .key = key});
    for (int salt = 20; salt <= 32; salt += 12) {
        struct err err = {""};
        enum crl_fault fault;
        sbuf_clear(&der);
        testpki_crl(&(struct testpki_crl_spec){.issuer = &ca}, &der);
        const unsigned char *at = (const unsigned char *)sbuf_slice(&der).ptr;
        X509_CRL *list = d2i_X509_CRL(NULL, &at, (long)der.len);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        EVP_PKEY_CTX *rsa;
        ck_assert(EVP_DigestSignInit(ctx, &rsa, EVP_sha256(), NULL, key) == 1);
        ck_assert(EVP_PKEY_CTX_set_rsa_padding(rsa, RSA_PKCS1_PSS_PADDING) == 1 &&
                  EVP_PKEY_CTX_set_rsa_pss_saltlen(rsa, salt) == 1);
        ck_assert(X509_CRL_sign_ctx(list, ctx) > 0);
        unsigned char *bytes = NULL;
        int len = i2d_X509_CRL(list, &bytes);
        struct crl *crl = testpki_load(slice_make(bytes, (size_t)len), &ca, &fault, &err);
        ck_assert_msg(crl != NULL, "%s", err.text);
        crl_unref(&crl);
        bytes[len - 1] ^= 1;
        ck_assert_ptr_null(testpki_load(slice_make(bytes, (size_t)len), &ca, &fault, &err));
        ck_assert_int_eq(fault, CRL_BAD_SIGNATURE);
        OPENSSL_free(bytes);
        EVP_MD_CTX_free(ctx);
        X509_CRL_free(list);
    }
    testpki_free(&ca);
    EVP_PKEY_free(key);
}
END_TEST

START_TEST(wrong_signers_are_refused_sec_29) {
    struct testpki other = testpki_root("Other"), namesake = testpki_root("Root");
    struct testpki mute =
        testpki_make(&(struct testpki_spec){.cn = "Root", .is_ca = true, .key_usage = "critical,keyCertSign"});
    struct err err = {""};
    enum crl_fault fault;
    check_refused(make(&(struct testpki_crl_spec){.issuer = &other}), CRL_UNKNOWN_ISSUER, "CN=Other");
    check_refused(MAKE(.signer = &namesake), CRL_BAD_SIGNATURE, "does not verify with CN=Root");
    struct slice bytes = make(&(struct testpki_crl_spec){.issuer = &mute});
    ck_assert_ptr_null(testpki_load(bytes, &mute, &fault, &err));
    ck_assert_int_eq(fault, CRL_UNKNOWN_ISSUER);
    ck_assert_ptr_nonnull(strstr(err.text, "keyUsage"));
    testpki_free(&other);
    testpki_free(&namesake);
    testpki_free(&mute);
}
END_TEST

START_TEST(every_changed_or_missing_byte_is_noticed) {
    struct testpki_revoked revoked[] = {{"0A", 1, 0}, {"0B", -1, 0}, {NULL, 0, 0}};
    struct slice bytes = MAKE(.revoked = revoked, .number = "7");
    struct err err = {""};
    enum crl_fault fault;
    uint8_t *copy = mem_dup(bytes.ptr, bytes.len);
    for (size_t i = 0; i < bytes.len; i++) {
        ck_assert_ptr_null(testpki_load(slice_make(copy, i), &root, &fault, &err)); /* cut off */
        copy[i] ^= 0x01;
        ck_assert_msg(testpki_load(slice_make(copy, bytes.len), &root, &fault, &err) == NULL, "byte %zu", i);
        copy[i] ^= 0x01;
    }
    mem_free(copy);
    sbuf_append_char(&der, '\0');
    check_refused(sbuf_slice(&der), CRL_MALFORMED, "after its end");
}
END_TEST

START_TEST(any_size_of_piece_gives_the_same) {
    testpki_big_crl(&root, 20000, &der); /* about 1 MB: the window moves */
    struct cert_list issuers = {NULL, 0};
    cert_list_add(&issuers, root.cert);
    static const size_t pieces[] = {0, 1, 7, 4096, 100000};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
        struct testpki_source source = {sbuf_slice(&der), pieces[i]};
        struct err err = {""};
        enum crl_fault fault;
        struct crl *crl = crl_load(testpki_read, &source, &issuers, &fault, &err);
        ck_assert_msg(crl != NULL, "%s", err.text);
        ck_assert_uint_eq(crl_count(crl), 20000);
        for (uint32_t n = 0; n < 20100; n += 50) {
            uint8_t serial[16];
            testpki_serial(n, serial);
            ck_assert(has(crl, slice_make(serial, 16)) == (n < 20000));
        }
        crl_unref(&crl);
    }
    cert_list_fini(&issuers);
}
END_TEST

START_TEST(kinds_that_are_not_supported_say_so_sec_29) {
    check_refused(MAKE(.extra = {{"1.3.6.1.4.1.55555.1", "critical,DER:0500"}}), CRL_UNSUPPORTED,
                  "1.3.6.1.4.1.55555.1");
    EVP_PKEY *rsa = testpki_key_rsa(2048); /* ECDSA has no form with MD5 */
    struct testpki ca = testpki_make(&(struct testpki_spec){.cn = "RSA", .is_ca = true, .key = rsa});
    check_refused(make(&(struct testpki_crl_spec){.issuer = &ca, .digest = EVP_md5()}), CRL_UNSUPPORTED, "too weak");
    testpki_free(&ca);
    EVP_PKEY_free(rsa);
}
END_TEST

START_TEST(scope_by_kind_of_certificate) {
    struct crl *crl = load_good(MAKE(.extra = {{"issuingDistributionPoint", "critical,onlyuser:TRUE"}}));
    ck_assert(crl_covers_leaves(crl) && !crl_covers_cas(crl));
    crl_unref(&crl);
    crl = load_good(MAKE(.extra = {{"issuingDistributionPoint", "critical,onlyCA:TRUE"}}));
    ck_assert(!crl_covers_leaves(crl) && crl_covers_cas(crl));
    crl_unref(&crl);
    crl = load_good(MAKE(.extra = {{"issuingDistributionPoint", "critical,onlyAA:TRUE"}}));
    ck_assert(!crl_covers_leaves(crl) && !crl_covers_cas(crl));
    crl_unref(&crl);
    crl = load_good(MAKE(.extra = {{"1.3.6.1.4.1.55555.1", "DER:0500"}})); /* not critical: passed over */
    crl_unref(&crl);
    check_refused(MAKE(.extra = {{"issuingDistributionPoint", "critical,onlyuser:TRUE,onlyAA:TRUE"}}), CRL_MALFORMED,
                  "contradicts");
    check_refused(MAKE(.extra = {{"issuingDistributionPoint", "critical,onlyuser:TRUE,onlyCA:TRUE"}}), CRL_MALFORMED,
                  "contradicts");
    check_refused(MAKE(.extra = {{"2.5.29.28", "critical,DER:0500"}}), CRL_MALFORMED, "issuingDistributionPoint");
}
END_TEST

START_TEST(deltas_and_indirect_lists_say_so) {
    struct crl *crl = load_good(MAKE(.number = "7", .extra = {{"2.5.29.27", "critical,DER:02020100"}}));
    ck_assert(crl_is_delta(crl) && !crl_is_indirect(crl));
    ck_assert(slice_eq(crl_base_number(crl), SLICE("\1\0")));
    struct crl *complete = load_good(MAKE(.number = "7"));
    ck_assert(!crl_is_delta(complete) && !crl_is_indirect(complete) && crl_is_same_series(crl, complete));
    crl_unref(&crl);
    crl = load_good(MAKE(.extra = {{"issuingDistributionPoint", "critical,indirectCRL:TRUE"}}));
    ck_assert(crl_is_indirect(crl) && !crl_is_delta(crl) && !crl_is_same_series(crl, complete));
    crl_unref(&crl);
    crl_unref(&complete);
    /* without a number of its own a delta has no place among the lists (CVE-2026-28388) */
    check_refused(MAKE(.extra = {{"2.5.29.27", "critical,DER:020101"}}), CRL_MALFORMED, "without a CRL number");
    check_refused(MAKE(.number = "7", .extra = {{"2.5.29.27", "critical,DER:0500"}}), CRL_MALFORMED, "BaseCRLNumber");
}
END_TEST

START_TEST(malformed_extensions) {
    check_refused(MAKE(.extra = {{"2.5.29.20", "DER:0500"}}), CRL_MALFORMED, "cRLNumber");
    check_refused(MAKE(.extra = {{"2.5.29.20", "DER:0201FF"}}), CRL_MALFORMED, "cRLNumber");
    check_refused(MAKE(.number = "1", .extra = {{"2.5.29.20", "DER:020102"}}), CRL_MALFORMED, "extension");
    check_refused(MAKE(.is_v1 = true, .number = "1"), CRL_MALFORMED, "version 1");
}
END_TEST

static void found_one(void *arg, struct crl *crl) {
    (*(size_t *)arg) += crl_count(crl) + 1;
    crl_unref(&crl);
}

/* crl_load_file over a file of this content; what it found, by found_one. */
static int load_file(struct slice content, size_t *found, enum crl_fault *fault, struct err *err) {
    char path[] = "/tmp/sallyport-test-crl-XXXXXX";
    struct cert_list issuers = {NULL, 0};
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, content.ptr, content.len), (ssize_t)content.len);
    close(fd);
    cert_list_add(&issuers, root.cert);
    *found = 0;
    int status = crl_load_file(path, &issuers, found_one, found, fault, err);
    cert_list_fini(&issuers);
    unlink(path);
    return status;
}

START_TEST(files_der_and_pem) {
    struct testpki_revoked revoked[] = {{"0A", 1, 0}, {"0B", -1, 0}, {NULL, 0, 0}};
    struct slice bytes = MAKE(.revoked = revoked);
    struct sbuf pem;
    struct err err = {""};
    enum crl_fault fault;
    size_t found;
    sbuf_init(&pem, 1 << 20);
    ck_assert_int_eq(load_file(bytes, &found, &fault, &err), 0);
    ck_assert_uint_eq(found, 3);
    sbuf_append_str(&pem, "a note\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    testpki_der_to_pem(bytes, "X509 CRL", &pem);
    testpki_der_to_pem(bytes, "X509 CRL", &pem);
    ck_assert_msg(load_file(sbuf_slice(&pem), &found, &fault, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(found, 6);
    ck_assert_int_eq(fault, CRL_OK);
    /* a bad one ends it */
    testpki_der_to_pem(MAKE(.extra = {{"1.3.6.1.4.1.55555.1", "critical,DER:0500"}}), "X509 CRL", &pem);
    testpki_der_to_pem(MAKE(.revoked = revoked), "X509 CRL", &pem);
    ck_assert_int_eq(load_file(sbuf_slice(&pem), &found, &fault, &err), -1);
    ck_assert_int_eq(fault, CRL_UNSUPPORTED);
    ck_assert_uint_eq(found, 6);
    sbuf_fini(&pem);
}
END_TEST

START_TEST(files_that_hold_no_usable_list_sec_09) {
    struct sbuf pem;
    struct err err = {""};
    enum crl_fault fault;
    size_t found;
    static const char *const texts[] = {"", "nothing\n", "-----BEGIN X509 CRL-----\n",
                                        "-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n",
                                        "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        ck_assert_int_eq(load_file(slice_of(texts[i]), &found, &fault, &err), -1);
        ck_assert_int_ne(fault, CRL_OK);
    }
    sbuf_init(&pem, 1 << 20);
    testpki_der_to_pem(MAKE(.number = "1"), "X509 CRL", &pem);
    for (size_t len = 0; len + 3 < pem.len; len += 5) /* cut off */
        ck_assert_int_eq(load_file(slice_first(sbuf_slice(&pem), len), &found, &fault, &err), -1);
    ck_assert_int_eq(crl_load_file("/nonexistent/x", &(struct cert_list){NULL, 0}, found_one, &found, &fault, &err),
                     -1);
    ck_assert_ptr_nonnull(strstr(err.text, "No such file"));
    sbuf_fini(&pem);
}
END_TEST

START_TEST(block_crosses_to_another_process) {
    struct testpki_revoked revoked[] = {{"0A", 1, 0}, {"0B", -1, 0}, {NULL, 0, 0}};
    struct crl *crl = load_good(MAKE(.revoked = revoked, .number = "7"));
    struct slice block = crl_bytes(crl);
    struct err err = {""};
    uint8_t *elsewhere = mem_new(block.len + 1); /* and not aligned */
    memcpy(elsewhere + 1, block.ptr, block.len);
    struct crl *copy = crl_from_bytes(slice_make(elsewhere + 1, block.len), &err);
    ck_assert_msg(copy != NULL, "%s", err.text);
    ck_assert(has(copy, SLICE("\x0a")) && has(copy, SLICE("\x0b")) && !has(copy, SLICE("\x0c")));
    ck_assert_str_eq(crl_issuer_text(copy), "CN=Root");
    ck_assert_mem_eq(crl_digest(copy), crl_digest(crl), SHA256_SIZE);
    crl_unref(&copy);
    for (size_t len = 0; len < block.len; len++)
        ck_assert_ptr_null(crl_from_bytes(slice_make(elsewhere + 1, len), &err));
    crl_unref(&crl);
    mem_free(elsewhere);
}
END_TEST

/* Refused, or read within its bounds: the sanitizers watch. A record that cannot be counts as revoked. */
START_TEST(sec_29_a_damaged_block_is_read_within_its_bounds) {
    static const struct testpki_revoked one[] = {{"0A", 1, 0}, {NULL, 0, 0}};
    struct crl *crl = load_good(MAKE(.revoked = one));
    struct slice block = crl_bytes(crl);
    struct err err;
    for (size_t at = block.len - 64; at < block.len; at++) {
        uint8_t *damaged = mem_dup(block.ptr, block.len);
        damaged[at] = 0xff;
        struct crl *copy = crl_from_bytes(slice_make(damaged, block.len), &err);
        if (copy)
            (void)has(copy, SLICE("\x0a"));
        crl_unref(&copy);
        mem_free(damaged);
    }
    /* The one record says that it is longer than there is. */
    uint8_t *damaged = mem_dup(block.ptr, block.len);
    uint8_t *record = damaged + block.len - strlen(crl_issuer_text(crl)) - 1 - 8;
    ck_assert_mem_eq(record, "\x01\x0a", 2);
    *record = 0xf0;
    struct crl *copy = crl_from_bytes(slice_make(damaged, block.len), &err);
    ck_assert(copy && has(copy, SLICE("\x0a")));
    crl_unref(&copy);
    crl_unref(&crl);
    mem_free(damaged);
}
END_TEST

START_TEST(one_serial_repeated_without_end_is_refused) {
    enum { COUNT = 300 };
    struct testpki_revoked revoked[COUNT + 1] = {{NULL, 0, 0}};
    for (int i = 0; i < COUNT; i++)
        revoked[i] = (struct testpki_revoked){"0A", -1, 0};
    check_refused(MAKE(.revoked = revoked), CRL_MALFORMED, "hundreds of times");
}
END_TEST

static size_t resident_kib(void) {
    unsigned long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%lu %lu", &size, &resident), 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE) / 1024;
}

/* Processor time: the machine may be busy with other things. */
static int64_t cpu_us(void) {
    struct timespec time;
    ck_assert_int_eq(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time), 0);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

#if defined(__SANITIZE_ADDRESS__)
#define IS_INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_INSTRUMENTED 1
#endif
#endif
#ifndef IS_INSTRUMENTED
#define IS_INSTRUMENTED 0
#endif

START_TEST(a_million_entries_sec_30_sec_31) {
    enum { COUNT = 1000000, LOOKUPS = 1000000 };
    testpki_big_crl(&root, COUNT, &der);
    size_t before = resident_kib();
    int64_t start = cpu_us();
    struct crl *crl = load_good(sbuf_slice(&der));
    int64_t load_us = cpu_us() - start;
    size_t grown = resident_kib() - before;
    ck_assert_uint_eq(crl_count(crl), COUNT);
    ck_assert_uint_lt(crl_bytes(crl).len, 30u << 20);
    size_t hits = 0;
    start = cpu_us();
    for (uint32_t i = 0; i < LOOKUPS; i++) {
        uint8_t serial[16];
        testpki_serial((i * 2654435761u) % (2 * COUNT), serial);
        hits += has(crl, slice_make(serial, 16));
    }
    int64_t lookup_ns = (cpu_us() - start) * 1000 / LOOKUPS;
    if (getenv("SALLYPORT_FIGURES"))
        fprintf(stderr, "1M entries: load %.0f ms, index %.1f MiB, resident +%.1f MiB, look-up %ld ns\n",
                (double)load_us / 1000, (double)crl_bytes(crl).len / (1 << 20), (double)grown / 1024, (long)lookup_ns);
    ck_assert_uint_gt(hits, LOOKUPS / 3);
    if (!IS_INSTRUMENTED) {
        ck_assert_int_lt(load_us, 1000000);
        ck_assert_int_lt(lookup_ns, 1000);
    }
    crl_unref(&crl);
    /* nothing is left behind: sixteen more loads of a tenth do not add up */
    sbuf_clear(&der);
    testpki_big_crl(&root, COUNT / 10, &der);
    crl = load_good(sbuf_slice(&der));
    crl_unref(&crl);
    before = resident_kib();
    for (int i = 0; i < 16; i++) {
        crl = load_good(sbuf_slice(&der));
        crl_unref(&crl);
    }
    if (!IS_INSTRUMENTED)
        ck_assert_uint_lt(resident_kib(), before + 4096);
}
END_TEST

Suite *pki_crl_suite(void);
Suite *pki_crl_suite(void) {
    Suite *suite = suite_create("crl");
    TCase *tc = tcase_create("crl");
    tcase_add_checked_fixture(tc, make_root, free_root);
    tcase_add_test(tc, facts_and_entries);
    tcase_add_test(tc, serials_are_compared_as_numbers);
    tcase_add_test(tc, number_next_update_and_version_may_be_missing);
    tcase_add_test(tc, signature_algorithms);
    tcase_add_test(tc, rsa_pss);
    tcase_add_test(tc, wrong_signers_are_refused_sec_29);
    tcase_add_test(tc, every_changed_or_missing_byte_is_noticed);
    tcase_add_test(tc, any_size_of_piece_gives_the_same);
    tcase_add_test(tc, kinds_that_are_not_supported_say_so_sec_29);
    tcase_add_test(tc, scope_by_kind_of_certificate);
    tcase_add_test(tc, deltas_and_indirect_lists_say_so);
    tcase_add_test(tc, malformed_extensions);
    tcase_add_test(tc, files_der_and_pem);
    tcase_add_test(tc, files_that_hold_no_usable_list_sec_09);
    tcase_add_test(tc, block_crosses_to_another_process);
    tcase_add_test(tc, sec_29_a_damaged_block_is_read_within_its_bounds);
    tcase_add_test(tc, one_serial_repeated_without_end_is_refused);
    suite_add_tcase(suite, tc);
    TCase *big = tcase_create("big");
    tcase_set_timeout(big, 120);
    tcase_add_checked_fixture(big, make_root, free_root);
    tcase_add_test(big, a_million_entries_sec_30_sec_31);
    suite_add_tcase(suite, big);
    return suite;
}
