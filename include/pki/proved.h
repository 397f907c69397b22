/*
 * proved: the certificates of a CA bundle that were decoded and proved before, in another process: kept as text,
 * decoded when they are first needed, once however many trusts share them. What the text is made of was checked by
 * cert_list_from_pem() and trust_new(); nothing can fail any more.
 */
#ifndef SALLYPORT_PKI_PROVED_H
#define SALLYPORT_PKI_PROVED_H

#include "pki/cert.h"

struct proved;

/* Copies pem. */
struct proved *proved_new(struct slice pem);
struct proved *proved_ref(struct proved *proved);
void proved_unref(struct proved **proved);
/* Valid as long as proved. */
const struct cert_list *proved_certs(struct proved *proved);

#endif
