/*
 * bio: how OpenSSL reaches the socket. Like its own socket BIO, but it makes few system calls: what one recv() brings
 * serves all the small reads of a record or more, and the records of one stream_write() leave with one send(). A write
 * to a connection that is gone raises no SIGPIPE, and the errno of the last failure stays to be asked for.
 */
#ifndef SALLYPORT_TLS_BIO_PRIV_H
#define SALLYPORT_TLS_BIO_PRIV_H

#include <openssl/bio.h>
#include <stdbool.h>

/* The descriptor stays the caller's. The BIO goes with the SSL that it is given to. */
BIO *socket_bio_new(int fd);
/* How often OpenSSL may read until the next call of this; then the socket passes for empty. 0 at first. OpenSSL goes on
 * within one call for as long as records come that carry nothing: a client that sends those fast enough would never let
 * it return. */
void socket_bio_allow_reads(BIO *bio, int count);
/* How much data the reads that follow are for; about so much is taken from the socket at once. */
void socket_bio_want(BIO *bio, size_t size);
/* The socket is known to be readable: the next read asks it, although the last one took all there was. */
void socket_bio_ready(BIO *bio);
/* Whether a read would return bytes that were received before: they make no socket readable. */
bool socket_bio_holds(BIO *bio);
/* Whether the last recv() took all there was, and all of that was read. */
bool socket_bio_is_drained(BIO *bio);

/* Between the two, written bytes gather. At most SOCKET_BIO_GATHER at a time. */
#define SOCKET_BIO_GATHER ((size_t)4 * (16 * 1024 + 512))
enum bio_sent {
    BIO_SENT_ALL,
    BIO_SENT_PART, /* the rest is kept; socket_bio_send_rest() when the socket is writable. Until then writes are
                      refused as by a full socket */
    BIO_SENT_NEVER /* see socket_bio_errno() */
};
void socket_bio_gather(BIO *bio);
enum bio_sent socket_bio_send(BIO *bio);
enum bio_sent socket_bio_send_rest(BIO *bio);

/* 0: none, or end of file. */
int socket_bio_errno(BIO *bio);

#endif
