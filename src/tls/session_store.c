/*
 * session_store: see session_priv.h. One region of shared memory, written and read by all workers without locks.
 *
 *   head | chunk 0 | chunk 1 | ... | chunk 511          a chunk is 64 KiB, the memory of one writer at a time
 *
 * A writer claims the next chunk by raising a counter and fills it with records, one behind the other; when the counter
 * has gone round, the oldest records are overwritten. Nothing in the memory says where a record is or what it belongs
 * to: the session's identifier does, and only the client has it.
 *
 *   identifier:  seed (16) | place (16), masked        record:  ciphertext | tag (16)
 *
 * Seed and a ticket key give the mask and the key of the record. So whoever reads the memory, and even a worker that
 * has the ticket keys, can open no record without its identifier. A record that was overwritten, is half written by a
 * worker that died, or was tampered with does not open: there is nothing to lock, to repair or to believe. A worker
 * that is in the hands of an attacker can forge records that open, though, since it has the keys.
 */
#include <openssl/evp.h>

#include "base/id.h"
#include "base/mem.h"
#include "session_priv.h"

#define CHUNK_SIZE ((size_t)64 * 1024)
#define CHUNK_COUNT ((size_t)512)
#define HEAD_SIZE 64
#define SEED_SIZE 16
#define SEEDS 32
#define RECORD_KEY_SIZE 32
#define TAG_SIZE 16

_Static_assert(SESSION_RECORD_MAX + TAG_SIZE <= CHUNK_SIZE, "a record fits into a chunk");

struct head {
    uint64_t claimed; /* chunks, since the beginning */
};

/* Where a record is: second half of an identifier, once unmasked. */
struct place {
    uint32_t offset; /* in the chunks */
    uint32_t size;   /* of the plain text */
    uint64_t zero;   /* only with the right key */
};
_Static_assert(SEED_SIZE + sizeof(struct place) == SESSION_ID_SIZE, "seed and place are an identifier");

struct secrets {
    uint8_t key[RECORD_KEY_SIZE];
    uint8_t mask[sizeof(struct place)];
    uint8_t unused[16];
};
_Static_assert(sizeof(struct secrets) == TICKET_DERIVED_SIZE, "secrets are what a ticket key gives");

struct session_store {
    struct head *head;
    uint8_t *chunks;
    uint8_t *chunk; /* ours; NULL: none yet */
    size_t used;    /* of it */
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *ctx;
    uint8_t seeds[SEEDS][SEED_SIZE];
    size_t seeds_left;
    uint8_t plain[SESSION_RECORD_MAX];
    uint8_t sealed[SESSION_RECORD_MAX + TAG_SIZE];
};

size_t session_store_size(void) { return HEAD_SIZE + CHUNK_COUNT * CHUNK_SIZE; }

struct session_store *session_store_new(void *memory) {
    struct session_store *store = NEW(struct session_store);
    store->head = memory;
    store->chunks = (uint8_t *)memory + HEAD_SIZE;
    store->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    store->ctx = EVP_CIPHER_CTX_new();
    INVARIANT(store->cipher && store->ctx);
    return store;
}

void session_store_free(struct session_store **store_ptr) {
    struct session_store *store = *store_ptr;
    *store_ptr = NULL;
    if (!store) {
        return;
    }
    EVP_CIPHER_CTX_free(store->ctx);
    EVP_CIPHER_free(store->cipher);
    mem_wipe_free(store, sizeof *store);
}

uint8_t *session_store_draft(struct session_store *store) { return store->plain; }
void session_store_wipe(struct session_store *store, size_t len) { mem_wipe(store->plain, len); }

static void mask_place(struct place *place, const struct secrets *secrets) {
    uint8_t bytes[sizeof *place];
    memcpy(bytes, place, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= secrets->mask[i];
    }
    memcpy(place, bytes, sizeof bytes);
}

/* Memory for size bytes: behind what we wrote last, or at the beginning of another chunk. */
static uint8_t *reserve(struct session_store *store, size_t size) {
    if (!store->chunk || store->used + size > CHUNK_SIZE) {
        uint64_t number = __atomic_fetch_add(&store->head->claimed, 1, __ATOMIC_RELAXED);
        store->chunk = store->chunks + number % CHUNK_COUNT * CHUNK_SIZE;
        store->used = 0;
    }
    uint8_t *at = store->chunk + store->used;
    store->used += size;
    return at;
}

/* A key seals one record only, so the nonce may be the same. */
static const uint8_t NONCE[12];

static bool seal(struct session_store *store, const struct secrets *secrets, const uint8_t *id, struct slice record,
                 uint8_t *out) {
    int len = 0;
    return EVP_EncryptInit_ex(store->ctx, store->cipher, NULL, secrets->key, NONCE) == 1 &&
           EVP_EncryptUpdate(store->ctx, NULL, &len, id, SESSION_ID_SIZE) == 1 &&
           EVP_EncryptUpdate(store->ctx, out, &len, (const uint8_t *)record.ptr, (int)record.len) == 1 &&
           EVP_EncryptFinal_ex(store->ctx, out + len, &len) == 1 &&
           EVP_CIPHER_CTX_ctrl(store->ctx, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, out + record.len) == 1;
}

/* store->sealed to store->plain */
static bool open_record(struct session_store *store, const struct secrets *secrets, const uint8_t *id, size_t size) {
    int len = 0;
    return EVP_DecryptInit_ex(store->ctx, store->cipher, NULL, secrets->key, NONCE) == 1 &&
           EVP_CIPHER_CTX_ctrl(store->ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, store->sealed + size) == 1 &&
           EVP_DecryptUpdate(store->ctx, NULL, &len, id, SESSION_ID_SIZE) == 1 &&
           EVP_DecryptUpdate(store->ctx, store->plain, &len, store->sealed, (int)size) == 1 &&
           EVP_DecryptFinal_ex(store->ctx, store->plain + len, &len) == 1;
}

/* From a stock: one system call for many. */
static void draw_seed(struct session_store *store, uint8_t out[SEED_SIZE]) {
    if (store->seeds_left == 0) {
        random_bytes(store->seeds, sizeof store->seeds);
        store->seeds_left = SEEDS;
    }
    uint8_t *seed = store->seeds[--store->seeds_left];
    memcpy(out, seed, SEED_SIZE);
    mem_wipe(seed, SEED_SIZE);
}

bool session_store_put(struct session_store *store, const struct ticket_keys *keys, size_t len,
                       uint8_t id_out[SESSION_ID_SIZE]) {
    struct secrets secrets;
    INVARIANT(len <= SESSION_RECORD_MAX);
    draw_seed(store, id_out);
    if (!ticket_keys_derive(keys, 0, id_out, (uint8_t *)&secrets)) {
        return false;
    }
    uint8_t *at = reserve(store, len + TAG_SIZE);
    struct place place = {.offset = (uint32_t)(at - store->chunks), .size = (uint32_t)len};
    mask_place(&place, &secrets);
    memcpy(id_out + SEED_SIZE, &place, sizeof place);
    bool is_sealed = seal(store, &secrets, id_out, slice_make(store->plain, len), at);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    mem_wipe(&secrets, sizeof secrets);
    return is_sealed;
}

static bool is_within(const struct place *place) {
    return place->zero == 0 && place->size <= SESSION_RECORD_MAX &&
           place->offset <= CHUNK_COUNT * CHUNK_SIZE - (place->size + TAG_SIZE);
}

size_t session_store_get(struct session_store *store, const struct ticket_keys *keys,
                         const uint8_t id[SESSION_ID_SIZE]) {
    struct secrets secrets;
    struct place place = {0};
    size_t len = 0;
    for (size_t i = 0; len == 0 && ticket_keys_derive(keys, i, id, (uint8_t *)&secrets); i++) {
        memcpy(&place, id + SEED_SIZE, sizeof place);
        mask_place(&place, &secrets);
        if (!is_within(&place)) {
            continue;
        }
        /* Judged is a copy: others may write while we read. */
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        memcpy(store->sealed, store->chunks + place.offset, place.size + TAG_SIZE);
        len = open_record(store, &secrets, id, place.size) ? place.size : 0;
    }
    mem_wipe(&secrets, sizeof secrets);
    return len;
}
