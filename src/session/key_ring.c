/*
 * key_ring: see the header. A file is "token-<time from which it signs>-<first 16 digits of the key's id>.pem": the
 * schedule is in the names, so that no index can disagree with the keys, and two gateways that make one at the same
 * time make two files. A file that cannot be used is an error at start; later it is reported and the others go on.
 */
#include "session/key_ring.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "session/key_set.h"
#include "store/state.h"

#define FILE_MAX (16 * 1024)
#define KEYS_MAX 64
#define NAME_SIZE 80
#define LOOK_MS_MAX 60000
#define LOOK_MS_MIN 200
#define LOOKS_PER_PERIOD 16

struct kept_key {
    char name[NAME_SIZE]; /* of the file */
    int64_t active_from;
    struct token_key *key;
    bool is_there; /* while looking */
};

struct key_ring {
    char *directory;
    enum token_algorithm algorithm;
    struct rotation rotation;
    struct kept_key keys[KEYS_MAX]; /* in the order in which they sign */
    size_t count;
};

/* ---- files ---- */

/* "token-1700000000-0123456789abcdef.pem" */
static bool parse_name(const char *name, int64_t *active_from_out) {
    unsigned long long seconds;
    struct slice rest = slice_of(name), number;
    if (rest.len >= NAME_SIZE || !slice_starts_with(rest, SLICE("token-")) || !slice_ends_with(rest, SLICE(".pem")))
        return false;
    rest = slice_cut(slice_after(rest, strlen("token-")), '-', &number);
    if (rest.len != 16 + strlen(".pem") || !slice_to_u64(number, &seconds))
        return false;
    *active_from_out = (int64_t)seconds;
    return true;
}

/* Only its owner may look at it. */
static int check_mode(const char *path, struct err *err) {
    struct stat status;
    if (stat(path, &status) != 0)
        return err_set(err, "%s: %s", path, strerror(errno));
    if (status.st_mode & (S_IRWXG | S_IRWXO))
        return err_set(err, "%s: other accounts have access to this key (mode %04o); chmod it to 0600, or remove it",
                       path, (unsigned)(status.st_mode & 07777));
    return 0;
}

static struct token_key *read_key(const char *path, struct err *err) {
    struct sbuf text;
    struct token_key *key = NULL;
    sbuf_init(&text, FILE_MAX);
    /* At once: a buffer that moves as it grows would leave the key behind. */
    (void)sbuf_reserve(&text, FILE_MAX);
    if (check_mode(path, err) == 0 && file_read(path, FILE_MAX - 1, &text, err) == 0)
        key = token_key_read(sbuf_slice(&text), err);
    if (!key)
        (void)err_context(err, "%s", path);
    if (text.data)
        mem_wipe(text.data, text.cap);
    sbuf_fini(&text);
    return key;
}

static void insert(struct key_ring *ring, const char *name, int64_t active_from, struct token_key *key) {
    size_t at = ring->count;
    while (at > 0 && (ring->keys[at - 1].active_from > active_from ||
                      (ring->keys[at - 1].active_from == active_from && strcmp(ring->keys[at - 1].name, name) > 0)))
        at--;
    memmove(&ring->keys[at + 1], &ring->keys[at], (ring->count - at) * sizeof ring->keys[0]);
    ring->keys[at] = (struct kept_key){.active_from = active_from, .key = key, .is_there = true};
    (void)snprintf(ring->keys[at].name, NAME_SIZE, "%s", name);
    ring->count++;
}

static void drop(struct key_ring *ring, size_t index) {
    token_key_free(&ring->keys[index].key);
    ring->count--;
    memmove(&ring->keys[index], &ring->keys[index + 1], (ring->count - index) * sizeof ring->keys[0]);
}

static struct kept_key *find(struct key_ring *ring, const char *name) {
    for (size_t i = 0; i < ring->count; i++)
        if (strcmp(ring->keys[i].name, name) == 0)
            return &ring->keys[i];
    return NULL;
}

static int look_at(struct key_ring *ring, const char *name, struct err *err) {
    int64_t active_from;
    struct kept_key *known = find(ring, name);
    if (!parse_name(name, &active_from))
        return 0;
    if (known) {
        known->is_there = true;
        return 0;
    }
    if (ring->count == KEYS_MAX)
        return err_set(err, "%s: more than %d keys", ring->directory, KEYS_MAX);
    char *path = path_join(ring->directory, name);
    struct token_key *key = read_key(path, err);
    if (key)
        insert(ring, name, active_from, key);
    mem_free(path);
    return key ? 0 : -1;
}

/* What is in the directory is in the ring, and nothing else; the first error, but all the files. */
static int look(struct key_ring *ring, struct err *err) {
    DIR *directory = opendir(ring->directory);
    struct err later;
    int result = 0;
    if (!directory)
        return err_set(err, "%s: %s", ring->directory, strerror(errno));
    for (size_t i = 0; i < ring->count; i++)
        ring->keys[i].is_there = false;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (look_at(ring, entry->d_name, result == 0 ? err : &later) != 0)
            result = -1;
    (void)closedir(directory);
    for (size_t i = ring->count; i-- > 0;)
        if (!ring->keys[i].is_there)
            drop(ring, i);
    return result;
}

/* ---- the schedule ---- */

static size_t times_of(const struct key_ring *ring, int64_t active_out[KEYS_MAX]) {
    for (size_t i = 0; i < ring->count; i++)
        active_out[i] = ring->keys[i].active_from;
    return ring->count;
}

static int make_key(struct key_ring *ring, int64_t now, int64_t active_from, struct err *err) {
    struct sbuf text;
    char name[NAME_SIZE];
    if (ring->count == KEYS_MAX)
        return err_set(err, "%s: more than %d keys", ring->directory, KEYS_MAX);
    struct token_key *key = token_key_make(ring->algorithm, now, err);
    if (!key)
        return -1;
    (void)snprintf(name, sizeof name, "token-%lld-%.16s.pem", (long long)active_from, token_key_id(key));
    char *path = path_join(ring->directory, name);
    sbuf_init(&text, FILE_MAX);
    (void)sbuf_reserve(&text, FILE_MAX);
    token_key_write(key, &text);
    int result = state_write(path, sbuf_slice(&text), err);
    if (result == 0) {
        char when[CLOCK_TEXT_SIZE];
        log_info("a new key signs tokens from %s on: %.16s (%s)", clock_format((time_t)active_from, when),
                 token_key_id(key), token_algorithm_name(ring->algorithm));
        insert(ring, name, active_from, key);
    } else {
        token_key_free(&key);
    }
    mem_wipe(text.data, text.cap);
    sbuf_fini(&text);
    mem_free(path);
    return result;
}

static int make_next(struct key_ring *ring, int64_t now, struct err *err) {
    int64_t active[KEYS_MAX], active_from;
    size_t count = times_of(ring, active);
    if (!rotation_wants_key(active, count, now, &ring->rotation, &active_from))
        return 0;
    return make_key(ring, now, active_from, err);
}

/* Of the file too. */
static void forget(struct key_ring *ring, size_t index, const char *why) {
    char *path = path_join(ring->directory, ring->keys[index].name);
    if (unlink(path) == 0 || errno == ENOENT)
        log_info("the key %.16s %s", token_key_id(ring->keys[index].key), why);
    else
        log_warning("%s cannot be removed: %s", path, strerror(errno));
    mem_free(path);
    drop(ring, index);
}

static bool is_other(const struct key_ring *ring) {
    return ring->count > 0 && token_key_algorithm(ring->keys[ring->count - 1].key) != ring->algorithm;
}

/* Another algorithm than that of the keys counts at once: validators look for a key that they do not know. */
static int change_algorithm(struct key_ring *ring, int64_t now, struct err *err) {
    while (is_other(ring) && ring->count > 1 && ring->keys[ring->count - 1].active_from > now)
        forget(ring, ring->count - 1, "is of another algorithm and never signed");
    if (!is_other(ring))
        return 0;
    int64_t last = ring->keys[ring->count - 1].active_from;
    return make_key(ring, now, now > last ? now : last + 1, err);
}

static void remove_old(struct key_ring *ring, int64_t now) {
    int64_t active[KEYS_MAX];
    size_t count = times_of(ring, active), gone = 0;
    while (gone < rotation_current(active, count, now) && rotation_retires(active, count, gone, &ring->rotation) <= now)
        gone++;
    for (; gone > 0; gone--)
        forget(ring, 0, "is no longer published");
}

int key_ring_update(struct key_ring *ring, int64_t now, struct err *err) {
    int result = look(ring, err);
    if (result == 0)
        result = make_next(ring, now, err);
    if (ring->count > 0)
        remove_old(ring, now);
    return result;
}

struct key_ring *key_ring_open(const struct key_ring_source *source, int64_t now, struct err *err) {
    struct key_ring *ring = NEW(struct key_ring);
    ring->directory = mem_strdup(source->directory);
    ring->algorithm = source->algorithm;
    ring->rotation = source->rotation;
    if (key_ring_update(ring, now, err) != 0 || change_algorithm(ring, now, err) != 0)
        key_ring_free(&ring);
    return ring;
}

void key_ring_free(struct key_ring **ring_ptr) {
    struct key_ring *ring = *ring_ptr;
    *ring_ptr = NULL;
    if (!ring)
        return;
    while (ring->count > 0)
        drop(ring, ring->count - 1);
    mem_free(ring->directory);
    mem_free(ring);
}

int64_t key_ring_interval_ms(const struct key_ring *ring) {
    int64_t ms = ring->rotation.period_s * 1000 / LOOKS_PER_PERIOD;
    return ms < LOOK_MS_MIN ? LOOK_MS_MIN : ms > LOOK_MS_MAX ? LOOK_MS_MAX : ms;
}

const struct token_key *key_ring_current(const struct key_ring *ring, int64_t now, int64_t *good_until_out) {
    int64_t active[KEYS_MAX];
    size_t count = times_of(ring, active);
    INVARIANT(count > 0);
    *good_until_out = rotation_good_until(active, count, now, &ring->rotation);
    return ring->keys[rotation_current(active, count, now)].key;
}

void key_ring_write_set(const struct key_ring *ring, int64_t now, struct sbuf *out) {
    int64_t active[KEYS_MAX];
    struct slice certificates[KEY_SET_MAX];
    size_t count = times_of(ring, active), published = 0;
    INVARIANT(count > 0);
    size_t current = rotation_current(active, count, now);
    certificates[published++] = token_key_certificate(ring->keys[current].key);
    for (size_t i = count; i-- > 0 && published < KEY_SET_MAX;)
        if (i != current)
            certificates[published++] = token_key_certificate(ring->keys[i].key);
    key_set_write(certificates, published, out);
}
