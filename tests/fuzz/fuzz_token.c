/*
 * fuzz_token: what a client puts into its cookies and a worker into its questions. Whatever a Cookie header holds,
 * nothing that could be read as our cookie passes and the rest is as it came; no token but our own is taken; claims are
 * within their bounds or refused, and what is accepted is written as the same bytes.
 */
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "session/claims.h"
#include "session/cookie.h"
#include "session/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_cookie(struct slice header) {
    struct arena *arena = arena_new(4096);
    struct slice value = SLICE_NONE, kept = cookie_strip(header, arena);
    size_t count = cookie_find(header, &value);
    INVARIANT(kept.len <= header.len);
    INVARIANT(cookie_find(kept, &value) == 0);
    INVARIANT(count > 0 || (kept.ptr == header.ptr && kept.len == header.len));
    arena_free(arena);
}

static void try_token(struct slice text) {
    static struct key_set *keys;
    static struct token_key *key;
    struct err err;
    struct session session;
    if (!keys) {
        struct sbuf set;
        sbuf_init(&set, 8192);
        key = token_key_make(TOKEN_ES256, 1800000000, &err);
        struct slice certificate = token_key_certificate(key);
        key_set_write(&certificate, 1, &set);
        keys = key_set_read(sbuf_slice(&set), &err);
        sbuf_fini(&set);
    }
    const struct jwt_expected expected = {
        .keys = keys, .issuer = SLICE("https://a.test"), .hostname = SLICE("a.test"), .now = 1800000000};
    INVARIANT(jwt_verify(text, &expected, &session) != JWT_GOOD);
    /* As a payload that is signed: anything may be in it but nothing breaks. */
    struct sbuf token;
    sbuf_init(&token, (size_t)2 * JWT_SIZE_MAX);
    if (text.len < JWT_SIZE_MAX / 2 && jwt_sign(key, text, &token, &err) == 0 &&
        jwt_verify(sbuf_slice(&token), &expected, &session) == JWT_GOOD)
        session_fini(&session);
    sbuf_fini(&token);
}

static void try_claims(struct slice text) {
    struct claims claims;
    struct sbuf again;
    if (!claims_read(text, &claims))
        return;
    sbuf_init(&again, 64 * 1024);
    claims_write(&claims, &again);
    INVARIANT(again.len == text.len && memcmp(sbuf_slice(&again).ptr, text.ptr, text.len) == 0);
    sbuf_clear(&again);
    claims_write_payload(&claims, &(struct claims_terms){SLICE("https://a.test"), 1, 2}, &again);
    INVARIANT(!again.overflow && claims.name_count <= CLAIMS_NAMES_MAX);
    sbuf_fini(&again);
}

/* The first byte says which. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err;
    struct slice rest = slice_make(data + 1, size - 1);
    if (size == 0)
        return 0;
    switch (data[0] % 4) {
    case 0:
        try_cookie(rest);
        break;
    case 1:
        try_token(rest);
        break;
    case 2:
        try_claims(rest);
        break;
    default: {
        struct key_set *keys = key_set_read(rest, &err);
        key_set_free(&keys);
    }
    }
    return 0;
}
