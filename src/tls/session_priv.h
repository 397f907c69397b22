/*
 * session_priv: sessions of TLS 1.3 that are kept here and not in the client's ticket: what is kept, where, and
 * OpenSSL's callback that asks for one. tickets.c, profile and keys use it; nobody outside of tls/.
 */
#ifndef SALLYPORT_TLS_SESSION_PRIV_H
#define SALLYPORT_TLS_SESSION_PRIV_H

#include "handshake_priv.h"

/* ---- session_store.c: sealed records in shared memory ---- */

#define SESSION_ID_SIZE 32
#define SESSION_RECORD_MAX ((size_t)24 * 1024)

struct session_store;

/* memory: session_store_size() bytes, zeroed by whoever made it; it must outlive the store. */
struct session_store *session_store_new(void *memory);
void session_store_free(struct session_store **store);
/* SESSION_RECORD_MAX bytes: what is to be put is written there, what was got stands there until it is wiped. */
uint8_t *session_store_draft(struct session_store *store);
void session_store_wipe(struct session_store *store, size_t len);
/* Keeps the first len bytes of the draft. False: OpenSSL fails. */
bool session_store_put(struct session_store *store, const struct ticket_keys *keys, size_t len,
                       uint8_t id_out[SESSION_ID_SIZE]);
/* The length of what stands in the draft now; 0: it is not there (any more), or is not what was put there. */
size_t session_store_get(struct session_store *store, const struct ticket_keys *keys,
                         const uint8_t id[SESSION_ID_SIZE]);

/* ---- session_record.c: what is kept ---- */

#define SESSION_SECRET_MAX 64 /* of TLS 1.3: as long as the hash */

struct session_record {
    uint8_t cipher[2]; /* as on the wire */
    struct slice secret;
    struct slice leaf; /* DER; ptr NULL without a certificate */
    struct ticket_data data;
};

/* Returns the length, 0 when it does not fit. */
size_t session_record_encode(const struct session_record *record, uint8_t out[SESSION_RECORD_MAX]);
/* False for anything but the bytes of an encode; the slices point into bytes. */
bool session_record_decode(struct slice bytes, struct session_record *record_out);

/* ---- sessions.c ---- */

/* Keeps the session that a ticket is about to be made for, and gives it the identifier that the client gets. False:
 * it cannot be kept. */
bool session_keep(SSL *ssl, const struct ticket_data *data, const struct presented *presented);
/* OpenSSL asks for the session of an identifier: NULL unless it is there and may be resumed. */
SSL_SESSION *session_find(SSL *ssl, const unsigned char *id, int id_len, int *copy);

#endif
