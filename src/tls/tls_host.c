/*
 * tls_host: one hostname's part of a handshake, prepared once: certificate chains and CA names as OpenSSL wants them,
 * and the digest that sessions are bound to. The ClientHello callback (sni.c) puts on the connection what counts before
 * sessions are looked up, with tls_host_apply(); what only full handshakes need follows with tls_host_present().
 *
 * Everything is set on the SSL itself. Nothing comes by switching its SSL_CTX: that leaves verification settings and
 * ticket keys behind, and comes after the session was looked up.
 */
#include "tls/tls_host.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/mem.h"
#include "handshake_priv.h"

/* Everything but the CRLs of the trust: stays when nothing but they change. What is made of certificates is made at the
 * first ClientHello for the host: until then nobody has decoded them. */
struct host_core {
    unsigned refs;
    char *name;
    struct keypair **keypairs;
    size_t keypair_count;
    enum client_certificate mode;
    bool is_ready;                  /* chains, ca_names and binding are there */
    STACK_OF(X509) * *chains;       /* the certificates after the leaf, for each keypair */
    STACK_OF(X509_NAME) * ca_names; /* NULL: send none */
    uint8_t binding[SHA256_SIZE];
};

struct tls_host {
    unsigned refs;
    struct host_core *core; /* a reference */
    struct trust *trust;
};

static int check_source(const struct tls_host_source *source, struct err *err) {
    if (source->keypair_count == 0) {
        return err_set(err, "hostname %s has no certificate", source->name);
    }
    for (size_t i = 0; i < source->keypair_count; i++) {
        for (size_t j = 0; j < i; j++) {
            const char *type = keypair_type(source->keypairs[i]);
            if (strcmp(type, keypair_type(source->keypairs[j])) == 0) {
                return err_set(err, "hostname %s has two certificates of type %s", source->name, type);
            }
        }
    }
    if (source->mode != CLIENT_CERTIFICATE_OFF && !source->trust) {
        return err_set(err, "hostname %s asks for client certificates but has no CA bundle", source->name);
    }
    return 0;
}

static int build_chain(const struct keypair *keypair, STACK_OF(X509) * *chain_out) {
    const struct cert_list *certs = keypair_chain(keypair);
    *chain_out = sk_X509_new_null();
    if (!*chain_out) {
        return -1;
    }
    for (size_t i = 1; i < certs->count; i++) {
        if (!X509_add_cert(*chain_out, cert_x509(certs->items[i]), X509_ADD_FLAG_UP_REF)) {
            return -1;
        }
    }
    return 0;
}

static int build_ca_names(struct host_core *core, const struct trust *trust) {
    const struct cert *const *certs = NULL;
    size_t count = core->mode == CLIENT_CERTIFICATE_OFF ? 0 : trust_ca_names(trust, &certs);
    if (count == 0) {
        return 0;
    }
    core->ca_names = sk_X509_NAME_new_null();
    for (size_t i = 0; core->ca_names && i < count; i++) {
        X509_NAME *name = X509_NAME_dup(X509_get_subject_name(cert_x509(certs[i])));
        if (!name || !sk_X509_NAME_push(core->ca_names, name)) {
            X509_NAME_free(name);
            return -1;
        }
    }
    return core->ca_names ? 0 : -1;
}

/* Length, name, mode, trust: no two different hosts give the same bytes. */
static void compute_binding(struct host_core *core, const struct trust *trust) {
    static const uint8_t NO_TRUST[SHA256_SIZE];
    struct sbuf bytes;
    sbuf_init(&bytes, 4096);
    sbuf_append_str(&bytes, "sallyport session 1\n");
    sbuf_append_u64(&bytes, strlen(core->name));
    sbuf_append_char(&bytes, '\n');
    sbuf_append_str(&bytes, core->name);
    sbuf_append_char(&bytes, (char)('0' + (int)core->mode));
    sbuf_append(&bytes, slice_make(trust ? trust_id(trust) : NO_TRUST, SHA256_SIZE));
    INVARIANT(!bytes.overflow);
    sha256(sbuf_slice(&bytes), core->binding);
    sbuf_fini(&bytes);
}

static void core_unref(struct host_core *core) {
    if (!core || --core->refs > 0) {
        return;
    }
    for (size_t i = 0; i < core->keypair_count; i++) {
        sk_X509_pop_free(core->chains[i], X509_free);
        keypair_unref(&core->keypairs[i]);
    }
    sk_X509_NAME_pop_free(core->ca_names, X509_NAME_free);
    mem_free(core->chains);
    mem_free(core->keypairs);
    mem_free(core->name);
    mem_free(core);
}

/* Everything that is made of certificates, once. 0, or -1 with OpenSSL's error queue. */
static int core_prepare(struct host_core *core, const struct trust *trust) {
    if (core->is_ready) {
        return 0;
    }
    for (size_t i = 0; i < core->keypair_count; i++) {
        sk_X509_pop_free(core->chains[i], X509_free);
        if (build_chain(core->keypairs[i], &core->chains[i]) != 0) {
            return -1;
        }
    }
    if (build_ca_names(core, trust) != 0) {
        return -1;
    }
    compute_binding(core, trust);
    core->is_ready = true;
    return 0;
}

static struct host_core *core_new(const struct tls_host_source *source) {
    struct host_core *core = NEW(struct host_core);
    core->refs = 1;
    core->name = mem_strdup(source->name);
    core->mode = source->mode;
    core->keypairs = NEW_ARRAY(struct keypair *, source->keypair_count);
    core->chains = NEW_ARRAY(STACK_OF(X509) *, source->keypair_count);
    core->keypair_count = source->keypair_count;
    for (size_t i = 0; i < source->keypair_count; i++) {
        core->keypairs[i] = keypair_ref(source->keypairs[i]);
    }
    return core;
}

/* Takes over the reference of core. */
static struct tls_host *host_of(struct host_core *core, struct trust *trust) {
    struct tls_host *host = NEW(struct tls_host);
    host->refs = 1;
    host->core = core;
    host->trust = trust ? trust_ref(trust) : NULL;
    return host;
}

struct tls_host *tls_host_new(const struct tls_host_source *source, struct err *err) {
    if (check_source(source, err) != 0) {
        return NULL;
    }
    return host_of(core_new(source), source->trust);
}

struct tls_host *tls_host_with_crls(const struct tls_host *host, struct trust *trust) {
    /* Nothing was made of the old one before the host is ready. */
    INVARIANT(host->trust &&
              (!host->core->is_ready || memcmp(trust_id(host->trust), trust_id(trust), SHA256_SIZE) == 0));
    host->core->refs++;
    return host_of(host->core, trust);
}

struct keypair *tls_host_keypair(const struct tls_host *host, size_t index) {
    INVARIANT(index < host->core->keypair_count);
    return host->core->keypairs[index];
}

struct tls_host *tls_host_ref(struct tls_host *host) {
    host->refs++;
    return host;
}

void tls_host_unref(struct tls_host **host_ptr) {
    struct tls_host *host = *host_ptr;
    *host_ptr = NULL;
    if (!host || --host->refs > 0) {
        return;
    }
    core_unref(host->core);
    trust_unref(&host->trust);
    mem_free(host);
}

const char *tls_host_name(const struct tls_host *host) { return host->core->name; }
struct trust *tls_host_trust(const struct tls_host *host) {
    return host->trust;
}
enum client_certificate tls_host_mode(const struct tls_host *host) { return host->core->mode; }
const uint8_t *tls_host_binding(const struct tls_host *host) {
    INVARIANT(core_prepare(host->core, host->trust) == 0);
    return host->core->binding;
}

static int verify_mode_of(const struct tls_host *host) {
    switch (host->core->mode) {
    case CLIENT_CERTIFICATE_REQUEST:
        return SSL_VERIFY_PEER;
    case CLIENT_CERTIFICATE_REQUIRE:
        return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    default:
        return SSL_VERIFY_NONE;
    }
}

int tls_host_apply(const struct tls_host *host, SSL *ssl) {
    if (core_prepare(host->core, host->trust) != 0 ||
        SSL_set_session_id_context(ssl, host->core->binding, sizeof host->core->binding) != 1) {
        openssl_drain(NULL, "hostname");
        return -1;
    }
    SSL_set_verify(ssl, verify_mode_of(host), NULL);
    return 0;
}

/* The SSL frees its list with the names in it, and names cannot be counted; so it gets a list of its own with names
 * that are ours, and tls_host_take_back() empties that. */
static int lend_ca_names(const struct tls_host *host, SSL *ssl) {
    tls_host_take_back(ssl);
    if (!host->core->ca_names) {
        return 0;
    }
    STACK_OF(X509_NAME) *names = sk_X509_NAME_dup(host->core->ca_names);
    if (!names) {
        return -1;
    }
    SSL_set0_CA_list(ssl, names);
    return 0;
}

void tls_host_take_back(SSL *ssl) {
    STACK_OF(X509_NAME) *names = (STACK_OF(X509_NAME) *)(uintptr_t)SSL_get0_CA_list(ssl);
    sk_X509_NAME_zero(names);
    SSL_set0_CA_list(ssl, NULL);
}

int tls_host_present(const struct tls_host *host, SSL *ssl) {
    for (size_t i = 0; i < host->core->keypair_count; i++) {
        const struct keypair *keypair = host->core->keypairs[i];
        X509 *leaf = cert_x509(keypair_chain(keypair)->items[0]);
        if (SSL_use_cert_and_key(ssl, leaf, keypair_key(keypair), host->core->chains[i], 1) != 1) {
            goto failed;
        }
    }
    if (lend_ca_names(host, ssl) != 0) {
        goto failed;
    }
    return 0;

failed:
    openssl_drain(NULL, "hostname");
    return -1;
}
