/*
 * logpipe: log lines from one process to another through a pipe that never blocks the writer. Workers and master write; control reads and puts each line into the
 * sink it is for. Lines are gathered and written whole at the end of a turn (or when 64 KiB are there); what the pipe does not take within 4 MiB is dropped, counted,
 * and the first line after that says how many. A frame: kind (1 byte), length (4 bytes, little-endian, at most LOGPIPE_LINE_MAX), the line.
 *
 * The reader trusts nothing: a frame of unknown kind or over the limit ends the pipe's use (the writer has gone mad), which the caller hears.
 */
#ifndef SALLYPORT_BASE_LOGPIPE_H
#define SALLYPORT_BASE_LOGPIPE_H

#include "base/err.h"
#include "base/logsink.h"

#define LOGPIPE_LINE_MAX (256 * 1024)

enum logpipe_kind { LOGPIPE_ERROR, LOGPIPE_ACCESS, LOGPIPE_AUDIT, LOGPIPE_KINDS };

/* Writer: sinks that write to the pipe; no thread. is_off: the log is switched off, lines are not even sent. fd stays the caller's, non-blocking. */
struct logpipe_writer;
struct logpipe_writer *logpipe_writer_new(int fd);
/* A logsink (base/logsink.h) of this kind; belongs to the writer. */
struct logsink *logpipe_writer_sink(struct logpipe_writer *writer, enum logpipe_kind kind);
void logpipe_writer_set_off(struct logpipe_writer *writer, enum logpipe_kind kind, bool is_off);
/* Writes what is gathered, as far as the pipe takes it. Call once a turn and on a 200 ms timer. Returns whether something is left. */
bool logpipe_writer_flush(struct logpipe_writer *writer);
void logpipe_writer_free(struct logpipe_writer **writer);

/* Reader: takes what is there (bounded per call) and calls line for each. Returns 1 to be called again when readable, 0 at the end (all writers are gone), -1 for a broken frame. */
struct logpipe_reader;
struct logpipe_reader *logpipe_reader_new(int fd, void (*line)(void *arg, enum logpipe_kind kind, struct slice line), void *arg);
int logpipe_reader_take(struct logpipe_reader *reader);
void logpipe_reader_free(struct logpipe_reader **reader);

#endif
