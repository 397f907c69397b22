/*
 * file: reading a whole file within a bound, telling whether one changed, and joining paths. Pipes and devices are read
 * too (`verify` is used with process substitution); the bound holds for them as well.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define CHUNK 16384

/* Reads to the end. One byte more than the limit is asked for, to see that there is more. */
static int read_all(int fd, size_t limit, struct sbuf *out, struct err *err) {
    size_t total = 0;
    for (;;) {
        size_t want = limit - total + 1 < CHUNK ? limit - total + 1 : CHUNK;
        char *place = sbuf_reserve(out, want);
        if (!place)
            place = sbuf_reserve(out, want = 1);
        if (!place)
            return err_set(err, "is larger than %zu bytes", limit);
        ssize_t got = read(fd, place, want);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(err, "cannot be read: %s", strerror(errno));
        if (got == 0)
            return total ? 0 : err_set(err, "is empty");
        total += (size_t)got;
        if (total > limit)
            return err_set(err, "is larger than %zu bytes", limit);
        sbuf_commit(out, (size_t)got);
    }
}

int file_read(const char *path, size_t limit, struct sbuf *out, struct err *err) {
    struct stat st;
    int result = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0) {
        err_set(err, "cannot be opened: %s", strerror(errno));
        goto out;
    }
    if (S_ISDIR(st.st_mode)) {
        err_set(err, "is a directory");
        goto out;
    }
    if (S_ISREG(st.st_mode) && (size_t)st.st_size > limit) {
        err_set(err, "is larger than %zu bytes", limit);
        goto out;
    }
    /* Room for all of it at once: growing would leave copies of a private key in freed memory. */
    if (S_ISREG(st.st_mode) && (size_t)st.st_size < sbuf_room(out))
        (void)sbuf_reserve(out,
                           (size_t)st.st_size + CHUNK < sbuf_room(out) ? (size_t)st.st_size + CHUNK : sbuf_room(out));
    result = read_all(fd, limit, out, err);
out:
    if (fd >= 0)
        close(fd);
    return result;
}

static int64_t ns_of(const struct timespec *time) { return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec; }

void file_stamp_take(const char *path, struct file_stamp *stamp_out) {
    struct stat st;
    *stamp_out = (struct file_stamp){.error = 0};
    if (stat(path, &st) < 0) {
        stamp_out->error = errno;
        return;
    }
    stamp_out->is_regular = S_ISREG(st.st_mode);
    stamp_out->device = (uint64_t)st.st_dev;
    stamp_out->inode = (uint64_t)st.st_ino;
    stamp_out->size = (uint64_t)st.st_size;
    stamp_out->modified_ns = ns_of(&st.st_mtim);
    stamp_out->changed_ns = ns_of(&st.st_ctim);
}

bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b) {
    return a->error == b->error && a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified_ns == b->modified_ns && a->changed_ns == b->changed_ns;
}

char *path_join(const char *directory, const char *path) {
    if (path[0] == '/')
        return mem_strdup(path);
    size_t len = strlen(directory);
    return mem_printf("%s%s%s", directory, len && directory[len - 1] == '/' ? "" : "/", path);
}

char *path_directory(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        return mem_strdup(".");
    return mem_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}
