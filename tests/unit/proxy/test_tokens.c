/* A worker's tokens: asked for once, used until half their life, and nobody waits but the first. */
#include <check.h>
#include <string.h>
#include <unistd.h>

#include "ipc/channel.h"
#include "proxy/token_claims.h"
#include "session/key_set.h"
#include "support/testpki.h"

#define NOW 1800000000

static struct loop *loop;
static struct asker *asker;
static struct answerer *answerer;
static struct tokens *tokens;
static struct ask_question *asked[16];
static size_t asked_count;
static struct peer peer;
static struct application application;

struct waiter {
    struct wait wait;
    unsigned woken;
};

static void on_woken(void *arg) { ((struct waiter *)arg)->woken++; }

static void on_told(void *arg, enum ask_kind kind, struct slice text) {
    (void)arg, (void)kind;
    tokens_told(tokens, text);
}

static void on_asked(void *arg, struct ask_question *question) {
    (void)arg;
    ck_assert_uint_lt(asked_count, 16);
    asked[asked_count++] = question;
}

static void on_closed(void *arg, const char *fault) { (void)arg, (void)fault; }

static void turns(int count) {
    for (int i = 0; i < count; i++)
        loop_turn(loop, 0);
}

static void connect_control(void) {
    struct err err;
    int mine, its;
    ck_assert_int_eq(channel_pair(&mine, &its, &err), 0);
    asker_connect(asker, mine);
    answerer = answerer_open(loop, its, on_asked, on_closed, NULL);
}

static void set_up(void) {
    struct err err;
    loop = loop_new(&err);
    asker = asker_new(loop, on_told, NULL);
    connect_control();
    tokens = tokens_new(loop, asker);
    asked_count = 0;
    peer = (struct peer){.report = {.reason = REASON_CERTIFICATE_MISSING}};
    application = (struct application){.name = "app", .domain = "app.test"};
    memset(application.aud, 'a', 64);
}

static void tear_down(void) {
    for (size_t i = 0; i < asked_count; i++)
        if (asked[i])
            ask_question_refuse(&asked[i]);
    tokens_free(&tokens);
    asker_free(&asker);
    answerer_close(&answerer);
    turns(1);
    loop_free(loop);
}

static struct token_subject subject(void) {
    return (struct token_subject){
        .application = &application, .peer = &peer, .hostname = SLICE("app.test"), .session_s = 3600};
}

static enum tokens_result get(const struct token_subject *who, int64_t now, struct waiter *waiter, const char **out) {
    struct issued_token *token;
    static char text[64];
    if (!waiter->wait.done)
        wait_init(&waiter->wait, on_woken, waiter);
    enum tokens_result result = tokens_get(tokens, who, now, &waiter->wait, &token);
    if (result == TOKENS_READY) {
        memcpy(text, token->text.ptr, token->text.len);
        text[token->text.len] = '\0';
        *out = text;
        issued_token_unref(&token);
    }
    return result;
}

static void answer(size_t i, const char *token, int64_t from, int64_t until) {
    int64_t times[2] = {from, until};
    struct sbuf text;
    sbuf_init(&text, 1024);
    sbuf_append(&text, slice_make(times, sizeof times));
    sbuf_append_str(&text, token);
    ask_question_answer(&asked[i], sbuf_slice(&text));
    sbuf_fini(&text);
    turns(2);
}

START_TEST(the_first_waits_and_those_who_come_meanwhile_wait_with_it) {
    struct waiter first = {.woken = 0}, second = {.woken = 0};
    struct token_subject who = subject();
    const char *token = NULL;
    ck_assert_int_eq(get(&who, NOW, &first, &token), TOKENS_WAIT);
    ck_assert_int_eq(get(&who, NOW, &second, &token), TOKENS_WAIT);
    turns(2);
    ck_assert_uint_eq(asked_count, 1);
    answer(0, "one", NOW, NOW + 3600);
    ck_assert_uint_eq(first.woken + second.woken, 2);
    ck_assert_int_eq(get(&who, NOW, &first, &token), TOKENS_READY);
    ck_assert_str_eq(token, "one");
}
END_TEST

static void have_token(const struct token_subject *who, const char *text, int64_t now) {
    struct waiter waiter = {.woken = 0};
    const char *token;
    size_t before = asked_count;
    ck_assert_int_eq(get(who, now, &waiter, &token), TOKENS_WAIT);
    turns(2);
    ck_assert_uint_eq(asked_count, before + 1);
    answer(before, text, now, now + 3600);
}

START_TEST(it_is_used_until_half_its_life_and_renewed_behind_its_back) {
    struct waiter waiter = {.woken = 0};
    struct token_subject who = subject();
    const char *token;
    have_token(&who, "one", NOW);
    ck_assert_int_eq(get(&who, NOW + 1800, &waiter, &token), TOKENS_READY);
    turns(2);
    ck_assert_uint_eq(asked_count, 1);
    ck_assert_int_eq(get(&who, NOW + 1801, &waiter, &token), TOKENS_READY);
    ck_assert_str_eq(token, "one");
    ck_assert_int_eq(get(&who, NOW + 1802, &waiter, &token), TOKENS_READY);
    turns(2);
    ck_assert_uint_eq(asked_count, 2);
    answer(1, "two", NOW + 1802, NOW + 5402);
    ck_assert_int_eq(get(&who, NOW + 1803, &waiter, &token), TOKENS_READY);
    ck_assert_str_eq(token, "two");
    ck_assert_uint_eq(waiter.woken, 0);
}
END_TEST

START_TEST(an_old_one_does_until_it_expires_when_control_is_gone) {
    struct waiter waiter = {.woken = 0};
    struct token_subject who = subject();
    const char *token;
    have_token(&who, "one", NOW);
    answerer_close(&answerer);
    turns(2);
    ck_assert_int_eq(get(&who, NOW + 3599, &waiter, &token), TOKENS_READY);
    ck_assert_int_eq(get(&who, NOW + 3600, &waiter, &token), TOKENS_NONE);
    connect_control();
    waiter = (struct waiter){.woken = 0};
    while (get(&who, NOW + 3600, &waiter, &token) == TOKENS_NONE)
        loop_turn(loop, 100);
    turns(2);
    answer(1, "two", NOW + 3600, NOW + 7200);
    ck_assert_int_eq(get(&who, NOW + 3600, &waiter, &token), TOKENS_READY);
}
END_TEST

START_TEST(who_waited_in_vain_goes_on_and_a_late_answer_is_for_the_next) {
    struct waiter waiter = {.woken = 0}, next = {.woken = 0};
    struct token_subject who = subject();
    const char *token;
    ck_assert_int_eq(get(&who, NOW, &waiter, &token), TOKENS_WAIT);
    while (waiter.woken == 0)
        loop_turn(loop, 100);
    ck_assert_int_eq(get(&who, NOW, &waiter, &token), TOKENS_NONE);
    answer(0, "late", NOW, NOW + 3600);
    ck_assert_int_eq(get(&who, NOW, &next, &token), TOKENS_READY);
    ck_assert_str_eq(token, "late");
    ck_assert_uint_eq(waiter.woken, 1);
}
END_TEST

START_TEST(a_refusal_wakes_at_once) {
    struct waiter waiter = {.woken = 0};
    struct token_subject who = subject();
    const char *token;
    ck_assert_int_eq(get(&who, NOW, &waiter, &token), TOKENS_WAIT);
    turns(2);
    ask_question_refuse(&asked[0]);
    turns(2);
    ck_assert_uint_eq(waiter.woken, 1);
    ck_assert_int_eq(get(&who, NOW, &waiter, &token), TOKENS_NONE);
    turns(2);
    ck_assert_uint_eq(asked_count, 1); /* not again at once */
}
END_TEST

START_TEST(who_leaves_is_not_woken) {
    struct waiter waiter = {.woken = 0};
    struct token_subject who = subject();
    const char *token;
    ck_assert_int_eq(get(&who, NOW, &waiter, &token), TOKENS_WAIT);
    turns(2);
    wait_cancel(&waiter.wait);
    answer(0, "one", NOW, NOW + 3600);
    ck_assert_uint_eq(waiter.woken, 0);
}
END_TEST

static struct peer *alice, *bob;

/* Everything that a token says is in what tells tokens apart. */
static void differ(struct token_subject *who, int how) {
    static struct application other;
    static struct peer later;
    other = application;
    switch (how) {
    case 0:
        who->peer = bob;
        break;
    case 1:
        who->peer = &peer; /* without a certificate */
        break;
    case 2:
        memset(other.aud, 'b', 64);
        who->application = &other;
        break;
    case 3:
        other.certificate_session = true;
        who->application = &other;
        break;
    case 4:
        who->hostname = SLICE("b.test");
        break;
    case 5:
        who->session_s = 60;
        break;
    case 6:
        who->issuer = "https://issuer.test";
        break;
    case 9:
        other.http_only_cookie = true;
        who->application = &other;
        break;
    case 10:
        other.same_site_cookie = CONF_SAME_SITE_LAX;
        who->application = &other;
        break;
    case 11:
        other.path_cookie = true;
        who->application = &other;
        break;
    case 7: /* judged otherwise: another chain */
        later = *alice;
        later.report.not_after++;
        who->peer = &later;
        break;
    default: /* not verified */
        later = *alice;
        later.report.reason = REASON_CERTIFICATE_REVOKED;
        who->peer = &later;
    }
}

START_TEST(tokens_are_kept_apart) {
    struct testpki root = testpki_root("Root"), a = testpki_client("alice", &root), b = testpki_client("bob", &root);
    struct cert_list none = {NULL, 0};
    char one[1600], two[1600];
    alice = peer_stand_in(a.cert, &none);
    bob = peer_stand_in(b.cert, &none);
    alice->report.reason = bob->report.reason = REASON_NONE;
    struct token_subject who = subject();
    who.peer = alice;
    size_t len = token_subject_key(&who, one, sizeof one);
    ck_assert_uint_eq(token_subject_key(&who, two, sizeof two), len);
    ck_assert_mem_eq(one, two, len);
    for (int how = 0; how < 12; how++) {
        struct token_subject other = who;
        differ(&other, how);
        size_t other_len = token_subject_key(&other, two, sizeof two);
        ck_assert_msg(other_len != len || memcmp(one, two, len) != 0, "%d", how);
    }
    peer_free(&alice);
    peer_free(&bob);
    testpki_free(&a);
    testpki_free(&b);
    testpki_free(&root);
}
END_TEST

/* ---- tokens that clients bring ---- */

static struct token_key *key;

static void tell_key(void) {
    struct err err;
    struct sbuf text;
    if (!key)
        key = token_key_make(TOKEN_ES256, NOW, &err);
    struct slice certificate = token_key_certificate(key);
    sbuf_init(&text, 8192);
    key_set_write(&certificate, 1, &text);
    tokens_told(tokens, sbuf_slice(&text));
    sbuf_fini(&text);
}

static struct token_check check_of(struct slice token) {
    return (struct token_check){
        .token = token, .aud = slice_of(application.aud), .hostname = SLICE("app.test"), .now = NOW};
}

static struct slice make_token(struct sbuf *out) {
    struct err err;
    struct sbuf payload;
    struct token_subject who = subject();
    struct claims claims;
    token_claims_fill(&who, &claims);
    sbuf_init(&payload, 8192);
    sbuf_init(out, 8192);
    claims_write_payload(&claims, &(struct claims_terms){SLICE("https://app.test"), NOW, NOW + 3600}, &payload);
    ck_assert_int_eq(jwt_sign(key, sbuf_slice(&payload), out, &err), 0);
    sbuf_fini(&payload);
    return sbuf_slice(out);
}

START_TEST(a_good_one_is_checked_once_and_known_again_for_what_it_was_checked) {
    struct sbuf text;
    enum jwt_fault fault;
    struct slice token;
    tell_key();
    token = make_token(&text);
    struct token_check check = check_of(token);
    struct brought_token *one = tokens_check(tokens, &check, &fault), *two = tokens_check(tokens, &check, &fault);
    ck_assert_ptr_nonnull(one);
    ck_assert_ptr_eq(one, two);
    check.hostname = SLICE("b.test");
    ck_assert_ptr_null(tokens_check(tokens, &check, &fault));
    check = check_of(token);
    check.aud = SLICE("b");
    ck_assert_ptr_null(tokens_check(tokens, &check, &fault));
    ck_assert_int_eq(fault, JWT_AUDIENCE);
    check = check_of(token);
    check.issuer = "https://other.test";
    ck_assert_ptr_null(tokens_check(tokens, &check, &fault));
    check = check_of(token);
    check.now = NOW + 3600;
    ck_assert_ptr_null(tokens_check(tokens, &check, &fault));
    ck_assert_int_eq(fault, JWT_EXPIRED);
    brought_token_unref(&one);
    brought_token_unref(&two);
    sbuf_fini(&text);
}
END_TEST

START_TEST(what_was_good_is_checked_again_when_the_keys_change) {
    struct sbuf text;
    enum jwt_fault fault;
    struct err err;
    tell_key();
    struct slice token = make_token(&text);
    struct token_check check = check_of(token);
    struct brought_token *brought = tokens_check(tokens, &check, &fault);
    struct token_key *old = key;
    key = token_key_make(TOKEN_ES256, NOW, &err);
    tell_key();
    ck_assert_ptr_null(tokens_check(tokens, &check, &fault));
    ck_assert_int_eq(fault, JWT_UNKNOWN_KEY);
    ck_assert_int_eq(brought->session.issued_at, NOW); /* whoever has it keeps it */
    brought_token_unref(&brought);
    token_key_free(&old);
    sbuf_fini(&text);
}
END_TEST

START_TEST(another_key_renews_a_token_while_the_old_one_is_used) {
    struct waiter waiter = {.woken = 0};
    struct token_subject who = subject();
    struct err err;
    const char *token;
    tell_key();
    have_token(&who, "one", NOW);
    ck_assert_int_eq(get(&who, NOW + 1, &waiter, &token), TOKENS_READY);
    turns(2);
    ck_assert_uint_eq(asked_count, 1);
    token_key_free(&key);
    key = token_key_make(TOKEN_ES256, NOW, &err);
    tell_key();
    ck_assert_int_eq(get(&who, NOW + 1, &waiter, &token), TOKENS_READY);
    ck_assert_str_eq(token, "one");
    turns(2);
    ck_assert_uint_eq(asked_count, 2);
}
END_TEST

START_TEST(keys_that_make_no_sense_change_nothing) {
    tell_key();
    const struct key_set *before = tokens_keys(tokens);
    tokens_told(tokens, SLICE("nonsense"));
    ck_assert_ptr_eq(tokens_keys(tokens), before);
}
END_TEST

Suite *proxy_tokens_suite(void);
Suite *proxy_tokens_suite(void) {
    Suite *suite = suite_create("proxy/tokens");
    TCase *tcase = tcase_create("tokens");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, the_first_waits_and_those_who_come_meanwhile_wait_with_it);
    tcase_add_test(tcase, it_is_used_until_half_its_life_and_renewed_behind_its_back);
    tcase_add_test(tcase, an_old_one_does_until_it_expires_when_control_is_gone);
    tcase_add_test(tcase, who_waited_in_vain_goes_on_and_a_late_answer_is_for_the_next);
    tcase_add_test(tcase, a_refusal_wakes_at_once);
    tcase_add_test(tcase, who_leaves_is_not_woken);
    tcase_add_test(tcase, tokens_are_kept_apart);
    tcase_add_test(tcase, a_good_one_is_checked_once_and_known_again_for_what_it_was_checked);
    tcase_add_test(tcase, what_was_good_is_checked_again_when_the_keys_change);
    tcase_add_test(tcase, another_key_renews_a_token_while_the_old_one_is_used);
    tcase_add_test(tcase, keys_that_make_no_sense_change_nothing);
    suite_add_tcase(suite, tcase);
    return suite;
}
