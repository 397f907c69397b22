/*
 * micro: single steps of a request, over and over: nanoseconds each, and under callgrind the instructions of a fixed
 * number. Started by micro.py, growth.py and gate.py, which make the configuration and the certificates.
 *
 *   micro CONFIG CERTIFICATE HOST PATH [OPERATION...]     prints a line of JSON for each operation
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/logpipe.h"
#include "base/mem.h"
#include "http/h1_write.h"
#include "instructions.h"
#include "measure.h"
#include "proxy/forward.h"
#include "proxy/observe.h"
#include "snapshot/judge.h"

#define COUNTED 200           /* repetitions under callgrind */
#define MEASURED_NS 100000000 /* at least so long without */
#define ROUNDS 5              /* of which the fastest counts */

/* Everything the operations work on: a snapshot of the configuration and a connection as the handshake leaves it. */
struct bench {
    struct resolved resolved;
    struct snapshot *snapshot;
    const struct hostname *hostname;
    struct cert_list certs; /* leaf first */
    struct cert_list sent;
    const char *host, *path;
    struct sbuf head, out;
    struct arena *arena;
    struct peer peer;
    struct client client;
    struct worker worker;
    struct exchange exchange;
    struct request_head request;
    struct identity *identity;
    struct logpipe_writer *log;
    uint8_t serial[16];
};

static void die(const char *what, const char *why) {
    fprintf(stderr, "micro: %s: %s\n", what, why);
    exit(2);
}

/* ---- operations ---- */

static void parse_head(struct bench *bench) {
    struct h1_fault fault;
    struct request_head request;
    size_t scanned = 0, len;
    arena_reset(bench->arena);
    if (h1_scan_head(sbuf_slice(&bench->head), &scanned, 65536, &len) != H1_COMPLETE ||
        !h1_parse_request(sbuf_slice(&bench->head), &bench->snapshot->h1_limits, bench->arena, &request, &fault))
        die("parse_head", "refused");
}

static void find_hostname(struct bench *bench) {
    if (!snapshot_hostname(bench->snapshot, slice_of(bench->host)))
        die("find_hostname", "not found");
}

/* Route and policies, as each request is judged. */
static void judge(struct bench *bench) {
    struct facts facts = {.identity = bench->identity,
                          .report = &bench->peer.report,
                          .trust = bench->hostname->trust,
                          .client = &bench->client.addr,
                          .method = SLICE("GET")};
    judge_request(bench->snapshot, bench->hostname, slice_of(bench->host), &bench->request.target, &facts, NULL,
                  &bench->exchange.verdict, &bench->exchange.application);
}

static void write_head(struct bench *bench) {
    arena_reset(bench->arena);
    sbuf_clear(&bench->out);
    h1_write_request(&bench->out, forward_request(&bench->exchange), true);
}

static void log_line(struct bench *bench) {
    observe_exchange(&bench->exchange);
    (void)logpipe_writer_flush(bench->log);
}

static void verify(struct bench *bench) {
    struct verify_report report;
    verify_chain(bench->hostname->trust, bench->certs.items[0], &bench->sent, time(NULL), NULL, &report);
    verify_report_fini(&report);
}

static void render_identity(struct bench *bench) {
    struct identity *identity = identity_new(bench->certs.items[0], &bench->peer.report);
    identity_free(&identity);
}

static void look_up_crl(struct bench *bench) {
    struct crl_entry entry;
    bench->serial[15]++;
    if (crl_lookup(bench->snapshot->crls[0], slice_make((char *)bench->serial, sizeof bench->serial), &entry))
        die("look_up_crl", "a serial number that nobody has");
}

static const struct operation {
    const char *name;
    void (*run)(struct bench *bench);
} operations[] = {
    {"parse_head", parse_head},
    {"find_hostname", find_hostname},
    {"judge", judge},
    {"write_head", write_head},
    {"log_line", log_line},
    {"verify_chain", verify},
    {"crl_lookup", look_up_crl},
    {"render_identity", render_identity},
};

/* ---- measuring ---- */

static int64_t run(struct bench *bench, const struct operation *operation, long count) {
    int64_t start = now_ns();
    for (long i = 0; i < count; i++)
        operation->run(bench);
    return now_ns() - start;
}

static void count_instructions(struct bench *bench, const struct operation *operation) {
    (void)run(bench, operation, 20);
    instructions_begin();
    (void)run(bench, operation, COUNTED);
    instructions_end();
    instructions_dump(operation->name);
    printf("{\"operation\": \"%s\", \"count\": %d}\n", operation->name, COUNTED);
}

static void measure_time(struct bench *bench, const struct operation *operation) {
    long count = 16;
    double best = 0;
    while (run(bench, operation, count) < MEASURED_NS / ROUNDS)
        count *= 2;
    for (int round = 0; round < ROUNDS; round++) {
        double each = (double)run(bench, operation, count) / (double)count;
        best = round == 0 || each < best ? each : best;
    }
    printf("{\"operation\": \"%s\", \"ns\": %.1f}\n", operation->name, best);
}

/* ---- set-up ---- */

static void open_snapshot(struct bench *bench, const char *path) {
    struct conf_messages messages;
    struct err err = {""};
    conf_messages_init(&messages, path);
    if (resolve_file(path, NULL, &messages, NULL, &bench->resolved) != 0)
        die(path, messages.count ? messages.items[0].text : "refused");
    conf_messages_fini(&messages);
    bench->snapshot = snapshot_new(&bench->resolved, 1, ticket_keys_new(), &err);
    if (!bench->snapshot)
        die(path, err.text);
    bench->hostname = snapshot_hostname(bench->snapshot, slice_of(bench->host));
    if (!bench->hostname)
        die("the host is not configured", bench->host);
}

static void open_certificate(struct bench *bench, const char *path) {
    struct err err = {""};
    struct sbuf pem;
    sbuf_init(&pem, 1 << 20);
    if (file_read(path, 1 << 20, &pem, &err) != 0 ||
        cert_list_from_pem(sbuf_slice(&pem), false, &bench->certs, &err) != 0)
        die(path, err.text);
    sbuf_fini(&pem);
    bench->sent = (struct cert_list){bench->certs.items + 1, bench->certs.count - 1};
}

static void open_log(struct bench *bench) {
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    bench->log = logpipe_writer_new(fd);
    bench->worker.access = logpipe_writer_sink(bench->log, LOGPIPE_ACCESS);
    bench->worker.audit = logpipe_writer_sink(bench->log, LOGPIPE_AUDIT);
}

/* As a browser sends it. */
static void make_request(struct bench *bench) {
    struct h1_fault fault = {.detail = ""};
    sbuf_init(&bench->head, 65536);
    sbuf_init(&bench->out, 1 << 20);
    sbuf_printf(&bench->head,
                "GET %s?page=2&sort=name HTTP/1.1\r\nHost: %s\r\n"
                "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
                "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
                "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n"
                "Referer: https://%s/list?page=1\r\nCookie: theme=dark; id=0123456789abcdef\r\n"
                "Connection: keep-alive\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n"
                "Sec-Fetch-Site: same-origin\r\nIf-None-Match: \"5f3c-5e1d2c\"\r\n\r\n",
                bench->path, bench->host, bench->host);
    if (!h1_parse_request(sbuf_slice(&bench->head), &bench->snapshot->h1_limits, arena_new(4096), &bench->request,
                          &fault))
        die("the request", fault.detail);
}

/* The connection and the exchange as the steps before leave them. */
static void make_exchange(struct bench *bench) {
    static const struct endpoint endpoint = {.name = "127.0.0.1:3000"};
    verify_chain(bench->hostname->trust, bench->certs.items[0], &bench->sent, time(NULL), NULL, &bench->peer.report);
    if (bench->peer.report.reason != REASON_NONE)
        die("the certificate", bench->peer.report.detail);
    bench->identity = identity_new(bench->certs.items[0], &bench->peer.report);
    bench->peer.identity = bench->identity;
    bench->peer.leaf = bench->certs.items[0];
    bench->peer.tls_version = "TLSv1.3";
    bench->peer.cipher = "TLS_AES_256_GCM_SHA384";
    bench->peer.has_sni = true;
    bench->peer.server_name = mem_strdup(bench->host);
    bench->client = (struct client){.worker = &bench->worker, .listener = "127.0.0.1:8443", .peer = &bench->peer};
    if (!addr_parse_host(SLICE("192.0.2.7"), &bench->client.addr))
        die("the address", "refused");
    bench->client.host_text = mem_strdup("192.0.2.7");
    bench->exchange = (struct exchange){.client = &bench->client,
                                        .arena = bench->arena,
                                        .request = &bench->request,
                                        .snapshot = bench->snapshot,
                                        .hostname = bench->hostname,
                                        .upstream = bench->hostname->upstream,
                                        .endpoint = &endpoint,
                                        .status = 200,
                                        .ending_who = ENDING_COMPLETE,
                                        .started_us = clock_mono_us(),
                                        .started_wall_us = clock_wall_us(),
                                        .upstream_started_us = 1,
                                        .upstream_head_us = 300};
    ray_id_make(bench->exchange.ray_id);
}

static bool is_wanted(const char *name, int argc, char **argv) {
    bool is_named = argc <= 5;
    for (int i = 5; i < argc; i++)
        is_named = is_named || strcmp(argv[i], name) == 0;
    return is_named;
}

int main(int argc, char **argv) {
    static struct bench bench;
    if (argc < 5)
        die("usage", "micro CONFIG CERTIFICATE HOST PATH [OPERATION...]");
    (void)signal(SIGPIPE, SIG_IGN);
    bench.host = argv[3];
    bench.path = argv[4];
    bench.arena = arena_new(4096);
    open_snapshot(&bench, argv[1]);
    open_certificate(&bench, argv[2]);
    open_log(&bench);
    make_request(&bench);
    make_exchange(&bench);
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        const struct operation *operation = &operations[i];
        if (!is_wanted(operation->name, argc, argv) || (operation->run == look_up_crl && !bench.snapshot->crl_count))
            continue;
        if (instructions_are_counted())
            count_instructions(&bench, operation);
        else
            measure_time(&bench, operation);
    }
    return 0;
}
