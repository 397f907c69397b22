/* What control signs a worker takes; what anybody else makes of it, nobody. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/mem.h"
#include "session_rig.h"

static struct key_set *keys;
static struct session session;

static struct jwt_expected expected(void) {
    return (struct jwt_expected){.keys = keys,
                                 .issuer = SLICE(RIG_ISSUER),
                                 .audience = SLICE(RIG_AUDIENCE),
                                 .hostname = SLICE(RIG_HOST),
                                 .now = RIG_NOW + 10};
}

static enum jwt_fault check(struct slice token) {
    struct jwt_expected want = expected();
    return jwt_verify(token, &want, &session);
}

static void set_up(void) { keys = rig_set(rig_key(TOKEN_RS256, 0), rig_key(TOKEN_ES256, 0)); }

static void tear_down(void) {
    session_fini(&session);
    key_set_free(&keys);
}

START_TEST(what_control_signs_is_taken) {
    struct claims claims = rig_claims();
    ck_assert_int_eq(check(rig_token(rig_key((enum token_algorithm)_i, 0), &claims)), JWT_GOOD);
    ck_assert_int_eq(session.issued_at, RIG_NOW);
    ck_assert_int_eq(session.expires_at, RIG_NOW + 3600);
    ck_assert(session.has_certificate);
    ck_assert_mem_eq(session.leaf_sha256, claims.leaf_sha256, SHA256_SIZE);
    ck_assert_ptr_null(session.certificate);
}
END_TEST

START_TEST(a_client_without_a_certificate_has_a_token_too) {
    struct claims claims = {.audience = SLICE(RIG_AUDIENCE), .hostname = SLICE(RIG_HOST), .session_s = 60};
    ck_assert_int_eq(check(rig_token(rig_key(TOKEN_ES256, 0), &claims)), JWT_GOOD);
    ck_assert(!session.has_certificate);
}
END_TEST

START_TEST(every_bit_counts) {
    struct claims claims = rig_claims();
    struct slice token = rig_token(rig_key(TOKEN_ES256, 0), &claims);
    char *copy = mem_dup(token.ptr, token.len);
    for (size_t i = 0; i < token.len; i++) {
        copy[i] ^= 1;
        ck_assert_int_ne(check(slice_make(copy, token.len)), JWT_GOOD);
        copy[i] ^= 1;
        ck_assert_int_ne(check(slice_make(copy, i)), JWT_GOOD);
    }
    ck_assert_int_eq(check(slice_make(copy, token.len)), JWT_GOOD);
    mem_free(copy);
}
END_TEST

#define HEADER_OF(alg, kid) "{\"alg\":\"" alg "\",\"kid\":\"" kid "\",\"typ\":\"JWT\"}"
#define BODY "\"iat\":1800000000,\"exp\":1800003600,\"iss\":\"" RIG_ISSUER "\""
#define OURS "\"sallyport\":{\"hostname\":\"" RIG_HOST "\"}"
#define GOOD "{\"type\":\"app\",\"aud\":[\"" RIG_AUDIENCE "\"]," BODY "," OURS "}"

static const struct {
    const char *what, *payload;
    enum jwt_fault fault;
} payloads[] = {
    {"good", GOOD, JWT_GOOD},
    {"aud as a string", "{\"type\":\"app\",\"aud\":\"" RIG_AUDIENCE "\"," BODY "," OURS "}", JWT_GOOD},
    {"among others", "{\"type\":\"app\",\"aud\":[\"x\",\"" RIG_AUDIENCE "\"]," BODY "," OURS "}", JWT_GOOD},
    {"nbf past", "{\"type\":\"app\",\"nbf\":1800000000,\"aud\":[\"" RIG_AUDIENCE "\"]," BODY "," OURS "}", JWT_GOOD},
    {"another application", "{\"type\":\"app\",\"aud\":[\"fedcba\"]," BODY "," OURS "}", JWT_AUDIENCE},
    {"no aud", "{\"type\":\"app\"," BODY "," OURS "}", JWT_AUDIENCE},
    {"aud of another type", "{\"type\":\"app\",\"aud\":[7]," BODY "," OURS "}", JWT_AUDIENCE},
    {"aud in an object", "{\"type\":\"app\",\"aud\":{\"a\":\"" RIG_AUDIENCE "\"}," BODY "," OURS "}", JWT_AUDIENCE},
    {"aud as a prefix", "{\"type\":\"app\",\"aud\":[\"" RIG_AUDIENCE "0\"]," BODY "," OURS "}", JWT_AUDIENCE},
    {"another hostname",
     "{\"type\":\"app\",\"aud\":[\"" RIG_AUDIENCE "\"]," BODY ",\"sallyport\":{\"hostname\":\"b\"}}", JWT_HOSTNAME},
    {"not ours", "{\"type\":\"app\",\"aud\":[\"" RIG_AUDIENCE "\"]," BODY "}", JWT_MALFORMED},
    {"another type", "{\"type\":\"org\",\"aud\":[\"" RIG_AUDIENCE "\"]," BODY "," OURS "}", JWT_MALFORMED},
    {"another issuer",
     "{\"type\":\"app\",\"aud\":[\"" RIG_AUDIENCE
     "\"],\"iat\":1800000000,\"exp\":1800003600,\"iss\":\"https://evil\"," OURS "}",
     JWT_ISSUER},
    {"expired",
     "{\"type\":\"app\",\"aud\":[\"" RIG_AUDIENCE "\"],\"iat\":1700000000,\"exp\":1800000010,\"iss\":\"" RIG_ISSUER
     "\"," OURS "}",
     JWT_EXPIRED},
    {"a second left",
     "{\"type\":\"app\",\"aud\":[\"" RIG_AUDIENCE "\"],\"iat\":1700000000,\"exp\":1800000011,\"iss\":\"" RIG_ISSUER
     "\"," OURS "}",
     JWT_GOOD},
    {"nbf to come", "{\"type\":\"app\",\"nbf\":1800000071,\"aud\":[\"" RIG_AUDIENCE "\"]," BODY "," OURS "}",
     JWT_NOT_YET},
    {"iat to come",
     "{\"type\":\"app\",\"aud\":[\"" RIG_AUDIENCE "\"],\"iat\":1800000071,\"exp\":1900000000,\"iss\":\"" RIG_ISSUER
     "\"," OURS "}",
     JWT_NOT_YET},
    {"no exp",
     "{\"type\":\"app\",\"aud\":[\"" RIG_AUDIENCE "\"],\"iat\":1800000000,\"iss\":\"" RIG_ISSUER "\"," OURS "}",
     JWT_MALFORMED},
    {"exp as text",
     "{\"type\":\"app\",\"aud\":[\"" RIG_AUDIENCE "\"],\"iat\":1800000000,\"exp\":\"1800003600\",\"iss\":\"" RIG_ISSUER
     "\"," OURS "}",
     JWT_MALFORMED},
    {"exp with a fraction",
     "{\"type\":\"app\",\"aud\":[\"" RIG_AUDIENCE "\"],\"iat\":1800000000,\"exp\":1800003600.5,\"iss\":\"" RIG_ISSUER
     "\"," OURS "}",
     JWT_MALFORMED},
    {"exp before iat",
     "{\"type\":\"app\",\"aud\":[\"" RIG_AUDIENCE "\"],\"iat\":1800000000,\"exp\":1799999999,\"iss\":\"" RIG_ISSUER
     "\"," OURS "}",
     JWT_MALFORMED},
    {"aud twice", "{\"type\":\"app\",\"aud\":[\"x\"],\"aud\":[\"" RIG_AUDIENCE "\"]," BODY "," OURS "}", JWT_MALFORMED},
    {"an array", "[]", JWT_MALFORMED},
    {"nothing", "", JWT_MALFORMED},
    {"two values", GOOD GOOD, JWT_MALFORMED},
    {"a certificate without cnf",
     "{\"type\":\"app\",\"aud\":[\"" RIG_AUDIENCE "\"]," BODY ",\"sallyport\":{\"hostname\":\"" RIG_HOST
     "\",\"certificate\":\"AAAA\"}}",
     JWT_MALFORMED},
    {"cnf that is too short",
     "{\"type\":\"app\",\"aud\":[\"" RIG_AUDIENCE "\"]," BODY "," OURS ",\"cnf\":{\"x5t#S256\":\"AAAA\"}}",
     JWT_MALFORMED},
    {"cnf of another kind", "{\"type\":\"app\",\"aud\":[\"" RIG_AUDIENCE "\"]," BODY "," OURS ",\"cnf\":{\"jwk\":{}}}",
     JWT_MALFORMED},
};

START_TEST(a_payload_must_say_what_is_asked) {
    char header[200];
    const struct token_key *key = rig_key(TOKEN_ES256, 0);
    snprintf(header, sizeof header, HEADER_OF("ES256", "%s"), token_key_id(key));
    enum jwt_fault fault = check(rig_forge(key, header, payloads[_i].payload));
    ck_assert_msg(fault == payloads[_i].fault, "%s: %s", payloads[_i].what, jwt_fault_name(fault));
}
END_TEST

/* @ is the id of the key. */
static const struct {
    const char *what, *header;
    enum jwt_fault fault;
} headers[] = {
    {"good", HEADER_OF("ES256", "@"), JWT_GOOD},
    {"none", HEADER_OF("none", "@"), JWT_ALGORITHM},
    {"None", HEADER_OF("None", "@"), JWT_ALGORITHM},
    {"HS256 with the public key", HEADER_OF("HS256", "@"), JWT_ALGORITHM},
    {"the other algorithm", HEADER_OF("RS256", "@"), JWT_ALGORITHM},
    {"a key that is not published", HEADER_OF("ES256", "0@"), JWT_UNKNOWN_KEY},
    {"no kid", "{\"alg\":\"ES256\",\"a\":\"@\"}", JWT_UNKNOWN_KEY},
    {"kid as a number", "{\"alg\":\"ES256\",\"kid\":7,\"a\":\"@\"}", JWT_UNKNOWN_KEY},
    {"no alg", "{\"kid\":\"@\"}", JWT_ALGORITHM},
    {"alg twice", "{\"alg\":\"none\",\"alg\":\"ES256\",\"kid\":\"@\"}", JWT_MALFORMED},
    {"critical extensions", "{\"alg\":\"ES256\",\"crit\":[\"b64\"],\"b64\":false,\"kid\":\"@\"}", JWT_MALFORMED},
    {"not JSON", "@", JWT_MALFORMED},
};

START_TEST(a_header_must_name_a_published_key_and_its_algorithm) {
    char header[200];
    const struct token_key *key = rig_key(TOKEN_ES256, 0);
    struct slice before, after = slice_cut(slice_of(headers[_i].header), '@', &before);
    snprintf(header, sizeof header, SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(before), token_key_id(key), SLICE_ARG(after));
    enum jwt_fault fault = check(rig_forge(key, header, GOOD));
    ck_assert_msg(fault == headers[_i].fault, "%s: %s", headers[_i].what, jwt_fault_name(fault));
}
END_TEST

START_TEST(another_key_of_the_same_kid_does_not_do) {
    char header[200];
    for (int i = 0; i < 2; i++) {
        enum token_algorithm algorithm = (enum token_algorithm)i;
        snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"%s\"}", token_algorithm_name(algorithm),
                 token_key_id(rig_key(algorithm, 0)));
        ck_assert_int_eq(check(rig_forge(rig_key(algorithm, 1), header, GOOD)), JWT_SIGNATURE);
        ck_assert_int_ne(check(rig_forge(NULL, header, GOOD)), JWT_GOOD);
    }
}
END_TEST

START_TEST(a_key_that_is_no_longer_published_does_not_do) {
    struct claims claims = rig_claims();
    key_set_free(&keys);
    keys = rig_set(rig_key(TOKEN_ES256, 1), NULL);
    ck_assert_int_eq(check(rig_token(rig_key(TOKEN_ES256, 0), &claims)), JWT_UNKNOWN_KEY);
    ck_assert_int_eq(check(rig_token(rig_key(TOKEN_ES256, 1), &claims)), JWT_GOOD);
    session_fini(&session);
    key_set_free(&keys);
    ck_assert_int_eq(check(rig_token(rig_key(TOKEN_ES256, 1), &claims)), JWT_UNKNOWN_KEY);
}
END_TEST

START_TEST(what_is_no_token_is_malformed) {
    static const char *const texts[] = {
        "", ".", "..", "a.b", "a.b.c", "eyJ.eyJ.", "e30.e30.e30", "e30=.e30.e30", "e30.e30.e30.e30", " e30.e30.e30"};
    static char huge[JWT_SIZE_MAX + 10];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        ck_assert_int_ne(check(slice_of(texts[i])), JWT_GOOD);
    memset(huge, 'A', sizeof huge);
    huge[10] = huge[20] = '.';
    ck_assert_int_eq(check(slice_make(huge, sizeof huge)), JWT_MALFORMED);
    ck_assert_int_ne(check(slice_make(huge, JWT_SIZE_MAX)), JWT_GOOD);
}
END_TEST

START_TEST(an_empty_audience_asks_for_any) {
    struct claims claims = rig_claims();
    struct jwt_expected want = expected();
    want.audience = SLICE_NONE;
    ck_assert_int_eq(jwt_verify(rig_token(rig_key(TOKEN_ES256, 0), &claims), &want, &session), JWT_GOOD);
}
END_TEST

Suite *session_jwt_suite(void);
Suite *session_jwt_suite(void) {
    Suite *suite = suite_create("session/jwt");
    TCase *tcase = tcase_create("tokens");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, what_control_signs_is_taken, 0, 2);
    tcase_add_test(tcase, a_client_without_a_certificate_has_a_token_too);
    tcase_add_test(tcase, every_bit_counts);
    tcase_add_loop_test(tcase, a_payload_must_say_what_is_asked, 0, sizeof payloads / sizeof payloads[0]);
    tcase_add_loop_test(tcase, a_header_must_name_a_published_key_and_its_algorithm, 0,
                        sizeof headers / sizeof headers[0]);
    tcase_add_test(tcase, another_key_of_the_same_kid_does_not_do);
    tcase_add_test(tcase, a_key_that_is_no_longer_published_does_not_do);
    tcase_add_test(tcase, what_is_no_token_is_malformed);
    tcase_add_test(tcase, an_empty_audience_asks_for_any);
    suite_add_tcase(suite, tcase);
    return suite;
}
