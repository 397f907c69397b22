/* crl_watch_priv: what crl_watch.c keeps, and crl_status.c tells. */
#ifndef SALLYPORT_APP_CRL_WATCH_PRIV_H
#define SALLYPORT_APP_CRL_WATCH_PRIV_H

#include "app/crl_fetch.h"
#include "app/crl_watch.h"
#include "io/file_watch.h"

/* A list on its way into force. */
struct offer {
    char *bundle, *path, *detail;
    struct crl *crl;
};

struct crl_watch {
    struct loop *loop;
    void (*changed)(void *arg, struct resolved *fresh);
    void *arg;
    struct file_watch *file_watch;
    struct crl_files *files;
    struct crl_fetch *fetch;
    const struct resolved *in_force;
    uint64_t generation;
    struct logsink *audit;
    struct offer *offers;
    size_t offer_count;
    bool is_pending; /* changed() was called and not answered */
    bool is_quiet;
    struct loop_timer *again, *age;
};

#endif
