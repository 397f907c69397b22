/*
 * identity: a certificate's facts as text, in an arena of its own. Made by tls/peer once per connection, at its first
 * request, and by the commands that judge offline; read by policy, headers and logs.
 *
 * Strings of any ASN.1 type become UTF-8. A name that holds NUL or another control character is not offered for
 * comparison at all (sec-18); the DNs, which are for showing, have them escaped.
 */
#include "pki/identity.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "base/arena.h"
#include "base/encode.h"
#include "base/mem.h"
#include "name_priv.h"

#define ARENA_FIRST (8 * 1024)
#define TEXTS_MAX 1024 /* of one kind; a certificate list is 32 KiB, so nothing honest is cut */

static struct slice hex_text(struct arena *arena, const void *bytes, size_t len,
                             char *(*encode)(const void *, size_t, char *)) {
    if (len == 0)
        return SLICE("");
    return slice_make(encode(bytes, len, arena_bytes(arena, 2 * len + 1)), 2 * len);
}

/* Nothing below a blank, no DEL, no C1 control characters (U+0080 to U+009F, in UTF-8 c2 80 to c2 9f). */
static bool is_plain(const unsigned char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (text[i] < 0x20 || text[i] == 0x7f)
            return false;
        if (text[i] == 0xc2 && i + 1 < len && text[i + 1] < 0xa0)
            return false;
    }
    return true;
}

/* As UTF-8; SLICE_NONE when it does not convert, is empty, or is not plain. */
static struct slice string_text(struct arena *arena, const ASN1_STRING *string) {
    unsigned char *text = NULL;
    struct slice copy = SLICE_NONE;
    int len = ASN1_STRING_to_UTF8(&text, string);
    if (len > 0 && is_plain(text, (size_t)len))
        copy = arena_dup(arena, slice_make(text, (size_t)len));
    OPENSSL_free(text);
    return copy;
}

/* --- names ---------------------------------------------------------------------------------------------------- */

/* The one CN of a name; SLICE_NONE when there are several, or it is not plain (sec-19). */
static struct slice common_name(struct arena *arena, const X509_NAME *name) {
    int first = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (first < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, first) >= 0)
        return SLICE_NONE;
    return string_text(arena, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, first)));
}

static void texts_init(struct arena *arena, struct texts *texts, int count) {
    if (count > TEXTS_MAX)
        count = TEXTS_MAX;
    *texts = (struct texts){.items = count > 0 ? ARENA_ARRAY(arena, struct slice, (size_t)count) : NULL};
}

static void texts_add(struct texts *texts, struct slice text) {
    if (text.ptr != NULL && texts->items != NULL && texts->count < TEXTS_MAX)
        texts->items[texts->count++] = text;
}

static struct texts attributes(struct arena *arena, const X509_NAME *name, int nid) {
    struct texts texts;
    texts_init(arena, &texts, X509_NAME_entry_count(name));
    for (int i = X509_NAME_get_index_by_NID(name, nid, -1); i >= 0; i = X509_NAME_get_index_by_NID(name, nid, i))
        texts_add(&texts, string_text(arena, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i))));
    return texts;
}

static struct slice dn_text(struct arena *arena, const X509_NAME *name) {
    char *text = name_rfc2253(name);
    struct slice copy = arena_dup(arena, slice_of(text));
    mem_free(text);
    return copy;
}

/* X509_NAME_oneline: escapes everything but printable ASCII as \xHH. */
static struct slice dn_legacy(struct arena *arena, const X509_NAME *name) {
    char *text = X509_NAME_oneline(name, NULL, 0);
    struct slice copy = text ? arena_dup(arena, slice_of(text)) : SLICE("");
    OPENSSL_free(text);
    ERR_clear_error();
    return copy;
}

static void fill_names(struct identity *identity, X509 *x509) {
    struct arena *arena = identity->arena;
    const X509_NAME *subject = X509_get_subject_name(x509), *issuer = X509_get_issuer_name(x509);
    identity->common_name = common_name(arena, subject);
    identity->issuer_common_name = common_name(arena, issuer);
    identity->subject_dn = dn_text(arena, subject);
    identity->issuer_dn = dn_text(arena, issuer);
    identity->subject_dn_legacy = dn_legacy(arena, subject);
    identity->issuer_dn_legacy = dn_legacy(arena, issuer);
    identity->organization = attributes(arena, subject, NID_organizationName);
    identity->organizational_unit = attributes(arena, subject, NID_organizationalUnitName);
}

/* --- subjectAltName ------------------------------------------------------------------------------------------- */

/* IA5 names: only visible ASCII is a name. */
static struct slice ascii_name(struct arena *arena, const ASN1_IA5STRING *string) {
    const unsigned char *data = ASN1_STRING_get0_data(string);
    int len = ASN1_STRING_length(string);
    for (int i = 0; i < len; i++)
        if (data[i] < 0x21 || data[i] > 0x7e)
            return SLICE_NONE;
    return len > 0 ? arena_dup(arena, slice_make(data, (size_t)len)) : SLICE_NONE;
}

/* IPv4 dotted; IPv6 as RFC 5952 writes it (the longest run of zero groups shortened). */
static struct slice ip_text(struct arena *arena, const ASN1_OCTET_STRING *address) {
    const unsigned char *data = ASN1_STRING_get0_data(address);
    int len = ASN1_STRING_length(address), run = -1, run_len = 1;
    if (len == 4)
        return slice_of(arena_printf(arena, "%u.%u.%u.%u", data[0], data[1], data[2], data[3]));
    if (len != 16)
        return SLICE_NONE;
    unsigned groups[8];
    for (int i = 0; i < 8; i++)
        groups[i] = (unsigned)data[2 * i] << 8 | data[2 * i + 1];
    for (int i = 0; i < 8; i++) {
        int zeros = 0;
        while (i + zeros < 8 && groups[i + zeros] == 0)
            zeros++;
        if (zeros > run_len) {
            run = i;
            run_len = zeros;
        }
    }
    char text[48];
    size_t at = 0;
    for (int i = 0; i < 8; i++) {
        if (i == run) {
            at += (size_t)snprintf(text + at, sizeof(text) - at, "::");
            i += run_len - 1;
            continue;
        }
        const char *colon = at > 0 && text[at - 1] != ':' ? ":" : "";
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%x", colon, groups[i]);
    }
    return arena_dup(arena, slice_make(text, at));
}

static void add_alternative(struct identity *identity, const GENERAL_NAME *name) {
    struct arena *arena = identity->arena;
    switch (name->type) {
    case GEN_DNS:
        texts_add(&identity->san_dns, ascii_name(arena, name->d.dNSName));
        break;
    case GEN_URI:
        texts_add(&identity->san_uri, ascii_name(arena, name->d.uniformResourceIdentifier));
        break;
    case GEN_EMAIL:
        texts_add(&identity->san_email, ascii_name(arena, name->d.rfc822Name));
        break;
    case GEN_IPADD:
        texts_add(&identity->san_ip, ip_text(arena, name->d.iPAddress));
        break;
    default:
        break;
    }
}

static void fill_alternatives(struct identity *identity, X509 *x509) {
    GENERAL_NAMES *names = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
    int count = names ? sk_GENERAL_NAME_num(names) : 0;
    if (count > TEXTS_MAX)
        count = TEXTS_MAX;
    texts_init(identity->arena, &identity->san_dns, count);
    texts_init(identity->arena, &identity->san_uri, count);
    texts_init(identity->arena, &identity->san_email, count);
    texts_init(identity->arena, &identity->san_ip, count);
    for (int i = 0; i < count; i++)
        add_alternative(identity, sk_GENERAL_NAME_value(names, i));
    GENERAL_NAMES_free(names);
}

/* --- usages and policies -------------------------------------------------------------------------------------- */

static struct slice oid_text(struct arena *arena, const ASN1_OBJECT *object) {
    char text[256];
    int len = OBJ_obj2txt(text, sizeof(text), object, 1);
    return len > 0 && (size_t)len < sizeof(text) ? arena_dup(arena, slice_make(text, (size_t)len)) : SLICE_NONE;
}

static void fill_usages(struct identity *identity, X509 *x509) {
    EXTENDED_KEY_USAGE *usages = X509_get_ext_d2i(x509, NID_ext_key_usage, NULL, NULL);
    int count = usages ? sk_ASN1_OBJECT_num(usages) : 0;
    texts_init(identity->arena, &identity->extended_key_usage, count);
    for (int i = 0; i < count && i < TEXTS_MAX; i++)
        texts_add(&identity->extended_key_usage, oid_text(identity->arena, sk_ASN1_OBJECT_value(usages, i)));
    EXTENDED_KEY_USAGE_free(usages);
}

static void fill_policies(struct identity *identity, X509 *x509) {
    CERTIFICATEPOLICIES *policies = X509_get_ext_d2i(x509, NID_certificate_policies, NULL, NULL);
    int count = policies ? sk_POLICYINFO_num(policies) : 0;
    texts_init(identity->arena, &identity->certificate_policy, count);
    for (int i = 0; i < count && i < TEXTS_MAX; i++)
        texts_add(&identity->certificate_policy, oid_text(identity->arena, sk_POLICYINFO_value(policies, i)->policyid));
    CERTIFICATEPOLICIES_free(policies);
}

/* --- numbers, dates, digests ---------------------------------------------------------------------------------- */

/* BN_bn2hex's form: upper case, even digits, "-" in front of a negative number, "00"'s "0" for zero. */
static struct slice serial_text(struct arena *arena, const X509 *x509) {
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x509), NULL);
    char *text = number ? BN_bn2hex(number) : NULL;
    struct slice copy = text ? arena_dup(arena, slice_of(text)) : SLICE("");
    OPENSSL_free(text);
    BN_free(number);
    return copy;
}

/* Big-endian, without leading zeros. A negative number gets one leading zero more, so that it equals no number in its
 * shortest form. */
static struct slice serial_number(struct arena *arena, const struct cert *cert) {
    struct slice content = cert_serial(cert);
    if (content.len > 0 && (content.ptr[0] & 0x80)) {
        char *bytes = arena_bytes(arena, content.len + 1);
        bytes[0] = 0;
        memcpy(bytes + 1, content.ptr, content.len);
        return slice_make(bytes, content.len + 1);
    }
    while (content.len > 0 && content.ptr[0] == 0)
        content = slice_after(content, 1);
    return arena_dup(arena, content);
}

/* "Mar 21 13:35:00 2022 GMT", as ASN1_TIME_print writes it. */
static struct slice date_text(struct arena *arena, const ASN1_TIME *time) {
    BIO *bio = BIO_new(BIO_s_mem());
    INVARIANT(bio != NULL);
    char *text = NULL;
    struct slice copy = SLICE("");
    if (ASN1_TIME_print(bio, time) == 1) {
        long len = BIO_get_mem_data(bio, &text);
        copy = arena_dup(arena, slice_make(text, len > 0 ? (size_t)len : 0));
    }
    BIO_free(bio);
    return copy;
}

static struct slice key_id(struct arena *arena, const ASN1_OCTET_STRING *id) {
    if (id == NULL)
        return SLICE("");
    return hex_text(arena, ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id), hex_upper);
}

static void fill_numbers(struct identity *identity, const struct cert *cert, X509 *x509) {
    struct arena *arena = identity->arena;
    uint8_t sha1[20];
    struct slice der = cert_der(cert);
    INVARIANT(EVP_Digest(der.ptr, der.len, sha1, NULL, EVP_sha1(), NULL) == 1);
    identity->serial = serial_text(arena, x509);
    identity->serial_bytes = serial_number(arena, cert);
    identity->fingerprint_sha256 = hex_text(arena, cert_sha256(cert), SHA256_SIZE, hex_lower);
    identity->fingerprint_sha1 = hex_text(arena, sha1, sizeof(sha1), hex_lower);
    identity->ski = key_id(arena, X509_get0_subject_key_id(x509));
    identity->issuer_ski = key_id(arena, X509_get0_authority_key_id(x509));
    identity->not_before = date_text(arena, X509_get0_notBefore(x509));
    identity->not_after = date_text(arena, X509_get0_notAfter(x509));
    struct sbuf base64;
    sbuf_init(&base64, BASE64_SIZE(der.len));
    base64_encode(der, &base64);
    identity->der_base64 = arena_dup(arena, sbuf_slice(&base64));
    sbuf_fini(&base64);
}

struct identity *identity_new(const struct cert *cert, const struct verify_report *report) {
    struct arena *arena = arena_new(ARENA_FIRST);
    struct identity *identity = ARENA_NEW(arena, struct identity);
    X509 *x509 = cert_x509(cert);
    identity->arena = arena;
    identity->cert = cert_ref((struct cert *)(uintptr_t)cert);
    fill_names(identity, x509);
    fill_alternatives(identity, x509);
    fill_usages(identity, x509);
    fill_policies(identity, x509);
    fill_numbers(identity, cert, x509);
    identity->issuer_serial = SLICE("");
    if (report != NULL && report->chain.count > 1)
        identity->issuer_serial = serial_text(arena, cert_x509(report->chain.items[1]));
    ERR_clear_error(); /* malformed extensions: verification says so */
    return identity;
}

void identity_free(struct identity **identity) {
    if (*identity == NULL)
        return;
    struct cert *cert = (struct cert *)(uintptr_t)(*identity)->cert;
    cert_unref(&cert);
    arena_free((*identity)->arena);
    *identity = NULL;
}
