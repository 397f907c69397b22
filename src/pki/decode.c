/*
 * decode: see the header. Called by cert.c and keypair.c. Keys are looked for in pki_library(), which has few decoders
 * (a certificate costs 80 us instead of 270, a P-256 key 80 instead of 720), and in the default context if that has
 * them not.
 */
#include "decode_priv.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/err.h"
#include "pki/library.h"

/* ---- certificates ---- */

/* Not d2i_X509(): of a certificate that was made beforehand it may look at the extensions too, and leave it to the
 * caller when they are malformed. That is for verification to judge. */
static X509 *narrow_x509(OSSL_LIB_CTX *context, const unsigned char **at, size_t size) {
    ASN1_VALUE *value = (ASN1_VALUE *)X509_new_ex(context, NULL);
    if (!value || !ASN1_item_d2i(&value, at, (long)size, ASN1_ITEM_rptr(X509))) /* frees it, and says so */
        return NULL;
    X509 *x509 = (X509 *)value;
    if (X509_get0_pubkey(x509))
        return x509;
    X509_free(x509);
    return NULL;
}

X509 *decode_x509(struct slice der, size_t *size_out) {
    const unsigned char *begin = (const unsigned char *)der.ptr, *at = begin;
    OSSL_LIB_CTX *context = pki_library();
    X509 *x509 = context ? narrow_x509(context, &at, der.len) : NULL;
    if (!x509) {
        ERR_clear_error();
        at = begin;
        x509 = d2i_X509(NULL, &at, (long)der.len);
    }
    *size_out = (size_t)(at - begin);
    return x509;
}

/* ---- private keys ---- */

/* The key if the first block of the text that holds one is PKCS #8 without a passphrase, which it nearly always is. */
static EVP_PKEY *pkcs8_key(OSSL_LIB_CTX *context, struct slice pem) {
    EVP_PKEY *key = NULL;
    bool is_key = false;
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    INVARIANT(bio != NULL);
    while (!is_key) {
        char *name = NULL, *header = NULL;
        unsigned char *der = NULL;
        long size = 0;
        if (PEM_read_bio(bio, &name, &header, &der, &size) != 1)
            break;
        const unsigned char *at = der;
        is_key = strstr(name, "PRIVATE KEY") != NULL;
        PKCS8_PRIV_KEY_INFO *wrapped =
            strcmp(name, PEM_STRING_PKCS8INF) == 0 ? d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, size) : NULL;
        if (wrapped)
            key = EVP_PKCS82PKEY_ex(wrapped, context, NULL);
        PKCS8_PRIV_KEY_INFO_free(wrapped);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, (size_t)size);
    }
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

static int no_passphrase(char *buf, int size, int writing, void *asked) {
    (void)buf;
    (void)size;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

EVP_PKEY *decode_private_key(struct slice pem, bool *is_encrypted_out) {
    OSSL_LIB_CTX *context = pki_library();
    EVP_PKEY *key = context && pem.len > 0 ? pkcs8_key(context, pem) : NULL;
    *is_encrypted_out = false;
    if (key)
        return key;
    BIO *bio = BIO_new_mem_buf(pem.len ? pem.ptr : "", (int)pem.len);
    INVARIANT(bio != NULL);
    key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, is_encrypted_out);
    BIO_free(bio);
    return key;
}
