/*
 * control_tokens: answers workers that ask for a token (app/signer.h), and looks after the keys: their public halves
 * are told to workers, when a line is opened and when anything is new.
 *
 * A signer belongs to a generation; that of the generation on its way answers too, because workers are already there.
 */
#include "app/token_state.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "control_priv.h"
#include "session/jwt.h"
#include "session/key_set.h"

#define RETRY_MS 5000

int tokens_prepare(struct change *change, struct err *err) {
    if (change->conf->applications.count == 0)
        return 0;
    char *directory;
    int result = token_state_make(change->conf, &directory, err);
    change->signer = signer_new(change->conf, directory);
    if (result == 0)
        result = signer_open(change->signer, clock_wall(), err);
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
    key_ring_write_set(signer_ring(control->signer), clock_wall(), &fresh);
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

static void go_on_looking(struct control *control) {
    const struct key_ring *ring = signer_ring(control->signer);
    if (ring)
        publish(control);
    loop_timer_set(control->key_timer, ring ? key_ring_interval_ms(ring) : RETRY_MS);
}

static void look(void *arg) {
    struct control *control = arg;
    struct signer *signer = control->signer;
    struct err err = {""};
    if (!signer)
        return;
    struct key_ring *ring = signer_ring(signer);
    int result = ring ? key_ring_update(ring, clock_wall(), &err) : signer_open(signer, clock_wall(), &err);
    if (result != 0)
        log_error("%s", err.text);
    go_on_looking(control);
}

void tokens_commit(struct control *control, struct change *change) {
    if (change->kind == CHANGE_CRLS)
        return; /* all else is as it was */
    signer_free(&control->signer);
    control->signer = change->signer;
    change->signer = NULL;
    loop_timer_cancel(control->key_timer);
    if (control->signer)
        go_on_looking(control);
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

/* Application and hostname are this generation's. */
static bool is_known(const struct signer *signer, const struct snapshot *snapshot, const struct claims *claims) {
    return signer && signer_ring(signer) && signer_knows(signer, claims->audience) &&
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
            result = signer_sign(signer, &claims, clock_wall(), &token, &err);
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
