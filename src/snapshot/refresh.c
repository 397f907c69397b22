/*
 * refresh: the CRL files while a configuration is in force: which may have changed, what became of them, and a
 * generation that differs from the one in force in nothing but its lists. Called by app/crl_watch.c in control; owns
 * what is remembered between looks. Refuses every list that would make trust weaker than it is (sec-29): an older one,
 * one that does not verify, a file in which the list of an issuer is missing.
 *
 *   look:  stamp as before --> nothing to do
 *          else read --> same lists --> unchanged | newer --> ok | older, unusable --> the ones in force stay
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "conf/document.h"
#include "resolve_priv.h"

#define DOCUMENT_MAX ((size_t)1 << 30)
/* After this long, what was written when a file was read has an older time than what is written now. */
#define SETTLE_US 2200000

/* A file of a bundle; in the order of the document. */
struct crl_file {
    char *bundle, *path;
    char digest[65]; /* of what is in force */
    struct file_stamp stamp;
    bool is_settled; /* a change since then shows in the stamp */
    int64_t read_us; /* monotonic; 0: not read */
    char *complaint; /* what was wrong with it last; NULL: it is good */
    int age;         /* as warned about */
};

struct crl_files {
    struct crl_file *items;
    const char **paths;
    size_t count;
    void (*news)(void *arg, const struct crl_news *news);
    void *arg;
};

const char *crl_result_name(enum crl_result result) {
    static const char *const names[] = {[CRL_RESULT_OK] = "ok",
                                        [CRL_RESULT_UNCHANGED] = "unchanged",
                                        [CRL_RESULT_OLDER] = "older",
                                        [CRL_RESULT_UNUSABLE] = "unusable",
                                        [CRL_RESULT_AGEING] = "ageing"};
    return names[result];
}

/* ---- what is remembered ---- */

struct crl_files *crl_files_new(void (*news)(void *arg, const struct crl_news *news), void *arg) {
    struct crl_files *files = NEW(struct crl_files);
    files->news = news;
    files->arg = arg;
    return files;
}

static void drop_items(struct crl_file *items, const char **paths, size_t count) {
    for (size_t i = 0; i < count; i++) {
        mem_free(items[i].bundle);
        mem_free(items[i].path);
        mem_free(items[i].complaint);
    }
    mem_free(items);
    mem_free(paths);
}

void crl_files_free(struct crl_files **files_ptr) {
    struct crl_files *files = *files_ptr;
    *files_ptr = NULL;
    if (!files)
        return;
    drop_items(files->items, files->paths, files->count);
    mem_free(files);
}

void crl_files_forget(struct crl_files *files) {
    for (size_t i = 0; i < files->count; i++)
        files->items[i].read_us = 0;
}

size_t crl_files_paths(const struct crl_files *files, const char *const **paths_out) {
    *paths_out = files->paths;
    return files->count;
}

static struct conf *read_document(const struct resolved *resolved) {
    struct err err;
    struct conf *conf = document_read(sbuf_slice(&resolved->document), &err);
    INVARIANT(conf); /* our own writing */
    return conf;
}

static size_t count_files(const struct conf *conf) {
    size_t count = 0;
    for (size_t i = 0; i < conf->ca_bundles.count; i++)
        count += conf->ca_bundles.items[i].crl.files.count;
    return count;
}

/* What was warned about before is not said again. */
static void inherit(struct crl_file *item, const struct crl_files *old) {
    for (size_t i = 0; i < old->count; i++) {
        const struct crl_file *before = &old->items[i];
        if (strcmp(before->bundle, item->bundle) != 0 || strcmp(before->path, item->path) != 0)
            continue;
        item->complaint = before->complaint ? mem_strdup(before->complaint) : NULL;
        if (strcmp(before->digest, item->digest) == 0)
            item->age = before->age;
        return;
    }
}

static void recall_stamp(struct crl_file *item, const struct resolved *in_force) {
    for (size_t i = 0; i < in_force->file_count; i++) {
        const struct resolved_file *file = &in_force->files[i];
        if (strcmp(file->path, item->path) != 0)
            continue;
        item->stamp = file->stamp;
        item->is_settled = file->is_settled;
        item->read_us = clock_mono_us();
        return;
    }
}

void crl_files_set(struct crl_files *files, const struct resolved *in_force) {
    struct crl_files old = *files;
    struct conf *conf = read_document(in_force);
    size_t count = count_files(conf);
    files->items = NEW_ARRAY(struct crl_file, count + 1);
    files->paths = NEW_ARRAY(const char *, count + 1);
    files->count = 0;
    for (size_t i = 0; i < conf->ca_bundles.count; i++) {
        const struct conf_ca_bundle *bundle = &conf->ca_bundles.items[i];
        for (size_t j = 0; j < bundle->crl.files.count; j++) {
            struct crl_file *item = &files->items[files->count];
            item->bundle = mem_strdup(bundle->name.text);
            item->path = mem_strdup(bundle->crl.files.items[j].path.text);
            memcpy(item->digest, bundle->crl.files.items[j].digest, sizeof(item->digest));
            inherit(item, &old);
            recall_stamp(item, in_force);
            files->paths[files->count++] = item->path;
        }
    }
    drop_items(old.items, old.paths, old.count);
    conf_free(&conf);
}

/* ---- news ---- */

static void tell(const struct crl_files *files, const struct crl_file *item, enum crl_result result, struct crl *crl,
                 const char *detail, bool is_repeated) {
    const struct crl_news news = {.result = result,
                                  .bundle = item->bundle,
                                  .path = item->path,
                                  .crl = crl,
                                  .detail = detail,
                                  .is_repeated = is_repeated};
    files->news(files->arg, &news);
}

static void complain(const struct crl_files *files, struct crl_file *item, enum crl_result result,
                     const struct crl_list *stays, const char *detail) {
    bool is_repeated = item->complaint && strcmp(item->complaint, detail) == 0;
    if (!is_repeated) {
        mem_free(item->complaint);
        item->complaint = mem_strdup(detail);
    }
    tell(files, item, result, stays->count ? stays->items[0] : NULL, detail, is_repeated);
}

void crl_files_check_age(struct crl_files *files, const struct resolved *in_force, time_t now) {
    struct arena *arena = arena_new(1024);
    for (size_t i = 0; i < files->count; i++) {
        struct crl_file *item = &files->items[i];
        int oldest = 0;
        struct crl *crl = NULL;
        for (size_t j = 0; j < in_force->crl_count; j++) {
            if (strcmp(in_force->crls[j].digest, item->digest) != 0)
                continue;
            int age = crl_age(in_force->crls[j].crl, now);
            crl = age > oldest ? in_force->crls[j].crl : crl;
            oldest = age > oldest ? age : oldest;
        }
        if (oldest > item->age)
            tell(files, item, CRL_RESULT_AGEING, crl, crl_age_text(arena, crl, item->path, now), false);
        item->age = oldest;
    }
    arena_free(arena);
}

/* ---- one file ---- */

struct refresh {
    struct crl_files *files;
    const struct resolved *in_force;
    struct resolved *out;
    struct conf *conf; /* the document in force, on its way to the next one */
    struct arena *arena;
    bool is_changed;
};

static bool is_due(const struct crl_file *item) {
    struct file_stamp stamp;
    file_stamp_take(item->path, &stamp);
    if (item->read_us == 0 || !file_stamp_equal(&stamp, &item->stamp))
        return true;
    return !item->is_settled && clock_mono_us() - item->read_us >= SETTLE_US;
}

static void remember_stamp(struct crl_file *item) {
    file_stamp_take(item->path, &item->stamp);
    item->is_settled = stamp_is_settled(&item->stamp, clock_wall_us());
    item->read_us = clock_mono_us();
}

/* Why the lists read may not replace those in force; NULL: they may. */
static const char *find_objection(struct refresh *refresh, const struct crl_list *fresh, const struct crl_list *stays,
                                  enum crl_result *result_out) {
    *result_out = CRL_RESULT_UNUSABLE;
    for (size_t i = 0; i < stays->count; i++) {
        const struct crl *old = stays->items[i], *match = NULL;
        for (size_t j = 0; j < fresh->count; j++) {
            if (!crl_speaks_for_the_same(fresh->items[j], old))
                continue;
            match = fresh->items[j];
            if (!crl_is_older(match, old))
                continue;
            *result_out = CRL_RESULT_OLDER;
            return arena_printf(refresh->arena, "its CRL (%s) is older than the one in force (%s), which stays",
                                crl_describe(refresh->arena, match), crl_describe(refresh->arena, old));
        }
        if (!match)
            return arena_printf(refresh->arena,
                                "it holds no CRL of %s any more; the one in force stays until the next reload",
                                crl_issuer_text(old));
    }
    return NULL;
}

static const char *load(struct refresh *refresh, const struct crl_file *item, const struct cert_list *issuers,
                        struct crl_list *fresh) {
    enum crl_fault fault;
    struct err err;
    if (item->stamp.error == 0 && !item->stamp.is_regular) /* a pipe could keep us waiting */
        return "it is not a regular file; its last good CRL stays in force";
    if (crl_load_file(item->path, issuers, crl_list_take, fresh, &fault, &err) == 0)
        return NULL;
    return arena_printf(refresh->arena, "it %s; its last good CRL stays in force", err.text);
}

static void accept(struct refresh *refresh, struct crl_file *item, struct conf_file *file,
                   const struct crl_list *fresh) {
    char digest[65];
    crl_list_digest(fresh, digest);
    bool was_bad = item->complaint != NULL;
    mem_free(item->complaint);
    item->complaint = NULL;
    if (strcmp(digest, file->digest) == 0) {
        tell(refresh->files, item, CRL_RESULT_UNCHANGED, fresh->items[0],
             was_bad ? "it is good again, and holds what is in force" : "it holds what is in force", !was_bad);
        return;
    }
    memcpy(file->digest, digest, sizeof(digest));
    refresh->is_changed = true;
    resolved_add_crls(refresh->out, digest, fresh);
    for (size_t i = 0; i < fresh->count; i++)
        tell(refresh->files, item, CRL_RESULT_OK, fresh->items[i], "", false);
}

static void refresh_file(struct refresh *refresh, struct crl_file *item, struct conf_file *file,
                         const struct cert_list *issuers) {
    struct crl_list stays = {NULL, 0}, fresh = {NULL, 0};
    enum crl_result result = CRL_RESULT_UNUSABLE;
    remember_stamp(item);
    crl_list_add_from(&stays, refresh->in_force, file->digest, issuers);
    const char *objection = load(refresh, item, issuers, &fresh);
    if (!objection)
        objection = find_objection(refresh, &fresh, &stays, &result);
    if (objection)
        complain(refresh->files, item, result, &stays, objection);
    else
        accept(refresh, item, file, &fresh);
    crl_list_fini(&stays);
    crl_list_fini(&fresh);
}

/* ---- all of them ---- */

static void refresh_bundle(struct refresh *refresh, struct conf_ca_bundle *bundle, struct crl_file *items,
                           const bool *due) {
    struct cert_list issuers = {NULL, 0};
    struct err err;
    bool is_any_due = false;
    for (size_t i = 0; i < bundle->crl.files.count; i++)
        is_any_due |= due[i];
    if (!is_any_due)
        return;
    int status = cert_list_from_pem(bundle->file.content, true, &issuers, &err);
    INVARIANT(status == 0); /* read when it was put in force */
    for (size_t i = 0; i < bundle->crl.files.count; i++)
        if (due[i])
            refresh_file(refresh, &items[i], &bundle->crl.files.items[i], &issuers);
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
        for (size_t j = 0; j < bundle->crl.files.count; j++)
            if (strcmp(bundle->crl.files.items[j].digest, digest) == 0)
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

static void refresh_all(struct refresh *refresh, const bool *due) {
    size_t at = 0;
    for (size_t i = 0; i < refresh->conf->ca_bundles.count; i++) {
        struct conf_ca_bundle *bundle = &refresh->conf->ca_bundles.items[i];
        INVARIANT(at + bundle->crl.files.count <= refresh->files->count);
        refresh_bundle(refresh, bundle, &refresh->files->items[at], &due[at]);
        at += bundle->crl.files.count;
    }
}

bool resolve_refresh_crls(struct crl_files *files, const struct resolved *in_force, struct resolved *resolved_out,
                          bool *is_settled_out) {
    struct refresh refresh = {.files = files, .in_force = in_force, .out = resolved_out};
    bool *due = NEW_ARRAY(bool, files->count + 1);
    bool is_any_due = false;
    *resolved_out = (struct resolved){.secrets = NULL};
    sbuf_init(&resolved_out->document, DOCUMENT_MAX);
    for (size_t i = 0; i < files->count; i++)
        is_any_due |= due[i] = is_due(&files->items[i]);
    if (is_any_due) {
        refresh.conf = read_document(in_force);
        refresh.arena = arena_new(4096);
        refresh_all(&refresh, due);
        if (refresh.is_changed) {
            keep_lists(&refresh);
            complete(&refresh);
        }
        conf_free(&refresh.conf);
        arena_free(refresh.arena);
    }
    mem_free(due);
    *is_settled_out = are_settled(files);
    return refresh.is_changed;
}
