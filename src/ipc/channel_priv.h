/* channel_priv: what channel.c needs of channel_frame.c beside the frame. */
#ifndef SALLYPORT_IPC_CHANNEL_PRIV_H
#define SALLYPORT_IPC_CHANNEL_PRIV_H

#include "ipc/channel.h"

/* How many descriptors a message of this type may have at most. */
int channel_fds_of(enum ipc_type type);

#endif
