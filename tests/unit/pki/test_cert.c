#include "pki/cert.h"

#include <check.h>

#include "base/clock.h"
#include "base/mem.h"
#include "judge.h"

START_TEST(der_round_trip_and_facts) {
    struct testpki root = testpki_root("Root"), client = testpki_client("alice", &root);
    struct err err = {""};
    struct cert *cert = cert_from_der(cert_der(client.cert), &err);
    ck_assert_msg(cert != NULL, "%s", err.text);
    ck_assert(slice_eq(cert_der(cert), cert_der(client.cert)));
    ck_assert_mem_eq(cert_sha256(cert), cert_sha256(client.cert), SHA256_SIZE);
    ck_assert(!cert_is_ca(cert) && cert_is_ca(root.cert));
    ck_assert(!cert_is_self_issued(cert) && cert_is_self_issued(root.cert));
    ck_assert_int_eq(cert_not_after(cert), TESTPKI_NOW + 365 * TESTPKI_DAY);
    char *text = cert_subject_text(cert);
    ck_assert_str_eq(text, "CN=alice");
    mem_free(text);
    cert_unref(&cert);
    ck_assert_ptr_null(cert);
    cert_unref(&cert);
    testpki_free(&root);
    testpki_free(&client);
}
END_TEST

START_TEST(what_is_not_one_der_certificate_is_refused) {
    struct testpki root = testpki_root("Root");
    struct slice der = cert_der(root.cert);
    struct sbuf bytes;
    struct err err = {""};
    sbuf_init(&bytes, 1 << 16);
    /* cut off at every length */
    for (size_t len = 0; len < der.len; len++)
        ck_assert_ptr_null(cert_from_der(slice_first(der, len), &err));
    /* something after it */
    sbuf_append(&bytes, der);
    sbuf_append_char(&bytes, '\0');
    ck_assert_ptr_null(cert_from_der(sbuf_slice(&bytes), &err));
    ck_assert_ptr_nonnull(strstr(err.text, "after its end"));
    /* the same certificate with an outer length in BER: another fingerprint for the same content (sec-05) */
    sbuf_clear(&bytes);
    ck_assert_int_eq((unsigned char)der.ptr[1], 0x82);
    sbuf_append(&bytes, SLICE("\x30\x83\x00"));
    sbuf_append(&bytes, slice_after(der, 2));
    ck_assert_ptr_null(cert_from_der(sbuf_slice(&bytes), &err));
    ck_assert_ptr_null(cert_from_der(SLICE("hello"), &err));
    sbuf_fini(&bytes);
    testpki_free(&root);
}
END_TEST

START_TEST(dates_after_2049_sec_46) {
    struct testpki late = testpki_make(&(struct testpki_spec){.cn = "late",
                                                              .is_ca = true,
                                                              .not_before = 2524608000 /* 2050 */,
                                                              .not_after = 253402300799 /* 9999-12-31T23:59:59Z */});
    char text[CLOCK_TEXT_SIZE];
    ck_assert_str_eq(clock_format(cert_not_before(late.cert), text), "2050-01-01T00:00:00Z");
    ck_assert_str_eq(clock_format(cert_not_after(late.cert), text), "9999-12-31T23:59:59Z");
    testpki_free(&late);
}
END_TEST

START_TEST(weak_digests_are_known) {
    struct testpki root = testpki_make(&(struct testpki_spec){.cn = "Root", .is_ca = true, .digest = EVP_sha1()});
    struct testpki weak = testpki_make(&(struct testpki_spec){.cn = "w", .issuer = &root, .digest = EVP_sha1()});
    struct testpki fine = testpki_client("f", &root);
    ck_assert(!cert_has_weak_digest(root.cert)); /* nobody relies on a root's own signature */
    ck_assert(cert_has_weak_digest(weak.cert));
    ck_assert(!cert_has_weak_digest(fine.cert));
    testpki_free(&root);
    testpki_free(&weak);
    testpki_free(&fine);
}
END_TEST

START_TEST(serial_is_the_content_of_the_integer) {
    static const struct {
        const char *hex;
        struct slice content;
    } rows[] = {
        {"01", {"\x01", 1}}, {"ff", {"\0\xff", 2}}, {"00", {"\0", 1}}, {"-1", {"\xff", 1}}, {"0100", {"\1\0", 2}}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct testpki made = testpki_make(&(struct testpki_spec){.cn = "x", .serial = rows[i].hex});
        ck_assert_msg(slice_eq(cert_serial(made.cert), rows[i].content), "row %zu", i);
        testpki_free(&made);
    }
}
END_TEST

START_TEST(pem_lists) {
    struct testpki root = testpki_root("Root"), client = testpki_client("alice", &root);
    struct sbuf pem;
    struct cert_list list;
    struct err err = {""};
    sbuf_init(&pem, 1 << 16);
    sbuf_append_str(&pem, "a note\n");
    testpki_cert_pem(&client, &pem);
    sbuf_append_str(&pem, "another note\n");
    testpki_cert_pem(&root, &pem);
    ck_assert_int_eq(cert_list_from_pem(sbuf_slice(&pem), true, &list, &err), 0);
    ck_assert_uint_eq(list.count, 2);
    ck_assert_mem_eq(cert_sha256(list.items[0]), cert_sha256(client.cert), SHA256_SIZE);
    cert_list_fini(&list);

    /* a key, where none belongs */
    testpki_key_pem(&client, &pem);
    ck_assert_int_eq(cert_list_from_pem(sbuf_slice(&pem), true, &list, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "private key"));
    ck_assert_uint_eq(list.count, 0);
    ck_assert_int_eq(cert_list_from_pem(sbuf_slice(&pem), false, &list, &err), 0);
    cert_list_fini(&list);
    sbuf_fini(&pem);
    testpki_free(&root);
    testpki_free(&client);
}
END_TEST

START_TEST(pem_that_cannot_be_used_is_an_error_sec_09) {
    static const char *const rows[] = {
        "",
        "nothing here\n",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n",
        "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
        "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n",
        "-----BEGIN TRUSTED CERTIFICATE-----\nMAA=\n-----END TRUSTED CERTIFICATE-----\n",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct cert_list list;
        struct err err = {""};
        ck_assert_msg(cert_list_from_pem(slice_of(rows[i]), true, &list, &err) == -1, "row %zu", i);
        ck_assert_msg(err.text[0] != '\0', "row %zu", i);
        ck_assert_uint_eq(list.count, 0);
    }
}
END_TEST

START_TEST(digests_as_text) {
    char hex[65];
    sha256_hex(SLICE("abc"), hex);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
END_TEST

Suite *pki_cert_suite(void);
Suite *pki_cert_suite(void) {
    Suite *suite = suite_create("cert");
    TCase *tc = tcase_create("cert");
    tcase_add_test(tc, der_round_trip_and_facts);
    tcase_add_test(tc, what_is_not_one_der_certificate_is_refused);
    tcase_add_test(tc, dates_after_2049_sec_46);
    tcase_add_test(tc, weak_digests_are_known);
    tcase_add_test(tc, serial_is_the_content_of_the_integer);
    tcase_add_test(tc, pem_lists);
    tcase_add_test(tc, pem_that_cannot_be_used_is_an_error_sec_09);
    tcase_add_test(tc, digests_as_text);
    suite_add_tcase(suite, tc);
    return suite;
}
