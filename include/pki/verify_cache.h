/*
 * verify_cache: certificates of clients that verified lately, and the paths by which they did: the next handshake of
 * such a client builds no path and checks no signature of it again. One for each process that serves clients; made by
 * tls/, used by verify_chain_cached().
 *
 * What is kept is only what cannot change: that this leaf, with these certificates beside it, leads by these signatures
 * and extensions to an anchor of a bundle with these certificates and options. Dates and revocation are judged every
 * time. Whatever did not verify is not kept, so forged certificates push nobody out.
 */
#ifndef SALLYPORT_PKI_VERIFY_CACHE_H
#define SALLYPORT_PKI_VERIFY_CACHE_H

#include "pki/verify.h"

struct verify_cache;

/* What all entries together may take, about: the one unused for the longest goes first. */
#define VERIFY_CACHE_CLIENTS_MAX 2048
#define VERIFY_CACHE_BYTES_MAX ((size_t)16 * 1024 * 1024)

struct verify_cache *verify_cache_new(void);
void verify_cache_free(struct verify_cache **cache);
/* verify_chain() with the same verdict, sooner. cache NULL: verify_chain(). */
void verify_chain_cached(struct verify_cache *cache, const struct trust *trust, const struct cert *leaf,
                         const struct cert_list *untrusted, time_t now, struct verify_report *report_out);
/* The certificate of this DER, as it is known here or decoded: a reference for the caller. NULL: does not decode. */
struct cert *verify_cache_cert(struct verify_cache *cache, struct slice der);
/* The same for what OpenSSL has decoded already. */
struct cert *verify_cache_cert_of(struct verify_cache *cache, struct x509_st *x509);
size_t verify_cache_count(const struct verify_cache *cache);

#endif
