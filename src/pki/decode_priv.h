/*
 * decode_priv: X.509 certificates and private keys as OpenSSL decodes them, at a fraction of the price: OpenSSL 3.0
 * walks all decoders of all key types for each key, so keys are looked for among those that certificates have here, and
 * anywhere else only if that fails. What is accepted, and every error, is what OpenSSL's own calls give.
 */
#ifndef SALLYPORT_PKI_DECODE_PRIV_H
#define SALLYPORT_PKI_DECODE_PRIV_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/slice.h"

/* One certificate at the start of der; *size_out bytes of it were read. NULL with OpenSSL's error queue. */
X509 *decode_x509(struct slice der, size_t *size_out);
/* The first private key of a PEM text, unencrypted. NULL with OpenSSL's error queue; *is_encrypted_out: a passphrase
 * was asked for. */
EVP_PKEY *decode_private_key(struct slice pem, bool *is_encrypted_out);

#endif
