/*
 * logsink_priv: sinks without a file and a thread of their own, for base/logpipe.c, which takes their lines.
 */
#ifndef SALLYPORT_BASE_LOGSINK_PRIV_H
#define SALLYPORT_BASE_LOGSINK_PRIV_H

#include "base/logsink.h"

#define LOGSINK_NOTICE_SIZE 256

/* Where the lines of a sink go instead; kept by who made it, longer than the sink. */
struct logsink_taker {
    void (*line)(void *arg, struct slice line);
    void *arg;
    bool is_off;
    uint64_t dropped;
};

/* A sink of this taker; logsink_close() frees it. */
struct logsink *logsink_wrap(const char *name, const struct logsink_taker *taker);
/* "so many lines were dropped", in the form of the log's other lines: JSON or plain. Returns text. */
const char *logsink_format_drops(const char *name, bool as_json, uint64_t count, char text[LOGSINK_NOTICE_SIZE]);

#endif
