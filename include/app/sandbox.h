/*
 * sandbox: what a worker gives up before it meets its first client: user ids, capabilities, core dumps, the file
 * system, most system calls, executable memory. What the kernel lacks is left out with one warning that names it.
 * Sanitizer and coverage builds (SALLYPORT_NO_SANDBOX) give up ids and capabilities only, and say so.
 *
 * There is no way back, and no file after it: whatever a library reads once (OpenSSL's configuration, the account
 * database) has to be read before. A worker inside still has what it was handed: its sockets, its channel, sealed
 * memory; it can accept, connect to upstreams over TCP, and receive further descriptors.
 */
#ifndef SALLYPORT_APP_SANDBOX_H
#define SALLYPORT_APP_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct sandbox_source {
    const char *user; /* taken on when started as root; NULL: sallyport if there is such an account, else nobody */
};

struct sandbox_ids {
    uid_t uid;
    gid_t gid;
};

/* Looks the account up; needs files. The ids are 0 ("stay who you are") when not root, or when user is root's account
 * by name. An account that does not exist is an error, whoever asks. */
MUST_CHECK int sandbox_lookup(const struct sandbox_source *source, struct sandbox_ids *ids_out, struct err *err);

/* ids and capabilities -> no new privileges -> no dumps -> Landlock without any path -> no executable memory -> seccomp
 * allow-list. The process has one thread only. Keeps the parent death signal. An error is fatal for the worker: it must
 * not serve half boxed. */
MUST_CHECK int sandbox_enter(const struct sandbox_ids *ids, struct err *err);

/* The proof, for `sallyport sandbox-test` (hidden): tries each forbidden thing in a child process of its own that has
 * entered the box first, or, for comparison, has not. Prints "open for reading: refused" or "...: ALLOWED" to stdout;
 * what merely fails for its nonsense arguments has reached the kernel and counts as allowed. Returns how many were
 * allowed, or -1 with err if the trial itself could not be set up. Works in a directory of its own below $TMPDIR. */
MUST_CHECK int sandbox_try_everything(const struct sandbox_ids *ids, bool is_boxed, struct err *err);

#endif
