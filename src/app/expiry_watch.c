/*
 * expiry_watch: see the header. Owned by control. Looks after each commit and once an hour; the certificates of a file
 * are decoded only when the first of them is near its end.
 */
#include "app/expiry_watch.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "pki/cert.h"
#include "proxy/observe.h"

#define DAY ((time_t)24 * 3600)
#define LOOK_MS (3600 * 1000)
#define TEXT_SIZE 1024

struct expiry_watch {
    struct loop *loop;
    struct loop_timer *timer;
    struct webhooks *webhooks;
    const struct conf *conf;
    const struct resolved *resolved;
    uint64_t generation;
    struct logsink *audit;
    struct map told; /* ids with their stage, to the watch; the keys are its own */
};

/* Something that expires. */
struct expiring {
    const char *kind, *what, *type; /* "ca", "CA certificate", Cloudflare's alert type */
    const char *name;               /* of the bundle, hostname or issuer */
    const char *subject;
    const uint8_t *sha256;
    const conf_texts *hostnames;
    time_t not_before, not_after;
};

enum expiry_stage expiry_stage(bool is_list, time_t not_before, time_t not_after, time_t now) {
    time_t left = not_after - now, life = not_after - not_before;
    if (left <= 0)
        return EXPIRY_PAST;
    if (is_list && life < 60 * DAY)
        return left <= life / 20 ? EXPIRY_FORTNIGHT : EXPIRY_NONE;
    return left <= 14 * DAY ? EXPIRY_FORTNIGHT : left <= 30 * DAY ? EXPIRY_MONTH : EXPIRY_NONE;
}

static const char *stage_name(enum expiry_stage stage) {
    static const char *const names[] = {"", "30_days", "14_days", "expired"};
    return names[stage];
}

/* ---- telling ---- */

static void describe(const struct expiring *it, enum expiry_stage stage, time_t now, char out[TEXT_SIZE]) {
    char when[CLOCK_TEXT_SIZE], left[48];
    long hours = (long)((it->not_after - now) / 3600), days = hours / 24;
    clock_format(it->not_after, when);
    if (days > 1)
        (void)snprintf(left, sizeof left, "%ld days", days);
    else
        (void)snprintf(left, sizeof left, "%ld hour%s", hours, hours == 1 ? "" : "s");
    const char *blank = *it->subject ? " " : "";
    if (stage == EXPIRY_PAST)
        (void)snprintf(out, TEXT_SIZE, "the %s%s%s of '%s' expired on %s", it->what, blank, it->subject, it->name,
                       when);
    else
        (void)snprintf(out, TEXT_SIZE, "the %s%s%s of '%s' expires in %s, on %s", it->what, blank, it->subject,
                       it->name, left, when);
}

/* Was it not told of before? From now on it was. */
static bool is_news(struct expiry_watch *watch, const char *id) {
    if (map_get(&watch->told, slice_of(id)))
        return false;
    map_put(&watch->told, slice_make(mem_strdup(id), strlen(id)), watch);
    return true;
}

static void tell(struct expiry_watch *watch, const struct expiring *it, time_t now) {
    char text[TEXT_SIZE], both[256], id[65], fingerprint[65];
    enum expiry_stage stage = expiry_stage(strcmp(it->kind, "crl") == 0, it->not_before, it->not_after, now);
    if (stage == EXPIRY_NONE)
        return;
    hex_lower(it->sha256, SHA256_SIZE, fingerprint);
    (void)snprintf(both, sizeof both, "%s %s %d", it->kind, fingerprint, (int)stage);
    sha256_hex(slice_of(both), id);
    if (!is_news(watch, id))
        return;
    describe(it, stage, now, text);
    log_write(stage == EXPIRY_PAST ? LOG_ERROR : LOG_WARNING, "%s", text);
    observe_event(watch->audit, "expiry", stage_name(stage), text, watch->generation);
    const struct alert alert = {.type = it->type,
                                .id = id,
                                .text = text,
                                .kind = it->kind,
                                .name = it->name,
                                .subject = it->subject,
                                .severity = stage_name(stage),
                                .fingerprint = fingerprint,
                                .hostnames = it->hostnames,
                                .expires = it->not_after};
    webhooks_send(watch->webhooks, &alert);
}

/* ---- looking ---- */

/* like says what they are; the rest is the certificate's. */
static void look_at_file(struct expiry_watch *watch, const struct conf_file *file, struct expiring like, time_t now) {
    struct cert_list certs = {NULL, 0};
    struct err err;
    if (file->not_after == 0 || expiry_stage(false, 0, file->not_after, now) == EXPIRY_NONE)
        return;
    if (cert_list_from_pem(file->content, false, &certs, &err) < 0)
        return; /* the document holds what was decoded before */
    for (size_t i = 0; i < certs.count; i++) {
        char *subject = cert_subject_text(certs.items[i]);
        like.subject = subject;
        like.sha256 = cert_sha256(certs.items[i]);
        like.not_before = cert_not_before(certs.items[i]);
        like.not_after = cert_not_after(certs.items[i]);
        tell(watch, &like, now);
        mem_free(subject);
    }
    cert_list_fini(&certs);
}

static void look_at_lists(struct expiry_watch *watch, time_t now) {
    for (size_t i = 0; i < watch->resolved->crl_count; i++) {
        const struct crl *crl = watch->resolved->crls[i].crl;
        const struct expiring it = {.kind = "crl",
                                    .what = "CRL",
                                    .type = "sallyport_crl_expiration_type",
                                    .name = crl_issuer_text(crl),
                                    .subject = "",
                                    .sha256 = crl_digest(crl),
                                    .not_before = crl_this_update(crl),
                                    .not_after = crl_next_update(crl)};
        if (it.not_after != 0)
            tell(watch, &it, now);
    }
}

static void look(struct expiry_watch *watch) {
    time_t now = clock_wall();
    for (size_t i = 0; i < watch->conf->ca_bundles.count; i++) {
        const struct conf_ca_bundle *bundle = &watch->conf->ca_bundles.items[i];
        const struct expiring like = {.kind = "ca",
                                      .what = "CA certificate",
                                      .type = "access_custom_certificate_expiration_type",
                                      .name = bundle->name.text,
                                      .hostnames = &bundle->associated_hostnames};
        look_at_file(watch, &bundle->file, like, now);
    }
    for (size_t i = 0; i < watch->conf->hostnames.count; i++) {
        const struct conf_hostname *hostname = &watch->conf->hostnames.items[i];
        struct conf_text name = hostname->name;
        const conf_texts names = {&name, 1};
        const struct expiring like = {.kind = "server",
                                      .what = "server certificate",
                                      .type = "custom_ssl_certificate_event_type",
                                      .name = hostname->name.text,
                                      .hostnames = &names};
        for (size_t j = 0; j < hostname->certificates.count; j++)
            look_at_file(watch, &hostname->certificates.items[j], like, now);
    }
    look_at_lists(watch, now);
}

static void on_timer(void *arg) {
    struct expiry_watch *watch = arg;
    loop_timer_set(watch->timer, LOOK_MS);
    look(watch);
}

/* ---- life ---- */

struct expiry_watch *expiry_watch_new(struct loop *loop, struct err *err) {
    struct expiry_watch *watch = NEW(struct expiry_watch);
    *watch = (struct expiry_watch){.loop = loop, .webhooks = webhooks_new(loop, err)};
    map_init(&watch->told);
    watch->timer = loop_timer_new(loop, on_timer, watch);
    if (!watch->webhooks)
        expiry_watch_free(&watch);
    return watch;
}

void expiry_watch_set(struct expiry_watch *watch, const struct conf *conf, const struct resolved *resolved,
                      uint64_t generation, struct logsink *audit) {
    watch->conf = conf;
    watch->resolved = resolved;
    watch->generation = generation;
    watch->audit = audit;
    webhooks_set(watch->webhooks, conf, resolved);
    loop_timer_set(watch->timer, LOOK_MS);
    look(watch);
}

void expiry_watch_free(struct expiry_watch **watch_ptr) {
    struct expiry_watch *watch = *watch_ptr;
    *watch_ptr = NULL;
    if (!watch)
        return;
    loop_timer_free(&watch->timer);
    webhooks_free(&watch->webhooks);
    size_t cursor = 0;
    const struct map_entry *entry;
    while ((entry = map_next(&watch->told, &cursor)) != NULL)
        mem_free((char *)(uintptr_t)entry->key.ptr);
    map_fini(&watch->told);
    mem_free(watch);
}
