/*
 * crl_parse: the grammar of RFC 5280 5.1, read as a stream in one pass.
 *
 *   CertificateList ::= SEQUENCE {
 *       tbsCertList SEQUENCE { version?, signature, issuer, thisUpdate, nextUpdate?, revokedCertificates?,
 *                                [0] crlExtensions? },
 *       signatureAlgorithm, signatureValue }
 *
 * Both hashes (of the list, and of what is signed) are fed from the stream's window as it moves on. What stands before
 * the dates must fit in the first window, since the algorithm of the signed part's hash is found there. Critical
 * extensions that are not understood are refused; so is an entry of another issuer (5.3.3) in a list that does not say,
 * after its entries, that it is indirect.
 */
#include "crl_parse_priv.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>

#include "base/mem.h"
#include "name_priv.h"

#define NAME_MAX_LEN (64 * 1024)
#define EXTENSIONS_MAX (128 * 1024)
#define ENTRY_MAX (16 * 1024)
#define REASON_MAX 10

static int fail(struct crl_parse *parse, enum crl_fault fault, const char *format, ...) PRINTF_LIKE(3, 4);
static int fail(struct crl_parse *parse, enum crl_fault fault, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    parse->fault = fault;
    return err_set(parse->err, "CRL %s", text);
}

static int malformed(struct crl_parse *parse, const char *what) {
    if (parse->is_too_large)
        return fail(parse, CRL_UNSUPPORTED, "is signed with EdDSA and larger than 64 MiB, which is not supported");
    return fail(parse, CRL_MALFORMED, "is malformed or cut off at byte %llu: %s",
                (unsigned long long)parse->stream.offset, what);
}

/* The stream's tap: feeds the two hashes. */
static bool feed_hashes(void *arg, uint64_t offset, const uint8_t *bytes, size_t len) {
    struct crl_parse *parse = arg;
    if (parse->sigcheck == NULL)
        return false; /* the window moves before the algorithm is known */
    if (EVP_DigestUpdate(parse->digest, bytes, len) != 1)
        return false;
    uint64_t from = offset > parse->tbs_start ? offset : parse->tbs_start;
    uint64_t to = offset + len < parse->tbs_end ? offset + len : parse->tbs_end;
    if (from < to && !sigcheck_update(parse->sigcheck, bytes + (from - offset), (size_t)(to - from)))
        parse->is_too_large = true;
    return !parse->is_too_large;
}

/* Steps into a constructed element that must end by `limit`; its own end. */
static int enter(struct crl_parse *parse, uint8_t tag, uint64_t limit, uint64_t *end_out) {
    struct der_header header;
    if (!der_stream_header(&parse->stream, &header) || header.tag != tag)
        return -1;
    der_stream_pass(&parse->stream, header.header_len);
    if (header.content_len > limit - parse->stream.offset)
        return -1;
    *end_out = parse->stream.offset + header.content_len;
    return 0;
}

/* The tag of the next element before `limit`; 0 if there is none. */
static uint8_t peek(struct crl_parse *parse, uint64_t limit) {
    const uint8_t *at = parse->stream.offset < limit ? der_stream_need(&parse->stream, 1) : NULL;
    return at ? *at : 0;
}

/* One whole element of at most max bytes, with its header; valid until the next look at the stream. */
static int take(struct crl_parse *parse, size_t max, uint64_t limit, struct slice *element_out) {
    struct der_header header;
    if (!der_stream_header(&parse->stream, &header))
        return -1;
    uint64_t len = header.header_len + header.content_len;
    if (len > max || len > limit - parse->stream.offset)
        return -1;
    const uint8_t *at = der_stream_need(&parse->stream, (size_t)len);
    if (at == NULL)
        return -1;
    *element_out = slice_make(at, (size_t)len);
    der_stream_pass(&parse->stream, (size_t)len);
    return 0;
}

static int take_time(struct crl_parse *parse, int64_t *time_out) {
    struct slice element, content;
    struct der_header header;
    time_t time;
    if (take(parse, 32, parse->tbs_end, &element) != 0 || !der_next(&element, &header, &content) ||
        !der_time(header.tag, content, &time))
        return -1;
    *time_out = time;
    return 0;
}

/* --- extensions ----------------------------------------------------------------------------------------------- */

struct extension {
    struct slice oid, value;
    bool is_critical;
};

static bool take_extension(struct slice *rest, struct extension *extension_out) {
    struct slice body, flag;
    *extension_out = (struct extension){.is_critical = false};
    if (!der_take(rest, DER_SEQUENCE, &body) || !der_take(&body, DER_OID, &extension_out->oid))
        return false;
    if (der_peek_tag(body) == DER_BOOLEAN &&
        (!der_take(&body, DER_BOOLEAN, &flag) || !der_boolean(flag, &extension_out->is_critical)))
        return false;
    return der_take(&body, DER_OCTET_STRING, &extension_out->value) && body.len == 0;
}

/* id-ce: 2.5.29.last */
static bool is_ce(const struct extension *extension, uint8_t last) {
    return extension->oid.len == 3 && memcmp(extension->oid.ptr, "\x55\x1d", 2) == 0 &&
           (uint8_t)extension->oid.ptr[2] == last;
}

enum {
    CE_CRL_NUMBER = 20,
    CE_REASON_CODE = 21,
    CE_DELTA = 27,
    CE_SCOPE = 28,
    CE_CERTIFICATE_ISSUER = 29,
    CE_AUTHORITY_KEY = 35
};

static int refuse_critical(struct crl_parse *parse, const struct extension *extension) {
    char name[80] = "?";
    const unsigned char *at = (const unsigned char *)extension->oid.ptr - 2; /* with tag and length again */
    ASN1_OBJECT *object = extension->oid.len < 0x80 ? d2i_ASN1_OBJECT(NULL, &at, (long)extension->oid.len + 2) : NULL;
    if (object != NULL)
        OBJ_obj2txt(name, sizeof(name), object, 1);
    ASN1_OBJECT_free(object);
    ERR_clear_error();
    return fail(parse, CRL_UNSUPPORTED, "has the critical extension %s, which is not understood", name);
}

/* A number without its leading zeros. */
static int take_number(struct crl_parse *parse, const struct extension *extension, const char *what,
                       uint8_t number_out[CRL_NUMBER_MAX], uint32_t *len_out) {
    struct slice rest = extension->value, number;
    if (!der_take(&rest, DER_INTEGER, &number) || rest.len != 0 || number.len == 0 || (number.ptr[0] & 0x80))
        return malformed(parse, what);
    while (number.len > 0 && number.ptr[0] == 0)
        number = slice_after(number, 1);
    if (number.len > CRL_NUMBER_MAX)
        return malformed(parse, what);
    memcpy(number_out, number.ptr, number.len);
    *len_out = (uint32_t)number.len;
    return 0;
}

static int read_number(struct crl_parse *parse, const struct extension *extension) {
    parse->head.flags |= CRL_HAS_NUMBER;
    if (!extension->is_critical)
        parse->head.flags &= ~(uint32_t)CRL_NOT_STRICT;
    return take_number(parse, extension, "cRLNumber", parse->head.number, &parse->head.number_len);
}

static int read_delta(struct crl_parse *parse, const struct extension *extension) {
    parse->head.flags |= CRL_IS_DELTA;
    return take_number(parse, extension, "BaseCRLNumber", parse->head.base_number, &parse->head.base_number_len);
}

static int apply_scope(struct crl_parse *parse, const ISSUING_DIST_POINT *scope) {
    if ((scope->onlyuser > 0) + (scope->onlyCA > 0) + (scope->onlyattr > 0) > 1)
        return malformed(parse, "issuingDistributionPoint contradicts itself");
    if (scope->indirectCRL > 0)
        parse->head.flags |= CRL_IS_INDIRECT;
    if (scope->onlyuser > 0 || scope->onlyattr > 0)
        parse->head.flags &= ~(uint32_t)CRL_COVERS_CAS;
    if (scope->onlyCA > 0 || scope->onlyattr > 0)
        parse->head.flags &= ~(uint32_t)CRL_COVERS_LEAVES;
    if (scope->onlysomereasons != NULL)
        parse->head.reasons = crl_reason_mask(scope->onlysomereasons);
    if (scope->distpoint != NULL) {
        size_t count = crl_point_digests(scope->distpoint, parse->issuer, parse->points, CRL_POINTS_MAX);
        if (count == 0)
            return fail(parse, CRL_UNSUPPORTED, "names a distribution point in a way that is not understood");
        parse->head.point_count = (uint32_t)count;
    }
    return 0;
}

static int read_scope(struct crl_parse *parse, const struct extension *extension) {
    const unsigned char *at = (const unsigned char *)extension->value.ptr, *end = at + extension->value.len;
    ISSUING_DIST_POINT *scope = d2i_ISSUING_DIST_POINT(NULL, &at, (long)extension->value.len);
    int status = -1;
    if (scope == NULL || at != end)
        status = malformed(parse, "issuingDistributionPoint");
    else
        status = apply_scope(parse, scope);
    sha256(extension->value, parse->head.scope);
    ISSUING_DIST_POINT_free(scope);
    ERR_clear_error();
    return status;
}

static int read_list_extension(struct crl_parse *parse, const struct extension *extension) {
    if (is_ce(extension, CE_CRL_NUMBER))
        return read_number(parse, extension);
    if (is_ce(extension, CE_SCOPE))
        return read_scope(parse, extension);
    if (is_ce(extension, CE_DELTA))
        return read_delta(parse, extension);
    if (extension->is_critical && !is_ce(extension, CE_AUTHORITY_KEY))
        return refuse_critical(parse, extension);
    return 0;
}

/* Does the same extension stand before this one? rest: all of them. */
static bool is_repeated(struct slice all, const struct extension *extension) {
    struct extension other;
    while (take_extension(&all, &other) && other.oid.ptr != extension->oid.ptr)
        if (slice_eq(other.oid, extension->oid))
            return true;
    return false;
}

#define LIST_EXTENSIONS_MAX 64

static int take_list_extensions(struct crl_parse *parse) {
    struct slice element, tagged, all;
    struct extension extension;
    if (!parse->is_v2)
        return malformed(parse, "extensions in a version 1 list");
    if (take(parse, EXTENSIONS_MAX, parse->tbs_end, &element) != 0 || !der_take(&element, 0xa0, &tagged) ||
        !der_take(&tagged, DER_SEQUENCE, &all) || tagged.len != 0 || all.len == 0)
        return malformed(parse, "extensions");
    int count = 0;
    for (struct slice rest = all; rest.len > 0;) {
        if (!take_extension(&rest, &extension) || ++count > LIST_EXTENSIONS_MAX || is_repeated(all, &extension))
            return malformed(parse, "extension");
        if (read_list_extension(parse, &extension) != 0)
            return -1;
    }
    return 0;
}

/* --- entries -------------------------------------------------------------------------------------------------- */

/* From this entry on: names of this issuer. */
static int apply_certificate_issuer(struct crl_parse *parse, const GENERAL_NAMES *names) {
    const X509_NAME *found = NULL;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DIRNAME)
            continue;
        if (found != NULL)
            return fail(parse, CRL_UNSUPPORTED, "has an entry with two certificate issuers");
        found = name->d.directoryName;
    }
    if (found == NULL)
        return fail(parse, CRL_UNSUPPORTED, "has an entry whose certificate issuer is not a directory name");
    name_digest(found, parse->foreign_issuer);
    parse->has_foreign_entry = true;
    parse->is_foreign = memcmp(parse->foreign_issuer, parse->head.issuer_name, SHA256_SIZE) != 0;
    return 0;
}

static int read_certificate_issuer(struct crl_parse *parse, const struct extension *extension) {
    const unsigned char *at = (const unsigned char *)extension->value.ptr, *end = at + extension->value.len;
    GENERAL_NAMES *names = d2i_GENERAL_NAMES(NULL, &at, (long)extension->value.len);
    int status = -1;
    if (names == NULL || at != end)
        status = malformed(parse, "certificateIssuer");
    else
        status = apply_certificate_issuer(parse, names);
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    return status;
}

static int read_reason(struct crl_parse *parse, const struct extension *extension, int *reason_out) {
    struct slice value = extension->value, reason;
    if (!der_take(&value, DER_ENUMERATED, &reason) || value.len != 0 || reason.len != 1 ||
        (uint8_t)reason.ptr[0] > REASON_MAX)
        return malformed(parse, "reasonCode");
    *reason_out = (uint8_t)reason.ptr[0];
    return 0;
}

static int read_entry_extensions(struct crl_parse *parse, struct slice rest, int *reason_out) {
    struct extension extension;
    int status = 0;
    while (rest.len > 0 && status == 0) {
        if (!take_extension(&rest, &extension))
            return malformed(parse, "extension of an entry");
        if (is_ce(&extension, CE_REASON_CODE))
            status = read_reason(parse, &extension, reason_out);
        else if (is_ce(&extension, CE_CERTIFICATE_ISSUER))
            status = read_certificate_issuer(parse, &extension);
        else if (extension.is_critical)
            status = refuse_critical(parse, &extension);
    }
    return status;
}

static int take_entry(struct crl_parse *parse, uint64_t list_end) {
    struct slice element, body, serial, date, extensions;
    struct der_header header;
    struct crl_entry entry = {.reason = -1};
    if (take(parse, ENTRY_MAX, list_end, &element) != 0 || !der_take(&element, DER_SEQUENCE, &body) ||
        !der_take(&body, DER_INTEGER, &serial) || !der_next(&body, &header, &date) ||
        !der_time(header.tag, date, &entry.revoked_at))
        return malformed(parse, "entry");
    if (body.len > 0) {
        if (!parse->is_v2 || !der_take(&body, DER_SEQUENCE, &extensions) || body.len != 0)
            return malformed(parse, "entry");
        if (read_entry_extensions(parse, extensions, &entry.reason) != 0)
            return -1;
    }
    if (!crl_entries_add(&parse->entries, parse->is_foreign ? parse->foreign_issuer : NULL, serial, &entry))
        return malformed(parse, "serial number of no or over 237 bytes, or too many entries");
    return 0;
}

static int take_entries(struct crl_parse *parse) {
    uint64_t list_end;
    if (enter(parse, DER_SEQUENCE, parse->tbs_end, &list_end) != 0)
        return malformed(parse, "revokedCertificates");
    while (parse->stream.offset < list_end)
        if (take_entry(parse, list_end) != 0)
            return -1;
    return 0;
}

/* --- the list ------------------------------------------------------------------------------------------------- */

static int take_issuer(struct crl_parse *parse) {
    struct slice element;
    if (take(parse, NAME_MAX_LEN, parse->tbs_end, &element) != 0)
        return malformed(parse, "issuer");
    const unsigned char *at = (const unsigned char *)element.ptr, *end = at + element.len;
    parse->issuer = d2i_X509_NAME(NULL, &at, (long)element.len);
    ERR_clear_error();
    if (parse->issuer == NULL || at != end)
        return malformed(parse, "issuer");
    if (X509_NAME_entry_count(parse->issuer) == 0)
        return malformed(parse, "issuer is empty");
    name_digest(parse->issuer, parse->head.issuer_name);
    return 0;
}

static int take_version(struct crl_parse *parse) {
    struct slice element;
    if (peek(parse, parse->tbs_end) != DER_INTEGER)
        return 0;
    if (take(parse, 3, parse->tbs_end, &element) != 0 || !slice_eq(element, SLICE("\x02\x01\x01")))
        return malformed(parse, "version");
    parse->is_v2 = true;
    return 0;
}

static int take_algorithm(struct crl_parse *parse) {
    struct slice element;
    if (take(parse, sizeof(parse->algorithm_copy), parse->tbs_end, &element) != 0)
        return malformed(parse, "signature algorithm");
    memcpy(parse->algorithm_copy, element.ptr, element.len);
    parse->algorithm = slice_make(parse->algorithm_copy, element.len);
    return 0;
}

/* Version to issuer: all of it is in the first window, the tap has seen nothing yet. */
static int parse_beginning(struct crl_parse *parse) {
    uint64_t outer_end = 0;
    if (enter(parse, DER_SEQUENCE, INT64_MAX, &outer_end) != 0)
        return malformed(parse, "not a SEQUENCE");
    parse->tbs_start = parse->stream.offset;
    if (enter(parse, DER_SEQUENCE, outer_end, &parse->tbs_end) != 0)
        return malformed(parse, "no tbsCertList");
    if (take_version(parse) != 0 || take_algorithm(parse) != 0 || take_issuer(parse) != 0)
        return -1;
    parse->sigcheck = sigcheck_new(parse->algorithm, parse->err);
    if (parse->sigcheck == NULL) {
        parse->fault = CRL_UNSUPPORTED;
        return err_context(parse->err, "CRL");
    }
    if (sigcheck_is_weak(parse->sigcheck))
        parse->head.flags |= CRL_WEAK_DIGEST;
    return 0;
}

/* What extensions of the list and of its entries say together. */
static int check_kind(struct crl_parse *parse) {
    if (parse->has_foreign_entry && (parse->head.flags & CRL_IS_INDIRECT) == 0)
        return fail(parse, CRL_UNSUPPORTED,
                    "has an entry with a certificate issuer and does not say that it is indirect");
    if ((parse->head.flags & CRL_IS_DELTA) && (parse->head.flags & CRL_HAS_NUMBER) == 0)
        return malformed(parse, "delta without a CRL number");
    return 0;
}

static int parse_middle(struct crl_parse *parse) {
    uint64_t end = parse->tbs_end;
    if (take_time(parse, &parse->head.this_update) != 0)
        return malformed(parse, "thisUpdate");
    uint8_t tag = peek(parse, end);
    if ((tag == DER_UTC_TIME || tag == DER_GENERALIZED_TIME) && take_time(parse, &parse->head.next_update) != 0)
        return malformed(parse, "nextUpdate");
    if (peek(parse, end) == DER_SEQUENCE && take_entries(parse) != 0)
        return -1;
    if (peek(parse, end) == 0xa0 && take_list_extensions(parse) != 0)
        return -1;
    if (parse->stream.offset != end)
        return malformed(parse, "something that does not belong there");
    return check_kind(parse);
}

static int parse_end(struct crl_parse *parse) {
    struct slice element, bits;
    if (take(parse, sizeof(parse->algorithm_copy), INT64_MAX, &element) != 0 || !slice_eq(element, parse->algorithm))
        return malformed(parse, "the two signature algorithms differ");
    if (take(parse, sizeof(parse->signature), INT64_MAX, &element) != 0 || !der_take(&element, DER_BIT_STRING, &bits) ||
        bits.len < 2 || bits.ptr[0] != 0)
        return malformed(parse, "signature");
    parse->signature_len = bits.len - 1;
    memcpy(parse->signature, bits.ptr + 1, parse->signature_len);
    return 0;
}

/* The outer length, against what was read; nothing may follow. */
static int check_end(struct crl_parse *parse, uint64_t outer_end) {
    if (parse->stream.offset != outer_end || !der_stream_is_at_end(&parse->stream))
        return malformed(parse, "bytes after its end");
    if (!der_stream_flush(&parse->stream))
        return malformed(parse, "it is too large");
    unsigned len = 0;
    INVARIANT(EVP_DigestFinal_ex(parse->digest, parse->head.digest, &len) == 1 && len == SHA256_SIZE);
    return 0;
}

int crl_parse(struct crl_parse *parse, crl_read_fn *read, void *source, struct err *err) {
    *parse = (struct crl_parse){.fault = CRL_OK, .err = err};
    parse->head.flags = CRL_COVERS_LEAVES | CRL_COVERS_CAS | CRL_NOT_STRICT;
    parse->head.reasons = CRL_ALL_REASONS;
    der_stream_init(&parse->stream, read, source, feed_hashes, parse);
    parse->digest = EVP_MD_CTX_new();
    INVARIANT(parse->digest != NULL && EVP_DigestInit_ex(parse->digest, EVP_sha256(), NULL) == 1);
    struct der_header outer;
    if (!der_stream_header(&parse->stream, &outer))
        return malformed(parse, "not DER");
    uint64_t outer_end = outer.header_len + outer.content_len;
    if (parse_beginning(parse) != 0 || parse_middle(parse) != 0 || parse_end(parse) != 0)
        return -1;
    return check_end(parse, outer_end);
}

void crl_parse_fini(struct crl_parse *parse) {
    der_stream_fini(&parse->stream);
    sigcheck_free(&parse->sigcheck);
    EVP_MD_CTX_free(parse->digest);
    crl_entries_fini(&parse->entries);
    X509_NAME_free(parse->issuer);
}
