/* file: whole files, read with a bound. Only control-side code opens files. */
#ifndef SALLYPORT_BASE_FILE_H
#define SALLYPORT_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sbuf.h"

/* Appends the file's content to out. A directory, an empty file or one over limit bytes is an error; the text says
 * which, without the path. */
MUST_CHECK int file_read(const char *path, size_t limit, struct sbuf *out, struct err *err);
/* What tells one state of a file from another without reading it. error: errno when it cannot be looked at, the rest is
 * then 0. Symbolic links are followed. */
struct file_stamp {
    int error;
    bool is_regular;
    uint64_t device, inode, size;
    int64_t modified_ns, changed_ns; /* wall time, of the content and of the inode */
};
void file_stamp_take(const char *path, struct file_stamp *stamp_out);
bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b);
/* path if it is absolute, else directory/path. The caller frees with mem_free. */
char *path_join(const char *directory, const char *path);
/* The directory part of path ("." if there is none). The caller frees with mem_free. */
char *path_directory(const char *path);

#endif
