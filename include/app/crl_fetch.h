/*
 * crl_fetch: fetches the CRLs of `crl.urls` in control's background and keeps the last good ones in state_dir: asked
 * for at an interval and before they end, with the conditions that spare an unchanged list, less and less often while
 * they fail. What came is handed to whoever judges it (app/crl_watch); only what was taken is kept. A URL comes from
 * the configuration, never from a certificate (sec-34).
 */
#ifndef SALLYPORT_APP_CRL_FETCH_H
#define SALLYPORT_APP_CRL_FETCH_H

#include <time.h>

#include "io/loop.h"
#include "snapshot/resolve.h"

/* What became of a list that was handed over. */
enum crl_verdict {
    CRL_TAKEN,   /* it is, or is going to be, in force */
    CRL_REFUSED, /* unusable, older; detail says why */
    CRL_BUSY     /* not looked at: crl_fetch_go_on is called when it can be */
};
typedef enum crl_verdict crl_offer_fn(void *arg, const char *bundle, const char *url, const char *path,
                                      const char **detail_out);

struct crl_fetch;
struct crl_fetch *crl_fetch_new(struct loop *loop, crl_offer_fn *offer, void *arg);
/* After each commit. is_reload: what failed is tried again at once. */
void crl_fetch_set(struct crl_fetch *fetch, const struct conf *conf, const struct resolved *in_force, bool is_reload);
void crl_fetch_go_on(struct crl_fetch *fetch);
void crl_fetch_free(struct crl_fetch **fetch);

/* How a URL stands. Times are wall time; 0: never. */
struct crl_fetch_state {
    time_t fetched_at, checked_at; /* when the list came; when it was last said to be the newest */
    time_t next_at;                /* 0: it is being asked now */
    const char *error;             /* of the last try; "": it went well */
};
bool crl_fetch_find(const struct crl_fetch *fetch, const char *bundle, const char *url,
                    struct crl_fetch_state *state_out);

/* Makes state_dir if there is any URL, and proves that it can be written to: before a configuration comes into force.
 */
MUST_CHECK int crl_fetch_prepare(const struct conf *conf, struct err *err);

#endif
