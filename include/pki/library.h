/*
 * library: the OpenSSL library context that certificates are decoded in and TLS runs in. OpenSSL before 3.2 looks
 * through every decoder of every kind of key for each public key it decodes; here it finds only those that certificates
 * need, which makes a certificate three to five times cheaper.
 *
 * The algorithms are those of the default provider; the machine's OpenSSL configuration is respected (see the source).
 */
#ifndef SALLYPORT_PKI_LIBRARY_H
#define SALLYPORT_PKI_LIBRARY_H

struct ossl_lib_ctx_st; /* OpenSSL's OSSL_LIB_CTX */

/* Made at the first call, for good; the same ever after. NULL stands for OpenSSL's default one, wherever OpenSSL takes
 * a library context. */
struct ossl_lib_ctx_st *pki_library(void);

#endif
