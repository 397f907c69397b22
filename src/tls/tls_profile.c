/*
 * tls_profile: the one SSL_CTX of the gateway's TLS settings. Built by the snapshot, used by stream_tls for each
 * connection. Owns the SSL_CTX; borrows the ticket keys.
 *
 * What must never be on is turned off here for every connection, whatever the system's openssl.cnf says.
 */
#include "tls/tls_profile.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/clock.h"
#include "base/mem.h"
#include "pki/library.h"
#include "session_priv.h"

/* ECDHE with AEAD; the 128-bit suites first, as browsers have them; ChaCha20 goes first for clients that prefer it. */
static const char SECURE_CIPHERS[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                     "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                     "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char TLS13_SUITES[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

#define SECURITY_LEVEL 2
#define MAX_HANDSHAKE_MESSAGE 0xffffff /* a length has 24 bits */

struct tls_profile {
    unsigned refs;
    SSL_CTX *ctx;
    struct ticket_keys *keys;
    struct verify_cache *cache;
    long session_timeout;
    bool has_stateless_tickets;
    time_t (*clock)(void);
};

/* ALPN: HTTP/1.1 or 1.0 (curl --http1.0 offers nothing else), or no connection for those who speak neither. */
static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *offered,
                           unsigned offered_len, void *arg) {
    static const unsigned char SPOKEN[] = "\x08http/1.1\x08http/1.0";
    (void)ssl;
    (void)arg;
    unsigned char *chosen = NULL;
    int result = SSL_select_next_proto(&chosen, out_len, SPOKEN, sizeof SPOKEN - 1, offered, offered_len);
    if (result != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int set_versions(SSL_CTX *ctx, const char *min_version, struct err *err) {
    int min = strcmp(min_version, "1.2") == 0 ? TLS1_2_VERSION : strcmp(min_version, "1.3") == 0 ? TLS1_3_VERSION : 0;
    if (min == 0) {
        return err_set(err, "tls.min_version: \"%s\" is neither \"1.2\" nor \"1.3\"", min_version);
    }
    if (SSL_CTX_set_min_proto_version(ctx, min) != 1 || SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1) {
        openssl_drain(err, "tls.min_version");
        return -1;
    }
    return 0;
}

/* OpenSSL skips words of the list that it does not know; a misspelt cipher is to be an error. */
static int check_cipher_words(SSL_CTX *ctx, const char *list, struct err *err) {
    for (const char *word = list; *word;) {
        size_t len = strcspn(word, ":, ;");
        if (len > 0 && !strchr("!-+@", *word)) {
            char *text = mem_strndup(word, len);
            int result = SSL_CTX_set_cipher_list(ctx, text);
            if (result != 1) {
                openssl_drain(NULL, "tls.ciphers");
                (void)err_set(err, "tls.ciphers: no TLS 1.2 cipher matches \"%s\"", text);
            }
            mem_free(text);
            if (result != 1) {
                return -1;
            }
        }
        word += len + (word[len] != '\0');
    }
    return 0;
}

/* Is there a TLS 1.2 cipher that encrypts and authenticates? OpenSSL takes other lists too, then refuses clients. */
static bool has_usable_cipher(SSL_CTX *ctx) {
    STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(ctx);
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
        const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
        bool is_tls13 = SSL_CIPHER_get_auth_nid(cipher) == NID_auth_any;
        if (!is_tls13 && SSL_CIPHER_get_bits(cipher, NULL) >= 112 && SSL_CIPHER_get_auth_nid(cipher) != NID_auth_null) {
            return true;
        }
    }
    return false;
}

static int set_ciphers(SSL_CTX *ctx, const char *ciphers, struct err *err) {
    const char *list = strcmp(ciphers, "secure") == 0 ? SECURE_CIPHERS : ciphers;
    if (check_cipher_words(ctx, list, err) != 0) {
        return -1;
    }
    if (SSL_CTX_set_cipher_list(ctx, list) != 1) {
        openssl_drain(NULL, "tls.ciphers");
        return err_set(err, "tls.ciphers: no cipher matches \"%s\"", list);
    }
    if (!has_usable_cipher(ctx)) {
        return err_set(err, "tls.ciphers: no cipher of \"%s\" encrypts and authenticates", list);
    }
    if (SSL_CTX_set_ciphersuites(ctx, TLS13_SUITES) != 1) {
        openssl_drain(err, "TLS 1.3 cipher suites");
        return -1;
    }
    /* A list may have brought its own "@SECLEVEL". */
    SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
    return 0;
}

static int set_groups(SSL_CTX *ctx, const char *groups, struct err *err) {
    char *list = mem_strdup(groups); /* the macro casts const away */
    bool is_known = SSL_CTX_set1_groups_list(ctx, list) == 1;
    mem_free(list);
    if (!is_known) {
        openssl_drain(NULL, "tls.groups");
        return err_set(err, "tls.groups: \"%s\" is not a list of groups that OpenSSL knows, such as \"X25519:P-256\"",
                       groups);
    }
    return 0;
}

static int set_sessions(SSL_CTX *ctx, long session_timeout, struct err *err) {
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_get_cb(ctx, session_find);
    if (session_timeout <= 0) {
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    } else {
        SSL_CTX_set_timeout(ctx, session_timeout);
    }
    if (SSL_CTX_set_num_tickets(ctx, session_timeout > 0 ? 1 : 0) != 1 ||
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key_use) != 1 ||
        SSL_CTX_set_session_ticket_cb(ctx, ticket_generate, ticket_decide, NULL) != 1 ||
        SSL_CTX_set_max_early_data(ctx, 0) != 1 || SSL_CTX_set_recv_max_early_data(ctx, 0) != 1) {
        openssl_drain(err, "TLS sessions");
        return -1;
    }
    return 0;
}

static int set_up(SSL_CTX *ctx, const struct tls_profile_source *source, struct err *err) {
    SSL_CTX_clear_options(ctx, SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION | SSL_OP_ALLOW_CLIENT_RENEGOTIATION |
                                   SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_ALLOW_NO_DHE_KEX);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                 SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_max_cert_list(ctx, source->certificate_chain_size > 0 &&
                                           source->certificate_chain_size < MAX_HANDSHAKE_MESSAGE
                                       ? (long)source->certificate_chain_size
                                       : MAX_HANDSHAKE_MESSAGE);
    SSL_CTX_set_client_hello_cb(ctx, sni_select, NULL);
    SSL_CTX_set_tlsext_servername_callback(ctx, sni_acknowledge);
    SSL_CTX_set_cert_cb(ctx, sni_present, NULL);
    SSL_CTX_set_alpn_select_cb(ctx, select_protocol, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, verify_record, NULL);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    if (set_versions(ctx, source->min_version, err) != 0 || set_ciphers(ctx, source->ciphers, err) != 0 ||
        set_groups(ctx, source->groups, err) != 0 || set_sessions(ctx, source->session_timeout, err) != 0) {
        return -1;
    }
    return 0;
}

struct tls_profile *tls_profile_new(const struct tls_profile_source *source, struct ticket_keys *keys,
                                    struct err *err) {
    SSL_CTX *ctx = SSL_CTX_new_ex(pki_library(), NULL, TLS_server_method());
    if (!ctx) {
        openssl_drain(err, "TLS");
        return NULL;
    }
    if (set_up(ctx, source, err) != 0) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    struct tls_profile *profile = NEW(struct tls_profile);
    *profile = (struct tls_profile){.refs = 1,
                                    .ctx = ctx,
                                    .keys = keys,
                                    .cache = verify_cache_new(),
                                    .session_timeout = source->session_timeout,
                                    .has_stateless_tickets = source->has_stateless_tickets,
                                    .clock = clock_wall};
    return profile;
}

struct tls_profile *tls_profile_ref(struct tls_profile *profile) {
    profile->refs++;
    return profile;
}

void tls_profile_unref(struct tls_profile **profile_ptr) {
    struct tls_profile *profile = *profile_ptr;
    *profile_ptr = NULL;
    if (profile && --profile->refs == 0) {
        SSL_CTX_free(profile->ctx);
        verify_cache_free(&profile->cache);
        mem_free(profile);
    }
}

SSL_CTX *tls_profile_ctx(const struct tls_profile *profile) { return profile->ctx; }
const struct ticket_keys *tls_profile_ticket_keys(const struct tls_profile *profile) { return profile->keys; }
struct verify_cache *tls_profile_cache(const struct tls_profile *profile) {
    return profile->cache;
}
long tls_profile_session_timeout(const struct tls_profile *profile) { return profile->session_timeout; }
bool tls_profile_keeps_sessions(const struct tls_profile *profile) {
    return profile->session_timeout > 0 && !profile->has_stateless_tickets && ticket_keys_store(profile->keys);
}
time_t tls_profile_now(const struct tls_profile *profile) { return profile->clock(); }
void tls_profile_set_clock(struct tls_profile *profile, time_t (*clock)(void)) { profile->clock = clock; }
