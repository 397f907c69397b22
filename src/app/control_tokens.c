/*
 * control_tokens: the one place where tokens are signed. A worker states what it saw of a client (session/claims.h);
 * what control knows itself it does not take from there: the key and the header, the issuer, the times, that
 * application and hostname are configured and how long the application allows. Keys are looked after here, too: made,
 * rotated, and told to workers, their public halves only.
 *
 * A signer belongs to a generation; that of the generation on its way answers too, because workers are already there.
 */
#include <stdio.h>
#include <string.h>

#include "app/token_state.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "control_priv.h"
#include "session/claims.h"
#include "session/jwt.h"
#include "session/key_ring.h"
#include "session/key_set.h"

#define SECONDS_MIN 60 /* of a token, whatever session_duration says: the origin has to see it */
#define RETRY_MS 5000

struct signer_application {
    char aud[65];
    int64_t session_s; /* the longest that it or one of its policies allows */
};

struct signer {
    struct arena *arena;
    struct map applications; /* by aud */
    const char *directory;   /* of the keys */
    const char *issuer;      /* or NULL */
    enum token_algorithm algorithm;
    struct rotation rotation;
    struct key_ring *ring; /* NULL: could not be opened when control was replaced; tried again */
};

/* ---- a generation's signer ---- */

static void add_application(struct signer *signer, const struct conf_application *conf) {
    struct signer_application *application = ARENA_NEW(signer->arena, struct signer_application);
    application_tag(conf, application->aud);
    application->session_s = SECONDS_MIN;
    for (size_t i = 0; i < conf->policies.count; i++) {
        int64_t session_s = conf->policies.items[i].session_duration_ms / 1000;
        if (session_s > application->session_s)
            application->session_s = session_s;
    }
    map_put(&signer->applications, slice_of(application->aud), application);
}

static int open_ring(struct signer *signer, struct err *err) {
    const struct key_ring_source source = {signer->directory, signer->algorithm, signer->rotation};
    signer->ring = key_ring_open(&source, clock_wall(), err);
    return signer->ring ? 0 : err_context(err, "the keys of tokens");
}

static struct signer *signer_new(const struct conf *conf, const char *directory) {
    struct arena *arena = arena_new(4096);
    struct signer *signer = ARENA_NEW(arena, struct signer);
    *signer = (struct signer){.arena = arena,
                              .directory = arena_str(arena, slice_of(directory)),
                              .algorithm = conf->tokens.algorithm == CONF_ES256 ? TOKEN_ES256 : TOKEN_RS256,
                              .rotation = {conf->tokens.key_rotation_ms / 1000, conf->tokens.key_overlap_ms / 1000}};
    map_init(&signer->applications);
    if (conf->tokens.issuer.text)
        signer->issuer = arena_str(arena, slice_of(conf->tokens.issuer.text));
    for (size_t i = 0; i < conf->applications.count; i++)
        add_application(signer, &conf->applications.items[i]);
    return signer;
}

void signer_free(struct signer **signer_ptr) {
    struct signer *signer = *signer_ptr;
    *signer_ptr = NULL;
    if (!signer)
        return;
    key_ring_free(&signer->ring);
    map_fini(&signer->applications);
    arena_free(signer->arena);
}

int tokens_prepare(struct change *change, struct err *err) {
    if (change->conf->applications.count == 0)
        return 0;
    char *directory;
    int result = token_state_make(change->conf, &directory, err);
    change->signer = signer_new(change->conf, directory);
    if (result == 0)
        result = open_ring(change->signer, err);
    mem_free(directory);
    return result;
}

/* ---- what workers know of the keys ---- */

static bool tell(const struct control *control, const struct asking *asking) {
    return control->key_set.len == 0 || answerer_tell(asking->answerer, ASK_SIGN, sbuf_slice(&control->key_set));
}

void tokens_greet(struct asking *asking) { asking->knows_keys = tell(asking->control, asking); }

static void tell_all(struct control *control) {
    for (size_t i = 0; i < GENERATION_WORKERS_MAX; i++) {
        struct asking *asking = &control->asking[i];
        if (asking->answerer && !asking->knows_keys)
            tokens_greet(asking);
    }
}

/* Who was told before is told again if anything is new. */
static void publish(struct control *control) {
    struct sbuf fresh;
    sbuf_init(&fresh, ASK_TEXT_MAX);
    key_ring_write_set(control->signer->ring, clock_wall(), &fresh);
    INVARIANT(!fresh.overflow);
    if (!slice_eq(sbuf_slice(&fresh), sbuf_slice(&control->key_set))) {
        sbuf_clear(&control->key_set);
        sbuf_append(&control->key_set, sbuf_slice(&fresh));
        for (size_t i = 0; i < GENERATION_WORKERS_MAX; i++)
            control->asking[i].knows_keys = false;
    }
    sbuf_fini(&fresh);
    tell_all(control);
}

static void look(void *arg) {
    struct control *control = arg;
    struct signer *signer = control->signer;
    struct err err = {""};
    if (!signer)
        return;
    int result = signer->ring ? key_ring_update(signer->ring, clock_wall(), &err) : open_ring(signer, &err);
    if (result != 0)
        log_error("%s", err.text);
    if (signer->ring)
        publish(control);
    loop_timer_set(control->key_timer, signer->ring ? key_ring_interval_ms(signer->ring) : RETRY_MS);
}

void tokens_commit(struct control *control, struct change *change) {
    if (change->kind == CHANGE_CRLS)
        return; /* all else is as it was */
    signer_free(&control->signer);
    control->signer = change->signer;
    change->signer = NULL;
    loop_timer_cancel(control->key_timer);
    if (control->signer && control->signer->ring)
        publish(control);
    if (control->signer)
        loop_timer_set(control->key_timer,
                       control->signer->ring ? key_ring_interval_ms(control->signer->ring) : RETRY_MS);
}

void tokens_start(struct control *control) {
    sbuf_init(&control->key_set, ASK_TEXT_MAX);
    control->key_timer = loop_timer_new(control->loop, look, control);
}

void tokens_stop(struct control *control) {
    loop_timer_free(&control->key_timer);
    signer_free(&control->signer);
    sbuf_fini(&control->key_set);
}

/* ---- signing ---- */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int sign(const struct signer *signer, const struct claims *claims, struct sbuf *out, struct err *err) {
    const struct signer_application *application = map_get(&signer->applications, claims->audience);
    int64_t now = clock_wall(), good_until;
    const struct token_key *key = key_ring_current(signer->ring, now, &good_until);
    char issuer[512 + 16];
    struct sbuf payload;
    int64_t expires_at = least(now + least(claims->session_s, application->session_s), good_until);
    if (claims->has_certificate)
        expires_at = least(expires_at, claims->not_after);
    if (expires_at <= now)
        return err_set(err, "the certificate has expired");
    (void)snprintf(issuer, sizeof issuer, "https://" SLICE_FMT, SLICE_ARG(claims->hostname));
    const struct claims_terms terms = {slice_of(signer->issuer ? signer->issuer : issuer), now, expires_at};
    sbuf_init(&payload, JWT_SIZE_MAX);
    claims_write_payload(claims, &terms, &payload);
    int64_t times[] = {now, expires_at};
    sbuf_append(out, slice_make(times, sizeof times));
    int result =
        payload.overflow ? err_set(err, "the token is too long") : jwt_sign(key, sbuf_slice(&payload), out, err);
    sbuf_fini(&payload);
    return result;
}

/* Application and hostname are this generation's. */
static bool is_known(const struct signer *signer, const struct snapshot *snapshot, const struct claims *claims) {
    return signer && signer->ring && map_get(&signer->applications, claims->audience) &&
           snapshot_hostname(snapshot, claims->hostname) != NULL;
}

void tokens_answer(struct control *control, struct ask_question *question) {
    struct claims claims;
    struct err err = {"it is not known here"};
    struct sbuf token;
    const struct signer *signer = NULL;
    int result = -1;
    sbuf_init(&token, JWT_SIZE_MAX);
    if (claims_read(question->text, &claims)) {
        if (is_known(control->signer, control->snapshot, &claims))
            signer = control->signer;
        else if (control->state == CONTROL_OFFERED &&
                 is_known(control->change.signer, control->change.snapshot, &claims))
            signer = control->change.signer;
        if (signer)
            result = sign(signer, &claims, &token, &err);
        if (result != 0)
            log_debug("no token for " SLICE_FMT ": %s", SLICE_ARG(claims.hostname), err.text);
    }
    metric_add(METRIC_TOKENS, 1, result == 0 ? "signed" : "refused");
    if (result == 0)
        ask_question_answer(&question, sbuf_slice(&token));
    else
        ask_question_refuse(&question);
    sbuf_fini(&token);
}
