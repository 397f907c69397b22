/*
 * claims: see the header. On the wire between worker and control: fields of tag (1 byte), size (2 bytes, big-endian)
 * and bytes, each tag at most once but for names and the chain, in the order of the tags.
 */
#include "session/claims.h"

#include <string.h>

#include "base/encode.h"
#include "base/jsonw.h"

#define AUDIENCE_SIZE 64
#define HOSTNAME_MAX 255
#define SESSION_MAX ((int64_t)366 * 24 * 3600)

enum tag {
    TAG_AUDIENCE = 1,
    TAG_HOSTNAME,
    TAG_SESSION,
    TAG_LEAF_SHA256,
    TAG_ANCHOR_SHA256,
    TAG_NOT_AFTER,
    TAG_COMMON_NAME,
    TAG_SUBJECT_DN,
    TAG_ISSUER_DN,
    TAG_SERIAL,
    TAG_CA_BUNDLE,
    TAG_NAME, /* its kind, then the text */
    TAG_CUT,
    TAG_CERTIFICATE,
    TAG_CHAIN,
    TAG_END
};

static const char *const name_members[CLAIMS_NAME_KINDS] = {"dns", "uri", "email", "ip"};

/* ---- within the bounds ---- */

static size_t size_of(const struct claims *claims) {
    size_t size = claims->common_name.len + claims->subject_dn.len + claims->issuer_dn.len + claims->serial.len +
                  claims->ca_bundle.len;
    for (size_t i = 0; i < claims->name_count; i++)
        size += claims->names[i].text.len;
    return size;
}

void claims_add_name(struct claims *claims, enum claims_name kind, struct slice text) {
    if (claims->name_count == CLAIMS_NAMES_MAX || text.len > CLAIMS_TEXT_MAX ||
        size_of(claims) + text.len > CLAIMS_SIZE_MAX) {
        claims->is_cut = true;
        return;
    }
    claims->names[claims->name_count].kind = kind;
    claims->names[claims->name_count++].text = text;
}

void claims_fit(struct claims *claims) {
    struct slice *texts[] = {&claims->common_name, &claims->subject_dn, &claims->issuer_dn, &claims->serial,
                             &claims->ca_bundle};
    size_t size = 0;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i]->len <= CLAIMS_TEXT_MAX && size + texts[i]->len <= CLAIMS_SIZE_MAX) {
            size += texts[i]->len;
            continue;
        }
        *texts[i] = SLICE_NONE;
        claims->is_cut = true;
    }
}

/* ---- to control ---- */

static void put(struct sbuf *out, enum tag tag, struct slice bytes) {
    if (bytes.len == 0)
        return;
    sbuf_append_char(out, (char)tag);
    sbuf_append_char(out, (char)(bytes.len >> 8));
    sbuf_append_char(out, (char)(bytes.len & 255));
    sbuf_append(out, bytes);
}

static void put_number(struct sbuf *out, enum tag tag, int64_t value) {
    char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)((uint64_t)value >> (56 - 8 * i));
    put(out, tag, slice_make(bytes, sizeof bytes));
}

static void put_name(struct sbuf *out, enum claims_name kind, struct slice text) {
    sbuf_append_char(out, (char)TAG_NAME);
    sbuf_append_char(out, (char)((text.len + 1) >> 8));
    sbuf_append_char(out, (char)((text.len + 1) & 255));
    sbuf_append_char(out, (char)kind);
    sbuf_append(out, text);
}

void claims_write(const struct claims *claims, struct sbuf *out) {
    put(out, TAG_AUDIENCE, claims->audience);
    put(out, TAG_HOSTNAME, claims->hostname);
    put_number(out, TAG_SESSION, claims->session_s);
    if (!claims->has_certificate)
        return;
    put(out, TAG_LEAF_SHA256, slice_make(claims->leaf_sha256, CLAIMS_DIGEST_SIZE));
    put(out, TAG_ANCHOR_SHA256, slice_make(claims->anchor_sha256, CLAIMS_DIGEST_SIZE));
    put_number(out, TAG_NOT_AFTER, claims->not_after);
    put(out, TAG_COMMON_NAME, claims->common_name);
    put(out, TAG_SUBJECT_DN, claims->subject_dn);
    put(out, TAG_ISSUER_DN, claims->issuer_dn);
    put(out, TAG_SERIAL, claims->serial);
    put(out, TAG_CA_BUNDLE, claims->ca_bundle);
    for (size_t i = 0; i < claims->name_count; i++)
        put_name(out, claims->names[i].kind, claims->names[i].text);
    put(out, TAG_CUT, claims->is_cut ? SLICE("1") : SLICE_NONE);
    put(out, TAG_CERTIFICATE, claims->certificate);
    for (size_t i = 0; i < claims->chain_count; i++)
        put(out, TAG_CHAIN, claims->chain[i]);
}

/* ---- from a worker, who may lie ---- */

static bool is_text(struct slice text) {
    for (size_t len; text.len > 0; text = slice_after(text, len)) {
        len = utf8_length(text);
        if (len == 0 || (unsigned char)text.ptr[0] < ' ' || text.ptr[0] == 0x7f)
            return false;
    }
    return true;
}

static bool take_text(struct slice bytes, size_t max, struct slice *out) {
    *out = bytes;
    return bytes.len > 0 && bytes.len <= max && is_text(bytes);
}

static bool take_number(struct slice bytes, int64_t *out) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.len; i++)
        value = value << 8 | (unsigned char)bytes.ptr[i];
    *out = (int64_t)value;
    return bytes.len == 8 && value <= INT64_MAX;
}

static bool take_digest(struct slice bytes, uint8_t out[CLAIMS_DIGEST_SIZE]) {
    if (bytes.len != CLAIMS_DIGEST_SIZE)
        return false;
    memcpy(out, bytes.ptr, CLAIMS_DIGEST_SIZE);
    return true;
}

static bool take_audience(struct slice bytes, struct slice *out) {
    uint8_t digest[AUDIENCE_SIZE / 2];
    *out = bytes;
    return bytes.len == AUDIENCE_SIZE && hex_decode(bytes, digest);
}

static bool take_name(struct claims *claims, struct slice bytes) {
    struct slice text;
    unsigned kind = bytes.len ? (unsigned char)bytes.ptr[0] : CLAIMS_NAME_KINDS;
    if (claims->name_count == CLAIMS_NAMES_MAX || kind >= CLAIMS_NAME_KINDS ||
        !take_text(slice_after(bytes, 1), CLAIMS_TEXT_MAX, &text))
        return false;
    claims->names[claims->name_count].kind = (enum claims_name)kind;
    claims->names[claims->name_count++].text = text;
    return true;
}

static bool take_der(struct slice bytes, struct slice *out) {
    *out = bytes;
    return bytes.len > 0 && bytes.len <= CLAIMS_CERTIFICATE_MAX;
}

static bool take_field(struct claims *claims, enum tag tag, struct slice bytes) {
    switch (tag) {
    case TAG_AUDIENCE:
        return take_audience(bytes, &claims->audience);
    case TAG_HOSTNAME:
        return take_text(bytes, HOSTNAME_MAX, &claims->hostname);
    case TAG_SESSION:
        return take_number(bytes, &claims->session_s) && claims->session_s > 0 && claims->session_s <= SESSION_MAX;
    case TAG_LEAF_SHA256:
        claims->has_certificate = true;
        return take_digest(bytes, claims->leaf_sha256);
    case TAG_ANCHOR_SHA256:
        return take_digest(bytes, claims->anchor_sha256);
    case TAG_NOT_AFTER:
        return take_number(bytes, &claims->not_after);
    case TAG_COMMON_NAME:
        return take_text(bytes, CLAIMS_TEXT_MAX, &claims->common_name);
    case TAG_SUBJECT_DN:
        return take_text(bytes, CLAIMS_TEXT_MAX, &claims->subject_dn);
    case TAG_ISSUER_DN:
        return take_text(bytes, CLAIMS_TEXT_MAX, &claims->issuer_dn);
    case TAG_SERIAL:
        return take_text(bytes, CLAIMS_TEXT_MAX, &claims->serial);
    case TAG_CA_BUNDLE:
        return take_text(bytes, CLAIMS_TEXT_MAX, &claims->ca_bundle);
    case TAG_NAME:
        return take_name(claims, bytes);
    case TAG_CUT:
        claims->is_cut = true;
        return slice_eq_str(bytes, "1");
    case TAG_CERTIFICATE:
        return take_der(bytes, &claims->certificate);
    case TAG_CHAIN:
        return claims->chain_count < CLAIMS_CHAIN_MAX && take_der(bytes, &claims->chain[claims->chain_count++]);
    case TAG_END:
        break;
    }
    return false;
}

/* What was to be there is, and nothing that needs something else is there alone. */
static bool is_whole(const struct claims *claims, uint32_t seen) {
    uint32_t always = 1u << TAG_AUDIENCE | 1u << TAG_HOSTNAME | 1u << TAG_SESSION;
    uint32_t certificate = 1u << TAG_LEAF_SHA256 | 1u << TAG_ANCHOR_SHA256 | 1u << TAG_NOT_AFTER;
    size_t size = claims->certificate.len;
    for (size_t i = 0; i < claims->chain_count; i++)
        size += claims->chain[i].len;
    if ((seen & always) != always || size > CLAIMS_CERTIFICATE_MAX || size_of(claims) > CLAIMS_SIZE_MAX ||
        (claims->chain_count > 0 && claims->certificate.len == 0))
        return false;
    return claims->has_certificate ? (seen & certificate) == certificate : seen == always;
}

bool claims_read(struct slice text, struct claims *claims_out) {
    uint32_t seen = 0;
    unsigned last = 0;
    *claims_out = (struct claims){.session_s = 0};
    while (text.len >= 3) {
        unsigned tag = (unsigned char)text.ptr[0];
        size_t size = (size_t)(unsigned char)text.ptr[1] << 8 | (unsigned char)text.ptr[2];
        struct slice bytes = slice_first(slice_after(text, 3), size);
        bool may_repeat = tag == TAG_NAME || tag == TAG_CHAIN;
        if (tag == 0 || tag >= TAG_END || bytes.len != size || tag < last || (tag == last && !may_repeat) ||
            !take_field(claims_out, (enum tag)tag, bytes))
            return false;
        seen |= 1u << tag;
        last = tag;
        text = slice_after(text, 3 + size);
    }
    return text.len == 0 && is_whole(claims_out, seen);
}

/* ---- the payload ---- */

static void write_text(struct jsonw *json, const char *member, struct slice text) {
    if (text.len > 0)
        jsonw_string(json, member, text);
}

static void write_encoded(struct jsonw *json, const char *member, struct slice bytes,
                          void (*encode)(struct slice bytes, struct sbuf *out)) {
    struct sbuf text;
    sbuf_init(&text, (size_t)2 * CLAIMS_CERTIFICATE_MAX);
    encode(bytes, &text);
    jsonw_string(json, member, sbuf_slice(&text));
    sbuf_fini(&text);
}

static void write_names(struct jsonw *json, const struct claims *claims) {
    if (claims->name_count == 0)
        return;
    jsonw_open_object(json, "san");
    for (unsigned kind = 0; kind < CLAIMS_NAME_KINDS; kind++) {
        bool is_open = false;
        for (size_t i = 0; i < claims->name_count; i++) {
            if (claims->names[i].kind != kind)
                continue;
            if (!is_open)
                jsonw_open_array(json, name_members[kind]);
            is_open = true;
            jsonw_string(json, NULL, claims->names[i].text);
        }
        if (is_open)
            jsonw_close_array(json);
    }
    jsonw_close_object(json);
}

static void write_certificate(struct jsonw *json, const struct claims *claims) {
    char hex[2 * CLAIMS_DIGEST_SIZE + 1];
    write_text(json, "ca_bundle", claims->ca_bundle);
    jsonw_str(json, "ca_sha256", hex_lower(claims->anchor_sha256, CLAIMS_DIGEST_SIZE, hex));
    write_text(json, "subject_dn", claims->subject_dn);
    write_text(json, "issuer_dn", claims->issuer_dn);
    write_text(json, "serial", claims->serial);
    jsonw_int(json, "not_after", claims->not_after);
    write_names(json, claims);
    if (claims->is_cut)
        jsonw_bool(json, "is_cut", true);
    if (claims->certificate.len == 0)
        return;
    write_encoded(json, "certificate", claims->certificate, base64_encode);
    if (claims->chain_count == 0)
        return;
    jsonw_open_array(json, "chain");
    for (size_t i = 0; i < claims->chain_count; i++)
        write_encoded(json, NULL, claims->chain[i], base64_encode);
    jsonw_close_array(json);
}

void claims_write_payload(const struct claims *claims, const struct claims_terms *terms, struct sbuf *out) {
    struct jsonw json;
    jsonw_init(&json, out);
    jsonw_open_object(&json, NULL);
    jsonw_str(&json, "type", "app");
    jsonw_open_array(&json, "aud");
    jsonw_string(&json, NULL, claims->audience);
    jsonw_close_array(&json);
    jsonw_int(&json, "iat", terms->issued_at);
    jsonw_int(&json, "exp", terms->expires_at);
    jsonw_string(&json, "iss", terms->issuer);
    if (claims->has_certificate)
        jsonw_string(&json, "common_name", claims->common_name.len ? claims->common_name : SLICE(""));
    jsonw_str(&json, "sub", "");
    if (claims->has_certificate) {
        jsonw_open_object(&json, "cnf");
        write_encoded(&json, "x5t#S256", slice_make(claims->leaf_sha256, CLAIMS_DIGEST_SIZE), base64url_encode);
        jsonw_close_object(&json);
    }
    jsonw_open_object(&json, "sallyport");
    jsonw_string(&json, "hostname", claims->hostname);
    if (claims->has_certificate)
        write_certificate(&json, claims);
    jsonw_close_object(&json);
    jsonw_close_object(&json);
}
