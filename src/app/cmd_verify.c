/*
 * cmd_verify: `sallyport verify`, one certificate judged by the code of the TLS path and nothing else: the files become
 * one CA bundle, verify_chain() decides. Prints `OK` or `FAILED: <reason code>: <text>`; what was odd about the files
 * goes to stderr.
 *
 * With --purpose any, which no handshake asks for, DSA keys are understood; a warning says that a handshake refuses
 * them.
 *
 * A CA certificate that is none (no CA:TRUE) and a CRL that cannot be used are left out with a warning; the verdict
 * follows from what remains. Exit status 2 is for bad usage and files that cannot be read, or hold nothing of the kind
 * asked for.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>

#include "app/commands.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/trace.h"
#include "pki/dsa.h"
#include "pki/verify.h"

#define FILE_LIMIT (64u * 1024 * 1024)
#define FILES_MAX 64
#define DEPTH_MAX 1000

enum { EXIT_YES = 0, EXIT_NO = 1, EXIT_BAD = 2 };

static const char USAGE[] = "usage: sallyport verify --ca FILE [option]... CERT\n"
                            "Judges CERT (the leaf, and its chain after it) as a TLS handshake would. Files are PEM, "
                            "with any number of items, or DER.\n"
                            "\n"
                            "  --ca FILE             CA certificates; the self-signed ones are the anchors\n"
                            "  --untrusted FILE      further intermediates\n"
                            "  --crl FILE            revocation lists; may be given several times\n"
                            "  --crl-require MODE    if_present, leaf or chain: which CAs must have a list (default: "
                            "chain, if a --crl is given)\n"
                            "  --time TIME           judge as of then: RFC 3339 or Unix seconds (default: now)\n"
                            "  --depth N             intermediates at most (default: 8)\n"
                            "  --purpose PURPOSE     client (the default), server or any\n"
                            "  --partial-chain       every certificate of --ca is an anchor by itself\n"
                            "  --strict              RFC 5280 to the letter\n"
                            "  --json                print the whole report as JSON\n"
                            "  -h, --help            print this\n"
                            "\n"
                            "Exit status: 0 verified, 1 not, 2 bad usage or an unreadable file.\n";

/* What was asked for, and what was read. */
struct request {
    const char *ca_files[FILES_MAX], *untrusted_files[FILES_MAX], *crl_files[FILES_MAX];
    size_t ca_count, untrusted_count, crl_count;
    const char *cert_file;
    time_t time;
    bool json, has_require, has_dsa;
    struct trust_bundle bundle;

    struct cert_list given;     /* CERT: leaf, then its chain */
    struct cert_list untrusted; /* the chain, then --untrusted */
    struct cert_list issuers;   /* whoever may have signed a CRL */
    struct crl_refusal *refusals;
    size_t refusal_count;
};

static int bad(const char *format, ...) PRINTF_LIKE(1, 2);
static int bad(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("sallyport verify: ", stderr);
    (void)vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return EXIT_BAD;
}

/* --- options -------------------------------------------------------------------------------------------------- */

struct word {
    const char *name;
    int value;
};
static const struct word PURPOSES[] = {
    {"client", TRUST_EKU_CLIENT_AUTH}, {"server", TRUST_EKU_SERVER_AUTH}, {"any", TRUST_EKU_ANY}, {NULL, 0}};
static const struct word REQUIRES[] = {
    {"if_present", CRL_IF_PRESENT}, {"leaf", CRL_LEAF}, {"chain", CRL_CHAIN}, {NULL, 0}};

static bool find_word(const struct word *words, const char *name, int *value_out) {
    for (; words->name != NULL; words++) {
        if (strcmp(words->name, name) == 0) {
            *value_out = words->value;
            return true;
        }
    }
    return false;
}

static int add_file(const char **files, size_t *count, const char *path) {
    if (*count == FILES_MAX)
        return bad("more than %d files of one kind", FILES_MAX);
    files[(*count)++] = path;
    return 0;
}

enum option_code {
    OPT_CA = 256,
    OPT_UNTRUSTED,
    OPT_CRL,
    OPT_REQUIRE,
    OPT_TIME,
    OPT_DEPTH,
    OPT_PURPOSE,
    OPT_PARTIAL,
    OPT_STRICT,
    OPT_JSON
};
static const struct option OPTIONS[] = {
    {"ca", required_argument, NULL, OPT_CA},
    {"untrusted", required_argument, NULL, OPT_UNTRUSTED},
    {"crl", required_argument, NULL, OPT_CRL},
    {"crl-require", required_argument, NULL, OPT_REQUIRE},
    {"time", required_argument, NULL, OPT_TIME},
    {"depth", required_argument, NULL, OPT_DEPTH},
    {"purpose", required_argument, NULL, OPT_PURPOSE},
    {"partial-chain", no_argument, NULL, OPT_PARTIAL},
    {"strict", no_argument, NULL, OPT_STRICT},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int take_depth(struct request *request, const char *text) {
    unsigned long long depth;
    if (!slice_to_u64(slice_of(text), &depth) || depth > DEPTH_MAX)
        return bad("--depth is a number from 0 to %d, not '%s'", DEPTH_MAX, text);
    request->bundle.max_depth = depth == 0 ? -1 : (int)depth;
    return 0;
}

static int take_word(const char *option, const struct word *words, const char *text, int *value_out) {
    if (find_word(words, text, value_out))
        return 0;
    return bad("%s is %s, %s or %s, not '%s'", option, words[0].name, words[1].name, words[2].name, text);
}

/* Options whose value is a word, a number or nothing. */
static int take_setting(struct request *request, int code) {
    int value = 0, status = 0;
    switch (code) {
    case OPT_REQUIRE:
        status = take_word("--crl-require", REQUIRES, optarg, &value);
        request->bundle.crl_require = (enum crl_require)value;
        request->has_require = true;
        return status;
    case OPT_PURPOSE:
        status = take_word("--purpose", PURPOSES, optarg, &value);
        request->bundle.extended_key_usage = (enum trust_eku)value;
        return status;
    case OPT_TIME:
        return clock_parse(slice_of(optarg), &request->time)
                   ? 0
                   : bad("--time is RFC 3339 or Unix seconds, not '%s'", optarg);
    case OPT_DEPTH:
        return take_depth(request, optarg);
    case OPT_PARTIAL:
        request->bundle.partial_chain = true;
        return 0;
    case OPT_STRICT:
        request->bundle.strict = true;
        return 0;
    case OPT_JSON:
        request->json = true;
        return 0;
    default:
        return bad("try `sallyport verify -h`");
    }
}

static int take_option(struct request *request, int code) {
    switch (code) {
    case OPT_CA:
        return add_file(request->ca_files, &request->ca_count, optarg);
    case OPT_UNTRUSTED:
        return add_file(request->untrusted_files, &request->untrusted_count, optarg);
    case OPT_CRL:
        return add_file(request->crl_files, &request->crl_count, optarg);
    default:
        return take_setting(request, code);
    }
}

/* -1: help was asked for and given. */
static int read_arguments(struct request *request, int argc, char **argv) {
    int code;
    while ((code = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        if (code == 'h') {
            fputs(USAGE, stdout);
            return -1;
        }
        if (take_option(request, code) != 0)
            return EXIT_BAD;
    }
    if (optind + 1 != argc)
        return bad("one CERT is needed; try `sallyport verify -h`");
    if (request->ca_count == 0)
        return bad("--ca is needed; try `sallyport verify -h`");
    request->cert_file = argv[optind];
    if (!request->has_require)
        request->bundle.crl_require = request->crl_count > 0 ? CRL_CHAIN : CRL_NEVER;
    return 0;
}

/* --- files ---------------------------------------------------------------------------------------------------- */

enum file_result { FILE_GOOD, FILE_MALFORMED, FILE_UNREADABLE };

static bool is_pem(struct slice text) { return text.len > 0 && memmem(text.ptr, text.len, "-----BEGIN ", 11) != NULL; }

static enum file_result read_certs(const char *path, struct cert_list *list, struct err *err) {
    struct sbuf content;
    struct cert_list found = {NULL, 0};
    enum file_result result = FILE_MALFORMED;
    sbuf_init(&content, FILE_LIMIT);
    if (file_read(path, FILE_LIMIT, &content, err) != 0) {
        result = FILE_UNREADABLE;
    } else if (is_pem(sbuf_slice(&content))) {
        if (cert_list_from_pem(sbuf_slice(&content), false, &found, err) == 0)
            result = FILE_GOOD;
    } else {
        struct cert *cert = cert_from_der(sbuf_slice(&content), err);
        if (cert != NULL) {
            cert_list_add(&found, cert);
            result = FILE_GOOD;
        }
        cert_unref(&cert);
    }
    for (size_t i = 0; i < found.count; i++)
        cert_list_add(list, found.items[i]);
    cert_list_fini(&found);
    sbuf_fini(&content);
    if (result != FILE_GOOD)
        (void)err_context(err, "%s", path);
    return result;
}

static void print_verdict(const struct request *request, const struct verify_report *report, const struct trace *trace);

/* The verdict for files that do not come as far as verification. */
static int fail_early(const struct request *request, enum reason reason, const struct err *err) {
    struct verify_report report;
    verify_none(&report);
    report.reason = reason;
    report.faults = UINT64_C(1) << reason;
    (void)snprintf(report.detail, sizeof(report.detail), "%.250s", err->text);
    (void)snprintf(report.verified_text, sizeof(report.verified_text), "FAILED");
    print_verdict(request, &report, NULL);
    verify_report_fini(&report);
    return EXIT_NO;
}

static int read_files(const struct request *request, const char *const *files, size_t count, struct cert_list *list) {
    for (size_t i = 0; i < count; i++) {
        struct err err = {""};
        enum file_result result = read_certs(files[i], list, &err);
        if (result == FILE_UNREADABLE)
            return bad("%s", err.text);
        if (result == FILE_MALFORMED)
            return fail_early(request, REASON_CERTIFICATE_INVALID, &err);
    }
    return 0;
}

static void add_all(struct cert_list *to, const struct cert_list *from, size_t first) {
    for (size_t i = first; i < from->count; i++)
        cert_list_add(to, from->items[i]);
}

/* Anchors must be CAs in so many words; what is none vouches for nobody. */
static void keep_cas(struct cert_list *list, const struct cert_list *read) {
    for (size_t i = 0; i < read->count; i++) {
        char *subject = cert_subject_text(read->items[i]);
        if (cert_is_ca(read->items[i]))
            cert_list_add(list, read->items[i]);
        else
            (void)bad("warning: --ca: %s is no CA certificate (no CA:TRUE) and is left out", subject);
        mem_free(subject);
    }
}

/* Nothing of TLS is asked for with --purpose any, so old certificates can be looked at. */
static void allow_dsa(struct request *request) {
    struct cert_list all = {NULL, 0};
    if (request->bundle.extended_key_usage != TRUST_EKU_ANY)
        return;
    request->bundle.allow_dsa = true;
    add_all(&all, &request->issuers, 0);
    add_all(&all, &request->given, 0);
    for (size_t i = 0; i < all.count; i++)
        request->has_dsa |= dsa_has_key(all.items[i]);
    if (request->has_dsa)
        dsa_inherit_parameters(&all);
    cert_list_fini(&all);
}

static int read_certificates(struct request *request) {
    struct cert_list read = {NULL, 0}, further = {NULL, 0};
    int status = read_files(request, request->ca_files, request->ca_count, &read);
    if (status == 0)
        status = read_files(request, request->untrusted_files, request->untrusted_count, &further);
    if (status == 0)
        status = read_files(request, &request->cert_file, 1, &request->given);
    if (status == 0) {
        keep_cas(&request->bundle.certs, &read);
        add_all(&request->untrusted, &request->given, 1);
        add_all(&request->untrusted, &further, 0);
        add_all(&request->issuers, &request->bundle.certs, 0);
        add_all(&request->issuers, &request->untrusted, 0);
        allow_dsa(request);
    }
    cert_list_fini(&read);
    cert_list_fini(&further);
    return status;
}

static void found_crl(void *arg, struct crl *crl) {
    struct trust_bundle *bundle = &((struct request *)arg)->bundle;
    bundle->crls = mem_resize(bundle->crls, (bundle->crl_count + 1) * sizeof(struct crl *));
    bundle->crls[bundle->crl_count++] = crl;
}

static int refused_crl(void *arg, const struct crl_refusal *refusal, const struct err *err) {
    struct request *request = arg;
    (void)bad("warning: --crl: %s", err->text);
    request->refusals = mem_resize(request->refusals, (request->refusal_count + 1) * sizeof(*refusal));
    request->refusals[request->refusal_count++] = *refusal;
    return 0;
}

static int read_crls(struct request *request) {
    struct crl_sink sink = {.found = found_crl, .refused = refused_crl, .arg = request};
    for (size_t i = 0; i < request->crl_count; i++) {
        struct err err = {""};
        if (crl_load_each(request->crl_files[i], &request->issuers, &sink, &err) != 0)
            return bad("%s: %s", request->crl_files[i], err.text);
    }
    request->bundle.crl_refusals = request->refusals;
    request->bundle.crl_refusal_count = request->refusal_count;
    return 0;
}

/* --- verdict -------------------------------------------------------------------------------------------------- */

static void json_time(struct jsonw *json, const char *key, time_t time) {
    char text[CLOCK_TEXT_SIZE];
    jsonw_str(json, key, time ? clock_format(time, text) : NULL);
}

static void json_chain(struct jsonw *json, const struct cert_list *chain) {
    jsonw_open_array(json, "chain");
    for (size_t i = 0; i < chain->count; i++) {
        const struct cert *cert = chain->items[i];
        char *subject = cert_subject_text(cert), digest[2 * SHA256_SIZE + 1];
        jsonw_open_object(json, NULL);
        jsonw_str(json, "subject", subject);
        jsonw_str(json, "fingerprint_sha256", hex_lower(cert_sha256(cert), SHA256_SIZE, digest));
        json_time(json, "not_before", cert_not_before(cert));
        json_time(json, "not_after", cert_not_after(cert));
        jsonw_close_object(json);
        mem_free(subject);
    }
    jsonw_close_array(json);
}

static void print_json(const struct verify_report *report, const struct trace *trace) {
    struct sbuf out;
    struct jsonw json;
    sbuf_init(&out, FILE_LIMIT);
    jsonw_init(&json, &out);
    jsonw_open_object(&json, NULL);
    jsonw_bool(&json, "verified", report->reason == REASON_NONE);
    jsonw_str(&json, "reason", report->reason == REASON_NONE ? NULL : reason_code(report->reason));
    jsonw_str(&json, "detail", report->reason == REASON_NONE ? NULL : report->detail);
    jsonw_int(&json, "depth", report->depth);
    jsonw_str(&json, "cert_verified", report->verified_text);
    jsonw_open_array(&json, "faults");
    for (int reason = 1; reason < REASON_COUNT; reason++)
        if (report->faults & (UINT64_C(1) << reason))
            jsonw_str(&json, NULL, reason_code((enum reason)reason));
    jsonw_close_array(&json);
    if (report->reason == REASON_CERTIFICATE_REVOKED) {
        json_time(&json, "revoked_at", report->revoked_at);
        jsonw_str(&json, "revocation_reason", crl_reason_text(report->revocation_reason));
    }
    json_time(&json, "not_after", report->not_after);
    json_time(&json, "crl_next_update", report->crl_next_update);
    json_chain(&json, &report->chain);
    trace_write_json(trace, &json);
    jsonw_close_object(&json);
    (void)printf("%s\n", sbuf_text(&out));
    sbuf_fini(&out);
}

static void print_verdict(const struct request *request, const struct verify_report *report,
                          const struct trace *trace) {
    if (request->json)
        print_json(report, trace);
    else if (report->reason == REASON_NONE)
        (void)puts("OK");
    else
        (void)printf("FAILED: %s: %s\n", reason_code(report->reason), report->detail);
}

static int judge(struct request *request) {
    struct err err = {""};
    struct verify_report report;
    struct trace trace;
    INVARIANT(request->given.count > 0);
    struct trust *trust = NULL;
    if (request->bundle.certs.count == 0)
        (void)err_set(&err, "none of the certificates of --ca is a CA certificate");
    else
        trust = trust_new(&request->bundle, 1, &err);
    if (trust == NULL)
        return fail_early(request, REASON_CERTIFICATE_UNTRUSTED, &err);
    trace_init(&trace);
    verify_chain(trust, request->given.items[0], &request->untrusted, request->time, request->json ? &trace : NULL,
                 &report);
    print_verdict(request, &report, &trace);
    int status = report.reason == REASON_NONE ? EXIT_YES : EXIT_NO;
    if (status == EXIT_YES && request->has_dsa)
        (void)bad("warning: there are DSA keys; a handshake accepts none");
    verify_report_fini(&report);
    trace_fini(&trace);
    trust_unref(&trust);
    return status;
}

static void request_fini(struct request *request) {
    cert_list_fini(&request->bundle.certs);
    cert_list_fini(&request->given);
    cert_list_fini(&request->untrusted);
    cert_list_fini(&request->issuers);
    for (size_t i = 0; i < request->bundle.crl_count; i++)
        crl_unref(&request->bundle.crls[i]);
    mem_free(request->bundle.crls);
    mem_free(request->refusals);
}

int cmd_verify(int argc, char **argv) {
    struct request request = {.time = clock_wall()};
    request.bundle.name = "--ca";
    int status = read_arguments(&request, argc, argv);
    if (status != 0)
        return status < 0 ? EXIT_YES : status;
    status = read_certificates(&request);
    if (status == 0)
        status = read_crls(&request);
    if (status == 0)
        status = judge(&request);
    request_fini(&request);
    return status;
}
