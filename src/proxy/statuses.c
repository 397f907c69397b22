/*
 * statuses: see the header. The step "status" asks for each request whose certificate a bundle wants known; nearly
 * always the answer is here. Bounded: the one used longest ago goes first.
 *
 *   EMPTY --asked--> EMPTY, asking --answer--> KNOWN --its time is over: EMPTY
 *                        `--no answer: those who wait hear of it, the next one asks again
 */
#include "proxy/statuses.h"

#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

#define KEPT_MAX 8192
#define ASK_MS 15000 /* an answer that comes too late for who waits is good for the next */
#define KEY_SIZE (2 * SHA256_SIZE)
#define FIELD_MAX ((size_t)3) /* bytes of a length in a question */

struct kept {
    struct list node; /* statuses->kept, the one used last in front */
    struct statuses *statuses;
    char key[KEY_SIZE]; /* leaf and trust */
    bool is_known;
    struct status_answer answer;
    struct ask ask;
    struct list waiting; /* struct wait */
};

struct statuses {
    struct loop *loop;
    struct asker *asker;
    struct map by_key;
    struct list kept;
};

/* ---- question and answer as bytes ---- */

static void put_field(struct sbuf *out, struct slice field) {
    const unsigned char size[FIELD_MAX] = {(unsigned char)(field.len >> 16), (unsigned char)(field.len >> 8),
                                           (unsigned char)field.len};
    sbuf_append(out, slice_make(size, sizeof size));
    sbuf_append(out, field);
}

static bool take_field(struct slice *rest, struct slice *field_out) {
    if (rest->len < FIELD_MAX)
        return false;
    const unsigned char *size = (const unsigned char *)rest->ptr;
    size_t len = (size_t)size[0] << 16 | (size_t)size[1] << 8 | size[2];
    *rest = slice_after(*rest, FIELD_MAX);
    if (len == 0 || len > rest->len)
        return false;
    *field_out = slice_first(*rest, len);
    *rest = slice_after(*rest, len);
    return true;
}

bool status_question_write(const struct peer *peer, struct slice hostname, struct sbuf *out) {
    put_field(out, hostname);
    put_field(out, cert_der(peer->leaf));
    for (size_t i = 0; i < peer->sent.count && i < 16; i++)
        put_field(out, cert_der(peer->sent.items[i]));
    return !out->overflow;
}

bool status_question_read(struct slice text, struct status_question *question_out) {
    *question_out = (struct status_question){.count = 0};
    if (!take_field(&text, &question_out->hostname))
        return false;
    while (text.len > 0 && question_out->count < sizeof question_out->ders / sizeof question_out->ders[0]) {
        if (!take_field(&text, &question_out->ders[question_out->count++]))
            return false;
    }
    return text.len == 0 && question_out->count > 0;
}

/* "g 1700000000 0 -1 0 detail" */
void status_answer_write(const struct status_answer *answer, struct sbuf *out) {
    const char letter = answer->result == STATUS_GOOD      ? 'g'
                        : answer->result == STATUS_REVOKED ? 'r'
                        : answer->is_unknown               ? 'x'
                                                           : 'u';
    sbuf_printf(out, "%c %lld %lld %d %d %s", letter, (long long)answer->until, (long long)answer->revoked_at,
                answer->revocation_reason + 1, answer->depth, answer->detail);
}

static bool take_number(struct slice *rest, unsigned long long *number_out) {
    struct slice word;
    *rest = slice_cut(*rest, ' ', &word);
    return slice_to_u64(word, number_out);
}

bool status_answer_read(struct slice text, struct status_answer *answer_out) {
    struct slice letter;
    unsigned long long until, revoked_at, reason, depth;
    text = slice_cut(text, ' ', &letter);
    if (letter.len != 1 || !strchr("grxu", letter.ptr[0]) || !take_number(&text, &until) ||
        !take_number(&text, &revoked_at) || !take_number(&text, &reason) || !take_number(&text, &depth) ||
        reason > 11 || depth > 100)
        return false;
    *answer_out = (struct status_answer){.result = letter.ptr[0] == 'g'   ? STATUS_GOOD
                                                   : letter.ptr[0] == 'r' ? STATUS_REVOKED
                                                                          : STATUS_UNAVAILABLE,
                                         .until = (time_t)until,
                                         .revoked_at = (time_t)revoked_at,
                                         .revocation_reason = (int)reason - 1,
                                         .depth = (int)depth,
                                         .is_unknown = letter.ptr[0] == 'x'};
    if (text.ptr)
        (void)snprintf(answer_out->detail, sizeof answer_out->detail, SLICE_FMT, SLICE_ARG(slice_first(text, 255)));
    return true;
}

/* ---- what is kept ---- */

static void kept_free(struct kept *kept) {
    ask_cancel(&kept->ask);
    list_remove(&kept->node);
    (void)map_remove(&kept->statuses->by_key, slice_make(kept->key, KEY_SIZE));
    mem_free(kept);
}

static void make_room(struct statuses *statuses) {
    for (struct list *node = statuses->kept.prev; statuses->by_key.count >= KEPT_MAX && node != &statuses->kept;) {
        struct kept *kept = LIST_ENTRY(node, struct kept, node);
        node = node->prev;
        if (list_is_empty(&kept->waiting))
            kept_free(kept);
    }
}

/* NULL: all that are kept have somebody waiting. */
static struct kept *keep(struct statuses *statuses, const char key[KEY_SIZE]) {
    struct kept *kept = map_get(&statuses->by_key, slice_make(key, KEY_SIZE));
    if (kept) {
        list_remove(&kept->node);
        list_push_front(&statuses->kept, &kept->node);
        return kept;
    }
    make_room(statuses);
    if (statuses->by_key.count >= KEPT_MAX)
        return NULL;
    kept = NEW(struct kept);
    kept->statuses = statuses;
    memcpy(kept->key, key, KEY_SIZE);
    list_init(&kept->waiting);
    list_push_front(&statuses->kept, &kept->node);
    map_put(&statuses->by_key, slice_make(kept->key, KEY_SIZE), kept);
    return kept;
}

static void on_answer(void *arg, enum ask_result result, struct slice answer) {
    struct kept *kept = arg;
    kept->is_known = result == ASK_ANSWERED && status_answer_read(answer, &kept->answer);
    wait_wake(&kept->waiting);
}

static bool ask(struct kept *kept, const struct peer *peer, struct slice hostname) {
    struct sbuf text;
    if (ask_is_open(&kept->ask))
        return true;
    sbuf_init(&text, ASK_TEXT_MAX);
    ask_init(&kept->ask, on_answer, kept);
    bool is_asked = kept->statuses->asker && status_question_write(peer, hostname, &text) &&
                    asker_ask(kept->statuses->asker, &kept->ask, ASK_OCSP, sbuf_slice(&text), ASK_MS);
    sbuf_fini(&text);
    return is_asked;
}

static enum status_result tell(const struct kept *kept, struct status *status_out) {
    *status_out = (struct status){.revoked_at = kept->answer.revoked_at,
                                  .revocation_reason = kept->answer.revocation_reason,
                                  .depth = kept->answer.depth,
                                  .is_unknown = kept->answer.is_unknown,
                                  .detail = kept->answer.detail};
    return kept->answer.result;
}

enum status_result statuses_get(struct statuses *statuses, const struct peer *peer, const struct trust *trust,
                                struct slice hostname, time_t now, struct wait *wait, struct status *status_out) {
    char key[KEY_SIZE];
    memcpy(key, cert_sha256(peer->leaf), SHA256_SIZE);
    memcpy(key + SHA256_SIZE, trust_id(trust), SHA256_SIZE);
    struct kept *kept = keep(statuses, key);
    *status_out = (struct status){.revocation_reason = -1, .detail = "no OCSP responder has answered"};
    if (!kept)
        return STATUS_UNAVAILABLE;
    if (kept->is_known && now < kept->answer.until)
        return tell(kept, status_out);
    kept->is_known = false;
    if (wait->is_over || !ask(kept, peer, hostname))
        return STATUS_UNAVAILABLE;
    wait_begin(wait, &kept->waiting, statuses->loop, STATUSES_WAIT_MS);
    return STATUS_WAIT;
}

/* ---- life ---- */

struct statuses *statuses_new(struct loop *loop, struct asker *asker) {
    struct statuses *statuses = NEW(struct statuses);
    *statuses = (struct statuses){.loop = loop, .asker = asker};
    map_init(&statuses->by_key);
    list_init(&statuses->kept);
    return statuses;
}

void statuses_free(struct statuses **statuses_ptr) {
    struct statuses *statuses = *statuses_ptr;
    *statuses_ptr = NULL;
    if (!statuses)
        return;
    LIST_EACH (node, following, &statuses->kept) {
        kept_free(LIST_ENTRY(node, struct kept, node));
    }
    map_fini(&statuses->by_key);
    mem_free(statuses);
}
