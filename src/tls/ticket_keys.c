/*
 * ticket_keys: the keys that session tickets are sealed with (AES-256-CBC, HMAC-SHA256; RFC 5077 section 4), and that
 * the records of the session store get theirs from. Master makes and rotates them for all workers; tickets.c and
 * session_store.c seal with the newest and open with any. Wiped on free.
 */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/mem.h"
#include "session_priv.h"

#define SEAL_KEY_SIZE 32

struct ticket_key {
    uint8_t name[TICKET_NAME_SIZE];
    uint8_t aes[SEAL_KEY_SIZE];
    uint8_t hmac[SEAL_KEY_SIZE];
};

_Static_assert(sizeof(struct ticket_key) == TICKET_KEY_SIZE, "a key is its bytes");

struct ticket_keys {
    EVP_CIPHER *cipher;
    EVP_MD *sha512;
    struct session_store *store;             /* NULL: sessions are in the tickets */
    struct ticket_key keys[TICKET_KEYS_MAX]; /* newest first */
    size_t count;
};

struct ticket_keys *ticket_keys_new(void) {
    struct ticket_keys *keys = NEW(struct ticket_keys);
    keys->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    keys->sha512 = EVP_MD_fetch(NULL, "SHA512", NULL);
    INVARIANT(keys->cipher && keys->sha512);
    INVARIANT(RAND_priv_bytes((unsigned char *)&keys->keys[0], sizeof keys->keys[0]) == 1);
    keys->count = 1;
    return keys;
}

int ticket_keys_load(struct ticket_keys *keys, struct slice bytes, struct err *err) {
    if (bytes.len == 0 || bytes.len % TICKET_KEY_SIZE != 0 || bytes.len > sizeof keys->keys)
        return err_set(err, "%zu bytes are not 1 to %d ticket keys", bytes.len, TICKET_KEYS_MAX);
    mem_wipe(keys->keys, sizeof keys->keys);
    memcpy(keys->keys, bytes.ptr, bytes.len);
    keys->count = bytes.len / TICKET_KEY_SIZE;
    return 0;
}

void ticket_keys_free(struct ticket_keys **keys_ptr) {
    struct ticket_keys *keys = *keys_ptr;
    *keys_ptr = NULL;
    if (keys) {
        session_store_free(&keys->store);
        EVP_MD_free(keys->sha512);
        EVP_CIPHER_free(keys->cipher);
        mem_wipe_free(keys, sizeof *keys);
    }
}

void ticket_keys_keep_sessions(struct ticket_keys *keys, void *memory) {
    session_store_free(&keys->store);
    keys->store = session_store_new(memory);
}

struct session_store *ticket_keys_store(const struct ticket_keys *keys) {
    return keys->store;
}

bool ticket_keys_derive(const struct ticket_keys *keys, size_t index, const uint8_t seed[TICKET_NAME_SIZE],
                        uint8_t out[TICKET_DERIVED_SIZE]) {
    static const char LABEL[] = "sallyport session record 1";
    uint8_t bytes[sizeof LABEL + TICKET_KEY_SIZE + TICKET_NAME_SIZE];
    if (index >= keys->count) {
        return false;
    }
    /* All of fixed length: no two inputs give the same bytes. */
    memcpy(bytes, LABEL, sizeof LABEL);
    memcpy(bytes + sizeof LABEL, &keys->keys[index], TICKET_KEY_SIZE);
    memcpy(bytes + sizeof LABEL + TICKET_KEY_SIZE, seed, TICKET_NAME_SIZE);
    bool is_done = EVP_Digest(bytes, sizeof bytes, out, NULL, keys->sha512, NULL) == 1;
    mem_wipe(bytes, sizeof bytes);
    return is_done;
}

static bool key_set_mac(const struct ticket_key *key, EVP_MAC_CTX *mac) {
    uint8_t hmac[SEAL_KEY_SIZE];
    memcpy(hmac, key->hmac, sizeof hmac);
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, hmac, sizeof hmac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    bool is_set = EVP_MAC_CTX_set_params(mac, params) == 1;
    mem_wipe(hmac, sizeof hmac);
    return is_set;
}

int ticket_keys_seal(const struct ticket_keys *keys, unsigned char *name_out, unsigned char *iv_out,
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac) {
    const struct ticket_key *key = &keys->keys[0];
    memcpy(name_out, key->name, TICKET_NAME_SIZE);
    bool is_set = RAND_bytes(iv_out, EVP_CIPHER_get_iv_length(keys->cipher)) == 1 &&
                  EVP_EncryptInit_ex(cipher, keys->cipher, NULL, key->aes, iv_out) == 1 && key_set_mac(key, mac);
    return is_set ? TICKET_KEY_CURRENT : TICKET_KEY_FAILED;
}

int ticket_keys_open(const struct ticket_keys *keys, const unsigned char *name, const unsigned char *iv,
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac) {
    size_t i = 0;
    while (i < keys->count && memcmp(name, keys->keys[i].name, TICKET_NAME_SIZE) != 0)
        i++;
    if (i == keys->count) {
        return TICKET_KEY_NONE;
    }
    const struct ticket_key *key = &keys->keys[i];
    if (EVP_DecryptInit_ex(cipher, keys->cipher, NULL, key->aes, iv) != 1 || !key_set_mac(key, mac)) {
        return TICKET_KEY_FAILED;
    }
    return i == 0 ? TICKET_KEY_CURRENT : TICKET_KEY_PREVIOUS;
}
