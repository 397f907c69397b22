/*
 * logpipe: log lines from one process to another through a pipe that never blocks the writer. Workers and master write;
 * control reads and puts each line into the sink it is for. Lines are gathered and written at the end of a turn (or
 * when 64 KiB are there); when the pipe is full and 4 MiB wait, lines are dropped, counted, and the first line after
 * that says how many.
 *
 * The pipe is in packet mode: a packet is at most PIPE_BUF bytes of whole frames, so a reader or writer that dies
 * leaves no half frame behind and its successor may go on with the same pipe. A frame: kind (1 byte, with bits for the
 * first and the last piece of a line), length (4 bytes, little-endian), that much of the line. A line that one end has
 * seen only a part of is left out.
 *
 * The reader trusts nothing: an unknown kind, a line over the limit or with a control character ends the pipe's use
 * (the writer has gone mad), which the caller hears.
 */
#ifndef SALLYPORT_BASE_LOGPIPE_H
#define SALLYPORT_BASE_LOGPIPE_H

#include "base/err.h"
#include "base/logsink.h"

#define LOGPIPE_LINE_MAX (256 * 1024)

enum logpipe_kind { LOGPIPE_ERROR, LOGPIPE_ACCESS, LOGPIPE_AUDIT, LOGPIPE_KINDS };

/* A pipe in packet mode with a large buffer; both ends close-on-exec and non-blocking. */
MUST_CHECK int logpipe_make(int *read_out, int *write_out, struct err *err);

/* Writer: sinks that write to the pipe; no thread. fd stays the caller's; it is made non-blocking and set to packet
 * mode if it is not so yet. SIGPIPE must be ignored. */
struct logpipe_writer;
struct logpipe_writer *logpipe_writer_new(int fd);
/* A logsink (base/logsink.h) of this kind; belongs to the writer. */
struct logsink *logpipe_writer_sink(struct logpipe_writer *writer, enum logpipe_kind kind);
/* The log is switched off: its lines are not even sent. */
void logpipe_writer_set_off(struct logpipe_writer *writer, enum logpipe_kind kind, bool is_off);
/* Writes what is gathered, as far as the pipe takes it. Call once a turn and on a 200 ms timer. Returns whether
 * something is left. */
bool logpipe_writer_flush(struct logpipe_writer *writer);
/* Flushes once, then frees; what the pipe does not take is lost. */
void logpipe_writer_free(struct logpipe_writer **writer);

/* Reader: takes what is there (bounded per call) and calls line for each. Returns 1 to be called again when readable, 0
 * at the end (all writers are gone), -1 for what no writer of ours writes. fd is non-blocking and stays the caller's.
 */
struct logpipe_reader;
struct logpipe_reader *logpipe_reader_new(int fd, void (*line)(void *arg, enum logpipe_kind kind, struct slice line),
                                          void *arg);
int logpipe_reader_take(struct logpipe_reader *reader);
void logpipe_reader_free(struct logpipe_reader **reader);

#endif
