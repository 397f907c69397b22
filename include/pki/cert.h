/*
 * cert: certificates as shared, immutable objects. Who is not pki/ or tls/ sees bytes, digests and dates; what
 * people read (names, serials) is in pki/identity.h.
 */
#ifndef SALLYPORT_PKI_CERT_H
#define SALLYPORT_PKI_CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/err.h"
#include "base/sbuf.h"
#include "base/slice.h"

struct x509_st; /* OpenSSL's X509 */

#define SHA256_SIZE 32

struct cert;

struct cert_list {
    struct cert **items; /* owned references */
    size_t count;
};

/* One DER certificate and nothing after it. */
MUST_CHECK struct cert *cert_from_der(struct slice der, struct err *err);
/* For tls/: takes its own reference of x509. */
struct cert *cert_from_x509(struct x509_st *x509);
struct x509_st *cert_x509(const struct cert *cert);
struct cert *cert_ref(struct cert *cert);
void cert_unref(struct cert **cert);

/* All certificates of a PEM text, in order. Text around the blocks is skipped; a block that does not decode, or no
 * block at all, is an error; so is a private key in a file of CAs when refuse_keys. */
MUST_CHECK int cert_list_from_pem(struct slice pem, bool refuse_keys, struct cert_list *list_out, struct err *err);
/* Takes a reference of its own. */
void cert_list_add(struct cert_list *list, struct cert *cert);
void cert_list_fini(struct cert_list *list);

/* Valid as long as the cert. Computed once. */
struct slice cert_der(const struct cert *cert);
/* Content bytes of the serial number's INTEGER: big-endian two's complement, as crl_lookup() takes it. */
struct slice cert_serial(const struct cert *cert);
/* The serial number in decimal digits. The caller frees with mem_free. */
char *cert_serial_decimal(const struct cert *cert);
const uint8_t *cert_sha256(const struct cert *cert);
time_t cert_not_before(const struct cert *cert);
time_t cert_not_after(const struct cert *cert);
/* basicConstraints CA:TRUE. */
bool cert_is_ca(const struct cert *cert);
/* Signed with SHA-1 or MD5, by the signatureAlgorithm (self-signed roots do not count: nobody relies on that
 * signature). */
bool cert_has_weak_digest(const struct cert *cert);
bool cert_is_self_issued(const struct cert *cert);
/* Subject as RFC 2253 text, for messages. The caller frees with mem_free. */
char *cert_subject_text(const struct cert *cert);
void sha256(struct slice bytes, uint8_t out[SHA256_SIZE]);
/* SHA-256 as 64 lower-case hex digits and NUL. */
void sha256_hex(struct slice bytes, char out[65]);

/* Empties OpenSSL's error queue into text "what: reason (detail)"; the one place that does. */
void openssl_drain(struct err *err, const char *what);

/* "OpenSSL 3.0.22 ..." of the library in use. Static. */
const char *openssl_version(void);

#endif
