/* pem_priv: the blocks of one name out of a PEM text, decoded as a stream: a list of any size passes through a few KiB.
 * For the CRL loader. */
#ifndef SALLYPORT_PKI_PEM_PRIV_H
#define SALLYPORT_PKI_PEM_PRIV_H

#include "pki/crl.h"

enum pem_place { PEM_OUTSIDE, PEM_INSIDE, PEM_AFTER_PADDING, PEM_BROKEN };

struct pem_stream {
    crl_read_fn *read;
    void *source;
    const char *label; /* "X509 CRL" */
    enum pem_place place;
    bool has_failed; /* read returned an error */
    uint32_t bits;   /* of an unfinished group of four characters */
    int group;       /* characters in it */
    size_t start, end;
    char window[16 * 1024];
};

void pem_stream_init(struct pem_stream *pem, crl_read_fn *read, void *source, const char *label);
/* Goes to the next block, past what is left of this one. False if there is none. */
bool pem_stream_find(struct pem_stream *pem);
/* A crl_read_fn over the block's content. -1 for a character that is not base64, or a missing END line. */
long pem_stream_read(void *arg, void *buf, size_t size);

#endif
