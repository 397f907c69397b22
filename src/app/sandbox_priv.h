/* sandbox_priv: the seccomp half of the sandbox, for sandbox.c. */
#ifndef SALLYPORT_APP_SANDBOX_PRIV_H
#define SALLYPORT_APP_SANDBOX_PRIV_H

#include <stdbool.h>

#include "base/err.h"

/* Puts the system call filter of a worker in force for this thread. *is_missing_out: the kernel has no seccomp filters;
 * that is no error. */
MUST_CHECK int sandbox_filter_calls(bool *is_missing_out, struct err *err);

#endif
