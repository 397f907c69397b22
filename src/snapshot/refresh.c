/*
 * refresh: a look at the sources of lists while a configuration is in force: which may have changed, what became of
 * them, and a generation that differs from the one in force in nothing but its lists. Called by app/crl_watch.c in
 * control; what is remembered between looks is crl_files.c's. Refuses every list that would make trust weaker than it
 * is (sec-29): an older one, one that does not verify, a file in which the list of an issuer is missing.
 *
 *   look:  stamp as before --> nothing to do
 *          else read --> same lists --> unchanged | newer --> ok | older, unusable --> the ones in force stay
 *          new in a directory, and good --> ok
 *          gone from a directory --> removed, if other files have its lists or newer ones; else they stay
 */
#include <errno.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "conf/document.h"
#include "refresh_priv.h"

#define DOCUMENT_MAX ((size_t)1 << 30)
/* After this long, what was written when a file was read has an older time than what is written now. */
#define SETTLE_US 2200000

struct refresh {
    struct crl_files *files;
    const struct resolved *in_force;
    struct resolved *out;
    struct conf *conf; /* the document in force, on its way to the next one */
    struct arena *arena;
    bool is_changed;
};

/* ---- directories ---- */

/* Those of the directory that are there, and those that were; by name. */
static void mark_known(struct crl_files *files, const struct crl_directory *directory, const struct crl_paths *paths,
                       struct map *known) {
    for (size_t i = 0; i < files->count; i++) {
        struct crl_file *item = &files->items[i];
        item->is_there = !item->is_in_directory || strcmp(item->bundle, directory->bundle) != 0;
        if (!item->is_there)
            map_put(known, slice_of(item->path), item);
    }
    for (size_t i = 0; i < paths->count; i++) {
        struct crl_file *item = map_get(known, slice_of(paths->items[i]));
        if (item)
            item->is_there = true;
    }
}

/* How many of its files are new. */
static size_t match_directory(struct crl_files *files, const struct crl_directory *directory,
                              const struct crl_paths *paths) {
    struct map known;
    size_t before = files->count;
    map_init(&known);
    mark_known(files, directory, paths, &known);
    for (size_t i = 0; i < paths->count; i++) {
        if (map_get(&known, slice_of(paths->items[i])))
            continue;
        struct crl_file *item = crl_files_add(files, directory->bundle, paths->items[i]);
        item->is_in_directory = item->is_there = true;
    }
    size_t added = files->count - before;
    map_fini(&known);
    for (size_t i = files->count; i-- > 0;)
        if (!files->items[i].is_there && !files->items[i].digest[0])
            crl_files_drop(files, i);
    return added;
}

static void complain_of_directory(const struct crl_files *files, struct crl_directory *directory,
                                  const struct err *err) {
    char *detail = mem_printf("it %s; the CRLs in force stay", err->text);
    bool is_repeated = directory->complaint && strcmp(directory->complaint, detail) == 0;
    const struct crl_news news = {.result = CRL_RESULT_UNUSABLE,
                                  .bundle = directory->bundle,
                                  .path = directory->path,
                                  .detail = detail,
                                  .is_repeated = is_repeated};
    files->news(files->arg, &news);
    mem_free(directory->complaint);
    directory->complaint = detail;
}

/* True: there are files that nobody has seen. */
static bool read_directories(struct crl_files *files) {
    size_t added = 0;
    struct arena *arena = arena_new(4096);
    for (size_t i = 0; i < files->directory_count; i++) {
        struct crl_directory *directory = &files->directories[i];
        struct crl_paths paths;
        struct err err;
        if (crl_directory_read(directory->path, arena, &paths, &err) != 0) {
            complain_of_directory(files, directory, &err);
            continue;
        }
        mem_free(directory->complaint);
        directory->complaint = NULL;
        added += match_directory(files, directory, &paths);
        crl_paths_fini(&paths);
    }
    arena_free(arena);
    return added > 0;
}

/* ---- one source ---- */

static bool is_due(const struct crl_file *item) {
    struct file_stamp stamp;
    if (item->is_url)
        return item->candidate || item->read_us == 0;
    file_stamp_take(item->path, &stamp);
    if (item->read_us == 0 || !file_stamp_equal(&stamp, &item->stamp))
        return true;
    return !item->is_settled && clock_mono_us() - item->read_us >= SETTLE_US;
}

static void remember_stamp(struct crl_file *item) {
    if (!item->is_url)
        file_stamp_take(item->path, &item->stamp);
    item->is_settled = item->is_url || stamp_is_settled(&item->stamp, clock_wall_us());
    item->read_us = clock_mono_us();
}

static bool is_gone(const struct crl_file *item) { return item->is_in_directory && item->stamp.error == ENOENT; }

/* A source with what it holds now and what it stands for in force. */
struct reading {
    struct conf_ca_bundle *bundle;
    struct crl_file *item;
    const struct cert_list *issuers;
    struct crl_list fresh, stays;
    enum crl_result objection; /* with a text of why the lists read may not replace those in force */
    const char *detail;        /* "", or what there is to say of lists that may */
};

static const char *judge_list(struct refresh *refresh, struct reading *reading, const struct crl *old) {
    const struct crl *match = NULL;
    for (size_t i = 0; i < reading->fresh.count; i++) {
        const struct crl *fresh = reading->fresh.items[i];
        if (!crl_speaks_for_the_same(fresh, old))
            continue;
        match = fresh;
        if (!crl_is_older(fresh, old))
            continue;
        const char *which = arena_printf(refresh->arena, "its CRL (%s) is older than the one in force (%s)",
                                         crl_describe(refresh->arena, fresh), crl_describe(refresh->arena, old));
        if (!reading->bundle->crl.accept_older) {
            reading->objection = CRL_RESULT_OLDER;
            return arena_printf(refresh->arena, "%s, which stays", which);
        }
        reading->detail = arena_printf(refresh->arena, "%s, which it replaces because accept_older says so", which);
    }
    return match ? NULL
                 : arena_printf(refresh->arena,
                                "it holds no CRL of %s any more; the one in force stays until the next reload",
                                crl_issuer_text(old));
}

/* Why the lists read may not replace those in force; NULL: they may. */
static const char *find_objection(struct refresh *refresh, struct reading *reading) {
    const char *objection = NULL;
    for (size_t i = 0; i < reading->stays.count && !objection; i++)
        objection = judge_list(refresh, reading, reading->stays.items[i]);
    return objection;
}

/* Nothing is wrong if there is nothing: it is going to be fetched. */
static const char *load_kept(struct refresh *refresh, struct reading *reading) {
    struct err err;
    if (crl_load_kept(refresh->conf, reading->item->bundle, reading->item->path, reading->issuers, &reading->fresh,
                      &err) ||
        !err.text[0])
        return NULL;
    return arena_printf(refresh->arena, "what was fetched last is not used: %s", err.text);
}

static const char *load(struct refresh *refresh, struct reading *reading) {
    const struct crl_file *item = reading->item;
    const char *consequence = item->digest[0] ? "; its last good CRL stays in force" : "";
    const char *path = item->candidate ? item->candidate : item->path;
    enum crl_fault fault;
    struct err err;
    if (item->is_url && !item->candidate)
        return load_kept(refresh, reading);
    if (!item->is_url && item->stamp.error == 0 && !item->stamp.is_regular) /* a pipe could keep us waiting */
        return arena_printf(refresh->arena, "it is not a regular file%s", consequence);
    if (crl_load_file(path, reading->issuers, crl_list_take, &reading->fresh, &fault, &err) == 0)
        return NULL;
    return arena_printf(refresh->arena, "it %s%s", err.text, consequence);
}

static void accept(struct refresh *refresh, struct reading *reading) {
    struct crl_file *item = reading->item;
    const struct crl_list *fresh = &reading->fresh;
    char digest[65];
    crl_list_digest(fresh, digest);
    bool was_bad = item->complaint != NULL;
    mem_free(item->complaint);
    item->complaint = NULL;
    item->result = CRL_RESULT_OK;
    if (strcmp(digest, item->digest) == 0) {
        const char *detail = was_bad ? "it is good again, and holds what is in force" : "it holds what is in force";
        crl_files_tell(
            refresh->files, item,
            &(struct crl_news){
                .result = CRL_RESULT_UNCHANGED, .crl = fresh->items[0], .detail = detail, .is_repeated = !was_bad});
        return;
    }
    struct conf_crl *crl = &reading->bundle->crl;
    struct conf_file *file = crl_find_list(crl, item->path);
    if (!file)
        file = crl_add_list(crl, &(struct conf_text){.text = arena_str(refresh->conf->arena, slice_of(item->path))});
    memcpy(file->digest, digest, sizeof(digest));
    refresh->is_changed = true;
    resolved_add_crls(refresh->out, digest, fresh);
    for (size_t i = 0; i < fresh->count; i++)
        crl_files_tell(refresh->files, item,
                       &(struct crl_news){.result = CRL_RESULT_OK, .crl = fresh->items[i], .detail = reading->detail});
}

static void conclude(struct refresh *refresh, struct reading *reading, const char *objection) {
    struct crl_file *item = reading->item;
    if (!objection && reading->fresh.count > 0)
        objection = find_objection(refresh, reading);
    if (objection && (item->digest[0] || item->is_settled)) /* a new one may be half-written: it is looked at again */
        crl_files_complain(refresh->files, item, reading->objection, &reading->stays, objection);
    else if (!objection && reading->fresh.count > 0) /* else it is a URL of which nothing is kept */
        accept(refresh, reading);
}

static void refresh_file(struct refresh *refresh, struct conf_ca_bundle *bundle, struct crl_file *item,
                         const struct cert_list *issuers) {
    struct reading reading = {
        .bundle = bundle, .item = item, .issuers = issuers, .objection = CRL_RESULT_UNUSABLE, .detail = ""};
    remember_stamp(item);
    if (is_gone(item)) /* see retire() */
        return;
    if (item->digest[0])
        crl_list_add_from(&reading.stays, refresh->in_force, item->digest, issuers);
    conclude(refresh, &reading, load(refresh, &reading));
    mem_free(item->candidate);
    item->candidate = NULL;
    crl_list_fini(&reading.fresh);
    crl_list_fini(&reading.stays);
}

/* ---- files that are gone from their directory ---- */

/* The lists of the bundle's other sources, as they will be. */
static void collect_others(const struct refresh *refresh, const struct conf_ca_bundle *bundle,
                           const struct cert_list *issuers, struct crl_list *out) {
    for (size_t i = 0; i < bundle->crl.lists.count; i++) {
        const struct conf_file *list = &bundle->crl.lists.items[i];
        const struct crl_file *item = crl_files_find(refresh->files, bundle->name.text, list->path.text);
        if (item && is_gone(item))
            continue;
        crl_list_add_from(out, refresh->out, list->digest, issuers);
        crl_list_add_from(out, refresh->in_force, list->digest, issuers);
    }
}

static bool is_replaced(const struct crl *crl, const struct crl_list *others) {
    for (size_t i = 0; i < others->count; i++)
        if (crl_speaks_for_the_same(others->items[i], crl) && !crl_is_older(others->items[i], crl))
            return true;
    return false;
}

static void retire(struct refresh *refresh, struct conf_ca_bundle *bundle, struct crl_file *item,
                   const struct cert_list *issuers) {
    struct crl_list own = {NULL, 0}, others = {NULL, 0};
    bool is_all_replaced = true;
    crl_list_add_from(&own, refresh->in_force, item->digest, issuers);
    collect_others(refresh, bundle, issuers, &others);
    for (size_t i = 0; i < own.count; i++)
        is_all_replaced &= is_replaced(own.items[i], &others);
    if (is_all_replaced && own.count > 0) {
        crl_remove_list(&bundle->crl, item->path);
        refresh->is_changed = true;
        item->result = CRL_RESULT_REMOVED;
        crl_files_tell(refresh->files, item,
                       &(struct crl_news){.result = CRL_RESULT_REMOVED,
                                          .crl = own.items[0],
                                          .detail = "it is gone, and another file has its CRL or a newer one"});
    } else if (item->is_due) {
        crl_files_complain(refresh->files, item, CRL_RESULT_UNUSABLE, &own,
                           "it is gone; its CRL stays in force until the next reload, or until another file brings a "
                           "newer one");
    }
    crl_list_fini(&own);
    crl_list_fini(&others);
}

/* ---- all of them ---- */

static void refresh_bundle(struct refresh *refresh, struct conf_ca_bundle *bundle) {
    struct crl_files *files = refresh->files;
    struct cert_list issuers = {NULL, 0};
    struct err err;
    size_t due = 0, new = 0;
    for (size_t i = 0; i < files->count; i++) {
        const struct crl_file *item = &files->items[i];
        if (strcmp(item->bundle, bundle->name.text) != 0)
            continue;
        due += item->is_due;
        new += !item->digest[0];
    }
    if (due == 0)
        return;
    int status = cert_list_from_pem(bundle->file.content, true, &issuers, &err);
    INVARIANT(status == 0); /* read when it was put in force */
    crl_reserve_lists(refresh->conf->arena, &bundle->crl, new);
    for (size_t i = 0; i < files->count; i++)
        if (files->items[i].is_due && strcmp(files->items[i].bundle, bundle->name.text) == 0)
            refresh_file(refresh, bundle, &files->items[i], &issuers);
    for (size_t i = 0; i < files->count; i++)
        if (is_gone(&files->items[i]) && files->items[i].digest[0] &&
            strcmp(files->items[i].bundle, bundle->name.text) == 0)
            retire(refresh, bundle, &files->items[i], &issuers);
    cert_list_fini(&issuers);
}

/* The rest of the generation: what is in force, as it is. */
static void complete(struct refresh *refresh) {
    const struct resolved *from = refresh->in_force;
    struct resolved *out = refresh->out;
    document_write(refresh->conf, &out->document);
    INVARIANT(!out->document.overflow);
    out->secrets = NEW_ARRAY(struct secret, from->secret_count + 1);
    for (; out->secret_count < from->secret_count; out->secret_count++) {
        struct secret *secret = &out->secrets[out->secret_count];
        *secret = from->secrets[out->secret_count];
        secret->bytes = mem_dup(secret->bytes, secret->size);
    }
    for (size_t i = 0; i < refresh->files->count; i++) {
        const struct crl_file *item = &refresh->files->items[i];
        resolved_add_file(out, item->path, &item->stamp, item->is_settled);
    }
}

static bool is_named(const struct conf *conf, const char *digest) {
    for (size_t i = 0; i < conf->ca_bundles.count; i++) {
        const struct conf_ca_bundle *bundle = &conf->ca_bundles.items[i];
        for (size_t j = 0; j < bundle->crl.lists.count; j++)
            if (strcmp(bundle->crl.lists.items[j].digest, digest) == 0)
                return true;
    }
    return false;
}

/* Those in force that are still named; several lists of one file follow each other. */
static void keep_lists(struct refresh *refresh) {
    const struct resolved *from = refresh->in_force;
    for (size_t i = 0; i < from->crl_count;) {
        const char *digest = from->crls[i].digest;
        struct crl_list list = {NULL, 0};
        for (; i < from->crl_count && strcmp(from->crls[i].digest, digest) == 0; i++)
            crl_list_add(&list, crl_ref(from->crls[i].crl));
        if (is_named(refresh->conf, digest))
            resolved_add_crls(refresh->out, digest, &list);
        crl_list_fini(&list);
    }
}

static bool are_settled(const struct crl_files *files) {
    for (size_t i = 0; i < files->count; i++)
        if (!files->items[i].is_settled)
            return false;
    return true;
}

struct crl_look crl_files_look(struct crl_files *files, const struct resolved *in_force,
                               struct resolved *resolved_out) {
    struct refresh refresh = {.files = files, .in_force = in_force, .out = resolved_out};
    bool is_any_due = false, has_new_paths = read_directories(files);
    *resolved_out = (struct resolved){.secrets = NULL};
    sbuf_init(&resolved_out->document, DOCUMENT_MAX);
    for (size_t i = 0; i < files->count; i++)
        is_any_due |= files->items[i].is_due = is_due(&files->items[i]);
    if (is_any_due) {
        refresh.conf = crl_files_read_document(in_force);
        refresh.arena = arena_new(4096);
        for (size_t i = 0; i < refresh.conf->ca_bundles.count; i++)
            refresh_bundle(&refresh, &refresh.conf->ca_bundles.items[i]);
        if (refresh.is_changed) {
            keep_lists(&refresh);
            complete(&refresh);
        }
        conf_free(&refresh.conf);
        arena_free(refresh.arena);
    }
    return (struct crl_look){
        .is_changed = refresh.is_changed, .is_settled = are_settled(files), .has_new_paths = has_new_paths};
}
