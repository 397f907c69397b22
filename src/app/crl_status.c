/*
 * crl_status: how the sources of CRLs stand, for the operator: gauges, and the pages behind `sallyport crls` (a row for
 * each list in force, and one for each source that has none). Called when somebody asks (control_outside.c); changes
 * nothing.
 */
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/jsonw.h"
#include "base/metrics.h"
#include "crl_watch_priv.h"

#define NUMBER_SHOWN_MAX 20
#define COLUMNS 8

/* A source, or one list of it. */
struct row {
    struct crl_state source;
    struct crl_fetch_state fetch;
    bool is_url;
    const struct crl *crl; /* NULL: there is nothing in force */
    const char *state;
    const char *error; /* of the last look or fetch; "": none */
};

static struct row row_of(const struct crl_watch *watch, size_t index) {
    struct row row = {.fetch = {.error = ""}, .state = "missing", .error = ""};
    crl_files_state(watch->files, index, &row.source);
    row.is_url = crl_fetch_find(watch->fetch, row.source.bundle, row.source.path, &row.fetch);
    if (row.source.complaint)
        row.error = row.source.complaint;
    else if (*row.fetch.error)
        row.error = row.fetch.error;
    return row;
}

static const char *state_of(const struct crl *crl, time_t now) {
    if (crl_this_update(crl) > now)
        return "not_yet_valid";
    return crl_next_update(crl) != 0 && crl_next_update(crl) < now ? "expired" : "in_force";
}

static void each_row(const struct crl_watch *watch, void (*fn)(void *arg, const struct row *row), void *arg) {
    time_t now = clock_wall();
    for (size_t i = 0; watch->in_force && i < crl_files_count(watch->files); i++) {
        struct row row = row_of(watch, i);
        for (size_t j = 0; row.source.digest[0] && j < watch->in_force->crl_count; j++) {
            if (strcmp(watch->in_force->crls[j].digest, row.source.digest) != 0)
                continue;
            row.crl = watch->in_force->crls[j].crl;
            row.state = state_of(row.crl, now);
            fn(arg, &row);
        }
        if (!row.crl)
            fn(arg, &row);
    }
}

static bool has_number(const struct crl *crl) {
    return crl && crl_has_number(crl) && crl_number(crl).len <= NUMBER_SHOWN_MAX;
}

/* ---- gauges ---- */

void crl_watch_publish(const struct crl_watch *watch) {
    metric_forget(METRIC_CRL_SOURCE_UP);
    metric_forget(METRIC_CRL_LIFE_USED);
    metric_forget(METRIC_CRL_FETCH_SUCCESS);
    for (size_t i = 0; i < crl_files_count(watch->files); i++) {
        const struct row row = row_of(watch, i);
        const char *bundle = row.source.bundle, *source = row.source.path;
        metric_set(METRIC_CRL_SOURCE_UP, !*row.error && row.source.digest[0], bundle, source);
        if (row.is_url)
            metric_set(METRIC_CRL_FETCH_SUCCESS, (int64_t)row.fetch.checked_at, bundle, source);
        if (row.source.age >= metric_value(METRIC_CRL_LIFE_USED, bundle))
            metric_set(METRIC_CRL_LIFE_USED, row.source.age, bundle);
    }
}

/* ---- JSON ---- */

static void put_time(struct jsonw *json, const char *name, time_t time) {
    char text[CLOCK_TEXT_SIZE];
    jsonw_str(json, name, time != 0 ? clock_format(time, text) : NULL);
}

static void put_row(void *arg, const struct row *row) {
    struct jsonw *json = arg;
    const struct crl *crl = row->crl;
    char number[2 * NUMBER_SHOWN_MAX + 1];
    jsonw_open_object(json, NULL);
    jsonw_str(json, "ca_bundle", row->source.bundle);
    jsonw_str(json, "source", row->source.path);
    jsonw_str(json, "state", row->state);
    if (crl) {
        jsonw_str(json, "issuer", crl_issuer_text(crl));
        jsonw_str(json, "number", has_number(crl) ? hex_upper(crl_number(crl).ptr, crl_number(crl).len, number) : NULL);
        jsonw_bool(json, "delta", crl_is_delta(crl));
        put_time(json, "this_update", crl_this_update(crl));
        put_time(json, "next_update", crl_next_update(crl));
        jsonw_int(json, "entries", (int64_t)crl_count(crl));
    }
    if (row->is_url) {
        put_time(json, "fetched_at", row->fetch.fetched_at);
        put_time(json, "checked_at", row->fetch.checked_at);
        put_time(json, "next_fetch_at", row->fetch.next_at);
    }
    jsonw_str(json, "last_error", *row->error ? row->error : NULL);
    jsonw_close_object(json);
}

void crl_watch_render_json(const struct crl_watch *watch, struct sbuf *out) {
    struct jsonw json;
    jsonw_init(&json, out);
    jsonw_open_object(&json, NULL);
    jsonw_open_array(&json, "crls");
    each_row(watch, put_row, &json);
    jsonw_close_array(&json);
    jsonw_close_object(&json);
    sbuf_append_char(out, '\n');
}

/* ---- table ---- */

struct table {
    struct arena *arena;
    const char *(*cells)[COLUMNS];
    const char **errors;
    size_t count, cap;
    int widths[COLUMNS];
};

static void add_cells(struct table *table, const char *const cells[COLUMNS], const char *error) {
    if (table->count == table->cap) {
        size_t cap = table->cap ? 2 * table->cap : 64;
        const char *(*more)[COLUMNS] = arena_alloc(table->arena, cap * sizeof(*more));
        const char **errors = ARENA_ARRAY(table->arena, const char *, cap);
        if (table->count > 0) {
            memcpy(more, table->cells, table->count * sizeof(*more));
            memcpy(errors, table->errors, table->count * sizeof(*errors));
        }
        table->cells = more;
        table->errors = errors;
        table->cap = cap;
    }
    for (size_t i = 0; i < COLUMNS; i++) {
        int width = (int)strlen(cells[i]);
        table->cells[table->count][i] = cells[i];
        table->widths[i] = width > table->widths[i] ? width : table->widths[i];
    }
    table->errors[table->count++] = error;
}

/* For a terminal: names come from certificates, errors from servers. */
static const char *printable(struct table *table, const char *text) {
    struct sbuf clean;
    sbuf_init(&clean, 8 * strlen(text) + 1);
    sbuf_append_printable(&clean, slice_of(text));
    const char *kept = arena_str(table->arena, sbuf_slice(&clean));
    sbuf_fini(&clean);
    return kept;
}

static const char *time_cell(struct table *table, time_t time) {
    char text[CLOCK_TEXT_SIZE];
    return time != 0 ? arena_str(table->arena, slice_of(clock_format(time, text))) : "-";
}

static void add_row(void *arg, const struct row *row) {
    struct table *table = arg;
    const struct crl *crl = row->crl;
    char number[2 * NUMBER_SHOWN_MAX + 1];
    const char *const cells[COLUMNS] = {
        printable(table, row->source.bundle),
        crl ? printable(table, crl_issuer_text(crl)) : "-",
        has_number(crl) ? arena_str(table->arena, slice_of(hex_upper(crl_number(crl).ptr, crl_number(crl).len, number)))
                        : "-",
        crl ? time_cell(table, crl_this_update(crl)) : "-",
        crl ? time_cell(table, crl_next_update(crl)) : "-",
        crl ? arena_printf(table->arena, "%zu", crl_count(crl)) : "-",
        row->state,
        printable(table, row->source.path),
    };
    add_cells(table, cells, *row->error ? printable(table, row->error) : NULL);
}

void crl_watch_render_table(const struct crl_watch *watch, struct sbuf *out) {
    static const char *const heads[COLUMNS] = {"CA BUNDLE",   "ISSUER",  "NUMBER", "THIS UPDATE",
                                               "NEXT UPDATE", "ENTRIES", "STATE",  "SOURCE"};
    struct table table = {.arena = arena_new(16384)};
    add_cells(&table, heads, NULL);
    each_row(watch, add_row, &table);
    for (size_t i = 0; i < table.count; i++) {
        for (size_t j = 0; j + 1 < COLUMNS; j++)
            sbuf_printf(out, "%-*s  ", table.widths[j], table.cells[i][j]);
        sbuf_printf(out, "%s\n", table.cells[i][COLUMNS - 1]);
        if (table.errors[i])
            sbuf_printf(out, "    last error: %s\n", table.errors[i]);
    }
    if (table.count == 1)
        sbuf_append_str(out, "(no CRLs are configured)\n");
    arena_free(table.arena);
}
