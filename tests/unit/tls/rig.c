/*
 * rig: see rig.h. OpenSSL's error queue is one for both sides: the client's errors are taken out after each of its steps, the
 * server must leave none after each of its own.
 */
#include "tls/rig.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "pki/crl.h"
#include "pki/keypair.h"
#include "pki/trust.h"
#include "../../../src/tls/handshake_priv.h"

#define HOUR 3600
#define DAY 86400

/* ---- certificates ---- */

static EVP_PKEY *make_key(const char *type) {
    if (!type || strcmp(type, "P-256") == 0) {
        return EVP_EC_gen("P-256");
    }
    if (strcmp(type, "P-224") == 0) {
        return EVP_EC_gen("P-224");
    }
    if (strcmp(type, "RSA") == 0) {
        return EVP_RSA_gen(2048);
    }
    if (strcmp(type, "RSA-1024") == 0) {
        return EVP_RSA_gen(1024);
    }
    return EVP_PKEY_Q_keygen(NULL, NULL, type);
}

static void add_extension(X509 *x509, X509 *issuer, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    ck_assert_ptr_nonnull(extension);
    ck_assert_int_eq(X509_add_ext(x509, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static void add_padding(X509 *x509, size_t size) {
    char *text = mem_new(size + 1);
    memset(text, 'x', size);
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(octets, (unsigned char *)text, (int)size);
    ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.4.1.99999.1", 1);
    X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, octets);
    ck_assert_int_eq(X509_add_ext(x509, extension, -1), 1);
    X509_EXTENSION_free(extension);
    ASN1_OBJECT_free(oid);
    ASN1_OCTET_STRING_free(octets);
    mem_free(text);
}

struct issued issue(const struct issue_plan *plan) {
    static long serial = 1000;
    struct issued made = {.x509 = X509_new(), .key = make_key(plan->key)};
    ck_assert_ptr_nonnull(made.key);
    const struct issued *issuer = plan->issuer ? plan->issuer : &made;
    time_t now = time(NULL);
    X509_set_version(made.x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made.x509), ++serial);
    X509_NAME *name = X509_get_subject_name(made.x509);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)plan->common_name, -1, -1, 0);
    X509_set_issuer_name(made.x509, X509_get_subject_name(issuer->x509));
    ASN1_TIME_set(X509_getm_notBefore(made.x509), plan->not_before ? plan->not_before : now - HOUR);
    ASN1_TIME_set(X509_getm_notAfter(made.x509), plan->not_after ? plan->not_after : now + DAY);
    X509_set_pubkey(made.x509, made.key);
    add_extension(made.x509, issuer->x509, NID_subject_key_identifier, "hash");
    if (plan->is_ca) {
        add_extension(made.x509, issuer->x509, NID_basic_constraints, "critical,CA:TRUE");
        add_extension(made.x509, issuer->x509, NID_key_usage, "critical,keyCertSign,cRLSign");
    } else {
        const char *eku = plan->extended_key_usage ? plan->extended_key_usage : "clientAuth,serverAuth";
        add_extension(made.x509, issuer->x509, NID_basic_constraints, "CA:FALSE");
        if (*eku) {
            add_extension(made.x509, issuer->x509, NID_ext_key_usage, eku);
        }
    }
    if (plan->padding > 0) {
        add_padding(made.x509, plan->padding);
    }
    bool is_eddsa = EVP_PKEY_is_a(issuer->key, "ED25519");
    ck_assert_int_gt(X509_sign(made.x509, issuer->key, is_eddsa ? NULL : EVP_sha256()), 0);
    ERR_clear_error();
    return made;
}

void issued_fini(struct issued *issued) {
    X509_free(issued->x509);
    EVP_PKEY_free(issued->key);
    *issued = (struct issued){0};
}

static long read_slice(void *source, void *buf, size_t size) {
    struct slice *rest = source;
    size_t n = size < rest->len ? size : rest->len;
    memcpy(buf, rest->ptr, n);
    *rest = slice_after(*rest, n);
    return (long)n;
}

static struct cert_list list_of(const struct issued *issued) {
    struct cert_list list = {0};
    struct cert *cert = cert_from_x509(issued->x509);
    cert_list_add(&list, cert);
    cert_unref(&cert);
    return list;
}

struct crl *issue_crl(const struct issued *issuer, const struct issued *const *revoked, time_t next_update) {
    static long number = 0;
    X509_CRL *made = X509_CRL_new();
    X509_CRL_set_version(made, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(made, X509_get_subject_name(issuer->x509));
    ASN1_TIME *when = ASN1_TIME_set(NULL, time(NULL) - HOUR);
    X509_CRL_set1_lastUpdate(made, when);
    for (; revoked && *revoked; revoked++) {
        X509_REVOKED *entry = X509_REVOKED_new();
        X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber((*revoked)->x509));
        X509_REVOKED_set_revocationDate(entry, when);
        X509_CRL_add0_revoked(made, entry);
    }
    ASN1_TIME_set(when, next_update ? next_update : time(NULL) + DAY);
    X509_CRL_set1_nextUpdate(made, when);
    ASN1_TIME_free(when);
    ASN1_INTEGER *crl_number = ASN1_INTEGER_new();
    ASN1_INTEGER_set(crl_number, ++number);
    X509_CRL_add1_ext_i2d(made, NID_crl_number, crl_number, 0, 0);
    ASN1_INTEGER_free(crl_number);
    X509_CRL_sort(made);
    ck_assert_int_gt(X509_CRL_sign(made, issuer->key, EVP_sha256()), 0);
    unsigned char *der = NULL;
    int len = i2d_X509_CRL(made, &der);
    ck_assert_int_gt(len, 0);
    struct slice bytes = slice_make(der, (size_t)len);
    struct cert_list issuers = list_of(issuer);
    enum crl_fault fault;
    struct err err = {""};
    struct crl *crl = crl_load(read_slice, &bytes, &issuers, &fault, &err);
    ck_assert_msg(crl != NULL, "%s", err.text);
    cert_list_fini(&issuers);
    OPENSSL_free(der);
    X509_CRL_free(made);
    ERR_clear_error();
    return crl;
}

struct trust *trust_of(const struct issued *ca, struct crl *crl) {
    struct trust_bundle bundle = {.name = "bundle", .certs = list_of(ca), .crl_require = CRL_IF_PRESENT, .crls = &crl, .crl_count = crl ? 1 : 0};
    struct err err = {""};
    struct trust *trust = trust_new(&bundle, 1, &err);
    ck_assert_msg(trust != NULL, "%s", err.text);
    cert_list_fini(&bundle.certs);
    if (crl) {
        crl_unref(&crl);
    }
    return trust;
}

const struct pki *pki(void) {
    static struct pki made;
    if (made.ca.x509) {
        return &made;
    }
    time_t now = time(NULL);
    made.ca = issue(&(struct issue_plan){.common_name = "Clients CA", .is_ca = true});
    made.other_ca = issue(&(struct issue_plan){.common_name = "Other CA", .is_ca = true});
    made.intermediate = issue(&(struct issue_plan){.common_name = "Clients Intermediate", .issuer = &made.ca, .is_ca = true});
    made.alice = issue(&(struct issue_plan){.common_name = "alice", .issuer = &made.ca});
    made.bob = issue(&(struct issue_plan){.common_name = "bob", .issuer = &made.other_ca});
    made.carol = issue(&(struct issue_plan){.common_name = "carol", .issuer = &made.intermediate});
    made.expired = issue(&(struct issue_plan){
        .common_name = "late", .issuer = &made.ca, .not_before = now - 2 * DAY, .not_after = now - DAY});
    made.server_only =
        issue(&(struct issue_plan){.common_name = "server only", .issuer = &made.ca, .extended_key_usage = "serverAuth"});
    made.server_ec = issue(&(struct issue_plan){.common_name = "server"});
    made.server_rsa = issue(&(struct issue_plan){.common_name = "server", .key = "RSA"});
    return &made;
}

/* ---- the server ---- */

static time_t fake_now;

static time_t rig_clock(void) { return rig_time(); }
void rig_set_time(time_t now) { fake_now = now; }
time_t rig_time(void) { return fake_now ? fake_now : clock_wall(); }

static struct keypair *keypair_of(const struct issued *issued) {
    BIO *cert = BIO_new(BIO_s_mem());
    BIO *key = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(cert, issued->x509);
    PEM_write_bio_PrivateKey(key, issued->key, NULL, NULL, 0, NULL, NULL);
    char *cert_text = NULL, *key_text = NULL;
    size_t cert_len = (size_t)BIO_get_mem_data(cert, &cert_text);
    size_t key_len = (size_t)BIO_get_mem_data(key, &key_text);
    struct err err = {""};
    struct keypair *keypair = keypair_from_pem(slice_make(cert_text, cert_len), slice_make(key_text, key_len), &err);
    ck_assert_msg(keypair != NULL, "%s", err.text);
    BIO_free(cert);
    BIO_free(key);
    return keypair;
}

struct tls_host *rig_host(struct rig *rig, const char *name) {
    for (size_t i = 0; i < RIG_HOSTS; i++) {
        if (rig->hosts[i] && strcmp(tls_host_name(rig->hosts[i]), name) == 0) {
            return rig->hosts[i];
        }
    }
    return NULL;
}

void rig_set_host(struct rig *rig, const char *name, enum client_certificate mode, struct trust *trust) {
    static struct keypair *pairs[2];
    if (!pairs[0]) {
        pairs[0] = keypair_of(&pki()->server_ec);
        pairs[1] = keypair_of(&pki()->server_rsa);
    }
    struct tls_host_source source = {.name = name, .keypairs = pairs, .keypair_count = 2, .mode = mode, .trust = trust};
    struct err err = {""};
    struct tls_host *host = tls_host_new(&source, &err);
    ck_assert_msg(host != NULL, "%s", err.text);
    trust_unref(&trust);
    size_t i = 0;
    while (rig->hosts[i] && strcmp(tls_host_name(rig->hosts[i]), name) != 0) {
        i++;
        ck_assert_uint_lt(i, RIG_HOSTS);
    }
    tls_host_unref(&rig->hosts[i]);
    rig->hosts[i] = host;
}

struct tls_profile_source rig_profile_source(void) {
    return (struct tls_profile_source){.min_version = "1.2",
                                       .session_timeout = 8 * HOUR,
                                       .ciphers = "secure",
                                       .groups = "X25519:P-256:P-384:P-521",
                                       .certificate_chain_size = 32768};
}

void rig_set_profile(struct rig *rig, const struct tls_profile_source *source) {
    struct tls_profile_source defaults = rig_profile_source();
    struct err err = {""};
    tls_profile_unref(&rig->profile);
    rig->profile = tls_profile_new(source ? source : &defaults, rig->keys, &err);
    ck_assert_msg(rig->profile != NULL, "%s", err.text);
    tls_profile_set_clock(rig->profile, rig_clock);
}

struct rig *rig_new(void) {
    struct rig *rig = NEW(struct rig);
    struct err err = {""};
    rig->loop = loop_new(&err);
    ck_assert_msg(rig->loop != NULL, "%s", err.text);
    rig->keys = ticket_keys_new();
    rig_set_profile(rig, NULL);
    rig_set_host(rig, "a.test", CLIENT_CERTIFICATE_REQUEST, trust_of(&pki()->ca, NULL));
    rig_set_host(rig, "b.test", CLIENT_CERTIFICATE_REQUEST, trust_of(&pki()->other_ca, NULL));
    rig_set_host(rig, "require.test", CLIENT_CERTIFICATE_REQUIRE, trust_of(&pki()->ca, NULL));
    rig_set_host(rig, "off.test", CLIENT_CERTIFICATE_OFF, NULL);
    ASSERT_QUEUE_EMPTY();
    return rig;
}

void rig_free(struct rig *rig) {
    for (size_t i = 0; i < RIG_HOSTS; i++) {
        tls_host_unref(&rig->hosts[i]);
    }
    tls_profile_unref(&rig->profile);
    ticket_keys_free(&rig->keys);
    loop_free(rig->loop);
    mem_free(rig);
    rig_set_time(0);
}

static enum reason select_host(void *owner, struct slice name, struct tls_host **host_out) {
    struct rig *rig = ((struct conn *)owner)->rig;
    rig->selected++;
    if (!name.ptr) {
        *host_out = rig->no_sni ? tls_host_ref(rig->no_sni) : NULL;
        return rig->no_sni ? REASON_NONE : REASON_SNI_MISSING;
    }
    for (size_t i = 0; i < RIG_HOSTS && rig->hosts[i]; i++) {
        if (slice_eq_str(name, tls_host_name(rig->hosts[i]))) {
            *host_out = tls_host_ref(rig->hosts[i]);
            return REASON_NONE;
        }
    }
    return REASON_UNKNOWN_HOSTNAME;
}

/* ---- one connection ---- */

static void on_event(void *owner, enum stream_event event) {
    struct conn *conn = owner;
    ASSERT_QUEUE_EMPTY();
    switch (event) {
    case STREAM_READY:
        ck_assert(!conn->is_ready && !conn->is_failed);
        conn->is_ready = true;
        conn->peer = stream_tls_take_peer(conn->stream);
        break;
    case STREAM_FAILED:
        ck_assert(!conn->is_ready && !conn->is_failed);
        conn->is_failed = true;
        stream_tls_failure(conn->stream, &conn->failure);
        break;
    case STREAM_READABLE: conn->readable++; break;
    case STREAM_WRITABLE: conn->writable++; break;
    }
}

static int keep_session(SSL *ssl, SSL_SESSION *session) {
    struct conn *conn = SSL_get_app_data(ssl);
    SSL_SESSION_free(conn->session);
    conn->session = session;
    return 1;
}

static void note_alert(const SSL *ssl, int where, int value) {
    struct conn *conn = SSL_get_app_data(ssl);
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT) {
        conn->alert = value & 0xff;
    }
}

static void set_client_certificate(SSL *ssl, const struct conn_plan *plan) {
    if (!plan->cert) {
        return;
    }
    STACK_OF(X509) *chain = sk_X509_new_null();
    for (size_t i = 0; i < 12 && plan->chain[i]; i++) {
        sk_X509_push(chain, plan->chain[i]->x509);
    }
    ck_assert_int_eq(SSL_use_cert_and_key(ssl, plan->cert->x509, plan->cert->key, chain, 1), 1);
    sk_X509_free(chain);
}

void conn_open(struct conn *conn, struct rig *rig, const struct conn_plan *plan) {
    int ends[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    *conn = (struct conn){.rig = rig, .fd = ends[1], .alert = -1};
    conn->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(conn->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(conn->ctx, keep_session);
    SSL_CTX_set_info_callback(conn->ctx, note_alert);
    SSL_CTX_set_security_level(conn->ctx, 0); /* what is refused is to be refused by the server */
    conn->ssl = SSL_new(conn->ctx);
    SSL_set_app_data(conn->ssl, conn);
    SSL_set_fd(conn->ssl, conn->fd);
    SSL_set_connect_state(conn->ssl);
    if (plan->sni) {
        SSL_set_tlsext_host_name(conn->ssl, plan->sni);
    }
    if (plan->version) {
        SSL_set_min_proto_version(conn->ssl, plan->version);
        SSL_set_max_proto_version(conn->ssl, plan->version);
    }
    set_client_certificate(conn->ssl, plan);
    if (plan->session) {
        SSL_SESSION *copy = SSL_SESSION_dup(plan->session); /* a session is used up by the connection that resumes it */
        ck_assert_int_eq(SSL_set_session(conn->ssl, copy), 1);
        SSL_SESSION_free(copy);
    }
    if (plan->tune) {
        plan->tune(conn->ssl);
    }
    ERR_clear_error();
    conn->stream = stream_tls_accept(rig->loop, ends[0], rig->profile, select_host, on_event, conn);
    ASSERT_QUEUE_EMPTY();
}

static void step_client(struct conn *conn) {
    if (conn->is_client_broken || conn->is_client_eof) {
        return;
    }
    int n;
    if (!conn->is_client_done) {
        n = SSL_do_handshake(conn->ssl);
        conn->is_client_done = n == 1;
    } else {
        n = SSL_read(conn->ssl, conn->received + conn->received_len, (int)(sizeof conn->received - conn->received_len));
        conn->received_len += n > 0 ? (size_t)n : 0;
    }
    int error = SSL_get_error(conn->ssl, n);
    if (error == SSL_ERROR_ZERO_RETURN) {
        conn->is_client_eof = true;
    } else if (n <= 0 && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        conn->is_client_broken = true;
        conn->client_error = ERR_peek_last_error();
    }
    ERR_clear_error();
}

void conn_step(struct conn *conn) {
    step_client(conn);
    loop_turn(conn->rig->loop, 0);
    ASSERT_QUEUE_EMPTY();
}

void conn_run(struct conn *conn) {
    for (int i = 0; i < 1000 && !conn->is_ready && !conn->is_failed; i++) {
        conn_step(conn);
    }
    ck_assert_msg(conn->is_ready || conn->is_failed, "the handshake does not end");
    /* tickets, alerts */
    for (int i = 0; i < 8; i++) {
        conn_step(conn);
    }
}

void conn_do(struct conn *conn, struct rig *rig, const struct conn_plan *plan) {
    conn_open(conn, rig, plan);
    conn_run(conn);
}

void conn_fini(struct conn *conn) {
    if (conn->stream) {
        stream_close(&conn->stream, false);
        ASSERT_QUEUE_EMPTY();
    }
    peer_free(&conn->peer);
    loop_turn(conn->rig->loop, 0);
    SSL_set_shutdown(conn->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* or the session could not be resumed */
    SSL_free(conn->ssl);
    SSL_SESSION_free(conn->session);
    SSL_CTX_free(conn->ctx);
    close(conn->fd);
    ERR_clear_error();
}

SSL_SESSION *conn_session(struct rig *rig, const struct conn_plan *plan) {
    struct conn conn;
    conn_do(&conn, rig, plan);
    ck_assert_msg(conn.is_ready, "%s", conn.failure.detail);
    SSL_SESSION *session = conn.session;
    conn.session = NULL;
    conn_fini(&conn);
    if (session && !SSL_SESSION_is_resumable(session)) {
        SSL_SESSION_free(session);
        session = NULL;
    }
    return session;
}

bool conn_resumes(struct rig *rig, const struct conn_plan *plan, SSL_SESSION *session) {
    struct conn conn;
    struct conn_plan with_session = *plan;
    with_session.session = session;
    conn_do(&conn, rig, &with_session);
    ck_assert_msg(conn.is_ready, "%s", conn.failure.detail);
    ck_assert_msg(conn.is_client_done && !conn.is_client_broken, "%s", ERR_reason_error_string(conn.client_error));
    bool is_resumed = conn.peer->resumed;
    ck_assert_int_eq(is_resumed, SSL_session_reused(conn.ssl));
    conn_fini(&conn);
    return is_resumed;
}

void pki_set_up(void) { (void)pki(); }
