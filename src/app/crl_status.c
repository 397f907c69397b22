/*
 * crl_status: how the sources of CRLs stand, for the operator. Called when somebody asks (control_outside.c); changes
 * nothing.
 */
#include "base/metrics.h"
#include "crl_watch_priv.h"

#define NUMBER_SHOWN_MAX 20

/* A source with everything that is known of it. */
struct standing {
    struct crl_state state;
    struct crl_fetch_state fetch;
    bool is_url;
    const char *error; /* "": nothing is wrong */
};

static struct standing standing_of(const struct crl_watch *watch, size_t index) {
    struct standing standing = {.fetch = {.error = ""}, .error = ""};
    crl_files_state(watch->files, index, &standing.state);
    standing.is_url = crl_fetch_find(watch->fetch, standing.state.bundle, standing.state.path, &standing.fetch);
    if (standing.state.complaint)
        standing.error = standing.state.complaint;
    else if (*standing.fetch.error)
        standing.error = standing.fetch.error;
    return standing;
}

void crl_watch_publish(const struct crl_watch *watch) {
    metric_forget(METRIC_CRL_SOURCE_UP);
    metric_forget(METRIC_CRL_LIFE_USED);
    metric_forget(METRIC_CRL_FETCH_SUCCESS);
    for (size_t i = 0; i < crl_files_count(watch->files); i++) {
        const struct standing standing = standing_of(watch, i);
        const char *bundle = standing.state.bundle, *source = standing.state.path;
        metric_set(METRIC_CRL_SOURCE_UP, !*standing.error && standing.state.digest[0], bundle, source);
        if (standing.is_url)
            metric_set(METRIC_CRL_FETCH_SUCCESS, (int64_t)standing.fetch.checked_at, bundle, source);
        if (standing.state.age >= metric_value(METRIC_CRL_LIFE_USED, bundle))
            metric_set(METRIC_CRL_LIFE_USED, standing.state.age, bundle);
    }
}
