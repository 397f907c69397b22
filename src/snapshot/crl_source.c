/*
 * crl_source: where the lists of a bundle come from: files that are named, files of a directory, URLs. All become
 * entries of one list of the bundle (`lists`), in this order and by name, so that the same sources make the same
 * document. Called by resolve_crl.c and refresh.c. Owns nothing: strings are put in the caller's arena.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/mem.h"
#include "resolve_priv.h"
#include "store/kept.h"
#include "store/state.h"

#define DIRECTORY_FILES_MAX 10000

bool crl_path_is_url(const char *path) {
    return slice_starts_with(slice_of(path), SLICE("http://")) || slice_starts_with(slice_of(path), SLICE("https://"));
}

bool crl_path_is_in(const char *directory, const char *path) {
    bool is_in = false;
    if (directory && !crl_path_is_url(path)) {
        const char *name = strrchr(path, '/');
        char *joined = path_join(directory, name ? name + 1 : path);
        is_in = strcmp(joined, path) == 0;
        mem_free(joined);
    }
    return is_in;
}

/* ---- what was fetched ---- */

char *crl_state_directory(const struct conf *conf) {
    char *directory = state_directory(conf->state_dir.path.text);
    char *path = path_join(directory, CRL_STATE_PART);
    mem_free(directory);
    return path;
}

char *crl_state_key(const char *bundle, const char *url) { return mem_printf("crl %s %s", bundle, url); }

bool crl_load_kept(const struct conf *conf, const char *bundle, const char *url, const struct cert_list *issuers,
                   struct crl_list *out, struct err *err) {
    char *directory = crl_state_directory(conf), *key = crl_state_key(bundle, url);
    struct kept kept;
    enum crl_fault fault;
    bool is_good = false;
    err->text[0] = '\0';
    if (kept_read(directory, key, &kept, err) == KEPT_GOOD) {
        is_good = crl_load_file(kept.path, issuers, crl_list_take, out, &fault, err) == 0;
        if (!is_good)
            (void)err_context(err, "%s", kept.path);
    }
    if (!is_good)
        crl_list_fini(out);
    kept_fini(&kept);
    mem_free(directory);
    mem_free(key);
    return is_good;
}

/* ---- directories ---- */

static int compare_paths(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_file(const char *path) {
    struct stat st;
    return stat(path, &st) != 0 || S_ISREG(st.st_mode); /* what cannot be looked at is complained about when read */
}

static void add_path(struct crl_paths *paths, struct arena *arena, const char *path) {
    if ((paths->count & (paths->count - 1)) == 0)
        paths->items = mem_resize(paths->items, (paths->count ? 2 * paths->count : 1) * sizeof(*paths->items));
    paths->items[paths->count++] = arena_str(arena, slice_of(path));
}

int crl_directory_read(const char *directory, struct arena *arena, struct crl_paths *paths_out, struct err *err) {
    *paths_out = (struct crl_paths){NULL, 0};
    DIR *handle = opendir(directory);
    const struct dirent *entry;
    int result = 0;
    if (!handle)
        return err_set(err, "cannot be read: %s", strerror(errno));
    while (result == 0 && (entry = readdir(handle)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        char *path = path_join(directory, entry->d_name);
        if (paths_out->count == DIRECTORY_FILES_MAX)
            result = err_set(err, "holds more than %d files", DIRECTORY_FILES_MAX);
        else if (is_file(path))
            add_path(paths_out, arena, path);
        mem_free(path);
    }
    (void)closedir(handle);
    if (result != 0)
        crl_paths_fini(paths_out);
    else if (paths_out->count > 0)
        qsort(paths_out->items, paths_out->count, sizeof(*paths_out->items), compare_paths);
    return result;
}

void crl_paths_fini(struct crl_paths *paths) {
    mem_free(paths->items);
    *paths = (struct crl_paths){NULL, 0};
}

/* ---- the lists of a bundle ---- */

struct conf_file *crl_find_list(const struct conf_crl *crl, const char *path) {
    for (size_t i = 0; i < crl->lists.count; i++)
        if (crl->lists.items[i].path.text && strcmp(crl->lists.items[i].path.text, path) == 0)
            return &crl->lists.items[i];
    return NULL;
}

void crl_reserve_lists(struct arena *arena, struct conf_crl *crl, size_t more) {
    struct conf_file *items = ARENA_ARRAY(arena, struct conf_file, crl->lists.count + more);
    if (crl->lists.count > 0)
        memcpy(items, crl->lists.items, crl->lists.count * sizeof(*items));
    crl->lists.items = items;
}

struct conf_file *crl_add_list(struct conf_crl *crl, const struct conf_text *path) {
    struct conf_file *file = &crl->lists.items[crl->lists.count++];
    *file = (struct conf_file){.path = *path};
    return file;
}

void crl_remove_list(struct conf_crl *crl, const char *path) {
    struct conf_file *file = crl_find_list(crl, path);
    INVARIANT(file);
    size_t index = (size_t)(file - crl->lists.items);
    memmove(file, file + 1, (crl->lists.count - index - 1) * sizeof(*file));
    crl->lists.count--;
}
