/*
 * key_set: see the header. On the wire: for each key the size of its certificate (2 bytes, big-endian) and the
 * certificate. Its JSON is written once, when it is read.
 */
#include "session/key_set.h"

#include "base/jsonw.h"
#include "base/mem.h"

#define JSON_LIMIT (128 * 1024)

struct key_set {
    struct token_key *keys[KEY_SET_MAX];
    size_t count;
    struct sbuf json;
};

void key_set_write(const struct slice *certificates, size_t count, struct sbuf *out) {
    for (size_t i = 0; i < count; i++) {
        INVARIANT(i < KEY_SET_MAX && certificates[i].len <= KEY_CERTIFICATE_MAX);
        sbuf_append_char(out, (char)(certificates[i].len >> 8));
        sbuf_append_char(out, (char)(certificates[i].len & 255));
        sbuf_append(out, certificates[i]);
    }
}

static void write_certificate(const struct token_key *key, const char *member, struct jsonw *json) {
    struct sbuf pem;
    sbuf_init(&pem, JSON_LIMIT);
    token_key_write_pem(key, &pem);
    jsonw_open_object(json, member);
    jsonw_str(json, "kid", token_key_id(key));
    jsonw_string(json, "cert", sbuf_slice(&pem));
    jsonw_close_object(json);
    sbuf_fini(&pem);
}

static void write_json(struct key_set *set) {
    struct jsonw json;
    sbuf_init(&set->json, JSON_LIMIT);
    jsonw_init(&json, &set->json);
    jsonw_open_object(&json, NULL);
    jsonw_open_array(&json, "keys");
    for (size_t i = 0; i < set->count; i++)
        token_key_write_jwk(set->keys[i], &json);
    jsonw_close_array(&json);
    write_certificate(set->keys[0], "public_cert", &json);
    jsonw_open_array(&json, "public_certs");
    for (size_t i = 0; i < set->count; i++)
        write_certificate(set->keys[i], NULL, &json);
    jsonw_close_array(&json);
    jsonw_close_object(&json);
    INVARIANT(!set->json.overflow);
}

struct key_set *key_set_read(struct slice text, struct err *err) {
    struct key_set *set = NEW(struct key_set);
    while (text.len > 2 && set->count < KEY_SET_MAX) {
        size_t size = (size_t)(unsigned char)text.ptr[0] << 8 | (unsigned char)text.ptr[1];
        struct slice der = slice_first(slice_after(text, 2), size);
        struct token_key *key = der.len == size ? token_key_from_certificate(der, err) : NULL;
        if (!key)
            break;
        set->keys[set->count++] = key;
        text = slice_after(text, 2 + size);
    }
    if (set->count == 0 || text.len > 0) {
        key_set_free(&set);
        (void)err_set(err, "the key set makes no sense");
        return NULL;
    }
    write_json(set);
    return set;
}

void key_set_free(struct key_set **set_ptr) {
    struct key_set *set = *set_ptr;
    *set_ptr = NULL;
    if (!set)
        return;
    for (size_t i = 0; i < set->count; i++)
        token_key_free(&set->keys[i]);
    sbuf_fini(&set->json);
    mem_free(set);
}

const struct token_key *key_set_find(const struct key_set *set, struct slice kid) {
    for (size_t i = 0; set && i < set->count; i++)
        if (slice_eq_str(kid, token_key_id(set->keys[i])))
            return set->keys[i];
    return NULL;
}

const struct token_key *key_set_current(const struct key_set *set) { return set->keys[0]; }

struct slice key_set_json(const struct key_set *set) {
    return sbuf_slice(&set->json);
}
