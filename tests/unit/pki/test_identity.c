#include "pki/identity.h"

#include <check.h>

#include "judge.h"

static struct identity *identify(const struct testpki_spec *spec) {
    struct testpki made = testpki_make(spec);
    struct identity *identity = identity_new(made.cert, NULL);
    testpki_free(&made);
    return identity;
}

#define IDENTIFY(...) identify(&(struct testpki_spec){__VA_ARGS__})

static void check_text(struct slice got, const char *expected) {
    ck_assert_msg(slice_eq_str(got, expected), "'" SLICE_FMT "' is not '%s'", SLICE_ARG(got), expected);
}

START_TEST(formats_of_the_rule_fields) {
    struct testpki ca = testpki_make(
        &(struct testpki_spec){.subject = "C=US/ST=Texas/L=Austin/O=Access Testing/OU=TX/CN=Access Testing CA",
                               .is_ca = true,
                               .serial = "0936EACBE07F201DF"});
    struct testpki leaf = testpki_make(&(struct testpki_spec){
        .subject = "C=US/ST=Texas/L=Austin/O=Access/OU=Access Admins/CN=James Royal",
        .issuer = &ca,
        .serial = "527E0F20A1",
        .not_before = 1647869700, /* 2022-03-21T13:35:00Z */
        .not_after = 1646138096,  /* 2022-03-01T12:34:56Z */
        .san = "DNS:a.test,DNS:*.b.test,URI:spiffe://x/y,email:a@b.test,IP:10.0.0.1,IP:2001:db8::1",
        .extended_key_usage = "clientAuth,1.2.3.4",
        .extra = {{"certificatePolicies", "1.3.6.1.4.1.1,2.5.29.32.0"}}});
    struct verify_report report = {.chain = {NULL, 0}};
    cert_list_add(&report.chain, leaf.cert);
    cert_list_add(&report.chain, ca.cert);
    struct identity *identity = identity_new(leaf.cert, &report);
    check_text(identity->common_name, "James Royal");
    check_text(identity->issuer_common_name, "Access Testing CA");
    check_text(identity->subject_dn, "CN=James Royal,OU=Access Admins,O=Access,L=Austin,ST=Texas,C=US");
    check_text(identity->issuer_dn, "CN=Access Testing CA,OU=TX,O=Access Testing,L=Austin,ST=Texas,C=US");
    check_text(identity->subject_dn_legacy, "/C=US/ST=Texas/L=Austin/O=Access/OU=Access Admins/CN=James Royal");
    check_text(identity->issuer_dn_legacy, "/C=US/ST=Texas/L=Austin/O=Access Testing/OU=TX/CN=Access Testing CA");
    check_text(identity->serial, "527E0F20A1");
    ck_assert(slice_eq(identity->serial_bytes, SLICE("\x52\x7e\x0f\x20\xa1")));
    check_text(identity->issuer_serial, "936EACBE07F201DF");
    check_text(identity->not_before, "Mar 21 13:35:00 2022 GMT");
    check_text(identity->not_after, "Mar  1 12:34:56 2022 GMT");
    ck_assert_uint_eq(identity->ski.len, 40);
    ck_assert_uint_eq(identity->issuer_ski.len, 40);
    ck_assert_uint_eq(identity->fingerprint_sha1.len, 40);
    char digest[65];
    sha256_hex(cert_der(leaf.cert), digest);
    check_text(identity->fingerprint_sha256, digest);
    ck_assert_uint_eq(identity->organization.count, 1);
    check_text(identity->organization.items[0], "Access");
    check_text(identity->organizational_unit.items[0], "Access Admins");
    ck_assert_uint_eq(identity->san_dns.count, 2);
    check_text(identity->san_dns.items[1], "*.b.test");
    check_text(identity->san_uri.items[0], "spiffe://x/y");
    check_text(identity->san_email.items[0], "a@b.test");
    ck_assert_uint_eq(identity->san_ip.count, 2);
    check_text(identity->san_ip.items[0], "10.0.0.1");
    check_text(identity->san_ip.items[1], "2001:db8::1");
    ck_assert_uint_eq(identity->extended_key_usage.count, 2);
    check_text(identity->extended_key_usage.items[0], "1.3.6.1.5.5.7.3.2");
    check_text(identity->extended_key_usage.items[1], "1.2.3.4");
    check_text(identity->certificate_policy.items[1], "2.5.29.32.0");
    ck_assert_uint_eq(identity->der_base64.len % 4, 0);
    ck_assert_ptr_null(memchr(identity->der_base64.ptr, '\n', identity->der_base64.len));
    identity_free(&identity);
    ck_assert_ptr_null(identity);
    verify_report_fini(&report);
    testpki_free(&leaf);
    testpki_free(&ca);
}
END_TEST

START_TEST(serials_as_text_and_number) {
    static const struct {
        const char *serial, *text;
        struct slice number;
    } rows[] = {
        {"01", "01", {"\1", 1}},      {"0FF", "FF", {"\xff", 1}},    {"00", "0", {"", 0}},
        {"100", "0100", {"\1\0", 2}}, {"-01", "-01", {"\0\xff", 2}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct identity *identity = IDENTIFY(.cn = "x", .serial = rows[i].serial);
        check_text(identity->serial, rows[i].text);
        ck_assert_msg(slice_eq(identity->serial_bytes, rows[i].number), "row %zu", i);
        identity_free(&identity);
    }
}
END_TEST

START_TEST(exactly_one_common_name_sec_19) {
    static const struct {
        const char *subject, *cn;
    } rows[] = {
        {"CN=alice", "alice"},
        {"O=x", NULL},
        {"CN=alice/CN=bob", NULL},
        {"CN=alice+CN=bob", NULL},
        {"CN=alice+O=x", "alice"},
        {"O=x+CN=alice", "alice"},
        {"CN=\xc3\x84nne", "\xc3\x84nne"},
        {"CN= alice ", " alice "},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct identity *identity = IDENTIFY(.subject = rows[i].subject);
        if (rows[i].cn != NULL)
            check_text(identity->common_name, rows[i].cn);
        else
            ck_assert_msg(identity->common_name.ptr == NULL, "row %zu", i);
        identity_free(&identity);
    }
}
END_TEST

/* A subject of one CN with these bytes and this type; O comes along. */
static struct {
    int type;
    struct slice bytes;
} odd;

static void set_odd_name(X509 *x509) {
    X509_NAME *name = X509_NAME_new();
    X509_NAME_ENTRY *entry = X509_NAME_ENTRY_new();
    ck_assert(X509_NAME_ENTRY_set_object(entry, OBJ_nid2obj(NID_commonName)) == 1);
    ASN1_STRING *data = X509_NAME_ENTRY_get_data(entry);
    ck_assert(ASN1_STRING_set(data, odd.bytes.ptr, (int)odd.bytes.len) == 1);
    data->type = odd.type;
    ck_assert(X509_NAME_add_entry(name, entry, -1, 0) == 1);
    X509_NAME_ENTRY_free(entry);
    ck_assert(X509_set_subject_name(x509, name) == 1);
    X509_NAME_free(name);
}

START_TEST(odd_strings_in_names_sec_14_sec_18) {
    static const struct {
        int type;
        struct slice bytes;
        const char *cn, *dn;
    } rows[] = {
        {V_ASN1_UTF8STRING, {"al\0ice", 6}, NULL, "CN=al\\00ice"},
        {V_ASN1_UTF8STRING, {"alice\0", 6}, NULL, "CN=alice\\00"},
        {V_ASN1_UTF8STRING, {"a\r\nX: y", 7}, NULL, "CN=a\\0D\\0AX: y"},
        {V_ASN1_UTF8STRING, {"a\"b,c;d=e<f>g\\", 14}, "a\"b,c;d=e<f>g\\", "CN=a\\\"b\\,c\\;d=e\\<f\\>g\\\\"},
        {V_ASN1_UTF8STRING, {"\xc3\xa4", 2}, "\xc3\xa4", "CN=\\C3\\A4"},
        {V_ASN1_UTF8STRING, {"a\x7f", 2}, NULL, "CN=a\\7F"},
        {V_ASN1_UTF8STRING, {"a\xc2\x85", 3}, NULL, "CN=a\\C2\\85"},
        {V_ASN1_BMPSTRING, {"\0a\0l\x20\xac", 6}, "al\xe2\x82\xac", "CN=al\\E2\\82\\AC"},
        {V_ASN1_BMPSTRING, {"\0a\0\r\0\n", 6}, NULL, "CN=a\\0D\\0A"},
        {V_ASN1_BMPSTRING, {"\0a\0\0\0b", 6}, NULL, "CN=a\\00b"},
        {V_ASN1_UNIVERSALSTRING, {"\0\0\0a\0\1\xf6\0", 8}, "a\xf0\x9f\x98\x80", "CN=a\\F0\\9F\\98\\80"},
        {V_ASN1_T61STRING, {"\xe4", 1}, "\xc3\xa4", "CN=\\C3\\A4"},
        {V_ASN1_PRINTABLESTRING, {"alice", 5}, "alice", "CN=alice"},
        {V_ASN1_IA5STRING, {"a@b", 3}, "a@b", "CN=a@b"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        odd.type = rows[i].type;
        odd.bytes = rows[i].bytes;
        struct identity *identity = IDENTIFY(.cn = "x", .change = set_odd_name);
        if (rows[i].cn != NULL)
            check_text(identity->common_name, rows[i].cn);
        else
            ck_assert_msg(identity->common_name.ptr == NULL, "row %zu", i);
        check_text(identity->subject_dn, rows[i].dn);
        for (size_t c = 0; c < identity->subject_dn_legacy.len; c++)
            ck_assert_msg(identity->subject_dn_legacy.ptr[c] >= ' ' && identity->subject_dn_legacy.ptr[c] < 0x7f,
                          "row %zu", i);
        identity_free(&identity);
    }
}
END_TEST

START_TEST(a_string_that_does_not_convert_is_no_name) {
    /* OpenSSL canonicalises names when it decodes or sets them, so such a certificate is no certificate at all. */
    static const struct slice name = {"\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x0c\x02\xff\xfe", 15};
    const unsigned char *at = (const unsigned char *)name.ptr;
    ck_assert_ptr_null(d2i_X509_NAME(NULL, &at, (long)name.len));
}
END_TEST

/* A subjectAltName with one name of each type holding the same bytes. */
static void set_odd_alternatives(X509 *x509) {
    static const int types[] = {GEN_DNS, GEN_EMAIL, GEN_URI};
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    for (int i = 0; i < 3; i++) {
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_IA5STRING *string = ASN1_IA5STRING_new();
        ck_assert(ASN1_STRING_set(string, odd.bytes.ptr, (int)odd.bytes.len) == 1);
        GENERAL_NAME_set0_value(name, types[i], string);
        sk_GENERAL_NAME_push(names, name);
    }
    ck_assert(X509_add1_ext_i2d(x509, NID_subject_alt_name, names, 0, 0) == 1);
    GENERAL_NAMES_free(names);
}

START_TEST(odd_alternative_names_are_not_listed_sec_18) {
    static const struct slice rows[] = {
        {"a.test\0.evil", 12}, {"a\r\nb", 4}, {"a b", 3}, {"\xc3\xa4.test", 7}, {"", 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        odd.bytes = rows[i];
        struct identity *identity = IDENTIFY(.cn = "x", .change = set_odd_alternatives);
        ck_assert_uint_eq(identity->san_dns.count + identity->san_uri.count + identity->san_email.count, 0);
        identity_free(&identity);
    }
}
END_TEST

START_TEST(alternative_names_keep_their_types_sec_20) {
    struct identity *identity =
        IDENTIFY(.cn = "x", .san = "URI:a.test,email:b@a.test,otherName:1.2.3.4;UTF8:a.test,RID:1.2.3");
    ck_assert_uint_eq(identity->san_dns.count, 0);
    ck_assert_uint_eq(identity->san_uri.count, 1);
    ck_assert_uint_eq(identity->san_email.count, 1);
    ck_assert_uint_eq(identity->san_ip.count, 0);
    identity_free(&identity);
}
END_TEST

START_TEST(addresses) {
    static const struct {
        const char *san, *text;
    } rows[] = {
        {"IP:0:0:0:0:0:0:0:0", "::"},  {"IP:1:0:0:2:0:0:0:3", "1:0:0:2::3"}, {"IP:1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"},
        {"IP:1:0:0:0:0:0:0:0", "1::"}, {"IP:0:0:0:0:0:0:0:1", "::1"},        {"IP:255.255.255.255", "255.255.255.255"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct identity *identity = IDENTIFY(.cn = "x", .san = rows[i].san);
        check_text(identity->san_ip.items[0], rows[i].text);
        identity_free(&identity);
    }
}
END_TEST

Suite *pki_identity_suite(void);
Suite *pki_identity_suite(void) {
    Suite *suite = suite_create("identity");
    TCase *tc = tcase_create("identity");
    tcase_add_test(tc, formats_of_the_rule_fields);
    tcase_add_test(tc, serials_as_text_and_number);
    tcase_add_test(tc, exactly_one_common_name_sec_19);
    tcase_add_test(tc, odd_strings_in_names_sec_14_sec_18);
    tcase_add_test(tc, a_string_that_does_not_convert_is_no_name);
    tcase_add_test(tc, odd_alternative_names_are_not_listed_sec_18);
    tcase_add_test(tc, alternative_names_keep_their_types_sec_20);
    tcase_add_test(tc, addresses);
    suite_add_tcase(suite, tc);
    return suite;
}
