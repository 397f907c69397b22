/* file: whole files, read with a bound. Only control-side code opens files. */
#ifndef SALLYPORT_BASE_FILE_H
#define SALLYPORT_BASE_FILE_H

#include <stddef.h>

#include "base/err.h"
#include "base/sbuf.h"

/* Appends the file's content to out. A directory, an empty file or one over limit bytes is an error; the text says
 * which, without the path. */
MUST_CHECK int file_read(const char *path, size_t limit, struct sbuf *out, struct err *err);
/* path if it is absolute, else directory/path. The caller frees with mem_free. */
char *path_join(const char *directory, const char *path);
/* The directory part of path ("." if there is none). The caller frees with mem_free. */
char *path_directory(const char *path);

#endif
