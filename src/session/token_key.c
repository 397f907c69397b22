/*
 * token_key: see the header. The only file that knows what a signature is; used by key_ring (both halves) and key_set
 * (the public one).
 */
#include "session/token_key.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/encode.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "pki/cert.h"

#define RSA_BITS 2048
#define RSA_BITS_MAX 8192
#define COORDINATE_SIZE 32 /* of P-256 */
#define CERTIFICATE_DAYS (100 * 365L)
#define NAME "sallyport token signing"

struct token_key {
    enum token_algorithm algorithm;
    char id[TOKEN_KID_SIZE];
    EVP_PKEY *pair;
    char *der; /* of the certificate */
    size_t der_len;
};

const char *token_algorithm_name(enum token_algorithm algorithm) {
    return algorithm == TOKEN_ES256 ? "ES256" : "RS256";
}

/* ---- making and reading ---- */

static bool is_p256(const EVP_PKEY *pair) {
    char group[64];
    size_t len = 0;
    return EVP_PKEY_is_a(pair, "EC") && EVP_PKEY_get_group_name(pair, group, sizeof group, &len) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

static int find_algorithm(struct token_key *key, struct err *err) {
    int bits = EVP_PKEY_get_bits(key->pair);
    if (is_p256(key->pair))
        key->algorithm = TOKEN_ES256;
    else if (EVP_PKEY_is_a(key->pair, "RSA") && bits >= RSA_BITS && bits <= RSA_BITS_MAX)
        key->algorithm = TOKEN_RS256;
    else
        return err_set(err, "neither an RSA key of %d to %d bits nor one on P-256", RSA_BITS, RSA_BITS_MAX);
    return 0;
}

static int find_id(struct token_key *key, struct err *err) {
    unsigned char *spki = NULL;
    int len = i2d_PUBKEY(key->pair, &spki);
    if (len <= 0) {
        openssl_drain(err, "the key cannot be encoded");
        return -1;
    }
    sha256_hex(slice_make(spki, (size_t)len), key->id);
    OPENSSL_free(spki);
    return 0;
}

static int keep_certificate(struct token_key *key, X509 *x509, struct err *err) {
    unsigned char *der = NULL;
    int len = i2d_X509(x509, &der);
    if (len <= 0) {
        openssl_drain(err, "the certificate cannot be encoded");
        return -1;
    }
    key->der = mem_dup(der, (size_t)len);
    key->der_len = (size_t)len;
    OPENSSL_free(der);
    return 0;
}

static int certify(struct token_key *key, int64_t now, struct err *err) {
    X509 *x509 = X509_new();
    X509_NAME *name = x509 ? X509_get_subject_name(x509) : NULL;
    time_t from = (time_t)now;
    int result = -1;
    if (x509 && X509_set_version(x509, X509_VERSION_3) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(x509), 1) == 1 &&
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)NAME, -1, -1, 0) == 1 &&
        X509_set_issuer_name(x509, name) == 1 && X509_set_pubkey(x509, key->pair) == 1 &&
        X509_time_adj_ex(X509_getm_notBefore(x509), 0, 0, &from) &&
        X509_time_adj_ex(X509_getm_notAfter(x509), CERTIFICATE_DAYS, 0, &from) &&
        X509_sign(x509, key->pair, EVP_sha256()) > 0)
        result = keep_certificate(key, x509, err);
    else
        openssl_drain(err, "the certificate of a key cannot be made");
    X509_free(x509);
    return result;
}

struct token_key *token_key_make(enum token_algorithm algorithm, int64_t now, struct err *err) {
    struct token_key *key = NEW(struct token_key);
    key->algorithm = algorithm;
    key->pair = algorithm == TOKEN_ES256 ? EVP_EC_gen("P-256") : EVP_RSA_gen(RSA_BITS);
    if (!key->pair)
        openssl_drain(err, "a key cannot be made");
    else if (find_id(key, err) == 0 && certify(key, now, err) == 0)
        return key;
    token_key_free(&key);
    return NULL;
}

void token_key_write(const struct token_key *key, struct sbuf *out) {
    BIO *bio = BIO_new(BIO_s_secmem());
    char *text;
    INVARIANT(bio && PEM_write_bio_PKCS8PrivateKey(bio, key->pair, NULL, NULL, 0, NULL, NULL) == 1);
    long len = BIO_get_mem_data(bio, &text);
    sbuf_append(out, slice_make(text, (size_t)len));
    BIO_free(bio);
    token_key_write_pem(key, out);
}

/* No passphrase is asked for on a terminal. */
static int no_passphrase(char *buffer, int size, int is_writing, void *arg) {
    (void)buffer, (void)size, (void)is_writing, (void)arg;
    return 0;
}

static int read_pair(struct token_key *key, struct slice pem, struct err *err) {
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    key->pair = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    if (key->pair)
        return 0;
    openssl_drain(err, "no private key in it");
    return -1;
}

static int read_certificate(struct token_key *key, struct slice pem, struct err *err) {
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *x509 = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
    int result = -1;
    if (!x509)
        openssl_drain(err, "no certificate in it");
    else if (X509_check_private_key(x509, key->pair) != 1)
        openssl_drain(err, "its certificate belongs to another key");
    else
        result = keep_certificate(key, x509, err);
    X509_free(x509);
    BIO_free(bio);
    return result;
}

struct token_key *token_key_read(struct slice pem, struct err *err) {
    struct token_key *key = NEW(struct token_key);
    if (read_pair(key, pem, err) == 0 && find_algorithm(key, err) == 0 && find_id(key, err) == 0 &&
        read_certificate(key, pem, err) == 0)
        return key;
    token_key_free(&key);
    return NULL;
}

struct token_key *token_key_from_certificate(struct slice der, struct err *err) {
    const unsigned char *at = (const unsigned char *)der.ptr;
    X509 *x509 = d2i_X509(NULL, &at, (long)der.len);
    struct token_key *key = NEW(struct token_key);
    key->pair = x509 ? X509_get_pubkey(x509) : NULL;
    if (!key->pair || at != (const unsigned char *)der.ptr + der.len)
        openssl_drain(err, "the certificate of a key does not decode");
    else if (find_algorithm(key, err) == 0 && find_id(key, err) == 0 && keep_certificate(key, x509, err) == 0) {
        X509_free(x509);
        return key;
    }
    X509_free(x509);
    token_key_free(&key);
    return NULL;
}

void token_key_free(struct token_key **key_ptr) {
    struct token_key *key = *key_ptr;
    *key_ptr = NULL;
    if (!key)
        return;
    EVP_PKEY_free(key->pair);
    mem_free(key->der);
    mem_free(key);
}

enum token_algorithm token_key_algorithm(const struct token_key *key) { return key->algorithm; }

const char *token_key_id(const struct token_key *key) { return key->id; }

struct slice token_key_certificate(const struct token_key *key) {
    return slice_make(key->der, key->der_len);
}

/* ---- signatures ---- */

/* OpenSSL's DER of r and s as 64 bytes. */
static bool raw_from_der(const uint8_t *der, size_t len, uint8_t out[2 * COORDINATE_SIZE]) {
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool is_good = signature && BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, COORDINATE_SIZE) == COORDINATE_SIZE &&
                   BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + COORDINATE_SIZE, COORDINATE_SIZE) == COORDINATE_SIZE;
    ECDSA_SIG_free(signature);
    return is_good;
}

static int der_from_raw(struct slice raw, uint8_t **der_out) {
    const uint8_t *bytes = (const uint8_t *)raw.ptr;
    ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(bytes, COORDINATE_SIZE, NULL), *s = BN_bin2bn(bytes + COORDINATE_SIZE, COORDINATE_SIZE, NULL);
    int len = -1;
    *der_out = NULL;
    if (signature && r && s && ECDSA_SIG_set0(signature, r, s) == 1) {
        r = s = NULL;
        len = i2d_ECDSA_SIG(signature, der_out);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(signature);
    return len;
}

int token_key_sign(const struct token_key *key, struct slice text, uint8_t out[TOKEN_SIGNATURE_MAX], size_t *size_out,
                   struct err *err) {
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    uint8_t signature[TOKEN_SIGNATURE_MAX];
    size_t size = sizeof signature;
    bool is_signed = digest && EVP_DigestSignInit(digest, NULL, EVP_sha256(), NULL, key->pair) == 1 &&
                     EVP_DigestSign(digest, signature, &size, (const unsigned char *)text.ptr, text.len) == 1;
    EVP_MD_CTX_free(digest);
    if (is_signed && key->algorithm == TOKEN_ES256) {
        is_signed = raw_from_der(signature, size, out);
        *size_out = (size_t)2 * COORDINATE_SIZE;
    } else if (is_signed) {
        memcpy(out, signature, size);
        *size_out = size;
    }
    if (!is_signed)
        openssl_drain(err, "the token cannot be signed");
    return is_signed ? 0 : -1;
}

static bool verify(const struct token_key *key, struct slice text, const uint8_t *signature, size_t size) {
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool is_good = digest && EVP_DigestVerifyInit(digest, NULL, EVP_sha256(), NULL, key->pair) == 1 &&
                   EVP_DigestVerify(digest, signature, size, (const unsigned char *)text.ptr, text.len) == 1;
    EVP_MD_CTX_free(digest);
    if (!is_good)
        openssl_drain(NULL, "");
    return is_good;
}

bool token_key_verify(const struct token_key *key, struct slice text, struct slice signature) {
    if (key->algorithm == TOKEN_RS256)
        return verify(key, text, (const uint8_t *)signature.ptr, signature.len);
    uint8_t *der = NULL;
    int len = signature.len == (size_t)2 * COORDINATE_SIZE ? der_from_raw(signature, &der) : -1;
    if (len <= 0)
        return false;
    bool is_good = verify(key, text, der, (size_t)len);
    OPENSSL_free(der);
    return is_good;
}

/* ---- what others are shown ---- */

static void write_number(const struct token_key *key, const char *parameter, const char *member, int size,
                         struct jsonw *json) {
    uint8_t bytes[RSA_BITS_MAX / 8];
    struct sbuf text;
    BIGNUM *number = NULL;
    sbuf_init(&text, 2 * sizeof bytes);
    INVARIANT(EVP_PKEY_get_bn_param(key->pair, parameter, &number) == 1);
    int len = size > 0 ? size : BN_num_bytes(number);
    INVARIANT(BN_bn2binpad(number, bytes, len) == len);
    base64url_encode(slice_make(bytes, (size_t)len), &text);
    jsonw_string(json, member, sbuf_slice(&text));
    BN_free(number);
    sbuf_fini(&text);
}

void token_key_write_jwk(const struct token_key *key, struct jsonw *json) {
    bool is_rsa = key->algorithm == TOKEN_RS256;
    jsonw_open_object(json, NULL);
    jsonw_str(json, "kid", key->id);
    jsonw_str(json, "kty", is_rsa ? "RSA" : "EC");
    jsonw_str(json, "alg", token_algorithm_name(key->algorithm));
    jsonw_str(json, "use", "sig");
    if (is_rsa) {
        write_number(key, OSSL_PKEY_PARAM_RSA_E, "e", 0, json);
        write_number(key, OSSL_PKEY_PARAM_RSA_N, "n", 0, json);
    } else {
        jsonw_str(json, "crv", "P-256");
        write_number(key, OSSL_PKEY_PARAM_EC_PUB_X, "x", COORDINATE_SIZE, json);
        write_number(key, OSSL_PKEY_PARAM_EC_PUB_Y, "y", COORDINATE_SIZE, json);
    }
    jsonw_close_object(json);
}

void token_key_write_pem(const struct token_key *key, struct sbuf *out) {
    struct sbuf text;
    sbuf_init(&text, 64 * 1024);
    base64_encode(slice_make(key->der, key->der_len), &text);
    struct slice rest = sbuf_slice(&text);
    sbuf_append_str(out, "-----BEGIN CERTIFICATE-----\n");
    for (; rest.len > 0; rest = slice_after(rest, 64))
        sbuf_printf(out, SLICE_FMT "\n", SLICE_ARG(slice_first(rest, 64)));
    sbuf_append_str(out, "-----END CERTIFICATE-----\n");
    sbuf_fini(&text);
}
