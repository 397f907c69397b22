/*
 * ocsp_responder: is an answer signed by one who may (RFC 6960 4.2.2.2)? The CA itself, or the holder of a certificate
 * that this CA issued with id-kp-OCSPSigning, is valid now and comes with the answer. No path is built: a delegate of a
 * delegate, or one entitled by a CA above, is none. Called by ocsp.c before anything in the answer is believed.
 */
#include "ocsp_priv.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "sigcheck_priv.h"

#define SENT_MAX 8        /* certificates of an answer that are looked at */
#define SECURITY_BITS 112 /* as for every other certificate */

/* Does the responderID, a name or the SHA-1 of a key, mean this certificate? */
static bool is_named(const OCSP_BASICRESP *basic, X509 *x509) {
    const ASN1_OCTET_STRING *key_hash = NULL;
    const X509_NAME *name = NULL;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (OCSP_resp_get0_id(basic, &key_hash, &name) != 1)
        return false;
    if (name != NULL)
        return X509_NAME_cmp(name, X509_get_subject_name(x509)) == 0;
    return X509_pubkey_digest(x509, EVP_sha1(), digest, &len) == 1 && ASN1_STRING_length(key_hash) == (int)len &&
           memcmp(ASN1_STRING_get0_data(key_hash), digest, len) == 0;
}

/* 1: signed with this key; 0: not; -1: with an algorithm that is unknown or too weak. */
static int is_signed_with(OCSP_BASICRESP *basic, EVP_PKEY *key, struct err *err) {
    unsigned char *algorithm = NULL, *signed_part = NULL;
    int algorithm_len = i2d_X509_ALGOR(OCSP_resp_get0_tbs_sigalg(basic), &algorithm);
    int signed_len =
        ASN1_item_i2d((const void *)OCSP_resp_get0_respdata(basic), &signed_part, ASN1_ITEM_rptr(OCSP_RESPDATA));
    const ASN1_OCTET_STRING *signature = OCSP_resp_get0_signature(basic);
    int result = -1;
    struct sigcheck *sigcheck = NULL;
    if (algorithm_len > 0 && signed_len > 0)
        sigcheck = sigcheck_new(slice_make(algorithm, (size_t)algorithm_len), err);
    else
        (void)err_set(err, "the answer does not encode");
    if (sigcheck != NULL && sigcheck_is_weak(sigcheck))
        (void)err_set(err, "the answer is signed with SHA-1");
    else if (sigcheck != NULL)
        result = sigcheck_update(sigcheck, signed_part, (size_t)signed_len) &&
                 sigcheck_verify(sigcheck, key,
                                 slice_make(ASN1_STRING_get0_data(signature), (size_t)ASN1_STRING_length(signature)));
    sigcheck_free(&sigcheck);
    OPENSSL_free(algorithm);
    OPENSSL_free(signed_part);
    return result;
}

static bool is_strong(X509 *x509) {
    int bits = 0;
    const EVP_PKEY *key = X509_get0_pubkey(x509);
    return key != NULL && EVP_PKEY_get_security_bits(key) >= SECURITY_BITS &&
           X509_get_signature_info(x509, NULL, NULL, &bits, NULL) == 1 && bits >= SECURITY_BITS;
}

static bool is_valid_at(X509 *x509, time_t now) {
    return X509_cmp_time(X509_get0_notBefore(x509), &now) <= 0 && X509_cmp_time(X509_get0_notAfter(x509), &now) >= 0;
}

/* What is missing for a delegate; NULL: nothing. */
static const char *objection_to(X509 *x509, const struct ocsp_question *question, time_t now) {
    X509 *issuer = cert_x509(question->issuer);
    uint32_t flags = X509_get_extension_flags(x509);
    if (X509_NAME_cmp(X509_get_issuer_name(x509), X509_get_subject_name(issuer)) != 0 ||
        X509_verify(x509, X509_get0_pubkey(issuer)) != 1)
        return "it was not issued by the certificate's CA";
    if ((flags & EXFLAG_XKUSAGE) == 0 || (X509_get_extended_key_usage(x509) & XKU_OCSP_SIGN) == 0)
        return "it lacks extended key usage OCSPSigning";
    if ((X509_get_key_usage(x509) & KU_DIGITAL_SIGNATURE) == 0)
        return "its key usage does not let it sign";
    if (!is_valid_at(x509, now))
        return "it is not valid now";
    if (flags & (EXFLAG_CRITICAL | EXFLAG_INVALID))
        return "it has an extension that is malformed or not understood";
    return is_strong(x509) ? NULL : "its key or its signature is too weak";
}

static int check_delegate(OCSP_BASICRESP *basic, X509 *x509, const struct ocsp_question *question, time_t now,
                          struct ocsp_answer *answer, struct err *err) {
    const char *objection = objection_to(x509, question, now);
    if (objection != NULL)
        return ocsp_fail(answer, OCSP_BAD_RESPONDER, err, "the responder's certificate does not entitle it: %s",
                         objection);
    int result = is_signed_with(basic, X509_get0_pubkey(x509), err);
    if (result != 1)
        return ocsp_fail(answer, OCSP_BAD_SIGNATURE, err, "%s",
                         result == 0 ? "the answer's signature does not verify" : err->text);
    answer->responder = cert_from_x509(x509);
    answer->responder_needs_no_check = X509_get_ext_by_NID(x509, NID_id_pkix_OCSP_noCheck, -1) >= 0;
    return 0;
}

int ocsp_check_responder(OCSP_BASICRESP *basic, const struct ocsp_question *question, const struct ocsp_rules *rules,
                         struct ocsp_answer *answer, struct err *err) {
    const STACK_OF(X509) *sent = OCSP_resp_get0_certs(basic);
    X509 *issuer = cert_x509(question->issuer);
    char text[sizeof(err->text)];
    int result = 0;
    if (is_named(basic, issuer)) {
        result = is_signed_with(basic, X509_get0_pubkey(issuer), err);
        if (result == 1)
            return 0;
    }
    (void)snprintf(text, sizeof(text), "%s", err->text);
    for (int i = 0; i < sk_X509_num(sent) && i < SENT_MAX; i++)
        if (X509_cmp(sk_X509_value(sent, i), issuer) != 0 && is_named(basic, sk_X509_value(sent, i)))
            return check_delegate(basic, sk_X509_value(sent, i), question, rules->now, answer, err);
    if (result < 0)
        return ocsp_fail(answer, OCSP_BAD_SIGNATURE, err, "%s", text);
    if (is_named(basic, issuer))
        return ocsp_fail(answer, OCSP_BAD_SIGNATURE, err, "the answer's signature does not verify");
    return ocsp_fail(answer, OCSP_BAD_RESPONDER, err,
                     "the answer is not from the certificate's CA, nor from one that it names");
}
