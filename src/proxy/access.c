/*
 * access: the pages under /cdn-cgi/access/ that sallyport serves itself on every protected hostname (facts 3.5, 3.6):
 *
 *   certs         the keys with which origins check tokens; for everybody
 *   get-identity  what the token in the cookie says, or else the certificate of the connection
 *   logout        takes the cookie away
 */
#include "base/clock.h"
#include "base/encode.h"
#include "base/jsonw.h"
#include "exchange_priv.h"
#include "proxy/reply.h"
#include "session/cookie.h"

#define PAGE_MAX (64 * 1024)
#define JSON_TYPE "application/json"
/* Keys are published long before they sign, so that this is no hurry; with a short key_rotation it would be. */
#define CACHE_CERTS "public, max-age=60"
#define CACHE_NEVER "no-store"
#define REMOVALS_MAX 16

static enum step_result answer(struct exchange *exchange, const struct reply_page *page) {
    exchange->verdict = (struct verdict){.effect = EFFECT_ALLOW, .decision = "public"};
    exchange_answer_page(exchange, page);
    return STEP_DONE;
}

static enum step_result serve_certs(struct exchange *exchange) {
    const struct key_set *keys = tokens_keys(exchange->client->worker->tokens);
    if (!keys) {
        exchange_answer(exchange, REASON_ASSERTION_UNAVAILABLE, "the keys are not known yet");
        return STEP_DONE;
    }
    return answer(exchange,
                  &(struct reply_page){
                      .status = 200, .type = JSON_TYPE, .body = key_set_json(keys), .cache_control = CACHE_CERTS});
}

static void add_removal(struct headers *headers, struct slice path) {
    struct sbuf cookie;
    sbuf_init(&cookie, 4096);
    cookie_write_removal(path, &cookie);
    headers_add(headers, SLICE("Set-Cookie"), arena_dup(headers->arena, sbuf_slice(&cookie)));
    sbuf_fini(&cookie);
}

static void add_application(void *arg, const char *domain, void *value) {
    struct headers *headers = arg;
    const struct application *application = value;
    if (application->path_cookie && headers->count < REMOVALS_MAX)
        add_removal(headers, cookie_path(domain));
}

/* Of the whole hostname, and of those applications whose cookie is for their path only. */
static enum step_result serve_logout(struct exchange *exchange) {
    struct headers removals;
    headers_init(&removals, exchange->arena);
    add_removal(&removals, SLICE_NONE);
    application_table_each(exchange->snapshot->applications, exchange->hostname->name, add_application, &removals);
    return answer(exchange, &(struct reply_page){.status = 200,
                                                 .type = "text/plain; charset=utf-8",
                                                 .body = SLICE("You are logged out.\n"),
                                                 .cache_control = CACHE_NEVER,
                                                 .more = &removals});
}

/* ---- get-identity ---- */

static void write_known(struct jsonw *json, const char *member, struct slice text) {
    if (text.len > 0)
        jsonw_string(json, member, text);
    else
        jsonw_str(json, member, "");
}

/* identity may be NULL: the token does not hold the certificate. */
static void write_mtls(struct jsonw *json, const struct identity *identity, bool is_presented) {
    static const struct identity unknown;
    const struct identity *shown = identity ? identity : &unknown;
    jsonw_open_object(json, "mtls_auth");
    jsonw_str(json, "auth_status", is_presented ? "SUCCESS" : "NONE");
    jsonw_bool(json, "cert_presented", is_presented);
    write_known(json, "cert_issuer_dn", shown->issuer_dn);
    write_known(json, "cert_issuer_ski", shown->issuer_ski);
    write_known(json, "cert_serial", shown->serial);
    jsonw_close_object(json);
}

static void write_identity(const struct exchange *exchange, const struct session *session, struct sbuf *out) {
    struct peer *peer = exchange->client->peer;
    bool is_presented = peer->leaf && peer->report.reason == REASON_NONE;
    const struct identity *identity = is_presented ? peer_identity(peer) : NULL;
    char hex[2 * SHA256_SIZE + 1];
    struct jsonw json;
    jsonw_init(&json, out);
    jsonw_open_object(&json, NULL);
    if (session) {
        jsonw_int(&json, "iat", session->issued_at);
        jsonw_int(&json, "exp", session->expires_at);
    }
    jsonw_str(&json, "ip", exchange->client->host_text);
    jsonw_str(&json, "auth_status", "NONE");
    write_known(&json, "common_name", session ? slice_of(session->common_name) : identity->common_name);
    if (session ? session->has_certificate : is_presented)
        jsonw_str(&json, "cert_fingerprint_sha256",
                  hex_lower(session ? session->leaf_sha256 : cert_sha256(peer->leaf), SHA256_SIZE, hex));
    jsonw_bool(&json, "service_token_status", false);
    jsonw_bool(&json, "is_warp", false);
    jsonw_bool(&json, "is_gateway", false);
    write_mtls(&json, identity, is_presented);
    jsonw_int(&json, "version", 1);
    jsonw_close_object(&json);
}

static enum step_result serve_identity(struct exchange *exchange) {
    struct slice token;
    const struct peer *peer = exchange->client->peer;
    struct brought_token *brought =
        session_cookie(exchange, &token) ? session_check(exchange, token, SLICE_NONE) : NULL;
    if (!brought && (!peer->leaf || peer->report.reason != REASON_NONE))
        return answer(exchange, &(struct reply_page){.status = 401,
                                                     .type = JSON_TYPE,
                                                     .body = SLICE("{\"err\":\"no app token set\"}"),
                                                     .cache_control = CACHE_NEVER});
    struct sbuf text;
    sbuf_init(&text, PAGE_MAX);
    write_identity(exchange, brought ? &brought->session : NULL, &text);
    brought_token_unref(&brought);
    struct slice body = arena_dup(exchange->arena, sbuf_slice(&text));
    sbuf_fini(&text);
    return answer(exchange,
                  &(struct reply_page){.status = 200, .type = JSON_TYPE, .body = body, .cache_control = CACHE_NEVER});
}

enum step_result access_step(struct exchange *exchange) {
    enum judge_reserved reserved = judge_reserved(exchange->hostname, &exchange->request->target);
    struct slice method = exchange->request->method;
    if (reserved == RESERVED_NONE)
        return STEP_NEXT;
    if (!slice_eq_str(method, "GET") && !slice_eq_str(method, "HEAD")) {
        exchange_answer(exchange, REASON_METHOD_NOT_ALLOWED, NULL);
        return STEP_DONE;
    }
    switch (reserved) {
    case RESERVED_CERTS:
        return serve_certs(exchange);
    case RESERVED_IDENTITY:
        return serve_identity(exchange);
    default:
        return serve_logout(exchange);
    }
}
