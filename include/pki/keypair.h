/*
 * keypair: a server certificate with its chain and private key, ready to be put on a connection. Immutable, shared; the
 * key is wiped when the last reference goes.
 */
#ifndef SALLYPORT_PKI_KEYPAIR_H
#define SALLYPORT_PKI_KEYPAIR_H

#include "base/err.h"
#include "base/slice.h"
#include "pki/cert.h"

struct evp_pkey_st;
struct keypair;

/* certificate_pem: leaf first, then intermediates. Errors: undecodable, an encrypted key, key and leaf do not belong
 * together, a key below OpenSSL's security level 2 (RSA under 2048 bits), neither RSA, ECDSA nor Ed25519. Expired is no
 * error (the caller warns). */
MUST_CHECK struct keypair *keypair_from_pem(struct slice certificate_pem, struct slice key_pem, struct err *err);
/* The same from certificates that are decoded already: leaf first. Takes references of its own. */
MUST_CHECK struct keypair *keypair_from_chain(const struct cert_list *certs, struct slice key_pem, struct err *err);
/* Of texts for which keypair_from_pem() has succeeded, in whatever process: copied (and wiped), decoded when something
 * is first asked of it. */
struct keypair *keypair_proved(struct slice certificate_pem, struct slice key_pem);
struct keypair *keypair_ref(struct keypair *keypair);
void keypair_unref(struct keypair **keypair);
/* "RSA", "EC", "ED25519": two keypairs of one type on one hostname are a configuration error. Static. */
const char *keypair_type(const struct keypair *keypair);
const struct cert_list *keypair_chain(const struct keypair *keypair); /* leaf first */
struct evp_pkey_st *keypair_key(const struct keypair *keypair);
/* Does the leaf carry this host name (SAN dNSName, wildcards as RFC 6125; CN is not looked at)? For a warning. */
bool keypair_covers(const struct keypair *keypair, const char *hostname);

#endif
