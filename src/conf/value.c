/*
 * value: durations, sizes and numbers between text and integer, and the search for the word that was meant. Pure; used
 * by the binder, the checks and the writers.
 */
#include "value_priv.h"

#define WORD_MAX 64 /* longer words are not compared */

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit duration_units[] = {
    {"d", 24 * 3600 * 1000LL}, {"h", 3600 * 1000LL}, {"m", 60 * 1000LL}, {"s", 1000LL}, {"ms", 1LL}, {NULL, 0}};
static const struct unit size_units[] = {
    {"TiB", 1LL << 40}, {"GiB", 1LL << 30}, {"MiB", 1LL << 20}, {"KiB", 1LL << 10}, {NULL, 0}};

bool integer_parse(struct slice text, int64_t *value_out) {
    unsigned long long value;
    if (!slice_to_u64(text, &value))
        return false;
    *value_out = (int64_t)value;
    return true;
}

static const struct unit *unit_find(const struct unit *units, struct slice name) {
    for (const struct unit *unit = units; unit->name; unit++) {
        if (slice_eq_str(name, unit->name))
            return unit;
    }
    return NULL;
}

static size_t count_digits(struct slice text) {
    size_t n = 0;
    while (n < text.len && text.ptr[n] >= '0' && text.ptr[n] <= '9')
        n++;
    return n;
}

bool duration_parse(struct slice text, int64_t *ms_out) {
    if (slice_eq_str(text, "0")) {
        *ms_out = 0;
        return true;
    }
    int64_t total = 0;
    const struct unit *last = NULL;
    while (text.len > 0) {
        size_t digits = count_digits(text);
        struct slice rest = slice_after(text, digits);
        size_t letters = 0;
        while (letters < rest.len && (rest.ptr[letters] < '0' || rest.ptr[letters] > '9'))
            letters++;
        const struct unit *unit = unit_find(duration_units, slice_first(rest, letters));
        int64_t value, part;
        if (!unit || (last && unit <= last) || !integer_parse(slice_first(text, digits), &value) ||
            __builtin_mul_overflow(value, unit->factor, &part) || __builtin_add_overflow(total, part, &total))
            return false;
        last = unit;
        text = slice_after(rest, letters);
    }
    *ms_out = total;
    return last != NULL;
}

void duration_format(int64_t ms, struct sbuf *out) {
    if (ms == 0) {
        sbuf_append_char(out, '0');
        return;
    }
    /* Days read badly for what people set in hours. */
    const struct unit *unit = duration_units + (ms % (7 * duration_units[0].factor) == 0 ? 0 : 1);
    while (ms % unit->factor != 0)
        unit++;
    sbuf_append_u64(out, (unsigned long long)(ms / unit->factor));
    sbuf_append_str(out, unit->name);
}

bool size_parse(struct slice text, int64_t *bytes_out) {
    size_t digits = count_digits(text);
    int64_t value;
    if (!integer_parse(slice_first(text, digits), &value))
        return false;
    struct slice name = slice_after(text, digits);
    const struct unit *unit = unit_find(size_units, name);
    if (!unit && name.len > 0)
        return false;
    return !__builtin_mul_overflow(value, unit ? unit->factor : 1, bytes_out);
}

void size_format(int64_t bytes, struct sbuf *out) {
    const struct unit *unit = size_units;
    while (unit->name && (bytes == 0 || bytes % unit->factor != 0))
        unit++;
    sbuf_append_u64(out, (unsigned long long)(unit->name ? bytes / unit->factor : bytes));
    sbuf_append_str(out, unit->name ? unit->name : "");
}

/* Edit distance in which a swap of neighbours counts as one (optimal string alignment). Both at most WORD_MAX bytes. */
static size_t edit_distance(struct slice a, struct slice b) {
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b.len; j++)
        above[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            char ca = ascii_lower(a.ptr[i - 1]), cb = ascii_lower(b.ptr[j - 1]);
            size_t best = above[j - 1] + (ca != cb);
            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && ca == ascii_lower(b.ptr[j - 2]) && ascii_lower(a.ptr[i - 2]) == cb &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[b.len];
}

void nearest_init(struct nearest *nearest, struct slice unknown) {
    *nearest = (struct nearest){.unknown = unknown, .best = SLICE_NONE, .distance = 1 + unknown.len / 3};
}

void nearest_offer(struct nearest *nearest, struct slice word) {
    if (word.len > WORD_MAX || nearest->unknown.len > WORD_MAX || word.len == 0 || nearest->unknown.len == 0)
        return;
    size_t distance = edit_distance(nearest->unknown, word);
    /* Of two equally near ones the first stays; the first guess may be as far as the bound allows. */
    bool is_nearer = nearest->best.ptr ? distance < nearest->distance : distance <= nearest->distance;
    if (is_nearer && distance < word.len) {
        nearest->best = word;
        nearest->distance = distance;
    }
}

void nearest_append(const struct nearest *nearest, struct sbuf *out) {
    if (nearest->best.ptr)
        sbuf_printf(out, "; did you mean '" SLICE_FMT "'?", SLICE_ARG(nearest->best));
}
