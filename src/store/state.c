/*
 * state: see the header. Called by whoever keeps something, in control. Owns no memory between calls. It refuses a
 * directory that other accounts can write to: what is read back from it is believed.
 */
#include "store/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

#define DEFAULT_DIRECTORY "/var/lib/sallyport"

char *state_directory(const char *configured) {
    struct slice given = slice_of(getenv("STATE_DIRECTORY")), first;
    if (configured && configured[0])
        return mem_strdup(configured);
    (void)slice_cut(given, ':', &first);
    return first.len > 0 ? mem_strndup(first.ptr, first.len) : mem_strdup(DEFAULT_DIRECTORY);
}

static int refuse_to_make(const char *path, struct err *err) {
    return err_set(err, "state_dir: %s cannot be made: %s; set state_dir to a directory of this account", path,
                   strerror(errno));
}

static int check_one(const char *path, struct err *err) {
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return err_set(err, "state_dir: %s is not a directory", path);
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return err_set(err, "state_dir: other accounts can write to %s (mode %04o); chmod it to 0700", path,
                       (unsigned)(st.st_mode & 07777));
    if (access(path, W_OK | X_OK) != 0)
        return err_set(err, "state_dir: %s cannot be written to: %s; set state_dir to a directory of this account",
                       path, strerror(errno));
    return 0;
}

static int make_one(const char *path, struct err *err) {
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return refuse_to_make(path, err);
    return check_one(path, err);
}

int state_check(const char *directory, const char *part, struct err *err) {
    struct stat st;
    char *path = path_join(directory, part), *parent = path_directory(directory);
    int result = 0;
    if (stat(path, &st) == 0)
        result = check_one(directory, err) == 0 ? check_one(path, err) : -1;
    else if (stat(directory, &st) == 0)
        result = check_one(directory, err);
    else if (access(parent, W_OK | X_OK) != 0)
        result = refuse_to_make(directory, err);
    mem_free(parent);
    mem_free(path);
    return result;
}

int state_make(const char *directory, const char *part, struct err *err) {
    char *path = path_join(directory, part);
    int result = make_one(directory, err);
    if (result == 0)
        result = make_one(path, err);
    mem_free(path);
    return result;
}

/* A rename is on the disk when its directory is. */
static int flush_directory(const char *path) {
    char *directory = path_directory(path);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0)
        (void)close(fd);
    mem_free(directory);
    return result;
}

int state_replace(const char *path, const char *from, struct err *err) {
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    int result = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0)
        (void)close(fd);
    if (result == 0)
        result = rename(from, path);
    if (result == 0)
        result = flush_directory(path);
    return result == 0 ? 0 : err_set(err, "%s cannot be written: %s", path, strerror(errno));
}

static int write_all(int fd, struct slice bytes) {
    while (bytes.len > 0) {
        ssize_t put = write(fd, bytes.ptr, bytes.len);
        if (put < 0 && errno != EINTR)
            return -1;
        bytes = slice_after(bytes, put > 0 ? (size_t)put : 0);
    }
    return 0;
}

int state_write(const char *path, struct slice bytes, struct err *err) {
    char *from = mem_printf("%s.new", path);
    int fd = open(from, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int result = -1;
    if (fd < 0 || write_all(fd, bytes) != 0)
        (void)err_set(err, "%s cannot be written: %s", path, strerror(errno));
    else
        result = 0;
    if (fd >= 0 && close(fd) != 0 && result == 0)
        result = err_set(err, "%s cannot be written: %s", path, strerror(errno));
    if (result == 0)
        result = state_replace(path, from, err);
    if (result != 0)
        (void)unlink(from);
    mem_free(from);
    return result;
}
