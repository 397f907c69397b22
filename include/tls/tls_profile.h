/*
 * tls_profile: the TLS settings of the gateway (versions, ciphers, groups, ticket keys) and the one SSL_CTX made of
 * them. It holds no certificate and no default host: everything of a hostname is set on the connection in the
 * ClientHello callback.
 *
 * Always: no compression, no renegotiation, no early data, no post-handshake authentication, no session cache of
 * OpenSSL's, one ticket, server preference of ciphers, a bounded certificate list, security level 2.
 */
#ifndef SALLYPORT_TLS_TLS_PROFILE_H
#define SALLYPORT_TLS_TLS_PROFILE_H

#include "base/err.h"
#include "base/reason.h"
#include "base/slice.h"
#include "tls/tls_host.h"

struct tls_profile_source {
    const char *min_version; /* "1.2" or "1.3" */
    long session_timeout;    /* seconds since the first authentication for which a session resumes; 0: no resumption */
    const char *ciphers;     /* "secure" (ECDHE with AEAD), or an OpenSSL list for TLS 1.2 */
    const char *groups;      /* "X25519:P-256:P-384:P-521" */
    size_t certificate_chain_size; /* bytes of the client's Certificate message */
    bool has_stateless_tickets;    /* TLS 1.3 sessions go into the tickets, even where they could be kept */
};

/* The hostname seam: the only matcher is the owner's (route/hostname_table). server_name is the normalised name in the
 * ClientHello, ptr NULL when it has none. Returns REASON_NONE with a reference in *host_out, or UNKNOWN_HOSTNAME or
 * SNI_MISSING and nothing. Called once per handshake. Without SNI the connection's server name is the name of the host
 * chosen. */
typedef enum reason tls_select_fn(void *owner, struct slice server_name, struct tls_host **host_out);

struct tls_profile;

/* Keys for tickets: new tickets are sealed with the newest, those before it still open theirs. Random until those that
 * all workers share are loaded. */
#define TICKET_KEY_SIZE 80 /* name, cipher key, MAC key: random bytes */
#define TICKET_KEYS_MAX 3
struct ticket_keys;
struct ticket_keys *ticket_keys_new(void);
/* All keys anew: one to TICKET_KEYS_MAX of TICKET_KEY_SIZE bytes, newest first. The bytes stay the caller's (to wipe).
 */
MUST_CHECK int ticket_keys_load(struct ticket_keys *keys, struct slice bytes, struct err *err);
/* From now on the sessions of TLS 1.3 are kept, sealed, in this memory, and tickets only name them. memory:
 * session_store_size() bytes, zeroed at first, shared by all workers; it must outlive the keys. */
void ticket_keys_keep_sessions(struct ticket_keys *keys, void *memory);
void ticket_keys_free(struct ticket_keys **keys);
/* 32 MiB of address space: about 30,000 sessions of clients with EC certificates; then the oldest go. */
size_t session_store_size(void);

/* keys must outlive the profile. The texts in err name the setting ("tls.ciphers: no cipher matches ..."). */
MUST_CHECK struct tls_profile *tls_profile_new(const struct tls_profile_source *source, struct ticket_keys *keys,
                                               struct err *err);
struct tls_profile *tls_profile_ref(struct tls_profile *profile);
void tls_profile_unref(struct tls_profile **profile);

#endif
