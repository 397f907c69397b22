/*
 * cmd_check: `sallyport check`: reads the configuration as `run` would, says everything that is wrong with it, judges
 * the file's own tests with the engine of `run`, and shows on request what is in force. Decides nothing itself; never
 * prints a secret: it only ever sees their places.
 */
#include <getopt.h>
#include <stdio.h>

#include "app/commands.h"
#include "app/config_path.h"
#include "app/effective.h"
#include "app/sandbox.h"
#include "app/token_state.h"
#include "base/clock.h"
#include "conf/conf.h"
#include "snapshot/judge.h"

#define OUTPUT_MAX ((size_t)256 * 1024 * 1024)

struct options {
    const char *config;
    bool print, schema;
};

static void usage(FILE *out) {
    fputs("usage: sallyport check [-c FILE] [--print] [--schema]\n\n"
          "Validates the configuration as `run` would, with every file that it names, and runs its tests.\n\n"
          "  -c FILE    default ./conf/sallyport.yaml, then /etc/sallyport/sallyport.yaml\n"
          "  --print    show the effective policy for each hostname and path, and all settings, defaults included\n"
          "  --schema   print the JSON Schema of the file, for editors, and do nothing else\n\n"
          "Exit status: 0 good, 1 a test of the file failed, 2 bad usage or configuration.\n",
          out);
}

/* ---- options ---- */

/* 0: go on; 1: help was asked for; 2: bad usage, which has been said. */
static int parse_options(int argc, char **argv, struct options *options) {
    static const struct option names[] = {
        {"config", required_argument, NULL, 'c'},
        {"print", no_argument, NULL, 'p'},
        {"schema", no_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "c:h", names, NULL)) != -1;) {
        switch (option) {
        case 'c':
            options->config = optarg;
            break;
        case 'p':
            options->print = true;
            break;
        case 's':
            options->schema = true;
            break;
        case 'h':
            return 1;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "sallyport check: unexpected argument '%s'\n", argv[optind]);
        usage(stderr);
        return 2;
    }
    return 0;
}

/* ---- the file's tests ---- */

struct test_run {
    const struct conf *conf;
    const struct snapshot *snapshot;
    struct conf_messages *messages; /* failures go here, each at its place */
    struct sbuf *traces;            /* of what failed */
    size_t failed;
};

static bool is_as_expected(const struct conf_test *test, const struct verdict *verdict) {
    if (test->expect == CONF_EXPECT_ALLOW)
        return verdict->effect != EFFECT_DENY;
    return verdict->effect == EFFECT_DENY &&
           (!test->reason.text || strcmp(test->reason.text, reason_code(verdict->reason)) == 0);
}

static void report_failure(struct test_run *run, const struct conf_test *test, const struct answer *answer,
                           const struct trace *trace) {
    char expected[128], actual[512];
    const struct verdict *verdict = &answer->verdict;
    if (test->reason.text)
        (void)snprintf(expected, sizeof(expected), "deny (%.64s)", test->reason.text);
    else
        (void)snprintf(expected, sizeof(expected), "%s", test->expect == CONF_EXPECT_ALLOW ? "allow" : "deny");
    if (verdict->effect == EFFECT_DENY)
        (void)snprintf(actual, sizeof(actual), "deny (%s: %s)", reason_code(verdict->reason), answer->detail);
    else
        (void)snprintf(actual, sizeof(actual), "allow (%s%s%.350s)", verdict->decision,
                       verdict->policy ? " by policy " : "", verdict->policy ? verdict->policy : "");
    conf_error(run->messages, test->pos, "test of %s %s: expected %s, got %s", test->method.text, test->url.text,
               expected, actual);
    sbuf_printf(run->traces, "\ntest on line %d, %s %s:\n", test->pos.line, test->method.text, test->url.text);
    trace_print(trace, run->traces);
    run->failed++;
}

/* Returns 0, or -1 for a question that cannot be asked, which is the configuration's fault. */
static int run_test(struct test_run *run, const struct conf_test *test) {
    struct cert_list certificates = {NULL, 0};
    struct answer answer = {.status = 0};
    struct trace trace;
    struct addr client;
    struct err err;
    int status = 0;
    trace_init(&trace);
    INVARIANT(addr_parse_host(slice_of(test->ip.text), &client)); /* as resolve has proved */
    if (test->certificate.content.ptr)
        status = cert_list_from_pem(test->certificate.content, false, &certificates, &err);
    const struct question question = {.url = slice_of(test->url.text),
                                      .method = slice_of(test->method.text),
                                      .certificates = &certificates,
                                      .client = &client,
                                      .now = clock_wall()};
    if (status == 0)
        status = judge_question(run->snapshot, &question, &trace, &answer, &err);
    if (status < 0)
        conf_error(run->messages, test->url.pos, "test: %s", err.text);
    else if (!is_as_expected(test, &answer.verdict))
        report_failure(run, test, &answer, &trace);
    answer_fini(&answer);
    cert_list_fini(&certificates);
    trace_fini(&trace);
    return status;
}

/* The exit status. */
static int run_tests(const struct conf *conf, const struct snapshot *snapshot, struct conf_messages *messages,
                     struct sbuf *traces) {
    struct test_run run = {.conf = conf, .snapshot = snapshot, .messages = messages, .traces = traces};
    bool is_bad = false;
    for (size_t i = 0; i < conf->tests.count; i++) {
        if (run_test(&run, &conf->tests.items[i]) < 0)
            is_bad = true;
    }
    return is_bad ? 2 : run.failed > 0 ? 1 : 0;
}

/* ---- what comes out ---- */

static int write_out(FILE *file, struct sbuf *text) {
    struct slice bytes = sbuf_slice(text);
    bool is_written = fwrite(bytes.ptr, 1, bytes.len, file) == bytes.len && fflush(file) == 0 && !text->overflow;
    if (!is_written)
        fputs("sallyport check: the output could not be written\n", stderr);
    return is_written ? 0 : -1;
}

static void summarize(const char *path, const struct conf *conf, struct sbuf *out) {
    const struct {
        const char *what;
        size_t count;
    } parts[] = {{"listener", conf->listeners.count},   {"hostname", conf->hostnames.count},
                 {"CA bundle", conf->ca_bundles.count}, {"application", conf->applications.count},
                 {"upstream", conf->upstreams.count},   {"test", conf->tests.count}};
    sbuf_printf(out, "%s: configuration OK\n", path);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        sbuf_printf(out, "%s%zu %s%s", i > 0 ? ", " : "", parts[i].count, parts[i].what,
                    parts[i].count == 1 ? "" : "s");
    sbuf_append_str(out, conf->tests.count > 0 ? " passed\n" : "\n");
}

static int print_schema(void) {
    struct sbuf out;
    sbuf_init(&out, OUTPUT_MAX);
    conf_write_json_schema(&out);
    int status = write_out(stdout, &out);
    sbuf_fini(&out);
    return status < 0 ? 2 : 0;
}

/* The configuration is good: its tests, then what is in force. out goes to stdout, traces to stderr behind the
 * messages. */
static int check_resolved(const struct options *options, const char *path, const struct conf *conf,
                          const struct resolved *resolved, struct conf_messages *messages, struct sbuf *out,
                          struct sbuf *traces) {
    struct err err;
    struct ticket_keys *keys = ticket_keys_new();
    struct snapshot *snapshot = snapshot_new(resolved, 1, keys, &err);
    const struct sandbox_source account = {.user = conf->user.text};
    struct sandbox_ids ids;
    int status = 2;
    if (snapshot && sandbox_lookup(&account, &ids, &err) != 0) {
        conf_error(messages, conf->user.pos, "%s", err.text);
    } else if (token_state_check(conf, &err) != 0) {
        conf_error(messages, conf->state_dir.path.pos, "%s", err.text);
    } else if (snapshot) {
        status = run_tests(conf, snapshot, messages, traces);
        if (status == 0)
            summarize(path, conf, out);
        if (options->print)
            effective_print(conf, snapshot, out);
    } else {
        conf_error(messages, (struct conf_pos){0, 0}, "%s", err.text);
    }
    snapshot_unref(&snapshot);
    ticket_keys_free(&keys);
    return status;
}

static int check_file(const struct options *options, const char *path) {
    struct conf_messages messages;
    struct conf *conf = NULL;
    struct resolved resolved;
    struct sbuf out, errors, traces;
    sbuf_init(&out, OUTPUT_MAX);
    sbuf_init(&errors, OUTPUT_MAX);
    sbuf_init(&traces, OUTPUT_MAX);
    conf_messages_init(&messages, path);
    int status = 2;
    if (resolve_file(path, NULL, &messages, &conf, &resolved) == 0)
        status = check_resolved(options, path, conf, &resolved, &messages, &out, &traces);
    conf_messages_print(&messages, &errors);
    sbuf_append(&errors, sbuf_slice(&traces));
    if (write_out(stderr, &errors) < 0 || write_out(stdout, &out) < 0)
        status = 2;
    resolved_fini(&resolved);
    conf_free(&conf);
    conf_messages_fini(&messages);
    sbuf_fini(&out);
    sbuf_fini(&errors);
    sbuf_fini(&traces);
    return status;
}

int cmd_check(int argc, char **argv) {
    struct options options = {.config = NULL};
    int usage_status = parse_options(argc, argv, &options);
    if (usage_status == 1)
        usage(stdout);
    if (usage_status)
        return usage_status == 1 ? 0 : 2;
    if (options.schema)
        return print_schema();
    return check_file(&options, options.config ? options.config : default_config_path());
}
