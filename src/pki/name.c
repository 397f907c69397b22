/* name: distinguished names as text for people and as a digest for look-ups. Used by cert, crl, trust and identity. */
#include "name_priv.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/mem.h"

time_t asn1_time(const ASN1_TIME *time) {
    struct tm tm;
    if (time == NULL || ASN1_TIME_to_tm(time, &tm) != 1)
        return 0;
    return timegm(&tm);
}

char *name_rfc2253(const X509_NAME *name) {
    BIO *bio = BIO_new(BIO_s_mem());
    INVARIANT(bio != NULL);
    /* On a string that cannot be converted the text ends there: for people that is enough. */
    (void)X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
    ERR_clear_error();
    char *text = NULL;
    long len = BIO_get_mem_data(bio, &text);
    char *copy = mem_strndup(len > 0 ? text : "", len > 0 ? (size_t)len : 0);
    BIO_free(bio);
    return copy;
}

static bool is_space(unsigned char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* The rules of OpenSSL's own canonical form: trim, one blank for many, lower case. In place; the new length. */
static size_t fold_text(unsigned char *text, size_t len) {
    size_t to = 0;
    bool pending = false;
    for (size_t i = 0; i < len; i++) {
        if (is_space(text[i])) {
            pending = to > 0;
            continue;
        }
        if (pending)
            text[to++] = ' ';
        pending = false;
        text[to++] = (unsigned char)ascii_lower((char)text[i]);
    }
    return to;
}

static bool is_folded_type(int type) {
    return type == V_ASN1_UTF8STRING || type == V_ASN1_BMPSTRING || type == V_ASN1_UNIVERSALSTRING ||
           type == V_ASN1_PRINTABLESTRING || type == V_ASN1_T61STRING || type == V_ASN1_IA5STRING ||
           type == V_ASN1_VISIBLESTRING;
}

/* One attribute: its type, then its value as folded UTF-8 or, for other types, as it stands. */
static void entry_digest(const X509_NAME_ENTRY *entry, uint8_t out[SHA256_SIZE]) {
    const ASN1_OBJECT *object = X509_NAME_ENTRY_get_object(entry);
    const ASN1_STRING *value = X509_NAME_ENTRY_get_data(entry);
    unsigned char *text = NULL;
    int len = is_folded_type(ASN1_STRING_type(value)) ? ASN1_STRING_to_UTF8(&text, value) : -1;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    INVARIANT(digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1);
    uint32_t head[2] = {(uint32_t)OBJ_length(object), (uint32_t)(len >= 0 ? -1 : ASN1_STRING_type(value))};
    EVP_DigestUpdate(digest, head, sizeof(head));
    EVP_DigestUpdate(digest, OBJ_get0_data(object), OBJ_length(object));
    if (len >= 0)
        EVP_DigestUpdate(digest, text, fold_text(text, (size_t)len));
    else
        EVP_DigestUpdate(digest, ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
    INVARIANT(EVP_DigestFinal_ex(digest, out, NULL) == 1);
    EVP_MD_CTX_free(digest);
    OPENSSL_free(text);
}

void name_digest(const X509_NAME *name, uint8_t out[SHA256_SIZE]) {
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    INVARIANT(digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1);
    uint8_t set[SHA256_SIZE] = {0};
    int count = X509_NAME_entry_count(name);
    for (int i = 0; i < count; i++) {
        uint8_t one[SHA256_SIZE];
        entry_digest(X509_NAME_get_entry(name, i), one);
        /* The attributes of one RDN are a set: their order, which DER derives from the encoding, must not count. */
        for (size_t b = 0; b < sizeof(set); b++)
            set[b] ^= one[b];
        bool last_of_set = i + 1 == count || X509_NAME_ENTRY_set(X509_NAME_get_entry(name, i + 1)) !=
                                                 X509_NAME_ENTRY_set(X509_NAME_get_entry(name, i));
        if (last_of_set) {
            EVP_DigestUpdate(digest, set, sizeof(set));
            memset(set, 0, sizeof(set));
        }
    }
    ERR_clear_error();
    INVARIANT(EVP_DigestFinal_ex(digest, out, NULL) == 1);
    EVP_MD_CTX_free(digest);
}
