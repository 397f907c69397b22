/*
 * index: which of many predicates may be true for a certificate, without asking each. Made by compile for the policies
 * of an application and for long include and exclude lists; asked by eval when there is no trace.
 *
 * A predicate has keys (a kind and a text of the certificate) when it can be true only for a certificate that says one
 * of them: an exact rule has its values, an ANY the keys of all its items, an ALL those of its narrowest item. Keys are
 * sorted, so the next candidate for a certificate is a binary search for each of its texts. What has no keys, or too
 * many, is always a candidate.
 *
 * A candidate is evaluated as if there were no index; what is passed over is false. So that the reason of a denial
 * stays the same too, only predicates that ask for the certificate whatever the facts are have keys.
 */
#include "predicate_priv.h"

#include <stdlib.h>

#define ITEMS_MIN 8   /* fewer are asked one by one */
#define KEYS_MAX 1024 /* of one predicate */
#define KEYS_EACH 64  /* of all, times their number: bounds the memory */

struct key {
    enum conf_rule_kind kind;
    struct slice text;
    size_t place;
};

struct predicate_index {
    struct key *keys; /* sorted */
    size_t key_count;
    uint64_t kinds; /* that occur, bits */
    size_t *others; /* the places without keys, ascending */
    size_t other_count;
    size_t count;
};

/* ---- keys of a predicate ---- */

static bool is_always_true(const struct predicate *predicate) {
    if (predicate->op == PREDICATE_ANY)
        return predicate->count > 0 && is_always_true(predicate->items[0]);
    return predicate->op == PREDICATE_EVERYONE;
}

bool predicate_always_asks(const struct predicate *predicate) {
    if (predicate->op >= PREDICATE_CERTIFICATE)
        return true;
    if (predicate->op > PREDICATE_NOT)
        return false;
    for (size_t i = 0; i < predicate->count; i++) {
        if (predicate_always_asks(predicate->items[i]))
            return true;
        if (predicate->op != PREDICATE_ALL || !is_always_true(predicate->items[i]))
            return false; /* may settle the matter before anybody asks */
    }
    return false;
}

static const struct predicate *narrowest(const struct predicate *all, size_t *count_out);

/* 0: none, or too many. */
static size_t count_keys(const struct predicate *predicate) {
    size_t sum = 0;
    switch (predicate->op) {
    case PREDICATE_TEXT:
        sum = predicate->form == TEXT_ONE_OF ? predicate->wanted.count : 0;
        break;
    case PREDICATE_ALL:
        (void)narrowest(predicate, &sum);
        break;
    case PREDICATE_ANY:
        for (size_t i = 0; i < predicate->count; i++) {
            size_t count = count_keys(predicate->items[i]);
            if (count == 0 || sum > KEYS_MAX)
                return 0;
            sum += count;
        }
        break;
    default:
        break;
    }
    return sum <= KEYS_MAX ? sum : 0;
}

static const struct predicate *narrowest(const struct predicate *all, size_t *count_out) {
    const struct predicate *found = NULL;
    *count_out = 0;
    for (size_t i = 0; i < all->count; i++) {
        size_t count = count_keys(all->items[i]);
        if (count == 0 || (found && count >= *count_out))
            continue;
        found = all->items[i];
        *count_out = count;
    }
    return found;
}

static void add_keys(struct predicate_index *index, const struct predicate *predicate, size_t place) {
    size_t count;
    if (predicate->op == PREDICATE_ALL) {
        add_keys(index, narrowest(predicate, &count), place);
    } else if (predicate->op == PREDICATE_ANY) {
        for (size_t i = 0; i < predicate->count; i++)
            add_keys(index, predicate->items[i], place);
    } else {
        for (size_t i = 0; i < predicate->wanted.count; i++)
            index->keys[index->key_count++] = (struct key){predicate->kind, predicate->wanted.items[i], place};
        index->kinds |= UINT64_C(1) << predicate->kind;
    }
}

/* ---- the index ---- */

static int compare_keys(const struct key *a, const struct key *b) {
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    int order = slice_compare(a->text, b->text);
    if (order == 0)
        order = a->place < b->place ? -1 : a->place > b->place;
    return order;
}

static int compare_for_sort(const void *a, const void *b) { return compare_keys(a, b); }

static size_t keys_of_item(const struct predicate *item) { return predicate_always_asks(item) ? count_keys(item) : 0; }

struct predicate_index *predicate_index_new(const struct predicate *const *items, size_t count, struct arena *arena) {
    size_t sum = 0;
    if (count < ITEMS_MIN)
        return NULL;
    for (size_t i = 0; i < count; i++)
        sum += keys_of_item(items[i]);
    if (sum == 0 || sum / KEYS_EACH > count)
        return NULL;
    struct predicate_index *index = ARENA_NEW(arena, struct predicate_index);
    index->count = count;
    index->keys = ARENA_ARRAY(arena, struct key, sum);
    index->others = ARENA_ARRAY(arena, size_t, count);
    for (size_t i = 0; i < count; i++) {
        if (keys_of_item(items[i]))
            add_keys(index, items[i], i);
        else
            index->others[index->other_count++] = i;
    }
    qsort(index->keys, index->key_count, sizeof *index->keys, compare_for_sort);
    return index;
}

/* ---- asking ---- */

/* The first place from `from` on that has this key; count when there is none. */
static size_t next_of_key(const struct predicate_index *index, const struct key *wanted) {
    size_t low = 0, high = index->key_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_keys(&index->keys[middle], wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == index->key_count || index->keys[low].kind != wanted->kind ||
        !slice_eq(index->keys[low].text, wanted->text))
        return index->count;
    return index->keys[low].place;
}

static size_t next_of_certificate(const struct predicate_index *index, const struct identity *identity, size_t from) {
    size_t best = index->count;
    for (uint64_t kinds = index->kinds; kinds; kinds &= kinds - 1) {
        enum conf_rule_kind kind = (enum conf_rule_kind)__builtin_ctzll(kinds);
        struct slice single;
        struct texts texts = identity_texts(identity, kind, &single);
        for (size_t i = 0; i < texts.count; i++) {
            size_t place = next_of_key(index, &(struct key){kind, texts.items[i], from});
            best = place < best ? place : best;
        }
    }
    return best;
}

static size_t next_of_others(const struct predicate_index *index, size_t from) {
    size_t low = 0, high = index->other_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->others[middle] < from)
            low = middle + 1;
        else
            high = middle;
    }
    return low < index->other_count ? index->others[low] : index->count;
}

size_t predicate_index_next(const struct predicate_index *index, const struct facts *facts, size_t from) {
    size_t other = next_of_others(index, from);
    if (!facts_are_verified(facts))
        return other;
    size_t keyed = next_of_certificate(index, facts->identity, from);
    return keyed < other ? keyed : other;
}
