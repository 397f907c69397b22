/* testpki: see testpki.h. */
#include "support/testpki.h"

#include <openssl/bn.h>
#include <openssl/conf.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"

#define YEAR (365 * TESTPKI_DAY)

EVP_PKEY *testpki_key_ec(void) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    INVARIANT(key != NULL);
    return key;
}

EVP_PKEY *testpki_key_rsa(int bits) {
    EVP_PKEY *key = EVP_RSA_gen((unsigned)bits);
    INVARIANT(key != NULL);
    return key;
}

EVP_PKEY *testpki_key_ed25519(void) {
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    INVARIANT(key != NULL);
    return key;
}

/* "C=AT/O=Example/CN=a+CN=b" */
static X509_NAME *parse_name(const char *text) {
    X509_NAME *name = X509_NAME_new();
    char *copy = mem_strdup(text);
    int set = 0;
    for (char *part = copy, *next; part != NULL && *part != '\0'; part = next) {
        size_t len = strcspn(part, "/+");
        char end = part[len];
        next = end ? part + len + 1 : NULL;
        part[len] = '\0';
        char *equals = strchr(part, '=');
        INVARIANT(equals != NULL);
        *equals = '\0';
        INVARIANT(X509_NAME_add_entry_by_txt(name, part, MBSTRING_UTF8, (unsigned char *)equals + 1, -1, -1, set) == 1);
        set = end == '+' ? -1 : 0;
    }
    mem_free(copy);
    return name;
}

static void add_extension(X509V3_CTX *ctx, X509 *x509, X509_CRL *crl, const char *name, const char *value) {
    CONF *conf = NCONF_new(NULL); /* some extensions want one; "dirName:dir" means O=Lab */
    BIO *sections = BIO_new_mem_buf("[dir]\nO=Lab\n", -1);
    INVARIANT(NCONF_load_bio(conf, sections, NULL) == 1);
    BIO_free(sections);
    X509V3_set_nconf(ctx, conf);
    X509_EXTENSION *extension = X509V3_EXT_nconf(conf, ctx, name, value);
    INVARIANT(extension != NULL);
    if (x509 != NULL)
        INVARIANT(X509_add_ext(x509, extension, -1) == 1);
    else
        INVARIANT(X509_CRL_add_ext(crl, extension, -1) == 1);
    X509_EXTENSION_free(extension);
    NCONF_free(conf);
}

/* The spec's value if there is one, else the default; "" and NULL leave the extension out. */
static void add_default(X509V3_CTX *ctx, X509 *x509, const char *name, const char *value, const char *by_default) {
    const char *chosen = value ? value : by_default;
    if (chosen != NULL && *chosen != '\0')
        add_extension(ctx, x509, NULL, name, chosen);
}

static void add_extensions(X509 *x509, const struct testpki_spec *spec) {
    X509V3_CTX ctx;
    char constraints[64] = "critical,CA:FALSE";
    X509 *issuer = spec->issuer ? spec->issuer->x509 : x509;
    X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
    if (spec->is_ca && spec->path_len > 0)
        (void)snprintf(constraints, sizeof(constraints), "critical,CA:TRUE,pathlen:%d", spec->path_len - 1);
    else if (spec->is_ca)
        (void)snprintf(constraints, sizeof(constraints), "critical,CA:TRUE");
    bool full = !spec->is_bare;
    add_default(&ctx, x509, "basicConstraints", spec->basic_constraints, full ? constraints : NULL);
    const char *usage = spec->is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature";
    add_default(&ctx, x509, "keyUsage", spec->key_usage, full ? usage : NULL);
    add_default(&ctx, x509, "extendedKeyUsage", spec->extended_key_usage, full && !spec->is_ca ? "clientAuth" : NULL);
    add_default(&ctx, x509, "subjectAltName", spec->san, NULL);
    add_default(&ctx, x509, "nameConstraints", spec->name_constraints, NULL);
    for (int i = 0; i < 4 && spec->extra[i][0] != NULL; i++)
        add_extension(&ctx, x509, NULL, spec->extra[i][0], spec->extra[i][1]);
    if (full && !spec->has_no_key_ids) {
        add_extension(&ctx, x509, NULL, "subjectKeyIdentifier", "hash");
        if (spec->issuer == NULL || X509_get_ext_by_NID(issuer, NID_subject_key_identifier, -1) >= 0)
            add_extension(&ctx, x509, NULL, "authorityKeyIdentifier", "keyid");
    }
}

static void set_serial(X509 *x509, const char *hex) {
    BIGNUM *number = NULL;
    if (hex != NULL) {
        INVARIANT(BN_hex2bn(&number, hex) > 0);
    } else {
        number = BN_new();
        INVARIANT(BN_rand(number, 120, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1);
    }
    INVARIANT(BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509)) != NULL);
    BN_free(number);
}

static const EVP_MD *digest_for(const EVP_PKEY *key, const EVP_MD *wanted) {
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 || EVP_PKEY_get_base_id(key) == EVP_PKEY_ED448)
        return NULL;
    return wanted ? wanted : EVP_sha256();
}

struct testpki testpki_make(const struct testpki_spec *spec) {
    struct testpki made = {NULL, NULL, NULL};
    made.key = spec->key;
    if (made.key != NULL)
        EVP_PKEY_up_ref(made.key);
    else
        made.key = testpki_key_ec();
    X509 *x509 = made.x509 = X509_new();
    INVARIANT(X509_set_version(x509, spec->is_v1 ? X509_VERSION_1 : X509_VERSION_3) == 1);
    set_serial(x509, spec->serial);
    char *text = spec->subject ? mem_strdup(spec->subject) : mem_printf("CN=%s", spec->cn);
    X509_NAME *name = parse_name(text);
    mem_free(text);
    X509_set_subject_name(x509, name);
    X509_set_issuer_name(x509, spec->issuer ? X509_get_subject_name(spec->issuer->x509) : name);
    X509_NAME_free(name);
    ASN1_TIME_adj(X509_getm_notBefore(x509), spec->not_before ? spec->not_before : TESTPKI_NOW - YEAR, 0, 0);
    ASN1_TIME_adj(X509_getm_notAfter(x509), spec->not_after ? spec->not_after : TESTPKI_NOW + YEAR, 0, 0);
    INVARIANT(X509_set_pubkey(x509, made.key) == 1);
    if (!spec->is_v1)
        add_extensions(x509, spec);
    if (spec->change != NULL)
        spec->change(x509);
    EVP_PKEY *signer = spec->signer ? spec->signer->key : spec->issuer ? spec->issuer->key : made.key;
    INVARIANT(X509_sign(x509, signer, digest_for(signer, spec->digest)) > 0);
    /* Decoded anew, so that nothing cached while it was built is left. */
    unsigned char *der = NULL;
    int len = i2d_X509(x509, &der);
    const unsigned char *at = der;
    X509_free(x509);
    made.x509 = d2i_X509(NULL, &at, len);
    INVARIANT(made.x509 != NULL);
    OPENSSL_free(der);
    made.cert = cert_from_x509(made.x509);
    return made;
}

void testpki_free(struct testpki *made) {
    EVP_PKEY_free(made->key);
    X509_free(made->x509);
    cert_unref(&made->cert);
    *made = (struct testpki){NULL, NULL, NULL};
}

struct testpki testpki_root(const char *cn) {
    return testpki_make(&(struct testpki_spec){.cn = cn, .is_ca = true});
}

struct testpki testpki_intermediate(const char *cn, const struct testpki *issuer) {
    return testpki_make(&(struct testpki_spec){.cn = cn, .is_ca = true, .issuer = issuer});
}

struct testpki testpki_client(const char *cn, const struct testpki *issuer) {
    return testpki_make(&(struct testpki_spec){.cn = cn, .issuer = issuer});
}

static void append_bio(BIO *bio, struct sbuf *out) {
    char *text = NULL;
    long len = BIO_get_mem_data(bio, &text);
    sbuf_append(out, slice_make(text, (size_t)len));
    BIO_free(bio);
}

void testpki_cert_pem(const struct testpki *made, struct sbuf *out) {
    BIO *bio = BIO_new(BIO_s_mem());
    INVARIANT(PEM_write_bio_X509(bio, made->x509) == 1);
    append_bio(bio, out);
}

void testpki_key_pem(const struct testpki *made, struct sbuf *out) {
    BIO *bio = BIO_new(BIO_s_mem());
    INVARIANT(PEM_write_bio_PrivateKey(bio, made->key, NULL, NULL, 0, NULL, NULL) == 1);
    append_bio(bio, out);
}

char *testpki_serial_of(const struct testpki *made) {
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(made->x509), NULL);
    char *text = BN_bn2hex(number);
    BN_free(number);
    INVARIANT(text != NULL);
    return text;
}

/* --- CRLs ----------------------------------------------------------------------------------------------------- */

static void add_revoked(X509_CRL *crl, const struct testpki_revoked *entry) {
    X509_REVOKED *revoked = X509_REVOKED_new();
    BIGNUM *number = NULL;
    INVARIANT(BN_hex2bn(&number, entry->serial) > 0);
    ASN1_INTEGER *serial = BN_to_ASN1_INTEGER(number, NULL);
    ASN1_TIME *when = ASN1_TIME_adj(NULL, entry->when ? entry->when : TESTPKI_NOW - TESTPKI_DAY, 0, 0);
    INVARIANT(X509_REVOKED_set_serialNumber(revoked, serial) == 1 &&
              X509_REVOKED_set_revocationDate(revoked, when) == 1);
    if (entry->reason >= 0) {
        ASN1_ENUMERATED *reason = ASN1_ENUMERATED_new();
        INVARIANT(ASN1_ENUMERATED_set(reason, entry->reason) == 1);
        INVARIANT(X509_REVOKED_add1_ext_i2d(revoked, NID_crl_reason, reason, 0, 0) == 1);
        ASN1_ENUMERATED_free(reason);
    }
    INVARIANT(X509_CRL_add0_revoked(crl, revoked) == 1);
    ASN1_INTEGER_free(serial);
    ASN1_TIME_free(when);
    BN_free(number);
}

static void add_crl_extensions(X509_CRL *crl, const struct testpki_crl_spec *spec) {
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, spec->issuer->x509, NULL, NULL, crl, 0);
    if (spec->number != NULL) {
        BIGNUM *number = NULL;
        INVARIANT(BN_dec2bn(&number, spec->number) > 0);
        ASN1_INTEGER *integer = BN_to_ASN1_INTEGER(number, NULL);
        INVARIANT(X509_CRL_add1_ext_i2d(crl, NID_crl_number, integer, 0, 0) == 1);
        ASN1_INTEGER_free(integer);
        BN_free(number);
    }
    for (int i = 0; i < 4 && spec->extra[i][0] != NULL; i++)
        add_extension(&ctx, NULL, crl, spec->extra[i][0], spec->extra[i][1]);
}

void testpki_crl(const struct testpki_crl_spec *spec, struct sbuf *out) {
    X509_CRL *crl = X509_CRL_new();
    if (!spec->is_v1)
        INVARIANT(X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(spec->issuer->x509));
    ASN1_TIME *time = ASN1_TIME_adj(NULL, spec->this_update ? spec->this_update : TESTPKI_NOW - TESTPKI_DAY, 0, 0);
    X509_CRL_set1_lastUpdate(crl, time);
    ASN1_TIME_free(time);
    if (!spec->has_no_next_update) {
        time = ASN1_TIME_adj(NULL, spec->next_update ? spec->next_update : TESTPKI_NOW + 7 * TESTPKI_DAY, 0, 0);
        X509_CRL_set1_nextUpdate(crl, time);
        ASN1_TIME_free(time);
    }
    for (const struct testpki_revoked *entry = spec->revoked; entry != NULL && entry->serial != NULL; entry++)
        add_revoked(crl, entry);
    add_crl_extensions(crl, spec);
    if (spec->change != NULL)
        spec->change(crl);
    EVP_PKEY *signer = spec->signer ? spec->signer->key : spec->issuer->key;
    INVARIANT(X509_CRL_sign(crl, signer, digest_for(signer, spec->digest)) > 0);
    unsigned char *der = NULL;
    int len = i2d_X509_CRL(crl, &der);
    INVARIANT(len > 0);
    sbuf_append(out, slice_make(der, (size_t)len));
    OPENSSL_free(der);
    X509_CRL_free(crl);
}

void testpki_serial(uint32_t i, uint8_t out[16]) {
    uint64_t word = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    for (int b = 0; b < 16; b++, word = word * 6364136223846793005u + 1442695040888963407u)
        out[b] = (uint8_t)(word >> 56);
    out[0] = (uint8_t)((out[0] & 0x7f) | 0x40);
}

static void append_header(struct sbuf *out, uint8_t tag, size_t len) {
    uint8_t header[6] = {tag, 0x84, (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};
    if (len < 0x80)
        sbuf_append(out, slice_make((uint8_t[]){tag, (uint8_t)len}, 2));
    else if (len < 0x100)
        sbuf_append(out, slice_make((uint8_t[]){tag, 0x81, (uint8_t)len}, 3));
    else if (len < 0x10000)
        sbuf_append(out, slice_make((uint8_t[]){tag, 0x82, (uint8_t)(len >> 8), (uint8_t)len}, 4));
    else if (len < 0x1000000)
        sbuf_append(out,
                    slice_make((uint8_t[]){tag, 0x83, (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len}, 5));
    else
        sbuf_append(out, slice_make(header, sizeof(header)));
}

/* As an AlgorithmIdentifier. */
static const struct slice ECDSA_SHA256 = {"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02", 12};

void testpki_sign(const struct testpki *signer, struct slice body, struct sbuf *out) {
    uint8_t signature[128];
    size_t signature_len = sizeof(signature);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    INVARIANT(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, signer->key) == 1 &&
              EVP_DigestSign(ctx, signature, &signature_len, (const unsigned char *)body.ptr, body.len) == 1);
    EVP_MD_CTX_free(ctx);
    append_header(out, 0x30, body.len + ECDSA_SHA256.len + 3 + signature_len);
    sbuf_append(out, body);
    sbuf_append(out, ECDSA_SHA256);
    append_header(out, 0x03, signature_len + 1);
    sbuf_append_char(out, '\0');
    sbuf_append(out, slice_make(signature, signature_len));
}

void testpki_big_crl(const struct testpki *issuer, uint32_t count, struct sbuf *out) {
    enum { ENTRY = 2 + 18 + 15 + 14 };
    struct sbuf body, tbs;
    sbuf_init(&body, SIZE_MAX / 2);
    sbuf_init(&tbs, SIZE_MAX / 2);
    unsigned char *name = NULL;
    int name_len = i2d_X509_NAME(X509_get_subject_name(issuer->x509), &name);
    sbuf_append(&body, SLICE("\x02\x01\x01"));
    sbuf_append(&body, ECDSA_SHA256);
    sbuf_append(&body, slice_make(name, (size_t)name_len));
    sbuf_append(&body, SLICE("\x17\x0d"
                             "300301000000Z"
                             "\x17\x0d"
                             "310301000000Z"));
    if (count > 0)
        append_header(&body, 0x30, (size_t)count * ENTRY);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t entry[ENTRY] = {0x30, ENTRY - 2, 0x02, 0x10};
        testpki_serial(i, entry + 4);
        memcpy(entry + 20,
               "\x17\x0d"
               "300301000000Z"
               "\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01\x01",
               29);
        sbuf_append(&body, slice_make(entry, sizeof(entry)));
    }
    append_header(&tbs, 0x30, body.len);
    sbuf_append(&tbs, sbuf_slice(&body));
    testpki_sign(issuer, sbuf_slice(&tbs), out);
    OPENSSL_free(name);
    sbuf_fini(&body);
    sbuf_fini(&tbs);
}

void testpki_der_to_pem(struct slice der, const char *label, struct sbuf *out) {
    BIO *bio = BIO_new(BIO_s_mem());
    INVARIANT(PEM_write_bio(bio, label, "", (const unsigned char *)der.ptr, (long)der.len) > 0);
    append_bio(bio, out);
}

long testpki_read(void *arg, void *buf, size_t size) {
    struct testpki_source *source = arg;
    size_t len = source->rest.len < size ? source->rest.len : size;
    if (source->piece > 0 && len > source->piece)
        len = source->piece;
    if (len > 0)
        memcpy(buf, source->rest.ptr, len);
    source->rest = slice_after(source->rest, len);
    return (long)len;
}

struct crl *testpki_load(struct slice der, const struct testpki *issuer, enum crl_fault *fault_out, struct err *err) {
    struct testpki_source source = {der, 0};
    struct cert_list issuers = {NULL, 0};
    cert_list_add(&issuers, issuer->cert);
    struct crl *crl = crl_load(testpki_read, &source, &issuers, fault_out, err);
    cert_list_fini(&issuers);
    return crl;
}
