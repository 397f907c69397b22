/* name_priv: distinguished names and times of OpenSSL's types, for the files of pki/. */
#ifndef SALLYPORT_PKI_NAME_PRIV_H
#define SALLYPORT_PKI_NAME_PRIV_H

#include <openssl/x509.h>

#include "pki/cert.h"

/* Seconds since 1970; 0 for a time that does not parse (verification reports that by itself). */
time_t asn1_time(const ASN1_TIME *time);
/* RFC 2253 text. The caller frees with mem_free. */
char *name_rfc2253(const X509_NAME *name);
/* SHA-256 over the name's canonical form: equal for names that X509_NAME_cmp() calls equal. Letter case (ASCII),
 * leading, trailing and repeated white space, and the type of string do not count. */
void name_digest(const X509_NAME *name, uint8_t out[SHA256_SIZE]);
/* name_digest() of the subject; and SHA-256 over key and that, under which a CA's revocation lists are filed. Computed
 * once. */
const uint8_t *cert_name_digest(const struct cert *cert);
const uint8_t *cert_issuer_key(const struct cert *cert);

#endif
