/*
 * logsink: where log lines go, without ever holding up the caller. Each sink has a bounded buffer (4 MiB) and shares
 * one writer thread; a reader that is slow or a disk that is full fills the buffer, then lines are dropped and
 * counted, and the first line after that says how many. An error is told once in the error log. The thread does the
 * open, write and reopen calls.
 */
#ifndef SALLYPORT_BASE_LOGSINK_H
#define SALLYPORT_BASE_LOGSINK_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct logsink;

/* target: "stdout", "stderr", "off" or a path (opened for append, mode 0640). name is for metrics and messages
 * ("access", "audit", "error"). Two sinks of one path are fine. Returns NULL with err when the file cannot be opened.
 */
struct logsink *logsink_open(const char *name, const char *target, struct err *err);
/* Writes what is buffered (at most 2 s), closes, sets *sink to NULL. */
void logsink_close(struct logsink **sink);
/* The same without waiting for it: for a log that is replaced while traffic goes on. */
void logsink_retire(struct logsink **sink);
/* One line without its newline. Never blocks. */
void logsink_line(struct logsink *sink, struct slice line);
/* USR1: the writer thread opens the path again; on failure it keeps the old file and logs why. */
void logsink_reopen(struct logsink *sink);
/* Lines lost so far. */
uint64_t logsink_dropped(const struct logsink *sink);
/* true for "off": callers can spare themselves the rendering. */
bool logsink_is_off(const struct logsink *sink);

#endif
