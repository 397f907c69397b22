/*
 * dialects: the certificate in the headers that origins of other proxies were written against (product 6): Cloudflare,
 * RFC 9440, Envoy, nginx, Traefik, AWS. Pure: values in, headers out. docs/headers.md holds the formats.
 *
 * Every value is visible ASCII whatever the certificate says (sec-14). One longer than DIALECT_VALUE_MAX is replaced by
 * `<name>-Too-Large: 1`, and the digest is there for certain (sec-16).
 */
#ifndef SALLYPORT_PROXY_DIALECTS_H
#define SALLYPORT_PROXY_DIALECTS_H

#include "conf/conf.h"
#include "http/head.h"
#include "pki/identity.h"
#include "pki/verify.h"

#define DIALECT_VALUE_MAX ((size_t)16 * 1024)

/* What a client presented. */
struct presented_certificate {
    const struct identity *identity;
    const struct verify_report *report;
    const struct cert_list *sent; /* after the leaf, as the client sent them */
};

/* Appends the headers of each dialect in the set (bits of enum conf_dialect), in out's arena. All but `cf_cert` and
 * `nginx`, which say themselves whether it verified, are left out for a certificate that did not. */
void dialects_render(const struct presented_certificate *presented, unsigned dialects, struct headers *out);

/* The values of facts 4.4 that are not in struct identity, in the arena; "" where nothing was sent. */
struct slice dialect_rfc9440(const struct cert *cert, struct arena *arena);
struct slice dialect_chain_rfc9440(const struct cert_list *sent, struct arena *arena);
/* Cloudflare's reading: a revoked certificate is verified, and revoked (facts 4.4). */
bool dialect_cert_verified(const struct verify_report *report);

#endif
