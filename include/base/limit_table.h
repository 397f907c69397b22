/*
 * limit_table: how many connections the whole gateway has, and each client address has, across workers. Shared memory
 * of fixed size: one row for each worker, which only that worker writes, with plain atomic counters; a limit is judged
 * against the sum of all rows and never passed. When a worker dies, its row is cleared by master.
 *
 * Addresses share counters by keyed hash (two places each, the smaller counts), so a table is never full and a count
 * never too low; now and then it is a few too high.
 */
#ifndef SALLYPORT_BASE_LIMIT_TABLE_H
#define SALLYPORT_BASE_LIMIT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define LIMIT_TABLE_WORKERS_MAX 64

struct limit_table; /* in the shared memory */

/* 64 MiB of address space; memory is used for workers and places that are. */
size_t limit_table_size(void);
/* memory: zeroed, of limit_table_size() bytes, aligned to 64; the first user sets the hash key. One process by itself
 * may pass plain memory. */
struct limit_table *limit_table_open(void *memory);
/* Takes a place for one connection of address (bytes of the IP), if neither limit is reached; 0: no limit. false:
 * refused, nothing is counted. A connection is counted for its address whether there is a limit or not. */
MUST_CHECK bool limit_table_take(struct limit_table *table, unsigned worker, const void *address, size_t size,
                                 int64_t max_total, int64_t max_per_address);
void limit_table_give_back(struct limit_table *table, unsigned worker, const void *address, size_t size);
/* Concurrent handshakes, the same way. */
MUST_CHECK bool limit_table_take_handshake(struct limit_table *table, unsigned worker, int64_t max_total);
void limit_table_give_back_handshake(struct limit_table *table, unsigned worker);
/* A worker begins; limit_table_workers() is how many have, dead ones and their successors counted once. */
void limit_table_join(struct limit_table *table, unsigned worker);
unsigned limit_table_workers(const struct limit_table *table);
int64_t limit_table_connections(const struct limit_table *table);
int64_t limit_table_handshakes(const struct limit_table *table);
/* Master, after a worker died. */
void limit_table_clear_worker(struct limit_table *table, unsigned worker);

#endif
