/*
 * fetch_schedule: when to ask again. Pure: the times and a random number come in, a wait comes out; so that a thousand
 * gateways that started together do not ask together, and a server that fails is not asked harder for it.
 */
#ifndef SALLYPORT_STORE_FETCH_SCHEDULE_H
#define SALLYPORT_STORE_FETCH_SCHEDULE_H

#include <stdint.h>
#include <time.h>

/* What the thing fetched says of itself; 0: it does not. */
struct fetch_life {
    time_t from, until; /* thisUpdate, nextUpdate */
};

/* After a good answer: in interval_ms at the latest; earlier if its life ends earlier, so that two tries are left
 * before it does; soon if it has ended. random: any 32 bits. Never under a second. */
int64_t fetch_refresh_ms(const struct fetch_life *life, time_t now, int64_t interval_ms, uint32_t random);
/* After failures (1 or more) in a row: doubled each time, between half of it and all of it at random, at most max_ms;
 * not before the server's Retry-After, which counts up to a day. */
int64_t fetch_backoff_ms(unsigned failures, int64_t max_ms, int64_t retry_after_s, uint32_t random);

#endif
