/* What a worker states arrives as stated or not at all, and becomes the documented payload. */
#include <check.h>
#include <string.h>

#include "base/mem.h"
#include "session_rig.h"

static struct sbuf wire, json;

static void set_up(void) {
    sbuf_init(&wire, 64 * 1024);
    sbuf_init(&json, 64 * 1024);
}

static void tear_down(void) {
    sbuf_fini(&wire);
    sbuf_fini(&json);
}

static const char *payload(const struct claims *claims) {
    const struct claims_terms terms = {SLICE(RIG_ISSUER), 1700000000, 1700086400};
    sbuf_clear(&json);
    claims_write_payload(claims, &terms, &json);
    return sbuf_text(&json);
}

START_TEST(the_payload_is_as_documented) {
    struct claims claims = rig_claims();
    ck_assert_str_eq(payload(&claims),
                     "{\"type\":\"app\",\"aud\":[\"" RIG_AUDIENCE
                     "\"],\"iat\":1700000000,\"exp\":1700086400,\"iss\":\"" RIG_ISSUER
                     "\",\"common_name\":\"James Royal\",\"sub\":\"\",\"cnf\":{\"x5t#S256\":"
                     "\"AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"},\"sallyport\":{\"hostname\":\"" RIG_HOST
                     "\",\"ca_bundle\":\"devices\","
                     "\"ca_sha256\":\"0405060000000000000000000000000000000000000000000000000000000000\","
                     "\"subject_dn\":\"CN=James Royal,O=Access\",\"issuer_dn\":\"CN=Devices CA\",\"serial\":\"0A3F\","
                     "\"not_after\":1800086400,\"san\":{\"dns\":[\"a.example.test\",\"b.example.test\"],"
                     "\"uri\":[\"spiffe://example.test/a\"]}}}");
}
END_TEST

START_TEST(without_a_certificate_nothing_is_said_of_one) {
    struct claims claims = {.audience = SLICE(RIG_AUDIENCE), .hostname = SLICE(RIG_HOST), .session_s = 60};
    ck_assert_str_eq(payload(&claims), "{\"type\":\"app\",\"aud\":[\"" RIG_AUDIENCE
                                       "\"],\"iat\":1700000000,\"exp\":1700086400,\"iss\":\"" RIG_ISSUER
                                       "\",\"sub\":\"\",\"sallyport\":{\"hostname\":\"" RIG_HOST "\"}}");
}
END_TEST

START_TEST(sec_14_a_name_cannot_leave_its_string) {
    struct claims claims = rig_claims();
    claims.common_name = SLICE("x\",\"aud\":[\"y\"],\"z\":\"");
    ck_assert_ptr_nonnull(strstr(payload(&claims), "\"x\\\",\\\"aud\\\":[\\\"y\\\"],\\\"z\\\":\\\"\""));
}
END_TEST

START_TEST(what_is_written_is_read) {
    struct claims claims = rig_claims(), read;
    claims.certificate = SLICE("der");
    claims.chain[claims.chain_count++] = SLICE("der of the issuer");
    claims.is_cut = true;
    claims_write(&claims, &wire);
    ck_assert(claims_read(sbuf_slice(&wire), &read));
    char *before = mem_strdup(payload(&claims));
    ck_assert_str_eq(payload(&read), before);
    ck_assert_int_eq(read.session_s, 3600);
    mem_free(before);
    for (size_t i = 0; i < wire.len; i++)
        (void)claims_read(slice_first(sbuf_slice(&wire), i), &read);
    ck_assert(!claims_read(slice_first(sbuf_slice(&wire), wire.len - 1), &read));
}
END_TEST

START_TEST(only_what_always_is_there_is_needed) {
    struct claims claims = {.audience = SLICE(RIG_AUDIENCE), .hostname = SLICE(RIG_HOST), .session_s = 60}, read;
    claims_write(&claims, &wire);
    ck_assert(claims_read(sbuf_slice(&wire), &read));
    ck_assert(!read.has_certificate);
    ck_assert(!claims_read(SLICE_NONE, &read));
}
END_TEST

static char long_text[CLAIMS_TEXT_MAX + 1], long_der[CLAIMS_CERTIFICATE_MAX + 1];

static void change(struct claims *claims, int how) {
    memset(long_text, 'x', sizeof long_text);
    switch (how) {
    case 0:
        claims->audience = SLICE("0123");
        break;
    case 1:
        claims->audience = SLICE("x123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
        break;
    case 2:
        claims->session_s = 0;
        break;
    case 3:
        claims->session_s = -1;
        break;
    case 4:
        claims->session_s = (int64_t)400 * 24 * 3600;
        break;
    case 5:
        claims->common_name = slice_make(long_text, sizeof long_text);
        break;
    case 6:
        claims->common_name = SLICE("not UTF-8: \xff");
        break;
    case 7:
        claims->subject_dn = SLICE("two\nlines");
        break;
    case 8:
        claims->certificate = slice_make(long_der, sizeof long_der);
        break;
    case 9:
        claims->chain[claims->chain_count++] = SLICE("a chain without a certificate");
        break;
    case 10:
        claims->certificate = slice_make(long_der, CLAIMS_CERTIFICATE_MAX);
        claims->chain[claims->chain_count++] = SLICE("together too long");
        break;
    case 11:
        claims->hostname = SLICE_NONE;
        break;
    case 12:
        claims->not_after = -1;
        break;
    default:
        claims->subject_dn = claims->issuer_dn = claims->ca_bundle = slice_make(long_text, CLAIMS_TEXT_MAX);
    }
}

START_TEST(what_is_out_of_bounds_is_refused) {
    struct claims claims = rig_claims(), read;
    change(&claims, _i);
    claims_write(&claims, &wire);
    ck_assert(!claims_read(sbuf_slice(&wire), &read));
}
END_TEST

START_TEST(a_field_that_is_there_twice_or_out_of_order_is_refused) {
    struct claims claims = rig_claims(), read;
    claims_write(&claims, &wire);
    sbuf_append(&wire, slice_first(sbuf_slice(&wire), 3 + 64));
    ck_assert(!claims_read(sbuf_slice(&wire), &read));
}
END_TEST

START_TEST(sec_16_what_does_not_fit_is_left_out_and_said) {
    struct claims claims = rig_claims();
    for (int i = 0; i < CLAIMS_NAMES_MAX; i++)
        claims_add_name(&claims, CLAIMS_DNS, SLICE("another"));
    ck_assert_uint_eq(claims.name_count, CLAIMS_NAMES_MAX);
    ck_assert(claims.is_cut);
    ck_assert_ptr_nonnull(strstr(payload(&claims), "\"is_cut\":true"));
    memset(long_text, 'x', sizeof long_text);
    claims = rig_claims();
    claims.subject_dn = slice_make(long_text, sizeof long_text);
    claims_fit(&claims);
    ck_assert(claims.is_cut);
    ck_assert_uint_eq(claims.subject_dn.len, 0);
}
END_TEST

START_TEST(what_fits_is_read_by_control) {
    struct claims claims = rig_claims(), read;
    memset(long_text, 'x', sizeof long_text);
    claims.name_count = 0;
    claims.subject_dn = claims.issuer_dn = claims.common_name = claims.ca_bundle =
        slice_make(long_text, CLAIMS_TEXT_MAX);
    claims_fit(&claims);
    for (int i = 0; i < 40; i++)
        claims_add_name(&claims, CLAIMS_DNS, slice_make(long_text, (size_t)(i % 60) + 1));
    claims_write(&claims, &wire);
    ck_assert(claims_read(sbuf_slice(&wire), &read));
    ck_assert(read.is_cut);
}
END_TEST

Suite *session_claims_suite(void);
Suite *session_claims_suite(void) {
    Suite *suite = suite_create("session/claims");
    TCase *tcase = tcase_create("claims");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, the_payload_is_as_documented);
    tcase_add_test(tcase, without_a_certificate_nothing_is_said_of_one);
    tcase_add_test(tcase, sec_14_a_name_cannot_leave_its_string);
    tcase_add_test(tcase, what_is_written_is_read);
    tcase_add_test(tcase, only_what_always_is_there_is_needed);
    tcase_add_loop_test(tcase, what_is_out_of_bounds_is_refused, 0, 14);
    tcase_add_test(tcase, a_field_that_is_there_twice_or_out_of_order_is_refused);
    tcase_add_test(tcase, sec_16_what_does_not_fit_is_left_out_and_said);
    tcase_add_test(tcase, what_fits_is_read_by_control);
    suite_add_tcase(suite, tcase);
    return suite;
}
