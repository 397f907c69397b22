/* Questions and answers find each other; whoever breaks the rules, goes or is slow costs an answer and nothing else. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "ipc/ask.h"
#include "ipc/channel.h"

#define TIMEOUT_MS 60000

static struct loop *loop;
static struct asker *asker;
static struct answerer *answerer;
static int raw; /* the other side, when a test speaks by hand */
static struct ask_question *asked[ASK_OUTSTANDING_MAX + 8];
static size_t asked_count;
static const char *fault; /* of the answerer; NULL: open */
static char told[ASK_TEXT_MAX + 1];
static char big[ASK_TEXT_MAX + 1];

/* A question and what came of it. */
struct query {
    struct ask ask;
    unsigned done;
    enum ask_result result;
    char answer[64];
};

static void on_done(void *arg, enum ask_result result, struct slice answer) {
    struct query *query = arg;
    query->done++;
    query->result = result;
    ck_assert(result == ASK_ANSWERED || answer.len == 0);
    if (answer.len < sizeof query->answer) {
        memcpy(query->answer, answer.ptr ? answer.ptr : "", answer.len);
        query->answer[answer.len] = '\0';
    }
}

static void on_told(void *arg, enum ask_kind kind, struct slice text) {
    ck_assert_int_eq(kind, ASK_SIGN);
    ck_assert_ptr_null(arg);
    memcpy(told, text.ptr, text.len);
    told[text.len] = '\0';
}

static void on_asked(void *arg, struct ask_question *question) {
    ck_assert_ptr_null(arg);
    ck_assert_uint_lt(asked_count, sizeof asked / sizeof asked[0]);
    asked[asked_count++] = question;
}

static void on_closed(void *arg, const char *why) {
    ck_assert_ptr_null(arg);
    fault = why;
}

static void turns(int count) {
    for (int i = 0; i < count; i++)
        loop_turn(loop, 0);
}

static void connect_raw(void) {
    struct err err;
    int end;
    ck_assert_int_eq(channel_pair(&end, &raw, &err), 0);
    asker_connect(asker, end);
}

static void connect_both(void) {
    connect_raw();
    answerer = answerer_open(loop, raw, on_asked, on_closed, NULL);
    raw = -1;
}

static void set_up(void) {
    struct err err;
    loop = loop_new(&err);
    asker = asker_new(loop, on_told, NULL);
    answerer = NULL;
    raw = -1;
    asked_count = 0;
    fault = NULL;
    told[0] = '\0';
    memset(big, 'x', sizeof big);
}

static void tear_down(void) {
    for (size_t i = 0; i < asked_count; i++)
        if (asked[i])
            ask_question_refuse(&asked[i]);
    asker_free(&asker);
    answerer_close(&answerer);
    turns(1);
    loop_free(loop);
    if (raw >= 0)
        close(raw);
}

static struct query *query_new(void) {
    struct query *query = NEW(struct query);
    ask_init(&query->ask, on_done, query);
    return query;
}

static struct query *ask(const char *text) {
    struct query *query = query_new();
    ck_assert(asker_ask(asker, &query->ask, ASK_SIGN, slice_of(text), TIMEOUT_MS));
    return query;
}

START_TEST(an_answer_finds_its_question_whatever_the_order) {
    connect_both();
    struct query *first = ask("one"), *second = ask("two");
    turns(2);
    ck_assert_uint_eq(asked_count, 2);
    ck_assert(slice_eq_str(asked[0]->text, "one") && slice_eq_str(asked[1]->text, "two"));
    ck_assert_int_eq(asked[0]->kind, ASK_SIGN);
    ask_question_answer(&asked[1], SLICE("2"));
    ask_question_answer(&asked[0], SLICE("1"));
    turns(2);
    ck_assert_str_eq(first->answer, "1");
    ck_assert_str_eq(second->answer, "2");
    ck_assert_uint_eq(first->done, 1);
    ck_assert(!ask_is_open(&first->ask));
    mem_free(first);
    mem_free(second);
}
END_TEST

START_TEST(a_refusal_is_no_answer) {
    connect_both();
    struct query *query = ask("x");
    turns(2);
    ask_question_refuse(&asked[0]);
    turns(2);
    ck_assert_int_eq(query->result, ASK_REFUSED);
    mem_free(query);
}
END_TEST

START_TEST(nobody_there_is_said_at_once) {
    struct query *query = query_new();
    ck_assert(!asker_ask(asker, &query->ask, ASK_OCSP, SLICE("x"), TIMEOUT_MS));
    connect_both();
    ck_assert(asker_is_connected(asker));
    ck_assert(!asker_ask(asker, &query->ask, ASK_OCSP, slice_make(big, ASK_TEXT_MAX + 1), TIMEOUT_MS));
    ck_assert(!ask_is_open(&query->ask));
    ck_assert(asker_ask(asker, &query->ask, ASK_OCSP, slice_make(big, ASK_TEXT_MAX), TIMEOUT_MS));
    turns(2);
    ck_assert_uint_eq(asked[0]->text.len, ASK_TEXT_MAX);
    ask_cancel(&query->ask);
    mem_free(query);
}
END_TEST

START_TEST(a_question_nobody_answers_ends_in_time) {
    connect_both();
    struct query *query = query_new();
    ck_assert(asker_ask(asker, &query->ask, ASK_SIGN, SLICE("x"), 5));
    while (query->done == 0)
        loop_turn(loop, 10);
    ck_assert_int_eq(query->result, ASK_UNANSWERED);
    ask_question_answer(&asked[0], SLICE("late"));
    turns(2);
    ck_assert_uint_eq(query->done, 1);
    ck_assert(asker_is_connected(asker));
    mem_free(query);
}
END_TEST

START_TEST(a_cancelled_question_stays_silent) {
    connect_both();
    struct query *query = ask("x");
    ask_cancel(&query->ask);
    ask_cancel(&query->ask);
    turns(2);
    ask_question_answer(&asked[0], SLICE("y"));
    turns(2);
    ck_assert_uint_eq(query->done, 0);
    mem_free(query);
}
END_TEST

START_TEST(questions_end_with_their_line) {
    connect_both();
    struct query *query = ask("x");
    turns(2);
    answerer_close(&answerer);
    turns(2);
    ck_assert_int_eq(query->result, ASK_UNANSWERED);
    ck_assert(!asker_is_connected(asker));
    ck_assert_ptr_null(asked[0]->answerer);
    ask_question_answer(&asked[0], SLICE("into the void"));
    ck_assert_ptr_null(asked[0]);
    mem_free(query);
}
END_TEST

START_TEST(a_new_line_takes_over) {
    connect_both();
    struct query *before = ask("x");
    answerer_close(&answerer);
    connect_both();
    ck_assert_int_eq(before->result, ASK_UNANSWERED);
    struct query *after = ask("y");
    turns(2);
    ask_question_answer(&asked[asked_count - 1], SLICE("z"));
    turns(2);
    ck_assert_str_eq(after->answer, "z");
    ck_assert_uint_eq(before->done, 1);
    mem_free(before);
    mem_free(after);
}
END_TEST

START_TEST(the_answerer_hears_that_the_worker_is_gone) {
    connect_both();
    struct query *query = ask("x");
    turns(2);
    asker_connect(asker, -1);
    turns(2);
    ck_assert_str_eq(fault, "");
    ck_assert_int_eq(query->result, ASK_UNANSWERED);
    mem_free(query);
}
END_TEST

START_TEST(a_notice_comes_unasked) {
    connect_both();
    ck_assert(answerer_tell(answerer, ASK_SIGN, SLICE("new keys")));
    turns(2);
    ck_assert_str_eq(told, "new keys");
}
END_TEST

START_TEST(more_than_are_allowed_are_not_asked) {
    static struct query queries[ASK_OUTSTANDING_MAX + 1];
    connect_both();
    memset(queries, 0, sizeof queries);
    for (size_t i = 0; i <= ASK_OUTSTANDING_MAX; i++) {
        ask_init(&queries[i].ask, on_done, &queries[i]);
        bool is_asked = asker_ask(asker, &queries[i].ask, ASK_SIGN, SLICE("x"), TIMEOUT_MS);
        ck_assert_int_eq(is_asked, i < ASK_OUTSTANDING_MAX);
        turns(1);
    }
    turns(40);
    ck_assert_uint_eq(asked_count, ASK_OUTSTANDING_MAX);
    for (size_t i = 0; i < asked_count; i++)
        ask_question_answer(&asked[i], SLICE("y"));
    turns(8);
    for (size_t i = 0; i < ASK_OUTSTANDING_MAX; i++)
        ck_assert_uint_eq(queries[i].done, 1);
}
END_TEST

/* ---- one side speaks by hand ---- */

static size_t packet(char *out, enum ask_packet_type type, unsigned kind, uint64_t id, const char *text) {
    struct ask_packet packet = {.type = type, .kind = (enum ask_kind)kind, .id = id, .text = slice_of(text)};
    return ask_encode(&packet, out);
}

/* A worker that ignores its own bound. */
START_TEST(a_flood_is_refused_and_costs_no_memory) {
    static char bytes[ASK_FRAME_MAX];
    struct err err;
    int end;
    size_t refused = 0;
    ck_assert_int_eq(channel_pair(&end, &raw, &err), 0);
    answerer = answerer_open(loop, end, on_asked, on_closed, NULL);
    for (uint64_t i = 1; i <= ASK_OUTSTANDING_MAX + 100; i++) {
        size_t size = packet(bytes, ASK_PACKET_QUESTION, ASK_SIGN, i, "x");
        ck_assert_int_eq((int)send(raw, bytes, size, 0), (int)size);
        turns(1);
    }
    turns(50);
    ck_assert_uint_eq(asked_count, ASK_OUTSTANDING_MAX);
    while (recv(raw, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        refused++;
    ck_assert_uint_eq(refused, 100);
    ck_assert_ptr_null(fault);
}
END_TEST

static const struct {
    unsigned type, kind;
    uint64_t id;
    const char *text;
} nonsense[] = {{0, ASK_SIGN, 1, "x"},
                {ASK_PACKET_END, ASK_SIGN, 1, "x"},
                {ASK_PACKET_QUESTION, 0, 1, "x"},
                {ASK_PACKET_QUESTION, ASK_KIND_END, 1, "x"},
                {ASK_PACKET_QUESTION, ASK_SIGN, 0, "x"},
                {ASK_PACKET_ANSWER, ASK_SIGN, 1, "an answer is no question"},
                {ASK_PACKET_NOTICE, ASK_SIGN, 0, "nor is a notice"},
                {ASK_PACKET_REFUSAL, ASK_SIGN, 1, ""}};

START_TEST(a_worker_that_breaks_the_rules_loses_its_line) {
    static char bytes[ASK_FRAME_MAX];
    struct err err;
    int end;
    ck_assert_int_eq(channel_pair(&end, &raw, &err), 0);
    answerer = answerer_open(loop, end, on_asked, on_closed, NULL);
    size_t size =
        packet(bytes, (enum ask_packet_type)nonsense[_i].type, nonsense[_i].kind, nonsense[_i].id, nonsense[_i].text);
    ck_assert_int_eq((int)send(raw, bytes, size, 0), (int)size);
    size = packet(bytes, ASK_PACKET_QUESTION, ASK_SIGN, 7, "x");
    ck_assert_int_eq((int)send(raw, bytes, size, 0), (int)size);
    turns(4);
    ck_assert_str_eq(fault, "what is no question");
    ck_assert_uint_eq(asked_count, 0);
}
END_TEST

START_TEST(a_packet_that_is_too_long_or_cut_is_refused) {
    static char bytes[ASK_FRAME_MAX + 8];
    struct ask_packet out;
    size_t size = packet(bytes, ASK_PACKET_QUESTION, ASK_SIGN, 7, "text");
    ck_assert(ask_decode(slice_make(bytes, size), &out));
    for (size_t i = 0; i < size; i++)
        ck_assert(!ask_decode(slice_make(bytes, i), &out));
    ck_assert(!ask_decode(slice_make(bytes, size + 1), &out));
    ck_assert(!ask_decode(slice_make(bytes, ASK_FRAME_MAX + 1), &out));
    size = packet(bytes, ASK_PACKET_REFUSAL, ASK_SIGN, 7, "text");
    ck_assert(!ask_decode(slice_make(bytes, size), &out));
}
END_TEST

START_TEST(an_answer_of_another_kind_or_to_nothing_is_dropped) {
    static char bytes[ASK_FRAME_MAX];
    connect_raw();
    struct query *query = ask("x");
    size_t size = packet(bytes, ASK_PACKET_ANSWER, ASK_OCSP, query->ask.id, "wrong kind");
    ck_assert_int_eq((int)send(raw, bytes, size, 0), (int)size);
    size = packet(bytes, ASK_PACKET_ANSWER, ASK_SIGN, query->ask.id + 1, "wrong id");
    ck_assert_int_eq((int)send(raw, bytes, size, 0), (int)size);
    turns(2);
    ck_assert_uint_eq(query->done, 0);
    size = packet(bytes, ASK_PACKET_QUESTION, ASK_SIGN, 1, "control does not ask");
    ck_assert_int_eq((int)send(raw, bytes, size, 0), (int)size);
    turns(2);
    ck_assert_int_eq(query->result, ASK_UNANSWERED);
    ck_assert(!asker_is_connected(asker));
    mem_free(query);
}
END_TEST

START_TEST(a_control_that_does_not_read_blocks_nobody) {
    static struct query queries[ASK_OUTSTANDING_MAX];
    size_t said = 0;
    connect_raw();
    memset(queries, 0, sizeof queries);
    for (; said < ASK_OUTSTANDING_MAX; said++) {
        ask_init(&queries[said].ask, on_done, &queries[said]);
        if (!asker_ask(asker, &queries[said].ask, ASK_SIGN, slice_make(big, ASK_TEXT_MAX), TIMEOUT_MS))
            break;
    }
    ck_assert_uint_gt(said, 0);
    ck_assert_uint_lt(said, ASK_OUTSTANDING_MAX);
}
END_TEST

Suite *ipc_ask_suite(void);
Suite *ipc_ask_suite(void) {
    Suite *suite = suite_create("ipc/ask");
    TCase *both = tcase_create("both ends");
    tcase_add_checked_fixture(both, set_up, tear_down);
    tcase_add_test(both, an_answer_finds_its_question_whatever_the_order);
    tcase_add_test(both, a_refusal_is_no_answer);
    tcase_add_test(both, nobody_there_is_said_at_once);
    tcase_add_test(both, a_question_nobody_answers_ends_in_time);
    tcase_add_test(both, a_cancelled_question_stays_silent);
    tcase_add_test(both, questions_end_with_their_line);
    tcase_add_test(both, a_new_line_takes_over);
    tcase_add_test(both, the_answerer_hears_that_the_worker_is_gone);
    tcase_add_test(both, a_notice_comes_unasked);
    tcase_add_test(both, more_than_are_allowed_are_not_asked);
    tcase_add_test(both, a_flood_is_refused_and_costs_no_memory);
    tcase_add_loop_test(both, a_worker_that_breaks_the_rules_loses_its_line, 0, sizeof nonsense / sizeof nonsense[0]);
    tcase_add_test(both, a_packet_that_is_too_long_or_cut_is_refused);
    tcase_add_test(both, an_answer_of_another_kind_or_to_nothing_is_dropped);
    tcase_add_test(both, a_control_that_does_not_read_blocks_nobody);
    suite_add_tcase(suite, both);
    return suite;
}
