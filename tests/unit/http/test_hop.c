#include "http/hop.h"

#include <check.h>

START_TEST(sec_13_hop_by_hop_headers_stop_here) {
    static const char *const names[] = {
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "HTTP2-Settings",
        "Content-Length",
        "Expect",
        "CONTENT-LENGTH",
        "Content_Length",
        "transfer_encoding",
        "te",
    };
    static const char *const others[] = {
        "Host",         "Cookie", "Content-Type",  "Content-Lengths", "Content-Encoding", "T", "TEs", "Trailers",
        "X-Connection", "",       "Authorization", "Accept"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        ck_assert_msg(header_is_hop_by_hop(slice_of(names[i])), "%s", names[i]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        ck_assert_msg(!header_is_hop_by_hop(slice_of(others[i])), "%s", others[i]);
}
END_TEST

START_TEST(sec_12_identity_headers_are_reserved_in_any_spelling) {
    static const char *const names[] = {
        "Cf-Client-Cert-Der-Base64",
        "Cf-Client-Cert-Sha256",
        "cf-client-cert",
        "CF_CLIENT_CERT_SHA256",
        "cf_client-cert_x",
        "cf-cert-verified",
        "Cf_Cert_Subject_Dn",
        "cf-access-jwt-assertion",
        "CF-Access-Client-Id",
        "cf_access_x",
        "cf-ray",
        "CF_RAY",
        "Client-Cert",
        "client_cert",
        "Client-Cert-Chain",
        "CLIENT_CERT-chain",
        "X-Forwarded-Client-Cert",
        "x_forwarded_client_cert",
        "X-Forwarded-Tls-Client-Cert",
        "X-Forwarded-Tls-Client-Cert-Info",
        "x-client-cert",
        "X-Client-Certificate",
        "X-Client-Cert-Dn",
        "X-Amzn-Mtls-Clientcert",
        "x_amzn_mtls_clientcert_leaf",
        "ssl-client-verify",
        "SSL_CLIENT_CERT",
        "Ssl-Client-",
        "X-SSL-Client-Cert",
        "x-ssl-",
        "x_ssl_cert",
        "Early-Data",
        "early_data",
        "X-Sallyport-Reason",
        "x_sallyport_anything",
        "X-Forwarded-For",
        "x_forwarded_for",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Server",
        "Forwarded",
        "FORWARDED",
        "X-Real-IP",
        "x_real_ip",
        "Client-Cert-Too-Large",
        "client_cert_chain-too_large",
        "X-Forwarded-Client-Cert-Too-Large",
        "X-Forwarded-User",
        "x_forwarded_groups",
        "X-Forwarded-Prefix",
        "X-Arr-ClientCert",
        "Cf-Connecting-Ip",
        "cf_connecting_ipv6",
        "True-Client-Ip",
        "X-Original-Url",
        "x_original_uri",
        "X-Rewrite-URL",
    };
    static const char *const others[] = {
        "Cf",
        "cf-",
        "cf-cert",
        "cf-access",
        "cf-clientcert",
        "cf-rays",
        "xcf-ray",
        "client",
        "client-certs",
        "x-forwarded",
        "x-amzn-trace-id",
        "x-amzn-mtls",
        "ssl-client",
        "x-ssl",
        "ssl",
        "early",
        "early-data-x",
        "x-sallyport",
        "x-real",
        "x-original",
        "x-rewrite-urls",
        "cf-connecting",
        "true-client",
        "forwarded-for",
        "Host",
        "Cookie",
        "Authorization",
        "X-Request-Id",
        "",
        "*",
        "-",
        "_",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        ck_assert_msg(header_is_reserved(slice_of(names[i])), "%s", names[i]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        ck_assert_msg(!header_is_reserved(slice_of(others[i])), "%s", others[i]);
}
END_TEST

START_TEST(sec_13_connection_nominates_what_the_client_sent) {
    struct arena *arena = arena_new(1024);
    struct headers headers;
    headers_init(&headers, arena);
    headers_add(&headers, SLICE("Connection"), SLICE("close, X-Private"));
    headers_add(&headers, SLICE("connection"), SLICE("x-other"));
    ck_assert(header_is_nominated(&headers, SLICE("x-private")));
    ck_assert(header_is_nominated(&headers, SLICE("X-Other")));
    ck_assert(!header_is_nominated(&headers, SLICE("X-Privat")));
    ck_assert(!header_is_nominated(&headers, SLICE("Host")));
    arena_free(arena);
}
END_TEST

Suite *http_hop_suite(void);
Suite *http_hop_suite(void) {
    Suite *suite = suite_create("http/hop");
    TCase *tcase = tcase_create("hop");
    tcase_add_test(tcase, sec_13_hop_by_hop_headers_stop_here);
    tcase_add_test(tcase, sec_12_identity_headers_are_reserved_in_any_spelling);
    tcase_add_test(tcase, sec_13_connection_nominates_what_the_client_sent);
    suite_add_tcase(suite, tcase);
    return suite;
}
