/*
 * resolve_crl: the CRLs of a CA bundle: loaded and proved against its certificates, compared with those in force,
 * warned about as they age. Called by resolve.c.
 *
 *   at start                    an unusable file is an error: no start without the revocations that were asked for
 * (sec-09, sec-29) at reload: unusable file    its last good lists stay, with a warning at reload: an older list (CRL
 * number; thisUpdate where one of the two has none) never replaces a newer one of its issuer
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/mem.h"
#include "resolve_priv.h"

#define NUMBER_SHOWN_MAX 20

struct crl_list {
    struct crl **items; /* owned references */
    size_t count;
};

static void crl_list_add(struct crl_list *list, struct crl *crl) {
    list->items = mem_resize(list->items, (list->count + 1) * sizeof(struct crl *));
    list->items[list->count++] = crl;
}

static void crl_list_fini(struct crl_list *list) {
    for (size_t i = 0; i < list->count; i++)
        crl_unref(&list->items[i]);
    mem_free(list->items);
    *list = (struct crl_list){NULL, 0};
}

static void take_found(void *arg, struct crl *crl) { crl_list_add(arg, crl); }

/* One list: its own digest. Several: that of their digests. */
static void digest_of(const struct crl_list *list, char out[65]) {
    struct sbuf digests;
    sbuf_init(&digests, list->count * SHA256_SIZE);
    for (size_t i = 0; i < list->count; i++)
        sbuf_append(&digests, slice_make(crl_digest(list->items[i]), SHA256_SIZE));
    if (list->count == 1)
        hex_lower(crl_digest(list->items[0]), SHA256_SIZE, out);
    else
        sha256_hex(sbuf_slice(&digests), out);
    sbuf_fini(&digests);
}

/* ---- the generation in force ---- */

static bool knows_issuer(const struct cert_list *issuers, const struct crl *crl) {
    uint8_t key[SHA256_SIZE];
    for (size_t i = 0; i < issuers->count; i++) {
        crl_issuer_key_of(issuers->items[i], key);
        if (memcmp(key, crl_issuer_key(crl), sizeof(key)) == 0)
            return true;
    }
    return false;
}

/* The lists in force of one file, those whose issuer still belongs to the bundle. */
static void add_previous(struct resolving *r, const char *digest, const struct cert_list *issuers,
                         struct crl_list *out) {
    for (size_t i = 0; i < r->previous->crl_count; i++) {
        struct resolved_crl *entry = &r->previous->crls[i];
        if (strcmp(entry->digest, digest) == 0 && knows_issuer(issuers, entry->crl))
            crl_list_add(out, crl_ref(entry->crl));
    }
}

static bool has_path(const conf_files *files, const char *path) {
    for (size_t i = 0; i < files->count; i++) {
        if (files->items[i].path.text && strcmp(files->items[i].path.text, path) == 0)
            return true;
    }
    return false;
}

static bool is_same_bundle(const struct conf_ca_bundle *a, const struct conf_ca_bundle *b) {
    return a->name.text && b->name.text && strcmp(a->name.text, b->name.text) == 0;
}

/* What was in force in place of this file: the lists of the same path; for a new path, those of paths that the bundle
 * no longer names. */
static void find_previous(struct resolving *r, const struct conf_ca_bundle *bundle, const char *path,
                          const struct cert_list *issuers, struct crl_list *out) {
    if (!r->previous_conf)
        return;
    const struct conf *previous = r->previous_conf;
    for (size_t i = 0; i < previous->ca_bundles.count; i++) {
        const struct conf_ca_bundle *old = &previous->ca_bundles.items[i];
        for (size_t j = 0; j < old->crl.files.count; j++) {
            const struct conf_file *file = &old->crl.files.items[j];
            if (strcmp(file->path.text, path) == 0) {
                crl_list_fini(out);
                add_previous(r, file->digest, issuers, out);
                return;
            }
            if (is_same_bundle(old, bundle) && !has_path(&bundle->crl.files, file->path.text))
                add_previous(r, file->digest, issuers, out);
        }
    }
}

/* Numbers are big-endian without leading zeros. */
static int compare_numbers(struct slice a, struct slice b) {
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return slice_compare(a, b);
}

static bool is_older(const struct crl *crl, const struct crl *than) {
    if (crl_has_number(crl) && crl_has_number(than))
        return compare_numbers(crl_number(crl), crl_number(than)) < 0;
    return crl_this_update(crl) < crl_this_update(than);
}

static bool speaks_for_the_same(const struct crl *a, const struct crl *b) {
    return memcmp(crl_issuer_key(a), crl_issuer_key(b), SHA256_SIZE) == 0 &&
           crl_covers_leaves(a) == crl_covers_leaves(b) && crl_covers_cas(a) == crl_covers_cas(b);
}

/* "number 0A of 2026-03-01T00:00:00Z" */
static const char *describe(struct resolving *r, const struct crl *crl) {
    char when[CLOCK_TEXT_SIZE], number[2 * NUMBER_SHOWN_MAX + 1];
    clock_format(crl_this_update(crl), when);
    if (!crl_has_number(crl) || crl_number(crl).len > NUMBER_SHOWN_MAX)
        return arena_printf(r->conf->arena, "of %s", when);
    return arena_printf(r->conf->arena, "number %s of %s", hex_upper(crl_number(crl).ptr, crl_number(crl).len, number),
                        when);
}

/* Puts the lists in force back where a new one is older than they are. */
static void refuse_rollback(struct resolving *r, const struct conf_file *file, struct crl_list *previous,
                            struct crl_list *fresh, const char *who) {
    for (size_t i = 0; i < fresh->count; i++) {
        for (size_t j = 0; j < previous->count; j++) {
            if (!speaks_for_the_same(fresh->items[i], previous->items[j]) ||
                !is_older(fresh->items[i], previous->items[j]))
                continue;
            conf_warning(r->messages, file->path.pos,
                         "%s: the CRL in %s (%s) is older than the one in force (%s), which stays", who,
                         file->path.text, describe(r, fresh->items[i]), describe(r, previous->items[j]));
            struct crl_list kept = *previous;
            *previous = *fresh;
            *fresh = kept;
            return;
        }
    }
}

/* ---- age ---- */

static void warn_age(struct resolving *r, const struct conf_file *file, const struct crl *crl, const char *who) {
    char when[CLOCK_TEXT_SIZE];
    time_t from = crl_this_update(crl), to = crl_next_update(crl);
    struct conf_pos pos = file->path.pos;
    if (from > r->now)
        conf_warning(r->messages, pos, "%s: the CRL of %s in %s is not valid before %s", who, crl_issuer_text(crl),
                     file->path.text, clock_format(from, when));
    if (to == 0 || to <= from)
        return;
    double used = (double)(r->now - from) / (double)(to - from);
    clock_format(to, when);
    if (r->now > to)
        conf_warning(r->messages, pos, "%s: the CRL of %s in %s expired on %s", who, crl_issuer_text(crl),
                     file->path.text, when);
    else if (used >= 0.5)
        conf_warning(r->messages, pos,
                     "%s: the CRL of %s in %s is past %d %% of its life; its next update is due on %s", who,
                     crl_issuer_text(crl), file->path.text,
                     used >= 0.95  ? 95
                     : used >= 0.8 ? 80
                                   : 50,
                     when);
}

/* ---- files ---- */

/* The lists for this file: its own, or those in force. Nothing after an error. */
static void load_file(struct resolving *r, const struct conf_ca_bundle *bundle, struct conf_file *file,
                      const struct cert_list *issuers, struct crl_list *out, const char *who) {
    struct crl_list previous = {NULL, 0};
    enum crl_fault fault;
    struct err err;
    find_previous(r, bundle, file->path.text, issuers, &previous);
    if (crl_load_file(file->path.text, issuers, take_found, out, &fault, &err) == 0) {
        refuse_rollback(r, file, &previous, out, who);
    } else if (previous.count > 0) {
        conf_warning(r->messages, file->path.pos, "%s: %s: %s; its last good CRL (%s) stays in force", who,
                     file->path.text, err.text, describe(r, previous.items[0]));
        crl_list_fini(out);
        *out = previous;
        previous = (struct crl_list){NULL, 0};
    } else {
        conf_error(r->messages, file->path.pos, "%s: %s: %s", who, file->path.text, err.text);
        crl_list_fini(out);
    }
    crl_list_fini(&previous);
}

static void hand_over(struct resolving *r, const struct conf_file *file, const struct crl_list *list) {
    if (map_get(&r->crls, slice_of(file->digest)))
        return;
    struct resolved *out = r->out;
    map_put(&r->crls, slice_of(file->digest), list->items);
    out->crls = mem_resize(out->crls, (out->crl_count + list->count) * sizeof(*out->crls));
    for (size_t i = 0; i < list->count; i++) {
        struct resolved_crl *entry = &out->crls[out->crl_count++];
        memcpy(entry->digest, file->digest, sizeof(entry->digest));
        entry->crl = crl_ref(list->items[i]);
    }
}

size_t resolve_crls(struct resolving *r, struct conf_ca_bundle *bundle, const struct cert_list *issuers,
                    struct crl ***crls_out) {
    const char *who = arena_printf(r->conf->arena, "CA bundle '%s'", bundle->name.text ? bundle->name.text : "");
    struct crl_list all = {NULL, 0};
    for (size_t i = 0; i < bundle->crl.files.count; i++) {
        struct conf_file *file = &bundle->crl.files.items[i];
        struct crl_list list = {NULL, 0};
        if (!file->path.text)
            continue;
        load_file(r, bundle, file, issuers, &list, who);
        if (list.count > 0) {
            digest_of(&list, file->digest);
            hand_over(r, file, &list);
        }
        for (size_t j = 0; j < list.count; j++) {
            warn_age(r, file, list.items[j], who);
            crl_list_add(&all, crl_ref(list.items[j]));
        }
        crl_list_fini(&list);
    }
    *crls_out = all.items;
    return all.count;
}
