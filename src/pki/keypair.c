/*
 * keypair: certificate chain and private key of one hostname, decoded and proved to belong together.
 *
 * Made by conf/ (to find errors) and by tls/ (to serve). What OpenSSL would refuse at SSL_use_cert_and_key() under
 * security level 2 is refused here already, so that nothing is left to fail at a client's first ClientHello.
 */
#include "pki/keypair.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/mem.h"

#define SECURITY_BITS_MIN 112 /* OpenSSL's level 2 */

struct keypair {
    int refs;
    struct cert_list chain;
    EVP_PKEY *key;
    const char *type;
};

static int no_passphrase(char *buf, int size, int writing, void *asked) {
    (void)buf;
    (void)size;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

static EVP_PKEY *read_key(struct slice pem, struct err *err) {
    bool encrypted = false;
    BIO *bio = BIO_new_mem_buf(pem.len ? pem.ptr : "", (int)pem.len);
    INVARIANT(bio != NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &encrypted);
    BIO_free(bio);
    if (key != NULL)
        return key;
    openssl_drain(err, "private key does not decode");
    if (encrypted)
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

struct keypair *keypair_from_pem(struct slice certificate_pem, struct slice key_pem, struct err *err) {
    struct keypair *keypair = NEW(struct keypair);
    keypair->refs = 1;
    if (cert_list_from_pem(certificate_pem, false, &keypair->chain, err) != 0)
        goto fail;
    if (key_pem.len > INT32_MAX) {
        (void)err_set(err, "private key is too large");
        goto fail;
    }
    keypair->key = read_key(key_pem, err);
    if (keypair->key == NULL)
        goto fail;
    keypair->type = type_of(keypair->key, err);
    if (keypair->type == NULL)
        goto fail;
    if (X509_check_private_key(cert_x509(keypair->chain.items[0]), keypair->key) != 1) {
        openssl_drain(err, "private key does not belong to the first certificate");
        goto fail;
    }
    if (check_strength(&keypair->chain, err) != 0)
        goto fail;
    return keypair;
fail:
    keypair_unref(&keypair);
    return NULL;
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
    mem_free(k);
}

const char *keypair_type(const struct keypair *keypair) { return keypair->type; }
const struct cert_list *keypair_chain(const struct keypair *keypair) { return &keypair->chain; }
EVP_PKEY *keypair_key(const struct keypair *keypair) { return keypair->key; }

bool keypair_covers(const struct keypair *keypair, const char *hostname) {
    unsigned flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
    return X509_check_host(cert_x509(keypair->chain.items[0]), hostname, 0, flags, NULL) == 1;
}
