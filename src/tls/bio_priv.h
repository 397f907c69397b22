/*
 * bio: how OpenSSL reaches the socket. Like its own socket BIO, but a write to a connection that is gone raises no
 * SIGPIPE, and the errno of the last failure stays to be asked for.
 */
#ifndef SALLYPORT_TLS_BIO_PRIV_H
#define SALLYPORT_TLS_BIO_PRIV_H

#include <openssl/bio.h>

/* The descriptor stays the caller's. The BIO goes with the SSL that it is given to. */
BIO *socket_bio_new(int fd);
/* How often the socket may be read until the next call of this; then it passes for empty. 0 at first. OpenSSL goes on
 * within one call for as long as records come that carry nothing: a client that sends those fast enough would never let
 * it return. */
void socket_bio_allow_reads(BIO *bio, int count);
/* 0: none, or end of file. */
int socket_bio_errno(BIO *bio);

#endif
