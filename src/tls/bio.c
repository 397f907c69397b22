/*
 * bio: OpenSSL's view of a non-blocking socket; used by stream_tls only. Two buffers are shared by all connections of
 * the process, so that idle ones hold none:
 *
 *   socket --recv--> ahead --5 bytes, body, 5 bytes, ...--> OpenSSL --record, record, ...--> gathered --send--> socket
 *
 * `ahead` is one connection's until another wants to read; then what the first has not read moves to memory of its own
 * (an owner that stopped reading for want of room; else OpenSSL reads all there is). `gathered` is filled and sent
 * within one call; what a full socket does not take moves to memory of the connection likewise.
 */
#include "bio_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/mem.h"

/* For one recv(). Four records go into it. */
#define AHEAD_SIZE ((size_t)64 * 1024)
/* However little is wanted: a head fits. */
#define AHEAD_LEAST ((size_t)4 * 1024)

struct bytes {
    char *at; /* into `ahead` or `kept_*` */
    size_t len;
};

struct socket_bio {
    int fd;
    int errnum;
    int reads_left; /* then the socket passes for empty */
    size_t wanted;  /* by the owner of the stream: more would wait in memory of its own when the owner is content */
    bool is_eof;
    bool is_empty; /* the last recv() took all there was: asking again would only cost a call */
    bool is_gathering;
    struct bytes unread;
    struct bytes unsent;
    char *kept_unread, *kept_unsent; /* own memory of what is unread or unsent, or NULL */
};

static char ahead[AHEAD_SIZE];
static struct socket_bio *ahead_owner; /* whose unread bytes are in there */
static char gathered[SOCKET_BIO_GATHER];
static size_t gathered_len;

static struct socket_bio *state_of(BIO *bio) { return BIO_get_data(bio); }

/* ---- reading ---- */

static void keep_unread(struct socket_bio *state) {
    if (state->unread.len > 0) {
        state->kept_unread = mem_dup(state->unread.at, state->unread.len);
        state->unread.at = state->kept_unread;
    }
    ahead_owner = NULL;
}

/* Fills `ahead`. Returns what recv() does. */
static ssize_t receive_ahead(struct socket_bio *state) {
    if (ahead_owner && ahead_owner != state) {
        keep_unread(ahead_owner);
    }
    ahead_owner = state;
    size_t size = state->wanted < AHEAD_LEAST ? AHEAD_LEAST : state->wanted < AHEAD_SIZE ? state->wanted : AHEAD_SIZE;
    ssize_t n = recv(state->fd, ahead, size, 0);
    state->unread = (struct bytes){ahead, n > 0 ? (size_t)n : 0};
    state->is_empty = n > 0 && (size_t)n < size;
    return n;
}

/* The rest of a record goes where OpenSSL wants it, without a stop in `ahead`. */
static ssize_t receive(struct socket_bio *state, char *buf, size_t size) {
    ssize_t n = recv(state->fd, buf, size, 0);
    state->is_empty = n > 0 && (size_t)n < size;
    return n;
}

static size_t take_unread(struct socket_bio *state, char *buf, size_t size) {
    size_t take = size < state->unread.len ? size : state->unread.len;
    memcpy(buf, state->unread.at, take);
    state->unread.at += take;
    state->unread.len -= take;
    if (state->unread.len == 0) {
        mem_free(state->kept_unread);
        state->kept_unread = NULL;
    }
    return take;
}

/* What a read or write of OpenSSL returns. */
static int finish(BIO *bio, ssize_t n, int retry_flag) {
    struct socket_bio *state = state_of(bio);
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

static int refuse(BIO *bio, int retry_flag) {
    errno = EAGAIN;
    return finish(bio, -1, retry_flag);
}

static int socket_read(BIO *bio, char *buf, int size) {
    struct socket_bio *state = state_of(bio);
    if (state->reads_left == 0) {
        return refuse(bio, BIO_FLAGS_READ);
    }
    state->reads_left--;
    if (state->unread.len == 0) {
        if (state->is_empty) {
            state->is_empty = false;
            return refuse(bio, BIO_FLAGS_READ);
        }
        bool is_small = (size_t)size < AHEAD_SIZE / 8;
        ssize_t n = is_small ? receive_ahead(state) : receive(state, buf, (size_t)size);
        state->is_eof = n == 0;
        if (n <= 0 || !is_small) {
            return finish(bio, n, BIO_FLAGS_READ);
        }
    }
    return finish(bio, (ssize_t)take_unread(state, buf, (size_t)size), BIO_FLAGS_READ);
}

void socket_bio_allow_reads(BIO *bio, int count) { state_of(bio)->reads_left = count; }

void socket_bio_want(BIO *bio, size_t size) { state_of(bio)->wanted = size; }

void socket_bio_ready(BIO *bio) { state_of(bio)->is_empty = false; }

bool socket_bio_holds(BIO *bio) { return state_of(bio)->unread.len > 0; }

bool socket_bio_is_drained(BIO *bio) {
    const struct socket_bio *state = state_of(bio);
    return state->is_empty && state->unread.len == 0;
}

/* ---- writing ---- */

static ssize_t transmit(const struct socket_bio *state, const char *bytes, size_t len) {
    ssize_t n;
    do {
        n = send(state->fd, bytes, len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* Sends from the front of what is unsent. */
static enum bio_sent send_unsent(struct socket_bio *state) {
    while (state->unsent.len > 0) {
        ssize_t n = transmit(state, state->unsent.at, state->unsent.len);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return BIO_SENT_PART;
        }
        if (n < 0) {
            state->errnum = errno;
            return BIO_SENT_NEVER;
        }
        state->unsent.at += n;
        state->unsent.len -= (size_t)n;
    }
    mem_free(state->kept_unsent);
    state->kept_unsent = NULL;
    return BIO_SENT_ALL;
}

void socket_bio_gather(BIO *bio) {
    struct socket_bio *state = state_of(bio);
    INVARIANT(gathered_len == 0 && state->unsent.len == 0);
    state->is_gathering = true;
}

enum bio_sent socket_bio_send(BIO *bio) {
    struct socket_bio *state = state_of(bio);
    state->is_gathering = false;
    state->unsent = (struct bytes){gathered, gathered_len};
    gathered_len = 0;
    enum bio_sent sent = send_unsent(state);
    if (sent == BIO_SENT_PART) {
        state->kept_unsent = mem_dup(state->unsent.at, state->unsent.len);
        state->unsent.at = state->kept_unsent;
    }
    return sent;
}

enum bio_sent socket_bio_send_rest(BIO *bio) { return send_unsent(state_of(bio)); }

static int gather(BIO *bio, const char *bytes, size_t len) {
    INVARIANT(len <= sizeof gathered - gathered_len);
    memcpy(gathered + gathered_len, bytes, len);
    gathered_len += len;
    return finish(bio, (ssize_t)len, BIO_FLAGS_WRITE);
}

static int socket_write(BIO *bio, const char *bytes, int len) {
    struct socket_bio *state = state_of(bio);
    if (state->is_gathering) {
        return gather(bio, bytes, (size_t)len);
    }
    /* What is older goes first. */
    enum bio_sent rest = send_unsent(state);
    if (rest != BIO_SENT_ALL) {
        errno = rest == BIO_SENT_PART ? EAGAIN : state->errnum;
        return finish(bio, -1, BIO_FLAGS_WRITE);
    }
    return finish(bio, transmit(state, bytes, (size_t)len), BIO_FLAGS_WRITE);
}

/* ---- the BIO ---- */

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
    struct socket_bio *state = BIO_get_data(bio);
    if (state && ahead_owner == state) {
        ahead_owner = NULL;
    }
    if (state) {
        mem_free(state->kept_unread);
        mem_free(state->kept_unsent);
    }
    mem_free(state);
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

int socket_bio_errno(BIO *bio) { return state_of(bio)->errnum; }
