/* fetch_schedule: see the header. Called by whoever fetches regularly. */
#include "store/fetch_schedule.h"

#define LEAST_MS 1000
#define FIRST_RETRY_MS 5000
#define RETRY_AFTER_MAX_S 86400
#define EXPIRED_MS 60000 /* the server has nothing newer yet */
#define DOUBLINGS_MAX 20

/* Between from and to. */
static int64_t between(int64_t from, int64_t to, uint32_t random) {
    return from + (int64_t)((double)(to - from) * ((double)random / (double)UINT32_MAX));
}

static int64_t least(int64_t ms) { return ms < LEAST_MS ? LEAST_MS : ms; }

int64_t fetch_refresh_ms(const struct fetch_life *life, time_t now, int64_t interval_ms, uint32_t random) {
    int64_t wait = between(interval_ms - interval_ms / 10, interval_ms, random);
    if (life->until == 0 || life->until <= life->from)
        return least(wait);
    if (now >= life->until)
        return least(between(EXPIRED_MS / 2, EXPIRED_MS, random) < wait ? between(EXPIRED_MS / 2, EXPIRED_MS, random)
                                                                        : wait);
    /* Somewhere in the last fifth of its life, in its first half. */
    int64_t span_ms = (int64_t)(life->until - life->from) * 1000, left_ms = (int64_t)(life->until - now) * 1000;
    int64_t due = left_ms - between(span_ms / 10, span_ms / 5, random);
    if (due <= 0) /* it is in it already: half of what is left */
        due = left_ms / 2;
    return least(due < wait ? due : wait);
}

int64_t fetch_backoff_ms(unsigned failures, int64_t max_ms, int64_t retry_after_s, uint32_t random) {
    unsigned doublings = failures > 0 ? failures - 1 : 0;
    int64_t wait = (int64_t)FIRST_RETRY_MS << (doublings > DOUBLINGS_MAX ? DOUBLINGS_MAX : doublings);
    int64_t asked_ms = (retry_after_s > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : retry_after_s) * 1000;
    if (wait > max_ms)
        wait = max_ms;
    wait = between(wait / 2, wait, random);
    if (asked_ms > wait)
        wait = between(asked_ms, asked_ms + asked_ms / 10, random);
    return least(wait);
}
