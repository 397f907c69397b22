/*
 * handshake: what one handshake gathers, shared by the callbacks of tls/ (sni, verify_record, tickets) and by
 * stream_tls, which drives it. It hangs on the SSL as app data from accept until the end of the handshake, then becomes
 * a struct peer; no callback does anything on an SSL without it.
 *
 * Also the private interfaces between the files of tls/.
 */
#ifndef SALLYPORT_TLS_HANDSHAKE_PRIV_H
#define SALLYPORT_TLS_HANDSHAKE_PRIV_H

#include <openssl/ssl.h>

#include "pki/verify_cache.h"
#include "tls/peer.h"
#include "tls/stream_tls.h"
#include "tls/tls_profile.h"

/* What a client showed of itself and how that was judged: by its Certificate message, or by the session it resumes. */
struct presented {
    struct cert *leaf;     /* NULL: no certificate */
    struct cert_list sent; /* after the leaf, in TLS order */
    struct verify_report report;
    time_t first_authenticated; /* 0: not settled yet */
};

struct handshake {
    struct tls_profile *profile; /* a reference */
    tls_select_fn *select;
    void *owner;
    int64_t accepted_us; /* monotonic */
    bool has_hello;      /* a ClientHello was parsed */
    bool has_sni;
    char server_name[256];        /* normalised; "" until known */
    struct tls_host *host;        /* a reference; NULL until chosen */
    uint8_t binding[SHA256_SIZE]; /* of sessions: tls_host_binding, and under a wildcard server_name; with host */
    enum reason reason;           /* why it failed; NONE as long as it has not */
    char detail[256];
    struct presented full;    /* from the Certificate message of this handshake */
    struct presented resumed; /* from a session ticket that was found good; counts only if OpenSSL then takes it */
    bool has_resumed;         /* `resumed` is filled in */
    bool is_ticket_withheld;  /* this client gets no ticket */
    unsigned tickets_tried;   /* tickets of the client that were decrypted */
};

void presented_fini(struct presented *presented);

struct handshake *handshake_new(struct tls_profile *profile, tls_select_fn *select, void *owner);
void handshake_free(struct handshake **handshake);
/* The handshake of an SSL, NULL once it is over. */
struct handshake *handshake_of(const SSL *ssl);
/* Says why the handshake fails. The first reason stays. */
void handshake_refuse(struct handshake *handshake, enum reason reason, const char *format, ...) PRINTF_LIKE(3, 4);
/* The same from what OpenSSL says after SSL_do_handshake() failed with ssl_error; errnum is that of the socket. Empties
 * the error queue. Returns whether the client merely went away. */
bool handshake_explain(struct handshake *handshake, SSL *ssl, int ssl_error, int errnum);

/* sni.c: the ClientHello and servername callbacks. */
int sni_select(SSL *ssl, int *alert, void *arg);
int sni_acknowledge(SSL *ssl, int *alert, void *arg);
/* The certificate callback: nothing is resumed. */
int sni_present(SSL *ssl, void *arg);
/* Content of a server_name extension. False: not exactly one well-formed entry of type host_name. */
bool sni_parse(struct slice extension, struct slice *name_out);

/* verify_record.c: the callback in place of OpenSSL's own verification. */
int verify_record(X509_STORE_CTX *store, void *arg);

/* tls_host.c: puts verify mode and session binding of a hostname on a connection, before sessions are looked up. -1:
 * OpenSSL refuses (its error queue is emptied). */
MUST_CHECK int tls_host_apply(const struct tls_host *host, SSL *ssl);
/* Certificates and CA names, for a full handshake. The names stay the host's: tls_host_take_back() before the SSL or
 * the host is freed. */
MUST_CHECK int tls_host_present(const struct tls_host *host, SSL *ssl);
void tls_host_take_back(SSL *ssl);

/* tls_profile.c */
SSL_CTX *tls_profile_ctx(const struct tls_profile *profile);
const struct ticket_keys *tls_profile_ticket_keys(const struct tls_profile *profile);
struct verify_cache *tls_profile_cache(const struct tls_profile *profile);
long tls_profile_session_timeout(const struct tls_profile *profile);
/* Are TLS 1.3 sessions kept in a store? */
bool tls_profile_keeps_sessions(const struct tls_profile *profile);
/* Wall time as this profile sees it, and another clock for it (tests of expiry). */
time_t tls_profile_now(const struct tls_profile *profile);
void tls_profile_set_clock(struct tls_profile *profile, time_t (*clock)(void));

/* ticket_keys.c: prepares the contexts to seal or open a ticket. The results are those of OpenSSL's key callback. */
#define TICKET_NAME_SIZE 16
enum { TICKET_KEY_FAILED = -1, TICKET_KEY_NONE = 0, TICKET_KEY_CURRENT = 1, TICKET_KEY_PREVIOUS = 2 };
int ticket_keys_seal(const struct ticket_keys *keys, unsigned char *name_out, unsigned char *iv_out,
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac);
int ticket_keys_open(const struct ticket_keys *keys, const unsigned char *name, const unsigned char *iv,
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac);
struct session_store;
/* NULL: sessions are in the tickets. */
struct session_store *ticket_keys_store(const struct ticket_keys *keys);
/* Bytes that only the key and the seed give, for the session store. False: there is no key of that index. */
#define TICKET_DERIVED_SIZE 64
bool ticket_keys_derive(const struct ticket_keys *keys, size_t index, const uint8_t seed[TICKET_NAME_SIZE],
                        uint8_t out[TICKET_DERIVED_SIZE]);

/* ticket_data.c: what a ticket carries of ours. */
#define TICKET_SENT_BYTES_MAX 4096 /* certificates after the leaf */
#define TICKET_SENT_COUNT_MAX 16
#define TICKET_LEAF_BYTES_MAX 16384 /* a ticket's length has 16 bits */
#define TICKET_DATA_MAX (1 + 2 * SHA256_SIZE + 2 * 8 + 1 + TICKET_SENT_BYTES_MAX + 2 * TICKET_SENT_COUNT_MAX)

struct ticket_data {
    uint8_t binding[SHA256_SIZE]; /* the handshake's */
    uint8_t anchor[SHA256_SIZE];  /* zeros without a certificate */
    int64_t first_authenticated;
    int64_t not_after;                        /* earliest of the chain; 0 without a certificate */
    struct slice sent[TICKET_SENT_COUNT_MAX]; /* DER, in TLS order */
    size_t sent_count;
};

/* Returns the length, 0 when the certificates do not fit. */
size_t ticket_data_encode(const struct ticket_data *data, uint8_t out[TICKET_DATA_MAX]);
/* False for anything but the bytes of an encode; sent points into bytes. */
bool ticket_data_decode(struct slice bytes, struct ticket_data *data_out);
bool ticket_has_room(const struct cert *leaf, const struct cert_list *sent);

/* resumption.c: what there is to know of a client for its next visit, and whether it may resume at this one. */
void resumption_describe(const struct handshake *handshake, const struct presented *presented, struct ticket_data *out);
/* leaf: NULL without a certificate. Fills handshake->resumed when it may. */
bool resumption_decide(struct handshake *handshake, const struct ticket_data *data, struct cert *leaf);
/* Counts what is looked at of what a client sends. False: enough. */
bool resumption_may_look(struct handshake *handshake);
/* Does this connection's session get kept, instead of going into the ticket? */
bool resumption_is_kept(const SSL *ssl);

/* tickets.c: OpenSSL's three ticket callbacks. */
int ticket_key_use(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                   int is_sealing);
int ticket_generate(SSL *ssl, void *arg);
SSL_TICKET_RETURN ticket_decide(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_len,
                                SSL_TICKET_STATUS status, void *arg);

/* peer.c: the end of a handshake. Moves the facts out of it. */
struct peer *peer_capture(struct handshake *handshake, const SSL *ssl);

#endif
