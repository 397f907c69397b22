/*
 * file_watch: see the header. Used by control for CRL files; owns an inotify descriptor and two timers.
 *
 *   event, or a look that finds a difference --100 ms--> settled? --yes--> watches made anew, changed()
 *                                                  ^------250 ms--no (at most SETTLE_MAX_MS)
 *
 * For each path every directory on the way is watched for the next name, through symbolic links, so that a swap at any
 * level is heard. A close after writing and a rename onto a name say that a file is whole; anything else may come from
 * the middle of a write, so it has to rest first. The watches are made before changed() is called: what happens later
 * makes a new event, what happened before is seen by who looks now. inotify is a help only: the look each second finds
 * everything, also on file systems that tell nothing.
 */
#include "io/file_watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#define GATHER_MS 100
#define SETTLE_MS 250
#define SETTLE_MAX_MS 2000
#define LOOK_MS 1000
#define LINKS_MAX 40      /* on one path, as in the kernel */
#define WATCHES_MAX 4096  /* directories; what is beyond is found by looking */
#define READS_PER_EVENT 4 /* then others have their turn */
#define EVENTS_SIZE (16 * 1024)

#define MASK_NAMES (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR)
#define MASK_CONTENT (IN_CLOSE_WRITE | IN_ATTRIB)
/* The file is whole now. */
#define MASK_WHOLE (IN_CLOSE_WRITE | IN_MOVED_TO)

struct watched_file {
    char *path;
    struct file_stamp stamp; /* as last looked at */
};

struct file_watch {
    struct loop *loop;
    void (*changed)(void *arg);
    void *arg;
    struct watched_file *files;
    size_t count;
    int inotify; /* -1: there is none */
    struct loop_watch *events;
    struct loop_timer *look, *gather;
    int *directories; /* watch descriptors */
    size_t directory_count;
    struct arena *arena; /* keys of names */
    struct map names;    /* "descriptor/name" to anything: the events that matter */
    bool is_whole;       /* of what is being gathered */
    bool has_warned;
    int64_t gathering_since_ms;
};

/* ---- what to watch ---- */

static bool has_directory(const struct file_watch *watch, int descriptor) {
    for (size_t i = 0; i < watch->directory_count; i++)
        if (watch->directories[i] == descriptor)
            return true;
    return false;
}

static void warn_once(struct file_watch *watch, const char *path, const char *why) {
    if (!watch->has_warned)
        log_warning("no notice of changes in %s (%s): it is looked at every second instead", path, why);
    watch->has_warned = true;
}

/* directory: "" for the root, else without a slash at its end. name: "" for every name in it. */
static void watch_name(struct file_watch *watch, const char *directory, const char *name, bool is_last) {
    if (watch->inotify < 0)
        return;
    const char *path = directory[0] ? directory : "/";
    if (watch->directory_count == WATCHES_MAX) {
        warn_once(watch, path, "too many directories");
        return;
    }
    uint32_t mask = MASK_NAMES | IN_MASK_ADD | (is_last ? MASK_CONTENT : 0);
    int descriptor = inotify_add_watch(watch->inotify, path, mask);
    if (descriptor < 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            warn_once(watch, path, strerror(errno));
        return;
    }
    if (!has_directory(watch, descriptor)) {
        watch->directories = mem_resize(watch->directories, (watch->directory_count + 1) * sizeof(int));
        watch->directories[watch->directory_count++] = descriptor;
    }
    const char *key = arena_printf(watch->arena, "%d/%s", descriptor, name);
    (void)map_put(&watch->names, slice_of(key), watch);
}

/* A path on its way down: what is resolved, and what is still to go. */
struct walk {
    char done[PATH_MAX], rest[PATH_MAX];
    int links;
};

/* The next component of rest; false at the end. */
static bool next_component(struct walk *walk, char name_out[NAME_MAX + 1]) {
    char *at = walk->rest + strspn(walk->rest, "/");
    size_t len = strcspn(at, "/");
    if (len == 0 || len > NAME_MAX)
        return false;
    memcpy(name_out, at, len);
    name_out[len] = '\0';
    memmove(walk->rest, at + len, strlen(at + len) + 1);
    return true;
}

static void go_up(struct walk *walk) {
    char *slash = strrchr(walk->done, '/');
    if (slash)
        *slash = '\0';
}

/* Follows a symbolic link, or goes down. False: the path ends here. */
static bool go_on(struct walk *walk, const char *name) {
    char next[PATH_MAX], target[PATH_MAX], rest[PATH_MAX];
    struct stat st;
    if (snprintf(next, sizeof(next), "%s/%s", walk->done, name) >= (int)sizeof(next) || lstat(next, &st) < 0)
        return false;
    if (!S_ISLNK(st.st_mode)) {
        memcpy(walk->done, next, strlen(next) + 1);
        return true;
    }
    ssize_t len = readlink(next, target, sizeof(target) - 1);
    if (len <= 0 || ++walk->links > LINKS_MAX)
        return false;
    target[len] = '\0';
    if (snprintf(rest, sizeof(rest), "%s/%s", target, walk->rest) >= (int)sizeof(rest))
        return false;
    memcpy(walk->rest, rest, strlen(rest) + 1);
    if (target[0] == '/')
        walk->done[0] = '\0';
    return true;
}

/* Each directory is watched before its name is looked up, so that no swap falls between the two. */
static void watch_path(struct file_watch *watch, const char *path) {
    struct walk *walk = NEW(struct walk);
    char name[NAME_MAX + 1];
    bool is_whole_directory = path[0] && path[strlen(path) - 1] == '/', is_there = true;
    if (path[0] != '/' && !getcwd(walk->done, sizeof(walk->done)))
        goto out;
    if (strcmp(walk->done, "/") == 0)
        walk->done[0] = '\0';
    if (strlen(path) >= sizeof(walk->rest))
        goto out;
    memcpy(walk->rest, path, strlen(path) + 1);
    while (next_component(walk, name)) {
        if (strcmp(name, ".") == 0)
            continue;
        if (strcmp(name, "..") == 0) {
            go_up(walk);
            continue;
        }
        watch_name(watch, walk->done, name, strspn(walk->rest, "/") == strlen(walk->rest));
        is_there = go_on(walk, name);
        if (!is_there)
            break;
    }
    if (is_whole_directory && is_there)
        watch_name(watch, walk->done, "", true);
out:
    mem_free(walk);
}

static void make_watches(struct file_watch *watch) {
    int *old = watch->directories;
    size_t old_count = watch->directory_count;
    watch->directories = NULL;
    watch->directory_count = 0;
    map_fini(&watch->names);
    arena_free(watch->arena);
    watch->arena = arena_new(4096);
    map_init(&watch->names);
    for (size_t i = 0; i < watch->count; i++)
        watch_path(watch, watch->files[i].path);
    for (size_t i = 0; i < old_count; i++)
        if (!has_directory(watch, old[i]))
            (void)inotify_rm_watch(watch->inotify, old[i]);
    mem_free(old);
}

/* ---- changes ---- */

/* Whether any file is not what it was at the last look. */
static bool look_again(struct file_watch *watch) {
    bool differs = false;
    for (size_t i = 0; i < watch->count; i++) {
        struct file_stamp stamp;
        file_stamp_take(watch->files[i].path, &stamp);
        differs |= !file_stamp_equal(&stamp, &watch->files[i].stamp);
        watch->files[i].stamp = stamp;
    }
    return differs;
}

static void gather(struct file_watch *watch, bool is_whole) {
    watch->is_whole |= is_whole;
    if (loop_timer_is_set(watch->gather))
        return;
    watch->gathering_since_ms = loop_now_ms(watch->loop);
    loop_timer_set(watch->gather, GATHER_MS);
}

static void on_gathered(void *arg) {
    struct file_watch *watch = arg;
    bool differs = look_again(watch);
    bool is_late = loop_now_ms(watch->loop) - watch->gathering_since_ms >= SETTLE_MAX_MS;
    if (differs && !watch->is_whole && !is_late) {
        loop_timer_set(watch->gather, SETTLE_MS);
        return;
    }
    watch->is_whole = false;
    make_watches(watch);
    (void)look_again(watch);
    watch->changed(watch->arg);
}

static void on_look(void *arg) {
    struct file_watch *watch = arg;
    loop_timer_set(watch->look, LOOK_MS);
    if (!loop_timer_is_set(watch->gather) && look_again(watch))
        gather(watch, false);
}

static bool matters(const struct file_watch *watch, const struct inotify_event *event) {
    char key[NAME_MAX + 32];
    if (event->mask & IN_Q_OVERFLOW)
        return true;
    if (event->mask & (IN_IGNORED | IN_UNMOUNT))
        return has_directory(watch, event->wd);
    if (event->len == 0)
        return false;
    int len = snprintf(key, sizeof(key), "%d/%s", event->wd, event->name);
    struct slice whole = slice_make(key, (size_t)len), directory = slice_first(whole, slice_index(whole, '/') + 1);
    return map_get(&watch->names, whole) != NULL || map_get(&watch->names, directory) != NULL;
}

static void on_events(void *arg, int ready) {
    (void)ready;
    struct file_watch *watch = arg;
    _Alignas(struct inotify_event) char buffer[EVENTS_SIZE];
    for (int i = 0; i < READS_PER_EVENT; i++) {
        ssize_t got = read(watch->inotify, buffer, sizeof(buffer));
        if (got <= 0)
            return;
        const struct inotify_event *event;
        for (ssize_t at = 0; at < got; at += (ssize_t)(sizeof(*event) + event->len)) {
            event = (const struct inotify_event *)(const void *)(buffer + at);
            if (matters(watch, event))
                gather(watch, (event->mask & MASK_WHOLE) != 0);
        }
    }
}

/* ---- life ---- */

struct file_watch *file_watch_new(struct loop *loop, void (*changed)(void *arg), void *arg, struct err *err) {
    (void)err;
    struct file_watch *watch = NEW(struct file_watch);
    watch->loop = loop;
    watch->changed = changed;
    watch->arg = arg;
    map_init(&watch->names);
    watch->arena = arena_new(4096);
    watch->look = loop_timer_new(loop, on_look, watch);
    watch->gather = loop_timer_new(loop, on_gathered, watch);
    watch->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->inotify < 0) {
        warn_once(watch, "files", strerror(errno));
        return watch;
    }
    watch->events = loop_watch_new(loop, watch->inotify, on_events, watch);
    loop_watch_set(watch->events, LOOP_READ);
    return watch;
}

static void drop_files(struct file_watch *watch) {
    for (size_t i = 0; i < watch->count; i++)
        mem_free(watch->files[i].path);
    mem_free(watch->files);
    watch->files = NULL;
    watch->count = 0;
}

void file_watch_set(struct file_watch *watch, const char *const *paths, size_t count) {
    drop_files(watch);
    watch->files = NEW_ARRAY(struct watched_file, count + 1);
    watch->count = count;
    for (size_t i = 0; i < count; i++)
        watch->files[i].path = mem_strdup(paths[i]);
    loop_timer_cancel(watch->gather);
    watch->is_whole = false;
    make_watches(watch);
    (void)look_again(watch);
    if (count > 0)
        loop_timer_set(watch->look, LOOK_MS);
    else
        loop_timer_cancel(watch->look);
}

void file_watch_free(struct file_watch **watch_ptr) {
    struct file_watch *watch = *watch_ptr;
    *watch_ptr = NULL;
    if (!watch)
        return;
    drop_files(watch);
    loop_watch_free(&watch->events);
    loop_timer_free(&watch->look);
    loop_timer_free(&watch->gather);
    if (watch->inotify >= 0)
        close(watch->inotify);
    map_fini(&watch->names);
    arena_free(watch->arena);
    mem_free(watch->directories);
    mem_free(watch);
}
