#include "proxy/forward.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/h1_write.h"

#define FINGERPRINT "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

/* An exchange as the steps leave it, with a verified certificate; each test changes what it is about. */
struct fixture {
    struct arena *arena;
    struct identity identity;
    struct peer peer;
    struct hostname hostname;
    struct client client;
    struct request_head request;
    struct exchange exchange;
};

static char server_name[] = "iot.example.test", host_text[] = "192.0.2.7";

static struct fixture *fixture_new(const char *head) {
    struct arena *arena = arena_new(4096);
    struct fixture *f = ARENA_NEW(arena, struct fixture);
    struct h1_limits limits = {64 * 1024, 200};
    struct h1_fault fault = {0};
    f->arena = arena;
    ck_assert_msg(h1_parse_request(slice_of(head), &limits, arena, &f->request, &fault), "%s", fault.detail);
    f->identity.der_base64 = SLICE("TUlJQg==");
    f->identity.fingerprint_sha256 = SLICE(FINGERPRINT);
    f->peer.identity = &f->identity;
    f->peer.report.reason = REASON_NONE;
    f->peer.server_name = server_name;
    f->hostname.forwarding = CONF_FORWARDING_EVERY_REQUEST;
    f->hostname.dialects = CONF_DIALECT_CF;
    f->client.peer = &f->peer;
    f->client.requests = 1;
    f->client.host_text = host_text;
    f->exchange.client = &f->client;
    f->exchange.arena = arena;
    f->exchange.request = &f->request;
    f->exchange.hostname = &f->hostname;
    strcpy(f->exchange.ray_id, "0123456789abcdef");
    return f;
}

static void fixture_free(struct fixture *f) {
    certificate_headers_free(&f->client.certificate_headers);
    arena_free(f->arena);
}

/* What goes upstream, as bytes; free() it. */
static char *forwarded(struct fixture *f) {
    struct sbuf out;
    sbuf_init(&out, 1 << 20);
    h1_write_request(&out, forward_request(&f->exchange), true);
    char *text = strdup(sbuf_text(&out));
    sbuf_fini(&out);
    return text;
}

#define OURS                                 \
    "X-Forwarded-For: 192.0.2.7\r\n"         \
    "X-Forwarded-Proto: https\r\n"           \
    "X-Forwarded-Host: iot.example.test\r\n" \
    "Via: 1.1 sallyport\r\n"                 \
    "cf-ray: 0123456789abcdef\r\n"
#define CERTIFICATE                           \
    "Cf-Client-Cert-Der-Base64: TUlJQg==\r\n" \
    "Cf-Client-Cert-Sha256: " FINGERPRINT "\r\n"
#define GET "GET /v1/x?y=1 HTTP/1.1\r\nHost: iot.example.test\r\n"

/* in: header lines of a client; out: what is left of them between Host and our own. */
static const struct {
    const char *what, *in, *out;
} HEADS[] = {
    {"nothing", "", ""},
    {"end-to-end headers keep order, case and repetition", "User-Agent: curl/8\r\nX-A: 1\r\naccept: */*\r\nX-A: 2\r\n",
     "User-Agent: curl/8\r\nX-A: 1\r\naccept: */*\r\nX-A: 2\r\n"},
    {"hop-by-hop headers stop",
     "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nProxy-Authorization: Basic eDp5\r\nTE: trailers\r\nTrailer: "
     "X-T\r\nX-A: 1\r\n",
     "X-A: 1\r\n"},
    {"what Connection names stops", "Connection: X-Private, close\r\nX-Private: 1\r\nX-Public: 2\r\n",
     "X-Public: 2\r\n"},
    {"sec-12: every dialect, any case",
     "CF-CLIENT-CERT-SHA256: 00\r\ncf-cert-verified: true\r\nClient-Cert: :x:\r\nssl-client-verify: SUCCESS\r\n"
     "X-Forwarded-Client-Cert: By=x\r\nX-Amzn-Mtls-Clientcert: x\r\nX-A: 1\r\n",
     "X-A: 1\r\n"},
    {"sec-12: underscores", "Cf_Client_Cert_Sha256: 00\r\nSSL_CLIENT_VERIFY: SUCCESS\r\nX_Forwarded_For: 1.2.3.4\r\n",
     ""},
    {"sec-12: who the client says it is",
     "X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\ncf-ray: feed\r\n", ""},
    {"sec-12: a marker of ours", "Cf-Client-Cert-Too-Large: false\r\nX-Sallyport-Anything: 1\r\n", ""},
    {"sec-13: nominating ours removes nothing of ours",
     "Connection: cf-client-cert-sha256, X-Forwarded-For, Host, Via, cf-ray\r\nCf-Client-Cert-Sha256: 00\r\n", ""},
    {"sec-40: Early-Data", "Early-Data: 1\r\n", ""},
    {"other cookies are untouched", "Cookie: a=1;b=2 ; c=\"3\"\r\nCookie: d\r\n",
     "Cookie: a=1;b=2 ; c=\"3\"\r\nCookie: d\r\n"},
    {"our session cookie is not", "Cookie: a=1; CF_Authorization=eyJ; b=2\r\n", "Cookie: a=1; b=2\r\n"},
    {"in any case and place", "Cookie: cf_authorization = x;a=1;  CF_Authorization\r\n", "Cookie: a=1\r\n"},
    {"alone", "Cookie: CF_Authorization=eyJ\r\nX-A: 1\r\n", "X-A: 1\r\n"},
    {"a name that only looks like it", "Cookie: CF_Authorization2=1; x=CF_Authorization\r\n",
     "Cookie: CF_Authorization2=1; x=CF_Authorization\r\n"},
};

START_TEST(sec_12_sec_13_a_head_is_built_from_empty) {
    char in[2048], want[4096];
    snprintf(in, sizeof in, GET "%s\r\n", HEADS[_i].in);
    snprintf(want, sizeof want, GET "%s" OURS CERTIFICATE "\r\n", HEADS[_i].out);
    struct fixture *f = fixture_new(in);
    char *got = forwarded(f);
    ck_assert_msg(strcmp(got, want) == 0, "%s:\n%s\ninstead of\n%s", HEADS[_i].what, got, want);
    free(got);
    fixture_free(f);
}
END_TEST

START_TEST(sec_12_headers_are_stripped_also_without_a_certificate) {
    struct fixture *f = fixture_new(GET "Cf-Client-Cert-Sha256: 00\r\nCf-Client-Cert-Der-Base64: eA==\r\n\r\n");
    f->peer.identity = NULL;
    f->peer.report.reason = REASON_CERTIFICATE_MISSING;
    char *got = forwarded(f);
    ck_assert_str_eq(got, GET OURS "\r\n");
    free(got);
    fixture_free(f);
}
END_TEST

START_TEST(sec_12_a_certificate_that_does_not_verify_is_not_forwarded) {
    struct fixture *f = fixture_new(GET "\r\n");
    f->peer.report.reason = REASON_CERTIFICATE_REVOKED;
    char *got = forwarded(f);
    ck_assert_str_eq(got, GET OURS "\r\n");
    free(got);
    fixture_free(f);
}
END_TEST

static const struct {
    enum conf_forwarding forwarding;
    uint64_t requests;
    bool dialect, is_forwarded;
} FORWARDING[] = {
    {CONF_FORWARDING_OFF, 1, true, false},           {CONF_FORWARDING_FIRST_REQUEST, 1, true, true},
    {CONF_FORWARDING_FIRST_REQUEST, 2, true, false}, {CONF_FORWARDING_EVERY_REQUEST, 1, true, true},
    {CONF_FORWARDING_EVERY_REQUEST, 99, true, true}, {CONF_FORWARDING_EVERY_REQUEST, 1, false, false},
};

START_TEST(the_hostname_says_which_requests_carry_the_certificate) {
    struct fixture *f = fixture_new(GET "\r\n");
    f->hostname.forwarding = FORWARDING[_i].forwarding;
    f->hostname.dialects = FORWARDING[_i].dialect ? CONF_DIALECT_CF : 0;
    f->client.requests = FORWARDING[_i].requests;
    char *got = forwarded(f);
    ck_assert_str_eq(got, FORWARDING[_i].is_forwarded ? GET OURS CERTIFICATE "\r\n" : GET OURS "\r\n");
    free(got);
    fixture_free(f);
}
END_TEST

START_TEST(sec_14_certificate_headers_hold_only_base64_and_hex) {
    struct fixture *f = fixture_new(GET "\r\n");
    f->identity.subject_dn = SLICE("CN=a\r\nX-Admin: true");
    f->identity.common_name = SLICE("a\r\nX-Admin: true");
    char *got = forwarded(f);
    ck_assert_str_eq(got, GET OURS CERTIFICATE "\r\n");
    free(got);
    fixture_free(f);
}
END_TEST

START_TEST(sec_16_a_certificate_too_large_for_a_header_is_marked) {
    static char base64[40000];
    memset(base64, 'A', sizeof base64);
    struct fixture *f = fixture_new(GET "\r\n");
    f->identity.der_base64 = slice_make(base64, sizeof base64);
    char *got = forwarded(f);
    ck_assert_str_eq(got, GET OURS "Cf-Client-Cert-Der-Base64-Too-Large: 1\r\nCf-Client-Cert-Sha256: " FINGERPRINT
                                   "\r\n\r\n");
    free(got);
    fixture_free(f);
}
END_TEST

START_TEST(the_host_goes_on_as_received) {
    struct fixture *f = fixture_new("GET / HTTP/1.1\r\nHost: IoT.example.test:8443\r\n\r\n");
    char *got = forwarded(f);
    ck_assert(strstr(got, "\r\nHost: IoT.example.test:8443\r\n"));
    ck_assert(strstr(got, "\r\nX-Forwarded-Host: IoT.example.test:8443\r\n"));
    free(got);
    fixture_free(f);
}
END_TEST

START_TEST(http_1_0_without_host_gets_the_connections) {
    struct fixture *f = fixture_new("GET / HTTP/1.0\r\nVia: 1.0 fred\r\n\r\n");
    char *got = forwarded(f);
    ck_assert_str_eq(
        got,
        "GET / HTTP/1.1\r\nHost: iot.example.test\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
        "X-Forwarded-Host: iot.example.test\r\nVia: 1.0 fred, 1.0 sallyport\r\ncf-ray: 0123456789abcdef\r\n" CERTIFICATE
        "\r\n");
    free(got);
    fixture_free(f);
}
END_TEST

START_TEST(via_is_one_list) {
    struct fixture *f = fixture_new(GET "Via: 1.0 fred\r\nX-A: 1\r\nvia: 1.1 p.example.net\r\n\r\n");
    char *got = forwarded(f);
    ck_assert(strstr(got, "\r\nVia: 1.0 fred, 1.1 p.example.net, 1.1 sallyport\r\n"));
    free(got);
    fixture_free(f);
}
END_TEST

START_TEST(bodies_are_framed_by_us) {
    struct fixture *f =
        fixture_new("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    char *got = forwarded(f);
    ck_assert(strstr(got, "\r\nContent-Length: 5\r\n"));
    ck_assert(strstr(got, "\r\nExpect: 100-continue\r\n"));
    free(got);
    fixture_free(f);
    f = fixture_new("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    got = forwarded(f);
    ck_assert(strstr(got, "\r\nTransfer-Encoding: chunked\r\n"));
    free(got);
    fixture_free(f);
    f = fixture_new("GET / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\n\r\n");
    got = forwarded(f);
    ck_assert(!strstr(got, "Expect"));
    free(got);
    fixture_free(f);
}
END_TEST

static const struct {
    const char *in, *out; /* Upgrade; NULL: none goes upstream */
} UPGRADES[] = {{"Connection: Upgrade\r\nUpgrade: websocket\r\n", "Connection: Upgrade\r\nUpgrade: websocket\r\n"},
                {"Upgrade: websocket\r\n", NULL},
                {"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n", NULL},
                {"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n", NULL}};

START_TEST(sec_08_upgrades_pass_but_not_to_another_http) {
    char in[512];
    snprintf(in, sizeof in, GET "%s\r\n", UPGRADES[_i].in);
    struct fixture *f = fixture_new(in);
    char *got = forwarded(f);
    if (UPGRADES[_i].out) {
        ck_assert_ptr_nonnull(strstr(got, UPGRADES[_i].out));
    } else {
        ck_assert_ptr_null(strstr(got, "Upgrade"));
    }
    ck_assert_ptr_null(strstr(got, "HTTP2-Settings"));
    free(got);
    fixture_free(f);
}
END_TEST

/* ---- responses ---- */

static char *answered(const char *head, int status) {
    struct fixture *f = fixture_new(GET "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    struct h1_limits limits = {64 * 1024, 200};
    struct h1_fault fault = {0};
    struct response_head upstream;
    ck_assert_msg(h1_parse_response(slice_of(head), &limits, false, f->arena, &upstream, &fault), "%s", fault.detail);
    struct sbuf out;
    sbuf_init(&out, 1 << 20);
    struct response_head *response = forward_response(&f->exchange, &upstream);
    if (status < 200) {
        h1_write_informational(&out, response);
    } else {
        h1_write_response(&out, response, false);
    }
    char *text = strdup(sbuf_text(&out));
    sbuf_fini(&out);
    fixture_free(f);
    return text;
}

static const struct {
    int status;
    const char *in, *out;
} RESPONSES[] = {
    {200,
     "HTTP/1.1 200 Fine\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nServer: x\r\nSet-Cookie: a\r\nSet-Cookie: "
     "b\r\nContent-Length: 3\r\n\r\n",
     "HTTP/1.1 200 Fine\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nServer: x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
     "Via: 1.1 sallyport\r\ncf-ray: 0123456789abcdef\r\nContent-Length: 3\r\n\r\n"},
    {200,
     "HTTP/1.1 200 OK\r\nDate: d\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\ncf-ray: "
     "feed\r\nX-Sallyport-Reason: x\r\n"
     "cf-access-aud: x\r\nVia: 1.1 back\r\nContent-Length: 0\r\n\r\n",
     "HTTP/1.1 200 OK\r\nDate: d\r\nVia: 1.1 back, 1.1 sallyport\r\ncf-ray: 0123456789abcdef\r\nContent-Length: "
     "0\r\n\r\n"},
    {103, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: close\r\n\r\n",
     "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"},
    {101,
     "HTTP/1.1 101 Switching Protocols\r\nDate: d\r\nConnection: Upgrade\r\nUpgrade: "
     "websocket\r\nSec-WebSocket-Accept: x\r\n\r\n",
     "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nDate: d\r\nSec-WebSocket-Accept: x\r\nUpgrade: "
     "websocket\r\n"
     "Via: 1.1 sallyport\r\ncf-ray: 0123456789abcdef\r\n\r\n"},
};

START_TEST(sec_12_a_response_is_built_from_empty) {
    char *got = answered(RESPONSES[_i].in, RESPONSES[_i].status);
    ck_assert_str_eq(got, RESPONSES[_i].out);
    free(got);
}
END_TEST

START_TEST(a_response_without_date_gets_one) {
    char *got = answered("HTTP/1.1 204 No Content\r\n\r\n", 204);
    ck_assert_ptr_nonnull(strstr(got, "\r\nDate: "));
    ck_assert_ptr_nonnull(strstr(got, " GMT\r\n"));
    free(got);
}
END_TEST

/* ---- trailers ---- */

static const struct {
    const char *name;
    bool passes;
} TRAILERS[] = {{"grpc-status", true},       {"X-Checksum", true},         {"Server-Timing", true},
                {"Content-Length", false},   {"Transfer-Encoding", false}, {"Host", false},
                {"Authorization", false},    {"Set-Cookie", false},        {"cf-client-cert-sha256", false},
                {"CF_Cert_Verified", false}, {"X-Forwarded-For", false},   {"Connection", false},
                {"If-Match", false},         {"x-sallyport-reason", false}};

START_TEST(sec_12_trailers_carry_no_identity_and_no_framing) {
    struct arena *arena = arena_new(512);
    struct headers in, out;
    headers_init(&in, arena);
    headers_init(&out, arena);
    headers_add(&in, slice_of(TRAILERS[_i].name), SLICE("v"));
    forward_trailers(&in, NULL, &out);
    ck_assert_msg(out.count == (size_t)TRAILERS[_i].passes, "%s", TRAILERS[_i].name);
    arena_free(arena);
}
END_TEST

#define COUNT(table) (int)(sizeof(table) / sizeof((table)[0]))

Suite *proxy_forward_suite(void);
Suite *proxy_forward_suite(void) {
    Suite *suite = suite_create("forward");
    TCase *c = tcase_create("forward");
    tcase_add_loop_test(c, sec_12_sec_13_a_head_is_built_from_empty, 0, COUNT(HEADS));
    tcase_add_test(c, sec_12_headers_are_stripped_also_without_a_certificate);
    tcase_add_test(c, sec_12_a_certificate_that_does_not_verify_is_not_forwarded);
    tcase_add_loop_test(c, the_hostname_says_which_requests_carry_the_certificate, 0, COUNT(FORWARDING));
    tcase_add_test(c, sec_14_certificate_headers_hold_only_base64_and_hex);
    tcase_add_test(c, sec_16_a_certificate_too_large_for_a_header_is_marked);
    tcase_add_test(c, the_host_goes_on_as_received);
    tcase_add_test(c, http_1_0_without_host_gets_the_connections);
    tcase_add_test(c, via_is_one_list);
    tcase_add_test(c, bodies_are_framed_by_us);
    tcase_add_loop_test(c, sec_08_upgrades_pass_but_not_to_another_http, 0, COUNT(UPGRADES));
    tcase_add_loop_test(c, sec_12_a_response_is_built_from_empty, 0, COUNT(RESPONSES));
    tcase_add_test(c, a_response_without_date_gets_one);
    tcase_add_loop_test(c, sec_12_trailers_carry_no_identity_and_no_framing, 0, COUNT(TRAILERS));
    suite_add_tcase(suite, c);
    return suite;
}
