/*
 * flood: see the header. A small table of the kinds there are (a dozen in practice); its second begins with a kind's
 * first line and ends by one timer for all.
 */
#include "proxy/flood.h"

#include <string.h>

#include "base/mem.h"

#define KINDS_MAX 64
#define SECOND_MS 1000

struct tally {
    struct flood_kind kind;
    unsigned lines;
    uint64_t left_out;
};

struct flood {
    struct loop_timer *timer; /* set while a tally is not zero */
    struct tally tallies[KINDS_MAX];
    size_t count;
    void (*left_out)(void *arg, const struct flood_kind *kind, uint64_t count);
    void *arg;
};

static void end_second(void *arg) {
    struct flood *flood = arg;
    for (size_t i = 0; i < flood->count; i++) {
        struct tally *tally = &flood->tallies[i];
        if (tally->left_out > 0) {
            flood->left_out(flood->arg, &tally->kind, tally->left_out);
        }
        tally->lines = 0;
        tally->left_out = 0;
    }
}

struct flood *flood_new(struct loop *loop, void (*left_out)(void *arg, const struct flood_kind *kind, uint64_t count),
                        void *arg) {
    struct flood *flood = NEW(struct flood);
    flood->timer = loop_timer_new(loop, end_second, flood);
    flood->left_out = left_out;
    flood->arg = arg;
    return flood;
}

static bool is_kind(const struct flood_kind *a, const struct flood_kind *b) {
    bool is_detail = a->detail == b->detail || (a->detail && b->detail && strcmp(a->detail, b->detail) == 0);
    return a->reason == b->reason && is_detail && strcmp(a->event, b->event) == 0;
}

/* NULL: more kinds than there should be. */
static struct tally *tally_of(struct flood *flood, const struct flood_kind *kind) {
    for (size_t i = 0; i < flood->count; i++) {
        if (is_kind(&flood->tallies[i].kind, kind)) {
            return &flood->tallies[i];
        }
    }
    if (flood->count == KINDS_MAX) {
        return NULL;
    }
    flood->tallies[flood->count].kind = *kind;
    return &flood->tallies[flood->count++];
}

bool flood_admits(struct flood *flood, const struct flood_kind *kind) {
    struct tally *tally = tally_of(flood, kind);
    if (!tally) {
        return true;
    }
    if (!loop_timer_is_set(flood->timer)) {
        loop_timer_set(flood->timer, SECOND_MS);
    }
    if (tally->lines < FLOOD_LINES) {
        tally->lines++;
        return true;
    }
    tally->left_out++;
    return false;
}

void flood_free(struct flood **flood_ptr) {
    struct flood *flood = *flood_ptr;
    *flood_ptr = NULL;
    if (flood) {
        end_second(flood);
        loop_timer_free(&flood->timer);
        mem_free(flood);
    }
}
