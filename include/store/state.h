/*
 * state: what must outlive a restart of the gateway, as files in a directory of our own: fetched CRLs, signing keys.
 * The directory and its parts are for their owner alone; a file is replaced whole or not at all. Control side.
 */
#ifndef SALLYPORT_STORE_STATE_H
#define SALLYPORT_STORE_STATE_H

#include "base/err.h"
#include "base/slice.h"

/* The directory: as configured (`state_dir`; NULL or "": not), else the first of systemd's $STATE_DIRECTORY, else
 * /var/lib/sallyport. The caller frees with mem_free. */
char *state_directory(const char *configured);
/* Makes the directory (mode 0700) and this part of it ("crls"), and proves that files can be written there. One that is
 * there already is taken if no other account can write to it. The text in err names the directory and what to do. */
MUST_CHECK int state_make(const char *directory, const char *part, struct err *err);
/* Could state_make() do it? Changes nothing; for `check`. */
MUST_CHECK int state_check(const char *directory, const char *part, struct err *err);
/* Replaces path by these bytes, mode 0600: on the disk when it returns 0; after -1 what was there is untouched. */
MUST_CHECK int state_write(const char *path, struct slice bytes, struct err *err);
/* Puts the file from in the place of path: written in pieces before, by its owner; flushed here. */
MUST_CHECK int state_replace(const char *path, const char *from, struct err *err);

#endif
