/* session_rig: see the header. */
#include "session_rig.h"

#include <check.h>

#include "base/encode.h"

const struct token_key *rig_key(enum token_algorithm algorithm, unsigned which) {
    static struct token_key *keys[2][2];
    struct err err;
    if (!keys[algorithm][which])
        keys[algorithm][which] = token_key_make(algorithm, RIG_NOW, &err);
    ck_assert_ptr_nonnull(keys[algorithm][which]);
    return keys[algorithm][which];
}

struct key_set *rig_set(const struct token_key *current, const struct token_key *other) {
    struct slice certificates[2] = {token_key_certificate(current), other ? token_key_certificate(other) : SLICE_NONE};
    struct sbuf text;
    struct err err;
    sbuf_init(&text, 64 * 1024);
    key_set_write(certificates, other ? 2 : 1, &text);
    struct key_set *set = key_set_read(sbuf_slice(&text), &err);
    sbuf_fini(&text);
    ck_assert_ptr_nonnull(set);
    return set;
}

struct claims rig_claims(void) {
    struct claims claims = {.audience = SLICE(RIG_AUDIENCE),
                            .hostname = SLICE(RIG_HOST),
                            .session_s = 3600,
                            .has_certificate = true,
                            .leaf_sha256 = {1, 2, 3},
                            .anchor_sha256 = {4, 5, 6},
                            .not_after = RIG_NOW + 86400,
                            .common_name = SLICE("James Royal"),
                            .subject_dn = SLICE("CN=James Royal,O=Access"),
                            .issuer_dn = SLICE("CN=Devices CA"),
                            .serial = SLICE("0A3F"),
                            .ca_bundle = SLICE("devices")};
    claims_add_name(&claims, CLAIMS_URI, SLICE("spiffe://example.test/a"));
    claims_add_name(&claims, CLAIMS_DNS, SLICE("a.example.test"));
    claims_add_name(&claims, CLAIMS_DNS, SLICE("b.example.test"));
    return claims;
}

static struct sbuf token;

static void clear(void) {
    if (token.limit == 0)
        sbuf_init(&token, 64 * 1024);
    sbuf_clear(&token);
}

struct slice rig_token(const struct token_key *key, const struct claims *claims) {
    const struct claims_terms terms = {SLICE(RIG_ISSUER), RIG_NOW, RIG_NOW + claims->session_s};
    struct sbuf payload;
    struct err err;
    sbuf_init(&payload, 64 * 1024);
    claims_write_payload(claims, &terms, &payload);
    clear();
    ck_assert_int_eq(jwt_sign(key, sbuf_slice(&payload), &token, &err), 0);
    sbuf_fini(&payload);
    return sbuf_slice(&token);
}

struct slice rig_forge(const struct token_key *key, const char *header, const char *payload) {
    uint8_t signature[TOKEN_SIGNATURE_MAX];
    size_t size = 0;
    struct err err;
    clear();
    base64url_encode(slice_of(header), &token);
    sbuf_append_char(&token, '.');
    base64url_encode(slice_of(payload), &token);
    if (key)
        ck_assert_int_eq(token_key_sign(key, sbuf_slice(&token), signature, &size, &err), 0);
    sbuf_append_char(&token, '.');
    base64url_encode(slice_make(signature, size), &token);
    return sbuf_slice(&token);
}
