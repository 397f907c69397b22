/*
 * limit_table: see the header. Workers take and give back; master clears the row of a dead one; control reads the sums.
 *
 *   row of a worker:  connections | handshakes | places[0 .. N) | places[N .. 2N)      N = PLACES
 *
 * An address has one place in each half, found by a keyed hash, and shares each with a few others: the smaller of the
 * two sums is what it has at most. A place is taken first and the sum looked at then, so that two workers at once never
 * pass a limit together; at the very edge both may be refused.
 *
 * The memory is shared with processes that may have gone wrong: counters are never brought below nothing, and nothing
 * is read from it that could lead outside.
 */
#include "base/limit_table.h"

#include "base/err.h"
#include "base/id.h"
#include "base/map.h"

/* In each half. With 100,000 connections two addresses in a thousand are counted as having three more than they have.
 */
#define PLACES (128 * 1024)

struct row {
    int64_t connections;
    int64_t handshakes;
    uint32_t places[2 * PLACES];
} __attribute__((aligned(64)));

struct limit_table {
    uint64_t key[2]; /* 0: not drawn yet */
    uint32_t rows_used;
    struct row rows[LIMIT_TABLE_WORKERS_MAX];
};

size_t limit_table_size(void) { return sizeof(struct limit_table); }

struct limit_table *limit_table_open(void *memory) {
    struct limit_table *table = memory;
    for (int i = 0; i < 2; i++) {
        uint64_t none = 0, drawn = 0;
        while (drawn == 0)
            random_bytes(&drawn, sizeof drawn);
        /* Whoever comes first; the others use the same. */
        (void)__atomic_compare_exchange_n(&table->key[i], &none, drawn, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    return table;
}

static struct row *row_of(struct limit_table *table, unsigned worker) {
    INVARIANT(worker < LIMIT_TABLE_WORKERS_MAX);
    uint32_t used = __atomic_load_n(&table->rows_used, __ATOMIC_SEQ_CST);
    while (used <= worker && !__atomic_compare_exchange_n(&table->rows_used, &used, worker + 1, false, __ATOMIC_SEQ_CST,
                                                          __ATOMIC_SEQ_CST))
        ;
    return &table->rows[worker];
}

void limit_table_join(struct limit_table *table, unsigned worker) { (void)row_of(table, worker); }

unsigned limit_table_workers(const struct limit_table *table) {
    uint32_t used = __atomic_load_n(&table->rows_used, __ATOMIC_SEQ_CST);
    return used < LIMIT_TABLE_WORKERS_MAX ? used : LIMIT_TABLE_WORKERS_MAX;
}

/* --- one number of each row ----------------------------------------------------------------------------------------
 */

static void number_raise(int64_t *number) { (void)__atomic_add_fetch(number, 1, __ATOMIC_SEQ_CST); }

/* Only the row's owner writes, but for master when the owner is gone. */
static void number_lower(int64_t *number) {
    if (__atomic_load_n(number, __ATOMIC_SEQ_CST) > 0)
        (void)__atomic_sub_fetch(number, 1, __ATOMIC_SEQ_CST);
}

int64_t limit_table_connections(const struct limit_table *table) {
    int64_t sum = 0;
    for (unsigned i = 0; i < limit_table_workers(table); i++)
        sum += __atomic_load_n(&table->rows[i].connections, __ATOMIC_SEQ_CST);
    return sum;
}

int64_t limit_table_handshakes(const struct limit_table *table) {
    int64_t sum = 0;
    for (unsigned i = 0; i < limit_table_workers(table); i++)
        sum += __atomic_load_n(&table->rows[i].handshakes, __ATOMIC_SEQ_CST);
    return sum;
}

/* --- addresses -----------------------------------------------------------------------------------------------------
 */

struct places {
    size_t at[2]; /* in a row's places */
};

static struct places places_of(const struct limit_table *table, const void *address, size_t size) {
    uint64_t hash = map_hash_keyed(table->key, slice_make(address, size));
    return (struct places){{hash % PLACES, PLACES + (hash >> 32) % PLACES}};
}

static void raise_places(struct row *row, const struct places *places) {
    for (int i = 0; i < 2; i++)
        (void)__atomic_add_fetch(&row->places[places->at[i]], 1, __ATOMIC_SEQ_CST);
}

static void lower_places(struct row *row, const struct places *places) {
    for (int i = 0; i < 2; i++) {
        uint32_t *place = &row->places[places->at[i]];
        if (__atomic_load_n(place, __ATOMIC_SEQ_CST) > 0)
            (void)__atomic_sub_fetch(place, 1, __ATOMIC_SEQ_CST);
    }
}

/* Never less than the address has. */
static int64_t count_of(const struct limit_table *table, const struct places *places) {
    int64_t sums[2] = {0, 0};
    for (unsigned row = 0; row < limit_table_workers(table); row++) {
        for (int i = 0; i < 2; i++)
            sums[i] += __atomic_load_n(&table->rows[row].places[places->at[i]], __ATOMIC_SEQ_CST);
    }
    return sums[0] < sums[1] ? sums[0] : sums[1];
}

/* --- what workers do -----------------------------------------------------------------------------------------------
 */

bool limit_table_take(struct limit_table *table, unsigned worker, const void *address, size_t size, int64_t max_total,
                      int64_t max_per_address) {
    struct row *row = row_of(table, worker);
    struct places places = places_of(table, address, size);
    number_raise(&row->connections);
    raise_places(row, &places);
    bool is_over = (max_total > 0 && limit_table_connections(table) > max_total) ||
                   (max_per_address > 0 && count_of(table, &places) > max_per_address);
    if (is_over)
        limit_table_give_back(table, worker, address, size);
    return !is_over;
}

void limit_table_give_back(struct limit_table *table, unsigned worker, const void *address, size_t size) {
    struct row *row = row_of(table, worker);
    struct places places = places_of(table, address, size);
    number_lower(&row->connections);
    lower_places(row, &places);
}

bool limit_table_take_handshake(struct limit_table *table, unsigned worker, int64_t max_total) {
    struct row *row = row_of(table, worker);
    number_raise(&row->handshakes);
    if (max_total <= 0 || limit_table_handshakes(table) <= max_total)
        return true;
    number_lower(&row->handshakes);
    return false;
}

void limit_table_give_back_handshake(struct limit_table *table, unsigned worker) {
    number_lower(&row_of(table, worker)->handshakes);
}

void limit_table_clear_worker(struct limit_table *table, unsigned worker) {
    struct row *row = row_of(table, worker);
    __atomic_store_n(&row->connections, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&row->handshakes, 0, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < 2 * PLACES; i++) {
        if (__atomic_load_n(&row->places[i], __ATOMIC_RELAXED) != 0) /* a page never used stays so */
            __atomic_store_n(&row->places[i], 0, __ATOMIC_RELAXED);
    }
}
