/* glob: text against a pattern in which '*' stands for any run of bytes, also an empty one, and everything else for
 * itself. */
#ifndef SALLYPORT_BASE_GLOB_H
#define SALLYPORT_BASE_GLOB_H

#include <stdbool.h>

#include "base/slice.h"

/* Compares bytes; there is no escape. A '*' in text is a byte like any other. At most text.len * pattern.len steps. */
bool glob_match(struct slice pattern, struct slice text);

#endif
