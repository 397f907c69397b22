/*
 * crl_watch: see the header. Owned by the control side; its memory of the files is snapshot/refresh's. A failed look
 * warns once for each state of a file and is counted each time; a list is reported when it is in force, not before.
 */
#include "app/crl_watch.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "crl_watch_priv.h"
#include "proxy/observe.h"

#define RETRY_MS 10000 /* after a rejection */
#define SETTLE_MS 2500 /* a file was written so shortly before that a further change may not show */
#define AGE_CHECK_MS 60000

/* ---- what is told ---- */

static void keep_offer(struct crl_watch *watch, const struct crl_news *news) {
    watch->offers = mem_resize(watch->offers, (watch->offer_count + 1) * sizeof(struct offer));
    watch->offers[watch->offer_count++] = (struct offer){.bundle = mem_strdup(news->bundle),
                                                         .path = mem_strdup(news->path),
                                                         .detail = mem_strdup(news->detail),
                                                         .crl = crl_ref(news->crl)};
}

static void log_news(const struct crl_news *news) {
    switch (news->result) {
    case CRL_RESULT_NONE:
    case CRL_RESULT_OK:
        break;
    case CRL_RESULT_REMOVED:
        log_info("CA bundle '%s': %s: %s", news->bundle, news->path, news->detail);
        break;
    case CRL_RESULT_UNCHANGED:
        if (!news->is_repeated)
            log_info("CA bundle '%s': %s: %s", news->bundle, news->path, news->detail);
        break;
    case CRL_RESULT_OLDER:
    case CRL_RESULT_UNUSABLE:
        if (!news->is_repeated)
            log_warning("CA bundle '%s': %s: %s", news->bundle, news->path, news->detail);
        break;
    case CRL_RESULT_AGEING:
        log_warning("CA bundle '%s': %s", news->bundle, news->detail);
        break;
    }
}

static void on_news(void *arg, const struct crl_news *news) {
    struct crl_watch *watch = arg;
    if (watch->is_quiet)
        return;
    log_news(news);
    if (news->result == CRL_RESULT_OK) {
        keep_offer(watch, news);
        return;
    }
    metric_add(METRIC_CRL_REFRESH, 1, news->bundle, crl_result_name(news->result));
    if (!news->is_repeated)
        observe_crl(watch->audit, news, crl_result_name(news->result), watch->generation);
}

static bool is_in_force(const struct crl_watch *watch, const struct crl *crl) {
    for (size_t i = 0; i < watch->in_force->crl_count; i++)
        if (memcmp(crl_digest(watch->in_force->crls[i].crl), crl_digest(crl), SHA256_SIZE) == 0)
            return true;
    return false;
}

/* What became of the lists offered. False: some did not come into force. */
static bool settle_offers(struct crl_watch *watch, const char *why) {
    bool are_all_ok = true;
    for (size_t i = 0; i < watch->offer_count; i++) {
        struct offer *offer = &watch->offers[i];
        bool is_ok = is_in_force(watch, offer->crl);
        const struct crl_news news = {.result = CRL_RESULT_OK,
                                      .bundle = offer->bundle,
                                      .path = offer->path,
                                      .crl = offer->crl,
                                      .detail = is_ok ? offer->detail : why};
        const char *result = is_ok ? "ok" : "rejected";
        are_all_ok &= is_ok;
        if (is_ok)
            log_info("CA bundle '%s': the CRL of %s in %s took effect: %zu %s%s%s", offer->bundle,
                     crl_issuer_text(offer->crl), offer->path, crl_count(offer->crl),
                     crl_count(offer->crl) == 1 ? "entry" : "entries", *offer->detail ? "; " : "", offer->detail);
        metric_add(METRIC_CRL_REFRESH, 1, offer->bundle, result);
        if (!is_ok || !watch->is_quiet) /* a reload has told what came into force with it (app/crl_audit) */
            observe_crl(watch->audit, &news, result, watch->generation);
        mem_free(offer->bundle);
        mem_free(offer->path);
        mem_free(offer->detail);
        crl_unref(&offer->crl);
    }
    mem_free(watch->offers);
    watch->offers = NULL;
    watch->offer_count = 0;
    watch->is_pending = false;
    return are_all_ok;
}

/* ---- looking ---- */

static void watch_paths(struct crl_watch *watch) {
    const char *const *paths;
    size_t count = crl_files_paths(watch->files, &paths);
    file_watch_set(watch->file_watch, paths, count);
}

static void look(struct crl_watch *watch) {
    struct resolved fresh;
    if (!watch->in_force || watch->is_pending) /* the answer to what is pending is followed by a look */
        return;
    const struct crl_look look = crl_files_look(watch->files, watch->in_force, &fresh);
    if (look.has_new_paths)
        watch_paths(watch);
    if (!look.is_settled || look.has_new_paths)
        loop_timer_set(watch->again, look.has_new_paths ? 0 : SETTLE_MS);
    if (!look.is_changed)
        return;
    watch->is_pending = true;
    watch->changed(watch->arg, &fresh);
}

static void on_changed(void *arg) { look(arg); }

static void on_again(void *arg) {
    struct crl_watch *watch = arg;
    look(watch);
    crl_fetch_go_on(watch->fetch);
}

/* What was fetched: judged as a changed file is. */
static enum crl_verdict on_fetched(void *arg, const char *bundle, const char *url, const char *path,
                                   const char **detail_out) {
    struct crl_watch *watch = arg;
    struct crl_state state;
    if (!watch->in_force || watch->is_pending)
        return CRL_BUSY;
    *detail_out = "it is not configured any more";
    if (!crl_files_offer(watch->files, bundle, url, path))
        return CRL_REFUSED;
    look(watch);
    bool is_known = crl_files_find_state(watch->files, bundle, url, &state);
    INVARIANT(is_known);
    *detail_out = state.complaint ? state.complaint : "";
    return state.result == CRL_RESULT_OK ? CRL_TAKEN : CRL_REFUSED;
}

static void on_age(void *arg) {
    struct crl_watch *watch = arg;
    loop_timer_set(watch->age, AGE_CHECK_MS);
    if (watch->in_force)
        crl_files_check_age(watch->files, watch->in_force, clock_wall());
}

/* ---- life ---- */

struct crl_watch *crl_watch_new(struct loop *loop, void (*changed)(void *arg, struct resolved *fresh), void *arg,
                                struct err *err) {
    struct crl_watch *watch = NEW(struct crl_watch);
    watch->loop = loop;
    watch->changed = changed;
    watch->arg = arg;
    watch->files = crl_files_new(on_news, watch);
    watch->fetch = crl_fetch_new(loop, on_fetched, watch);
    watch->again = loop_timer_new(loop, on_again, watch);
    watch->age = loop_timer_new(loop, on_age, watch);
    watch->file_watch = file_watch_new(loop, on_changed, watch, err);
    if (!watch->file_watch)
        crl_watch_free(&watch);
    return watch;
}

void crl_watch_set(struct crl_watch *watch, const struct crl_view *in_force, struct logsink *audit, bool is_reload) {
    watch->in_force = in_force->resolved;
    watch->generation = in_force->generation;
    watch->audit = audit;
    watch->is_quiet = is_reload; /* whoever loaded the configuration has warned */
    bool are_all_ok = settle_offers(watch, "another generation came into force");
    crl_files_set(watch->files, watch->in_force);
    if (!are_all_ok) /* what was fetched is kept, and shows no change */
        crl_files_forget(watch->files);
    watch_paths(watch);
    crl_files_check_age(watch->files, watch->in_force, clock_wall());
    watch->is_quiet = false;
    crl_fetch_set(watch->fetch, in_force->conf, watch->in_force, is_reload);
    loop_timer_set(watch->age, AGE_CHECK_MS);
    loop_timer_set(watch->again, 0); /* what changed since it was read */
}

void crl_watch_rejected(struct crl_watch *watch, const char *why) {
    log_warning("the CRLs read anew did not come into force: %s", why);
    (void)settle_offers(watch, why);
    crl_files_forget(watch->files);
    loop_timer_set(watch->again, RETRY_MS);
}

void crl_watch_free(struct crl_watch **watch_ptr) {
    struct crl_watch *watch = *watch_ptr;
    *watch_ptr = NULL;
    if (!watch)
        return;
    if (watch->in_force)
        (void)settle_offers(watch, "the gateway stopped");
    crl_fetch_free(&watch->fetch);
    file_watch_free(&watch->file_watch);
    crl_files_free(&watch->files);
    loop_timer_free(&watch->again);
    loop_timer_free(&watch->age);
    mem_free(watch);
}
