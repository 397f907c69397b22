/*
 * expiry_watch: tells, 30 and 14 days ahead and at the end, which CAs, server certificates and CRLs expire: log, audit
 * log and webhooks (facts 8). Control only. A list with a life shorter than 60 days is told of at 95 % of it and at its
 * end: for it a month ahead means nothing. (What else ages is crl_watch's.)
 */
#ifndef SALLYPORT_APP_EXPIRY_WATCH_H
#define SALLYPORT_APP_EXPIRY_WATCH_H

#include <time.h>

#include "app/webhooks.h"
#include "base/logsink.h"

/* How far something has come; told of once for each. */
enum expiry_stage { EXPIRY_NONE, EXPIRY_MONTH, EXPIRY_FORTNIGHT, EXPIRY_PAST };

/* Of what is valid from not_before to not_after. Pure. */
enum expiry_stage expiry_stage(bool is_list, time_t not_before, time_t not_after, time_t now);

struct expiry_watch;
MUST_CHECK struct expiry_watch *expiry_watch_new(struct loop *loop, struct err *err);
/* After every commit. conf, resolved and audit (may be NULL) are used until the next call. */
void expiry_watch_set(struct expiry_watch *watch, const struct conf *conf, const struct resolved *resolved,
                      uint64_t generation, struct logsink *audit);
void expiry_watch_free(struct expiry_watch **watch);

#endif
