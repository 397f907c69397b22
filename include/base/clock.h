/*
 * clock: the only place that asks what time it is. Pure code takes `now` as an argument.
 * Wall time is for certificates, CRLs and logs; monotonic time for deadlines and durations.
 */
#ifndef SALLYPORT_BASE_CLOCK_H
#define SALLYPORT_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/slice.h"

int64_t clock_mono_us(void);
int64_t clock_wall_us(void);
time_t clock_wall(void);

#define CLOCK_TEXT_SIZE 32
/* "2026-03-01T00:00:00Z" (RFC 3339, UTC). Returns out. Years beyond 9999 are clamped. */
const char *clock_format(time_t t, char out[CLOCK_TEXT_SIZE]);
/* "2026-03-01T00:00:00.123Z" for log lines; the second is cached, so this is cheap. */
const char *clock_format_ms(int64_t wall_us, char out[CLOCK_TEXT_SIZE]);
/* "Sun, 06 Nov 1994 08:49:37 GMT" (IMF-fixdate, RFC 9110 5.6.7), for Date. */
const char *clock_format_http(time_t t, char out[CLOCK_TEXT_SIZE]);
/* RFC 3339 (with Z or offset, optional fraction) or whole Unix seconds. */
bool clock_parse(struct slice text, time_t *time_out);

#endif
