/*
 * resolve_expiry: says in advance what becomes of hostnames whose last CA expires. Called by resolve.c when bundles and
 * hostnames have been read; only warns.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "resolve_priv.h"

/* Of the bundle that lasts longest for a hostname. */
struct last_ca {
    const struct conf_ca_bundle *bundle;
    time_t end;
};

void resolve_note_anchors(struct resolving *r, const struct conf_ca_bundle *bundle, const struct cert_list *certs) {
    time_t *end = &r->anchor_ends[bundle - r->conf->ca_bundles.items];
    for (size_t i = 0; i < certs->count; i++) {
        bool is_anchor = bundle->partial_chain || cert_is_self_issued(certs->items[i]);
        if (is_anchor && cert_not_after(certs->items[i]) > *end)
            *end = cert_not_after(certs->items[i]);
    }
}

static void warn_last_ca(struct resolving *r, const struct last_ca *last, const char *first, size_t others) {
    char when[CLOCK_TEXT_SIZE], more[48] = "";
    long days = (long)((last->end - r->now) / (24 * 3600));
    if (others > 0)
        (void)snprintf(more, sizeof more, " and %zu more", others);
    clock_format(last->end, when);
    if (last->end < r->now)
        conf_warning(r->messages, last->bundle->file.path.pos,
                     "hostname '%s'%s: its last CA, in CA bundle '%s', expired on %s: every client certificate is "
                     "refused with certificate_expired",
                     first, more, last->bundle->name.text, when);
    else
        conf_warning(r->messages, last->bundle->file.path.pos,
                     "hostname '%s'%s: its last CA, in CA bundle '%s', expires in %ld day%s, on %s: from then on every "
                     "client certificate is refused with certificate_expired",
                     first, more, last->bundle->name.text, days, days == 1 ? "" : "s", when);
}

/* One warning for a bundle, however many hostnames end with it. */
static void warn_for_bundle(struct resolving *r, const struct last_ca *lasts, size_t from) {
    size_t others = 0;
    for (size_t i = from + 1; i < r->conf->hostnames.count; i++)
        others += lasts[i].bundle == lasts[from].bundle;
    warn_last_ca(r, &lasts[from], r->conf->hostnames.items[from].name.text, others);
}

static void find_lasts(struct resolving *r, struct last_ca *lasts) {
    struct map by_name;
    map_init(&by_name);
    for (size_t i = 0; i < r->conf->hostnames.count; i++)
        if (r->conf->hostnames.items[i].name.text)
            map_put(&by_name, slice_of(r->conf->hostnames.items[i].name.text), &lasts[i]);
    for (size_t i = 0; i < r->conf->ca_bundles.count; i++) {
        const struct conf_ca_bundle *bundle = &r->conf->ca_bundles.items[i];
        time_t end = r->anchor_ends[i];
        for (size_t j = 0; end > 0 && j < bundle->associated_hostnames.count; j++) {
            struct last_ca *last = map_get(&by_name, slice_of(bundle->associated_hostnames.items[j].text));
            if (last && end > last->end)
                *last = (struct last_ca){bundle, end};
        }
    }
    map_fini(&by_name);
}

void resolve_last_cas(struct resolving *r) {
    size_t count = r->conf->hostnames.count;
    struct last_ca *lasts = NEW_ARRAY(struct last_ca, count + 1);
    struct map warned; /* bundles */
    map_init(&warned);
    find_lasts(r, lasts);
    for (size_t i = 0; i < count; i++) {
        struct slice key = slice_make(&lasts[i].bundle, sizeof lasts[i].bundle);
        bool is_soon = lasts[i].bundle && lasts[i].end < r->now + (time_t)EXPIRES_SOON_DAYS * 24 * 3600;
        if (!is_soon || map_put(&warned, key, lasts))
            continue;
        warn_for_bundle(r, lasts, i);
    }
    map_fini(&warned);
    mem_free(lasts);
}
