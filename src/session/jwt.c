/*
 * jwt: see the header. The order of checks: form, key, signature, and only then what the payload says, so that nothing
 * of it is looked at that this gateway did not write. jansson reads the two JSON parts; a member that is there twice
 * makes the token malformed.
 */
#include "session/jwt.h"

#include <jansson.h>
#include <string.h>

#include "base/encode.h"
#include "base/mem.h"

#define SKEW_S 60
#define KID_MAX 64

static const char *const fault_names[] = {[JWT_GOOD] = "good",
                                          [JWT_MALFORMED] = "malformed",
                                          [JWT_ALGORITHM] = "wrong algorithm",
                                          [JWT_UNKNOWN_KEY] = "unknown key",
                                          [JWT_SIGNATURE] = "wrong signature",
                                          [JWT_ISSUER] = "another issuer",
                                          [JWT_AUDIENCE] = "another application",
                                          [JWT_HOSTNAME] = "another hostname",
                                          [JWT_NOT_YET] = "not yet valid",
                                          [JWT_EXPIRED] = "expired"};

const char *jwt_fault_name(enum jwt_fault fault) { return fault_names[fault]; }

/* ---- making ---- */

int jwt_sign(const struct token_key *key, struct slice payload, struct sbuf *out, struct err *err) {
    char header[160];
    uint8_t signature[TOKEN_SIGNATURE_MAX];
    size_t size = 0, before = out->len;
    int len = snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
                       token_algorithm_name(token_key_algorithm(key)), token_key_id(key));
    base64url_encode(slice_make(header, (size_t)len), out);
    sbuf_append_char(out, '.');
    base64url_encode(payload, out);
    if (out->overflow)
        return err_set(err, "the token is too long");
    if (token_key_sign(key, slice_after(sbuf_slice(out), before), signature, &size, err) != 0)
        return -1;
    sbuf_append_char(out, '.');
    base64url_encode(slice_make(signature, size), out);
    return out->overflow ? err_set(err, "the token is too long") : 0;
}

/* ---- checking ---- */

struct parts {
    struct slice header, payload, signature; /* as they came */
    struct slice is_signed;                  /* header.payload */
};

static bool cut(struct slice token, struct parts *parts) {
    struct slice rest = slice_cut(token, '.', &parts->header);
    rest = slice_cut(rest, '.', &parts->payload);
    parts->signature = rest;
    parts->is_signed = slice_first(token, parts->header.len + 1 + parts->payload.len);
    return token.len <= JWT_SIZE_MAX && parts->header.len > 0 && parts->payload.len > 0 && rest.len > 0;
}

/* The JSON object of a part; NULL if it is none. */
static json_t *decode(struct slice part) {
    struct sbuf text;
    json_t *object = NULL;
    sbuf_init(&text, JWT_SIZE_MAX);
    if (base64url_decode(part, &text))
        object = json_loadb(sbuf_slice(&text).ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    sbuf_fini(&text);
    if (json_is_object(object))
        return object;
    json_decref(object);
    return NULL;
}

/* Empty if it is not there or not a string. */
static struct slice text_of(const json_t *object, const char *member) {
    const json_t *value = json_object_get(object, member);
    return json_is_string(value) ? slice_make(json_string_value(value), json_string_length(value)) : SLICE_NONE;
}

static enum jwt_fault check_signature(const struct parts *parts, const struct key_set *keys) {
    json_t *header = decode(parts->header);
    struct sbuf signature;
    enum jwt_fault fault = JWT_GOOD;
    sbuf_init(&signature, TOKEN_SIGNATURE_MAX + 4);
    const struct token_key *key = key_set_find(keys, text_of(header, "kid"));
    struct slice algorithm = text_of(header, "alg");
    bool is_ours = slice_eq_str(algorithm, "RS256") || slice_eq_str(algorithm, "ES256");
    if (!header || json_object_get(header, "crit"))
        fault = JWT_MALFORMED;
    else if (!is_ours)
        fault = JWT_ALGORITHM;
    else if (!key)
        fault = JWT_UNKNOWN_KEY;
    else if (!slice_eq_str(algorithm, token_algorithm_name(token_key_algorithm(key))))
        fault = JWT_ALGORITHM;
    else if (!base64url_decode(parts->signature, &signature))
        fault = JWT_MALFORMED;
    else if (!token_key_verify(key, parts->is_signed, sbuf_slice(&signature)))
        fault = JWT_SIGNATURE;
    sbuf_fini(&signature);
    json_decref(header);
    return fault;
}

static bool has_audience(const json_t *payload, struct slice audience) {
    const json_t *list = json_object_get(payload, "aud");
    if (audience.len == 0)
        return true;
    if (json_is_string(list))
        return slice_eq(text_of(payload, "aud"), audience);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *value = json_array_get(list, i);
        if (json_is_string(value) &&
            slice_eq(slice_make(json_string_value(value), json_string_length(value)), audience))
            return true;
    }
    return false;
}

/* False for another type; *out stays when it is not there. */
static bool take_time(const json_t *payload, const char *member, int64_t *out) {
    const json_t *value = json_object_get(payload, member);
    if (!value)
        return true;
    *out = json_integer_value(value);
    return json_is_integer(value) && *out >= 0;
}

static enum jwt_fault check_payload(const json_t *payload, const struct jwt_expected *expected,
                                    struct session *session) {
    int64_t not_before = 0, issued_at = -1, expires_at = -1;
    const json_t *ours = json_object_get(payload, "sallyport");
    if (!take_time(payload, "nbf", &not_before) || !take_time(payload, "iat", &issued_at) ||
        !take_time(payload, "exp", &expires_at) || issued_at < 0 || expires_at <= issued_at || !json_is_object(ours) ||
        !slice_eq_str(text_of(payload, "type"), "app"))
        return JWT_MALFORMED;
    struct slice name = text_of(payload, "common_name");
    session->common_name = name.len > 0 ? mem_strndup(name.ptr, name.len) : NULL;
    session->issued_at = issued_at;
    session->expires_at = expires_at;
    if (!slice_eq(text_of(payload, "iss"), expected->issuer))
        return JWT_ISSUER;
    if (!has_audience(payload, expected->audience))
        return JWT_AUDIENCE;
    if (!slice_eq(text_of(ours, "hostname"), expected->hostname))
        return JWT_HOSTNAME;
    if (not_before > expected->now + SKEW_S || issued_at > expected->now + SKEW_S)
        return JWT_NOT_YET;
    return expires_at <= expected->now ? JWT_EXPIRED : JWT_GOOD;
}

static struct cert *decode_certificate(const json_t *value) {
    struct sbuf der;
    struct cert *cert = NULL;
    sbuf_init(&der, JWT_SIZE_MAX);
    if (json_is_string(value) && base64_decode(slice_make(json_string_value(value), json_string_length(value)), &der))
        cert = cert_from_der(sbuf_slice(&der), NULL);
    sbuf_fini(&der);
    return cert;
}

static bool take_chain(const json_t *ours, struct session *session) {
    const json_t *chain = json_object_get(ours, "chain");
    for (size_t i = 0; i < json_array_size(chain); i++) {
        struct cert *cert = decode_certificate(json_array_get(chain, i));
        if (!cert)
            return false;
        cert_list_add(&session->chain, cert);
        cert_unref(&cert);
    }
    return true;
}

/* The digest binds the token to the certificate, and the certificate in the token to the digest. */
static bool take_certificate(const json_t *payload, struct session *session) {
    const json_t *cnf = json_object_get(payload, "cnf"), *ours = json_object_get(payload, "sallyport");
    const json_t *certificate = json_object_get(ours, "certificate");
    struct sbuf digest;
    if (!cnf)
        return !certificate;
    sbuf_init(&digest, 64);
    bool is_good = base64url_decode(text_of(cnf, "x5t#S256"), &digest) && digest.len == SHA256_SIZE;
    if (is_good)
        memcpy(session->leaf_sha256, sbuf_slice(&digest).ptr, SHA256_SIZE);
    sbuf_fini(&digest);
    session->has_certificate = is_good;
    if (!is_good || !certificate)
        return is_good;
    session->certificate = decode_certificate(certificate);
    return session->certificate && memcmp(cert_sha256(session->certificate), session->leaf_sha256, SHA256_SIZE) == 0 &&
           take_chain(ours, session);
}

enum jwt_fault jwt_verify(struct slice token, const struct jwt_expected *expected, struct session *session_out) {
    struct parts parts;
    *session_out = (struct session){.issued_at = 0};
    if (!cut(token, &parts))
        return JWT_MALFORMED;
    enum jwt_fault fault = check_signature(&parts, expected->keys);
    if (fault != JWT_GOOD)
        return fault;
    json_t *payload = decode(parts.payload);
    fault = payload ? check_payload(payload, expected, session_out) : JWT_MALFORMED;
    if (fault == JWT_GOOD && !take_certificate(payload, session_out))
        fault = JWT_MALFORMED;
    json_decref(payload);
    if (fault != JWT_GOOD)
        session_fini(session_out);
    return fault;
}

void session_fini(struct session *session) {
    mem_free(session->common_name);
    cert_unref(&session->certificate);
    cert_list_fini(&session->chain);
    *session = (struct session){.issued_at = 0};
}
