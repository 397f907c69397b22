/*
 * id: random bytes from the kernel, and ray ids made of them. Used by the event loop's thread only.
 */
#include "base/id.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/encode.h"

#define RAY_BYTES ((RAY_ID_SIZE - 1) / 2)

void random_bytes(void *out, size_t size) {
    char *to = out;
    while (size > 0) {
        ssize_t got = getrandom(to, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            fprintf(stderr, "sallyport: no random bytes: %s\n", strerror(errno));
            abort();
        }
        to += got;
        size -= (size_t)got;
    }
}

static unsigned char stock[64 * RAY_BYTES];
static size_t stock_left;

/* A child that went on with its parent's stock would make the parent's ids. */
static void forget_stock(void) { stock_left = 0; }

void ray_id_make(char out[RAY_ID_SIZE]) {
    static int is_registered;
    if (!is_registered)
        is_registered = pthread_atfork(NULL, NULL, forget_stock) == 0;
    if (stock_left == 0) {
        random_bytes(stock, sizeof stock);
        stock_left = sizeof stock;
    }
    stock_left -= RAY_BYTES;
    hex_lower(stock + stock_left, RAY_BYTES, out);
}
