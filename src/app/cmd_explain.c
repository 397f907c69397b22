/*
 * cmd_explain: `sallyport explain`: judges one request offline with the engine of `run` and prints the trace. Reads the
 * configuration as `run` does, builds a snapshot, asks judge_question() and shows what came out; decides nothing
 * itself.
 */
#include <getopt.h>
#include <stdio.h>

#include "app/commands.h"
#include "app/config_path.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "snapshot/judge.h"

#define CERTIFICATES_MAX (1024 * 1024)
#define OUTPUT_MAX (64 * 1024 * 1024)

struct options {
    const char *config, *url, *certificate, *method;
    struct addr client;
    bool has_client;
    time_t now;
    bool is_json;
};

static void usage(FILE *out) {
    fputs("usage: sallyport explain [-c FILE] --url URL [--cert PEM] [--method M] [--ip A] [--time TIME] [--json]\n\n"
          "Judges one request offline, as `run` would, and prints every step.\n\n"
          "  -c FILE      configuration; default ./conf/sallyport.yaml, then /etc/sallyport/sallyport.yaml\n"
          "  --url URL    https://host/path\n"
          "  --cert PEM   the client's certificate, leaf first; may hold the chain. Default: none is presented\n"
          "  --method M   default GET\n"
          "  --ip A       the client's address; default 127.0.0.1\n"
          "  --time TIME  RFC 3339 or Unix seconds; default now\n"
          "  --json       one JSON object instead of text\n\n"
          "Exit status: 0 allowed, 1 denied, 2 bad usage or configuration.\n",
          out);
}

/* ---- options ---- */

/* Returns NULL, or what is wrong with the option's value. */
static const char *take_option(int option, const char *value, struct options *options) {
    switch (option) {
    case 'c':
        options->config = value;
        break;
    case 'u':
        options->url = value;
        break;
    case 'C':
        options->certificate = value;
        break;
    case 'm':
        options->method = value;
        break;
    case 'i':
        options->has_client = true;
        return addr_parse_host(slice_of(value), &options->client) ? NULL : "--ip: expected an IPv4 or IPv6 address";
    case 't':
        return clock_parse(slice_of(value), &options->now) ? NULL : "--time: expected RFC 3339 or Unix seconds";
    case 'j':
        options->is_json = true;
        break;
    default:
        return "";
    }
    return NULL;
}

/* 0: go on; 1: help was asked for; 2: bad usage, which has been said. */
static int parse_options(int argc, char **argv, struct options *options) {
    static const struct option names[] = {
        {"config", required_argument, NULL, 'c'},
        {"url", required_argument, NULL, 'u'},
        {"cert", required_argument, NULL, 'C'},
        {"method", required_argument, NULL, 'm'},
        {"ip", required_argument, NULL, 'i'},
        {"time", required_argument, NULL, 't'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *wrong = NULL;
    for (int option; !wrong && (option = getopt_long(argc, argv, "c:h", names, NULL)) != -1;) {
        if (option == 'h')
            return 1;
        wrong = take_option(option, optarg, options);
    }
    if (!wrong && optind < argc)
        wrong = "unexpected argument";
    if (!wrong && !options->url)
        wrong = "--url is missing";
    if (!wrong)
        return 0;
    if (*wrong)
        fprintf(stderr, "sallyport explain: %s\n", wrong);
    usage(stderr);
    return 2;
}

/* ---- output ---- */

static void write_line(struct sbuf *out, const char *name, const char *value) {
    if (!*value)
        return;
    sbuf_printf(out, "%s: ", name);
    sbuf_append_printable(out, slice_of(value));
    sbuf_append_char(out, '\n');
}

static void write_text(const struct answer *answer, const struct trace *trace, struct sbuf *out) {
    enum reason reason = answer->verdict.reason;
    trace_print(trace, out);
    sbuf_append_char(out, '\n');
    write_line(out, "verdict", answer->verdict.effect == EFFECT_DENY ? "denied" : "allowed");
    write_line(out, "reason", reason_code(reason));
    if (answer->status)
        sbuf_printf(out, "status: %d\n", answer->status);
    else
        sbuf_append_str(out, "status: none, the handshake is refused\n");
    write_line(out, "detail", answer->detail);
    write_line(out, "hint", reason_hint(reason));
}

/* Nothing to say is null, as in `verify`. */
static const char *or_null(const char *text) { return text && *text ? text : NULL; }

static void write_json(const struct answer *answer, const struct trace *trace, struct sbuf *out) {
    const struct verdict *verdict = &answer->verdict;
    struct jsonw json;
    jsonw_init(&json, out);
    jsonw_open_object(&json, NULL);
    jsonw_bool(&json, "allowed", verdict->effect != EFFECT_DENY);
    jsonw_int(&json, "status", answer->status);
    jsonw_str(&json, "reason", or_null(reason_code(verdict->reason)));
    jsonw_str(&json, "detail", or_null(answer->detail));
    jsonw_str(&json, "hint", or_null(reason_hint(verdict->reason)));
    jsonw_str(&json, "hostname", answer->hostname ? answer->hostname->name : NULL);
    jsonw_str(&json, "application", verdict->application);
    jsonw_str(&json, "policy", verdict->policy);
    jsonw_str(&json, "decision", verdict->decision);
    jsonw_str(&json, "cert_verified", answer->report.verified_text);
    trace_write_json(trace, &json);
    jsonw_close_object(&json);
    sbuf_append_char(out, '\n');
}

static int show(const struct answer *answer, const struct trace *trace, bool is_json) {
    struct sbuf out;
    sbuf_init(&out, OUTPUT_MAX);
    if (is_json)
        write_json(answer, trace, &out);
    else
        write_text(answer, trace, &out);
    struct slice text = sbuf_slice(&out);
    bool is_written = fwrite(text.ptr, 1, text.len, stdout) == text.len && fflush(stdout) == 0;
    sbuf_fini(&out);
    if (!is_written) {
        fputs("sallyport explain: the answer could not be written\n", stderr);
        return 2;
    }
    return answer->verdict.effect == EFFECT_DENY ? 1 : 0;
}

/* ---- the question ---- */

static int read_certificates(const char *path, struct cert_list *list_out, struct err *err) {
    struct sbuf pem;
    sbuf_init(&pem, CERTIFICATES_MAX);
    int status = file_read(path, CERTIFICATES_MAX, &pem, err);
    if (status == 0)
        status = cert_list_from_pem(sbuf_slice(&pem), false, list_out, err);
    sbuf_fini(&pem);
    return status < 0 ? err_context(err, "%s", path) : 0;
}

static int ask(const struct snapshot *snapshot, const struct options *options, int *status_out, struct err *err) {
    struct cert_list certificates = {NULL, 0};
    struct trace trace;
    struct answer answer = {.status = 0};
    trace_init(&trace);
    int status = options->certificate ? read_certificates(options->certificate, &certificates, err) : 0;
    const struct question question = {.url = slice_of(options->url),
                                      .method = slice_of(options->method),
                                      .certificates = &certificates,
                                      .client = options->has_client ? &options->client : NULL,
                                      .now = options->now};
    if (status == 0)
        status = judge_question(snapshot, &question, &trace, &answer, err);
    if (status == 0)
        *status_out = show(&answer, &trace, options->is_json);
    answer_fini(&answer);
    trace_fini(&trace);
    cert_list_fini(&certificates);
    return status;
}

/* Everything that is wrong with the file, or only its warnings. */
static int load(const char *path, struct resolved *resolved_out) {
    struct conf_messages messages;
    conf_messages_init(&messages, path);
    int status = resolve_file(path, NULL, &messages, NULL, resolved_out);
    struct sbuf text;
    sbuf_init(&text, OUTPUT_MAX);
    conf_messages_print(&messages, &text);
    fputs(sbuf_text(&text), stderr);
    sbuf_fini(&text);
    conf_messages_fini(&messages);
    return status;
}

int cmd_explain(int argc, char **argv) {
    struct options options = {.now = clock_wall()};
    int usage_status = parse_options(argc, argv, &options);
    if (usage_status == 1)
        usage(stdout);
    if (usage_status)
        return usage_status == 1 ? 0 : 2;
    struct resolved resolved;
    if (load(options.config ? options.config : default_config_path(), &resolved) < 0)
        return 2;
    int status = 2;
    struct err err = {""};
    struct ticket_keys *keys = ticket_keys_new();
    struct snapshot *snapshot = snapshot_new(&resolved, 1, keys, &err);
    if (!snapshot || ask(snapshot, &options, &status, &err) < 0)
        fprintf(stderr, "sallyport explain: %s\n", err.text);
    snapshot_unref(&snapshot);
    ticket_keys_free(&keys);
    resolved_fini(&resolved);
    return status;
}
