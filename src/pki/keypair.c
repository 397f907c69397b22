/*
 * keypair: certificate chain and private key of one hostname, decoded and proved to belong together.
 *
 * Control proves each (to find errors): what OpenSSL would refuse at SSL_use_cert_and_key() under security level 2 is
 * refused here already. A worker is handed what was proved, and decodes it at a client's first ClientHello: nothing is
 * left to fail there, and ten thousand hostnames cost nobody anything before they are used.
 */
#include "pki/keypair.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "decode_priv.h"

#define SECURITY_BITS_MIN 112 /* OpenSSL's level 2 */

struct keypair {
    int refs;
    struct cert_list chain;
    EVP_PKEY *key; /* NULL: still to be decoded */
    const char *type;
    struct slice certificate_pem, key_pem; /* until then, owned */
};

static EVP_PKEY *read_key(struct slice pem, struct err *err) {
    bool is_encrypted = false;
    if (pem.len > INT32_MAX) {
        (void)err_set(err, "private key is too large");
        return NULL;
    }
    EVP_PKEY *key = decode_private_key(pem, &is_encrypted);
    if (key != NULL)
        return key;
    openssl_drain(err, "private key does not decode");
    if (is_encrypted)
        (void)err_set(err, "private key is encrypted; sallyport needs it without a passphrase");
    return NULL;
}

/* The curves TLS 1.3 has certificates for. */
static bool is_tls_curve(const EVP_PKEY *key) {
    char name[64] = "";
    if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, name, sizeof(name), NULL) != 1)
        return false;
    int nid = OBJ_txt2nid(name);
    return nid == NID_X9_62_prime256v1 || nid == NID_secp384r1 || nid == NID_secp521r1;
}

static const char *type_of(const EVP_PKEY *key, struct err *err) {
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        return "RSA";
    case EVP_PKEY_ED25519:
        return "ED25519";
    case EVP_PKEY_EC:
        if (is_tls_curve(key))
            return "EC";
        (void)err_set(err, "private key is on a curve that TLS 1.3 does not know; use P-256, P-384 or P-521");
        return NULL;
    default:
        (void)err_set(err, "private key is neither RSA, ECDSA nor Ed25519");
        return NULL;
    }
}

/* Key sizes and digests of the chain, as libssl checks them at level 2. */
static int check_strength(const struct cert_list *chain, struct err *err) {
    for (size_t i = 0; i < chain->count; i++) {
        X509 *x509 = cert_x509(chain->items[i]);
        const EVP_PKEY *key = X509_get0_pubkey(x509);
        if (key == NULL) {
            openssl_drain(err, "public key does not decode");
            return err_context(err, "certificate %zu", i + 1);
        }
        if (EVP_PKEY_get_security_bits(key) < SECURITY_BITS_MIN)
            return err_set(err, "certificate %zu: a key of %d bits is too weak (RSA needs 2048)", i + 1,
                           EVP_PKEY_get_bits(key));
        int bits = 0;
        bool self_signed = (X509_get_extension_flags(x509) & EXFLAG_SS) != 0;
        if (!self_signed && X509_get_signature_info(x509, NULL, NULL, &bits, NULL) == 1 && bits < SECURITY_BITS_MIN)
            return err_set(err, "certificate %zu: its signature uses a digest that is too weak", i + 1);
    }
    return 0;
}

/* Everything but the proof. Takes over the references of chain. */
static int fill(struct keypair *keypair, struct cert_list *chain, struct slice key_pem, struct err *err) {
    keypair->chain = *chain;
    *chain = (struct cert_list){NULL, 0};
    keypair->key = read_key(key_pem, err);
    keypair->type = keypair->key ? type_of(keypair->key, err) : NULL;
    return keypair->type ? 0 : -1;
}

static int prove(const struct keypair *keypair, struct err *err) {
    INVARIANT(keypair->chain.count > 0); /* no file without a certificate comes so far */
    if (X509_check_private_key(cert_x509(keypair->chain.items[0]), keypair->key) != 1) {
        openssl_drain(err, "private key does not belong to the first certificate");
        return -1;
    }
    return check_strength(&keypair->chain, err);
}

static struct keypair *keypair_new(struct cert_list *chain, struct slice key_pem, struct err *err) {
    struct keypair *keypair = NEW(struct keypair);
    keypair->refs = 1;
    if (fill(keypair, chain, key_pem, err) != 0 || prove(keypair, err) != 0)
        keypair_unref(&keypair);
    return keypair;
}

struct keypair *keypair_from_pem(struct slice certificate_pem, struct slice key_pem, struct err *err) {
    struct cert_list chain;
    if (cert_list_from_pem(certificate_pem, false, &chain, err) != 0)
        return NULL;
    return keypair_new(&chain, key_pem, err);
}

struct keypair *keypair_from_chain(const struct cert_list *certs, struct slice key_pem, struct err *err) {
    struct cert_list chain = {NULL, 0};
    for (size_t i = 0; i < certs->count; i++)
        cert_list_add(&chain, certs->items[i]);
    return keypair_new(&chain, key_pem, err);
}

/* ---- later ---- */

struct keypair *keypair_proved(struct slice certificate_pem, struct slice key_pem) {
    struct keypair *keypair = NEW(struct keypair);
    keypair->refs = 1;
    keypair->certificate_pem = slice_make(mem_dup(certificate_pem.ptr, certificate_pem.len), certificate_pem.len);
    keypair->key_pem = slice_make(mem_dup(key_pem.ptr, key_pem.len), key_pem.len);
    return keypair;
}

static void forget_pem(struct keypair *keypair) {
    mem_free((char *)(uintptr_t)keypair->certificate_pem.ptr);
    if (keypair->key_pem.ptr)
        mem_wipe_free((char *)(uintptr_t)keypair->key_pem.ptr, keypair->key_pem.len);
    keypair->certificate_pem = keypair->key_pem = SLICE_NONE;
}

/* What a keypair_proved() is made of is decoded when it is first asked for. */
static const struct keypair *decoded(const struct keypair *asked) {
    struct keypair *keypair = (struct keypair *)(uintptr_t)asked;
    struct cert_list chain = {NULL, 0};
    if (keypair->key)
        return keypair;
    int status = cert_list_from_pem(keypair->certificate_pem, false, &chain, NULL);
    INVARIANT(status == 0 && fill(keypair, &chain, keypair->key_pem, NULL) == 0);
    forget_pem(keypair);
    return keypair;
}

struct keypair *keypair_ref(struct keypair *keypair) {
    keypair->refs++;
    return keypair;
}

void keypair_unref(struct keypair **keypair) {
    struct keypair *k = *keypair;
    *keypair = NULL;
    if (k == NULL || --k->refs > 0)
        return;
    cert_list_fini(&k->chain);
    EVP_PKEY_free(k->key); /* clears the private numbers */
    forget_pem(k);
    mem_free(k);
}

const char *keypair_type(const struct keypair *keypair) { return decoded(keypair)->type; }
const struct cert_list *keypair_chain(const struct keypair *keypair) { return &decoded(keypair)->chain; }
EVP_PKEY *keypair_key(const struct keypair *keypair) { return decoded(keypair)->key; }

bool keypair_covers(const struct keypair *keypair, const char *hostname) {
    unsigned flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
    return X509_check_host(cert_x509(decoded(keypair)->chain.items[0]), hostname, 0, flags, NULL) == 1;
}
