/*
 * notify: systemd's readiness protocol (sd_notify) and socket activation (LISTEN_FDS), without its library. For master,
 * and for whoever else starts services this way. Without the variables in the environment nothing happens.
 */
#ifndef SALLYPORT_APP_NOTIFY_H
#define SALLYPORT_APP_NOTIFY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/addr.h"

/* Sends "READY=1", "RELOADING=1\nMONOTONIC_USEC=...", "STOPPING=1", "STATUS=...", "MAINPID=...", "WATCHDOG=1" to
 * $NOTIFY_SOCKET, a path or "@abstract"; nothing without one. Never blocks: what the manager does not take at once is
 * lost. */
void notify_send(const char *state);

/* Half of WATCHDOG_USEC in ms (at least 1) if it is meant for this process, else 0. Takes WATCHDOG_PID out of the
 * environment when it names this process, so that a successor started with this environment (app/upgrade) keeps the
 * watchdog content in its turn. */
int64_t notify_watchdog_ms(void);

/* Sockets passed by systemd or by a sallyport that is being replaced: descriptors from 3 on, LISTEN_PID ours. Fills fds
 * (close-on-exec, non-blocking) and the address each is bound to, in their order, and unsets the variables. What is no
 * listening stream socket is closed, with a warning. */
size_t notify_listen_fds(int *fds_out, struct addr *addrs_out, size_t max);

#endif
