/*
 * exchange_rig: one exchange with the scripted origin (origin.h), as the tests of link and pool begin it: a probe on
 * our side, the origin's end of the connection in `peer`, what the origin heard in `heard`. One at a time.
 */
#ifndef SALLYPORT_TESTS_UPSTREAM_EXCHANGE_RIG_H
#define SALLYPORT_TESTS_UPSTREAM_EXCHANGE_RIG_H

#include "base/sbuf.h"
#include "upstream/origin.h"

#define OK_HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

extern struct probe probe;
extern struct sbuf heard;
extern int peer;

void rig_set_up(void);
void rig_tear_down(void);
/* A GET is at the origin. */
void begin_get(void);
/* A connection at rest in the pool, the origin's end being peer. */
void rest_one(void);
/* A GET on the connection at rest. */
void begin_reused_get(void);

#endif
