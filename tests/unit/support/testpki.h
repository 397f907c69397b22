/*
 * testpki: certificates, keys and CRLs made in memory while a test runs, good ones and every kind of bad one. For all
 * suites. What goes wrong here is a bug of the test and ends it.
 *
 * Keys are P-256 unless a spec brings one. TESTPKI_NOW is the time that tests judge at; the defaults are valid around
 * it.
 */
#ifndef SALLYPORT_TESTS_SUPPORT_TESTPKI_H
#define SALLYPORT_TESTS_SUPPORT_TESTPKI_H

#include <openssl/x509v3.h>

#include "base/sbuf.h"
#include "pki/crl.h"

#define TESTPKI_NOW ((time_t)1900000000) /* 2030-03-17T17:46:40Z */
#define TESTPKI_DAY ((time_t)86400)

/* A certificate and its key. */
struct testpki {
    EVP_PKEY *key;
    X509 *x509;
    struct cert *cert;
};

struct testpki_spec {
    const char *cn;
    const char *subject;          /* "C=AT/O=Example/CN=x", instead of cn; one RDN each; '+' joins a multi-valued one */
    const struct testpki *issuer; /* NULL: self-signed */
    const struct testpki *signer; /* whose key signs, if not the issuer's: a forgery */
    EVP_PKEY *key;                /* NULL: a new P-256 key */
    bool is_ca;                   /* CA:TRUE, keyCertSign and cRLSign, no EKU; else clientAuth and digitalSignature */
    bool is_bare;                 /* no extension but those named here */
    bool is_v1;
    bool has_no_key_ids;
    int path_len; /* of a CA, counted from 1: 1 means pathlen:0; 0: none */
    const char *basic_constraints, *key_usage, *extended_key_usage, *san,
        *name_constraints;   /* OpenSSL's config syntax; "" leaves it out */
    const char *extra[4][2]; /* name and value of more extensions, e.g. {"crlDistributionPoints", "URI:http://x/"} */
    time_t not_before, not_after; /* 0: a year around TESTPKI_NOW */
    const char *serial;           /* hex; NULL: random */
    const EVP_MD *digest;         /* NULL: SHA-256 (none for EdDSA) */
    void (*change)(X509 *x509);   /* last, before signing */
};
struct testpki testpki_make(const struct testpki_spec *spec);
void testpki_free(struct testpki *made);

/* Shorthands with the defaults. */
struct testpki testpki_root(const char *cn);
struct testpki testpki_intermediate(const char *cn, const struct testpki *issuer);
struct testpki testpki_client(const char *cn, const struct testpki *issuer);

EVP_PKEY *testpki_key_ec(void);
EVP_PKEY *testpki_key_rsa(int bits);
EVP_PKEY *testpki_key_ed25519(void);
/* Appended to out. */
void testpki_cert_pem(const struct testpki *made, struct sbuf *out);
void testpki_key_pem(const struct testpki *made, struct sbuf *out);

struct testpki_revoked {
    const char *serial; /* hex; NULL ends the array */
    int reason;         /* -1: no reasonCode */
    time_t when;        /* 0: a day before TESTPKI_NOW */
};

struct testpki_crl_spec {
    const struct testpki *issuer;
    const struct testpki *signer; /* whose key signs, if not the issuer's */
    const struct testpki_revoked *revoked;
    bool is_v1;
    const char *number; /* decimal; NULL: none */
    bool has_no_next_update;
    time_t this_update, next_update; /* 0: a day before and a week after TESTPKI_NOW */
    const EVP_MD *digest;
    const char *extra[4][2]; /* e.g. {"issuingDistributionPoint", "critical,onlyuser:TRUE"} */
    void (*change)(X509_CRL *crl);
};
/* The DER, appended to out. */
void testpki_crl(const struct testpki_crl_spec *spec, struct sbuf *out);
/* count entries with 16-byte serial numbers, the i-th being testpki_serial(i); written by hand, since OpenSSL's way
 * takes minutes. */
void testpki_big_crl(const struct testpki *issuer, uint32_t count, struct sbuf *out);
/* SEQUENCE { body, ecdsa-with-SHA256, signature }: what is signed in X.509 has this form. signer: with a P-256 key. */
void testpki_sign(const struct testpki *signer, struct slice body, struct sbuf *out);
void testpki_serial(uint32_t i, uint8_t out[16]);
void testpki_der_to_pem(struct slice der, const char *label, struct sbuf *out);

/* The certificate's serial number as hex, for testpki_revoked. The caller frees with OPENSSL_free. */
char *testpki_serial_of(const struct testpki *made);

/* A crl_read_fn over a struct slice, which it consumes, `piece` bytes at a time at most. */
struct testpki_source {
    struct slice rest;
    size_t piece; /* 0: as much as asked for */
};
long testpki_read(void *source, void *buf, size_t size);
/* crl_load with one issuer. */
struct crl *testpki_load(struct slice der, const struct testpki *issuer, enum crl_fault *fault_out, struct err *err);

#endif
