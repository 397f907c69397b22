/*
 * bio: OpenSSL's view of a non-blocking socket; used by stream_tls only. Owns nothing but its few bytes of state.
 */
#include "bio_priv.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/mem.h"

struct socket_bio {
    int fd;
    int errnum;
    bool is_eof;
    int reads_left; /* then the socket passes for empty */
};

static int finish(BIO *bio, ssize_t n, int retry_flag) {
    struct socket_bio *state = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (n >= 0) {
        return (int)n;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        BIO_set_flags(bio, retry_flag | BIO_FLAGS_SHOULD_RETRY);
    } else {
        state->errnum = errno;
    }
    return -1;
}

static int socket_read(BIO *bio, char *buf, int size) {
    struct socket_bio *state = BIO_get_data(bio);
    if (state->reads_left == 0) {
        errno = EAGAIN;
        return finish(bio, -1, BIO_FLAGS_READ);
    }
    state->reads_left--;
    ssize_t n = recv(state->fd, buf, (size_t)size, 0);
    state->is_eof = n == 0;
    return finish(bio, n, BIO_FLAGS_READ);
}

static int socket_write(BIO *bio, const char *bytes, int len) {
    struct socket_bio *state = BIO_get_data(bio);
    return finish(bio, send(state->fd, bytes, (size_t)len, MSG_NOSIGNAL), BIO_FLAGS_WRITE);
}

static long socket_ctrl(BIO *bio, int command, long number, void *pointer) {
    (void)number;
    (void)pointer;
    struct socket_bio *state = BIO_get_data(bio);
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return state && state->is_eof;
    default:
        return 0;
    }
}

static int socket_destroy(BIO *bio) {
    mem_free(BIO_get_data(bio));
    BIO_set_data(bio, NULL);
    return 1;
}

/* Made once, for good. */
static const BIO_METHOD *socket_method(void) {
    static BIO_METHOD *method;
    if (!method) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "sallyport socket");
        INVARIANT(method);
        BIO_meth_set_read(method, socket_read);
        BIO_meth_set_write(method, socket_write);
        BIO_meth_set_ctrl(method, socket_ctrl);
        BIO_meth_set_destroy(method, socket_destroy);
    }
    return method;
}

BIO *socket_bio_new(int fd) {
    BIO *bio = BIO_new(socket_method());
    INVARIANT(bio);
    struct socket_bio *state = NEW(struct socket_bio);
    state->fd = fd;
    BIO_set_data(bio, state);
    BIO_set_init(bio, 1);
    return bio;
}

void socket_bio_allow_reads(BIO *bio, int count) {
    struct socket_bio *state = BIO_get_data(bio);
    state->reads_left = count;
}

int socket_bio_errno(BIO *bio) {
    struct socket_bio *state = BIO_get_data(bio);
    return state->errnum;
}
