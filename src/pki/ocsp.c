/*
 * ocsp: see pki/ocsp.h. Works on bytes and on `now`; keeps nothing. In the order of ocsp_response_read(): shape and
 * size, the responder and its signature (ocsp_responder.c), critical extensions, nonce, and only then what the answer
 * says of our certificate. Of several answers about it the one that revokes counts, else the newest.
 */
#include "pki/ocsp.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>

#include "base/clock.h"
#include "base/mem.h"
#include "name_priv.h"
#include "ocsp_priv.h"

#define SINGLES_MAX 64

int ocsp_fail(struct ocsp_answer *answer, enum ocsp_fault fault, struct err *err, const char *format, ...) {
    char text[sizeof(err->text)];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    answer->fault = fault;
    return err_set(err, "OCSP: %.200s", text);
}

/* --- request -------------------------------------------------------------------------------------------------- */

static OCSP_CERTID *make_id(const EVP_MD *digest, const struct ocsp_question *question) {
    return OCSP_cert_to_id(digest, cert_x509(question->cert), cert_x509(question->issuer));
}

int ocsp_request_write(const struct ocsp_question *question, struct sbuf *out, struct err *err) {
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    OCSP_CERTID *id = make_id(EVP_sha1(), question);
    unsigned char *der = NULL;
    int status = -1, len = 0;
    INVARIANT(question->nonce.len <= OCSP_NONCE_MAX);
    if (request != NULL && id != NULL && OCSP_request_add0_id(request, id) != NULL) {
        id = NULL; /* the request's own now */
        bool has_nonce = question->nonce.len == 0 ||
                         OCSP_request_add1_nonce(request, (unsigned char *)(uintptr_t)question->nonce.ptr,
                                                 (int)question->nonce.len) == 1;
        len = has_nonce ? i2d_OCSP_REQUEST(request, &der) : -1;
    }
    if (len > 0) {
        sbuf_append(out, slice_make(der, (size_t)len));
        status = 0;
    } else {
        openssl_drain(err, "an OCSP request cannot be made");
    }
    OPENSSL_free(der);
    OCSP_CERTID_free(id);
    OCSP_REQUEST_free(request);
    ERR_clear_error();
    return status;
}

size_t ocsp_urls(const struct cert *cert, char **urls_out, size_t max) {
    STACK_OF(OPENSSL_STRING) *urls = X509_get1_ocsp(cert_x509(cert));
    size_t count = 0;
    for (int i = 0; i < sk_OPENSSL_STRING_num(urls) && count < max; i++) {
        struct slice url = slice_of(sk_OPENSSL_STRING_value(urls, i));
        if (url.len > 7 && slice_eq_nocase(slice_first(url, 7), SLICE("http://")))
            urls_out[count++] = mem_strndup(url.ptr, url.len);
    }
    X509_email_free(urls);
    ERR_clear_error();
    return count;
}

/* --- response ------------------------------------------------------------------------------------------------- */

/* Of the whole answer: a nonce is understood. */
static bool has_unknown_critical(OCSP_BASICRESP *basic) {
    for (int i = 0; i < OCSP_BASICRESP_get_ext_count(basic); i++) {
        X509_EXTENSION *extension = OCSP_BASICRESP_get_ext(basic, i);
        if (X509_EXTENSION_get_critical(extension) &&
            OBJ_obj2nid(X509_EXTENSION_get_object(extension)) != NID_id_pkix_OCSP_Nonce)
            return true;
    }
    return false;
}

static bool has_critical(OCSP_SINGLERESP *single) {
    for (int i = 0; i < OCSP_SINGLERESP_get_ext_count(single); i++)
        if (X509_EXTENSION_get_critical(OCSP_SINGLERESP_get_ext(single, i)))
            return true;
    return false;
}

/* The nonce extension holds an OCTET STRING in its own value; some responders leave that out. */
static bool is_our_nonce(X509_EXTENSION *extension, struct slice nonce) {
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(extension);
    const unsigned char *at = ASN1_STRING_get0_data(value);
    size_t len = (size_t)ASN1_STRING_length(value);
    if (len == nonce.len + 2 && at[0] == V_ASN1_OCTET_STRING && at[1] == nonce.len)
        at += 2;
    else if (len != nonce.len)
        return false;
    return memcmp(at, nonce.ptr, nonce.len) == 0;
}

static int check_nonce(OCSP_BASICRESP *basic, const struct ocsp_question *question, const struct ocsp_rules *rules,
                       struct ocsp_answer *answer, struct err *err) {
    int index = OCSP_BASICRESP_get_ext_by_NID(basic, NID_id_pkix_OCSP_Nonce, -1);
    if (question->nonce.len == 0)
        return 0;
    if (index < 0)
        return rules->needs_nonce ? ocsp_fail(answer, OCSP_BAD_NONCE, err, "the answer lacks our nonce") : 0;
    if (!is_our_nonce(OCSP_BASICRESP_get_ext(basic, index), question->nonce))
        return ocsp_fail(answer, OCSP_BAD_NONCE, err, "the answer's nonce is not ours");
    return 0;
}

/* Is this the certificate, by the hash that the answer uses? SHA-1 and SHA-2 are known. */
static bool is_about(OCSP_SINGLERESP *single, const struct ocsp_question *question) {
    OCSP_CERTID *id = (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single);
    ASN1_OBJECT *algorithm = NULL;
    if (id == NULL || OCSP_id_get0_info(NULL, &algorithm, NULL, NULL, id) != 1)
        return false;
    int nid = OBJ_obj2nid(algorithm);
    if (nid != NID_sha1 && nid != NID_sha256 && nid != NID_sha384 && nid != NID_sha512)
        return false;
    OCSP_CERTID *ours = make_id(EVP_get_digestbynid(nid), question);
    bool is_same = ours != NULL && OCSP_id_cmp(id, ours) == 0;
    OCSP_CERTID_free(ours);
    return is_same;
}

static enum ocsp_status status_of(int status) {
    return status == V_OCSP_CERTSTATUS_GOOD      ? OCSP_GOOD
           : status == V_OCSP_CERTSTATUS_REVOKED ? OCSP_REVOKED
                                                 : OCSP_UNKNOWN;
}

#define REASON_LAST 10 /* aACompromise: RFC 5280 5.3.1 */

/* What is said beside "revoked" is for people: however odd it is, the word itself counts. */
static void read_revocation(const ASN1_GENERALIZEDTIME *revoked, int reason, struct ocsp_answer *out) {
    time_t at = revoked ? asn1_time(revoked) : 0;
    out->revoked_at = at > 0 ? at : 0;
    out->reason = out->status == OCSP_REVOKED && reason >= 0 && reason <= REASON_LAST ? reason : -1;
}

/* One answer's dates and status into out; false with fault and err when it cannot be used. */
static bool read_single(OCSP_SINGLERESP *single, const struct ocsp_rules *rules, struct ocsp_answer *out,
                        struct err *err) {
    ASN1_GENERALIZEDTIME *revoked = NULL, *from = NULL, *until = NULL;
    char when[CLOCK_TEXT_SIZE];
    int reason = -1;
    out->status = status_of(OCSP_single_get0_status(single, &reason, &revoked, &from, &until));
    out->this_update = asn1_time(from);
    out->next_update = until ? asn1_time(until) : 0;
    read_revocation(revoked, reason, out);
    out->usable_until = until ? out->next_update : out->this_update + rules->max_age_seconds;
    out->fault = OCSP_OK;
    if (has_critical(single))
        return ocsp_fail(out, OCSP_UNSUPPORTED, err, "the answer has a critical extension") == 0;
    if (from == NULL || out->this_update == 0 || (until != NULL && out->next_update < out->this_update))
        return ocsp_fail(out, OCSP_MALFORMED, err, "the answer's dates make no sense") == 0;
    if (out->this_update > rules->now + rules->skew_seconds)
        return ocsp_fail(out, OCSP_NOT_CURRENT, err, "the answer is valid only from %s",
                         clock_format(out->this_update, when)) == 0;
    if (out->usable_until < rules->now - rules->skew_seconds)
        return ocsp_fail(out, OCSP_NOT_CURRENT, err, "the answer was valid until %s",
                         clock_format(out->usable_until, when)) == 0;
    return true;
}

static bool is_better(const struct ocsp_answer *one, const struct ocsp_answer *than) {
    if (than->fault != OCSP_OK)
        return true;
    if ((one->status == OCSP_REVOKED) != (than->status == OCSP_REVOKED))
        return one->status == OCSP_REVOKED;
    return one->this_update > than->this_update;
}

static int read_singles(OCSP_BASICRESP *basic, const struct ocsp_question *question, const struct ocsp_rules *rules,
                        struct ocsp_answer *answer, struct err *err) {
    struct ocsp_answer best = *answer;
    (void)ocsp_fail(&best, OCSP_NOT_ANSWERED, err, "the answer is not about this certificate");
    for (int i = 0; i < OCSP_resp_count(basic) && i < SINGLES_MAX; i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        struct ocsp_answer one = *answer;
        struct err fault = {""};
        if (!is_about(single, question))
            continue;
        bool is_usable = read_single(single, rules, &one, &fault);
        if (is_usable ? is_better(&one, &best) : best.fault != OCSP_OK) {
            best = one;
            *err = fault;
        }
    }
    *answer = best;
    return best.fault == OCSP_OK ? 0 : -1;
}

static int read_basic(OCSP_BASICRESP *basic, const struct ocsp_question *question, const struct ocsp_rules *rules,
                      struct ocsp_answer *answer, struct err *err) {
    if (ocsp_check_responder(basic, question, rules, answer, err) != 0)
        return -1;
    if (has_unknown_critical(basic))
        return ocsp_fail(answer, OCSP_UNSUPPORTED, err, "the answer has a critical extension");
    if (check_nonce(basic, question, rules, answer, err) != 0)
        return -1;
    return read_singles(basic, question, rules, answer, err);
}

static int read_response(OCSP_RESPONSE *response, const struct ocsp_question *question, const struct ocsp_rules *rules,
                         struct ocsp_answer *answer, struct err *err) {
    int code = OCSP_response_status(response);
    if (code != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        return ocsp_fail(answer, OCSP_UNSUCCESSFUL, err, "the responder says: %s", OCSP_response_status_str(code));
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
    if (basic == NULL)
        return ocsp_fail(answer, OCSP_MALFORMED, err, "the answer is not of the basic type");
    int status = read_basic(basic, question, rules, answer, err);
    OCSP_BASICRESP_free(basic);
    return status;
}

int ocsp_response_read(struct slice response, const struct ocsp_question *question, const struct ocsp_rules *rules,
                       struct ocsp_answer *answer_out, struct err *err) {
    const unsigned char *at = (const unsigned char *)response.ptr;
    OCSP_RESPONSE *decoded = NULL;
    int status = -1;
    *answer_out = (struct ocsp_answer){.fault = OCSP_MALFORMED, .status = OCSP_UNKNOWN, .reason = -1};
    if (response.len > OCSP_RESPONSE_MAX) {
        (void)ocsp_fail(answer_out, OCSP_MALFORMED, err, "the answer is larger than %d bytes", OCSP_RESPONSE_MAX);
    } else {
        decoded = d2i_OCSP_RESPONSE(NULL, &at, (long)response.len);
        if (decoded == NULL || (const char *)at != response.ptr + response.len)
            (void)ocsp_fail(answer_out, OCSP_MALFORMED, err, "the answer does not decode");
        else
            status = read_response(decoded, question, rules, answer_out, err);
    }
    OCSP_RESPONSE_free(decoded);
    ERR_clear_error();
    return status;
}

void ocsp_answer_fini(struct ocsp_answer *answer) { cert_unref(&answer->responder); }
