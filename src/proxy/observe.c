/*
 * observe: see the header. One set of fields serves the access log, the audit log's denials and its refused handshakes: what is not known is
 * left out of a line rather than invented. Nothing a client chooses becomes a metric label.
 */
#include "proxy/observe.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/json.h"
#include "base/metrics.h"

#define LINE_LIMIT (256 * 1024)
#define HANDSHAKE_REFUSED "handshake_refused"
#define CONNECTION_REFUSED "connection_refused"
#define CRL_NUMBER_SHOWN 20

static const char *const who_names[] = {"", "complete", "denied", "client", "upstream", "gateway"};
static const char *const phase_names[] = {"request_head", "policy",        "connect", "request_body",
                                          "response_head", "response_body", "tunnel"};

const char *ending_text(const struct exchange *exchange, char *out) {
    const char *who = who_names[exchange->ending_who];
    if (exchange->ending_who <= ENDING_DENIED)
        snprintf(out, 48, "%s", who);
    else
        snprintf(out, 48, "%s:%s", who, phase_names[exchange->phase]);
    return out;
}

/* Begins a line; one is built at a time, in memory that is kept from line to line. event NULL: the access log has none. */
static void line_begin(struct json *json, const char *event, int64_t wall_us) {
    static struct sbuf line;
    char text[CLOCK_TEXT_SIZE];
    if (line.limit == 0)
        sbuf_init(&line, LINE_LIMIT);
    sbuf_clear(&line);
    json_init(json, &line);
    json_open_object(json, NULL);
    if (event)
        json_str(json, "event", event);
    json_str(json, "time", clock_format_ms(wall_us, text));
}

static void line_end(struct json *json, struct logsink *sink) {
    json_close_object(json);
    logsink_line(sink, sbuf_slice(json->out));
}

static double milliseconds(int64_t us) { return us > 0 ? (double)us / 1000.0 : 0.0; }

/* ---- groups of fields ---- */

static void put_address(struct json *json, const struct addr *addr, const char *listener) {
    char host[ADDR_TEXT_SIZE];
    json_str(json, "client_ip", addr_format_host(addr, host));
    json_int(json, "client_port", addr_port(addr));
    json_str(json, "listener", listener);
}

static void put_connection(struct json *json, const struct client *client) {
    const struct peer *peer = client->peer;
    json_str(json, "client_ip", client->host_text);
    json_int(json, "client_port", addr_port(&client->addr));
    json_str(json, "listener", client->listener);
    if (!peer)
        return;
    json_str(json, "sni", peer->has_sni ? peer->server_name : NULL);
    json_str(json, "tls_version", peer->tls_version);
    json_str(json, "cipher", peer->cipher);
    json_bool(json, "resumed", peer->resumed);
}

static void put_certificate(struct json *json, struct peer *peer) {
    const struct identity *identity = peer ? peer_identity(peer) : NULL;
    if (!peer)
        return;
    json_str(json, "cert_verified", peer->report.verified_text);
    if (!identity)
        return;
    json_string(json, "cert_subject_dn", identity->subject_dn);
    json_string(json, "cert_issuer_dn", identity->issuer_dn);
    json_string(json, "cert_serial", identity->serial);
    json_string(json, "cert_fingerprint_sha256", identity->fingerprint_sha256);
    json_string(json, "cert_not_after", identity->not_after);
}

static void put_request(struct json *json, const struct exchange *exchange) {
    const struct request_head *request = exchange->request;
    if (!request)
        return;
    json_str(json, "http_version", http_version_name(request->version));
    json_string(json, "method", request->method);
    json_string(json, "host", request->target.host.len > 0 ? request->target.host : slice_of(exchange->client->peer->server_name));
    json_string(json, "path", request->target.path);
}

static void put_upstream(struct json *json, const struct exchange *exchange) {
    if (!exchange->endpoint)
        return;
    json_str(json, "upstream", exchange->endpoint->name);
    if (exchange->upstream_head_us > 0)
        json_fixed(json, "upstream_ms", milliseconds(exchange->upstream_head_us - exchange->upstream_started_us), 3);
    else
        json_null(json, "upstream_ms");
}

static void put_verdict(struct json *json, const struct exchange *exchange) {
    json_str(json, "application", exchange->verdict.application);
    json_str(json, "policy", exchange->verdict.policy);
    json_str(json, "decision", exchange->verdict.decision);
    json_str(json, "reason", reason_code(exchange->reason));
    if (exchange->verdict.report_only) {
        json_str(json, "report_only_policy", exchange->verdict.report_only);
        json_str(json, "report_only_decision", exchange->verdict.report_only_decision);
    }
}

static void put_exchange(struct json *json, const struct exchange *exchange, int64_t duration_us) {
    struct client *client = exchange->client;
    char ending[48];
    json_str(json, "ray_id", exchange->ray_id);
    put_connection(json, client);
    put_request(json, exchange);
    json_int(json, "status", exchange->status);
    json_int(json, "bytes_in", (int64_t)exchange->bytes_in);
    json_int(json, "bytes_out", (int64_t)exchange->bytes_out);
    json_fixed(json, "duration_ms", milliseconds(duration_us), 3);
    json_fixed(json, "handshake_ms", client->peer ? milliseconds(client->peer->handshake_us) : 0.0, 3);
    put_upstream(json, exchange);
    put_verdict(json, exchange);
    if (exchange->detail[0])
        json_str(json, "detail", exchange->detail);
    put_certificate(json, client->peer);
    const struct header *agent =
        exchange->request ? headers_find(&exchange->request->headers, SLICE("user-agent")) : NULL;
    if (agent)
        json_string(json, "user_agent", agent->value);
    json_str(json, "ending", ending_text(exchange, ending));
}

/* ---- lines ---- */

static void exchange_line(const struct exchange *exchange, struct logsink *sink, const char *event, int64_t duration_us) {
    struct json json;
    if (logsink_is_off(sink))
        return;
    line_begin(&json, event, exchange->started_wall_us);
    put_exchange(&json, exchange, duration_us);
    line_end(&json, sink);
}

static void count_exchange(const struct exchange *exchange, int64_t duration_us) {
    const char *hostname = exchange->hostname ? exchange->hostname->name : "";
    const char *decision = exchange->verdict.decision ? exchange->verdict.decision : "";
    char status[12];
    snprintf(status, sizeof status, "%d", exchange->status);
    metric_add(METRIC_REQUESTS, 1, hostname, decision, reason_code(exchange->reason), status);
    metric_observe(METRIC_REQUEST_SECONDS, (double)duration_us / 1e6, hostname);
    metric_add(METRIC_BYTES_IN, (int64_t)exchange->bytes_in, hostname);
    metric_add(METRIC_BYTES_OUT, (int64_t)exchange->bytes_out, hostname);
    if (!exchange->upstream)
        return;
    bool is_upstream_fault = exchange->reason >= REASON_UPSTREAM_UNREACHABLE;
    metric_add(METRIC_UPSTREAM_REQUESTS, 1, exchange->upstream->name, is_upstream_fault ? reason_code(exchange->reason) : "ok");
    if (exchange->upstream_head_us > 0)
        metric_observe(METRIC_UPSTREAM_SECONDS,
                       (double)(exchange->upstream_head_us - exchange->upstream_started_us) / 1e6, exchange->upstream->name);
}

void observe_exchange(const struct exchange *exchange) {
    int64_t duration_us = clock_mono_us() - exchange->started_us;
    count_exchange(exchange, duration_us);
    exchange_line(exchange, exchange->client->worker->access, NULL, duration_us);
    if (exchange->ending_who == ENDING_DENIED)
        exchange_line(exchange, exchange->client->worker->audit, "denied", duration_us);
}

void observe_handshake(const struct client *client) {
    const struct peer *peer = client->peer;
    const char *resumed = peer->resumed ? "true" : "false";
    metric_add(METRIC_HANDSHAKES, 1, tls_host_name(peer->host), "ok", resumed);
    metric_observe(METRIC_HANDSHAKE_SECONDS, (double)peer->handshake_us / 1e6, resumed);
}

static void handshake_failure_line(const struct client *client, const struct handshake_failure *failure) {
    struct json json;
    line_begin(&json, HANDSHAKE_REFUSED, clock_wall_us());
    put_address(&json, &client->addr, client->listener);
    json_str(&json, "sni", failure->server_name[0] ? failure->server_name : NULL);
    json_str(&json, "host", failure->hostname);
    json_str(&json, "tls_version", failure->tls_version);
    json_fixed(&json, "handshake_ms", milliseconds(clock_mono_us() - client->accepted_us), 3);
    json_str(&json, "reason", reason_code(failure->reason));
    json_str(&json, "detail", failure->detail);
    put_certificate(&json, failure->peer);
    line_end(&json, client->worker->audit);
}

void observe_handshake_failure(const struct client *client, const struct handshake_failure *failure) {
    if (failure->is_silent)
        return;
    const char *hostname = failure->hostname ? failure->hostname : "";
    metric_add(METRIC_HANDSHAKES, 1, hostname, reason_code(failure->reason), "false");
    struct flood_kind kind = {HANDSHAKE_REFUSED, failure->reason, NULL};
    if (!logsink_is_off(client->worker->audit) && flood_admits(client->worker->flood, &kind))
        handshake_failure_line(client, failure);
}

void observe_refused(const struct worker *worker, const char *listener, const struct addr *peer, const char *limit) {
    struct flood_kind kind = {CONNECTION_REFUSED, REASON_CONNECTION_LIMIT, limit};
    metric_add(METRIC_CONNECTIONS_REFUSED, 1, reason_code(kind.reason), limit);
    if (logsink_is_off(worker->audit) || !flood_admits(worker->flood, &kind))
        return;
    struct json json;
    line_begin(&json, kind.event, clock_wall_us());
    put_address(&json, peer, listener);
    json_str(&json, "reason", reason_code(kind.reason));
    json_str(&json, "limit", limit);
    line_end(&json, worker->audit);
}

void observe_left_out(const struct worker *worker, const struct flood_kind *kind, uint64_t count) {
    if (logsink_is_off(worker->audit))
        return;
    struct json json;
    line_begin(&json, "lines_left_out", clock_wall_us());
    json_str(&json, "of", kind->event);
    json_str(&json, "reason", reason_code(kind->reason));
    if (kind->detail)
        json_str(&json, "limit", kind->detail);
    json_int(&json, "count", (int64_t)count);
    line_end(&json, worker->audit);
}

void observe_event(struct logsink *audit, const char *event, const char *result, const char *detail, uint64_t generation) {
    if (!audit || logsink_is_off(audit))
        return;
    struct json json;
    line_begin(&json, event, clock_wall_us());
    json_str(&json, "result", result);
    if (detail && *detail)
        json_str(&json, "detail", detail);
    json_int(&json, "generation", (int64_t)generation);
    line_end(&json, audit);
}

static void put_crl(struct json *json, const struct crl *crl) {
    char when[CLOCK_TEXT_SIZE], number[2 * CRL_NUMBER_SHOWN + 1];
    json_str(json, "issuer", crl_issuer_text(crl));
    if (crl_has_number(crl) && crl_number(crl).len <= CRL_NUMBER_SHOWN)
        json_str(json, "number", hex_upper(crl_number(crl).ptr, crl_number(crl).len, number));
    else
        json_null(json, "number");
    json_str(json, "this_update", clock_format(crl_this_update(crl), when));
    if (crl_next_update(crl) != 0)
        json_str(json, "next_update", clock_format(crl_next_update(crl), when));
    else
        json_null(json, "next_update");
    json_int(json, "entries", (int64_t)crl_count(crl));
}

void observe_crl(struct logsink *audit, const struct crl_news *news, const char *result, uint64_t generation) {
    if (!audit || logsink_is_off(audit))
        return;
    struct json json;
    line_begin(&json, "crl", clock_wall_us());
    json_str(&json, "result", result);
    json_str(&json, "ca_bundle", news->bundle);
    json_str(&json, "file", news->path);
    if (news->crl)
        put_crl(&json, news->crl);
    if (*news->detail)
        json_str(&json, "detail", news->detail);
    json_int(&json, "generation", (int64_t)generation);
    line_end(&json, audit);
}
