/*
 * library: see the header. decode.c decodes in it, tls/ makes its SSL_CTX with it.
 *
 * A small provider stands in a library context of its own and hands out algorithms of the default provider: those that
 * certificates and handshakes have use for. The implementations are the default provider's and run in its context.
 *
 * Not where OpenSSL keeps decoders (3.2 and later), and not where the machine's configuration has activated other
 * providers or asks for properties (FIPS): then it is the default context, as if this file did not exist.
 */
#include "pki/library.h"

#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

#define DECODERS_KEPT_SINCE 0x30200000L
#define OPERATIONS 32

/* What TLS 1.2 and 1.3 and the signatures of certificates have use for. The fewer names there are in a context, the
 * cheaper is each look-up that goes by all of them, as those of keys do. */
static const char *const DIGESTS[] = {"SHA1",         "SHA2-224",     "SHA2-256", "SHA2-384", "SHA2-512",
                                      "SHA2-512/224", "SHA2-512/256", "SHA3-224", "SHA3-256", "SHA3-384",
                                      "SHA3-512",     "MD5",          "MD5-SHA1", NULL};
static const char *const CIPHERS[] = {"AES-128-GCM",
                                      "AES-256-GCM",
                                      "AES-128-CCM",
                                      "AES-256-CCM",
                                      "AES-128-CBC",
                                      "AES-256-CBC",
                                      "AES-128-CBC-HMAC-SHA1",
                                      "AES-256-CBC-HMAC-SHA1",
                                      "AES-128-CBC-HMAC-SHA256",
                                      "AES-256-CBC-HMAC-SHA256",
                                      "AES-256-CTR",
                                      "ChaCha20-Poly1305",
                                      "ARIA-128-GCM",
                                      "ARIA-256-GCM",
                                      "CAMELLIA-128-CBC",
                                      "CAMELLIA-256-CBC",
                                      NULL};
static const char *const MACS[] = {"HMAC", NULL};
static const char *const KDFS[] = {"HKDF", "TLS13-KDF", "TLS1-PRF", NULL};
static const char *const KEYS[] = {"RSA",    "RSA-PSS", "EC", "ED25519", "ED448", "DSA",
                                   "X25519", "X448",    "DH", "HMAC",    NULL};
static const char *const EXCHANGES[] = {"DH", "ECDH", "X25519", "X448", NULL};
static const char *const SIGNATURES[] = {"RSA", "ECDSA", "ED25519", "ED448", "DSA", "HMAC", NULL};
static const char *const SIGNERS[] = {"RSA", "RSA-PSS", "EC", "ED25519", "ED448", "DSA", NULL};
static const char *const NONE[] = {NULL};
static const char *const *const WANTED[OPERATIONS] = {
    [OSSL_OP_DIGEST] = DIGESTS,
    [OSSL_OP_CIPHER] = CIPHERS,
    [OSSL_OP_MAC] = MACS,
    [OSSL_OP_KDF] = KDFS,
    [OSSL_OP_KEYMGMT] = KEYS,
    [OSSL_OP_KEYEXCH] = EXCHANGES,
    [OSSL_OP_SIGNATURE] = SIGNATURES,
    [OSSL_OP_DECODER] = SIGNERS,
    [OSSL_OP_ENCODER] = NONE,
    [OSSL_OP_STORE] = NONE,
};

static OSSL_PROVIDER *source; /* the default provider */

/* names: "RSA:rsaEncryption:1.2.840.113549.1.1.1" */
static bool is_named(const char *names, const char *const *list) {
    size_t len = strcspn(names, ":");
    for (; *list; list++)
        if (strlen(*list) == len && OPENSSL_strncasecmp(names, *list, len) == 0)
            return true;
    return false;
}

static bool is_wanted(int operation, const OSSL_ALGORITHM *algorithm) {
    const char *property = algorithm->property_definition;
    if (WANTED[operation] && !is_named(algorithm->algorithm_names, WANTED[operation]))
        return false;
    return operation != OSSL_OP_DECODER ||
           (strstr(property, "input=der") &&
            (strstr(property, "structure=SubjectPublicKeyInfo") || strstr(property, "structure=PrivateKeyInfo")));
}

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_cache) {
    static OSSL_ALGORITHM *chosen[OPERATIONS];
    (void)provider;
    if (operation < 0 || operation >= OPERATIONS)
        return NULL;
    const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(source, operation, no_cache);
    *no_cache = 0;
    if (chosen[operation] || !all)
        return chosen[operation];
    size_t count = 0, kept = 0;
    while (all[count].algorithm_names)
        count++;
    chosen[operation] = NEW_ARRAY(OSSL_ALGORITHM, count + 1);
    for (size_t i = 0; i < count; i++)
        if (is_wanted(operation, &all[i]))
            chosen[operation][kept++] = all[i];
    return chosen[operation];
}

static int get_capabilities(void *provider, const char *capability, OSSL_CALLBACK *callback, void *arg) {
    (void)provider;
    return OSSL_PROVIDER_get_capabilities(source, capability, callback, arg);
}

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                         void **provider_out) {
    static const OSSL_DISPATCH FUNCTIONS[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
        {OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))get_capabilities},
        {0, NULL},
    };
    (void)handle;
    (void)in;
    *out = FUNCTIONS;
    *provider_out = OSSL_PROVIDER_get0_provider_ctx(source);
    return 1;
}

/* Providers that bring no algorithm of their own into the choice. */
static int note_provider(OSSL_PROVIDER *provider, void *arg) {
    static const char *const PLAIN[] = {"default", "base", "null", "legacy", NULL};
    bool *is_plain = arg;
    *is_plain &= is_named(OSSL_PROVIDER_get0_name(provider), PLAIN);
    return 1;
}

static bool is_configured_otherwise(void) {
    bool is_plain = true;
    (void)OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL);
    (void)OSSL_PROVIDER_do_all(NULL, note_provider, &is_plain);
    return !is_plain || EVP_default_properties_is_fips_enabled(NULL);
}

static OSSL_LIB_CTX *make(void) {
    if (OpenSSL_version_num() >= DECODERS_KEPT_SINCE || is_configured_otherwise())
        return NULL;
    OSSL_LIB_CTX *library = OSSL_LIB_CTX_new();
    source = library ? OSSL_PROVIDER_load(NULL, "default") : NULL;
    if (source && OSSL_PROVIDER_add_builtin(library, "sallyport", provider_init) == 1 &&
        OSSL_PROVIDER_load(library, "sallyport"))
        return library;
    OSSL_LIB_CTX_free(library);
    ERR_clear_error();
    return NULL;
}

struct ossl_lib_ctx_st *pki_library(void) {
    static bool is_made;
    static OSSL_LIB_CTX *library;
    if (!is_made) {
        library = make();
        is_made = true;
    }
    return library;
}
