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

static X509 *x509_in(OSSL_LIB_CTX *context, struct slice der, size_t *size_out) {
    const unsigned char *at = (const unsigned char *)der.ptr;
    X509 *x509 = X509_new_ex(context, NULL);
    if (x509 && !d2i_X509(&x509, &at, (long)der.len))
        x509 = NULL; /* it was freed */
    *size_out = (size_t)((const char *)at - der.ptr);
    return x509;
}

X509 *decode_x509(struct slice der, size_t *size_out) {
    OSSL_LIB_CTX *context = pki_library();
    X509 *x509 = NULL;
    if (context) {
        x509 = x509_in(context, der, size_out);
        if (x509 && X509_get0_pubkey(x509))
            return x509;
        X509_free(x509);
        ERR_clear_error();
    }
    return x509_in(NULL, der, size_out);
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
