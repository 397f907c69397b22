/*
 * crl_fetch: see the header. Owned by app/crl_watch.c. A body goes to a file beside the kept one as it comes, so a list
 * of any size costs no memory here.
 *
 *   waiting --time--> asking --304------------------------------> waiting (kept for longer)
 *      ^                |---200--> offered --taken--> kept ------> waiting
 *      |                |              |---busy---> offered again by crl_fetch_go_on
 *      `-- back-off ----'--------------'  (failed, refused)
 */
#include "app/crl_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "store/fetch_rules.h"
#include "store/fetch_schedule.h"
#include "store/kept.h"
#include "store/state.h"

#define BACKOFF_MAX_MS 3600000
#define ERROR_SIZE 400

/* A URL of a bundle. */
struct source {
    struct list node;
    struct crl_fetch *owner;
    char *bundle, *url, *key;
    int64_t interval_ms;
    size_t size_max;
    struct fetch_life life; /* of what is in force */
    char *etag, *last_modified;
    time_t fetched_at, checked_at, next_at;
    unsigned failures;
    char error[ERROR_SIZE];
    struct loop_timer *timer;
    struct fetch *fetch; /* while asking */
    char *part;
    int fd;          /* of part, while asking */
    bool is_offered; /* what came could not be judged yet */
    char *new_etag, *new_last_modified;
    bool is_named; /* by the configuration, while it is set */
};

struct crl_fetch {
    struct loop *loop;
    crl_offer_fn *offer;
    void *arg;
    struct fetcher *fetcher; /* from the first URL on */
    struct fetch_rules *rules;
    char *directory;
    struct list sources;
};

static uint32_t chance(void) {
    uint32_t bits;
    random_bytes(&bits, sizeof bits);
    return bits;
}

static void replace(char **text, const char *with) {
    char *old = *text;
    *text = with && with[0] ? mem_strdup(with) : NULL;
    mem_free(old);
}

/* ---- what follows from an answer ---- */

static void wait_for(struct source *source, int64_t ms) {
    source->next_at = clock_wall() + (time_t)(ms / 1000);
    loop_timer_set(source->timer, ms);
}

static void drop_part(struct source *source) {
    source->is_offered = false;
    (void)unlink(source->part);
}

static void fail(struct source *source, const char *result, const char *why, int64_t retry_after_s) {
    int64_t most = source->interval_ms < BACKOFF_MAX_MS ? source->interval_ms : BACKOFF_MAX_MS;
    bool is_new = strcmp(source->error, why) != 0;
    source->failures++;
    (void)snprintf(source->error, sizeof source->error, "%s", why);
    if (is_new)
        log_warning("CA bundle '%s': %s: %s", source->bundle, source->url, why);
    metric_add(METRIC_CRL_FETCH, 1, source->bundle, result);
    drop_part(source);
    wait_for(source, fetch_backoff_ms(source->failures, most, retry_after_s, chance()));
}

static void succeed(struct source *source, const char *result) {
    if (source->error[0])
        log_info("CA bundle '%s': %s: it is there again", source->bundle, source->url);
    source->error[0] = '\0';
    source->failures = 0;
    source->checked_at = clock_wall();
    metric_add(METRIC_CRL_FETCH, 1, source->bundle, result);
    wait_for(source, fetch_refresh_ms(&source->life, clock_wall(), source->interval_ms, chance()));
}

static struct kept_facts facts_of(const struct source *source) {
    return (struct kept_facts){.url = source->url,
                               .etag = source->etag ? source->etag : "",
                               .last_modified = source->last_modified ? source->last_modified : "",
                               .fetched_at = source->fetched_at,
                               .checked_at = clock_wall()};
}

/* That it cannot be kept is no reason not to use it: only a restart would miss it. */
static void keep(struct source *source) {
    struct err err;
    replace(&source->etag, source->new_etag);
    replace(&source->last_modified, source->new_last_modified);
    source->fetched_at = clock_wall();
    const struct kept_facts facts = facts_of(source);
    if (kept_put(source->owner->directory, source->key, &facts, source->part, &err) != 0)
        log_error("CA bundle '%s': %s: it is in force, but a restart will not have it: %s", source->bundle, source->url,
                  err.text);
    drop_part(source);
}

static void offer(struct source *source) {
    struct crl_fetch *owner = source->owner;
    const char *detail = "";
    source->is_offered = true;
    switch (owner->offer(owner->arg, source->bundle, source->url, source->part, &detail)) {
    case CRL_TAKEN:
        keep(source);
        succeed(source, "ok");
        break;
    case CRL_REFUSED:
        fail(source, "refused", detail, 0);
        break;
    case CRL_BUSY:
        break;
    }
}

static void confirm(struct source *source) {
    struct err err;
    const struct kept_facts facts = facts_of(source);
    drop_part(source);
    if (kept_touch(source->owner->directory, source->key, &facts, &err) != 0) {
        /* Somebody took it away: the next answer is to be the whole list. */
        replace(&source->etag, NULL);
        replace(&source->last_modified, NULL);
        log_warning("CA bundle '%s': %s: %s; it is fetched anew", source->bundle, source->url, err.text);
    }
    succeed(source, "unchanged");
}

/* ---- asking ---- */

static bool take(void *arg, struct slice piece) {
    const struct source *source = arg;
    while (piece.len > 0) {
        ssize_t put = write(source->fd, piece.ptr, piece.len);
        if (put < 0 && errno != EINTR)
            return false;
        piece = slice_after(piece, put > 0 ? (size_t)put : 0);
    }
    return true;
}

static void close_part(struct source *source) {
    if (source->fd >= 0)
        (void)close(source->fd);
    source->fd = -1;
}

static void on_answer(void *arg, const struct fetch_answer *answer) {
    struct source *source = arg;
    char text[64];
    source->fetch = NULL;
    close_part(source);
    if (answer->status == 200) {
        replace(&source->new_etag, answer->etag);
        replace(&source->new_last_modified, answer->last_modified);
        offer(source);
    } else if (answer->status == 304 && (source->etag || source->last_modified)) {
        confirm(source);
    } else if (answer->status != 0) {
        (void)snprintf(text, sizeof text, "the server answers with status %d", answer->status);
        fail(source, "failed", text, answer->retry_after_s);
    } else {
        fail(source, "failed", answer->error, 0);
    }
}

/* A file that nobody else has open, whatever another control does meanwhile. */
static int open_part(struct source *source, struct err *err) {
    (void)unlink(source->part);
    source->fd = open(source->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return source->fd >= 0 ? 0 : err_set(err, "%s cannot be written: %s", source->part, strerror(errno));
}

static void ask(void *arg) {
    struct source *source = arg;
    struct crl_fetch *owner = source->owner;
    struct err err;
    struct fetch_request request = {.url = source->url,
                                    .etag = source->etag,
                                    .last_modified = source->last_modified,
                                    .size_max = source->size_max,
                                    .take = take};
    fetch_rules_apply(owner->rules, &request);
    source->next_at = 0;
    if (open_part(source, &err) == 0)
        source->fetch = fetch_start(owner->fetcher, &request, on_answer, source, &err);
    if (source->fetch)
        return;
    close_part(source);
    fail(source, "failed", err.text, 0);
}

/* ---- sources ---- */

static void source_free(struct source *source) {
    fetch_cancel(&source->fetch);
    close_part(source);
    drop_part(source);
    loop_timer_free(&source->timer);
    list_remove(&source->node);
    mem_free(source->bundle);
    mem_free(source->url);
    mem_free(source->key);
    mem_free(source->part);
    mem_free(source->etag);
    mem_free(source->last_modified);
    mem_free(source->new_etag);
    mem_free(source->new_last_modified);
    mem_free(source);
}

static struct source *source_find(const struct crl_fetch *fetch, const char *bundle, const char *url) {
    LIST_EACH (node, next, &fetch->sources) {
        struct source *source = LIST_ENTRY(node, struct source, node);
        if (strcmp(source->url, url) == 0 && strcmp(source->bundle, bundle) == 0)
            return source;
    }
    return NULL;
}

/* What is kept was read when the configuration was; here it is only for the conditions of the next request. */
static void recall(struct source *source) {
    struct kept kept;
    if (kept_read(source->owner->directory, source->key, &kept, NULL) == KEPT_GOOD) {
        replace(&source->etag, kept.etag);
        replace(&source->last_modified, kept.last_modified);
        source->fetched_at = kept.fetched_at;
        source->checked_at = kept.checked_at;
    }
    kept_fini(&kept);
}

static struct source *source_new(struct crl_fetch *fetch, const char *bundle, const char *url) {
    struct source *source = NEW(struct source);
    source->owner = fetch;
    source->bundle = mem_strdup(bundle);
    source->url = mem_strdup(url);
    source->key = crl_state_key(bundle, url);
    source->part = kept_part_path(fetch->directory, source->key);
    source->fd = -1;
    source->timer = loop_timer_new(fetch->loop, ask, source);
    list_push_back(&fetch->sources, &source->node);
    return source;
}

/* The life of what is in force: of the list that ends first. */
static struct fetch_life life_of(const struct resolved *in_force, const char *digest) {
    struct fetch_life life = {0, 0};
    for (size_t i = 0; i < in_force->crl_count; i++) {
        const struct crl *crl = in_force->crls[i].crl;
        if (strcmp(in_force->crls[i].digest, digest) != 0 || crl_next_update(crl) == 0 ||
            (life.until != 0 && crl_next_update(crl) >= life.until))
            continue;
        life = (struct fetch_life){crl_this_update(crl), crl_next_update(crl)};
    }
    return life;
}

static const char *digest_of(const struct conf_crl *crl, const char *url) {
    for (size_t i = 0; i < crl->lists.count; i++)
        if (strcmp(crl->lists.items[i].path.text, url) == 0)
            return crl->lists.items[i].digest;
    return "";
}

/* In time for what is in force now. */
static void schedule(struct source *source, bool is_in_force, bool is_reload) {
    time_t now = clock_wall(), since = now - source->checked_at;
    if (source->fetch || source->is_offered || (source->failures > 0 && !is_reload))
        return;
    if (source->failures > 0 || !is_in_force || source->checked_at == 0 || since < 0) {
        wait_for(source, 0);
        return;
    }
    int64_t wait = fetch_refresh_ms(&source->life, now, source->interval_ms, chance()) - (int64_t)since * 1000;
    bool is_sooner = !loop_timer_is_set(source->timer) || now + (time_t)(wait / 1000) < source->next_at;
    if (is_sooner)
        wait_for(source, wait < 0 ? 0 : wait);
}

static void set_source(struct crl_fetch *fetch, const struct conf_ca_bundle *bundle, const char *url,
                       const struct resolved *in_force, bool is_reload) {
    struct source *source = source_find(fetch, bundle->name.text, url);
    const char *digest = digest_of(&bundle->crl, url);
    bool is_new = source == NULL;
    if (is_new)
        source = source_new(fetch, bundle->name.text, url);
    source->is_named = true;
    source->interval_ms = bundle->crl.fetch_interval_ms;
    source->size_max = (size_t)bundle->crl.fetch_size;
    source->life = life_of(in_force, digest);
    if (is_new && digest[0])
        recall(source);
    schedule(source, digest[0] != '\0', is_reload);
}

/* ---- life ---- */

static bool has_urls(const struct conf *conf) {
    for (size_t i = 0; i < conf->ca_bundles.count; i++)
        if (conf->ca_bundles.items[i].crl.urls.count > 0)
            return true;
    return false;
}

int crl_fetch_prepare(const struct conf *conf, struct err *err) {
    if (!has_urls(conf))
        return 0;
    char *directory = state_directory(conf->state_dir.path.text);
    int result = state_make(directory, CRL_STATE_PART, err);
    mem_free(directory);
    return result;
}

struct crl_fetch *crl_fetch_new(struct loop *loop, crl_offer_fn *offer_fn, void *arg) {
    struct crl_fetch *fetch = NEW(struct crl_fetch);
    fetch->loop = loop;
    fetch->offer = offer_fn;
    fetch->arg = arg;
    list_init(&fetch->sources);
    return fetch;
}

static void drop_unnamed(struct crl_fetch *fetch) {
    LIST_EACH (node, next, &fetch->sources) {
        struct source *source = LIST_ENTRY(node, struct source, node);
        if (!source->is_named)
            source_free(source);
        else
            source->is_named = false;
    }
}

/* Another directory: what is kept there is another gateway's, or an older one's. */
static void set_directory(struct crl_fetch *fetch, const struct conf *conf) {
    char *directory = crl_state_directory(conf);
    if (fetch->directory && strcmp(fetch->directory, directory) == 0) {
        mem_free(directory);
        return;
    }
    drop_unnamed(fetch);
    mem_free(fetch->directory);
    fetch->directory = directory;
}

void crl_fetch_set(struct crl_fetch *fetch, const struct conf *conf, const struct resolved *in_force, bool is_reload) {
    struct err err;
    set_directory(fetch, conf);
    fetch_rules_free(&fetch->rules);
    fetch->rules = fetch_rules_new(&conf->fetch);
    if (!fetch->fetcher && has_urls(conf))
        fetch->fetcher = fetcher_new(fetch->loop, &err);
    if (!fetch->fetcher && has_urls(conf))
        log_error("no CRL is fetched: %s", err.text);
    for (size_t i = 0; fetch->fetcher && i < conf->ca_bundles.count; i++) {
        const struct conf_ca_bundle *bundle = &conf->ca_bundles.items[i];
        for (size_t j = 0; j < bundle->crl.urls.count; j++)
            set_source(fetch, bundle, bundle->crl.urls.items[j].text, in_force, is_reload);
    }
    drop_unnamed(fetch);
}

void crl_fetch_go_on(struct crl_fetch *fetch) {
    LIST_EACH (node, next, &fetch->sources) {
        struct source *source = LIST_ENTRY(node, struct source, node);
        if (source->is_offered)
            offer(source);
    }
}

void crl_fetch_free(struct crl_fetch **fetch_ptr) {
    struct crl_fetch *fetch = *fetch_ptr;
    *fetch_ptr = NULL;
    if (!fetch)
        return;
    LIST_EACH (node, next, &fetch->sources)
        source_free(LIST_ENTRY(node, struct source, node));
    fetcher_free(&fetch->fetcher);
    fetch_rules_free(&fetch->rules);
    mem_free(fetch->directory);
    mem_free(fetch);
}

bool crl_fetch_find(const struct crl_fetch *fetch, const char *bundle, const char *url,
                    struct crl_fetch_state *state_out) {
    const struct source *source = source_find(fetch, bundle, url);
    if (source)
        *state_out = (struct crl_fetch_state){.fetched_at = source->fetched_at,
                                              .checked_at = source->checked_at,
                                              .next_at = source->next_at,
                                              .error = source->error};
    return source != NULL;
}
