/*
 * file_watch: hears when one of a set of files may have changed: written, replaced by rename, a symlink on its path
 * swapped, deleted, created. inotify on the directories (of the path and of what it resolves to), plus a look at size,
 * inode and time every second for file systems without it. Changes are gathered for 100 ms, then changed() is called
 * once. A path with a slash at its end stands for a directory and everything in it. Control side.
 */
#ifndef SALLYPORT_IO_FILE_WATCH_H
#define SALLYPORT_IO_FILE_WATCH_H

#include <stddef.h>

#include "base/err.h"
#include "io/loop.h"

struct file_watch;

MUST_CHECK struct file_watch *file_watch_new(struct loop *loop, void (*changed)(void *arg), void *arg, struct err *err);
/* The whole new set (copied). What is in force now counts as seen. */
void file_watch_set(struct file_watch *watch, const char *const *paths, size_t count);
void file_watch_free(struct file_watch **watch);

#endif
