/*
 * reserve: file descriptors that clients cannot use up: the last ones of the process are left for what it is told to do
 * (a generation's memory and sockets, logs that are opened again). Who takes a descriptor for a client asks here; half
 * of the reserve is for connections to upstreams, so that clients who are in can be served.
 *
 * A descriptor's number tells: the kernel gives out the lowest that is free.
 */
#ifndef SALLYPORT_BASE_RESERVE_H
#define SALLYPORT_BASE_RESERVE_H

#include <stdbool.h>
#include <stddef.h>

/* So many of this process's descriptors, at most a quarter of its limit. The limit is that of the first call; 0 until
 * then. */
void reserve_set(size_t count);
size_t reserve_count(void);
/* Does this descriptor, just opened for a client, stand in the reserve? One opened for an upstream's sake, in its
 * second half? */
bool reserve_is_touched(int fd);
bool reserve_is_half_used(int fd);
/* Would the next descriptor stand in the reserve? Asks the kernel (two system calls). */
bool reserve_is_next(void);

#endif
