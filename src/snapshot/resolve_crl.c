/*
 * resolve_crl: the CRLs of a CA bundle: loaded and proved against its certificates, compared with those in force,
 * warned about as they age. Called by resolve.c; refresh.c shares the comparison.
 *
 *   at start:  an unusable file is an error: no start without the revocations that were asked for (sec-09, sec-29)
 *   at reload: an unusable file keeps its last good lists, with a warning
 *   at reload: an older list (CRL number; thisUpdate where one of the two has none) never replaces a newer one of its
 *              issuer
 */
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/mem.h"
#include "resolve_priv.h"
#include "store/fetch.h"

#define NUMBER_SHOWN_MAX 20

/* Times of files come in steps: of a clock tick, or of up to two seconds where nothing smaller is kept. */
#define STEP_US 20000
#define LARGE_STEP_US 2100000

/* ---- lists ---- */

void crl_list_add(struct crl_list *list, struct crl *crl) {
    list->items = mem_resize(list->items, (list->count + 1) * sizeof(struct crl *));
    list->items[list->count++] = crl;
}

void crl_list_fini(struct crl_list *list) {
    for (size_t i = 0; i < list->count; i++)
        crl_unref(&list->items[i]);
    mem_free(list->items);
    *list = (struct crl_list){NULL, 0};
}

void crl_list_take(void *arg, struct crl *crl) { crl_list_add(arg, crl); }

void crl_list_digest(const struct crl_list *list, char out[65]) {
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

void resolved_add_crls(struct resolved *resolved, const char *digest, const struct crl_list *list) {
    for (size_t i = 0; i < resolved->crl_count; i++)
        if (strcmp(resolved->crls[i].digest, digest) == 0)
            return;
    resolved->crls = mem_resize(resolved->crls, (resolved->crl_count + list->count + 1) * sizeof(*resolved->crls));
    for (size_t i = 0; i < list->count; i++) {
        struct resolved_crl *entry = &resolved->crls[resolved->crl_count++];
        memcpy(entry->digest, digest, sizeof(entry->digest));
        entry->crl = crl_ref(list->items[i]);
    }
}

void resolved_add_file(struct resolved *resolved, const char *path, const struct file_stamp *stamp, bool is_settled) {
    resolved->files = mem_resize(resolved->files, (resolved->file_count + 1) * sizeof(*resolved->files));
    resolved->files[resolved->file_count++] =
        (struct resolved_file){.path = mem_strdup(path), .stamp = *stamp, .is_settled = is_settled};
}

bool stamp_is_settled(const struct file_stamp *stamp, int64_t now_us) {
    bool is_coarse = stamp->modified_ns % 1000000000 == 0 && stamp->changed_ns % 1000000000 == 0;
    int64_t step = is_coarse ? LARGE_STEP_US : STEP_US;
    return stamp->error != 0 ||
           (llabs(now_us - stamp->modified_ns / 1000) > step && llabs(now_us - stamp->changed_ns / 1000) > step);
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

void crl_list_add_from(struct crl_list *list, const struct resolved *resolved, const char *digest,
                       const struct cert_list *issuers) {
    for (size_t i = 0; i < resolved->crl_count; i++) {
        const struct resolved_crl *entry = &resolved->crls[i];
        if (strcmp(entry->digest, digest) == 0 && knows_issuer(issuers, entry->crl))
            crl_list_add(list, crl_ref(entry->crl));
    }
}

static bool is_same_bundle(const struct conf_ca_bundle *a, const struct conf_ca_bundle *b) {
    return a->name.text && b->name.text && strcmp(a->name.text, b->name.text) == 0;
}

static bool names_url(const struct conf_ca_bundle *bundle, const char *url) {
    for (size_t i = 0; i < bundle->crl.urls.count; i++)
        if (strcmp(bundle->crl.urls.items[i].text, url) == 0)
            return true;
    return false;
}

/* What was in force in place of this file: the lists of the same path; for a new path, those of paths that the bundle
 * no longer names. (A URL that was there before and has brought nothing is not new.) */
static void find_previous(struct resolving *r, const struct conf_ca_bundle *bundle, const char *path,
                          const struct cert_list *issuers, struct crl_list *out) {
    if (!r->previous_conf)
        return;
    const struct conf *previous = r->previous_conf;
    for (size_t i = 0; i < previous->ca_bundles.count; i++) {
        const struct conf_ca_bundle *old = &previous->ca_bundles.items[i];
        bool may_follow = is_same_bundle(old, bundle) && !names_url(old, path);
        for (size_t j = 0; j < old->crl.lists.count; j++) {
            const struct conf_file *file = &old->crl.lists.items[j];
            if (strcmp(file->path.text, path) == 0) {
                crl_list_fini(out);
                crl_list_add_from(out, r->previous, file->digest, issuers);
                return;
            }
            if (may_follow && !crl_find_list(&bundle->crl, file->path.text))
                crl_list_add_from(out, r->previous, file->digest, issuers);
        }
    }
}

/* Numbers are big-endian without leading zeros. */
static int compare_numbers(struct slice a, struct slice b) {
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return slice_compare(a, b);
}

bool crl_is_older(const struct crl *crl, const struct crl *than) {
    if (crl_has_number(crl) && crl_has_number(than))
        return compare_numbers(crl_number(crl), crl_number(than)) < 0;
    return crl_this_update(crl) < crl_this_update(than);
}

bool crl_speaks_for_the_same(const struct crl *a, const struct crl *b) {
    return crl_is_same_series(a, b) && crl_is_delta(a) == crl_is_delta(b);
}

const char *crl_describe(struct arena *arena, const struct crl *crl) {
    char when[CLOCK_TEXT_SIZE], number[2 * NUMBER_SHOWN_MAX + 1];
    clock_format(crl_this_update(crl), when);
    if (!crl_has_number(crl) || crl_number(crl).len > NUMBER_SHOWN_MAX)
        return arena_printf(arena, "of %s", when);
    return arena_printf(arena, "number %s of %s", hex_upper(crl_number(crl).ptr, crl_number(crl).len, number), when);
}

/* Puts the lists in force back where a new one is older than they are. */
static void refuse_rollback(struct resolving *r, const struct conf_ca_bundle *bundle, const struct conf_file *file,
                            struct crl_list *previous, struct crl_list *fresh) {
    for (size_t i = 0; i < fresh->count; i++) {
        for (size_t j = 0; j < previous->count; j++) {
            if (!crl_speaks_for_the_same(fresh->items[i], previous->items[j]) ||
                !crl_is_older(fresh->items[i], previous->items[j]))
                continue;
            conf_warning(r->messages, file->path.pos,
                         "CA bundle '%s': the CRL in %s (%s) is older than the one in force (%s), which %s",
                         bundle->name.text, file->path.text, crl_describe(r->conf->arena, fresh->items[i]),
                         crl_describe(r->conf->arena, previous->items[j]),
                         bundle->crl.accept_older ? "it replaces, because accept_older says so" : "stays");
            if (bundle->crl.accept_older)
                continue;
            struct crl_list kept = *previous;
            *previous = *fresh;
            *fresh = kept;
            return;
        }
    }
}

/* ---- age ---- */

int crl_age(const struct crl *crl, time_t now) {
    time_t from = crl_this_update(crl), to = crl_next_update(crl);
    if (to == 0 || to <= from)
        return 0;
    if (now > to)
        return 100;
    double used = (double)(now - from) / (double)(to - from);
    return used >= 0.95 ? 95 : used >= 0.8 ? 80 : used >= 0.5 ? 50 : 0;
}

const char *crl_age_text(struct arena *arena, const struct crl *crl, const char *path, time_t now) {
    char when[CLOCK_TEXT_SIZE];
    int age = crl_age(crl, now);
    clock_format(crl_next_update(crl), when);
    if (age == 100)
        return arena_printf(arena, "the CRL of %s in %s expired on %s", crl_issuer_text(crl), path, when);
    return arena_printf(arena, "the CRL of %s in %s is past %d %% of its life; its next update is due on %s",
                        crl_issuer_text(crl), path, age, when);
}

static void warn_age(struct resolving *r, const struct conf_file *file, const struct crl *crl, const char *who) {
    char when[CLOCK_TEXT_SIZE];
    if (crl_this_update(crl) > r->now)
        conf_warning(r->messages, file->path.pos, "%s: the CRL of %s in %s is not valid before %s", who,
                     crl_issuer_text(crl), file->path.text, clock_format(crl_this_update(crl), when));
    if (crl_age(crl, r->now) > 0)
        conf_warning(r->messages, file->path.pos, "%s: %s", who,
                     crl_age_text(r->conf->arena, crl, file->path.text, r->now));
}

/* ---- sources ---- */

/* Each once, however often it is named. */
struct sources {
    struct conf_crl *crl;
    struct map known;
};

static void add_source(struct sources *sources, const struct conf_text *path) {
    struct slice key = slice_of(path->text);
    if (path->text && !map_get(&sources->known, key))
        map_put(&sources->known, key, crl_add_list(sources->crl, path));
}

static void read_directory(struct resolving *r, const struct conf_ca_bundle *bundle, struct crl_paths *paths_out,
                           const char *who) {
    const struct conf_text *directory = &bundle->crl.directory.path;
    struct err err;
    *paths_out = (struct crl_paths){NULL, 0};
    if (!directory->text)
        return;
    if (crl_directory_read(directory->text, r->conf->arena, paths_out, &err) != 0)
        conf_error(r->messages, directory->pos, "%s: %s %s", who, directory->text, err.text);
    else if (paths_out->count == 0)
        conf_warning(r->messages, directory->pos, "%s: there is no CRL in %s yet", who, directory->text);
}

static void add_sources(struct resolving *r, struct conf_ca_bundle *bundle, const char *who) {
    const conf_files *files = &bundle->crl.files;
    struct sources sources = {.crl = &bundle->crl};
    struct crl_paths paths;
    map_init(&sources.known);
    read_directory(r, bundle, &paths, who);
    crl_reserve_lists(r->conf->arena, &bundle->crl, files->count + paths.count + bundle->crl.urls.count);
    for (size_t i = 0; i < files->count; i++) {
        const struct conf_text *path = &files->items[i].path;
        if (path->text && strstr(path->text, "://"))
            conf_error(r->messages, path->pos, "%s: %s is a URL: it belongs under crl.urls", who, path->text);
        else
            add_source(&sources, path);
    }
    for (size_t i = 0; i < paths.count; i++)
        add_source(&sources, &(struct conf_text){.text = paths.items[i], .pos = bundle->crl.directory.path.pos});
    for (size_t i = 0; i < bundle->crl.urls.count; i++) {
        const struct conf_text *url = &bundle->crl.urls.items[i];
        struct err err;
        if (url->text && fetch_check_url(url->text, &err) != 0)
            conf_error(r->messages, url->pos, "%s: crl.urls: %s: %s", who, url->text, err.text);
        else
            add_source(&sources, url);
    }
    crl_paths_fini(&paths);
    map_fini(&sources.known);
}

/* ---- files ---- */

static void note_stamp(struct resolving *r, const char *path) {
    struct file_stamp stamp;
    file_stamp_take(path, &stamp);
    resolved_add_file(r->out, path, &stamp, crl_path_is_url(path) || stamp_is_settled(&stamp, clock_wall_us()));
}

/* What is kept of a URL may be missing, or damaged: it is fetched again. */
static bool load_url(struct resolving *r, const struct conf_ca_bundle *bundle, const struct conf_file *file,
                     const struct cert_list *issuers, struct crl_list *out) {
    struct err err;
    bool is_good = crl_load_kept(r->conf, bundle->name.text, file->path.text, issuers, out, &err);
    if (!is_good && err.text[0])
        conf_warning(r->messages, file->path.pos, "CA bundle '%s': what was fetched last from %s is not used: %s",
                     bundle->name.text, file->path.text, err.text);
    return is_good;
}

/* The lists for this source: its own, or those in force. None after an error, or if nothing was fetched yet. */
static void load_source(struct resolving *r, const struct conf_ca_bundle *bundle, const struct conf_file *file,
                        const struct cert_list *issuers, struct crl_list *out) {
    const char *name = bundle->name.text ? bundle->name.text : "";
    bool is_url = crl_path_is_url(file->path.text);
    struct crl_list previous = {NULL, 0};
    enum crl_fault fault;
    struct err err = {""};
    note_stamp(r, file->path.text);
    find_previous(r, bundle, file->path.text, issuers, &previous);
    bool is_good = is_url ? bundle->name.text && load_url(r, bundle, file, issuers, out)
                          : crl_load_file(file->path.text, issuers, crl_list_take, out, &fault, &err) == 0;
    if (is_good) {
        refuse_rollback(r, bundle, file, &previous, out);
    } else {
        crl_list_fini(out);
        *out = previous;
        previous = (struct crl_list){NULL, 0};
        if (!is_url && out->count > 0)
            conf_warning(r->messages, file->path.pos, "CA bundle '%s': %s: %s; its last good CRL (%s) stays in force",
                         name, file->path.text, err.text, crl_describe(r->conf->arena, out->items[0]));
        else if (!is_url)
            conf_error(r->messages, file->path.pos, "CA bundle '%s': %s: %s", name, file->path.text, err.text);
    }
    crl_list_fini(&previous);
}

/* A delta alone says of nobody that he is not revoked. */
static void check_deltas(struct resolving *r, const struct conf_ca_bundle *bundle, const struct crl_list *all,
                         const char *who) {
    for (size_t i = 0; i < all->count; i++) {
        const struct crl *delta = all->items[i];
        bool has_base = !crl_is_delta(delta);
        for (size_t j = 0; j < all->count && !has_base; j++)
            has_base = !crl_is_delta(all->items[j]) && crl_is_same_series(delta, all->items[j]);
        if (!has_base && bundle->crl.urls.count > 0) /* it may be fetched yet; until then the delta says nothing */
            conf_warning(r->messages, bundle->name.pos,
                         "%s: the complete CRL that the delta CRL of %s changes is not there", who,
                         crl_issuer_text(delta));
        else if (!has_base)
            conf_error(r->messages, bundle->name.pos, "%s: the delta CRL of %s needs the complete CRL that it changes",
                       who, crl_issuer_text(delta));
    }
}

size_t resolve_crls(struct resolving *r, struct conf_ca_bundle *bundle, const struct cert_list *issuers,
                    struct crl ***crls_out) {
    const char *who = arena_printf(r->conf->arena, "CA bundle '%s'", bundle->name.text ? bundle->name.text : "");
    struct crl_list all = {NULL, 0};
    add_sources(r, bundle, who);
    if (bundle->crl.accept_older)
        conf_warning(r->messages, conf_place(r->conf, &bundle->crl.accept_older, bundle->name.pos),
                     "%s: crl.accept_older: an older list may undo revocations; take it out again", who);
    for (size_t i = 0; i < bundle->crl.lists.count;) {
        struct conf_file *file = &bundle->crl.lists.items[i];
        struct crl_list list = {NULL, 0};
        load_source(r, bundle, file, issuers, &list);
        if (list.count > 0) {
            crl_list_digest(&list, file->digest);
            resolved_add_crls(r->out, file->digest, &list);
        }
        for (size_t j = 0; j < list.count; j++) {
            warn_age(r, file, list.items[j], who);
            crl_list_add(&all, crl_ref(list.items[j]));
        }
        if (list.count > 0)
            i++;
        else
            crl_remove_list(&bundle->crl, file->path.text); /* an error, or not fetched yet */
        crl_list_fini(&list);
    }
    check_deltas(r, bundle, &all, who);
    *crls_out = all.items;
    return all.count;
}
