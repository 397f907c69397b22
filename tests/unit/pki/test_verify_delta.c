#include <check.h>

#include "base/mem.h"
#include "judge.h"

enum { ABSENT = -2, REMOVE = 8, HOLD = 6, KEY = 1, NONE = 0 };

static struct testpki root, leaf;
static char *serial;

static void make_pki(void) {
    root = testpki_root("Root");
    leaf = testpki_client("bob", &root);
    serial = testpki_serial_of(&leaf);
}

static void free_pki(void) {
    OPENSSL_free(serial);
    testpki_free(&root);
    testpki_free(&leaf);
}

/* One list. base 0: a complete one; number 0: none; entry: the leaf's reason code, NONE: it is not on the list. */
struct list {
    int base, number, entry;
    long from, until; /* days from now; 0, 0: a day ago and in a week */
    const char *scope;
    const struct testpki *signer;
};

static struct crl *make_list(const struct list *list) {
    struct testpki_revoked entries[] = {{list->entry == NONE ? NULL : serial, list->entry, 0}, {NULL, 0, 0}};
    struct testpki_crl_spec spec = {.issuer = &root, .signer = list->signer, .revoked = entries};
    char number[16], base[40];
    int extensions = 0;
    (void)snprintf(number, sizeof(number), "%d", list->number);
    spec.number = list->number ? number : NULL;
    spec.this_update = TESTPKI_NOW + (list->from ? list->from : -1) * TESTPKI_DAY;
    spec.next_update = TESTPKI_NOW + (list->until ? list->until : 7) * TESTPKI_DAY;
    if (list->base) {
        (void)snprintf(base, sizeof(base), "critical,DER:0201%02X", (unsigned)list->base);
        spec.extra[extensions][0] = "2.5.29.27";
        spec.extra[extensions++][1] = base;
    }
    if (list->scope) {
        spec.extra[extensions][0] = "issuingDistributionPoint";
        spec.extra[extensions++][1] = list->scope;
    }
    return judge_crl(&spec);
}

struct row {
    const char *what, *expected;
    struct list lists[4]; /* up to the first without a number and a base; .number ABSENT: one without number */
};

static void run_row(const struct row *row, enum crl_require require) {
    struct scene scene = {.cas = {&root}, .leaf = &leaf, .bundle = {.crl_require = require}};
    for (size_t i = 0; i < 4 && row->lists[i].number != 0; i++) {
        struct list list = row->lists[i];
        list.number = list.number == ABSENT ? 0 : list.number;
        scene.crls[i] = make_list(&list);
    }
    const char *code = judge_code(&scene);
    ck_assert_msg(strcmp(code, row->expected) == 0, "%s: '%s'", row->what, code);
}

static void run_rows(const struct row *rows, size_t count, enum crl_require require) {
    for (size_t i = 0; i < count; i++)
        run_row(&rows[i], require);
}

#define RUN(rows, require) run_rows(rows, sizeof(rows) / sizeof(*(rows)), require)

START_TEST(a_delta_changes_the_list_that_it_fits_sec_29) {
    static const struct row rows[] = {
        {"nothing revoked", "", {{.number = 5}, {.base = 5, .number = 6}}},
        {"revoked by the delta", "certificate_revoked", {{.number = 5}, {.base = 5, .number = 6, .entry = KEY}}},
        {"by the list", "certificate_revoked", {{.number = 5, .entry = KEY}, {.base = 5, .number = 6}}},
        {"on hold", "certificate_revoked", {{.number = 5, .entry = HOLD}, {.base = 5, .number = 6}}},
        {"taken back", "", {{.number = 5, .entry = HOLD}, {.base = 5, .number = 6, .entry = REMOVE}}},
        {"from hold to compromise",
         "certificate_revoked",
         {{.number = 5, .entry = HOLD}, {.base = 5, .number = 6, .entry = KEY}}},
        {"an older base will do", "", {{.number = 5, .entry = HOLD}, {.base = 3, .number = 6, .entry = REMOVE}}},
        {"taken back, though never on hold", "", {{.number = 5}, {.base = 5, .number = 6, .entry = REMOVE}}},
        {"only a delta takes back", "certificate_revoked", {{.number = 5, .entry = REMOVE}}},
    };
    RUN(rows, CRL_LEAF);
}
END_TEST

START_TEST(a_delta_that_does_not_fit_takes_nothing_back_sec_29) {
    static const struct row rows[] = {
        {"base too new",
         "certificate_revoked",
         {{.number = 5, .entry = HOLD}, {.base = 6, .number = 7, .entry = REMOVE}}},
        {"base without number",
         "certificate_revoked",
         {{.number = ABSENT, .entry = HOLD}, {.base = 5, .number = 7, .entry = REMOVE}}},
        {"another scope",
         "certificate_revoked",
         {{.number = 5, .entry = HOLD}, {.base = 5, .number = 6, .entry = REMOVE, .scope = "critical,onlyuser:TRUE"}}},
        {"the same scope",
         "",
         {{.number = 5, .entry = HOLD, .scope = "critical,onlyuser:TRUE"},
          {.base = 5, .number = 6, .entry = REMOVE, .scope = "critical,onlyuser:TRUE"}}},
        /* but what it revokes is revoked, and the list goes on vouching for the rest */
        {"base too new, revoked", "certificate_revoked", {{.number = 5}, {.base = 6, .number = 7, .entry = KEY}}},
        {"base too new, not revoked", "", {{.number = 5}, {.base = 6, .number = 7}}},
        {"another scope, revoked",
         "certificate_revoked",
         {{.number = 5}, {.base = 5, .number = 6, .entry = KEY, .scope = "critical,onlyuser:TRUE"}}},
        {"a scope that is not the leaf's",
         "",
         {{.number = 5}, {.base = 5, .number = 6, .entry = KEY, .scope = "critical,onlyCA:TRUE"}}},
    };
    RUN(rows, CRL_LEAF);
}
END_TEST

START_TEST(an_overtaken_delta_says_nothing_sec_29) {
    static const struct row rows[] = {
        {"by a list of the same number", "", {{.number = 6}, {.base = 5, .number = 6, .entry = KEY}}},
        {"by a newer list", "", {{.number = 7}, {.base = 5, .number = 6, .entry = KEY}}},
        {"not by an older one", "certificate_revoked", {{.number = 5}, {.base = 5, .number = 6, .entry = KEY}}},
        {"by a newer delta",
         "",
         {{.number = 5}, {.base = 5, .number = 6, .entry = HOLD}, {.base = 5, .number = 7, .entry = REMOVE}}},
        {"not by a newer one that does not fit",
         "certificate_revoked",
         {{.number = 5}, {.base = 5, .number = 6, .entry = HOLD}, {.base = 6, .number = 7, .entry = REMOVE}}},
        {"not by a newer one that has expired",
         "certificate_revoked",
         {{.number = 5},
          {.base = 5, .number = 6, .entry = HOLD},
          {.base = 5, .number = 7, .entry = REMOVE, .from = -3, .until = -2}}},
    };
    RUN(rows, CRL_LEAF);
}
END_TEST

START_TEST(the_age_of_list_and_delta_sec_29) {
    static const struct row rows[] = {
        {"the delta keeps an expired list up to date",
         "",
         {{.number = 5, .from = -9, .until = -2}, {.base = 5, .number = 6}}},
        {"not one that does not fit",
         "crl_expired",
         {{.number = 5, .from = -9, .until = -2}, {.base = 6, .number = 7}}},
        {"both expired",
         "crl_expired",
         {{.number = 5, .from = -9, .until = -2}, {.base = 5, .number = 6, .from = -3, .until = -1}}},
        {"an expired delta does not harm the list",
         "",
         {{.number = 5}, {.base = 5, .number = 6, .from = -3, .until = -2}}},
        {"what it revokes stays revoked",
         "certificate_revoked",
         {{.number = 5}, {.base = 5, .number = 6, .entry = KEY, .from = -3, .until = -2}}},
        {"it takes nothing back",
         "certificate_revoked",
         {{.number = 5, .entry = HOLD}, {.base = 5, .number = 6, .entry = REMOVE, .from = -3, .until = -2}}},
        {"nor does one from the future",
         "certificate_revoked",
         {{.number = 5, .entry = HOLD}, {.base = 5, .number = 6, .entry = REMOVE, .from = 1, .until = 2}}},
        {"a list from the future is not mended by a delta",
         "crl_invalid",
         {{.number = 5, .from = 1, .until = 2}, {.base = 5, .number = 6}}},
    };
    RUN(rows, CRL_LEAF);
}
END_TEST

START_TEST(a_delta_alone_vouches_for_nothing_sec_29) {
    static const struct row clean = {"clean", "crl_invalid", {{.base = 5, .number = 6}}};
    static const struct row revoked = {"revoked", "certificate_revoked", {{.base = 5, .number = 6, .entry = KEY}}};
    run_row(&clean, CRL_LEAF);
    run_row(&clean, CRL_IF_PRESENT);
    run_row(&revoked, CRL_LEAF);
    run_row(&revoked, CRL_IF_PRESENT);
}
END_TEST

START_TEST(a_delta_of_another_key_is_not_applied_sec_24) {
    struct testpki namesake = testpki_root("Root");
    struct row rows[] = {
        {"taken back by a namesake",
         "certificate_revoked",
         {{.number = 5, .entry = HOLD}, {.base = 5, .number = 6, .entry = REMOVE, .signer = &namesake}}},
        {"revoked by a namesake", "", {{.number = 5}, {.base = 5, .number = 6, .entry = KEY, .signer = &namesake}}},
    };
    RUN(rows, CRL_LEAF);
    testpki_free(&namesake);
}
END_TEST

START_TEST(the_report_lasts_as_long_as_the_fresher_of_the_two) {
    struct scene scene = {.cas = {&root}, .leaf = &leaf, .bundle = {.crl_require = CRL_LEAF}};
    scene.crls[0] = make_list(&(struct list){.number = 5, .until = 1});
    scene.crls[1] = make_list(&(struct list){.base = 5, .number = 6, .until = 3});
    struct verify_report report = judge_report(&scene);
    ck_assert_int_eq(report.reason, REASON_NONE);
    ck_assert_int_eq(report.crl_next_update, TESTPKI_NOW + 3 * TESTPKI_DAY);
    ck_assert(!verify_is_current(&report, TESTPKI_NOW + 3 * TESTPKI_DAY + 1));
    verify_report_fini(&report);
}
END_TEST

Suite *pki_verify_delta_suite(void);
Suite *pki_verify_delta_suite(void) {
    Suite *suite = suite_create("verify_delta");
    TCase *tc = tcase_create("deltas");
    tcase_add_unchecked_fixture(tc, make_pki, free_pki);
    tcase_add_test(tc, a_delta_changes_the_list_that_it_fits_sec_29);
    tcase_add_test(tc, a_delta_that_does_not_fit_takes_nothing_back_sec_29);
    tcase_add_test(tc, an_overtaken_delta_says_nothing_sec_29);
    tcase_add_test(tc, the_age_of_list_and_delta_sec_29);
    tcase_add_test(tc, a_delta_alone_vouches_for_nothing_sec_29);
    tcase_add_test(tc, a_delta_of_another_key_is_not_applied_sec_24);
    tcase_add_test(tc, the_report_lasts_as_long_as_the_fresher_of_the_two);
    suite_add_tcase(suite, tc);
    return suite;
}
