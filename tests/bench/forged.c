/*
 * forged: what it costs to refuse a forged certificate, beside a good one, with and without a list of a million entries
 * (sec-30, sec-35). Everything is made in memory. Started by forged.py under callgrind, which counts instructions; by
 * itself it prints microseconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "instructions.h"
#include "pki/verify.h"
#include "support/testpki.h"

#define REPEATED 20
#define TWINS 15

static struct testpki root, fake, mid, good, forged, deep, deep_forged, twins[TWINS];

static void make_pki(void) {
    root = testpki_root("Root");
    fake = testpki_root("Root");
    mid = testpki_intermediate("Mid", &root);
    good = testpki_client("good", &root);
    deep = testpki_client("deep", &mid);
    forged = testpki_make(&(struct testpki_spec){.cn = "good", .issuer = &root, .signer = &fake});
    deep_forged = testpki_make(&(struct testpki_spec){.cn = "deep", .issuer = &mid, .signer = &fake});
    for (int i = 0; i < TWINS; i++) /* of Mid, half of them genuine, with its key */
        twins[i] = testpki_make(&(struct testpki_spec){.cn = "Mid",
                                                       .is_ca = true,
                                                       .issuer = &root,
                                                       .signer = i % 2 ? &fake : NULL,
                                                       .key = i % 2 ? NULL : mid.key});
}

static struct crl *make_crl(uint32_t count) {
    struct sbuf der;
    struct err err = {""};
    enum crl_fault fault;
    sbuf_init(&der, 256u << 20);
    testpki_big_crl(&root, count, &der);
    struct crl *crl = testpki_load(sbuf_slice(&der), &root, &fault, &err);
    INVARIANT(crl != NULL);
    sbuf_fini(&der);
    return crl;
}

static struct trust *make_trust(struct crl *crl) {
    struct err err = {""};
    struct trust_bundle bundle = {.name = "bundle", .crl_require = CRL_IF_PRESENT, .crls = &crl};
    bundle.crl_count = crl ? 1 : 0;
    cert_list_add(&bundle.certs, root.cert);
    struct trust *trust = trust_new(&bundle, 1, &err);
    INVARIANT(trust != NULL);
    cert_list_fini(&bundle.certs);
    return trust;
}

struct question {
    const char *name;
    const struct testpki *leaf;
    size_t mids; /* 1: Mid; more: its twins as well */
    bool is_good;
};

static void ask(const struct trust *trust, const struct question *question) {
    struct verify_report report;
    struct cert_list sent = {NULL, 0};
    if (question->mids > 0)
        cert_list_add(&sent, mid.cert);
    for (size_t i = 1; i < question->mids; i++)
        cert_list_add(&sent, twins[i - 1].cert);
    verify_chain(trust, question->leaf->cert, &sent, TESTPKI_NOW, NULL, &report);
    INVARIANT((report.reason == REASON_NONE) == question->is_good);
    verify_report_fini(&report);
    cert_list_fini(&sent);
}

static int compare_times(const void *a, const void *b) {
    const double *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

static double median_us(const struct trust *trust, const struct question *question) {
    double times[REPEATED];
    for (int i = 0; i < REPEATED; i++) {
        struct timespec from, to;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
        ask(trust, question);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
        times[i] = (double)(to.tv_sec - from.tv_sec) * 1e6 + (double)(to.tv_nsec - from.tv_nsec) / 1e3;
    }
    qsort(times, REPEATED, sizeof(*times), compare_times);
    return times[REPEATED / 2];
}

static void run(const char *list, const struct trust *trust) {
    static const struct question questions[] = {
        {"good", &good, 0, true},
        {"forged", &forged, 0, false},
        {"good-under-intermediate", &deep, 1, true},
        {"forged-under-intermediate", &deep_forged, 1, false},
        {"forged-with-15-twins", &deep_forged, 1 + TWINS, false},
    };
    for (size_t i = 0; i < sizeof(questions) / sizeof(*questions); i++) {
        char name[80];
        (void)snprintf(name, sizeof(name), "%s/%s", list, questions[i].name);
        ask(trust, &questions[i]);
        if (!instructions_are_counted()) {
            (void)printf("%-40s %8.1f us\n", name, median_us(trust, &questions[i]));
            continue;
        }
        instructions_begin();
        for (int n = 0; n < REPEATED; n++)
            ask(trust, &questions[i]);
        instructions_end();
        instructions_dump(name);
    }
}

int main(void) {
    make_pki();
    struct crl *one = make_crl(1), *million = make_crl(1000000);
    struct trust *none = make_trust(NULL), *with_one = make_trust(one), *with_million = make_trust(million);
    run("none", none);
    run("one", with_one);
    run("million", with_million);
    return 0;
}
