/*
 * memfd: anonymous memory that crosses a process boundary as a descriptor. Sealed ones (documents, secrets, CRL
 * indexes) can never change again, which the receiver checks before it maps them; shared ones (counters) are written by
 * the side that owns them.
 */
#ifndef SALLYPORT_BASE_MEMFD_H
#define SALLYPORT_BASE_MEMFD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

/* Sealed against writing, growing, shrinking and further seals. name is for /proc only. Returns the descriptor
 * (close-on-exec) or -1. */
MUST_CHECK int memfd_seal(const char *name, struct slice content, struct err *err);
/* Maps a sealed descriptor read-only; refuses one without all seals or over limit bytes. The mapping is not in core
 * dumps. The descriptor stays the caller's. */
MUST_CHECK int memfd_map_sealed(int fd, size_t limit, struct slice *content_out, struct err *err);
void memfd_unmap(struct slice *content);
/* Zeroed, fixed in size, writable by who has the descriptor. */
MUST_CHECK int memfd_shared(const char *name, size_t size, struct err *err);
/* Maps a shared descriptor of exactly this size; writable or not. NULL with err. */
MUST_CHECK void *memfd_map_shared(int fd, size_t size, bool is_writable, struct err *err);

#endif
