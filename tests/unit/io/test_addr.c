#include "io/addr.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static const char *const ACCEPTED[][2] = {
    {"127.0.0.1:8443", "127.0.0.1:8443"},
    {"0.0.0.0:0", "0.0.0.0:0"},
    {"192.0.2.7:65535", "192.0.2.7:65535"},
    {"[::1]:80", "[::1]:80"},
    {"[2001:DB8::A]:443", "[2001:db8::a]:443"},
    {"[::ffff:192.0.2.7]:443", "192.0.2.7:443"},
    {"*:443", "[::]:443"},
    {"*:0", "[::]:0"},
    {"unix:run/admin.sock", "unix:run/admin.sock"},
    {"unix:/run/a b:c.sock", "unix:/run/a b:c.sock"},
};

START_TEST(addresses_are_parsed_and_written) {
    struct addr addr;
    struct err err;
    char text[ADDR_TEXT_SIZE];
    ck_assert_msg(addr_parse(slice_of(ACCEPTED[_i][0]), &addr, &err) == 0, "%s: %s", ACCEPTED[_i][0], err.text);
    ck_assert_str_eq(addr_format(&addr, text), ACCEPTED[_i][1]);
    struct addr again;
    ck_assert_int_eq(addr_parse(slice_of(text), &again, &err), 0);
    ck_assert(addr_eq(&addr, &again));
}
END_TEST

static const char *const REFUSED[] = {
    "",
    ":",
    ":80",
    "80",
    "127.0.0.1",
    "127.0.0.1:",
    "127.0.0.1:65536",
    "127.0.0.1:000080",
    "127.0.0.1:+80",
    "127.0.0.1:80 ",
    " 127.0.0.1:80",
    "127.0.0.1:80x",
    "127.0.0.1:-1",
    "127.1:80",
    "0x7f.0.0.1:80",
    "127.0.0.01:80",
    "2130706433:80",
    "256.0.0.1:80",
    "localhost:80",
    "example.test:443",
    "::1:80",
    "[::1]",
    "[::1]80",
    "[::1:80",
    "::1]:80",
    "[]:80",
    "[127.0.0.1]:80",
    "[fe80::1%eth0]:80",
    "[fe80::1%2]:80",
    "[::1]]:80",
    "*",
    "*:",
    "**:80",
    "*:99999",
    "unix:",
    "http://127.0.0.1:80",
    "unix:/"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "aa",
};

START_TEST(other_texts_are_refused_and_quoted) {
    struct addr addr;
    struct err err = {""};
    ck_assert_msg(addr_parse(slice_of(REFUSED[_i]), &addr, &err) == -1, "%s", REFUSED[_i]);
    ck_assert_ptr_nonnull(strstr(err.text, "expected"));
    ck_assert_ptr_nonnull(strstr(err.text, REFUSED[_i]));
}
END_TEST

START_TEST(bytes_behind_a_nul_are_not_overlooked) {
    struct addr addr;
    ck_assert_int_eq(addr_parse(SLICE("127.0.0.1\0.evil:80"), &addr, NULL), -1);
    ck_assert_int_eq(addr_parse(SLICE("127.0.0.1:80\0"), &addr, NULL), -1);
    ck_assert_int_eq(addr_parse(SLICE("unix:/run/a\0b"), &addr, NULL), -1);
    struct cidr cidr;
    ck_assert_int_eq(cidr_parse(SLICE("10.0.0.0\0/8"), &cidr, NULL), -1);
}
END_TEST

static const struct {
    const char *text, *host;
    int port; /* -1: refused */
} SPLITS[] = {
    {"origin.test:3000", "origin.test", 3000},
    {"127.0.0.1:80", "127.0.0.1", 80},
    {"[::1]:80", "::1", 80},
    {"a_b-c.test:1", "a_b-c.test", 1},
    {"origin.test", NULL, -1},
    {"origin.test:", NULL, -1},
    {":80", NULL, -1},
    {"a b:80", NULL, -1},
    {"user@host:80", NULL, -1},
    {"host/path:80", NULL, -1},
    {"::1:80", NULL, -1},
    {"[host]:80", NULL, -1},
    {"[", NULL, -1},
    {"[:80", NULL, -1},
    {"host:65536", NULL, -1},
    {"host:0x50", NULL, -1},
};

START_TEST(host_and_port_are_split) {
    struct slice host;
    uint16_t port;
    struct err err = {""};
    int result = addr_split(slice_of(SPLITS[_i].text), &host, &port, &err);
    ck_assert_msg(result == (SPLITS[_i].port < 0 ? -1 : 0), "%s: %s", SPLITS[_i].text, err.text);
    if (result == 0) {
        ck_assert(slice_eq_str(host, SPLITS[_i].host));
        ck_assert_int_eq(port, SPLITS[_i].port);
    }
}
END_TEST

START_TEST(a_mapped_peer_becomes_ipv4) {
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(4711)};
    ck_assert_int_eq(inet_pton(AF_INET6, "::ffff:192.0.2.7", &mapped.sin6_addr), 1);
    struct addr addr;
    addr_from_sockaddr((const struct sockaddr *)&mapped, sizeof mapped, &addr);
    char text[ADDR_TEXT_SIZE];
    ck_assert_str_eq(addr_format(&addr, text), "192.0.2.7:4711");
    ck_assert_str_eq(addr_format_host(&addr, text), "192.0.2.7");
    ck_assert_uint_eq(addr.len, sizeof(struct sockaddr_in));
    ck_assert_uint_eq(addr_port(&addr), 4711);
    struct cidr cidr;
    ck_assert_int_eq(cidr_parse(SLICE("192.0.2.0/24"), &cidr, NULL), 0);
    ck_assert(cidr_contains(&cidr, &addr));
}
END_TEST

START_TEST(an_unnamed_unix_peer_has_a_text) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct addr addr;
    addr_from_sockaddr((const struct sockaddr *)&un, sizeof(sa_family_t), &addr);
    char text[ADDR_TEXT_SIZE];
    ck_assert_str_eq(addr_format(&addr, text), "unix:");
    ck_assert(addr_is_loopback(&addr));
    ck_assert_uint_eq(addr_port(&addr), 0);
}
END_TEST

static const struct {
    const char *text;
    bool is_loopback;
} LOOPBACKS[] = {
    {"127.0.0.1:1", true}, {"127.255.0.9:1", true}, {"[::1]:1", true},          {"[::ffff:127.0.0.1]:1", true},
    {"unix:/x", true},     {"128.0.0.1:1", false},  {"0.0.0.0:1", false},       {"[::]:1", false},
    {"*:1", false},        {"[::2]:1", false},      {"192.168.127.1:1", false},
};

static const struct {
    const char *text;
    bool is_public;
} PUBLICS[] = {
    {"8.8.8.8", true},
    {"1.1.1.1", true},
    {"172.15.255.255", true},
    {"172.32.0.1", true},
    {"100.128.0.1", true},
    {"223.255.255.255", true},
    {"192.0.1.1", true},
    {"2606:4700::1111", true},
    {"2001:4860::8888", true},
    {"2002:808:808::1", true},
    {"64:ff9b::808:808", true},
    {"::ffff:8.8.8.8", true},
    {"127.0.0.1", false},
    {"127.255.255.255", false},
    {"0.0.0.0", false},
    {"10.255.0.1", false},
    {"172.16.0.1", false},
    {"172.31.255.255", false},
    {"192.168.1.1", false},
    {"169.254.169.254", false},
    {"100.64.0.1", false},
    {"100.127.255.255", false},
    {"192.0.0.8", false},
    {"192.0.2.1", false},
    {"198.18.0.1", false},
    {"198.19.255.255", false},
    {"224.0.0.1", false},
    {"240.0.0.1", false},
    {"255.255.255.255", false},
    {"::1", false},
    {"::", false},
    {"::ffff:127.0.0.1", false},
    {"::127.0.0.1", false},
    {"fc00::1", false},
    {"fd12:3456::1", false},
    {"fe80::1", false},
    {"fec0::1", false},
    {"ff02::1", false},
    {"2001:db8::1", false},
    {"2001::1", false},
    {"3fff::1", false},
    {"2002:7f00:1::1", false},
    {"2002:a00:1::1", false},
    {"64:ff9b::7f00:1", false},
    {"64:ff9b::a9fe:a9fe", false},
    {"64:ff9b:1::808:808", false},
};

START_TEST(sec_34_public_addresses_are_told_apart) {
    struct addr addr;
    ck_assert(addr_parse_host(slice_of(PUBLICS[_i].text), &addr));
    ck_assert_msg(addr_is_public(&addr) == PUBLICS[_i].is_public, "%s", PUBLICS[_i].text);
}
END_TEST

START_TEST(loopback_is_told_apart) {
    struct addr addr;
    ck_assert_int_eq(addr_parse(slice_of(LOOPBACKS[_i].text), &addr, NULL), 0);
    ck_assert_int_eq(addr_is_loopback(&addr), LOOPBACKS[_i].is_loopback);
}
END_TEST

START_TEST(equality_looks_at_family_address_and_port) {
    static const char *const texts[] = {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.2:1", "[::1]:1",
                                        "[::2]:1",     "unix:a",      "unix:b"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        for (size_t j = 0; j < sizeof texts / sizeof *texts; j++) {
            struct addr a, b;
            ck_assert_int_eq(addr_parse(slice_of(texts[i]), &a, NULL) | addr_parse(slice_of(texts[j]), &b, NULL), 0);
            ck_assert_int_eq(addr_eq(&a, &b), i == j);
        }
    }
}
END_TEST

START_TEST(numeric_hosts_resolve_to_themselves) {
    struct addr addrs[4];
    size_t count;
    char text[ADDR_TEXT_SIZE];
    ck_assert_int_eq(addr_resolve(SLICE("127.0.0.1"), 80, addrs, 4, &count, NULL), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(addr_format(&addrs[0], text), "127.0.0.1:80");
    ck_assert_int_eq(addr_resolve(SLICE("::1"), 80, addrs, 4, &count, NULL), 0);
    ck_assert_str_eq(addr_format(&addrs[0], text), "[::1]:80");
}
END_TEST

START_TEST(localhost_resolves_and_nonsense_does_not) {
    struct addr addrs[4];
    size_t count;
    struct err err;
    ck_assert_msg(addr_resolve(SLICE("localhost"), 80, addrs, 4, &count, &err) == 0, "%s", err.text);
    ck_assert_uint_ge(count, 1);
    ck_assert(addr_is_loopback(&addrs[0]));
    ck_assert_uint_eq(addr_port(&addrs[0]), 80);
    ck_assert_int_eq(addr_resolve(SLICE("a..b"), 80, addrs, 4, &count, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "cannot resolve 'a..b'"));
    ck_assert_int_eq(addr_resolve(SLICE(""), 80, addrs, 4, &count, &err), -1);
}
END_TEST

static const struct {
    const char *block, *addr;
    bool contains;
} CONTAINED[] = {
    {"192.0.2.0/24", "192.0.2.0", true},
    {"192.0.2.0/24", "192.0.2.255", true},
    {"192.0.2.0/24", "192.0.3.0", false},
    {"192.0.2.0/24", "192.0.1.255", false},
    {"192.0.2.128/25", "192.0.2.128", true},
    {"192.0.2.128/25", "192.0.2.127", false},
    {"192.0.2.7", "192.0.2.7", true},
    {"192.0.2.7", "192.0.2.6", false},
    {"192.0.2.7/32", "192.0.2.7", true},
    {"192.0.2.6/31", "192.0.2.7", true},
    {"0.0.0.0/0", "203.0.113.9", true},
    {"0.0.0.0/0", "[2001:db8::1]", false},
    {"::/0", "[2001:db8::1]", true},
    {"::/0", "192.0.2.7", false},
    {"2001:db8::/32", "[2001:db8:ffff::1]", true},
    {"2001:db8::/32", "[2001:db9::1]", false},
    {"2001:db8::1", "[2001:db8::1]", true},
    {"2001:db8::1", "[2001:db8::2]", false},
    {"2001:db8::/33", "[2001:db8:7fff::]", true},
    {"2001:db8::/33", "[2001:db8:8000::]", false},
    {"::ffff:192.0.2.0/120", "192.0.2.9", true},
    {"::ffff:192.0.2.0/120", "192.0.3.9", false},
    {"::ffff:192.0.2.9", "192.0.2.9", true},
    {"192.0.2.0/24", "[::ffff:192.0.2.9]", true},
};

START_TEST(blocks_contain_what_they_should) {
    struct cidr cidr;
    struct addr addr;
    struct err err;
    char text[64];
    snprintf(text, sizeof text, "%s:1", CONTAINED[_i].addr);
    ck_assert_msg(cidr_parse(slice_of(CONTAINED[_i].block), &cidr, &err) == 0, "%s", err.text);
    ck_assert_int_eq(addr_parse(slice_of(text), &addr, NULL), 0);
    ck_assert_msg(cidr_contains(&cidr, &addr) == CONTAINED[_i].contains, "%s in %s", text, CONTAINED[_i].block);
}
END_TEST

static const char *const BAD_BLOCKS[] = {
    "",
    "/",
    "/24",
    "192.0.2.0/",
    "192.0.2.0/33",
    "192.0.2.0/-1",
    "192.0.2.0/024",
    "10.0.0/8",
    "10/8",
    "10.0.0.0/8/8",
    "10.0.0.0/8 ",
    "2001:db8::/129",
    "fe80::%1/64",
    "[::1]/128",
    "all",
    "*",
    "192.0.2.0-192.0.2.9",
    "192.0.2.0/255.255.255.0",
    "::ffff:0.0.0.0/95",
};

START_TEST(other_blocks_are_refused) {
    struct cidr cidr;
    struct err err = {""};
    ck_assert_msg(cidr_parse(slice_of(BAD_BLOCKS[_i]), &cidr, &err) == -1, "%s", BAD_BLOCKS[_i]);
    ck_assert_ptr_nonnull(strstr(err.text, "expected an address block"));
}
END_TEST

static const char *const HOST_BITS[][2] = {
    {"192.0.2.7/24", "192.0.2.0/24"},         {"192.0.2.1/0", "0.0.0.0/0"},
    {"2001:db8::1/32", "2001:db8::/32"},      {"192.0.2.129/25", "192.0.2.128/25"},
    {"::ffff:192.0.2.7/120", "192.0.2.0/24"},
};

START_TEST(host_bits_are_an_error_that_names_the_network) {
    struct cidr cidr;
    struct err err;
    ck_assert_int_eq(cidr_parse(slice_of(HOST_BITS[_i][0]), &cidr, &err), -1);
    ck_assert_msg(strstr(err.text, HOST_BITS[_i][1]) != NULL, "%s", err.text);
}
END_TEST

START_TEST(no_block_contains_a_unix_peer) {
    struct cidr cidr;
    struct addr addr;
    ck_assert_int_eq(cidr_parse(SLICE("0.0.0.0/0"), &cidr, NULL) | addr_parse(SLICE("unix:x"), &addr, NULL), 0);
    ck_assert(!cidr_contains(&cidr, &addr));
}
END_TEST

START_TEST(a_host_is_parsed_without_a_port) {
    static const char *const refused[] = {"",          "[::1]",   "192.0.2.7:1", "192.0.2.7/32",
                                          "localhost", "192.0.2", "::g",         " ::1"};
    struct addr addr;
    char text[ADDR_TEXT_SIZE];
    ck_assert(addr_parse_host(SLICE("192.0.2.7"), &addr));
    ck_assert_str_eq(addr_format(&addr, text), "192.0.2.7:0");
    ck_assert(addr_parse_host(SLICE("2001:db8::1"), &addr));
    ck_assert_str_eq(addr_format_host(&addr, text), "2001:db8::1");
    ck_assert(addr_parse_host(SLICE("::ffff:192.0.2.7"), &addr));
    ck_assert_str_eq(addr_format_host(&addr, text), "192.0.2.7");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        ck_assert_msg(!addr_parse_host(slice_of(refused[i]), &addr), "%s", refused[i]);
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof *(table))

Suite *io_addr_suite(void);
Suite *io_addr_suite(void) {
    Suite *suite = suite_create("addr");
    TCase *tcase = tcase_create("addr");
    tcase_add_loop_test(tcase, addresses_are_parsed_and_written, 0, ROWS(ACCEPTED));
    tcase_add_loop_test(tcase, other_texts_are_refused_and_quoted, 0, ROWS(REFUSED));
    tcase_add_test(tcase, bytes_behind_a_nul_are_not_overlooked);
    tcase_add_loop_test(tcase, host_and_port_are_split, 0, ROWS(SPLITS));
    tcase_add_test(tcase, a_host_is_parsed_without_a_port);
    tcase_add_test(tcase, a_mapped_peer_becomes_ipv4);
    tcase_add_test(tcase, an_unnamed_unix_peer_has_a_text);
    tcase_add_loop_test(tcase, loopback_is_told_apart, 0, ROWS(LOOPBACKS));
    tcase_add_loop_test(tcase, sec_34_public_addresses_are_told_apart, 0, ROWS(PUBLICS));
    tcase_add_test(tcase, equality_looks_at_family_address_and_port);
    tcase_add_test(tcase, numeric_hosts_resolve_to_themselves);
    tcase_add_test(tcase, localhost_resolves_and_nonsense_does_not);
    tcase_add_loop_test(tcase, blocks_contain_what_they_should, 0, ROWS(CONTAINED));
    tcase_add_loop_test(tcase, other_blocks_are_refused, 0, ROWS(BAD_BLOCKS));
    tcase_add_loop_test(tcase, host_bits_are_an_error_that_names_the_network, 0, ROWS(HOST_BITS));
    tcase_add_test(tcase, no_block_contains_a_unix_peer);
    suite_add_tcase(suite, tcase);
    return suite;
}
