/*
 * ticket_keys: the keys that session tickets are sealed with (AES-256-CBC, HMAC-SHA256; RFC 5077 section 4). The owner
 * makes them once and rotates them; tickets.c seals with the newest and opens with that and the one before. Wiped on
 * free.
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

struct ticket_keys {
    EVP_CIPHER *cipher;
    struct ticket_key current, previous;
    bool has_previous;
    bool has_age; /* created_ms is set: rotation has been called */
    int64_t created_ms;
};

static void key_make(struct ticket_key *key) {
    INVARIANT(RAND_bytes(key->name, sizeof key->name) == 1);
    INVARIANT(RAND_priv_bytes(key->aes, sizeof key->aes) == 1);
    INVARIANT(RAND_priv_bytes(key->hmac, sizeof key->hmac) == 1);
}

struct ticket_keys *ticket_keys_new(void) {
    struct ticket_keys *keys = NEW(struct ticket_keys);
    keys->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    INVARIANT(keys->cipher);
    key_make(&keys->current);
    return keys;
}

void ticket_keys_rotate(struct ticket_keys *keys, int64_t now_ms, int64_t rotation_ms) {
    if (!keys->has_age) {
        keys->has_age = true;
        keys->created_ms = now_ms;
    }
    if (now_ms - keys->created_ms < rotation_ms) {
        return;
    }
    keys->previous = keys->current;
    keys->has_previous = true;
    key_make(&keys->current);
    keys->created_ms = now_ms;
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
    const struct ticket_key *key = &keys->current;
    memcpy(name_out, key->name, TICKET_NAME_SIZE);
    bool is_set = RAND_bytes(iv_out, EVP_CIPHER_get_iv_length(keys->cipher)) == 1 &&
                  EVP_EncryptInit_ex(cipher, keys->cipher, NULL, key->aes, iv_out) == 1 && key_set_mac(key, mac);
    return is_set ? TICKET_KEY_CURRENT : TICKET_KEY_FAILED;
}

int ticket_keys_open(const struct ticket_keys *keys, const unsigned char *name, const unsigned char *iv,
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac) {
    bool is_current = memcmp(name, keys->current.name, TICKET_NAME_SIZE) == 0;
    bool is_previous = !is_current && keys->has_previous && memcmp(name, keys->previous.name, TICKET_NAME_SIZE) == 0;
    if (!is_current && !is_previous) {
        return TICKET_KEY_NONE;
    }
    const struct ticket_key *key = is_current ? &keys->current : &keys->previous;
    if (EVP_DecryptInit_ex(cipher, keys->cipher, NULL, key->aes, iv) != 1 || !key_set_mac(key, mac)) {
        return TICKET_KEY_FAILED;
    }
    return is_current ? TICKET_KEY_CURRENT : TICKET_KEY_PREVIOUS;
}
