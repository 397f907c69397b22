/*
 * flood: keeps refusals that anybody can cause from filling the disk. Of each kind (event, reason, detail) at most
 * FLOOD_LINES lines a second go to the audit log; once a second a line says how many more there were. Metrics count all
 * of them. Belongs to the worker; used by observe.
 */
#ifndef SALLYPORT_PROXY_FLOOD_H
#define SALLYPORT_PROXY_FLOOD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/reason.h"
#include "io/loop.h"

#define FLOOD_LINES 20

/* The texts live as long as the program; detail may be NULL. */
struct flood_kind {
    const char *event;
    enum reason reason;
    const char *detail;
};

struct flood;

/* left_out: so many lines of this kind were not written in the last second. */
struct flood *flood_new(struct loop *loop, void (*left_out)(void *arg, const struct flood_kind *kind, uint64_t count),
                        void *arg);
/* Whether the line may be written; if not, it is counted. */
bool flood_admits(struct flood *flood, const struct flood_kind *kind);
/* Tells what is still to be told. */
void flood_free(struct flood **flood);

#endif
