/*
 * tokens: see the header. Steps and the pages under /cdn-cgi/access/ ask; control_tokens answers. Two tables, both
 * bounded: the oldest go first.
 *
 *   kept token: EMPTY --asked--> EMPTY, asking --answer--> READY --half its life, another key--> READY, asking
 *                 ^                   |                    ^                                       |
 *                 `-----no answer-----'                    `--------answer, or no answer-----------'
 *
 * Who waits for an answer hears of none, too; where there was none the next one asks again.
 */
#include "proxy/tokens.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proxy/token_claims.h"
#include "session/cookie.h"

#define KEPT_MAX 8192
#define BROUGHT_MAX 4096
#define SHORTEST_S 60
#define ASK_MS 5000   /* an answer that comes too late for who waits is good for the next */
#define AGAIN_MS 1000 /* so long nobody asks again after there was no answer, while there is still a token */
#define KEY_MAX 1600

/* A token for the origin. */
struct kept_token {
    struct list node; /* tokens->kept, the one used last in front */
    struct tokens *tokens;
    char *key;
    size_t key_len;
    struct issued_token *token; /* NULL: none yet */
    struct cookie_attributes attributes;
    char *path;               /* attributes.path, or NULL */
    char kid[TOKEN_KID_SIZE]; /* the key that was current when it came */
    int64_t ask_again_ms;
    struct ask ask;
    struct list waiting; /* struct wait */
};

struct tokens {
    struct loop *loop;
    struct asker *asker;
    struct key_set *keys;
    struct map kept_by_key, brought_by_key;
    struct list kept, brought;
};

/* ---- tokens for the origin ---- */

/* Nobody waits for it. */
static void kept_free(struct kept_token *kept) {
    INVARIANT(list_is_empty(&kept->waiting));
    list_remove(&kept->node);
    (void)map_remove(&kept->tokens->kept_by_key, slice_make(kept->key, kept->key_len));
    ask_cancel(&kept->ask);
    mem_free(kept->key);
    issued_token_unref(&kept->token);
    mem_free(kept->path);
    mem_free(kept);
}

void issued_token_unref(struct issued_token **token_ptr) {
    struct issued_token *token = *token_ptr;
    *token_ptr = NULL;
    if (token && --token->refs == 0)
        mem_free(token);
}

/* The value of Set-Cookie holds the crumb and the token. */
static struct issued_token *issued_token_new(struct slice text, const int64_t times[2],
                                             const struct cookie_attributes *attributes) {
    struct sbuf cookie;
    size_t crumb_len = strlen(COOKIE_NAME "=") + text.len;
    sbuf_init(&cookie, ASK_FRAME_MAX);
    cookie_write(text, times[1], attributes, &cookie);
    struct issued_token *token = mem_new(sizeof *token + cookie.len);
    memcpy(token->bytes, sbuf_slice(&cookie).ptr, cookie.len);
    token->refs = 1;
    token->issued_at = times[0];
    token->expires_at = times[1];
    token->cookie = slice_make(token->bytes, crumb_len);
    token->text = slice_after(token->cookie, strlen(COOKIE_NAME "="));
    if (crumb_len <= COOKIE_SIZE_MAX)
        token->set_cookie = slice_make(token->bytes, cookie.len);
    sbuf_fini(&cookie);
    return token;
}

/* Two numbers of 8 bytes, then the token. */
static bool take_token(struct kept_token *kept, struct slice answer) {
    int64_t times[2];
    if (answer.len <= sizeof times || answer.len > JWT_SIZE_MAX + sizeof times)
        return false;
    memcpy(times, answer.ptr, sizeof times);
    issued_token_unref(&kept->token);
    kept->token = issued_token_new(slice_after(answer, sizeof times), times, &kept->attributes);
    if (kept->tokens->keys)
        memcpy(kept->kid, token_key_id(key_set_current(kept->tokens->keys)), TOKEN_KID_SIZE);
    return true;
}

static void on_answer(void *arg, enum ask_result result, struct slice answer) {
    struct kept_token *kept = arg;
    if (result != ASK_ANSWERED || !take_token(kept, answer)) {
        kept->ask_again_ms = loop_now_ms(kept->tokens->loop) + AGAIN_MS;
        log_debug("control signed no token");
    }
    wait_wake(&kept->waiting);
}

static void ask(struct kept_token *kept, const struct token_subject *subject) {
    struct claims claims;
    struct sbuf text;
    if (ask_is_open(&kept->ask) || !kept->tokens->asker)
        return;
    sbuf_init(&text, ASK_TEXT_MAX);
    token_claims_fill(subject, &claims);
    claims_write(&claims, &text);
    if (text.overflow || !asker_ask(kept->tokens->asker, &kept->ask, ASK_SIGN, sbuf_slice(&text), ASK_MS))
        kept->ask_again_ms = loop_now_ms(kept->tokens->loop) + AGAIN_MS;
    sbuf_fini(&text);
}

static void limit(struct tokens *tokens) {
    struct kept_token *oldest = LIST_ENTRY(tokens->kept.prev, struct kept_token, node);
    if (tokens->kept_by_key.count > KEPT_MAX && list_is_empty(&oldest->waiting))
        kept_free(oldest);
}

static void set_attributes(struct kept_token *kept, const struct application *application) {
    static const enum cookie_same_site same_sites[] = {[CONF_SAME_SITE_NONE] = COOKIE_SAME_SITE_NONE,
                                                       [CONF_SAME_SITE_LAX] = COOKIE_SAME_SITE_LAX,
                                                       [CONF_SAME_SITE_STRICT] = COOKIE_SAME_SITE_STRICT};
    kept->attributes = (struct cookie_attributes){.http_only = application->http_only_cookie,
                                                  .same_site = same_sites[application->same_site_cookie]};
    struct slice path = application->path_cookie ? cookie_path(application->domain) : SLICE_NONE;
    if (path.len > 0) {
        kept->path = mem_strndup(path.ptr, path.len);
        kept->attributes.path = slice_of(kept->path);
    }
}

static struct kept_token *find_kept(struct tokens *tokens, const struct token_subject *subject) {
    char key[KEY_MAX];
    struct slice name = slice_make(key, token_subject_key(subject, key, sizeof key));
    struct kept_token *kept = map_get(&tokens->kept_by_key, name);
    if (!kept) {
        kept = NEW(struct kept_token);
        kept->tokens = tokens;
        kept->key = mem_dup(name.ptr, name.len);
        kept->key_len = name.len;
        list_init(&kept->node);
        list_init(&kept->waiting);
        ask_init(&kept->ask, on_answer, kept);
        set_attributes(kept, subject->application);
        (void)map_put(&tokens->kept_by_key, slice_make(kept->key, kept->key_len), kept);
    }
    list_remove(&kept->node);
    list_push_front(&tokens->kept, &kept->node);
    limit(tokens);
    return kept;
}

static bool is_stale(const struct kept_token *kept, int64_t now) {
    const struct issued_token *token = kept->token;
    bool is_other_key =
        kept->tokens->keys && memcmp(kept->kid, token_key_id(key_set_current(kept->tokens->keys)), TOKEN_KID_SIZE) != 0;
    return now - token->issued_at > (token->expires_at - token->issued_at) / 2 || is_other_key;
}

enum tokens_result tokens_get(struct tokens *tokens, const struct token_subject *subject, int64_t now,
                              struct wait *wait, struct issued_token **token_out) {
    struct kept_token *kept = find_kept(tokens, subject);
    struct issued_token *token = kept->token;
    bool is_good = token && now < token->expires_at && now >= token->issued_at - SHORTEST_S;
    bool may_ask = loop_now_ms(tokens->loop) >= kept->ask_again_ms;
    if (may_ask && (!is_good || is_stale(kept, now)))
        ask(kept, subject);
    if (is_good) {
        token->refs++;
        *token_out = token;
        return TOKENS_READY;
    }
    if (!ask_is_open(&kept->ask) || wait->is_over)
        return TOKENS_NONE;
    wait_begin(wait, &kept->waiting, tokens->loop, TOKENS_WAIT_MS);
    return TOKENS_WAIT;
}

/* ---- tokens that clients bring ---- */

void brought_token_unref(struct brought_token **token_ptr) {
    struct brought_token *token = *token_ptr;
    *token_ptr = NULL;
    if (!token || --token->refs > 0)
        return;
    session_fini(&token->session);
    peer_free(&token->stand_in);
    mem_free(token->key);
    mem_free(token);
}

static void drop_brought(struct tokens *tokens, struct brought_token *token) {
    list_remove(&token->node);
    (void)map_remove(&tokens->brought_by_key, slice_make(token->key, token->key_len));
    brought_token_unref(&token);
}

static struct brought_token *keep_brought(struct tokens *tokens, struct slice key, struct session *session) {
    struct brought_token *token = NEW(struct brought_token);
    *token =
        (struct brought_token){.refs = 1, .key = mem_dup(key.ptr, key.len), .key_len = key.len, .session = *session};
    if (session->certificate)
        token->stand_in = peer_stand_in(session->certificate, &session->chain);
    list_init(&token->node);
    list_push_front(&tokens->brought, &token->node);
    (void)map_put(&tokens->brought_by_key, slice_make(token->key, token->key_len), token);
    if (tokens->brought_by_key.count > BROUGHT_MAX)
        drop_brought(tokens, LIST_ENTRY(tokens->brought.prev, struct brought_token, node));
    return token;
}

static struct brought_token *verify(struct tokens *tokens, const struct token_check *check, struct slice key,
                                    enum jwt_fault *fault_out) {
    char issuer[300];
    struct session session;
    (void)snprintf(issuer, sizeof issuer, "https://" SLICE_FMT, SLICE_ARG(check->hostname));
    const struct jwt_expected expected = {.keys = tokens->keys,
                                          .issuer = slice_of(check->issuer ? check->issuer : issuer),
                                          .hostname = check->hostname,
                                          .audience = check->aud,
                                          .now = check->now};
    *fault_out = jwt_verify(check->token, &expected, &session);
    return *fault_out == JWT_GOOD ? keep_brought(tokens, key, &session) : NULL;
}

/* Whose token, for which application and hostname: what was checked. */
struct brought_token *tokens_check(struct tokens *tokens, const struct token_check *check, enum jwt_fault *fault_out) {
    struct sbuf key;
    *fault_out = JWT_MALFORMED;
    if (check->token.len == 0 || check->token.len > JWT_SIZE_MAX)
        return NULL;
    sbuf_init(&key, JWT_SIZE_MAX + KEY_MAX);
    sbuf_printf(&key, "%s " SLICE_FMT " " SLICE_FMT " ", check->issuer ? check->issuer : "", SLICE_ARG(check->aud),
                SLICE_ARG(check->hostname));
    sbuf_append(&key, check->token);
    struct brought_token *token = map_get(&tokens->brought_by_key, sbuf_slice(&key));
    if (token && (check->now >= token->session.expires_at || check->now < token->session.issued_at - SHORTEST_S)) {
        drop_brought(tokens, token);
        token = NULL;
    }
    if (!token)
        token = verify(tokens, check, sbuf_slice(&key), fault_out);
    sbuf_fini(&key);
    if (!token)
        return NULL;
    *fault_out = JWT_GOOD;
    list_remove(&token->node);
    list_push_front(&tokens->brought, &token->node);
    token->refs++;
    return token;
}

/* ---- all of them ---- */

static void forget_brought(struct tokens *tokens) {
    while (!list_is_empty(&tokens->brought))
        drop_brought(tokens, LIST_ENTRY(tokens->brought.next, struct brought_token, node));
}

void tokens_told(struct tokens *tokens, struct slice text) {
    struct err err = {""};
    struct key_set *keys = key_set_read(text, &err);
    if (!keys) {
        log_error("the keys of tokens: %s", err.text);
        return;
    }
    key_set_free(&tokens->keys);
    tokens->keys = keys;
    forget_brought(tokens); /* they may be of a key that is gone */
}

const struct key_set *tokens_keys(const struct tokens *tokens) { return tokens->keys; }

struct tokens *tokens_new(struct loop *loop, struct asker *asker) {
    struct tokens *tokens = NEW(struct tokens);
    tokens->loop = loop;
    tokens->asker = asker;
    map_init(&tokens->kept_by_key);
    map_init(&tokens->brought_by_key);
    list_init(&tokens->kept);
    list_init(&tokens->brought);
    return tokens;
}

void tokens_free(struct tokens **tokens_ptr) {
    struct tokens *tokens = *tokens_ptr;
    *tokens_ptr = NULL;
    if (!tokens)
        return;
    forget_brought(tokens);
    while (!list_is_empty(&tokens->kept))
        kept_free(LIST_ENTRY(tokens->kept.next, struct kept_token, node));
    key_set_free(&tokens->keys);
    map_fini(&tokens->kept_by_key);
    map_fini(&tokens->brought_by_key);
    mem_free(tokens);
}
