/*
 * session: what a request has to do with tokens: the one that the client brings in its cookie, the one that the origin
 * is given. The step may wait for control, 500 ms at most; everything else is in the worker's tokens (proxy/tokens.h).
 *
 * A token that a client brings opens nothing, but for an application with certificate_session, and there only for who
 * presents no certificate at all: then the certificate in the token is judged exactly as if it had been presented,
 * by the chain, the dates, the CRLs and the policies of now. Such a request makes no new token.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "exchange_priv.h"
#include "session/cookie.h"

static struct slice server_name(const struct exchange *exchange) {
    return slice_of(exchange->client->peer->server_name);
}

static int64_t started_s(const struct exchange *exchange) { return exchange->started_wall_us / 1000000; }

/* ---- what the client brings ---- */

bool session_cookie(const struct exchange *exchange, struct slice *token_out) {
    const struct headers *headers = &exchange->request->headers;
    size_t count = 0;
    *token_out = SLICE_NONE;
    for (size_t i = 0; i < headers->count; i++) {
        if (slice_eq_nocase(headers->items[i].name, SLICE("Cookie"))) {
            count += cookie_find(headers->items[i].value, token_out);
        }
    }
    return count == 1 && token_out->len > 0;
}

struct brought_token *session_check(const struct exchange *exchange, struct slice token, struct slice aud) {
    enum jwt_fault fault;
    const struct token_check check = {.token = token,
                                      .issuer = exchange->snapshot->conf->tokens.issuer.text,
                                      .aud = aud,
                                      .hostname = server_name(exchange),
                                      .now = started_s(exchange)};
    struct brought_token *brought = tokens_check(exchange->client->worker->tokens, &check, &fault);
    if (!brought) {
        log_debug("the client's token is not taken: %s", jwt_fault_name(fault));
    }
    return brought;
}

void session_find_stand_in(struct exchange *exchange) {
    struct slice token;
    if (exchange->client->peer->leaf || !session_cookie(exchange, &token)) {
        return;
    }
    const struct application *application =
        judge_application(exchange->snapshot, server_name(exchange), &exchange->request->target);
    if (!application || !application->certificate_session) {
        return;
    }
    exchange->stand_in = session_check(exchange, token, slice_of(application->aud));
    if (exchange->stand_in && !exchange->stand_in->stand_in) {
        brought_token_unref(&exchange->stand_in);
    }
}

struct peer *session_peer(const struct exchange *exchange, const struct snapshot *snapshot, time_t now) {
    const struct application *application =
        exchange->stand_in ? judge_application(snapshot, server_name(exchange), &exchange->request->target) : NULL;
    bool holds = application && application->certificate_session && now < exchange->stand_in->session.expires_at;
    return holds ? exchange->stand_in->stand_in : exchange->client->peer;
}

/* ---- what the origin gets ---- */

/* Has the client a token of its own that is good for a while and says the same? */
static bool has_fresh_cookie(const struct exchange *exchange, const struct token_subject *subject) {
    struct slice token;
    struct brought_token *brought =
        session_cookie(exchange, &token) ? session_check(exchange, token, slice_of(subject->application->aud)) : NULL;
    if (!brought) {
        return false;
    }
    const struct session *session = &brought->session;
    bool has_certificate = subject->peer->leaf && subject->peer->report.reason == REASON_NONE;
    bool is_same =
        has_certificate == session->has_certificate &&
        (!has_certificate || memcmp(cert_sha256(subject->peer->leaf), session->leaf_sha256, SHA256_SIZE) == 0);
    bool is_whole = !has_certificate || !subject->application->certificate_session || session->certificate;
    bool is_young = session->expires_at - started_s(exchange) > (session->expires_at - session->issued_at) / 2;
    brought_token_unref(&brought);
    return is_same && is_whole && is_young;
}

static void offer_cookie(struct exchange *exchange, const struct token_subject *subject) {
    if (subject->session_s == 0 || has_fresh_cookie(exchange, subject)) {
        return;
    }
    exchange->set_cookie = exchange->token->set_cookie;
    if (exchange->set_cookie.len == 0) {
        metric_add(METRIC_COOKIES_TOO_LARGE, 1, subject->application->name);
    }
}

/* The origin gets the very token that the client brought. */
static void pass_on(struct exchange *exchange) {
    (void)session_cookie(exchange, &exchange->assertion);
    exchange->cookie =
        slice_of(arena_printf(exchange->arena, COOKIE_NAME "=" SLICE_FMT, SLICE_ARG(exchange->assertion)));
}

static enum step_result go_without(struct exchange *exchange) {
    metric_add(METRIC_ASSERTIONS_MISSING, 1, exchange->hostname->name);
    if (!exchange->application->assertion_required) {
        log_debug("forwarded without a token");
        return STEP_NEXT;
    }
    exchange_answer(exchange, REASON_ASSERTION_UNAVAILABLE, NULL);
    return STEP_DONE;
}

enum step_result session_step(struct exchange *exchange) {
    if (!exchange->application || exchange->verdict.effect != EFFECT_ALLOW) {
        return STEP_NEXT;
    }
    if (exchange->stand_in) {
        pass_on(exchange);
        return STEP_NEXT;
    }
    const struct token_subject subject = {.application = exchange->application,
                                          .peer = exchange->client->peer,
                                          .trust = exchange->hostname->trust,
                                          .hostname = server_name(exchange),
                                          .issuer = exchange->snapshot->conf->tokens.issuer.text,
                                          .session_s = exchange->verdict.session_s};
    if (!wait_is_ready(&exchange->token_wait)) {
        wait_init(&exchange->token_wait, exchange_go_on, exchange);
    }
    switch (tokens_get(exchange->client->worker->tokens, &subject, started_s(exchange), &exchange->token_wait,
                       &exchange->token)) {
    case TOKENS_READY:
        exchange->assertion = exchange->token->text;
        exchange->cookie = exchange->token->cookie;
        offer_cookie(exchange, &subject);
        return STEP_NEXT;
    case TOKENS_WAIT:
        return STEP_WAIT;
    case TOKENS_NONE:
        break;
    }
    return go_without(exchange);
}
