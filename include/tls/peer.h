/*
 * peer: everything the TLS handshake established about a connection, captured once at its end and sealed: nobody reads
 * facts from `SSL *` afterwards. Only re-verification after a change of trust (peer_reverify) puts a newer report in
 * place.
 */
#ifndef SALLYPORT_TLS_PEER_H
#define SALLYPORT_TLS_PEER_H

#include <stdbool.h>

#include "pki/identity.h"
#include "pki/verify.h"
#include "tls/tls_host.h"

struct peer {
    struct tls_host *host;   /* the hostname of the connection as it was at the handshake; a reference */
    char *server_name;       /* normalised SNI, or the listener's no_sni name */
    bool has_sni;            /* false: the client sent none */
    const char *tls_version; /* "TLSv1.2", "TLSv1.3"; static */
    const char *cipher;      /* "TLS_AES_128_GCM_SHA256"; static */
    bool resumed;
    struct cert *leaf;     /* what the client presented, or NULL */
    struct cert_list sent; /* certificates after the leaf, in TLS order (kept across resumption) */
    struct verify_report report;
    unsigned revision;                     /* counts reports: what was rendered from one is known to be of that one */
    uint8_t trust_generation[SHA256_SIZE]; /* that the report was made under; zeros without trust */
    time_t first_authenticated;            /* wall time of the full handshake */
    int64_t handshake_us;                  /* from accept to the end of the handshake */
    struct identity *identity;             /* rendered by the first peer_identity() */
};

/* One that no handshake made: a certificate that was presented at another time (proxy/tokens.h). Not judged yet:
 * peer_reverify() follows. Takes references of its own. */
struct peer *peer_stand_in(struct cert *leaf, const struct cert_list *sent);
/* NULL when no certificate was presented. Rendered at the first call, the same object ever after, unless
 * peer_reverify() found another issuer. */
const struct identity *peer_identity(struct peer *peer);
/* Judges the presented chain again, by trust as it is now, if trust's generation differs or time may have changed the
 * verdict; cheap otherwise. trust NULL: the hostname has no CA bundle any more; the report becomes
 * CERTIFICATE_UNTRUSTED (or MISSING). */
void peer_reverify(struct peer *peer, const struct trust *trust, time_t now);
/* What a responder says (verify_report_revoke); holds until trust changes or the connection ends. */
void peer_revoke(struct peer *peer, time_t revoked_at, int revocation_reason, int depth);
void peer_free(struct peer **peer);

#endif
