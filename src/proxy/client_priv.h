/*
 * client_priv: what client.c asks of client_deadline.c: when the state that a connection is in is over. Nobody else
 * includes it.
 */
#ifndef SALLYPORT_SRC_PROXY_CLIENT_PRIV_H
#define SALLYPORT_SRC_PROXY_CLIENT_PRIV_H

#include "proxy/client.h"

/* Absolute, of the loop's clock; 0: none. */
int64_t client_deadline(const struct client *client);
/* At the end of each event: whether it is the client's turn to send or to take bytes; its time runs from then on. */
void client_settle_turn(struct client *client);
/* A half-closed client whose answer has not begun. */
bool client_may_be_gone(const struct client *client);
/* Has the body of its request come more slowly than limits.body_rate, time that was not the client's left out? */
bool client_is_slow(const struct client *client);

#endif
