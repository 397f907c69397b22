/*
 * wait: a request that waits for an answer of control, for so long and no longer. Who owns the answer (tokens,
 * statuses) holds the list of those who wait for it; the wait itself is a member of the exchange.
 *
 *   wait_init --> idle --wait_begin--> waiting --wait_wake, or its time is up--> over: done() is called, once
 *                                         `--wait_cancel--> idle
 */
#ifndef SALLYPORT_PROXY_WAIT_H
#define SALLYPORT_PROXY_WAIT_H

#include "base/list.h"
#include "io/loop.h"

struct wait {
    struct list node;
    struct loop_timer *timer;
    bool is_over; /* it has waited; once is enough */
    void (*done)(void *arg);
    void *arg;
};

/* done() is called from the loop and asks again: the answer is there now, or is not. */
void wait_init(struct wait *wait, void (*done)(void *arg), void *arg);
/* Has it been initialised? A wait of zeros has not. */
static inline bool wait_is_ready(const struct wait *wait) { return wait->done != NULL; }
void wait_begin(struct wait *wait, struct list *waiting, struct loop *loop, int64_t limit_ms);
/* done() is not called any more. Harmless when it does not wait, or is all zeros. */
void wait_cancel(struct wait *wait);
/* All that wait in the list now; who begins to wait meanwhile is not woken. */
void wait_wake(struct list *waiting);

#endif
