/*
 * rig: real handshakes within one thread. The server side is stream_tls on one end of a socketpair, driven by the loop;
 * the client is OpenSSL on the other end. A PKI of its own is made at first use.
 */
#ifndef SALLYPORT_TESTS_TLS_RIG_H
#define SALLYPORT_TESTS_TLS_RIG_H

#include <check.h>
#include <openssl/ssl.h>

#include "io/loop.h"
#include "support/testpki.h"
#include "tls/stream_tls.h"

/* ---- certificates ---- */

struct issue_plan {
    const char *common_name;
    const struct testpki *issuer; /* NULL: self-signed */
    EVP_PKEY *key;                /* NULL: P-256; taken over */
    bool is_ca;
    const char *extended_key_usage; /* NULL: clientAuth */
    time_t not_before, not_after;   /* 0: as testpki has them */
    size_t padding;                 /* bytes that make the certificate larger */
};

struct testpki issue(const struct issue_plan *plan);
/* The issuer's list; the certificates in it, up to NULL (which may be all). next_update 0: as testpki has it. */
struct crl *issue_crl(const struct testpki *issuer, const struct testpki *const *revoked, time_t next_update);

/* The common PKI, made once for each process. */
struct pki {
    struct testpki ca, other_ca;                /* of the clients of a.test and of b.test */
    struct testpki intermediate;                /* by ca */
    struct testpki alice, bob;                  /* by ca; by other_ca */
    struct testpki expired, server_only, carol; /* by ca, ca, intermediate */
    struct testpki server_ec, server_rsa;       /* self-made, for every host */
};
const struct pki *pki(void);
/* For an unchecked fixture: makes it before the tests fork. */
void pki_set_up(void);
struct trust *trust_of(const struct testpki *ca, struct crl *crl);

/* ---- the server ---- */

#define RIG_HOSTS 6

struct rig {
    struct loop *loop;
    struct ticket_keys *keys;
    struct tls_profile *profile;
    struct tls_host *hosts[RIG_HOSTS];
    struct tls_host *no_sni;
    void *memory; /* of the session store; NULL: sessions are in the tickets */
    int selected; /* calls of select */
    struct slice last_name;
};

/* Hosts: a.test (request, ca), b.test (request, other_ca), require.test (require, ca), off.test. no_sni: none. */
struct rig *rig_new(void);
void rig_free(struct rig *rig);
/* Puts another profile in place; NULL source: the defaults. */
void rig_set_profile(struct rig *rig, const struct tls_profile_source *source);
struct tls_profile_source rig_profile_source(void);
/* From now on TLS 1.3 sessions are kept. */
void rig_keep_sessions(struct rig *rig);
/* Replaces (or adds) the host of that name. Takes the caller's reference of trust. */
void rig_set_host(struct rig *rig, const char *name, enum client_certificate mode, struct trust *trust);
struct tls_host *rig_host(struct rig *rig, const char *name);
/* The time that tickets and verification go by; 0: TESTPKI_NOW. */
void rig_set_time(time_t now);
time_t rig_time(void);

/* ---- one connection ---- */

struct conn_plan {
    const char *sni;                 /* NULL: none */
    const struct testpki *cert;      /* NULL: none */
    const struct testpki *chain[12]; /* sent after it */
    int version;                     /* 0: whatever is agreed */
    SSL_SESSION *session;            /* to resume; stays the caller's */
    void (*tune)(SSL *ssl);          /* last touch on the client */
};

struct conn {
    struct rig *rig;
    /* server */
    struct stream *stream;
    bool is_ready, is_failed;
    int readable, writable; /* events */
    struct peer *peer;
    struct handshake_failure failure; /* pointers in it are good until conn_fini */
    /* client */
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
    bool is_client_done, is_client_broken;
    unsigned long client_error; /* OpenSSL's code */
    int alert;                  /* last one received, -1 */
    SSL_SESSION *session;       /* last one received */
    char received[256];
    size_t received_len;
    bool is_client_eof;
};

void conn_open(struct conn *conn, struct rig *rig, const struct conn_plan *plan);
/* One turn of the server, then one step of the client. */
void conn_step(struct conn *conn);
/* Until both sides have come to an end of the handshake and nothing more moves. */
void conn_run(struct conn *conn);
void conn_fini(struct conn *conn);
/* open, run */
void conn_do(struct conn *conn, struct rig *rig, const struct conn_plan *plan);
/* The session that a connection of this plan leaves behind, or NULL; the caller frees. */
SSL_SESSION *conn_session(struct rig *rig, const struct conn_plan *plan);
/* Both sides agree that the session was resumed. Fails the test when the handshake fails or they do not agree. */
bool conn_resumes(struct rig *rig, const struct conn_plan *plan, SSL_SESSION *session);

#define ASSERT_QUEUE_EMPTY() ck_assert_uint_eq(ERR_peek_error(), 0)

#endif
