/*
 * cert: one decoded certificate with what is asked of it all the time (digest, dates, CA flag) computed once.
 *
 * Made by tls/ from what a client presents, and by control-side loaders from PEM. Only OpenSSL decodes; bytes after the
 * certificate and encodings that are not DER are refused, so that one certificate has exactly one fingerprint.
 */
#include "pki/cert.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/encode.h"
#include "base/mem.h"
#include "decode_priv.h"
#include "name_priv.h"

/* No certificate of honest make comes near; a client's whole list is bounded far below by tls/. */
#define CERT_SIZE_MAX (1024 * 1024)
#define SERIAL_CONTENT_MAX 512
/* Bits of security below which a digest is weak: SHA-1 counts 63, MD5 39, SHA-224 112. */
#define WEAK_DIGEST_BITS 80

struct cert {
    int refs;
    X509 *x509;
    uint8_t *der;
    size_t der_len;
    uint8_t sha256[SHA256_SIZE];
    time_t not_before, not_after;
    uint8_t *serial; /* content bytes of the INTEGER */
    size_t serial_len;
    bool is_ca, is_self_issued, has_weak_digest;
    /* computed when first asked for: CAs are asked often, most leaves never */
    bool has_issuer_ids;
    uint8_t name_digest[SHA256_SIZE], issuer_key[SHA256_SIZE];
};

void openssl_drain(struct err *err, const char *what) {
    const char *data = NULL;
    int flags = 0;
    unsigned long code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags); /* the oldest is the cause */
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    if (reason != NULL && (flags & ERR_TXT_STRING) && data != NULL && *data != '\0')
        (void)err_set(err, "%s: %s (%s)", what, reason, data);
    else if (reason != NULL)
        (void)err_set(err, "%s: %s", what, reason);
    else
        (void)err_set(err, "%s", what);
    ERR_clear_error();
}

void sha256(struct slice bytes, uint8_t out[SHA256_SIZE]) {
    INVARIANT(EVP_Digest(bytes.ptr ? bytes.ptr : "", bytes.len, out, NULL, EVP_sha256(), NULL) == 1);
}

void sha256_hex(struct slice bytes, char out[65]) {
    uint8_t digest[SHA256_SIZE];
    sha256(bytes, digest);
    (void)hex_lower(digest, sizeof(digest), out);
}

/* The bytes of the INTEGER as DER has them: with the sign, without its tag and length. */
static void keep_serial(struct cert *cert) {
    unsigned char *encoded = NULL;
    int len = i2d_ASN1_INTEGER(X509_get0_serialNumber(cert->x509), &encoded);
    const unsigned char *content = encoded;
    long content_len = 0;
    int tag, class;
    if (len > 0 && (ASN1_get_object(&content, &content_len, &tag, &class, len) & 0x80) == 0 && content_len > 0) {
        cert->serial = mem_dup(content, (size_t)content_len);
        cert->serial_len = (size_t)content_len;
    }
    OPENSSL_free(encoded);
}

static bool is_weak_digest(X509 *x509, uint32_t flags) {
    int bits = 0;
    if (flags & EXFLAG_SS)
        return false;
    if (X509_get_signature_info(x509, NULL, NULL, &bits, NULL) != 1)
        return false; /* unknown algorithms fail in verification, by name */
    return bits < WEAK_DIGEST_BITS;
}

struct cert *cert_from_x509(X509 *x509) {
    struct cert *cert = NEW(struct cert);
    INVARIANT(X509_up_ref(x509) == 1);
    cert->refs = 1;
    cert->x509 = x509;
    unsigned char *der = NULL;
    int len = i2d_X509(x509, &der);
    INVARIANT(len > 0);
    cert->der = mem_dup(der, (size_t)len);
    cert->der_len = (size_t)len;
    OPENSSL_free(der);
    sha256(cert_der(cert), cert->sha256);
    cert->not_before = asn1_time(X509_get0_notBefore(x509));
    cert->not_after = asn1_time(X509_get0_notAfter(x509));
    keep_serial(cert);
    uint32_t flags = X509_get_extension_flags(x509);
    cert->is_ca = (flags & EXFLAG_BCONS) != 0 && (flags & EXFLAG_CA) != 0;
    cert->is_self_issued = (flags & EXFLAG_SI) != 0;
    cert->has_weak_digest = is_weak_digest(x509, flags);
    ERR_clear_error(); /* a malformed extension leaves errors behind; its flag says so to verify */
    return cert;
}

struct cert *cert_from_der(struct slice der, struct err *err) {
    if (der.len == 0 || der.len > CERT_SIZE_MAX) {
        (void)err_set(err, "certificate: %zu bytes are not a certificate", der.len);
        return NULL;
    }
    size_t size = 0;
    X509 *x509 = decode_x509(der, &size);
    if (x509 == NULL) {
        openssl_drain(err, "certificate does not decode");
        return NULL;
    }
    struct cert *cert = NULL;
    if (size != der.len) {
        (void)err_set(err, "certificate: %zu bytes after its end", der.len - size);
    } else {
        cert = cert_from_x509(x509);
        if (!slice_eq(cert_der(cert), der)) {
            (void)err_set(err, "certificate is not encoded in DER");
            cert_unref(&cert);
        }
    }
    X509_free(x509);
    return cert;
}

X509 *cert_x509(const struct cert *cert) { return cert->x509; }

struct cert *cert_ref(struct cert *cert) {
    cert->refs++;
    return cert;
}

void cert_unref(struct cert **cert) {
    struct cert *c = *cert;
    *cert = NULL;
    if (c == NULL || --c->refs > 0)
        return;
    X509_free(c->x509);
    mem_free(c->der);
    mem_free(c->serial);
    mem_free(c);
}

/* One PEM block into the list: 0, or -1 with err. */
static int take_block(const char *name, struct slice der, bool refuse_keys, struct cert_list *list, struct err *err) {
    if (strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0) {
        struct cert *cert = cert_from_der(der, err);
        if (cert == NULL)
            return err_context(err, "certificate %zu", list->count + 1);
        cert_list_add(list, cert);
        cert_unref(&cert);
        return 0;
    }
    if (strcmp(name, PEM_STRING_X509_TRUSTED) == 0)
        return err_set(err, "holds a \"TRUSTED CERTIFICATE\", which carries OpenSSL's own trust settings; "
                            "convert it with `openssl x509`");
    if (refuse_keys && strstr(name, "PRIVATE KEY") != NULL)
        return err_set(err, "holds a private key, which does not belong there");
    return 0;
}

int cert_list_from_pem(struct slice pem, bool refuse_keys, struct cert_list *list_out, struct err *err) {
    *list_out = (struct cert_list){NULL, 0};
    if (pem.len > INT32_MAX)
        return err_set(err, "is too large");
    BIO *bio = BIO_new_mem_buf(pem.len ? pem.ptr : "", (int)pem.len);
    INVARIANT(bio != NULL);
    int status = 0;
    ERR_clear_error();
    while (status == 0) {
        char *name = NULL, *header = NULL;
        unsigned char *data = NULL;
        long len = 0;
        if (PEM_read_bio(bio, &name, &header, &data, &len) != 1) {
            if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE) {
                ERR_clear_error();
                break;
            }
            openssl_drain(err, "a PEM block does not decode");
            status = -1;
            break;
        }
        status = take_block(name, slice_make(data, (size_t)len), refuse_keys, list_out, err);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(data, (size_t)len);
    }
    BIO_free(bio);
    if (status == 0 && list_out->count == 0)
        status = err_set(err, "holds no certificate (no \"BEGIN CERTIFICATE\" line)");
    if (status != 0)
        cert_list_fini(list_out);
    return status;
}

void cert_list_add(struct cert_list *list, struct cert *cert) {
    if ((list->count & (list->count - 1)) == 0) /* full at every power of two */
        list->items = mem_resize(list->items, (list->count ? list->count * 2 : 1) * sizeof(struct cert *));
    list->items[list->count++] = cert_ref(cert);
}

void cert_list_fini(struct cert_list *list) {
    for (size_t i = 0; i < list->count; i++)
        cert_unref(&list->items[i]);
    mem_free(list->items);
    *list = (struct cert_list){NULL, 0};
}

struct slice cert_der(const struct cert *cert) {
    return slice_make(cert->der, cert->der_len);
}
struct slice cert_serial(const struct cert *cert) {
    return slice_make(cert->serial, cert->serial_len);
}
char *cert_serial_decimal(const struct cert *cert) {
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert->x509), NULL);
    char *text = number ? BN_bn2dec(number) : NULL;
    char *copy = mem_strndup(text ? text : "", text ? strlen(text) : 0);
    OPENSSL_free(text);
    BN_free(number);
    return copy;
}

const uint8_t *cert_sha256(const struct cert *cert) { return cert->sha256; }
time_t cert_not_before(const struct cert *cert) { return cert->not_before; }
time_t cert_not_after(const struct cert *cert) { return cert->not_after; }
bool cert_is_ca(const struct cert *cert) { return cert->is_ca; }
bool cert_has_weak_digest(const struct cert *cert) { return cert->has_weak_digest; }
bool cert_is_self_issued(const struct cert *cert) { return cert->is_self_issued; }

static const struct cert *with_issuer_ids(const struct cert *asked) {
    struct cert *cert = (struct cert *)(uintptr_t)asked;
    if (cert->has_issuer_ids)
        return cert;
    uint8_t parts[2][SHA256_SIZE];
    unsigned char *spki = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert->x509), &spki);
    name_digest(X509_get_subject_name(cert->x509), cert->name_digest);
    sha256(slice_make(spki, len > 0 ? (size_t)len : 0), parts[0]);
    memcpy(parts[1], cert->name_digest, SHA256_SIZE);
    sha256(slice_make(parts, sizeof(parts)), cert->issuer_key);
    OPENSSL_free(spki);
    cert->has_issuer_ids = true;
    return cert;
}

const uint8_t *cert_name_digest(const struct cert *cert) { return with_issuer_ids(cert)->name_digest; }
const uint8_t *cert_issuer_key(const struct cert *cert) { return with_issuer_ids(cert)->issuer_key; }

char *cert_subject_text(const struct cert *cert) { return name_rfc2253(X509_get_subject_name(cert->x509)); }

const char *openssl_version(void) { return OpenSSL_version(OPENSSL_VERSION); }
