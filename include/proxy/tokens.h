/*
 * tokens: a worker's tokens: those that control signed for it, and those that clients bring. One for each worker.
 *
 * A token is kept for each {certificate, CA, application, hostname, issuer, duration} and used again until half its
 * life is over; from then on, and when another key signs, it is used while a fresh one is asked for. So nobody waits
 * but the first, and a fleet that comes back does not queue behind signatures.
 */
#ifndef SALLYPORT_PROXY_TOKENS_H
#define SALLYPORT_PROXY_TOKENS_H

#include "ipc/ask.h"
#include "proxy/wait.h"
#include "session/jwt.h"
#include "snapshot/snapshot.h"
#include "tls/peer.h"

#define TOKENS_WAIT_MS 500

struct tokens;

/* asker may be NULL: nothing is signed. */
struct tokens *tokens_new(struct loop *loop, struct asker *asker);
void tokens_free(struct tokens **tokens);
/* What control says of the keys: as key_set_read() takes it. */
void tokens_told(struct tokens *tokens, struct slice key_set);
/* NULL: control has not said yet. */
const struct key_set *tokens_keys(const struct tokens *tokens);

/* ---- for the origin ---- */

struct token_subject {
    const struct application *application;
    struct peer *peer;         /* whose certificate counts if it is verified */
    const struct trust *trust; /* what its report's bundles index */
    struct slice hostname;     /* of the connection */
    const char *issuer;        /* tokens.issuer, or NULL */
    int64_t session_s;         /* 0: as short as can be */
};

/* A token with what is made of it for every request. Immutable, shared. */
struct issued_token {
    unsigned refs;
    int64_t issued_at, expires_at;
    struct slice text;       /* for the origin */
    struct slice cookie;     /* "CF_Authorization=<text>", for the origin */
    struct slice set_cookie; /* for the client; empty when browsers would drop it */
    char bytes[];
};
void issued_token_unref(struct issued_token **token);

enum tokens_result { TOKENS_READY, TOKENS_WAIT, TOKENS_NONE };
/* READY: a reference. WAIT: tokens_get() again when the wait is over. NONE: there is none in time, or nobody to ask. */
enum tokens_result tokens_get(struct tokens *tokens, const struct token_subject *subject, int64_t now,
                              struct wait *wait, struct issued_token **token_out);

/* ---- from a client ---- */

/* A token that was checked and is good; kept, because the next request brings it again. */
struct brought_token {
    struct list node; /* of the worker's, the one used last in front */
    unsigned refs;
    char *key;
    size_t key_len;
    struct session session;
    struct peer *stand_in; /* where it stands in for the certificate: a peer of its own, to be judged; else NULL */
};

struct token_check {
    struct slice token;
    const char *issuer; /* tokens.issuer; NULL: from the hostname */
    struct slice aud;   /* of the application; empty: any */
    struct slice hostname;
    int64_t now;
};
/* A reference, or NULL with the fault. */
struct brought_token *tokens_check(struct tokens *tokens, const struct token_check *check, enum jwt_fault *fault_out);
void brought_token_unref(struct brought_token **token);

#endif
