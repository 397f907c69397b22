/*
 * sni: from the ClientHello to the hostname, once. The library has parsed the message; the callback here reads the
 * server_name extension out of it, asks the owner for the host and puts that host on the connection: before sessions
 * are looked up, before anything is chosen by certificate (sec-01, sec-06).
 *
 * After a HelloRetryRequest the callback runs again: the same name changes nothing, another one ends the handshake. All
 * later code uses what was recorded here, never SSL_get_servername().
 */
#include <openssl/ssl.h>

#include "handshake_priv.h"
#include "http/target.h"

#define HOST_NAME_MAX_BYTES 255
#define NAME_TYPE_HOST_NAME 0

static size_t read_u16(const char *p) { return (size_t)((unsigned char)p[0] << 8 | (unsigned char)p[1]); }

/* RFC 6066 section 3: a list length, then type, length and name; one entry, nothing after it. */
bool sni_parse(struct slice extension, struct slice *name_out) {
    if (extension.len < 5 || read_u16(extension.ptr) != extension.len - 2) {
        return false;
    }
    struct slice entry = slice_after(extension, 2);
    size_t name_len = read_u16(entry.ptr + 1);
    if (entry.ptr[0] != NAME_TYPE_HOST_NAME || name_len != entry.len - 3 || name_len == 0 ||
        name_len > HOST_NAME_MAX_BYTES) {
        return false;
    }
    *name_out = slice_after(entry, 3);
    return true;
}

static int refuse(struct handshake *handshake, int *alert, int description, enum reason reason, const char *detail) {
    handshake_refuse(handshake, reason, "%s", detail);
    *alert = description;
    return SSL_CLIENT_HELLO_ERROR;
}

static int refuse_name(struct handshake *handshake, int *alert, struct slice raw) {
    struct sbuf text;
    sbuf_init(&text, 2048);
    sbuf_append_str(&text, "the name in the client's SNI is not a host name: ");
    sbuf_append_printable(&text, slice_first(raw, 64));
    int result = refuse(handshake, alert, SSL_AD_UNRECOGNIZED_NAME, REASON_UNKNOWN_HOSTNAME, sbuf_text(&text));
    sbuf_fini(&text);
    return result;
}

/* The version is chosen later, but TLS 1.3 is when it is offered here (RFC 8446 section 4.2.1). */
static bool offers_tls13(SSL *ssl) {
    const unsigned char *versions = NULL;
    size_t len = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &versions, &len) != 1) {
        return false;
    }
    for (size_t i = 1; i + 1 < len; i += 2) {
        if (read_u16((const char *)versions + i) == TLS1_3_VERSION) {
            return true;
        }
    }
    return false;
}

/* Names under a wildcard are hosts of their own (RFC 6066 section 3: no resumption under another name). */
static bool bind_session(struct handshake *handshake, SSL *ssl) {
    const uint8_t *binding = tls_host_binding(handshake->host);
    memcpy(handshake->binding, binding, SHA256_SIZE);
    if (tls_host_name(handshake->host)[0] != '*') {
        return true; /* as the host was applied */
    }
    char bytes[SHA256_SIZE + sizeof handshake->server_name];
    size_t len = strlen(handshake->server_name);
    memcpy(bytes, binding, SHA256_SIZE);
    memcpy(bytes + SHA256_SIZE, handshake->server_name, len);
    sha256(slice_make(bytes, SHA256_SIZE + len), handshake->binding);
    return SSL_set_session_id_context(ssl, handshake->binding, SHA256_SIZE) == 1;
}

static int choose_host(struct handshake *handshake, SSL *ssl, int *alert) {
    struct slice name = handshake->has_sni ? slice_of(handshake->server_name) : SLICE_NONE;
    enum reason reason = handshake->select(handshake->owner, name, &handshake->host);
    if (reason != REASON_NONE) {
        handshake_refuse(handshake, reason, "%s", reason_sentence(reason));
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_CLIENT_HELLO_ERROR;
    }
    INVARIANT(handshake->host);
    if (!handshake->has_sni) {
        (void)snprintf(handshake->server_name, sizeof handshake->server_name, "%s", tls_host_name(handshake->host));
    }
    if (tls_host_apply(handshake->host, ssl) != 0 || !bind_session(handshake, ssl)) {
        return refuse(handshake, alert, SSL_AD_INTERNAL_ERROR, REASON_HANDSHAKE_FAILED,
                      "the hostname's settings could not be put on the connection");
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

int sni_select(SSL *ssl, int *alert, void *arg) {
    (void)arg;
    struct handshake *handshake = handshake_of(ssl);
    if (!handshake) { /* a second handshake on the connection */
        *alert = SSL_AD_NO_RENEGOTIATION;
        return SSL_CLIENT_HELLO_ERROR;
    }
    bool is_second = handshake->has_hello;
    handshake->has_hello = true;

    char name[sizeof handshake->server_name] = "";
    const unsigned char *extension = NULL;
    size_t extension_len = 0;
    bool has_sni = SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &extension, &extension_len) == 1;
    struct slice raw = SLICE_NONE;
    if (has_sni && !sni_parse(slice_make(extension, extension_len), &raw)) {
        return refuse(handshake, alert, SSL_AD_DECODE_ERROR, REASON_HANDSHAKE_FAILED,
                      "the client's SNI extension is malformed");
    }
    if (has_sni && !host_normalise(raw, name)) {
        return refuse_name(handshake, alert, raw);
    }
    if (!is_second) {
        if (tls_profile_keeps_sessions(handshake->profile) && offers_tls13(ssl)) {
            SSL_set_options(ssl,
                            SSL_OP_NO_TICKET); /* tickets name what is kept here; TLS 1.2 ones hold it themselves */
        }
        handshake->has_sni = has_sni;
        (void)snprintf(handshake->server_name, sizeof handshake->server_name, "%s", name);
        return choose_host(handshake, ssl, alert);
    }
    if (has_sni != handshake->has_sni || (has_sni && strcmp(name, handshake->server_name) != 0)) {
        return refuse(handshake, alert, SSL_AD_ILLEGAL_PARAMETER, REASON_HANDSHAKE_FAILED,
                      "the client's second ClientHello names another host than its first");
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

int sni_present(SSL *ssl, void *arg) {
    (void)arg;
    struct handshake *handshake = handshake_of(ssl);
    if (handshake && handshake->host && tls_host_present(handshake->host, ssl) == 0) {
        return 1;
    }
    if (handshake) {
        handshake_refuse(handshake, REASON_HANDSHAKE_FAILED,
                         "the hostname's certificates could not be put on the connection");
    }
    return 0;
}

/* Lets the client see that its SNI was used. */
int sni_acknowledge(SSL *ssl, int *alert, void *arg) {
    (void)ssl;
    (void)alert;
    (void)arg;
    return SSL_TLSEXT_ERR_OK;
}
