/* token_claims: see the header. Called by tokens.c. */
#include "proxy/token_claims.h"

#include <string.h>

#define SHORTEST_S 60
/* Beyond this the cookie would not fit into what browsers take. */
#define CHAIN_BUDGET 1400

static bool has_certificate(const struct token_subject *subject) {
    return subject->peer->leaf && subject->peer->report.reason == REASON_NONE;
}

static int64_t session_of(const struct token_subject *subject) {
    return subject->session_s > 0 ? subject->session_s : SHORTEST_S;
}

/* The first that vouches. */
static struct slice bundle_of(const struct token_subject *subject) {
    uint64_t bundles = subject->peer->report.bundles;
    for (size_t i = 0; subject->trust && i < trust_bundle_count(subject->trust); i++)
        if (bundles & 1ull << i)
            return slice_of(trust_bundle_name(subject->trust, i));
    return SLICE_NONE;
}

static void add_names(struct claims *claims, enum claims_name kind, const struct texts *names) {
    for (size_t i = 0; i < names->count; i++)
        claims_add_name(claims, kind, names->items[i]);
}

/* Intermediates only while the cookie stays small enough: the CA bundle may have them, too. */
static void add_chain(const struct token_subject *subject, struct claims *claims) {
    const struct peer *peer = subject->peer;
    struct slice leaf = cert_der(peer->leaf);
    size_t size = leaf.len;
    if (leaf.len > CLAIMS_CERTIFICATE_MAX)
        return;
    claims->certificate = leaf;
    for (size_t i = 0; i < peer->sent.count && claims->chain_count < CLAIMS_CHAIN_MAX; i++) {
        struct slice der = cert_der(peer->sent.items[i]);
        size += der.len;
        if (size > CHAIN_BUDGET)
            return;
        claims->chain[claims->chain_count++] = der;
    }
}

void token_claims_fill(const struct token_subject *subject, struct claims *claims_out) {
    *claims_out = (struct claims){.audience = slice_of(subject->application->aud),
                                  .hostname = subject->hostname,
                                  .session_s = session_of(subject)};
    if (!has_certificate(subject))
        return;
    const struct identity *identity = peer_identity(subject->peer);
    claims_out->has_certificate = true;
    memcpy(claims_out->leaf_sha256, cert_sha256(subject->peer->leaf), CLAIMS_DIGEST_SIZE);
    memcpy(claims_out->anchor_sha256, subject->peer->report.anchor_sha256, CLAIMS_DIGEST_SIZE);
    claims_out->not_after = subject->peer->report.not_after;
    claims_out->common_name = identity->common_name;
    claims_out->subject_dn = identity->subject_dn;
    claims_out->issuer_dn = identity->issuer_dn;
    claims_out->serial = identity->serial;
    claims_out->ca_bundle = bundle_of(subject);
    claims_fit(claims_out);
    add_names(claims_out, CLAIMS_DNS, &identity->san_dns);
    add_names(claims_out, CLAIMS_URI, &identity->san_uri);
    add_names(claims_out, CLAIMS_EMAIL, &identity->san_email);
    add_names(claims_out, CLAIMS_IP, &identity->san_ip);
    if (subject->application->certificate_session)
        add_chain(subject, claims_out);
}

static size_t put(char *key, size_t at, size_t size, const void *bytes, size_t len) {
    if (len > size - at)
        len = size - at;
    memcpy(key + at, bytes, len);
    return at + len;
}

size_t token_subject_key(const struct token_subject *subject, char *key_out, size_t size) {
    const struct peer *peer = subject->peer;
    bool is_known = has_certificate(subject);
    int64_t session_s = session_of(subject);
    const struct application *application = subject->application;
    char flags[] = {(char)is_known, (char)application->certificate_session, (char)application->http_only_cookie,
                    (char)application->same_site_cookie, (char)application->path_cookie};
    size_t at = put(key_out, 0, size, flags, sizeof flags);
    at = put(key_out, at, size, subject->application->aud, 64);
    at = put(key_out, at, size, &session_s, sizeof session_s);
    if (is_known) {
        struct slice bundle = bundle_of(subject);
        at = put(key_out, at, size, cert_sha256(peer->leaf), SHA256_SIZE);
        at = put(key_out, at, size, peer->report.anchor_sha256, SHA256_SIZE);
        at = put(key_out, at, size, &peer->report.not_after, sizeof peer->report.not_after);
        at = put(key_out, at, size, bundle.ptr ? bundle.ptr : "", bundle.len);
    }
    at = put(key_out, at, size, "", 1);
    at = put(key_out, at, size, subject->hostname.ptr, subject->hostname.len);
    at = put(key_out, at, size, "", 1);
    struct slice issuer = slice_of(subject->issuer);
    return put(key_out, at, size, issuer.ptr ? issuer.ptr : "", issuer.len);
}
