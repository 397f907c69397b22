/* verify_cache_priv: the paths of the cache, for verify.c. */
#ifndef SALLYPORT_PKI_VERIFY_CACHE_PRIV_H
#define SALLYPORT_PKI_VERIFY_CACHE_PRIV_H

#include "pki/verify_cache.h"

/* The path that held for this leaf, these certificates beside it and a bundle of this digest, if all of it is within
 * its dates now; else NULL. Good until the next put. */
const struct cert_list *verify_cache_path(struct verify_cache *cache, const struct cert *leaf,
                                          const struct cert_list *untrusted, const uint8_t bundle[SHA256_SIZE],
                                          time_t now);
/* path: leaf first, anchor last; without any fault. */
void verify_cache_put(struct verify_cache *cache, const struct cert_list *untrusted, const uint8_t bundle[SHA256_SIZE],
                      const struct cert_list *path);
void verify_cache_drop(struct verify_cache *cache, const struct cert *leaf);

#endif
