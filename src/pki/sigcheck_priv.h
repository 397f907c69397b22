/*
 * sigcheck: a signature over bytes that come in pieces, checked against several keys without hashing more than once.
 * OpenSSL offers this only for whole buffers; a CRL of 40 MB is none.
 */
#ifndef SALLYPORT_PKI_SIGCHECK_PRIV_H
#define SALLYPORT_PKI_SIGCHECK_PRIV_H

#include <openssl/evp.h>

#include "base/err.h"
#include "base/slice.h"

struct sigcheck;

/* algorithm: the DER of an AlgorithmIdentifier. RSA (PKCS #1 and PSS), ECDSA and DSA with SHA-1, SHA-2 or SHA-3;
 * Ed25519 and Ed448. NULL with err for any other. */
MUST_CHECK struct sigcheck *sigcheck_new(struct slice algorithm, struct err *err);
void sigcheck_free(struct sigcheck **sigcheck);
/* EdDSA signs the bytes themselves, so these are kept: false when they pass 64 MiB. */
MUST_CHECK bool sigcheck_update(struct sigcheck *sigcheck, const void *bytes, size_t len);
/* After the last update; may be asked for several keys. */
MUST_CHECK bool sigcheck_verify(struct sigcheck *sigcheck, EVP_PKEY *key, struct slice signature);
/* SHA-1. */
bool sigcheck_is_weak(const struct sigcheck *sigcheck);

#endif
