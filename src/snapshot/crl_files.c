/*
 * crl_files: what control remembers of the sources of lists between two looks, and what it says about them. Called by
 * refresh.c, which looks, and by app/crl_watch.c. Owns the texts; of lists it knows the digests only.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "conf/document.h"
#include "refresh_priv.h"

const char *crl_result_name(enum crl_result result) {
    static const char *const names[] = {[CRL_RESULT_NONE] = "none",           [CRL_RESULT_OK] = "ok",
                                        [CRL_RESULT_UNCHANGED] = "unchanged", [CRL_RESULT_OLDER] = "older",
                                        [CRL_RESULT_UNUSABLE] = "unusable",   [CRL_RESULT_REMOVED] = "removed",
                                        [CRL_RESULT_AGEING] = "ageing"};
    return names[result];
}

/* ---- items ---- */

struct crl_file *crl_files_find(const struct crl_files *files, const char *bundle, const char *path) {
    for (size_t i = 0; i < files->count; i++)
        if (strcmp(files->items[i].path, path) == 0 && strcmp(files->items[i].bundle, bundle) == 0)
            return &files->items[i];
    return NULL;
}

struct crl_file *crl_files_add(struct crl_files *files, const char *bundle, const char *path) {
    if ((files->count & (files->count - 1)) == 0)
        files->items = mem_resize(files->items, (files->count ? 2 * files->count : 1) * sizeof(*files->items));
    struct crl_file *item = &files->items[files->count++];
    *item = (struct crl_file){.bundle = mem_strdup(bundle), .path = mem_strdup(path), .is_url = crl_path_is_url(path)};
    return item;
}

static void item_fini(struct crl_file *item) {
    mem_free(item->bundle);
    mem_free(item->path);
    mem_free(item->candidate);
    mem_free(item->complaint);
}

void crl_files_drop(struct crl_files *files, size_t index) {
    item_fini(&files->items[index]);
    memmove(&files->items[index], &files->items[index + 1], (files->count - index - 1) * sizeof(*files->items));
    files->count--;
}

static void drop_paths(struct crl_files *files) {
    for (size_t i = 0; files->directory_paths && files->directory_paths[i]; i++)
        mem_free(files->directory_paths[i]);
    mem_free(files->directory_paths);
    mem_free(files->paths);
    files->directory_paths = NULL;
    files->paths = NULL;
}

static void drop_all(struct crl_files *files) {
    for (size_t i = 0; i < files->count; i++)
        item_fini(&files->items[i]);
    for (size_t i = 0; i < files->directory_count; i++) {
        mem_free(files->directories[i].bundle);
        mem_free(files->directories[i].path);
        mem_free(files->directories[i].complaint);
    }
    mem_free(files->items);
    mem_free(files->directories);
    drop_paths(files);
}

/* ---- life ---- */

struct crl_files *crl_files_new(void (*news)(void *arg, const struct crl_news *news), void *arg) {
    struct crl_files *files = NEW(struct crl_files);
    files->news = news;
    files->arg = arg;
    return files;
}

void crl_files_free(struct crl_files **files_ptr) {
    struct crl_files *files = *files_ptr;
    *files_ptr = NULL;
    if (!files)
        return;
    drop_all(files);
    mem_free(files);
}

void crl_files_forget(struct crl_files *files) {
    for (size_t i = 0; i < files->count; i++)
        files->items[i].read_us = 0;
}

size_t crl_files_paths(struct crl_files *files, const char *const **paths_out) {
    size_t count = 0;
    drop_paths(files);
    files->paths = NEW_ARRAY(const char *, files->count + files->directory_count + 1);
    files->directory_paths = NEW_ARRAY(char *, files->directory_count + 1);
    for (size_t i = 0; i < files->count; i++)
        if (!files->items[i].is_url)
            files->paths[count++] = files->items[i].path;
    for (size_t i = 0; i < files->directory_count; i++)
        files->paths[count++] = files->directory_paths[i] = mem_printf("%s/", files->directories[i].path);
    *paths_out = files->paths;
    return count;
}

bool crl_files_offer(struct crl_files *files, const char *bundle, const char *url, const char *path) {
    struct crl_file *item = crl_files_find(files, bundle, url);
    if (!item || !item->is_url)
        return false;
    mem_free(item->candidate);
    item->candidate = mem_strdup(path);
    return true;
}

size_t crl_files_count(const struct crl_files *files) { return files->count; }

void crl_files_state(const struct crl_files *files, size_t index, struct crl_state *state_out) {
    const struct crl_file *item = &files->items[index];
    *state_out = (struct crl_state){.bundle = item->bundle,
                                    .path = item->path,
                                    .digest = item->digest,
                                    .result = item->result,
                                    .complaint = item->complaint,
                                    .age = item->age};
}

bool crl_files_find_state(const struct crl_files *files, const char *bundle, const char *path,
                          struct crl_state *state_out) {
    const struct crl_file *item = crl_files_find(files, bundle, path);
    if (item)
        crl_files_state(files, (size_t)(item - files->items), state_out);
    return item != NULL;
}

/* ---- the generation in force ---- */

struct conf *crl_files_read_document(const struct resolved *resolved) {
    struct err err;
    struct conf *conf = document_read(sbuf_slice(&resolved->document), &err);
    INVARIANT(conf); /* our own writing */
    return conf;
}

/* What was warned about before is not said again. */
static void inherit(struct crl_file *item, const struct crl_files *old) {
    const struct crl_file *before = crl_files_find(old, item->bundle, item->path);
    if (!before)
        return;
    item->complaint = before->complaint ? mem_strdup(before->complaint) : NULL;
    item->result = before->result;
    if (strcmp(before->digest, item->digest) == 0)
        item->age = before->age;
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

static void set_bundle(struct crl_files *files, const struct conf_ca_bundle *bundle, const struct crl_files *old,
                       const struct resolved *in_force) {
    const char *directory = bundle->crl.directory.path.text;
    for (size_t i = 0; i < bundle->crl.lists.count; i++) {
        const struct conf_file *list = &bundle->crl.lists.items[i];
        struct crl_file *item = crl_files_add(files, bundle->name.text, list->path.text);
        memcpy(item->digest, list->digest, sizeof(item->digest));
        item->is_in_directory = crl_path_is_in(directory, item->path);
        inherit(item, old);
        recall_stamp(item, in_force);
    }
    for (size_t i = 0; i < bundle->crl.urls.count; i++) {
        const char *url = bundle->crl.urls.items[i].text;
        if (!crl_find_list(&bundle->crl, url))
            inherit(crl_files_add(files, bundle->name.text, url), old);
    }
    if (!directory)
        return;
    files->directories = mem_resize(files->directories, (files->directory_count + 1) * sizeof(*files->directories));
    files->directories[files->directory_count++] =
        (struct crl_directory){.bundle = mem_strdup(bundle->name.text), .path = mem_strdup(directory)};
}

/* Files of a directory that could not be used: not read again before they change. */
static void keep_strangers(struct crl_files *files, const struct crl_files *old) {
    for (size_t i = 0; i < old->count; i++) {
        const struct crl_file *stranger = &old->items[i];
        if (stranger->digest[0] || crl_files_find(files, stranger->bundle, stranger->path))
            continue;
        for (size_t j = 0; j < files->directory_count; j++) {
            if (strcmp(files->directories[j].bundle, stranger->bundle) != 0 ||
                !crl_path_is_in(files->directories[j].path, stranger->path))
                continue;
            struct crl_file *item = crl_files_add(files, stranger->bundle, stranger->path);
            item->is_in_directory = true;
            item->stamp = stranger->stamp;
            item->is_settled = stranger->is_settled;
            item->read_us = stranger->read_us;
            inherit(item, old);
        }
    }
}

void crl_files_set(struct crl_files *files, const struct resolved *in_force) {
    struct crl_files old = *files;
    struct conf *conf = crl_files_read_document(in_force);
    *files = (struct crl_files){.news = old.news, .arg = old.arg};
    for (size_t i = 0; i < conf->ca_bundles.count; i++)
        set_bundle(files, &conf->ca_bundles.items[i], &old, in_force);
    keep_strangers(files, &old);
    drop_all(&old);
    conf_free(&conf);
}

/* ---- news ---- */

void crl_files_tell(const struct crl_files *files, const struct crl_file *item, const struct crl_news *news) {
    struct crl_news whole = *news;
    whole.bundle = item->bundle;
    whole.path = item->path;
    files->news(files->arg, &whole);
}

void crl_files_complain(const struct crl_files *files, struct crl_file *item, enum crl_result result,
                        const struct crl_list *stays, const char *detail) {
    bool is_repeated = item->complaint && strcmp(item->complaint, detail) == 0;
    if (!is_repeated) {
        mem_free(item->complaint);
        item->complaint = mem_strdup(detail);
    }
    item->result = result;
    crl_files_tell(files, item,
                   &(struct crl_news){.result = result,
                                      .crl = stays && stays->count ? stays->items[0] : NULL,
                                      .detail = detail,
                                      .is_repeated = is_repeated});
}

void crl_files_check_age(struct crl_files *files, const struct resolved *in_force, time_t now) {
    struct arena *arena = arena_new(1024);
    for (size_t i = 0; i < files->count; i++) {
        struct crl_file *item = &files->items[i];
        int oldest = 0;
        struct crl *crl = NULL;
        for (size_t j = 0; item->digest[0] && j < in_force->crl_count; j++) {
            if (strcmp(in_force->crls[j].digest, item->digest) != 0)
                continue;
            int age = crl_age(in_force->crls[j].crl, now);
            crl = age > oldest ? in_force->crls[j].crl : crl;
            oldest = age > oldest ? age : oldest;
        }
        if (oldest > item->age)
            crl_files_tell(files, item,
                           &(struct crl_news){.result = CRL_RESULT_AGEING,
                                              .crl = crl,
                                              .detail = crl_age_text(arena, crl, item->path, now)});
        item->age = oldest;
    }
    arena_free(arena);
}
