#include "pki/ocsp.h"

#include <check.h>
#include <openssl/ocsp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "support/testpki.h"

#define HOUR ((time_t)3600)
#define NONCE "0123456789abcdef"

static struct testpki root, other, mid, leaf, second, responder;

static struct testpki make_responder(const struct testpki *issuer, const char *usage, const char *key_usage) {
    return testpki_make(&(struct testpki_spec){
        .cn = "Responder", .issuer = issuer, .extended_key_usage = usage, .key_usage = key_usage});
}

static void make_pki(void) {
    root = testpki_root("Root");
    other = testpki_root("Root");
    mid = testpki_intermediate("Mid", &root);
    leaf = testpki_client("alice", &mid);
    second = testpki_client("bob", &mid);
    responder = make_responder(&mid, "OCSPSigning", NULL);
}

static void free_pki(void) {
    struct testpki *all[] = {&root, &other, &mid, &leaf, &second, &responder};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        testpki_free(all[i]);
}

/* An answer. The defaults: about alice, by Mid itself, good, an hour old, for a day. */
struct plan {
    const struct testpki *cert, *issuer, *signer;
    int status, reason; /* V_OCSP_CERTSTATUS_* */
    time_t from, until; /* from now; until 1: none */
    time_t revoked_at;  /* from now; 0: a day ago */
    const EVP_MD *id_digest, *digest;
    const char *nonce;
    const char *extension, *of_single; /* an unknown critical one */
    unsigned long flags;
    bool by_key;
};

static void add_unknown(OCSP_BASICRESP *basic, OCSP_SINGLERESP *single) {
    ASN1_OBJECT *object = OBJ_txt2obj("1.3.6.1.4.1.55555.1", 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(value, (const unsigned char *)"\5\0", 2);
    X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, object, 1, value);
    ck_assert(single ? OCSP_SINGLERESP_add_ext(single, extension, -1) : OCSP_BASICRESP_add_ext(basic, extension, -1));
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(object);
}

static void add_status(OCSP_BASICRESP *basic, const struct plan *plan) {
    const struct testpki *cert = plan->cert ? plan->cert : &leaf, *issuer = plan->issuer ? plan->issuer : &mid;
    OCSP_CERTID *id = OCSP_cert_to_id(plan->id_digest ? plan->id_digest : EVP_sha1(), cert->x509, issuer->x509);
    ASN1_TIME *from = ASN1_TIME_adj(NULL, TESTPKI_NOW + (plan->from ? plan->from : -HOUR), 0, 0);
    ASN1_TIME *until = ASN1_TIME_adj(NULL, TESTPKI_NOW + (plan->until ? plan->until : TESTPKI_DAY), 0, 0);
    ASN1_TIME *revoked =
        ASN1_GENERALIZEDTIME_adj(NULL, TESTPKI_NOW + (plan->revoked_at ? plan->revoked_at : -TESTPKI_DAY), 0, 0);
    OCSP_SINGLERESP *single = OCSP_basic_add1_status(basic, id, plan->status, plan->reason,
                                                     plan->status == V_OCSP_CERTSTATUS_REVOKED ? revoked : NULL, from,
                                                     plan->until == 1 ? NULL : until);
    ck_assert_ptr_nonnull(single);
    if (plan->of_single)
        add_unknown(NULL, single);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    ASN1_TIME_free(revoked);
}

static void make_answers(const struct plan *plans, size_t count, struct sbuf *out) {
    const struct testpki *signer = plans->signer ? plans->signer : &mid;
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    for (size_t i = 0; i < count; i++)
        add_status(basic, &plans[i]);
    if (plans->nonce)
        OCSP_basic_add1_nonce(basic, (unsigned char *)(uintptr_t)plans->nonce, (int)strlen(plans->nonce));
    if (plans->extension)
        add_unknown(basic, NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    ck_assert(EVP_DigestSignInit(ctx, NULL, plans->digest ? plans->digest : EVP_sha256(), NULL, signer->key) == 1);
    ck_assert_int_eq(
        OCSP_basic_sign_ctx(basic, signer->x509, ctx, NULL, plans->flags | (plans->by_key ? OCSP_RESPID_KEY : 0)), 1);
    EVP_MD_CTX_free(ctx);
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    unsigned char *der = NULL;
    int len = i2d_OCSP_RESPONSE(response, &der);
    sbuf_append(out, slice_make(der, (size_t)len));
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
}

static const struct ocsp_rules rules = {.now = TESTPKI_NOW, .skew_seconds = 300, .max_age_seconds = 2 * HOUR};

static enum ocsp_fault read_plans(const struct plan *plans, size_t count, struct ocsp_answer *answer_out,
                                  bool sends_nonce, bool needs_nonce) {
    struct sbuf der;
    struct err err = {""};
    struct ocsp_rules asked = rules;
    struct ocsp_question question = {.cert = leaf.cert, .issuer = mid.cert};
    question.nonce = sends_nonce ? SLICE(NONCE) : SLICE("");
    asked.needs_nonce = needs_nonce;
    sbuf_init(&der, 1 << 20);
    make_answers(plans, count, &der);
    int status = ocsp_response_read(sbuf_slice(&der), &question, &asked, answer_out, &err);
    ck_assert_int_eq(status, answer_out->fault == OCSP_OK ? 0 : -1);
    ck_assert_msg(status == 0 || strncmp(err.text, "OCSP: ", 6) == 0, "'%s'", err.text);
    sbuf_fini(&der);
    return answer_out->fault;
}

static enum ocsp_fault fault_of(const struct plan *plan) {
    struct ocsp_answer answer;
    enum ocsp_fault fault = read_plans(plan, 1, &answer, false, false);
    ocsp_answer_fini(&answer);
    return fault;
}

#define FAULT(...) fault_of(&(struct plan){__VA_ARGS__})

START_TEST(good_revoked_and_unknown) {
    struct ocsp_answer answer;
    ck_assert_int_eq(read_plans(&(struct plan){.status = V_OCSP_CERTSTATUS_GOOD}, 1, &answer, false, false), OCSP_OK);
    ck_assert_int_eq(answer.status, OCSP_GOOD);
    ck_assert_int_eq(answer.this_update, TESTPKI_NOW - HOUR);
    ck_assert_int_eq(answer.next_update, TESTPKI_NOW + TESTPKI_DAY);
    ck_assert_int_eq(answer.usable_until, TESTPKI_NOW + TESTPKI_DAY);
    ck_assert_ptr_null(answer.responder);
    ocsp_answer_fini(&answer);
    struct plan odd = {.status = V_OCSP_CERTSTATUS_REVOKED, .reason = 77, .revoked_at = -100 * 365 * TESTPKI_DAY};
    ck_assert_int_eq(read_plans(&odd, 1, &answer, false, false), OCSP_OK); /* still revoked: for people is the rest */
    ck_assert_int_eq(answer.status, OCSP_REVOKED);
    ck_assert_int_eq(answer.revoked_at, 0);
    ck_assert_int_eq(answer.reason, -1);
    ocsp_answer_fini(&answer);
    struct plan revoked = {.status = V_OCSP_CERTSTATUS_REVOKED, .reason = 1};
    ck_assert_int_eq(read_plans(&revoked, 1, &answer, false, false), OCSP_OK);
    ck_assert_int_eq(answer.status, OCSP_REVOKED);
    ck_assert_int_eq(answer.revoked_at, TESTPKI_NOW - TESTPKI_DAY);
    ck_assert_int_eq(answer.reason, 1);
    ocsp_answer_fini(&answer);
    ck_assert_int_eq(read_plans(&(struct plan){.status = V_OCSP_CERTSTATUS_UNKNOWN}, 1, &answer, false, false),
                     OCSP_OK);
    ck_assert_int_eq(answer.status, OCSP_UNKNOWN);
    ocsp_answer_fini(&answer);
}
END_TEST

START_TEST(the_answer_is_about_this_certificate) {
    ck_assert_int_eq(FAULT(.cert = &second), OCSP_NOT_ANSWERED);
    ck_assert_int_eq(FAULT(.issuer = &root), OCSP_NOT_ANSWERED); /* the same serial number of another CA */
    ck_assert_int_eq(FAULT(.id_digest = EVP_sha256()), OCSP_OK);
    ck_assert_int_eq(FAULT(.id_digest = EVP_sha512()), OCSP_OK);
    ck_assert_int_eq(FAULT(.id_digest = EVP_md5()), OCSP_NOT_ANSWERED);
}
END_TEST

START_TEST(of_several_answers_revoked_counts_else_the_newest) {
    struct plan plans[] = {{.cert = &second, .status = V_OCSP_CERTSTATUS_REVOKED},
                           {.status = V_OCSP_CERTSTATUS_REVOKED, .reason = -1, .from = -2 * HOUR},
                           {.status = V_OCSP_CERTSTATUS_GOOD}};
    struct ocsp_answer answer;
    ck_assert_int_eq(read_plans(plans, 3, &answer, false, false), OCSP_OK);
    ck_assert_int_eq(answer.status, OCSP_REVOKED);
    ck_assert_int_eq(answer.reason, -1);
    ocsp_answer_fini(&answer);
    plans[1].until = -HOUR; /* it is over */
    ck_assert_int_eq(read_plans(plans, 3, &answer, false, false), OCSP_OK);
    ck_assert_int_eq(answer.status, OCSP_GOOD);
    ocsp_answer_fini(&answer);
}
END_TEST

START_TEST(only_the_ca_and_its_delegates_may_answer_sec_33) {
    struct testpki by_root = make_responder(&root, "OCSPSigning", NULL),
                   plain = make_responder(&mid, "clientAuth", NULL),
                   any = make_responder(&mid, "anyExtendedKeyUsage", NULL), none = make_responder(&mid, "", NULL),
                   mute = make_responder(&mid, "OCSPSigning", "critical,keyEncipherment");
    struct testpki late = testpki_make(&(struct testpki_spec){
        .cn = "Responder", .issuer = &mid, .extended_key_usage = "OCSPSigning", .not_after = TESTPKI_NOW - 1});
    struct testpki forged = testpki_make(&(struct testpki_spec){
        .cn = "Responder", .issuer = &mid, .signer = &other, .extended_key_usage = "OCSPSigning"});
    struct testpki_spec of_rsa = {.cn = "Responder", .issuer = &mid, .extended_key_usage = "OCSPSigning"};
    of_rsa.key = testpki_key_rsa(1024);
    struct testpki weak = testpki_make(&of_rsa);
    EVP_PKEY_free(of_rsa.key);
    ck_assert_int_eq(FAULT(.signer = &mid), OCSP_OK);
    ck_assert_int_eq(FAULT(.signer = &mid, .by_key = true), OCSP_OK);
    ck_assert_int_eq(FAULT(.signer = &responder), OCSP_OK);
    ck_assert_int_eq(FAULT(.signer = &responder, .by_key = true), OCSP_OK);
    ck_assert_int_eq(FAULT(.signer = &responder, .flags = OCSP_NOCERTS), OCSP_BAD_RESPONDER);
    struct testpki *bad[] = {&root, &other, &second, &by_root, &plain, &any, &none, &mute, &late, &forged, &weak};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        ck_assert_msg(FAULT(.signer = bad[i]) == OCSP_BAD_RESPONDER, "responder %zu", i);
    for (size_t i = 3; i < sizeof(bad) / sizeof(*bad); i++)
        testpki_free(bad[i]);
}
END_TEST

START_TEST(a_delegate_is_named_to_the_caller) {
    struct testpki free_of_checks = testpki_make(&(struct testpki_spec){
        .cn = "Responder", .issuer = &mid, .extended_key_usage = "OCSPSigning", .extra = {{"noCheck", "ignored"}}});
    struct ocsp_answer answer;
    ck_assert_int_eq(read_plans(&(struct plan){.signer = &responder}, 1, &answer, false, false), OCSP_OK);
    ck_assert_mem_eq(cert_sha256(answer.responder), cert_sha256(responder.cert), SHA256_SIZE);
    ck_assert(!answer.responder_needs_no_check);
    ocsp_answer_fini(&answer);
    ck_assert_int_eq(read_plans(&(struct plan){.signer = &free_of_checks}, 1, &answer, false, false), OCSP_OK);
    ck_assert(answer.responder_needs_no_check);
    ocsp_answer_fini(&answer);
    testpki_free(&free_of_checks);
}
END_TEST

START_TEST(dates_with_some_skew_sec_46) {
    static const struct {
        time_t from, until;
        enum ocsp_fault expected;
    } rows[] = {
        {-HOUR, HOUR, OCSP_OK},
        {290, HOUR, OCSP_OK},
        {310, HOUR, OCSP_NOT_CURRENT},
        {-HOUR, -290, OCSP_OK},
        {-HOUR, -310, OCSP_NOT_CURRENT},
        {-HOUR, 1, OCSP_OK}, /* without an end: two hours, by the rules */
        {-2 * HOUR - 290, 1, OCSP_OK},
        {-2 * HOUR - 310, 1, OCSP_NOT_CURRENT},
        {HOUR / 20, -HOUR, OCSP_MALFORMED}, /* ends before it begins */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        ck_assert_msg(FAULT(.from = rows[i].from, .until = rows[i].until) == rows[i].expected, "row %zu", i);
}
END_TEST

START_TEST(nonces) {
    static const struct {
        const char *nonce;
        bool is_sent, is_needed;
        enum ocsp_fault expected;
    } rows[] = {
        {NONCE, true, true, OCSP_OK},          {"0123456789abcdeF", true, false, OCSP_BAD_NONCE},
        {"0123", true, false, OCSP_BAD_NONCE}, {NULL, true, false, OCSP_OK},
        {NULL, true, true, OCSP_BAD_NONCE},    {NONCE, false, false, OCSP_OK},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct ocsp_answer answer;
        enum ocsp_fault fault =
            read_plans(&(struct plan){.nonce = rows[i].nonce}, 1, &answer, rows[i].is_sent, rows[i].is_needed);
        ck_assert_msg(fault == rows[i].expected, "row %zu: %d", i, (int)fault);
        ocsp_answer_fini(&answer);
    }
}
END_TEST

START_TEST(what_is_not_understood_is_no_answer) {
    ck_assert_int_eq(FAULT(.extension = "yes"), OCSP_UNSUPPORTED);
    ck_assert_int_eq(FAULT(.of_single = "yes"), OCSP_UNSUPPORTED);
    ck_assert_int_eq(FAULT(.digest = EVP_sha1()), OCSP_BAD_SIGNATURE);
    ck_assert_int_eq(FAULT(.signer = &responder, .digest = EVP_sha1()), OCSP_BAD_SIGNATURE);
    ck_assert_int_eq(FAULT(.digest = EVP_sha512()), OCSP_OK);
}
END_TEST

static enum ocsp_fault read_bytes(struct slice bytes) {
    struct ocsp_question question = {.cert = leaf.cert, .issuer = mid.cert};
    struct ocsp_answer answer;
    struct err err = {""};
    (void)!ocsp_response_read(bytes, &question, &rules, &answer, &err);
    enum ocsp_fault fault = answer.fault;
    ocsp_answer_fini(&answer);
    return fault;
}

START_TEST(no_changed_byte_passes_sec_33) {
    struct sbuf der;
    sbuf_init(&der, 1 << 20);
    make_answers(&(struct plan){.signer = &mid, .flags = OCSP_NOCERTS}, 1, &der);
    struct slice good = sbuf_slice(&der);
    char *copy = mem_dup(good.ptr, good.len + 1);
    ck_assert_int_eq(read_bytes(good), OCSP_OK);
    for (size_t i = 0; i < good.len; i++) {
        copy[i] = (char)(copy[i] ^ 0x41);
        ck_assert_msg(read_bytes(slice_make(copy, good.len)) != OCSP_OK, "byte %zu", i);
        copy[i] = good.ptr[i];
        ck_assert_msg(read_bytes(slice_make(copy, i)) != OCSP_OK, "%zu bytes", i);
    }
    ck_assert_int_eq(read_bytes(slice_make(copy, good.len + 1)), OCSP_MALFORMED);
    mem_free(copy);
    sbuf_fini(&der);
    /* tryLater, and the like: pending is not yes */
    for (int code = 1; code <= 6; code++) {
        const char bytes[] = {0x30, 0x03, 0x0a, 0x01, (char)code};
        ck_assert_int_eq(read_bytes(slice_make(bytes, sizeof(bytes))), OCSP_UNSUCCESSFUL);
    }
    ck_assert_int_eq(read_bytes(SLICE("")), OCSP_MALFORMED);
}
END_TEST

/* --- with the openssl program --------------------------------------------------------------------------------- */

static char directory[] = "/tmp/sallyport-test-ocsp-XXXXXX";

static void write_file(const char *name, struct slice content) {
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    ck_assert(file != NULL && fwrite(content.ptr, 1, content.len, file) == content.len && fclose(file) == 0);
}

static void write_pem(const char *name, void (*write)(const struct testpki *, struct sbuf *),
                      const struct testpki *of) {
    struct sbuf text;
    sbuf_init(&text, 1 << 16);
    write(of, &text);
    write_file(name, sbuf_slice(&text));
    sbuf_fini(&text);
}

/* What `openssl ocsp` answers to our request, from an index that says this of the certificate. */
static void answer_of_openssl(const char *state, const struct testpki *signer, struct sbuf *out) {
    struct ocsp_question question = {.cert = leaf.cert, .issuer = mid.cert, .nonce = SLICE(NONCE)};
    struct sbuf request;
    struct err err = {""};
    char *serial = testpki_serial_of(&leaf), *index = mem_printf("%s\t%s\tunknown\t/CN=alice\n", state, serial);
    char *command = mem_printf("cd %s && openssl ocsp -index index -CA ca -rsigner signer -rkey key -reqin request "
                               "-respout response -ndays 1 -resp_no_certs 2>log >&2",
                               directory);
    sbuf_init(&request, 1 << 16);
    ck_assert_int_eq(ocsp_request_write(&question, &request, &err), 0);
    write_file("request", sbuf_slice(&request));
    write_file("index", slice_of(index));
    write_pem("ca", testpki_cert_pem, &mid);
    write_pem("signer", testpki_cert_pem, signer);
    write_pem("key", testpki_key_pem, signer);
    ck_assert_int_eq(system(command), 0);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/response", directory);
    ck_assert_int_eq(file_read(path, OCSP_RESPONSE_MAX, out, &err), 0);
    sbuf_fini(&request);
    OPENSSL_free(serial);
    mem_free(index);
    mem_free(command);
}

static enum ocsp_status status_by_openssl(const char *state) {
    struct ocsp_question question = {.cert = leaf.cert, .issuer = mid.cert, .nonce = SLICE(NONCE)};
    struct ocsp_rules now = {.now = time(NULL), .skew_seconds = 300, .needs_nonce = true};
    struct ocsp_answer answer;
    struct sbuf der;
    struct err err = {""};
    sbuf_init(&der, OCSP_RESPONSE_MAX);
    answer_of_openssl(state, &mid, &der);
    ck_assert_msg(ocsp_response_read(sbuf_slice(&der), &question, &now, &answer, &err) == 0, "%s", err.text);
    enum ocsp_status status = answer.status;
    if (status == OCSP_REVOKED)
        ck_assert_int_eq(answer.reason, 1);
    question.nonce = SLICE("another request.");
    ocsp_answer_fini(&answer);
    ck_assert_int_eq(ocsp_response_read(sbuf_slice(&der), &question, &now, &answer, &err), -1);
    ck_assert_int_eq(answer.fault, OCSP_BAD_NONCE);
    ocsp_answer_fini(&answer);
    sbuf_fini(&der);
    return status;
}

START_TEST(requests_and_answers_of_the_openssl_program) {
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(status_by_openssl("V\t400101000000Z\t"), OCSP_GOOD);
    ck_assert_int_eq(status_by_openssl("R\t400101000000Z\t200101000000Z,keyCompromise"), OCSP_REVOKED);
    static const char *const names[] = {"request", "response", "index", "ca", "signer", "key", "log"};
    char path[128];
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        (void)unlink(path);
    }
    ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

START_TEST(urls_of_a_certificate) {
    struct testpki named = testpki_make(&(struct testpki_spec){
        .cn = "x",
        .issuer = &mid,
        .extra = {{"authorityInfoAccess",
                   "caIssuers;URI:http://ca.test/,OCSP;URI:http://a.test/,OCSP;URI:ldap://b.test/,"
                   "OCSP;URI:HTTP://c.test/x"}}});
    char *urls[4];
    ck_assert_uint_eq(ocsp_urls(named.cert, urls, 4), 2);
    ck_assert_str_eq(urls[0], "http://a.test/");
    ck_assert_str_eq(urls[1], "HTTP://c.test/x");
    mem_free(urls[0]);
    mem_free(urls[1]);
    ck_assert_uint_eq(ocsp_urls(named.cert, urls, 1), 1);
    mem_free(urls[0]);
    ck_assert_uint_eq(ocsp_urls(leaf.cert, urls, 4), 0);
    testpki_free(&named);
}
END_TEST

Suite *pki_ocsp_suite(void);
Suite *pki_ocsp_suite(void) {
    Suite *suite = suite_create("ocsp");
    TCase *tc = tcase_create("ocsp");
    tcase_add_unchecked_fixture(tc, make_pki, free_pki);
    tcase_add_test(tc, good_revoked_and_unknown);
    tcase_add_test(tc, the_answer_is_about_this_certificate);
    tcase_add_test(tc, of_several_answers_revoked_counts_else_the_newest);
    tcase_add_test(tc, only_the_ca_and_its_delegates_may_answer_sec_33);
    tcase_add_test(tc, a_delegate_is_named_to_the_caller);
    tcase_add_test(tc, dates_with_some_skew_sec_46);
    tcase_add_test(tc, nonces);
    tcase_add_test(tc, what_is_not_understood_is_no_answer);
    tcase_add_test(tc, no_changed_byte_passes_sec_33);
    tcase_add_test(tc, requests_and_answers_of_the_openssl_program);
    tcase_add_test(tc, urls_of_a_certificate);
    suite_add_tcase(suite, tc);
    return suite;
}
