/*
 * metrics: the families of METRICS with their series, and the Prometheus text made of them.
 *
 * A series is found by its label values, joined with NUL between them, in one map per family; once it exists, counting
 * allocates nothing. Used by the event loop's thread only.
 */
#include "base/metrics.h"

#include <stdarg.h>

#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

#define LABELS_MAX 4
#define KEY_MAX 1100 /* four of the longest host names */

/* Upper bounds of the buckets in seconds, as they are printed. */
static const struct {
    double bound;
    const char *text;
} buckets[] = {{0.0005, "0.0005"}, {0.001, "0.001"}, {0.0025, "0.0025"}, {0.005, "0.005"},
               {0.01, "0.01"},     {0.025, "0.025"}, {0.05, "0.05"},     {0.1, "0.1"},
               {0.25, "0.25"},     {0.5, "0.5"},     {1, "1"},           {2.5, "2.5"},
               {5, "5"},           {10, "10"},       {30, "30"},         {60, "60"}};
#define BUCKET_COUNT (sizeof buckets / sizeof buckets[0])

struct histogram {
    uint64_t counts[BUCKET_COUNT + 1]; /* each bucket by itself; the last one is beyond all bounds */
    double sum;
};

struct series {
    struct list node;
    char *key;
    char *labels; /* rendered: hostname="a",status="200" */
    int64_t value;
    struct histogram *histogram; /* NULL but for histograms */
};

static const struct {
    enum metric_kind kind;
    const char *name, *labels, *help;
} rows[METRIC_COUNT] = {
#define X(name, kind, text, labels, help) {METRIC_##kind, text, labels, help},
    METRICS(X)
#undef X
};

static struct family {
    struct map by_key;
    struct list series; /* in order of their first use; next is NULL before the first one */
    size_t label_count;
} families[METRIC_COUNT];

static struct family *family_get(enum metric metric) {
    INVARIANT(metric < METRIC_COUNT);
    struct family *family = &families[metric];
    if (!family->series.next) {
        list_init(&family->series);
        struct slice rest = slice_of(rows[metric].labels), name;
        for (; rest.len > 0; family->label_count++)
            rest = slice_cut(rest, ',', &name);
        INVARIANT(family->label_count <= LABELS_MAX);
    }
    return family;
}

static void render_labels(struct sbuf *out, enum metric metric, const char *const values[]) {
    struct slice rest = slice_of(rows[metric].labels), name;
    for (size_t i = 0; rest.len > 0; i++) {
        rest = slice_cut(rest, ',', &name);
        sbuf_printf(out, "%s" SLICE_FMT "=\"", i ? "," : "", SLICE_ARG(name));
        for (const char *c = values[i]; *c; c++) {
            if (*c == '\n')
                sbuf_append_str(out, "\\n");
            else if (*c == '"' || *c == '\\')
                sbuf_printf(out, "\\%c", *c);
            else
                sbuf_append_char(out, *c);
        }
        sbuf_append_char(out, '"');
    }
}

static struct series *series_new(enum metric metric, struct slice key, const char *const values[]) {
    struct family *family = family_get(metric);
    struct series *series = NEW(struct series);
    struct sbuf labels;
    sbuf_init(&labels, 2 * KEY_MAX);
    render_labels(&labels, metric, values);
    series->labels = mem_strdup(sbuf_text(&labels));
    sbuf_fini(&labels);
    series->key = mem_dup(key.ptr, key.len);
    if (rows[metric].kind == METRIC_HISTOGRAM)
        series->histogram = NEW(struct histogram);
    map_put(&family->by_key, slice_make(series->key, key.len), series);
    list_push_back(&family->series, &series->node);
    return series;
}

static void series_free(struct series *series) {
    list_remove(&series->node);
    mem_free(series->key);
    mem_free(series->labels);
    mem_free(series->histogram);
    mem_free(series);
}

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

/* The series of the label values in args; NULL if there is none and create is false. */
static struct series *series_find(enum metric metric, bool create, va_list args) {
    static const char *const others[LABELS_MAX] = {"other", "other", "other", "other"};
    struct family *family = family_get(metric);
    const char *values[LABELS_MAX];
    static char key[KEY_MAX]; /* not on the stack, where the compiler would zero it each time */
    size_t len;
    for (size_t i = 0; i < family->label_count; i++) {
        values[i] = va_arg(args, const char *);
        if (!values[i])
            values[i] = "";
    }
    bool fits = make_key(values, family->label_count, key, &len);
    struct series *series = fits ? map_get(&family->by_key, slice_make(key, len)) : NULL;
    if (series || !create)
        return series;
    if (fits && family->by_key.count < METRIC_SERIES_MAX - 1)
        return series_new(metric, slice_make(key, len), values);

    /* The last place is kept for "other". */
    fits = make_key(others, family->label_count, key, &len);
    INVARIANT(fits);
    series = map_get(&family->by_key, slice_make(key, len));
    return series ? series : series_new(metric, slice_make(key, len), others);
}

void metric_add(enum metric metric, int64_t n, ...) {
    va_list args;
    va_start(args, n);
    struct series *series = series_find(metric, true, args);
    va_end(args);
    INVARIANT(!series->histogram && (n >= 0 || rows[metric].kind == METRIC_GAUGE));
    series->value += n;
}

void metric_set(enum metric metric, int64_t value, ...) {
    va_list args;
    va_start(args, value);
    struct series *series = series_find(metric, true, args);
    va_end(args);
    INVARIANT(rows[metric].kind == METRIC_GAUGE);
    series->value = value;
}

void metric_observe(enum metric metric, double seconds, ...) {
    va_list args;
    va_start(args, seconds);
    struct series *series = series_find(metric, true, args);
    va_end(args);
    INVARIANT(series->histogram);
    size_t bucket = 0;
    while (bucket < BUCKET_COUNT && seconds > buckets[bucket].bound)
        bucket++;
    series->histogram->counts[bucket]++;
    series->histogram->sum += seconds;
    series->value++;
}

void metric_forget(enum metric metric) {
    struct family *family = family_get(metric);
    map_fini(&family->by_key);
    LIST_EACH (node, next, &family->series)
        series_free(LIST_ENTRY(node, struct series, node));
}

int64_t metric_value(enum metric metric, ...) {
    va_list args;
    va_start(args, metric);
    const struct series *series = series_find(metric, false, args);
    va_end(args);
    return series ? series->value : 0;
}

static void render_histogram(const char *name, const struct series *series, struct sbuf *out) {
    const struct histogram *histogram = series->histogram;
    const char *comma = series->labels[0] ? "," : "";
    uint64_t total = 0;
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        total += histogram->counts[i];
        sbuf_printf(out, "%s_bucket{%s%sle=\"%s\"} %llu\n", name, series->labels, comma, buckets[i].text,
                    (unsigned long long)total);
    }
    total += histogram->counts[BUCKET_COUNT];
    sbuf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, series->labels, comma, (unsigned long long)total);

    const char *open = series->labels[0] ? "{" : "", *close = series->labels[0] ? "}" : "";
    sbuf_printf(out, "%s_sum%s%s%s %.6f\n", name, open, series->labels, close, histogram->sum);
    sbuf_printf(out, "%s_count%s%s%s %llu\n", name, open, series->labels, close, (unsigned long long)total);
}

static void render_value(const char *name, const struct series *series, struct sbuf *out) {
    const char *open = series->labels[0] ? "{" : "", *close = series->labels[0] ? "}" : "";
    sbuf_printf(out, "%s%s%s%s %lld\n", name, open, series->labels, close, (long long)series->value);
}

void metrics_render(struct sbuf *out) {
    static const char *const kinds[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
    for (int i = 0; i < METRIC_COUNT; i++) {
        struct family *family = family_get((enum metric)i);
        sbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", rows[i].name, rows[i].help, rows[i].name, kinds[rows[i].kind]);
        LIST_EACH (node, next, &family->series) {
            const struct series *series = LIST_ENTRY(node, struct series, node);
            if (series->histogram)
                render_histogram(rows[i].name, series, out);
            else
                render_value(rows[i].name, series, out);
        }
    }
}
