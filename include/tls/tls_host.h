/*
 * tls_host: what a handshake needs to know of one hostname: certificates, whether to ask for the client's, whom to
 * trust. Immutable, shared: snapshots hold it, and every connection that was made under it.
 */
#ifndef SALLYPORT_TLS_TLS_HOST_H
#define SALLYPORT_TLS_TLS_HOST_H

#include "base/err.h"
#include "pki/keypair.h"
#include "pki/trust.h"

enum client_certificate { CLIENT_CERTIFICATE_OFF, CLIENT_CERTIFICATE_REQUEST, CLIENT_CERTIFICATE_REQUIRE };

struct tls_host;

struct tls_host_source {
    const char *name;          /* as configured: "iot.example.test" or "*.example.test" */
    struct keypair **keypairs; /* one for each key type; at least one */
    size_t keypair_count;
    enum client_certificate mode;
    struct trust *trust; /* NULL with OFF */
};

/* Takes references of its own. */
MUST_CHECK struct tls_host *tls_host_new(const struct tls_host_source *source, struct err *err);
/* The same host with a trust that differs from its own only in CRLs (equal trust_id). Costs one small allocation. */
struct tls_host *tls_host_with_crls(const struct tls_host *host, struct trust *trust);
/* In the order of the source. */
struct keypair *tls_host_keypair(const struct tls_host *host, size_t index);
struct tls_host *tls_host_ref(struct tls_host *host);
void tls_host_unref(struct tls_host **host);
const char *tls_host_name(const struct tls_host *host);
struct trust *tls_host_trust(const struct tls_host *host);
enum client_certificate tls_host_mode(const struct tls_host *host);
/* What sessions are bound to: SHA-256 over name, mode and trust_id; under a wildcard also to the name that the client
 * said (sec-01). */
const uint8_t *tls_host_binding(const struct tls_host *host);

#endif
