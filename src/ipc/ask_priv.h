/* ask_priv: a packet through the socket, for both ends. */
#ifndef SALLYPORT_IPC_ASK_PRIV_H
#define SALLYPORT_IPC_ASK_PRIV_H

#include "ipc/ask.h"

/* Gone at once, or not at all. */
bool ask_send(int fd, const struct ask_packet *packet);

enum ask_received { ASK_RECEIVED, ASK_NOTHING, ASK_GONE, ASK_BROKEN };
/* One packet; its text is a part of buffer. */
enum ask_received ask_receive(int fd, char buffer[ASK_FRAME_MAX + 1], struct ask_packet *packet_out);

#endif
