/*
 * dn: takes distinguished names apart. Called by proxy/dialects, once per connection and only where a dialect needs
 * it; owns nothing. Escapes nothing: that is for who lays the parts out.
 */
#include "pki/dn.h"

#include <openssl/err.h>
#include <openssl/x509.h>

#define ATTRIBUTES_MAX 256

static const char *type_name(const ASN1_OBJECT *object, struct arena *arena) {
    int nid = OBJ_obj2nid(object);
    if (nid != NID_undef)
        return OBJ_nid2sn(nid);
    char oid[128];
    int len = OBJ_obj2txt(oid, sizeof oid, object, 1);
    return arena_str(arena, slice_make(oid, len > 0 && (size_t)len < sizeof oid ? (size_t)len : 0));
}

static struct dn dn_of(const X509_NAME *name, struct arena *arena) {
    int count = X509_NAME_entry_count(name);
    if (count > ATTRIBUTES_MAX)
        count = ATTRIBUTES_MAX;
    struct dn dn = {.items = ARENA_ARRAY(arena, struct dn_attribute, (size_t)(count > 0 ? count : 1))};
    for (int i = 0; i < count; i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);
        unsigned char *text = NULL;
        int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(entry));
        if (len >= 0) {
            struct dn_attribute *attribute = &dn.items[dn.count++];
            attribute->type = type_name(X509_NAME_ENTRY_get_object(entry), arena);
            attribute->value = arena_dup(arena, slice_make(text, (size_t)len));
        }
        OPENSSL_free(text);
    }
    ERR_clear_error();
    return dn;
}

struct dn dn_subject(const struct cert *cert, struct arena *arena) {
    return dn_of(X509_get_subject_name(cert_x509(cert)), arena);
}

struct dn dn_issuer(const struct cert *cert, struct arena *arena) {
    return dn_of(X509_get_issuer_name(cert_x509(cert)), arena);
}
