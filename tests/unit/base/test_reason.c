#include "base/reason.h"

#include <check.h>
#include <ctype.h>

START_TEST(every_reason_has_its_code_and_a_sentence) {
    for (int i = REASON_NONE + 1; i < REASON_COUNT; i++) {
        enum reason reason = (enum reason)i, found = REASON_NONE;
        int status = reason_status(reason);
        ck_assert(reason_from_code(slice_of(reason_code(reason)), &found));
        ck_assert_int_eq(found, reason);
        ck_assert_str_ne(reason_sentence(reason), "");
        ck_assert_ptr_nonnull(reason_hint(reason));
        ck_assert(status == 0 || (status >= 400 && status < 600));
        for (const char *c = reason_code(reason); *c; c++)
            ck_assert(islower((unsigned char)*c) || *c == '_');
    }
}
END_TEST

START_TEST(unknown_codes) {
    enum reason reason = REASON_POLICY_BLOCK;
    ck_assert(!reason_from_code(SLICE(""), &reason));
    ck_assert(!reason_from_code(SLICE("certificate"), &reason));
    ck_assert(!reason_from_code(SLICE("CERTIFICATE_EXPIRED"), &reason));
    ck_assert_int_eq(reason, REASON_POLICY_BLOCK);
    ck_assert_str_eq(reason_code(REASON_NONE), "");
}
END_TEST

START_TEST(the_faults_of_certificates_stand_in_their_precedence) {
    static const char *const codes[] = {"certificate_missing",
                                        "certificate_untrusted",
                                        "certificate_invalid",
                                        "certificate_purpose",
                                        "certificate_not_yet_valid",
                                        "certificate_expired",
                                        "certificate_revoked",
                                        "crl_missing",
                                        "crl_expired",
                                        "crl_invalid"};
    enum reason before = REASON_NONE, reason;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++, before = reason) {
        ck_assert(reason_from_code(slice_of(codes[i]), &reason));
        ck_assert(reason > before && reason_is_certificate(reason));
    }
    ck_assert(!reason_is_certificate(REASON_NONE));
    ck_assert(!reason_is_certificate(REASON_POLICY_NO_MATCH));
    ck_assert(!reason_is_certificate(REASON_CERTIFICATE_TOO_LARGE));
}
END_TEST

Suite *base_reason_suite(void);
Suite *base_reason_suite(void) {
    Suite *suite = suite_create("reason");
    TCase *tcase = tcase_create("reason");
    tcase_add_test(tcase, every_reason_has_its_code_and_a_sentence);
    tcase_add_test(tcase, unknown_codes);
    tcase_add_test(tcase, the_faults_of_certificates_stand_in_their_precedence);
    suite_add_tcase(suite, tcase);
    return suite;
}
