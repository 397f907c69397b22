/*
 * logpipe: see the header. The writer's end is in workers and master, the reader's in control.
 *
 *   logsink_line -> pending: frame frame frame ... --flush, PIPE_BUF at a time--> pipe -> take: whole lines -> line()
 *
 * Writes of at most PIPE_BUF bytes are taken whole or not at all, so there is never a half-written packet to go on
 * with.
 */
#include "base/logpipe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sbuf.h"
#include "base/scan.h"
#include "logsink_priv.h"

#define PENDING_BYTES (4 * 1024 * 1024)
#define GATHER_BYTES (64 * 1024)
#define PIPE_BYTES (1024 * 1024) /* the most that an ordinary user may ask for */
#define HEAD_SIZE 5
#define PIECE_MAX (PIPE_BUF - HEAD_SIZE)
#define READ_SIZE (64 * 1024)
#define READS_PER_TAKE 64

/* In the kind's byte. */
#define FIRST_PIECE 0x40
#define LAST_PIECE 0x80
#define KIND_BITS 0x3f

static const char *const names[LOGPIPE_KINDS] = {
    [LOGPIPE_ERROR] = "error", [LOGPIPE_ACCESS] = "access", [LOGPIPE_AUDIT] = "audit"};

struct frame {
    unsigned char kind; /* with the bits above */
    struct slice piece;
};

/* The frame at the start of bytes. 1, 0 (not all of it is there), -1 (no frame). */
static int frame_read(struct slice bytes, struct frame *frame_out) {
    if (bytes.len < HEAD_SIZE)
        return 0;
    const unsigned char *at = (const unsigned char *)bytes.ptr;
    size_t len = at[1] | (size_t)at[2] << 8 | (size_t)at[3] << 16 | (size_t)at[4] << 24;
    if ((at[0] & KIND_BITS) >= LOGPIPE_KINDS || len > PIECE_MAX)
        return -1;
    if (bytes.len < HEAD_SIZE + len)
        return 0;
    *frame_out = (struct frame){at[0], slice_make(at + HEAD_SIZE, len)};
    return 1;
}

int logpipe_make(int *read_out, int *write_out, struct err *err) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK | O_DIRECT) < 0)
        return err_set(err, "no pipe: %s", strerror(errno));
    (void)fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES); /* a smaller one serves too */
    *read_out = ends[0];
    *write_out = ends[1];
    return 0;
}

/* --- writer ------------------------------------------------------------------------------------------------------- */

struct lane {
    struct logpipe_writer *writer;
    enum logpipe_kind kind;
    struct logsink_taker taker;
    struct logsink *sink;
    uint64_t announced; /* of taker.dropped: said in the log */
};

struct logpipe_writer {
    int fd;
    struct sbuf pending; /* frames */
    bool is_full;        /* dropping, until half of the buffer is free again */
    bool is_blocked;     /* the pipe is full: not before the next flush */
    struct lane lanes[LOGPIPE_KINDS];
};

static void append_frames(struct logpipe_writer *writer, enum logpipe_kind kind, struct slice line) {
    unsigned char first = FIRST_PIECE;
    do {
        struct slice piece = slice_first(line, PIECE_MAX);
        line = slice_after(line, piece.len);
        unsigned char last = line.len == 0 ? LAST_PIECE : 0;
        char head[HEAD_SIZE] = {(char)(kind | first | last), (char)piece.len, (char)(piece.len >> 8)};
        sbuf_append(&writer->pending, slice_make(head, sizeof head));
        sbuf_append(&writer->pending, piece);
        first = 0;
    } while (line.len > 0);
    INVARIANT(!writer->pending.overflow);
}

static size_t framed_size(size_t line_len) { return line_len + HEAD_SIZE * (line_len / PIECE_MAX + 1); }

static void take_line(void *arg, struct slice line) {
    struct lane *lane = arg;
    struct logpipe_writer *writer = lane->writer;
    char text[LOGSINK_NOTICE_SIZE];
    size_t held = writer->pending.len;
    if (writer->is_full && held <= PENDING_BYTES / 2)
        writer->is_full = false;
    if (line.len <= LOGPIPE_LINE_MAX && held + framed_size(line.len) > PENDING_BYTES - framed_size(sizeof text))
        writer->is_full = true;
    if (writer->is_full || line.len > LOGPIPE_LINE_MAX) {
        lane->taker.dropped++;
        return;
    }
    if (lane->taker.dropped != lane->announced) {
        bool as_json = line.len > 0 && line.ptr[0] == '{';
        uint64_t count = lane->taker.dropped - lane->announced;
        append_frames(writer, lane->kind, slice_of(logsink_format_drops(names[lane->kind], as_json, count, text)));
        lane->announced = lane->taker.dropped;
    }
    append_frames(writer, lane->kind, line);
    if (writer->pending.len >= GATHER_BYTES && !writer->is_blocked)
        (void)logpipe_writer_flush(writer);
}

struct logpipe_writer *logpipe_writer_new(int fd) {
    struct logpipe_writer *writer = NEW(struct logpipe_writer);
    int flags = fcntl(fd, F_GETFL), wanted = O_NONBLOCK | O_DIRECT;
    if (flags >= 0 && (flags & wanted) != wanted)
        (void)fcntl(fd, F_SETFL, flags | wanted);
    writer->fd = fd;
    sbuf_init(&writer->pending,
              2 * PENDING_BYTES); /* so that what is left is not moved up each time a little has gone */
    for (int kind = 0; kind < LOGPIPE_KINDS; kind++) {
        struct lane *lane = &writer->lanes[kind];
        *lane = (struct lane){.writer = writer, .kind = (enum logpipe_kind)kind};
        lane->taker = (struct logsink_taker){.line = take_line, .arg = lane};
        lane->sink = logsink_wrap(names[kind], &lane->taker);
    }
    return writer;
}

struct logsink *logpipe_writer_sink(struct logpipe_writer *writer, enum logpipe_kind kind) {
    INVARIANT(kind < LOGPIPE_KINDS);
    return writer->lanes[kind].sink;
}

void logpipe_writer_set_off(struct logpipe_writer *writer, enum logpipe_kind kind, bool is_off) {
    INVARIANT(kind < LOGPIPE_KINDS);
    writer->lanes[kind].taker.is_off = is_off;
}

/* As many whole frames from the front as go into a packet. */
static struct slice next_packet(const struct logpipe_writer *writer) {
    struct slice all = sbuf_slice(&writer->pending), rest = all;
    struct frame frame;
    while (rest.len > 0) {
        INVARIANT(frame_read(rest, &frame) == 1);
        if (all.len - rest.len + HEAD_SIZE + frame.piece.len > PIPE_BUF)
            break;
        rest = slice_after(rest, HEAD_SIZE + frame.piece.len);
    }
    return slice_first(all, all.len - rest.len);
}

/* Nobody will read it: all that waits is lost. */
static void drop_pending(struct logpipe_writer *writer) {
    struct slice rest = sbuf_slice(&writer->pending);
    struct frame frame;
    while (rest.len > 0) {
        INVARIANT(frame_read(rest, &frame) == 1);
        writer->lanes[frame.kind & KIND_BITS].taker.dropped += (frame.kind & LAST_PIECE) != 0;
        rest = slice_after(rest, HEAD_SIZE + frame.piece.len);
    }
    sbuf_clear(&writer->pending);
}

bool logpipe_writer_flush(struct logpipe_writer *writer) {
    writer->is_blocked = false;
    while (writer->pending.len > 0) {
        struct slice packet = next_packet(writer);
        ssize_t written = write(writer->fd, packet.ptr, packet.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN) {
            writer->is_blocked = true;
            return true;
        }
        if (written < 0) {
            drop_pending(writer);
            return false;
        }
        INVARIANT((size_t)written == packet.len);
        sbuf_consume(&writer->pending, packet.len);
    }
    return false;
}

void logpipe_writer_free(struct logpipe_writer **writer_ptr) {
    struct logpipe_writer *writer = *writer_ptr;
    *writer_ptr = NULL;
    if (!writer)
        return;
    (void)logpipe_writer_flush(writer);
    for (int kind = 0; kind < LOGPIPE_KINDS; kind++)
        logsink_close(&writer->lanes[kind].sink);
    sbuf_fini(&writer->pending);
    mem_free(writer);
}

/* --- reader ------------------------------------------------------------------------------------------------------- */

struct logpipe_reader {
    int fd;
    void (*line)(void *arg, enum logpipe_kind kind, struct slice line);
    void *arg;
    struct sbuf in;      /* read, not a whole frame yet; empty after each packet */
    struct sbuf partial; /* the pieces of a long line so far */
    int partial_kind;    /* -1: no line has begun */
};

struct logpipe_reader *logpipe_reader_new(int fd, void (*line)(void *arg, enum logpipe_kind kind, struct slice line),
                                          void *arg) {
    struct logpipe_reader *reader = NEW(struct logpipe_reader);
    *reader = (struct logpipe_reader){.fd = fd, .line = line, .arg = arg, .partial_kind = -1};
    sbuf_init(&reader->in, READ_SIZE + PIPE_BUF);
    sbuf_init(&reader->partial, LOGPIPE_LINE_MAX);
    return reader;
}

/* false: no writer of ours does that. */
static bool take_frame(struct logpipe_reader *reader, const struct frame *frame) {
    enum logpipe_kind kind = (enum logpipe_kind)(frame->kind & KIND_BITS);
    bool is_first = frame->kind & FIRST_PIECE, is_last = frame->kind & LAST_PIECE;
    if (scan_printable(frame->piece) < frame->piece.len)
        return false;
    if (is_first && is_last) {
        reader->partial_kind = -1;
        reader->line(reader->arg, kind, frame->piece);
        return true;
    }
    if (is_first) {
        reader->partial_kind = (int)kind; /* one that had begun has lost its writer */
        sbuf_clear(&reader->partial);
    }
    if (reader->partial_kind != (int)kind)
        return true; /* somebody else has read its beginning */
    sbuf_append(&reader->partial, frame->piece);
    if (reader->partial.overflow)
        return false;
    if (is_last) {
        reader->partial_kind = -1;
        reader->line(reader->arg, kind, sbuf_slice(&reader->partial));
        sbuf_fini(&reader->partial);
    }
    return true;
}

static bool take_frames(struct logpipe_reader *reader) {
    struct frame frame;
    for (;;) {
        int found = frame_read(sbuf_slice(&reader->in), &frame);
        if (found <= 0)
            return found == 0;
        if (!take_frame(reader, &frame))
            return false;
        sbuf_consume(&reader->in, HEAD_SIZE + frame.piece.len);
    }
}

int logpipe_reader_take(struct logpipe_reader *reader) {
    for (int i = 0; i < READS_PER_TAKE; i++) {
        char *place = sbuf_reserve(&reader->in, READ_SIZE);
        INVARIANT(place); /* less than a frame is left over */
        ssize_t got = read(reader->fd, place, READ_SIZE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno == EAGAIN ? 1 : -1;
        if (got == 0)
            return 0;
        sbuf_commit(&reader->in, (size_t)got);
        if (!take_frames(reader))
            return -1;
    }
    return 1;
}

void logpipe_reader_free(struct logpipe_reader **reader_ptr) {
    struct logpipe_reader *reader = *reader_ptr;
    *reader_ptr = NULL;
    if (!reader)
        return;
    sbuf_fini(&reader->in);
    sbuf_fini(&reader->partial);
    mem_free(reader);
}
