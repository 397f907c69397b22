/*
 * sandbox: what a worker gives up before it meets its first client: user ids, privileges, core dumps, the file system, most system calls, writable code. What the kernel
 * lacks is left out with one warning that names it. Sanitizer and coverage builds (SALLYPORT_NO_SANDBOX) leave everything but ids and privileges out and say so.
 */
#ifndef SALLYPORT_APP_SANDBOX_H
#define SALLYPORT_APP_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct sandbox_source {
    const char *user; /* taken on when started as root; NULL: sallyport if there is such an account, else nobody */
};

/* Looks the account up; needs files, so call it first. ids are 0 when not root. */
struct sandbox_ids {
    uid_t uid;
    gid_t gid;
};
MUST_CHECK int sandbox_lookup(const struct sandbox_source *source, struct sandbox_ids *ids_out, struct err *err);
/* ids -> no-new-privileges -> no dumps -> Landlock without any path -> seccomp allow-list. An error is fatal for the worker: it must not serve half boxed. */
MUST_CHECK int sandbox_enter(const struct sandbox_ids *ids, struct err *err);
/* For the proof: tries each forbidden thing (open, exec, ptrace, socket families, W+X memory, kill, ...) and prints one line each, "open: refused" or "open: ALLOWED". Returns how many were
 * allowed. `sallyport sandbox-test` (hidden) runs it inside the box. */
int sandbox_try_everything(void);

#endif
