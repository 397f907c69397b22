/*
 * scan: how far a text goes on being ordinary, sixteen bytes at a time. For what looks at every byte of heads, header
 * values and log lines: those are nearly always ordinary from end to end. Pure.
 */
#ifndef SALLYPORT_BASE_SCAN_H
#define SALLYPORT_BASE_SCAN_H

#include "base/slice.h"

/* How many bytes s begins with that are no ASCII control characters: below 0x20 (a tab too) and 0x7f. */
size_t scan_printable(struct slice s);
/* Whether s is made of letters, digits and '-' only, as nearly all header names are, and not empty. */
bool scan_is_plain_name(struct slice s);
/* How many bytes s begins with that stand in a JSON string as they are: printable ASCII but '"' and '\'. */
size_t scan_json(struct slice s);

#endif
