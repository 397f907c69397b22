/* notify: systemd's readiness protocol (sd_notify) and socket activation (LISTEN_FDS), without its library. */
#ifndef SALLYPORT_APP_NOTIFY_H
#define SALLYPORT_APP_NOTIFY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/addr.h"

/* Sends "READY=1", "RELOADING=1\nMONOTONIC_USEC=...", "STOPPING=1", "STATUS=...", "MAINPID=...", "WATCHDOG=1" to $NOTIFY_SOCKET; nothing without one. Never blocks. */
void notify_send(const char *state);
/* Half of WATCHDOG_USEC in ms if it is meant for this process, else 0. */
int64_t notify_watchdog_ms(void);
/* Sockets passed by systemd or by a sallyport that is being replaced: descriptors from 3 on, LISTEN_PID ours. Fills fds and the address each is bound to; unsets the variables. */
size_t notify_listen_fds(int *fds_out, struct addr *addrs_out, size_t max);

#endif
