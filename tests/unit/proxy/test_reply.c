/* reply: the form that an Accept asks for, and what a body may hold. */
#include "proxy/reply.h"

#include <check.h>
#include <string.h>

#include "base/mem.h"

static const struct {
    const char *accept, *form;
} FORMS[] = {
    {"", "text/plain"},
    {"*/*", "text/plain"},
    {"image/png", "text/plain"},
    {"text/*", "text/plain"},
    {"application/*", "application/json"},
    {"application/json", "application/json"},
    {"Application/JSON;Q=0.1", "application/json"},
    {"application/json, text/plain, */*", "application/json"},
    {"text/plain, application/json", "text/plain"},
    {"application/json, text/javascript, */*; q=0.01", "application/json"},
    {"text/html, application/xhtml+xml, image/jxr, */*", "text/html"},
    {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", "text/html"},
    {"text/html;q=0.5,application/json;q=0.6", "application/json"},
    {"text/html;q=0,*/*", "text/plain"},
    {"application/json;q=0", "text/plain"},
    {"text/html;q=0.001,text/plain;q=0", "text/html"},
    {"application/json;q=nonsense", "text/plain"},
    {",;,;q=,*", "text/plain"},
};

START_TEST(the_form_is_negotiated) {
    const char *form = reply_negotiate(slice_of(FORMS[_i].accept));
    ck_assert_msg(strncmp(form, FORMS[_i].form, strlen(FORMS[_i].form)) == 0, "%s: %s", FORMS[_i].accept, form);
}
END_TEST

/* A name from a certificate, in each form. */
START_TEST(sec_14_a_detail_stays_text) {
    static const char *const ACCEPTS[] = {"text/plain", "text/html", "application/json"};
    struct sbuf body;
    const char *type;
    struct reply reply = {.reason = REASON_CERTIFICATE_UNTRUSTED,
                          .detail = "CN=<script>\"&'\r\n\x1b[31m\xc2\x9b"
                                    "31m\xff",
                          .ray_id = "0123456789abcdef",
                          .accept = slice_of(ACCEPTS[_i])};
    sbuf_init(&body, 65536);
    reply_render(&reply, &body, &type);
    const char *text = sbuf_text(&body);
    ck_assert_ptr_null(strstr(text, "\x1b"));
    ck_assert_ptr_null(strstr(text, "\r"));
    ck_assert_ptr_null(strstr(text, "\xc2\x9b"));
    ck_assert_ptr_null(strstr(text, "\xff"));
    if (_i == 1)
        ck_assert_ptr_null(strstr(text, "<script"));
    else
        ck_assert_ptr_eq(strchr(text, '\n') + 1, text + strlen(text));
    sbuf_fini(&body);
}
END_TEST

Suite *proxy_reply_suite(void);
Suite *proxy_reply_suite(void) {
    Suite *suite = suite_create("proxy/reply");
    TCase *tcase = tcase_create("reply");
    tcase_add_loop_test(tcase, the_form_is_negotiated, 0, sizeof FORMS / sizeof FORMS[0]);
    tcase_add_loop_test(tcase, sec_14_a_detail_stays_text, 0, 3);
    suite_add_tcase(suite, tcase);
    return suite;
}
