/*
 * logsink: buffered log outputs and the one thread that writes them.
 *
 *   caller --logsink_line--> sink.pending --swap--> sink.writing --write(2)--> output
 *            (lock)                      (lock)              (thread, no lock)
 *
 * Several sinks may share an output (access and audit log on stdout). The thread writes whole lines at a time, and
 * while a sink is in the middle of a line the others of its output wait. Before it writes to a pipe or a terminal it
 * asks poll(2), so a reader that sleeps holds up its own sinks only. Everything here is under `lock`, but for what is
 * marked as the thread's or the caller's. Sinks and outputs are put on their lists by the caller and taken off and
 * freed by the thread, which may therefore let go of the lock while it walks a list.
 */
#include "base/logsink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "logsink_priv.h"

#define SINK_BYTES (4 * 1024 * 1024)
#define SINKS_MAX 16
#define GATHER_MS 20 /* lines that come this soon after the first one go out with it */
#define RETRY_MS 250 /* after an error such as a full disk */
#define CLOSE_SECONDS 2
#define TURN_BYTES (256 * 1024) /* about as much a sink may write before it is another's turn */

struct output {
    struct list node;
    char *path; /* NULL: stdout or stderr */
    int fd;
    unsigned refs;
    bool reopen;
    bool is_file;         /* thread's: regular, so poll says nothing about it */
    struct logsink *half; /* thread's: the sink that has written a part of a line, or NULL */
};

struct logsink {
    struct list node;
    char *name;
    struct output *output;             /* NULL: off, or another takes the lines */
    const struct logsink_taker *taker; /* NULL: the thread does */
    struct sbuf pending;
    struct sbuf writing; /* thread's */
    size_t writing_len;  /* of `writing`, for the caller */
    bool is_full;        /* dropping, until half of the buffer is free again */
    bool is_broken;      /* the reader has gone away */
    bool is_blocked;     /* thread's: the output would not take more; poll says when it does */
    bool is_failing;     /* thread's: the last write ended in an error; try again later */
    bool has_complained; /* thread's: the error was told; once, until writing works again */
    bool is_closing;
    int64_t close_by_us; /* when is_closing: monotonic time after which what is left is given up */
    bool *closed_out;    /* set when the sink is freed; NULL: nobody waits */
    uint64_t dropped;
    uint64_t announced; /* of dropped: said in the log */
    uint64_t counted;   /* of dropped: added to the metric; caller's */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t sink_closed; /* on the monotonic clock */
static struct list sinks = {&sinks, &sinks};
static struct list outputs = {&outputs, &outputs};
static pthread_t writer;
static bool writer_runs;   /* caller's */
static bool writer_sleeps; /* wants the eventfd before it looks again */
static bool writer_stops;
static int wake_fd = -1;

static void wake_writer(void) {
    uint64_t one = 1;
    ssize_t written = write(wake_fd, &one, sizeof one);
    (void)written; /* fails only when it is already awake */
}

/* --- under lock: lines ----------------------------------------------------------------------------------------- */

static void append_line(struct logsink *sink, struct slice line) {
    sbuf_append(&sink->pending, line);
    sbuf_append_char(&sink->pending, '\n');
    if (writer_sleeps) {
        writer_sleeps = false;
        wake_writer();
    }
}

const char *logsink_format_drops(const char *name, bool as_json, uint64_t count, char text[LOGSINK_NOTICE_SIZE]) {
    char time_text[CLOCK_TEXT_SIZE];
    clock_format_ms(clock_wall_us(), time_text);
    snprintf(text, LOGSINK_NOTICE_SIZE,
             as_json ? "{\"time\":\"%s\",\"event\":\"log_lines_dropped\",\"log\":\"%s\",\"count\":%llu}"
                     : "%s warning log %s: %llu lines were dropped",
             time_text, name, (unsigned long long)count);
    return text;
}

static void announce_drops(struct logsink *sink, bool as_json) {
    char text[LOGSINK_NOTICE_SIZE];
    append_line(sink, slice_of(logsink_format_drops(sink->name, as_json, sink->dropped - sink->announced, text)));
    sink->announced = sink->dropped;
}

static void accept_line(struct logsink *sink, struct slice line) {
    size_t held = sink->pending.len + sink->writing_len;
    if (sink->is_full && held <= SINK_BYTES / 2)
        sink->is_full = false;
    if (held + line.len + 1 > SINK_BYTES - LOGSINK_NOTICE_SIZE) /* room for the announcement */
        sink->is_full = true;
    if (sink->is_full) {
        sink->dropped++;
        return;
    }
    if (sink->dropped != sink->announced && !sink->is_broken)
        announce_drops(sink, line.len > 0 && line.ptr[0] == '{');
    append_line(sink, line);
}

/* --- under lock: outputs ---------------------------------------------------------------------------------------- */

static int open_path(const char *path) {
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
}

static bool is_regular(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* "2>&1": one output, so that lines do not cut each other in two. */
static bool is_same_file(int a, int b) {
    struct stat st_a, st_b;
    return fstat(a, &st_a) == 0 && fstat(b, &st_b) == 0 && st_a.st_dev == st_b.st_dev && st_a.st_ino == st_b.st_ino;
}

static struct output *output_ref(const char *path, int fd) {
    LIST_EACH (node, next, &outputs) {
        struct output *output = LIST_ENTRY(node, struct output, node);
        bool matches =
            path ? output->path && strcmp(output->path, path) == 0 : !output->path && is_same_file(output->fd, fd);
        if (matches) {
            output->refs++;
            return output;
        }
    }
    if (path && (fd = open_path(path)) < 0)
        return NULL;
    struct output *output = NEW(struct output);
    *output = (struct output){.path = path ? mem_strdup(path) : NULL, .fd = fd, .refs = 1, .is_file = is_regular(fd)};
    list_push_back(&outputs, &output->node);
    return output;
}

static void output_unref(struct output *output) {
    if (--output->refs > 0)
        return;
    list_remove(&output->node);
    if (output->path)
        close(output->fd);
    mem_free(output->path);
    mem_free(output);
}

static void sink_free(struct logsink *sink) {
    if (sink->output) {
        list_remove(&sink->node);
        if (sink->output->half == sink)
            sink->output->half = NULL;
        output_unref(sink->output);
    }
    sbuf_fini(&sink->pending);
    sbuf_fini(&sink->writing);
    mem_free(sink->name);
    mem_free(sink);
}

/* --- the writer thread ------------------------------------------------------------------------------------------ */

/* Says it in the error log if that is a sink that writes, else on stderr. Under lock. */
static void complain(const char *path, const char *what, int error) {
    char text[PATH_MAX + 256], time_text[CLOCK_TEXT_SIZE];
    snprintf(text, sizeof text, "%s error log file %s cannot be %s: %s", clock_format_ms(clock_wall_us(), time_text),
             path, what, strerror(error));
    LIST_EACH (node, next, &sinks) {
        struct logsink *sink = LIST_ENTRY(node, struct logsink, node);
        if (strcmp(sink->name, "error") == 0 && !sink->is_failing) {
            accept_line(sink, slice_of(text));
            return;
        }
    }
    fprintf(stderr, "%s\n", text);
}

/* Drops the first bytes of what is being written, and counts the lines. Under lock. */
static void drop_writing(struct logsink *sink, size_t bytes) {
    struct slice s = slice_first(sbuf_slice(&sink->writing), bytes);
    for (size_t i = 0; i < s.len; i++)
        sink->dropped += s.ptr[i] == '\n';
    sbuf_consume(&sink->writing, s.len);
}

/* Under lock, which is let go while the file is opened. */
static void reopen_output(struct output *output) {
    output->reopen = false;
    pthread_mutex_unlock(&lock);
    int fd = open_path(output->path);
    int error = errno;
    pthread_mutex_lock(&lock);
    if (fd < 0) {
        complain(output->path, "opened again, going on with the old one", error);
        return;
    }
    close(output->fd);
    output->fd = fd;
    output->is_file = is_regular(fd);
    /* The rest of a line whose beginning is in the old file would be no line. */
    if (output->half)
        drop_writing(output->half, slice_index(sbuf_slice(&output->half->writing), '\n') + 1);
    output->half = NULL;
}

/* How much to write at once: to a file all of it; else whole lines up to what a ready pipe takes without blocking. */
static size_t portion_len(const struct output *output, struct slice s) {
    if (output->is_file || s.len <= PIPE_BUF)
        return s.len;
    size_t len = PIPE_BUF;
    while (len > 0 && s.ptr[len - 1] != '\n')
        len--;
    return len ? len : PIPE_BUF;
}

/* Writes for a turn, or until the output will not take more. Returns 0 or errno (EAGAIN: poll says when). */
static int write_some(struct logsink *sink) {
    struct output *output = sink->output;
    for (size_t total = 0; sink->writing.len > 0 && total < TURN_BYTES;) {
        struct pollfd ready = {.fd = output->fd, .events = POLLOUT};
        if (!output->is_file && poll(&ready, 1, 0) == 0)
            return EAGAIN;
        struct slice s = sbuf_slice(&sink->writing);
        ssize_t written = write(output->fd, s.ptr, portion_len(output, s));
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return errno;
        if (written == 0)
            return EIO;
        output->half = s.ptr[written - 1] == '\n' ? NULL : sink;
        sbuf_consume(&sink->writing, (size_t)written);
        total += (size_t)written;
    }
    return 0;
}

/* One sink's turn; the lock is let go while it writes. */
static void serve_sink(struct logsink *sink) {
    sink->is_blocked = sink->is_failing = false;
    if (sink->output->half && sink->output->half != sink)
        return;
    if (sink->writing.len == 0) {
        struct sbuf empty = sink->writing;
        sink->writing = sink->pending;
        sink->pending = empty;
        sink->writing_len = sink->writing.len;
    }
    if (sink->writing.len == 0)
        return;

    pthread_mutex_unlock(&lock);
    int error = write_some(sink);
    pthread_mutex_lock(&lock);
    sink->is_blocked = error == EAGAIN;
    sink->is_broken = error == EPIPE;
    sink->is_failing = error && !sink->is_blocked && !sink->is_broken;
    if (sink->is_failing && !sink->has_complained)
        complain(sink->output->path ? sink->output->path : sink->name, "written, lines may be lost", error);
    if (!sink->is_blocked)
        sink->has_complained = sink->is_failing;
    if (sink->is_broken) {
        drop_writing(sink, sink->writing.len);
        sink->output->half = NULL;
    }
    sink->writing_len = sink->writing.len;
}

/* Frees the sink if it is to be closed and has written everything, or has had its time. */
static void close_sink_if_due(struct logsink *sink) {
    bool is_drained = sink->pending.len == 0 && sink->writing.len == 0;
    if (!sink->is_closing || (!is_drained && clock_mono_us() < sink->close_by_us))
        return;
    if (sink->closed_out)
        *sink->closed_out = true;
    sink_free(sink);
    pthread_cond_broadcast(&sink_closed);
}

/* Sleeps, with the lock let go, until there may be something to do. */
static void writer_wait(void) {
    struct pollfd fds[1 + SINKS_MAX] = {{.fd = wake_fd, .events = POLLIN}};
    nfds_t count = 1;
    int timeout_ms = -1;
    LIST_EACH (node, next, &sinks) {
        const struct logsink *sink = LIST_ENTRY(node, struct logsink, node);
        bool has_lines = sink->writing.len > 0 || sink->pending.len > 0;
        bool must_wait = sink->is_failing || (sink->output->half && sink->output->half != sink);
        if (sink->is_blocked)
            fds[count++] = (struct pollfd){.fd = sink->output->fd, .events = POLLOUT};
        else if (has_lines && !must_wait)
            return; /* its turn was over, or they came while another sink was written */
        if (has_lines)
            timeout_ms = RETRY_MS;
    }
    writer_sleeps = true;
    pthread_mutex_unlock(&lock);
    poll(fds, count, timeout_ms);
    uint64_t wakes;
    if (read(wake_fd, &wakes, sizeof wakes) > 0)
        poll(fds, 1, GATHER_MS);
    pthread_mutex_lock(&lock);
    writer_sleeps = false;
}

static void *writer_main(void *unused) {
    (void)unused;
    pthread_mutex_lock(&lock);
    while (!writer_stops) {
        LIST_EACH (node, next, &outputs) {
            struct output *output = LIST_ENTRY(node, struct output, node);
            if (output->reopen)
                reopen_output(output);
        }
        LIST_EACH (node, next, &sinks) {
            struct logsink *sink = LIST_ENTRY(node, struct logsink, node);
            serve_sink(sink);
            /* Again from the list: while the lock was let go, a sink may have been put behind this one. */
            next = node->next;
            close_sink_if_due(sink);
        }
        if (!writer_stops)
            writer_wait();
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* --- the caller ------------------------------------------------------------------------------------------------- */

static int start_writer(struct err *err) {
    pthread_condattr_t attributes;
    sigset_t all, before;
    int error;
    if (writer_runs)
        return 0;
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0)
        return err_set(err, "no eventfd: %s", strerror(errno));
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&sink_closed, &attributes);
    pthread_condattr_destroy(&attributes);
    writer_stops = writer_sleeps = false;

    /* Signals are for the event loop's thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&writer, NULL, writer_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        close(wake_fd);
        return err_set(err, "no thread: %s", strerror(error));
    }
    writer_runs = true;
    return 0;
}

static void stop_writer(void) {
    pthread_mutex_lock(&lock);
    writer_stops = true;
    wake_writer();
    pthread_mutex_unlock(&lock);
    pthread_join(writer, NULL);
    pthread_cond_destroy(&sink_closed);
    close(wake_fd);
    writer_runs = false;
}

/* Under lock. */
static struct output *find_output(const char *target) {
    if (strcmp(target, "stdout") == 0)
        return output_ref(NULL, STDOUT_FILENO);
    if (strcmp(target, "stderr") == 0)
        return output_ref(NULL, STDERR_FILENO);
    return output_ref(target, -1);
}

static struct logsink *sink_new(const char *name) {
    struct logsink *sink = NEW(struct logsink);
    sink->name = mem_strdup(name);
    sbuf_init(&sink->pending, SINK_BYTES);
    sbuf_init(&sink->writing, SINK_BYTES);
    metric_add(METRIC_LOG_DROPPED, 0, name);
    return sink;
}

struct logsink *logsink_wrap(const char *name, const struct logsink_taker *taker) {
    struct logsink *sink = sink_new(name);
    sink->taker = taker;
    return sink;
}

struct logsink *logsink_open(const char *name, const char *target, struct err *err) {
    bool is_off = strcmp(target, "off") == 0;
    if (!is_off && start_writer(err) < 0)
        return NULL;
    struct logsink *sink = sink_new(name);
    if (is_off)
        return sink;

    pthread_mutex_lock(&lock);
    size_t count = 0;
    LIST_EACH (node, next, &sinks)
        count++;
    if (count == SINKS_MAX)
        err_set(err, "more than %d logs", SINKS_MAX);
    else if (!(sink->output = find_output(target)))
        err_set(err, "%s cannot be opened: %s", target, strerror(errno));
    else
        list_push_back(&sinks, &sink->node);
    pthread_mutex_unlock(&lock);

    if (!sink->output) {
        sink_free(sink);
        sink = NULL;
        if (count == 0)
            stop_writer();
    }
    return sink;
}

void logsink_close(struct logsink **sink) {
    struct logsink *closing = *sink;
    *sink = NULL;
    if (!closing)
        return;
    if (!closing->output) {
        sink_free(closing);
        return;
    }
    bool is_closed = false;
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += CLOSE_SECONDS + 1; /* the thread gives up before that, unless it hangs in a write */

    pthread_mutex_lock(&lock);
    closing->is_closing = true;
    closing->close_by_us = clock_mono_us() + CLOSE_SECONDS * 1000000;
    closing->closed_out = &is_closed;
    wake_writer();
    int error = 0;
    while (!is_closed && !error)
        error = pthread_cond_timedwait(&sink_closed, &lock, &deadline);
    if (!is_closed)
        closing->closed_out = NULL;
    bool was_last = is_closed && list_is_empty(&sinks);
    pthread_mutex_unlock(&lock);
    if (was_last)
        stop_writer();
}

void logsink_retire(struct logsink **sink) {
    struct logsink *closing = *sink;
    *sink = NULL;
    if (!closing)
        return;
    if (!closing->output) {
        sink_free(closing);
        return;
    }
    pthread_mutex_lock(&lock);
    closing->is_closing = true;
    closing->close_by_us = clock_mono_us() + CLOSE_SECONDS * 1000000;
    wake_writer();
    pthread_mutex_unlock(&lock);
}

void logsink_line(struct logsink *sink, struct slice line) {
    uint64_t dropped;
    if (logsink_is_off(sink))
        return;
    if (sink->taker) {
        sink->taker->line(sink->taker->arg, line);
        dropped = sink->taker->dropped;
    } else {
        pthread_mutex_lock(&lock);
        accept_line(sink, line);
        dropped = sink->dropped;
        pthread_mutex_unlock(&lock);
    }
    if (dropped != sink->counted) {
        metric_add(METRIC_LOG_DROPPED, (int64_t)(dropped - sink->counted), sink->name);
        sink->counted = dropped;
    }
}

void logsink_reopen(struct logsink *sink) {
    if (!sink->output || !sink->output->path)
        return;
    pthread_mutex_lock(&lock);
    sink->output->reopen = true;
    wake_writer();
    pthread_mutex_unlock(&lock);
}

uint64_t logsink_dropped(const struct logsink *sink) {
    if (sink->taker)
        return sink->taker->dropped;
    pthread_mutex_lock(&lock);
    uint64_t dropped = sink->dropped;
    pthread_mutex_unlock(&lock);
    return dropped;
}

bool logsink_is_off(const struct logsink *sink) { return sink->taker ? sink->taker->is_off : !sink->output; }
