/*
 * crl: a revocation list from bytes, file or PEM text to a verified index. Control side; workers only map what is made
 * here.
 *
 * The parser hands over entries and an unchecked signature; here the issuer is found among the CA certificates given,
 * the signature checked against each that fits, and only then is the index built.
 */
#include "pki/crl.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "base/mem.h"
#include "crl_parse_priv.h"
#include "name_priv.h"
#include "pem_priv.h"

/* Signature checks for one list: CAs of one name are few, but the file is the operator's. */
#define CANDIDATES_MAX 16

void crl_issuer_key_of(const struct cert *issuer, uint8_t out[SHA256_SIZE]) {
    memcpy(out, cert_issuer_key(issuer), SHA256_SIZE);
}

const char *crl_reason_text(int reason) {
    static const char *const texts[] = {"unspecified",        "keyCompromise", "cACompromise",
                                        "affiliationChanged", "superseded",    "cessationOfOperation",
                                        "certificateHold",    "unspecified",   "removeFromCRL",
                                        "privilegeWithdrawn", "aACompromise"};
    return reason >= 0 && (size_t)reason < sizeof(texts) / sizeof(*texts) ? texts[reason] : texts[0];
}

/* The certificate that signed; NULL with fault and err. */
static const struct cert *find_signer(struct crl_parse *parse, const struct cert_list *issuers) {
    const struct cert *unfit = NULL, *named = NULL;
    size_t tried = 0;
    for (size_t i = 0; i < issuers->count && tried < CANDIDATES_MAX; i++) {
        const struct cert *issuer = issuers->items[i];
        X509 *x509 = cert_x509(issuer);
        EVP_PKEY *key = X509_get0_pubkey(x509);
        if (X509_NAME_cmp(X509_get_subject_name(x509), parse->issuer) != 0 || key == NULL)
            continue;
        if ((X509_get_key_usage(x509) & KU_CRL_SIGN) == 0) { /* all bits are set when there is no keyUsage */
            unfit = issuer;
            continue;
        }
        named = issuer;
        tried++;
        if (sigcheck_verify(parse->sigcheck, key, slice_make(parse->signature, parse->signature_len)))
            return issuer;
    }
    char *text = name_rfc2253(parse->issuer);
    parse->fault = named ? CRL_BAD_SIGNATURE : CRL_UNKNOWN_ISSUER;
    if (named)
        (void)err_set(parse->err, "CRL signature does not verify with %s", text);
    else if (unfit)
        (void)err_set(parse->err, "CRL is from %s, whose keyUsage does not let it sign CRLs", text);
    else
        (void)err_set(parse->err, "CRL is from %s, which is none of the CA certificates here", text);
    mem_free(text);
    ERR_clear_error();
    return NULL;
}

static struct crl *finish_load(struct crl_parse *parse, const struct cert *signer) {
    crl_issuer_key_of(signer, parse->head.issuer_key);
    char *text = name_rfc2253(parse->issuer);
    struct crl *crl = crl_build(&parse->head, (const uint8_t(*)[SHA256_SIZE])parse->points, text, &parse->entries);
    mem_free(text);
    if (crl == NULL) {
        parse->fault = CRL_MALFORMED;
        (void)err_set(parse->err, "CRL is malformed: it holds one serial number hundreds of times");
    }
    return crl;
}

struct crl *crl_load_or_refuse(crl_read_fn *read, void *source, const struct cert_list *issuers,
                               struct crl_refusal *refusal_out, struct err *err) {
    struct crl *crl = NULL;
    struct crl_parse *parse = NEW(struct crl_parse);
    *refusal_out = (struct crl_refusal){.fault = CRL_OK};
    if (crl_parse(parse, read, source, err) == 0) {
        const struct cert *signer = find_signer(parse, issuers);
        if (signer != NULL)
            crl = finish_load(parse, signer);
    }
    refusal_out->fault = parse->fault;
    refusal_out->issuer_is_known = parse->issuer != NULL;
    memcpy(refusal_out->issuer_name, parse->head.issuer_name, SHA256_SIZE);
    crl_parse_fini(parse);
    mem_free(parse);
    return crl;
}

struct crl *crl_load(crl_read_fn *read, void *source, const struct cert_list *issuers, enum crl_fault *fault_out,
                     struct err *err) {
    struct crl_refusal refusal;
    struct crl *crl = crl_load_or_refuse(read, source, issuers, &refusal, err);
    *fault_out = refusal.fault;
    return crl;
}

/* --- files ---------------------------------------------------------------------------------------------------- */

static long read_descriptor(void *source, void *buf, size_t size) {
    ssize_t got;
    do
        got = read(*(const int *)source, buf, size);
    while (got < 0 && errno == EINTR);
    return (long)got;
}

/* A CRL in DER begins with a SEQUENCE of more than 127 bytes: 30 8x. PEM text, even with notes before it, does not. */
static bool is_der(int fd) {
    unsigned char head[2];
    return pread(fd, head, sizeof(head), 0) == (ssize_t)sizeof(head) && head[0] == 0x30 && (head[1] & 0x80);
}

static int each_block(int fd, const struct cert_list *issuers, const struct crl_sink *sink, struct err *err) {
    struct pem_stream *pem = NEW(struct pem_stream);
    size_t count = 0;
    int status = 0;
    pem_stream_init(pem, read_descriptor, &fd, "X509 CRL");
    while (status == 0 && pem_stream_find(pem)) {
        struct crl_refusal refusal;
        struct crl *crl = crl_load_or_refuse(pem_stream_read, pem, issuers, &refusal, err);
        count++;
        if (crl != NULL)
            sink->found(sink->arg, crl);
        else
            status = sink->refused(sink->arg, &refusal, err);
    }
    if (status == 0 && pem->has_failed)
        status = err_set(err, "cannot be read: %s", strerror(errno));
    if (status == 0 && count == 0) {
        (void)err_set(err, "holds no CRL (neither DER nor a \"BEGIN X509 CRL\" line)");
        status = sink->refused(sink->arg, &(struct crl_refusal){.fault = CRL_MALFORMED}, err);
    }
    mem_free(pem);
    return status;
}

static int each_list(int fd, const struct cert_list *issuers, const struct crl_sink *sink, struct err *err) {
    if (!is_der(fd))
        return each_block(fd, issuers, sink, err);
    struct crl_refusal refusal;
    struct crl *crl = crl_load_or_refuse(read_descriptor, &fd, issuers, &refusal, err);
    if (crl == NULL)
        return sink->refused(sink->arg, &refusal, err);
    sink->found(sink->arg, crl);
    return 0;
}

int crl_load_each(const char *path, const struct cert_list *issuers, const struct crl_sink *sink, struct err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, "cannot be opened: %s", strerror(errno));
    int status = each_list(fd, issuers, sink, err);
    close(fd);
    return status;
}

struct file_load {
    void (*found)(void *arg, struct crl *crl);
    void *arg;
    enum crl_fault fault;
};

static void pass_on(void *arg, struct crl *crl) {
    struct file_load *load = arg;
    load->found(load->arg, crl);
}

static int stop_at_refusal(void *arg, const struct crl_refusal *refusal, const struct err *err) {
    (void)err; /* stays as it is: the caller of crl_load_file gets it */
    struct file_load *load = arg;
    load->fault = refusal->fault;
    return -1;
}

int crl_load_file(const char *path, const struct cert_list *issuers, void (*found)(void *arg, struct crl *crl),
                  void *arg, enum crl_fault *fault_out, struct err *err) {
    struct file_load load = {.found = found, .arg = arg, .fault = CRL_OK};
    struct crl_sink sink = {.found = pass_on, .refused = stop_at_refusal, .arg = &load};
    int status = crl_load_each(path, issuers, &sink, err);
    *fault_out = status != 0 && load.fault == CRL_OK ? CRL_MALFORMED : load.fault;
    return status;
}

/* --- scope ---------------------------------------------------------------------------------------------------- */

static void digest_of_directory_name(const X509_NAME *name, uint8_t out[SHA256_SIZE]) {
    uint8_t folded[1 + SHA256_SIZE] = {GEN_DIRNAME};
    name_digest(name, folded + 1);
    sha256(slice_make(folded, sizeof(folded)), out);
}

size_t crl_point_digests(DIST_POINT_NAME *name, const X509_NAME *issuer, uint8_t (*points_out)[SHA256_SIZE],
                         size_t max) {
    if (name->type == 1) { /* relative to the issuer: the full name is made first */
        if (max == 0 || DIST_POINT_set_dpname(name, issuer) != 1 || name->dpname == NULL)
            return 0;
        digest_of_directory_name(name->dpname, points_out[0]);
        return 1;
    }
    size_t count = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(name->name.fullname) && count < max; i++) {
        GENERAL_NAME *general = sk_GENERAL_NAME_value(name->name.fullname, i);
        unsigned char *der = NULL;
        if (general->type == GEN_DIRNAME) {
            digest_of_directory_name(general->d.directoryName, points_out[count++]);
            continue;
        }
        int len = i2d_GENERAL_NAME(general, &der);
        if (len > 0)
            sha256(slice_make(der, (size_t)len), points_out[count++]);
        OPENSSL_free(der);
    }
    return count;
}

uint32_t crl_reason_mask(const ASN1_BIT_STRING *flags) {
    uint32_t mask = 0;
    if (flags->length > 0)
        mask = flags->data[0];
    if (flags->length > 1)
        mask |= (uint32_t)flags->data[1] << 8;
    return mask & CRL_ALL_REASONS;
}
