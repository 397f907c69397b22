/*
 * peer: the facts of a connection, taken out of the handshake when it ends. stream_tls makes it, the client of the
 * proxy owns it, policy, headers and logs read it. Only peer_reverify() changes it, and only the report.
 */
#include "tls/peer.h"

#include <openssl/ssl.h>

#include "base/clock.h"
#include "base/mem.h"
#include "handshake_priv.h"

static void copy_generation(struct peer *peer, const struct trust *trust) {
    if (trust) {
        memcpy(peer->trust_generation, trust_generation(trust), SHA256_SIZE);
    } else {
        memset(peer->trust_generation, 0, SHA256_SIZE);
    }
}

struct peer *peer_capture(struct handshake *handshake, const SSL *ssl) {
    struct presented *presented = SSL_session_reused(ssl) ? &handshake->resumed : &handshake->full;
    if (!presented->leaf) {
        verify_report_fini(&presented->report);
        verify_none(&presented->report);
    }
    struct peer *peer = NEW(struct peer);
    *peer = (struct peer){
        .host = handshake->host ? tls_host_ref(handshake->host) : NULL,
        .has_sni = handshake->has_sni,
        .tls_version = SSL_get_version(ssl),
        .cipher = SSL_get_cipher_name(ssl),
        .resumed = SSL_session_reused(ssl),
        .leaf = presented->leaf,
        .sent = presented->sent,
        .report = presented->report,
        .first_authenticated =
            presented->first_authenticated ? presented->first_authenticated : tls_profile_now(handshake->profile),
        .handshake_us = clock_mono_us() - handshake->accepted_us,
    };
    *presented = (struct presented){0}; /* moved */
    peer->server_name = mem_strdup(handshake->server_name);
    copy_generation(peer, handshake->host ? tls_host_trust(handshake->host) : NULL);
    return peer;
}

struct peer *peer_stand_in(struct cert *leaf, const struct cert_list *sent) {
    struct peer *peer = NEW(struct peer);
    *peer = (struct peer){.tls_version = "", .cipher = "", .leaf = cert_ref(leaf)};
    for (size_t i = 0; i < sent->count; i++) {
        cert_list_add(&peer->sent, sent->items[i]);
    }
    verify_none(&peer->report);
    return peer;
}

const struct identity *peer_identity(struct peer *peer) {
    if (!peer->identity && peer->leaf) {
        peer->identity = identity_new(peer->leaf, &peer->report);
    }
    return peer->identity;
}

static void report_without_trust(struct verify_report *report_out) {
    verify_none(report_out);
    report_out->reason = REASON_CERTIFICATE_UNTRUSTED;
    report_out->faults = 1ull << REASON_CERTIFICATE_UNTRUSTED;
    report_out->openssl_error = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
    (void)snprintf(report_out->detail, sizeof report_out->detail, "this hostname has no CA bundle any more");
    (void)snprintf(report_out->verified_text, sizeof report_out->verified_text, "FAILED:%s",
                   X509_verify_cert_error_string(report_out->openssl_error));
}

/* The identity tells of the report only who issued the leaf. */
static bool has_same_issuer(const struct verify_report *a, const struct verify_report *b) {
    const struct cert *issuer_a = a->chain.count > 1 ? a->chain.items[1] : NULL;
    const struct cert *issuer_b = b->chain.count > 1 ? b->chain.items[1] : NULL;
    if (!issuer_a || !issuer_b) {
        return issuer_a == issuer_b;
    }
    return memcmp(cert_sha256(issuer_a), cert_sha256(issuer_b), SHA256_SIZE) == 0;
}

void peer_reverify(struct peer *peer, const struct trust *trust, time_t now) {
    uint8_t before[SHA256_SIZE];
    memcpy(before, peer->trust_generation, SHA256_SIZE);
    copy_generation(peer, trust);
    bool is_same_trust = memcmp(before, peer->trust_generation, SHA256_SIZE) == 0;
    if (!peer->leaf || (is_same_trust && (!trust || verify_is_current(&peer->report, now)))) {
        return;
    }
    struct verify_report report;
    if (trust) {
        verify_chain(trust, peer->leaf, &peer->sent, now, NULL, &report);
    } else {
        report_without_trust(&report);
    }
    if (!has_same_issuer(&peer->report, &report)) {
        identity_free(&peer->identity);
    }
    verify_report_fini(&peer->report);
    peer->report = report;
    peer->revision++;
}

void peer_revoke(struct peer *peer, time_t revoked_at, int revocation_reason, int depth) {
    verify_report_revoke(&peer->report, revoked_at, revocation_reason, depth);
    peer->revision++;
}

void peer_free(struct peer **peer_ptr) {
    struct peer *peer = *peer_ptr;
    *peer_ptr = NULL;
    if (!peer) {
        return;
    }
    identity_free(&peer->identity);
    verify_report_fini(&peer->report);
    cert_list_fini(&peer->sent);
    cert_unref(&peer->leaf);
    tls_host_unref(&peer->host);
    mem_free(peer->server_name);
    mem_free(peer);
}
