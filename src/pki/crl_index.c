/*
 * crl_index: the compact form of a revocation list, one position-independent block: a directory of hash buckets and the
 * records, grouped by bucket. Built by the loader in control, mapped and read by workers, freed with its last
 * reference.
 *
 * A record is {length, key, date as 40 bits, reason}; a bucket holds four on average. The hash is keyed at random for
 * each block, so that serial numbers cannot be chosen to collide. The key is the serial number; for another issuer's
 * certificate in an indirect list, two zero bytes, with which no serial number in its shortest form begins, 16 bytes of
 * the digest of that issuer's name, and the serial number.
 */
#include <stdlib.h>

#include "base/id.h"
#include "base/mem.h"
#include "crl_priv.h"

#define RECORD_OVERHEAD 7 /* length, date, reason */
#define KEY_MAX 255
#define DATE_MAX ((INT64_C(1) << 39) - 1)
#define NO_REASON 0xff
#define PER_BUCKET 4
#define BUCKET_MAX 255 /* with a keyed hash only repetitions of one serial number can fill a bucket so */
#define BUCKET_BITS_MAX 30
static const char MAGIC[8] = "SPCRL\0\2";

struct crl {
    int refs;
    struct crl_head head; /* copied out: the block need not be aligned */
    const uint8_t *block;
    uint8_t *owned;                       /* block, or NULL when it is somebody else's */
    void (*release)(struct slice *block); /* or NULL */
    const uint8_t *points, *directory, *records;
    const char *text;
};

#define ROTATE(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))

static inline void sip_round(uint64_t v[4]) {
    v[0] += v[1], v[1] = ROTATE(v[1], 13) ^ v[0], v[0] = ROTATE(v[0], 32);
    v[2] += v[3], v[3] = ROTATE(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = ROTATE(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = ROTATE(v[1], 17) ^ v[2], v[2] = ROTATE(v[2], 32);
}

/* SipHash-1-3. base/map.h has one too, but keyed per process; this key travels with the block. */
static uint64_t hash_serial(const uint8_t key[16], const uint8_t *bytes, size_t len) {
    uint64_t k[2];
    memcpy(k, key, sizeof(k));
    uint64_t v[4] = {k[0] ^ 0x736f6d6570736575, k[1] ^ 0x646f72616e646f6d, k[0] ^ 0x6c7967656e657261,
                     k[1] ^ 0x7465646279746573};
    uint64_t last = (uint64_t)len << 56, word;
    for (; len >= 8; bytes += 8, len -= 8) {
        memcpy(&word, bytes, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    for (size_t i = 0; i < len; i++)
        last |= (uint64_t)bytes[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v), sip_round(v), sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static size_t bucket_of(const struct crl_head *head, const uint8_t *serial, size_t len) {
    uint64_t hash = hash_serial(head->hash_key, serial, len);
    return head->bucket_bits ? (size_t)(hash >> (64 - head->bucket_bits)) : 0;
}

/* The shortest two's complement form, so that equal numbers are equal bytes. */
static struct slice shortest(struct slice serial) {
    while (serial.len > 1) {
        uint8_t first = (uint8_t)serial.ptr[0], top = (uint8_t)serial.ptr[1] & 0x80;
        if (!(first == 0 && top == 0) && !(first == 0xff && top != 0))
            break;
        serial = slice_after(serial, 1);
    }
    return serial;
}

static size_t record_len(const uint8_t *record) { return (size_t)record[0] + RECORD_OVERHEAD; }

/* A record's key; 0 for a serial number that cannot be on a list. issuer_name NULL: the list's own issuer. */
static size_t make_key(const uint8_t *issuer_name, struct slice serial, uint8_t out[KEY_MAX]) {
    size_t len = 0;
    serial = shortest(serial);
    if (serial.len == 0 || serial.len > CRL_SERIAL_MAX)
        return 0;
    if (issuer_name != NULL) {
        memset(out, 0, 2);
        memcpy(out + 2, issuer_name, CRL_FOREIGN_LEN - 2);
        len = CRL_FOREIGN_LEN;
    }
    memcpy(out + len, serial.ptr, serial.len);
    return len + serial.len;
}

bool crl_entries_add(struct crl_entries *entries, const uint8_t *issuer_name, struct slice serial,
                     const struct crl_entry *entry) {
    uint8_t key[KEY_MAX];
    size_t len = make_key(issuer_name, serial, key);
    if (len == 0 || entries->len > UINT32_MAX - 2 * (KEY_MAX + RECORD_OVERHEAD))
        return false;
    if (entries->cap - entries->len < len + RECORD_OVERHEAD) {
        entries->cap = entries->cap ? entries->cap * 2 : 4096;
        entries->records = mem_resize(entries->records, entries->cap);
    }
    uint8_t *at = entries->records + entries->len;
    int64_t date = entry->revoked_at;
    date = date > DATE_MAX ? DATE_MAX : date < -DATE_MAX ? -DATE_MAX : date;
    *at++ = (uint8_t)len;
    memcpy(at, key, len);
    at += len;
    for (int shift = 32; shift >= 0; shift -= 8)
        *at++ = (uint8_t)((uint64_t)date >> shift);
    *at = entry->reason < 0 ? NO_REASON : (uint8_t)entry->reason;
    entries->len += len + RECORD_OVERHEAD;
    entries->count++;
    return true;
}

void crl_entries_fini(struct crl_entries *entries) {
    mem_free(entries->records);
    *entries = (struct crl_entries){0};
}

static uint32_t directory_at(const uint8_t *directory, size_t bucket) {
    uint32_t offset;
    memcpy(&offset, directory + bucket * sizeof(offset), sizeof(offset));
    return offset;
}

/* Offsets of the parts, from the head; false when the lengths do not add up to block_len. */
static bool lay_out(struct crl *crl) {
    const struct crl_head *head = &crl->head;
    if (head->bucket_bits > BUCKET_BITS_MAX || head->point_count > CRL_POINTS_MAX || head->text_len == 0 ||
        head->number_len > CRL_NUMBER_MAX || head->base_number_len > CRL_NUMBER_MAX || head->records_len > UINT32_MAX)
        return false;
    uint64_t points = sizeof(*head);
    uint64_t directory = points + (uint64_t)head->point_count * SHA256_SIZE;
    uint64_t records = directory + ((UINT64_C(1) << head->bucket_bits) + 1) * sizeof(uint32_t);
    uint64_t text = records + head->records_len;
    if (text + head->text_len != head->block_len)
        return false;
    crl->points = crl->block + points;
    crl->directory = crl->block + directory;
    crl->records = crl->block + records;
    crl->text = (const char *)crl->block + text;
    return true;
}

/* Counting sort by bucket. NULL sizes never: `ends` has one place more than there are buckets. */
static bool sort_records(const struct crl_head *head, const struct crl_entries *entries, uint32_t *directory,
                         uint8_t *records) {
    size_t buckets = (size_t)1 << head->bucket_bits;
    uint8_t *counts = mem_new(buckets);
    bool fits = true;
    for (size_t at = 0; at < entries->len && fits; at += record_len(entries->records + at)) {
        const uint8_t *record = entries->records + at;
        size_t bucket = bucket_of(head, record + 1, record[0]);
        directory[bucket + 1] += (uint32_t)record_len(record);
        fits = counts[bucket]++ < BUCKET_MAX;
    }
    mem_free(counts);
    if (!fits)
        return false;
    for (size_t b = 0; b < buckets; b++)
        directory[b + 1] += directory[b];
    /* directory[b] moves to the end of its bucket while that fills, which is where the next one starts: shift back
     * after. */
    for (size_t at = 0; at < entries->len; at += record_len(entries->records + at)) {
        const uint8_t *record = entries->records + at;
        size_t bucket = bucket_of(head, record + 1, record[0]);
        memcpy(records + directory[bucket], record, record_len(record));
        directory[bucket] += (uint32_t)record_len(record);
    }
    memmove(directory + 1, directory, buckets * sizeof(*directory));
    directory[0] = 0;
    return true;
}

struct crl *crl_build(const struct crl_head *head, const uint8_t (*points)[SHA256_SIZE], const char *issuer_text,
                      const struct crl_entries *entries) {
    struct crl *crl = NEW(struct crl);
    crl->refs = 1;
    crl->head = *head;
    struct crl_head *h = &crl->head;
    memcpy(h->magic, MAGIC, sizeof(MAGIC));
    random_bytes(h->hash_key, sizeof(h->hash_key));
    h->entry_count = entries->count;
    h->records_len = entries->len;
    h->text_len = (uint32_t)strlen(issuer_text) + 1;
    h->bucket_bits = 0;
    while (((uint64_t)PER_BUCKET << h->bucket_bits) < entries->count && h->bucket_bits < BUCKET_BITS_MAX)
        h->bucket_bits++;
    size_t points_len = (size_t)h->point_count * SHA256_SIZE;
    size_t directory_len = (((size_t)1 << h->bucket_bits) + 1) * sizeof(uint32_t);
    h->block_len = sizeof(*h) + points_len + directory_len + h->records_len + h->text_len;
    crl->block = crl->owned = mem_new((size_t)h->block_len);
    INVARIANT(lay_out(crl));
    memcpy(crl->owned, h, sizeof(*h));
    if (points_len > 0)
        memcpy(crl->owned + sizeof(*h), points, points_len);
    memcpy(crl->owned + (h->block_len - h->text_len), issuer_text, h->text_len);
    /* head and digests are multiples of 4 bytes long, so the directory is aligned in a block of our own */
    uint32_t *directory = (uint32_t *)(void *)(crl->owned + sizeof(*h) + points_len);
    if (!sort_records(h, entries, directory, crl->owned + sizeof(*h) + points_len + directory_len))
        crl_unref(&crl);
    return crl;
}

/* What can be seen without a look at each entry: a new list is in use within a moment, however long it is. The rest is
 * checked where it is read. */
static bool is_sound(const struct crl *crl) {
    size_t buckets = (size_t)1 << crl->head.bucket_bits;
    return directory_at(crl->directory, 0) == 0 && directory_at(crl->directory, buckets) == crl->head.records_len &&
           crl->head.entry_count <= crl->head.records_len / RECORD_OVERHEAD &&
           crl->text[crl->head.text_len - 1] == '\0';
}

struct crl *crl_from_bytes(struct slice block, struct err *err) {
    struct crl *crl = NEW(struct crl);
    crl->refs = 1;
    crl->block = (const uint8_t *)block.ptr;
    if (block.len >= sizeof(crl->head))
        memcpy(&crl->head, block.ptr, sizeof(crl->head));
    if (memcmp(crl->head.magic, MAGIC, sizeof(MAGIC)) != 0 || crl->head.block_len != block.len || !lay_out(crl) ||
        !is_sound(crl)) {
        (void)err_set(err, "block of %zu bytes is not the index of a CRL", block.len);
        crl_unref(&crl);
    }
    return crl;
}

struct slice crl_bytes(const struct crl *crl) {
    return slice_make(crl->block, (size_t)crl->head.block_len);
}

void crl_set_release(struct crl *crl, void (*release)(struct slice *block)) { crl->release = release; }

struct crl *crl_ref(struct crl *crl) {
    crl->refs++;
    return crl;
}

void crl_unref(struct crl **crl) {
    struct crl *c = *crl;
    *crl = NULL;
    if (c == NULL || --c->refs > 0)
        return;
    struct slice block = crl_bytes(c);
    if (c->release)
        c->release(&block);
    mem_free(c->owned);
    mem_free(c);
}

static void read_entry(const uint8_t *record, struct crl_entry *entry_out) {
    const uint8_t *at = record + 1 + record[0];
    uint64_t date = 0;
    for (int i = 0; i < 5; i++)
        date = date << 8 | *at++;
    entry_out->revoked_at = (time_t)((int64_t)(date << 24) >> 24); /* sign of 40 bits */
    entry_out->reason = *at == NO_REASON ? -1 : *at;
}

/* A bucket that cannot be as we made it: whatever is asked for, it may have been there. */
static bool refuse_damaged(struct crl_entry *entry_out) {
    *entry_out = (struct crl_entry){.revoked_at = 0, .reason = -1};
    return true;
}

static bool find_record(const struct crl *crl, const uint8_t *key, size_t len, struct crl_entry *entry_out) {
    size_t bucket = bucket_of(&crl->head, key, len);
    uint32_t first = directory_at(crl->directory, bucket), last = directory_at(crl->directory, bucket + 1);
    if (first > last || last > crl->head.records_len)
        return refuse_damaged(entry_out);
    const uint8_t *at = crl->records + first, *end = crl->records + last;
    for (; at < end; at += record_len(at)) {
        if (record_len(at) > (size_t)(end - at))
            return refuse_damaged(entry_out);
        if (at[0] == len && memcmp(at + 1, key, len) == 0) {
            read_entry(at, entry_out);
            return true;
        }
    }
    return false;
}

bool crl_lookup_of(const struct crl *crl, const uint8_t issuer_name[SHA256_SIZE], struct slice serial,
                   struct crl_entry *entry_out) {
    uint8_t key[KEY_MAX];
    bool is_own = memcmp(issuer_name, crl->head.issuer_name, SHA256_SIZE) == 0;
    size_t len = make_key(is_own ? NULL : issuer_name, serial, key);
    return len > 0 && find_record(crl, key, len, entry_out);
}

bool crl_lookup(const struct crl *crl, struct slice serial, struct crl_entry *entry_out) {
    return crl_lookup_of(crl, crl->head.issuer_name, serial, entry_out);
}

/* --- facts ---------------------------------------------------------------------------------------------------- */

const struct crl_head *crl_head(const struct crl *crl) { return &crl->head; }
const uint8_t *crl_issuer_key(const struct crl *crl) { return crl->head.issuer_key; }
const uint8_t *crl_issuer_name(const struct crl *crl) { return crl->head.issuer_name; }
const char *crl_issuer_text(const struct crl *crl) { return crl->text; }
time_t crl_this_update(const struct crl *crl) { return (time_t)crl->head.this_update; }
time_t crl_next_update(const struct crl *crl) { return (time_t)crl->head.next_update; }
bool crl_has_number(const struct crl *crl) { return (crl->head.flags & CRL_HAS_NUMBER) != 0; }
struct slice crl_number(const struct crl *crl) {
    return slice_make(crl->head.number, crl->head.number_len);
}
size_t crl_count(const struct crl *crl) { return (size_t)crl->head.entry_count; }
const uint8_t *crl_digest(const struct crl *crl) { return crl->head.digest; }
bool crl_covers_leaves(const struct crl *crl) { return (crl->head.flags & CRL_COVERS_LEAVES) != 0; }
bool crl_covers_cas(const struct crl *crl) { return (crl->head.flags & CRL_COVERS_CAS) != 0; }
bool crl_is_indirect(const struct crl *crl) { return (crl->head.flags & CRL_IS_INDIRECT) != 0; }
bool crl_is_delta(const struct crl *crl) { return (crl->head.flags & CRL_IS_DELTA) != 0; }
struct slice crl_base_number(const struct crl *crl) {
    return slice_make(crl->head.base_number, crl->head.base_number_len);
}
bool crl_is_scoped_to_points(const struct crl *crl) { return crl->head.point_count > 0; }

bool crl_is_same_series(const struct crl *a, const struct crl *b) {
    return memcmp(a->head.issuer_key, b->head.issuer_key, SHA256_SIZE) == 0 &&
           memcmp(a->head.scope, b->head.scope, SHA256_SIZE) == 0;
}

/* Big-endian, without leading zeros. */
static int compare_numbers(struct slice a, struct slice b) {
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    int order = slice_compare(a, b);
    return order < 0 ? -1 : order > 0;
}

int crl_number_compare(const struct crl *a, const struct crl *b) {
    if (crl_has_number(a) != crl_has_number(b))
        return crl_has_number(a) ? 1 : -1;
    return compare_numbers(crl_number(a), crl_number(b));
}

int crl_compare(const struct crl *a, const struct crl *b) {
    int order = memcmp(a->head.issuer_name, b->head.issuer_name, SHA256_SIZE);
    if (order == 0)
        order = memcmp(a->head.issuer_key, b->head.issuer_key, SHA256_SIZE);
    if (order == 0)
        order = memcmp(a->head.scope, b->head.scope, SHA256_SIZE);
    if (order == 0)
        order = (int)crl_is_delta(a) - (int)crl_is_delta(b);
    return order != 0 ? order : crl_number_compare(a, b);
}

bool crl_delta_fits(const struct crl *delta, const struct crl *complete) {
    return crl_is_same_series(delta, complete) && crl_has_number(complete) &&
           compare_numbers(crl_number(complete), crl_base_number(delta)) >= 0 &&
           compare_numbers(crl_number(complete), crl_number(delta)) < 0;
}

bool crl_has_point(const struct crl *crl, const uint8_t point[SHA256_SIZE]) {
    for (uint32_t i = 0; i < crl->head.point_count; i++)
        if (memcmp(crl->points + (size_t)i * SHA256_SIZE, point, SHA256_SIZE) == 0)
            return true;
    return false;
}
