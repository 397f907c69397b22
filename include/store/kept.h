/*
 * kept: the last good body of something that is fetched, on disk with its digest and what a conditional request needs
 * (state_dir). Two files: the facts, and the body that they name by digest; a crash between the two leaves what was
 * kept before. Control side.
 */
#ifndef SALLYPORT_STORE_KEPT_H
#define SALLYPORT_STORE_KEPT_H

#include <time.h>

#include "base/err.h"
#include "base/slice.h"

struct kept_facts {
    const char *url;                  /* for people */
    const char *etag, *last_modified; /* "": none */
    time_t fetched_at, checked_at;    /* when the body came; when it was last said to be the newest */
};

struct kept {
    char *path; /* of the body, which is what it was when it was put there */
    char *etag, *last_modified;
    time_t fetched_at, checked_at;
};

enum kept_result { KEPT_GOOD, KEPT_NONE, KEPT_DAMAGED };

/* directory: made with state_make. key: any text that names the thing; others' keys do not matter. The caller ends with
 * kept_fini, whatever the result. DAMAGED: truncated, tampered with, unreadable; err says what. */
enum kept_result kept_read(const char *directory, const char *key, struct kept *kept_out, struct err *err);
void kept_fini(struct kept *kept);
/* Where a body that is being fetched may be written: beside the kept one. The caller frees with mem_free. */
char *kept_part_path(const char *directory, const char *key);
/* The file part becomes what is kept, and is gone from its place. */
MUST_CHECK int kept_put(const char *directory, const char *key, const struct kept_facts *facts, const char *part,
                        struct err *err);
/* New facts for the body that is kept. */
MUST_CHECK int kept_touch(const char *directory, const char *key, const struct kept_facts *facts, struct err *err);

#endif
