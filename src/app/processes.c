/* processes: how a child of master begins. */
#include "app/processes.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>

int process_begin(const char *name) {
    /* A terminal and a service manager send these to all processes of a group; master says what follows. */
    static const int signals[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ};
    int type = 0;
    socklen_t size = sizeof type;
    if (getsockopt(PROCESS_CHANNEL_FD, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) {
        fprintf(stderr, "sallyport: `run` starts this by itself\n");
        return -1;
    }
    for (unsigned i = 0; i < sizeof signals / sizeof signals[0]; i++)
        (void)signal(signals[i], SIG_IGN);
    (void)fcntl(PROCESS_CHANNEL_FD, F_SETFD, FD_CLOEXEC);
    (void)prctl(PR_SET_NAME, name);
    return 0;
}
