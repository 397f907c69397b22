/*
 * stream_tls: the server side of TLS as an io/stream. Runs the handshake (ClientHello callback, client certificate,
 * verification, tickets), then moves bytes with SSL_read and SSL_write directly on the socket.
 *
 *   handshaking --READY--> open ...        peer is there from READY on
 *        \--FAILED--> stream_tls_failure() says why, in the product's vocabulary
 */
#ifndef SALLYPORT_TLS_STREAM_TLS_H
#define SALLYPORT_TLS_STREAM_TLS_H

#include "io/stream.h"
#include "tls/peer.h"
#include "tls/tls_profile.h"

/* Takes fd over: non-blocking, closed on exec, as an acceptor gives them. profile: a reference is kept. select is asked
 * once, with owner, in the ClientHello callback; a second ClientHello (after HelloRetryRequest) must carry the same
 * name or the handshake fails. */
struct stream *stream_tls_accept(struct loop *loop, int fd, struct tls_profile *profile, tls_select_fn *select,
                                 stream_fn *fn, void *owner);
/* Its handshake waits for a ClientHello, and nothing has come that was not looked at yet. A system call at most. */
bool stream_tls_is_silent(const struct stream *stream);
/* After READY; stays the stream's until taken. The caller that takes it frees it with peer_free. */
struct peer *stream_tls_take_peer(struct stream *stream);

/* What is known about a handshake that failed. */
struct handshake_failure {
    enum reason
        reason; /* UNKNOWN_HOSTNAME, SNI_MISSING, CERTIFICATE_*, CRL_*, CERTIFICATE_TOO_LARGE, HANDSHAKE_FAILED */
    char
        detail[256]; /* "no protocol version in common", "client closed the connection", "certificate expired on ..." */
    bool is_silent;  /* the client went away before a ClientHello (port scan, health check): debug, not audit */
    char server_name[256];   /* "" if not known */
    const char *hostname;    /* configured name chosen, or NULL; valid until the stream is closed */
    const char *tls_version; /* or NULL */
    struct peer *peer; /* with leaf, sent and report as far as known (require mode), or NULL; stays the stream's */
};
void stream_tls_failure(const struct stream *stream, struct handshake_failure *failure_out);

#endif
