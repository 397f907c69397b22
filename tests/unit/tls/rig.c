/*
 * rig: see rig.h. OpenSSL's error queue is one for both sides: the client's errors are taken out after each of its
 * steps, the server must leave none after each of its own.
 */
#include "tls/rig.h"

#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../../src/tls/handshake_priv.h"
#include "base/mem.h"
#include "pki/keypair.h"
#include "pki/trust.h"

#define HOUR 3600

/* ---- certificates ---- */

struct testpki issue(const struct issue_plan *plan) {
    char *padding = mem_new(plan->padding + 1);
    memset(padding, 'x', plan->padding);
    struct testpki_spec spec = {.cn = plan->common_name,
                                .issuer = plan->issuer,
                                .key = plan->key,
                                .is_ca = plan->is_ca,
                                .extended_key_usage = plan->extended_key_usage,
                                .not_before = plan->not_before,
                                .not_after = plan->not_after};
    if (plan->padding > 0) {
        spec.extra[0][0] = "nsComment";
        spec.extra[0][1] = padding;
    }
    struct testpki made = testpki_make(&spec);
    EVP_PKEY_free(plan->key);
    mem_free(padding);
    ERR_clear_error();
    return made;
}

static struct cert_list list_of(const struct testpki *made) {
    struct cert_list list = {0};
    cert_list_add(&list, made->cert);
    return list;
}

struct crl *issue_crl(const struct testpki *issuer, const struct testpki *const *revoked, time_t next_update) {
    struct testpki_revoked entries[8] = {{0}};
    char *serials[8] = {0};
    for (size_t i = 0; revoked && revoked[i]; i++) {
        serials[i] = testpki_serial_of(revoked[i]);
        entries[i] = (struct testpki_revoked){.serial = serials[i], .reason = -1};
    }
    struct sbuf der;
    sbuf_init(&der, 1 << 16);
    testpki_crl(&(struct testpki_crl_spec){.issuer = issuer, .revoked = entries, .next_update = next_update}, &der);
    enum crl_fault fault;
    struct err err = {""};
    struct crl *crl = testpki_load(sbuf_slice(&der), issuer, &fault, &err);
    ck_assert_msg(crl != NULL, "%s", err.text);
    sbuf_fini(&der);
    for (size_t i = 0; i < 8; i++) {
        OPENSSL_free(serials[i]);
    }
    ERR_clear_error();
    return crl;
}

struct trust *trust_of(const struct testpki *ca, struct crl *crl) {
    struct trust_bundle bundle = {
        .name = "bundle", .certs = list_of(ca), .crl_require = CRL_IF_PRESENT, .crls = &crl, .crl_count = crl ? 1 : 0};
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
    made.ca = testpki_root("Clients CA");
    made.other_ca = testpki_root("Other CA");
    made.intermediate = testpki_intermediate("Clients Intermediate", &made.ca);
    made.alice = testpki_client("alice", &made.ca);
    made.bob = testpki_client("bob", &made.other_ca);
    made.carol = testpki_client("carol", &made.intermediate);
    made.expired = issue(&(struct issue_plan){.common_name = "late",
                                              .issuer = &made.ca,
                                              .not_before = TESTPKI_NOW - 2 * TESTPKI_DAY,
                                              .not_after = TESTPKI_NOW - TESTPKI_DAY});
    made.server_only = issue(
        &(struct issue_plan){.common_name = "server only", .issuer = &made.ca, .extended_key_usage = "serverAuth"});
    made.server_ec = issue(&(struct issue_plan){.common_name = "server", .extended_key_usage = "serverAuth"});
    made.server_rsa = issue(&(struct issue_plan){
        .common_name = "server", .extended_key_usage = "serverAuth", .key = testpki_key_rsa(2048)});
    return &made;
}

void pki_set_up(void) { (void)pki(); }

/* ---- the server ---- */

static time_t fake_now;

static time_t rig_clock(void) { return rig_time(); }
void rig_set_time(time_t now) { fake_now = now; }
time_t rig_time(void) { return fake_now ? fake_now : TESTPKI_NOW; }

static struct keypair *keypair_of(const struct testpki *made) {
    struct sbuf cert, key;
    struct err err = {""};
    sbuf_init(&cert, 1 << 16);
    sbuf_init(&key, 1 << 16);
    testpki_cert_pem(made, &cert);
    testpki_key_pem(made, &key);
    struct keypair *keypair = keypair_from_pem(sbuf_slice(&cert), sbuf_slice(&key), &err);
    ck_assert_msg(keypair != NULL, "%s", err.text);
    sbuf_fini(&cert);
    sbuf_fini(&key);
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

void rig_keep_sessions(struct rig *rig) {
    if (!rig->memory) {
        rig->memory = mem_new(session_store_size());
        ticket_keys_keep_sessions(rig->keys, rig->memory);
    }
}

void rig_free(struct rig *rig) {
    for (size_t i = 0; i < RIG_HOSTS; i++) {
        tls_host_unref(&rig->hosts[i]);
    }
    tls_profile_unref(&rig->profile);
    ticket_keys_free(&rig->keys);
    mem_free(rig->memory);
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
    case STREAM_READABLE:
        conn->readable++;
        break;
    case STREAM_WRITABLE:
        conn->writable++;
        break;
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
