/* What a lying worker can get signed: nothing that is not configured, for no longer than configured. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/signer.h"
#include "session/jwt.h"

#define NOW 1800000000
#define AUD_A "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
/* SHA-256 of "b" */
#define AUD_B "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"
#define HOURS 3600
#define CONFIG                                                                                                   \
    "listeners: [{address: '*:1'}]\n"                                                                            \
    "hostnames: [{name: a.test, certificate: c, private_key: k, upstream: builtin:whoami}]\n"                    \
    "applications:\n"                                                                                            \
    "- {name: a, domain: a.test/a, aud: " AUD_A                                                                  \
    ", session_duration: 2h, policies: [{name: p, decision: service_auth, include: "                             \
    "[{everyone: {}}]}, {name: q, decision: service_auth, session_duration: 5h, include: [{everyone: {}}]}]}\n"  \
    "- {name: b, domain: a.test/b, session_duration: 0s, policies: [{name: p, decision: service_auth, include: " \
    "[{everyone: {}}]}]}\n"

static char directory[64];
static struct conf *conf;
static struct signer *signer;
static struct sbuf answer;
static struct err err;

static void open_signer(const char *tokens) {
    struct conf_messages messages;
    struct sbuf text;
    conf_messages_init(&messages, "f");
    sbuf_init(&text, 1 << 20);
    sbuf_append_str(&text, CONFIG);
    sbuf_append_str(&text, tokens);
    conf = conf_parse(sbuf_slice(&text), "f", ".", &messages);
    sbuf_clear(&text);
    conf_messages_print(&messages, &text);
    ck_assert_msg(conf != NULL, "%s", sbuf_text(&text));
    sbuf_fini(&text);
    conf_messages_fini(&messages);
    signer = signer_new(conf, directory);
    ck_assert_int_eq(signer_open(signer, NOW, &err), 0);
}

static void set_up(void) {
    strcpy(directory, "/tmp/signer-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    sbuf_init(&answer, JWT_SIZE_MAX);
}

static void tear_down(void) {
    char command[128];
    signer_free(&signer);
    conf_free(&conf);
    sbuf_fini(&answer);
    snprintf(command, sizeof command, "rm -r %s", directory);
    ck_assert_int_eq(system(command), 0);
}

static struct claims claims_for(const char *audience) {
    return (struct claims){.audience = slice_of(audience),
                           .hostname = SLICE("a.test"),
                           .session_s = 1 * HOURS,
                           .has_certificate = true,
                           .not_after = NOW + 100 * HOURS,
                           .common_name = SLICE("alice")};
}

/* How long the token is valid; 0: it was not signed. What it says is checked as a worker would. */
static int64_t sign(const struct claims *claims, const char *issuer) {
    struct session session;
    struct sbuf text;
    int64_t times[2];
    sbuf_clear(&answer);
    if (signer_sign(signer, claims, NOW, &answer, &err) != 0)
        return 0;
    memcpy(times, sbuf_slice(&answer).ptr, sizeof times);
    sbuf_init(&text, 64 * 1024);
    key_ring_write_set(signer_ring(signer), NOW, &text);
    struct key_set *keys = key_set_read(sbuf_slice(&text), &err);
    const struct jwt_expected expected = {.keys = keys,
                                          .issuer = slice_of(issuer),
                                          .audience = claims->audience,
                                          .hostname = claims->hostname,
                                          .now = NOW};
    ck_assert_int_eq(jwt_verify(slice_after(sbuf_slice(&answer), sizeof times), &expected, &session), JWT_GOOD);
    ck_assert_int_eq(session.issued_at, NOW);
    ck_assert_int_eq(times[0], session.issued_at);
    ck_assert_int_eq(times[1], session.expires_at);
    session_fini(&session);
    key_set_free(&keys);
    sbuf_fini(&text);
    return times[1] - times[0];
}

START_TEST(only_configured_applications_are_known) {
    open_signer("tokens: {algorithm: ES256}\n");
    ck_assert(signer_knows(signer, SLICE(AUD_A)));
    ck_assert(signer_knows(signer, SLICE(AUD_B)));
    ck_assert(!signer_knows(signer, SLICE("ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb")));
    ck_assert(!signer_knows(signer, SLICE_NONE));
}
END_TEST

START_TEST(a_session_is_as_long_as_the_application_allows_at_most) {
    open_signer("tokens: {algorithm: ES256}\n");
    struct claims a = claims_for(AUD_A), b = claims_for(AUD_B);
    ck_assert_int_eq(sign(&a, "https://a.test"), 1 * HOURS);
    a.session_s = 300 * 24 * HOURS;
    ck_assert_int_eq(sign(&a, "https://a.test"), 5 * HOURS);
    ck_assert_int_eq(sign(&b, "https://a.test"), 60);
}
END_TEST

START_TEST(no_token_outlives_its_certificate) {
    open_signer("tokens: {algorithm: ES256}\n");
    struct claims claims = claims_for(AUD_A);
    claims.not_after = NOW + 7;
    ck_assert_int_eq(sign(&claims, "https://a.test"), 7);
    claims.not_after = NOW;
    ck_assert_int_eq(sign(&claims, "https://a.test"), 0);
    claims.has_certificate = false;
    ck_assert_int_eq(sign(&claims, "https://a.test"), 1 * HOURS);
}
END_TEST

START_TEST(no_token_outlives_its_key) {
    open_signer("tokens: {algorithm: ES256, key_rotation: 40s, key_overlap: 10s}\n");
    struct claims claims = claims_for(AUD_A);
    ck_assert_int_eq(sign(&claims, "https://a.test"), 50);
}
END_TEST

START_TEST(the_issuer_is_the_configured_one) {
    open_signer("tokens: {algorithm: ES256, issuer: 'https://access.test'}\n");
    struct claims claims = claims_for(AUD_A);
    ck_assert_int_gt(sign(&claims, "https://access.test"), 0);
}
END_TEST

/* The most that claims_read() lets through; quotes double in JSON. */
START_TEST(the_longest_claims_are_signed_or_refused_as_a_whole) {
    static char der[CLAIMS_CERTIFICATE_MAX], text[CLAIMS_TEXT_MAX];
    open_signer("tokens: {algorithm: ES256}\n");
    struct claims claims = claims_for(AUD_A);
    memset(text, 'x', sizeof text);
    claims.subject_dn = claims.issuer_dn = slice_make(text, sizeof text);
    claims.certificate = slice_make(der, sizeof der);
    sbuf_clear(&answer);
    ck_assert_int_eq(signer_sign(signer, &claims, NOW, &answer, &err), 0);
    memset(text, '"', sizeof text);
    claims.ca_bundle = slice_make(text, 400);
    sbuf_clear(&answer);
    ck_assert_int_eq(signer_sign(signer, &claims, NOW, &answer, &err), -1);
}
END_TEST

Suite *app_signer_suite(void);
Suite *app_signer_suite(void) {
    Suite *suite = suite_create("app/signer");
    TCase *tcase = tcase_create("signer");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, only_configured_applications_are_known);
    tcase_add_test(tcase, a_session_is_as_long_as_the_application_allows_at_most);
    tcase_add_test(tcase, no_token_outlives_its_certificate);
    tcase_add_test(tcase, no_token_outlives_its_key);
    tcase_add_test(tcase, the_issuer_is_the_configured_one);
    tcase_add_test(tcase, the_longest_claims_are_signed_or_refused_as_a_whole);
    suite_add_tcase(suite, tcase);
    return suite;
}
