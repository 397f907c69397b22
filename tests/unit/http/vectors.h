/* vectors: request bytes that have been used, or could be, to make two servers disagree on where a request ends. */
#ifndef SALLYPORT_TESTS_HTTP_VECTORS_H
#define SALLYPORT_TESTS_HTTP_VECTORS_H

#include "base/slice.h"

struct vector {
    const char *name;
    struct slice bytes;
    const char *expect; /* what must be in the transcript of probe_server() */
};

extern const struct vector smuggling_vectors[];
extern const size_t smuggling_vector_count;
/* The twins: requests as odd as the grammar allows, which must pass. */
extern const struct vector odd_vectors[];
extern const size_t odd_vector_count;

#endif
