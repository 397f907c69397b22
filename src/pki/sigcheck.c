/* sigcheck: see sigcheck_priv.h. Used by the CRL loader only. */
#include "sigcheck_priv.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/mem.h"
#include "base/sbuf.h"
#include "pki/cert.h"

#define WHOLE_MAX (64u * 1024 * 1024)
#define SHA1_LEN 20
#define STRONG_DIGEST_LEN 28 /* SHA-224: 112 bits of security */

struct sigcheck {
    int key_nid;               /* as OBJ_find_sigid_algs names it */
    const EVP_MD *digest;      /* NULL: EdDSA */
    const EVP_MD *mask_digest; /* of RSA-PSS, else NULL */
    int salt_len;
    EVP_MD_CTX *hash;
    struct sbuf whole;
    unsigned char hashed[EVP_MAX_MD_SIZE];
    unsigned hashed_len; /* 0: not finished yet */
};

static const EVP_MD *digest_of(const X509_ALGOR *algorithm) {
    return algorithm ? EVP_get_digestbyobj(algorithm->algorithm) : EVP_sha1(); /* RFC 4055: SHA-1 is PSS's default */
}

static int read_pss(struct sigcheck *sigcheck, const X509_ALGOR *algorithm, struct err *err) {
    RSA_PSS_PARAMS *pss = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(RSA_PSS_PARAMS), algorithm->parameter);
    X509_ALGOR *mask = NULL;
    int status = -1;
    if (pss == NULL)
        goto out;
    if (pss->maskGenAlgorithm != NULL) {
        if (OBJ_obj2nid(pss->maskGenAlgorithm->algorithm) != NID_mgf1)
            goto out;
        mask = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(X509_ALGOR), pss->maskGenAlgorithm->parameter);
        if (mask == NULL)
            goto out;
    }
    long salt_len = pss->saltLength ? ASN1_INTEGER_get(pss->saltLength) : SHA1_LEN;
    if (salt_len < 0 || salt_len > 512 || (pss->trailerField && ASN1_INTEGER_get(pss->trailerField) != 1))
        goto out;
    sigcheck->digest = digest_of(pss->hashAlgorithm);
    sigcheck->mask_digest = digest_of(mask);
    sigcheck->salt_len = (int)salt_len;
    status = sigcheck->digest && sigcheck->mask_digest ? 0 : -1;
out:
    if (status != 0)
        openssl_drain(err, "the parameters of its RSA-PSS signature are not understood");
    X509_ALGOR_free(mask);
    RSA_PSS_PARAMS_free(pss);
    return status;
}

static int read_algorithm(struct sigcheck *sigcheck, const X509_ALGOR *algorithm, struct err *err) {
    int nid = OBJ_obj2nid(algorithm->algorithm), digest_nid = NID_undef;
    char name[80] = "";
    OBJ_obj2txt(name, sizeof(name), algorithm->algorithm, 0);
    if (nid == NID_rsassaPss) {
        sigcheck->key_nid = NID_rsassaPss;
        if (read_pss(sigcheck, algorithm, err) != 0)
            return -1;
    } else if (OBJ_find_sigid_algs(nid, &digest_nid, &sigcheck->key_nid) != 1) {
        return err_set(err, "signature algorithm %s is not known", name);
    } else if (sigcheck->key_nid != NID_ED25519 && sigcheck->key_nid != NID_ED448) {
        sigcheck->digest = EVP_get_digestbynid(digest_nid);
        if (sigcheck->digest == NULL)
            return err_set(err, "signature algorithm %s is not known", name);
    }
    int len = sigcheck->digest ? EVP_MD_get_size(sigcheck->digest) : STRONG_DIGEST_LEN;
    if (len < STRONG_DIGEST_LEN && EVP_MD_get_type(sigcheck->digest) != NID_sha1)
        return err_set(err, "signature algorithm %s is too weak", name);
    return 0;
}

struct sigcheck *sigcheck_new(struct slice algorithm, struct err *err) {
    struct sigcheck *sigcheck = NEW(struct sigcheck);
    sbuf_init(&sigcheck->whole, WHOLE_MAX);
    const unsigned char *at = (const unsigned char *)algorithm.ptr;
    X509_ALGOR *decoded = d2i_X509_ALGOR(NULL, &at, (long)algorithm.len);
    if (decoded == NULL || (const char *)at != algorithm.ptr + algorithm.len) {
        openssl_drain(err, "signature algorithm does not decode");
        sigcheck_free(&sigcheck);
    } else if (read_algorithm(sigcheck, decoded, err) != 0) {
        sigcheck_free(&sigcheck);
    } else if (sigcheck->digest != NULL) {
        sigcheck->hash = EVP_MD_CTX_new();
        INVARIANT(sigcheck->hash != NULL && EVP_DigestInit_ex(sigcheck->hash, sigcheck->digest, NULL) == 1);
    }
    X509_ALGOR_free(decoded);
    ERR_clear_error();
    return sigcheck;
}

void sigcheck_free(struct sigcheck **sigcheck) {
    struct sigcheck *s = *sigcheck;
    *sigcheck = NULL;
    if (s == NULL)
        return;
    EVP_MD_CTX_free(s->hash);
    sbuf_fini(&s->whole);
    mem_free(s);
}

bool sigcheck_update(struct sigcheck *sigcheck, const void *bytes, size_t len) {
    if (sigcheck->hash != NULL)
        return EVP_DigestUpdate(sigcheck->hash, bytes, len) == 1;
    sbuf_append(&sigcheck->whole, slice_make(bytes, len));
    return !sigcheck->whole.overflow;
}

static bool is_key_for(const struct sigcheck *sigcheck, const EVP_PKEY *key) {
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        return sigcheck->key_nid == NID_rsaEncryption || sigcheck->key_nid == NID_rsassaPss;
    case EVP_PKEY_RSA_PSS:
        return sigcheck->key_nid == NID_rsassaPss;
    case EVP_PKEY_EC:
        return sigcheck->key_nid == NID_X9_62_id_ecPublicKey;
    case EVP_PKEY_DSA:
        return sigcheck->key_nid == NID_dsa;
    default: /* EdDSA: key type and algorithm are one */
        return sigcheck->digest == NULL && EVP_PKEY_get_base_id(key) == sigcheck->key_nid;
    }
}

static bool verify_hashed(struct sigcheck *sigcheck, EVP_PKEY *key, struct slice signature) {
    if (sigcheck->hashed_len == 0 && EVP_DigestFinal_ex(sigcheck->hash, sigcheck->hashed, &sigcheck->hashed_len) != 1)
        return false;
    EVP_PKEY_CTX *verifier = EVP_PKEY_CTX_new(key, NULL);
    bool ok = verifier != NULL && EVP_PKEY_verify_init(verifier) == 1;
    if (ok && sigcheck->mask_digest != NULL)
        ok = EVP_PKEY_CTX_set_rsa_padding(verifier, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_signature_md(verifier, sigcheck->digest) == 1 &&
             EVP_PKEY_CTX_set_rsa_mgf1_md(verifier, sigcheck->mask_digest) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(verifier, sigcheck->salt_len) == 1;
    else if (ok)
        ok = EVP_PKEY_CTX_set_signature_md(verifier, sigcheck->digest) == 1;
    ok = ok && EVP_PKEY_verify(verifier, (const unsigned char *)signature.ptr, signature.len, sigcheck->hashed,
                               sigcheck->hashed_len) == 1;
    EVP_PKEY_CTX_free(verifier);
    return ok;
}

static bool verify_whole(struct sigcheck *sigcheck, EVP_PKEY *key, struct slice signature) {
    struct slice bytes = sbuf_slice(&sigcheck->whole);
    EVP_MD_CTX *verifier = EVP_MD_CTX_new();
    bool ok = verifier != NULL && EVP_DigestVerifyInit(verifier, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestVerify(verifier, (const unsigned char *)signature.ptr, signature.len,
                               (const unsigned char *)bytes.ptr, bytes.len) == 1;
    EVP_MD_CTX_free(verifier);
    return ok;
}

bool sigcheck_verify(struct sigcheck *sigcheck, EVP_PKEY *key, struct slice signature) {
    bool ok = is_key_for(sigcheck, key) &&
              (sigcheck->hash ? verify_hashed(sigcheck, key, signature) : verify_whole(sigcheck, key, signature));
    ERR_clear_error();
    return ok;
}

bool sigcheck_is_weak(const struct sigcheck *sigcheck) {
    return sigcheck->digest != NULL && EVP_MD_get_size(sigcheck->digest) < STRONG_DIGEST_LEN;
}
