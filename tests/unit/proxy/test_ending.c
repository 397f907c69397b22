/* How an exchange ends: whose doing a reason is, and what follows from a link that fails. */
#include <check.h>

#include "../../../src/proxy/exchange_priv.h"

static const struct {
    enum reason reason;
    enum ending_who who;
} BLAME[] = {
    {REASON_NONE, ENDING_COMPLETE},
    {REASON_CERTIFICATE_MISSING, ENDING_DENIED},
    {REASON_CERTIFICATE_REVOKED, ENDING_DENIED},
    {REASON_CRL_EXPIRED, ENDING_DENIED},
    {REASON_POLICY_NO_MATCH, ENDING_DENIED},
    {REASON_POLICY_BLOCK, ENDING_DENIED},
    {REASON_MISDIRECTED_REQUEST, ENDING_DENIED},
    {REASON_RATE_LIMITED, ENDING_DENIED},
    {REASON_BAD_REQUEST, ENDING_BY_CLIENT},
    {REASON_HEADER_TOO_LARGE, ENDING_BY_CLIENT},
    {REASON_BODY_TOO_LARGE, ENDING_BY_CLIENT},
    {REASON_REQUEST_TIMEOUT, ENDING_BY_CLIENT},
    {REASON_METHOD_NOT_ALLOWED, ENDING_BY_CLIENT},
    {REASON_UPSTREAM_UNREACHABLE, ENDING_BY_UPSTREAM},
    {REASON_UPSTREAM_TIMEOUT, ENDING_BY_UPSTREAM},
    {REASON_UPSTREAM_INVALID_RESPONSE, ENDING_BY_UPSTREAM},
    {REASON_UPSTREAM_UNAVAILABLE, ENDING_BY_UPSTREAM},
    {REASON_SHUTTING_DOWN, ENDING_BY_GATEWAY},
    {REASON_INTERNAL_ERROR, ENDING_BY_GATEWAY},
};

START_TEST(a_reason_says_whose_doing_it_is) {
    ck_assert_msg(exchange_blame(BLAME[_i].reason) == BLAME[_i].who, "%s", reason_code(BLAME[_i].reason));
}
END_TEST

/* status: sent already; body: bytes of it have gone upstream; fresh: this was the second link. */
static const struct {
    enum link_failure failure;
    const char *method;
    int status;
    bool body, fresh;
    enum failure_action action;
} FAILURES[] = {
    /* Nothing was sent: whatever it is, another endpoint may do it. */
    {LINK_UNREACHABLE, "GET", 0, false, false, FAILURE_OTHER_ENDPOINT},
    {LINK_UNREACHABLE, "POST", 0, false, false, FAILURE_OTHER_ENDPOINT},
    {LINK_UNREACHABLE, "POST", 0, true, false, FAILURE_ANSWER},
    /* A pooled connection had died: once more, if it may be done twice. */
    {LINK_STALE, "GET", 0, false, false, FAILURE_FRESH_LINK},
    {LINK_STALE, "HEAD", 0, false, false, FAILURE_FRESH_LINK},
    {LINK_STALE, "PUT", 0, false, false, FAILURE_FRESH_LINK},
    {LINK_STALE, "DELETE", 0, false, false, FAILURE_FRESH_LINK},
    {LINK_STALE, "PUT", 0, true, false, FAILURE_ANSWER},
    {LINK_STALE, "POST", 0, false, false, FAILURE_ANSWER},
    {LINK_STALE, "PATCH", 0, false, false, FAILURE_ANSWER},
    {LINK_STALE, "get", 0, false, false, FAILURE_ANSWER},
    {LINK_STALE, "GET", 0, false, true, FAILURE_ANSWER},
    /* It may have been done. */
    {LINK_CLOSED, "GET", 0, false, false, FAILURE_ANSWER},
    {LINK_TIMEOUT, "GET", 0, false, false, FAILURE_ANSWER},
    {LINK_INVALID, "GET", 0, false, false, FAILURE_ANSWER},
    /* The client has seen the head. */
    {LINK_CLOSED, "GET", 200, false, false, FAILURE_CUT},
    {LINK_TIMEOUT, "GET", 200, false, false, FAILURE_CUT},
    {LINK_INVALID, "POST", 200, true, false, FAILURE_CUT},
};

START_TEST(a_failed_link_is_mended_only_where_nothing_is_done_twice) {
    struct request_head request = {.method = slice_of(FAILURES[_i].method)};
    struct exchange exchange = {.request = &request,
                                .status = FAILURES[_i].status,
                                .body_started = FAILURES[_i].body,
                                .fresh = FAILURES[_i].fresh};
    ck_assert_int_eq(relay_judge_failure(&exchange, FAILURES[_i].failure), FAILURES[_i].action);
}
END_TEST

static const struct {
    enum link_failure failure;
    int status;
} ANSWERS[] = {
    {LINK_UNREACHABLE, 502}, {LINK_STALE, 502}, {LINK_CLOSED, 502}, {LINK_TIMEOUT, 504}, {LINK_INVALID, 502}};

START_TEST(a_failed_link_has_a_status) {
    ck_assert_int_eq(reason_status(relay_failure_reason(ANSWERS[_i].failure)), ANSWERS[_i].status);
}
END_TEST

START_TEST(the_steps_are_in_the_order_of_the_house) {
    static const char *const order[] = {"pin",  "host",    "own",  "status", "policy",
                                        "body", "session", "pick", "link",   "forward"};
    for (int i = 0; i < STEP_COUNT; i++) {
        ck_assert_str_eq(exchange_steps[i].name, order[i]);
        ck_assert_ptr_nonnull(exchange_steps[i].run);
    }
}
END_TEST

#define COUNT(table) (int)(sizeof(table) / sizeof((table)[0]))

Suite *proxy_ending_suite(void);
Suite *proxy_ending_suite(void) {
    Suite *suite = suite_create("ending");
    TCase *c = tcase_create("ending");
    tcase_add_loop_test(c, a_reason_says_whose_doing_it_is, 0, COUNT(BLAME));
    tcase_add_loop_test(c, a_failed_link_is_mended_only_where_nothing_is_done_twice, 0, COUNT(FAILURES));
    tcase_add_loop_test(c, a_failed_link_has_a_status, 0, COUNT(ANSWERS));
    tcase_add_test(c, the_steps_are_in_the_order_of_the_house);
    suite_add_tcase(suite, c);
    return suite;
}
