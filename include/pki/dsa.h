/*
 * dsa: DSA keys that leave their parameters to the issuer's (RFC 3279 2.3.2). For `sallyport verify --purpose any`
 * only: no handshake accepts DSA, whatever the parameters.
 */
#ifndef SALLYPORT_PKI_DSA_H
#define SALLYPORT_PKI_DSA_H

#include "pki/cert.h"

/* Completes the keys of such certificates from the issuers in the list that signed them, as far as there are any.
 * Before the certificates are used for anything. A verified chain must still have that issuer: dsa_is_consistent. */
void dsa_inherit_parameters(const struct cert_list *certs);
bool dsa_has_key(const struct cert *cert);
/* False if the key took over the parameters of another key than this issuer's. */
bool dsa_is_consistent(const struct cert *cert, const struct cert *issuer);

#endif
