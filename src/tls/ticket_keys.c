/*
 * ticket_keys: the keys that session tickets are sealed with (AES-256-CBC, HMAC-SHA256; RFC 5077 section 4). Master
 * makes and rotates them for all workers; tickets.c seals with the newest and opens with any. Wiped on free.
 */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/mem.h"
#include "handshake_priv.h"

#define SEAL_KEY_SIZE 32

struct ticket_key {
    uint8_t name[TICKET_NAME_SIZE];
    uint8_t aes[SEAL_KEY_SIZE];
    uint8_t hmac[SEAL_KEY_SIZE];
};

_Static_assert(sizeof(struct ticket_key) == TICKET_KEY_SIZE, "a key is its bytes");

struct ticket_keys {
    EVP_CIPHER *cipher;
    struct ticket_key keys[TICKET_KEYS_MAX]; /* newest first */
    size_t count;
};

struct ticket_keys *ticket_keys_new(void) {
    struct ticket_keys *keys = NEW(struct ticket_keys);
    keys->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    INVARIANT(keys->cipher);
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
        EVP_CIPHER_free(keys->cipher);
        mem_wipe_free(keys, sizeof *keys);
    }
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
