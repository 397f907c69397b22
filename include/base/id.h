/* id: random bytes and the ids made of them. From getrandom(2); failure to get any ends the process. */
#ifndef SALLYPORT_BASE_ID_H
#define SALLYPORT_BASE_ID_H

#include <stddef.h>

#define RAY_ID_SIZE 17 /* 16 lower-case hex digits and NUL */

void random_bytes(void *out, size_t size);
/* A new ray id, unique for practical purposes. Buffered: no system call for most calls. */
void ray_id_make(char out[RAY_ID_SIZE]);

#endif
