/*
 * metrics: the families of METRICS with their series, and the Prometheus text made of them.
 *
 * A series is a record: family, label values joined with NUL after each, numbers. It is found by the label values in
 * one map per family; once it exists, counting allocates nothing. A process that has a region keeps its records there,
 * appended one after the other, so that another process can read them:
 *
 *   region:  layout | used | record record record ...      `used` is stored (release) when a record is complete
 *
 * Numbers are stored whole, by their one writer; readers take them as they are at that moment. Reading believes nothing
 * but what it has copied and checked. Used by the event loop's thread only.
 */
#include "base/metrics.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"

#define LABELS_MAX 4
#define KEY_MAX 1100 /* four of the longest host names */
/* Room for 150,000 series and more. What is not used costs address space only. */
#define REGION_SIZE (32 * 1024 * 1024)
/* Kept for each family's series "other". */
#define REGION_RESERVE (METRIC_COUNT * (sizeof(struct record) + 8 * VALUES_MAX + 32))

/* Upper bounds of the buckets in seconds, as they are printed. */
static const struct {
    double bound;
    const char *text;
} buckets[] = {{0.0005, "0.0005"}, {0.001, "0.001"}, {0.0025, "0.0025"}, {0.005, "0.005"},
               {0.01, "0.01"},     {0.025, "0.025"}, {0.05, "0.05"},     {0.1, "0.1"},
               {0.25, "0.25"},     {0.5, "0.5"},     {1, "1"},           {2.5, "2.5"},
               {5, "5"},           {10, "10"},       {30, "30"},         {60, "60"}};
#define BUCKET_COUNT (sizeof buckets / sizeof buckets[0])

/* A histogram's numbers: each bucket by itself, what is beyond all bounds, the sum (a double). */
#define VALUES_MAX (BUCKET_COUNT + 2)
#define BEYOND BUCKET_COUNT
#define SUM (BUCKET_COUNT + 1)

struct record {
    uint32_t size; /* of all of it, a multiple of 8 */
    uint16_t metric;
    uint16_t key_len;
    uint64_t is_gone;  /* forgotten */
    uint64_t values[]; /* then the key */
};

struct region {
    uint64_t layout; /* LAYOUT, from the first record on */
    uint64_t used;   /* bytes of records */
    unsigned char records[REGION_SIZE - 16];
};

/* A program that counts differently reads nothing wrong. */
#define LAYOUT ((uint64_t)0x73700001 << 32 | METRIC_COUNT << 16 | VALUES_MAX)

static const struct {
    enum metric_kind kind;
    const char *name, *labels, *help;
} rows[METRIC_COUNT] = {
#define X(name, kind, text, labels, help) {METRIC_##kind, text, labels, help},
    METRICS(X)
#undef X
};

struct family {
    struct map by_key;
    struct record **records; /* in order of their first use */
    size_t count, cap;
    struct record *recent[2]; /* the last two that were looked up: what comes next is often one of them */
};

struct registry {
    struct family families[METRIC_COUNT];
    struct region *region; /* where records are, or NULL: on the heap */
};

static struct registry own;

/* --- rows and keys ----------------------------------------------------------------------------------------------- */

static size_t label_count(enum metric metric) {
    static unsigned char counts[METRIC_COUNT]; /* plus one; 0: not counted yet */
    INVARIANT(metric < METRIC_COUNT);
    if (counts[metric] == 0) {
        struct slice rest = slice_of(rows[metric].labels), name;
        for (counts[metric] = 1; rest.len > 0; counts[metric]++)
            rest = slice_cut(rest, ',', &name);
        INVARIANT(counts[metric] <= LABELS_MAX + 1);
    }
    return (size_t)counts[metric] - 1;
}

static size_t value_count(enum metric metric) { return rows[metric].kind == METRIC_HISTOGRAM ? VALUES_MAX : 1; }

/* The values with NUL after each; false if they are too long. */
static bool make_key(const char *const values[], size_t count, char key[KEY_MAX], size_t *len_out) {
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(values[i]) + 1;
        if (size > KEY_MAX - len)
            return false;
        memcpy(key + len, values[i], size);
        len += size;
    }
    *len_out = len;
    return true;
}

static struct slice record_key(const struct record *record) {
    return slice_make(record->values + value_count((enum metric)record->metric), record->key_len);
}

/* --- numbers: one writer, any readers ----------------------------------------------------------------------------- */

static uint64_t load(const uint64_t *value) { return __atomic_load_n(value, __ATOMIC_RELAXED); }
static void store(uint64_t *value, uint64_t n) { __atomic_store_n(value, n, __ATOMIC_RELAXED); }
static void add(uint64_t *value, uint64_t n) { store(value, *value + n); }

static double to_double(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t from_double(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* --- records ------------------------------------------------------------------------------------------------------ */

/* NULL: the region is full, but for what is kept for "other". */
static struct record *record_place(struct registry *registry, size_t size, bool is_other) {
    struct region *region = registry->region;
    if (!region)
        return mem_new(size);
    size_t room = sizeof region->records - region->used;
    if (room < size + (is_other ? 0 : REGION_RESERVE))
        return NULL;
    return (struct record *)(void *)(region->records + region->used);
}

static struct record *record_new(struct registry *registry, enum metric metric, struct slice key, bool is_other) {
    struct family *family = &registry->families[metric];
    size_t values_size = sizeof(uint64_t) * value_count(metric);
    size_t size = (sizeof(struct record) + values_size + key.len + 7) & ~(size_t)7;
    struct record *record = record_place(registry, size, is_other);
    if (!record)
        return NULL;
    record->size = (uint32_t)size;
    record->metric = (uint16_t)metric;
    record->key_len = (uint16_t)key.len;
    memcpy((char *)record->values + values_size, key.ptr, key.len);
    if (registry->region)
        __atomic_store_n(&registry->region->used, registry->region->used + size, __ATOMIC_RELEASE);

    if (family->count == family->cap) {
        family->cap = family->cap ? 2 * family->cap : 4;
        family->records = mem_resize(family->records, family->cap * sizeof *family->records);
    }
    family->records[family->count++] = record;
    map_put(&family->by_key, record_key(record), record);
    return record;
}

static void family_clear(struct family *family, bool is_on_heap) {
    for (size_t i = 0; i < family->count; i++) {
        if (is_on_heap)
            mem_free(family->records[i]);
        else
            store(&family->records[i]->is_gone, 1);
    }
    if (!is_on_heap)
        return; /* what is in a region stays there, to be used again under the same labels */
    mem_free(family->records);
    map_fini(&family->by_key);
    *family = (struct family){0};
}

/* A forgotten one that is used again. */
static struct record *record_revive(struct record *record) {
    for (size_t i = 0; i < value_count((enum metric)record->metric); i++)
        store(&record->values[i], 0);
    store(&record->is_gone, 0);
    return record;
}

static struct record *find_recent(const struct family *family, struct slice key) {
    for (size_t i = 0; i < 2; i++) {
        if (family->recent[i] && slice_eq(record_key(family->recent[i]), key))
            return family->recent[i];
    }
    return NULL;
}

/* In the map; remembered. */
static struct record *find_record(struct family *family, struct slice key) {
    struct record *record = find_recent(family, key);
    if (record)
        return record;
    record = map_get(&family->by_key, key);
    if (record) {
        family->recent[1] = family->recent[0];
        family->recent[0] = record;
    }
    return record;
}

/* The record of these label values, made if there is none; "other" when there are too many. key NULL: too long. */
static struct record *record_get(struct registry *registry, enum metric metric, struct slice key) {
    static const char *const others[LABELS_MAX] = {"other", "other", "other", "other"};
    struct family *family = &registry->families[metric];
    struct record *record = key.ptr ? find_record(family, key) : NULL;
    if (!record && key.ptr && family->by_key.count < METRIC_SERIES_MAX - 1)
        record = record_new(registry, metric, key, false);
    if (!record) {
        char other_key[KEY_MAX];
        size_t len;
        INVARIANT(make_key(others, label_count(metric), other_key, &len));
        struct slice other = slice_make(other_key, len);
        record = map_get(&family->by_key, other);
        if (!record)
            record = record_new(registry, metric, other, true);
        INVARIANT(record);
    }
    return record->is_gone ? record_revive(record) : record;
}

/* --- counting ----------------------------------------------------------------------------------------------------- */

/* The key of the label values in args, in a buffer of its own; ptr NULL: too long. */
static struct slice key_from(enum metric metric, va_list args) {
    static char key[KEY_MAX]; /* not on the stack, where the compiler would zero it each time */
    const char *values[LABELS_MAX];
    size_t count = label_count(metric), len;
    for (size_t i = 0; i < count; i++) {
        values[i] = va_arg(args, const char *);
        if (!values[i])
            values[i] = "";
    }
    return make_key(values, count, key, &len) ? slice_make(key, len) : SLICE_NONE;
}

void metric_add(enum metric metric, int64_t n, ...) {
    va_list args;
    va_start(args, n);
    struct record *record = record_get(&own, metric, key_from(metric, args));
    va_end(args);
    INVARIANT(rows[metric].kind != METRIC_HISTOGRAM && (n >= 0 || rows[metric].kind == METRIC_GAUGE));
    add(&record->values[0], (uint64_t)n);
}

void metric_set(enum metric metric, int64_t value, ...) {
    va_list args;
    va_start(args, value);
    struct record *record = record_get(&own, metric, key_from(metric, args));
    va_end(args);
    INVARIANT(rows[metric].kind == METRIC_GAUGE);
    store(&record->values[0], (uint64_t)value);
}

void metric_observe(enum metric metric, double seconds, ...) {
    va_list args;
    va_start(args, seconds);
    struct record *record = record_get(&own, metric, key_from(metric, args));
    va_end(args);
    INVARIANT(rows[metric].kind == METRIC_HISTOGRAM);
    size_t bucket = 0;
    while (bucket < BUCKET_COUNT && seconds > buckets[bucket].bound)
        bucket++;
    add(&record->values[bucket], 1);
    store(&record->values[SUM], from_double(to_double(record->values[SUM]) + seconds));
}

void metric_forget(enum metric metric) {
    INVARIANT(metric < METRIC_COUNT);
    family_clear(&own.families[metric], !own.region);
}

static uint64_t histogram_count(const uint64_t *values) {
    uint64_t total = 0;
    for (size_t i = 0; i <= BEYOND; i++)
        total += values[i];
    return total;
}

int64_t metric_value(enum metric metric, ...) {
    va_list args;
    va_start(args, metric);
    struct slice key = key_from(metric, args);
    va_end(args);
    const struct record *record = key.ptr ? map_get(&own.families[metric].by_key, key) : NULL;
    if (!record || record->is_gone)
        return 0;
    bool is_histogram = rows[metric].kind == METRIC_HISTOGRAM;
    return (int64_t)(is_histogram ? histogram_count(record->values) : record->values[0]);
}

/* --- regions ------------------------------------------------------------------------------------------------------ */

size_t metrics_region_size(void) { return sizeof(struct region); }

void metrics_use_region(void *memory) {
    struct region *region = memory;
    for (int i = 0; i < METRIC_COUNT; i++)
        INVARIANT(own.families[i].count == 0);
    INVARIANT(!own.region && region->used == 0);
    region->layout = LAYOUT;
    own.region = region;
}

/* A series as it was read. */
struct reading {
    enum metric metric;
    bool is_gone;
    uint64_t values[VALUES_MAX];
    size_t key_len;
    char key[KEY_MAX];
};

/* What a writer of ours never writes is not believed: less than nothing, no number. */
static void read_values(const struct record *record, struct reading *reading) {
    size_t count = value_count(reading->metric);
    for (size_t i = 0; i < count; i++)
        reading->values[i] = load(&record->values[i]);
    switch (rows[reading->metric].kind) {
    case METRIC_COUNTER:
        if (reading->values[0] > INT64_MAX)
            reading->values[0] = 0;
        break;
    case METRIC_HISTOGRAM:
        if (!isfinite(to_double(reading->values[SUM])) || to_double(reading->values[SUM]) < 0)
            reading->values[SUM] = 0;
        break;
    case METRIC_GAUGE:
        break;
    }
}

/* Every label value has its NUL, and there are as many as there should be. */
static bool is_key(enum metric metric, const char *key, size_t len) {
    size_t count = 0;
    for (size_t i = 0; i < len; i++)
        count += key[i] == '\0';
    return count == label_count(metric) && (len == 0 ? count == 0 : key[len - 1] == '\0');
}

/* The next record of a region whose first `used` bytes are to be read; false: no more, or nothing that makes sense. */
static bool region_next(const struct region *region, size_t used, size_t *at, struct reading *reading) {
    if (used - *at < sizeof(struct record))
        return false;
    const struct record *record = (const struct record *)(const void *)(region->records + *at);
    size_t size = __atomic_load_n(&record->size, __ATOMIC_RELAXED);
    size_t metric = __atomic_load_n(&record->metric, __ATOMIC_RELAXED);
    reading->key_len = __atomic_load_n(&record->key_len, __ATOMIC_RELAXED);
    if (size > used - *at || size % 8 != 0 || metric >= METRIC_COUNT || reading->key_len > KEY_MAX)
        return false;
    reading->metric = (enum metric)metric;
    size_t values_size = sizeof(uint64_t) * value_count(reading->metric);
    if (size < sizeof(struct record) + values_size + reading->key_len)
        return false;
    memcpy(reading->key, (const char *)record->values + values_size, reading->key_len);
    read_values(record, reading);
    reading->is_gone = load(&record->is_gone) != 0;
    *at += size;
    return is_key(reading->metric, reading->key, reading->key_len);
}

static void add_numbers(struct record *record, const uint64_t *values) {
    size_t count = value_count((enum metric)record->metric);
    for (size_t i = 0; i < count; i++) {
        if (count == VALUES_MAX && i == SUM)
            store(&record->values[i], from_double(to_double(record->values[i]) + to_double(values[i])));
        else
            add(&record->values[i], values[i]);
    }
}

static void registry_add_region(struct registry *to, const struct region *region, bool with_gauges) {
    struct reading reading;
    size_t at = 0, used = __atomic_load_n(&region->used, __ATOMIC_ACQUIRE);
    if (load(&region->layout) != LAYOUT)
        return;
    if (used > sizeof region->records)
        used = sizeof region->records;
    while (region_next(region, used, &at, &reading)) {
        bool is_gauge = rows[reading.metric].kind == METRIC_GAUGE;
        if (reading.is_gone || (is_gauge && !with_gauges))
            continue;
        struct slice key = slice_make(reading.key, reading.key_len);
        add_numbers(record_get(to, reading.metric, key), reading.values);
    }
}

void metrics_absorb(const void *region) { registry_add_region(&own, region, false); }

/* --- text --------------------------------------------------------------------------------------------------------- */

static void render_label_value(struct sbuf *out, struct slice value) {
    while (value.len > 0) {
        size_t len = utf8_length(value);
        char c = value.ptr[0];
        if (c == '\n')
            sbuf_append_str(out, "\\n");
        else if (c == '"' || c == '\\')
            sbuf_printf(out, "\\%c", c);
        else if (len == 0)
            sbuf_append_char(out, '?');
        else
            sbuf_append(out, slice_first(value, len));
        value = slice_after(value, len ? len : 1);
    }
}

/* hostname="a",status="200" */
static void render_labels(struct sbuf *out, const struct record *record) {
    struct slice names = slice_of(rows[record->metric].labels), values = record_key(record), name, value;
    for (size_t i = 0; names.len > 0; i++) {
        names = slice_cut(names, ',', &name);
        values = slice_cut(values, '\0', &value);
        sbuf_printf(out, "%s" SLICE_FMT "=\"", i ? "," : "", SLICE_ARG(name));
        render_label_value(out, value);
        sbuf_append_char(out, '"');
    }
}

static void render_histogram(const char *name, const char *labels, const uint64_t *values, struct sbuf *out) {
    const char *comma = labels[0] ? "," : "";
    uint64_t total = 0;
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        total += values[i];
        sbuf_printf(out, "%s_bucket{%s%sle=\"%s\"} %llu\n", name, labels, comma, buckets[i].text,
                    (unsigned long long)total);
    }
    total += values[BEYOND];
    sbuf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, labels, comma, (unsigned long long)total);

    const char *open = labels[0] ? "{" : "", *close = labels[0] ? "}" : "";
    sbuf_printf(out, "%s_sum%s%s%s %.6f\n", name, open, labels, close, to_double(values[SUM]));
    sbuf_printf(out, "%s_count%s%s%s %llu\n", name, open, labels, close, (unsigned long long)total);
}

static void render_record(const char *name, const struct record *record, struct sbuf *scratch, struct sbuf *out) {
    sbuf_clear(scratch);
    render_labels(scratch, record);
    const char *labels = sbuf_text(scratch);
    if (rows[record->metric].kind == METRIC_HISTOGRAM) {
        render_histogram(name, labels, record->values, out);
        return;
    }
    const char *open = labels[0] ? "{" : "", *close = labels[0] ? "}" : "";
    sbuf_printf(out, "%s%s%s%s %lld\n", name, open, labels, close, (long long)record->values[0]);
}

static void render(const struct registry *registry, struct sbuf *out) {
    static const char *const kinds[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
    struct sbuf labels;
    sbuf_init(&labels, 3 * KEY_MAX);
    for (int i = 0; i < METRIC_COUNT; i++) {
        const struct family *family = &registry->families[i];
        sbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", rows[i].name, rows[i].help, rows[i].name, kinds[rows[i].kind]);
        for (size_t j = 0; j < family->count; j++) {
            if (!family->records[j]->is_gone)
                render_record(rows[i].name, family->records[j], &labels, out);
        }
    }
    sbuf_fini(&labels);
}

void metrics_render(struct sbuf *out) { render(&own, out); }

void metrics_render_all(const void *const *regions, size_t count, struct sbuf *out) {
    struct registry *sums = NEW(struct registry);
    for (int i = 0; i < METRIC_COUNT; i++) {
        for (size_t j = 0; j < own.families[i].count; j++) {
            const struct record *record = own.families[i].records[j];
            if (!record->is_gone)
                add_numbers(record_get(sums, (enum metric)i, record_key(record)), record->values);
        }
    }
    for (size_t i = 0; i < count; i++)
        registry_add_region(sums, regions[i], true);
    render(sums, out);
    for (int i = 0; i < METRIC_COUNT; i++)
        family_clear(&sums->families[i], true);
    mem_free(sums);
}
