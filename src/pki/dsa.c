/* dsa: see pki/dsa.h. Called by `verify` for what it read, and by verify.c for a finished chain. A signature alone does
 * not tell whose parameters a key takes over: for DSA a second key can be made for which the same signature holds. So
 * the chain that is verified in the end must name the issuer that they were taken from. */
#include "pki/dsa.h"

#include <openssl/err.h>
#include <openssl/x509.h>

#include "base/err.h"
#include "base/mem.h"

/* Parameters that do not decode, or are not there, leave no key. */
static bool lacks_parameters(const struct cert *cert) {
    ASN1_OBJECT *algorithm = NULL;
    X509_ALGOR *algor = NULL;
    X509_PUBKEY *key = X509_get_X509_PUBKEY(cert_x509(cert));
    int type = V_ASN1_UNDEF;
    if (X509_PUBKEY_get0_param(&algorithm, NULL, NULL, &algor, key) != 1 || OBJ_obj2nid(algorithm) != NID_dsa)
        return false;
    X509_ALGOR_get0(NULL, &type, NULL, algor);
    return type == V_ASN1_UNDEF || type == V_ASN1_NULL;
}

bool dsa_has_key(const struct cert *cert) {
    ASN1_OBJECT *algorithm = NULL;
    X509_PUBKEY *key = X509_get_X509_PUBKEY(cert_x509(cert));
    return X509_PUBKEY_get0_param(&algorithm, NULL, NULL, NULL, key) == 1 && OBJ_obj2nid(algorithm) == NID_dsa;
}

/* A SubjectPublicKeyInfo with the parameters of `from` and the number of `key`; its DER, or NULL. */
static unsigned char *join_key(const X509_PUBKEY *key, const X509_PUBKEY *from, int *len_out) {
    const unsigned char *number = NULL;
    const void *parameters = NULL;
    int number_len = 0, type = V_ASN1_UNDEF;
    X509_ALGOR *algor = NULL;
    unsigned char *der = NULL;
    X509_PUBKEY *joined = X509_PUBKEY_new();
    INVARIANT(joined != NULL);
    *len_out = 0;
    if (X509_PUBKEY_get0_param(NULL, NULL, NULL, &algor, from) == 1)
        X509_ALGOR_get0(NULL, &type, &parameters, algor);
    if (type == V_ASN1_SEQUENCE && X509_PUBKEY_get0_param(NULL, &number, &number_len, NULL, key) == 1) {
        ASN1_STRING *copy = ASN1_STRING_dup(parameters);
        unsigned char *bytes = OPENSSL_memdup(number, (size_t)number_len);
        INVARIANT(copy != NULL && bytes != NULL &&
                  X509_PUBKEY_set0_param(joined, OBJ_nid2obj(NID_dsa), V_ASN1_SEQUENCE, copy, bytes, number_len) == 1);
        *len_out = i2d_X509_PUBKEY(joined, &der);
    }
    X509_PUBKEY_free(joined);
    return der;
}

/* Decoded into the certificate's own key; what the certificate's signature covers stays as it came. */
static void take_over(const struct cert *cert, const struct cert *issuer) {
    X509_PUBKEY *key = X509_get_X509_PUBKEY(cert_x509(cert));
    int len;
    unsigned char *der = join_key(key, X509_get_X509_PUBKEY(cert_x509(issuer)), &len);
    const unsigned char *at = der;
    if (der != NULL && len > 0)
        (void)d2i_X509_PUBKEY(&key, &at, len);
    OPENSSL_free(der);
}

static bool is_signed_by(const struct cert *cert, const struct cert *issuer) {
    X509 *x509 = cert_x509(cert), *above = cert_x509(issuer);
    return cert != issuer && dsa_has_key(issuer) && !lacks_parameters(issuer) &&
           X509_NAME_cmp(X509_get_issuer_name(x509), X509_get_subject_name(above)) == 0 &&
           X509_get0_pubkey(above) != NULL && X509_verify(x509, X509_get0_pubkey(above)) == 1;
}

static bool inherit(const struct cert *cert, const struct cert_list *certs) {
    for (size_t i = 0; i < certs->count; i++)
        if (is_signed_by(cert, certs->items[i])) {
            take_over(cert, certs->items[i]);
            return true;
        }
    return false;
}

#define ROUNDS_MAX 8 /* keys may inherit what was inherited */

void dsa_inherit_parameters(const struct cert_list *certs) {
    bool is_changed = true;
    for (int round = 0; is_changed && round < ROUNDS_MAX; round++) {
        is_changed = false;
        for (size_t i = 0; i < certs->count; i++)
            if (lacks_parameters(certs->items[i]))
                is_changed |= inherit(certs->items[i], certs);
    }
    ERR_clear_error();
}

bool dsa_is_consistent(const struct cert *cert, const struct cert *issuer) {
    struct slice der = cert_der(cert);
    unsigned char *key = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert_x509(cert)), &key);
    bool is_own = len > 0 && memmem(der.ptr, der.len, key, (size_t)len) != NULL;
    OPENSSL_free(key);
    EVP_PKEY *mine = X509_get0_pubkey(cert_x509(cert)), *above = X509_get0_pubkey(cert_x509(issuer));
    bool is_same = is_own || (mine != NULL && above != NULL && EVP_PKEY_parameters_eq(mine, above) == 1);
    ERR_clear_error();
    return is_same;
}
