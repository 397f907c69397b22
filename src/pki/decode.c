/*
 * decode: see the header. Called by cert.c and keypair.c.
 *
 * A library context of its own has one provider, made here: a selection of OpenSSL's default provider with the key
 * types, and the decoders of DER, that keys are found among; everything else of it is there, so that signatures of what
 * was decoded are checked as ever. (A certificate costs 80 us instead of 270, a P-256 key 80 instead of 720.)
 *
 * Where the system's policy is FIPS, nothing is decoded here: that choice is the default context's.
 */
#include "decode_priv.h"

#include <openssl/core_dispatch.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define OPERATIONS_MAX 32

/* They live as long as the process. */
static OSSL_PROVIDER *whole;
static OSSL_LIB_CTX *narrow;

/* ---- the selection ---- */

/* names: "EC:id-ecPublicKey:1.2.840.10045.2.1" */
static bool has_common_type(const char *names) {
    static const char *const types[] = {"EC", "RSA", "RSA-PSS", "ED25519", "ED448"};
    size_t len = strcspn(names, ":");
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strlen(types[i]) == len && OPENSSL_strncasecmp(names, types[i], len) == 0)
            return true;
    return false;
}

static bool is_wanted(int operation, const OSSL_ALGORITHM *algorithm) {
    const char *property = algorithm->property_definition;
    switch (operation) {
    case OSSL_OP_KEYMGMT:
        return has_common_type(algorithm->algorithm_names);
    case OSSL_OP_DECODER:
        return has_common_type(algorithm->algorithm_names) && strstr(property, "input=der") &&
               (strstr(property, "structure=SubjectPublicKeyInfo") || strstr(property, "structure=PrivateKeyInfo"));
    default:
        return true;
    }
}

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_cache) {
    static OSSL_ALGORITHM *kept[OPERATIONS_MAX];
    size_t count = 0, wanted = 0;
    (void)provider;
    *no_cache = 0;
    if (operation < 0 || operation >= OPERATIONS_MAX)
        return NULL;
    if (kept[operation])
        return kept[operation];
    const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(whole, operation, no_cache);
    while (all && all[count].algorithm_names)
        count++;
    kept[operation] = NEW_ARRAY(OSSL_ALGORITHM, count + 1);
    for (size_t i = 0; i < count; i++)
        if (is_wanted(operation, &all[i]))
            kept[operation][wanted++] = all[i];
    return kept[operation];
}

static int capabilities(void *provider, const char *capability, OSSL_CALLBACK *callback, void *arg) {
    (void)provider;
    return OSSL_PROVIDER_get_capabilities(whole, capability, callback, arg);
}

static int start(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **provider) {
    static const OSSL_DISPATCH dispatch[] = {{OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
                                             {OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))capabilities},
                                             {0, NULL}};
    (void)handle;
    (void)in;
    *out = dispatch;
    *provider = OSSL_PROVIDER_get0_provider_ctx(whole);
    return 1;
}

static void open_narrow(void) {
    OSSL_LIB_CTX *context = OSSL_LIB_CTX_new(), *behind = OSSL_LIB_CTX_new();
    whole = behind ? OSSL_PROVIDER_load(behind, "default") : NULL;
    if (context && whole && OSSL_PROVIDER_add_builtin(context, "narrow", start) == 1 &&
        OSSL_PROVIDER_load(context, "narrow"))
        narrow = context;
}

/* The context to try first; NULL: there is none. */
static OSSL_LIB_CTX *narrow_context(void) {
    static bool is_tried;
    if (!is_tried && EVP_default_properties_is_fips_enabled(NULL) == 0)
        open_narrow();
    is_tried = true;
    return narrow;
}

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
    OSSL_LIB_CTX *context = narrow_context();
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
    OSSL_LIB_CTX *context = narrow_context();
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
