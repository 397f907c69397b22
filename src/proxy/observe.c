/*
 * observe: see the header. One set of fields serves the access log, the audit log's denials and its refused handshakes:
 * what is not known is left out of a line rather than invented. Nothing a client chooses becomes a metric label.
 */
#include "proxy/observe.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/metrics.h"

#define LINE_LIMIT (256 * 1024)
#define HANDSHAKE_REFUSED "handshake_refused"
#define CONNECTION_REFUSED "connection_refused"
#define CRL_NUMBER_SHOWN 20
/* Of one text that a client chose. Cut, with dots at its end, beyond this: escaped, a few long ones would not fit into
 * the line, and a line that does not end is no line (sec-14). */
#define TEXT_MAX (8 * 1024)

static const char *const who_names[] = {"", "complete", "denied", "client", "upstream", "gateway"};
static const char *const phase_names[] = {"request_head",  "policy",        "connect", "request_body",
                                          "response_head", "response_body", "tunnel"};

const char *ending_text(const struct exchange *exchange, char *out) {
    const char *who = who_names[exchange->ending_who];
    if (exchange->ending_who <= ENDING_DENIED)
        return who;
    snprintf(out, 48, "%s:%s", who, phase_names[exchange->phase]);
    return out;
}

/* Begins a line; one is built at a time, in memory that is kept from line to line. event NULL: the access log has none.
 */
static void line_begin(struct jsonw *json, const char *event, int64_t wall_us) {
    static struct sbuf line;
    char text[CLOCK_TEXT_SIZE];
    if (line.limit == 0)
        sbuf_init(&line, LINE_LIMIT);
    sbuf_clear(&line);
    jsonw_init(json, &line);
    jsonw_open_object(json, NULL);
    if (event)
        jsonw_str(json, "event", event);
    jsonw_str(json, "time", clock_format_ms(wall_us, text));
}

static void line_end(struct jsonw *json, struct logsink *sink) {
    jsonw_close_object(json);
    logsink_line(sink, sbuf_slice(json->out));
}

static int64_t positive(int64_t us) { return us > 0 ? us : 0; }

/* ---- groups of fields ---- */

static void put_cut(struct jsonw *json, const char *name, struct slice value) {
    char text[TEXT_MAX + 4];
    size_t len = TEXT_MAX;
    while (len > TEXT_MAX - 3 && ((unsigned char)value.ptr[len] & 0xc0) == 0x80)
        len--; /* not in the middle of a character */
    memcpy(text, value.ptr, len);
    memcpy(text + len, "...", 3);
    jsonw_string(json, name, slice_make(text, len + 3));
}

static void put_known(struct jsonw *json, const char *name, struct slice value) {
    if (!value.ptr)
        jsonw_null(json, name);
    else if (value.len > TEXT_MAX)
        put_cut(json, name, value);
    else
        jsonw_string(json, name, value);
}

static void put_address(struct jsonw *json, const struct addr *addr, const char *listener) {
    char host[ADDR_TEXT_SIZE];
    jsonw_str(json, "client_ip", addr_format_host(addr, host));
    jsonw_int(json, "client_port", addr_port(addr));
    jsonw_str(json, "listener", listener);
}

static void put_connection(struct jsonw *json, const struct client *client) {
    const struct peer *peer = client->peer;
    jsonw_str(json, "client_ip", client->host_text);
    jsonw_int(json, "client_port", addr_port(&client->addr));
    jsonw_str(json, "listener", client->listener);
    jsonw_str(json, "sni", peer->has_sni ? peer->server_name : NULL);
    jsonw_str(json, "tls_version", peer->tls_version);
    jsonw_str(json, "cipher", peer->cipher);
    jsonw_bool(json, "resumed", peer->resumed);
}

static void put_certificate(struct jsonw *json, struct peer *peer) {
    static const struct identity unknown;
    const struct identity *identity = peer ? peer_identity(peer) : NULL;
    if (!peer)
        return;
    if (!identity)
        identity = &unknown;
    jsonw_str(json, "cert_verified", peer->report.verified_text);
    put_known(json, "cert_subject_dn", identity->subject_dn);
    put_known(json, "cert_issuer_dn", identity->issuer_dn);
    put_known(json, "cert_serial", identity->serial);
    put_known(json, "cert_fingerprint_sha256", identity->fingerprint_sha256);
    put_known(json, "cert_not_after", identity->not_after);
}

/* What is the same in every line of a connection, rendered for the first of them. */
struct log_fields {
    unsigned revision; /* of the peer's report, which the certificate's fields tell of */
    struct slice connection, certificate;
    char text[];
};

void log_fields_free(struct log_fields **fields) {
    mem_free(*fields);
    *fields = NULL;
}

static struct log_fields *log_fields_new(const struct client *client) {
    struct sbuf text;
    struct jsonw json;
    sbuf_init(&text, LINE_LIMIT);
    jsonw_init(&json, &text);
    put_connection(&json, client);
    size_t connection_len = text.len;
    jsonw_init(&json, &text);
    put_certificate(&json, client->peer);
    struct log_fields *fields = mem_new(sizeof *fields + text.len);
    struct slice all = slice_make(fields->text, text.len);
    memcpy(fields->text, sbuf_slice(&text).ptr, text.len);
    fields->revision = client->peer->revision;
    fields->connection = slice_first(all, connection_len);
    fields->certificate = slice_after(all, connection_len);
    sbuf_fini(&text);
    return fields;
}

static const struct log_fields *fields_of(struct client *client) {
    if (!client->log_fields || client->log_fields->revision != client->peer->revision) {
        log_fields_free(&client->log_fields);
        client->log_fields = log_fields_new(client);
    }
    return client->log_fields;
}

static void put_request(struct jsonw *json, const struct exchange *exchange) {
    const struct request_head *request = exchange->request;
    bool has_host = request && request->target.host.len > 0;
    jsonw_str(json, "http_version", request ? http_version_name(request->version) : NULL);
    put_known(json, "method", request ? request->method : SLICE_NONE);
    if (has_host)
        jsonw_string(json, "host", request->target.host);
    else
        jsonw_str(json, "host", exchange->client->peer->server_name);
    put_known(json, "path", request ? request->target.path : SLICE_NONE);
}

static void put_upstream(struct jsonw *json, const struct exchange *exchange) {
    jsonw_str(json, "upstream", exchange->endpoint ? exchange->endpoint->name : NULL);
    if (exchange->endpoint && exchange->upstream_head_us > 0)
        jsonw_ms(json, "upstream_ms", positive(exchange->upstream_head_us - exchange->upstream_started_us));
    else
        jsonw_null(json, "upstream_ms");
}

static void put_verdict(struct jsonw *json, const struct exchange *exchange) {
    jsonw_str(json, "application", exchange->verdict.application);
    jsonw_str(json, "policy", exchange->verdict.policy);
    jsonw_str(json, "decision", exchange->verdict.decision);
    jsonw_str(json, "reason", reason_code(exchange->reason));
    if (exchange->stand_in)
        jsonw_bool(json, "certificate_session", true);
    if (exchange->verdict.report_only) {
        jsonw_str(json, "report_only_policy", exchange->verdict.report_only);
        jsonw_str(json, "report_only_decision", exchange->verdict.report_only_decision);
    }
}

static void put_exchange(struct jsonw *json, const struct exchange *exchange, int64_t duration_us) {
    struct client *client = exchange->client;
    const struct log_fields *fields = fields_of(client);
    char ending[48];
    jsonw_str(json, "ray_id", exchange->ray_id);
    jsonw_written(json, fields->connection);
    put_request(json, exchange);
    jsonw_int(json, "status", exchange->status);
    jsonw_int(json, "bytes_in", (int64_t)exchange->bytes_in);
    jsonw_int(json, "bytes_out", (int64_t)exchange->bytes_out);
    jsonw_ms(json, "duration_ms", positive(duration_us));
    jsonw_ms(json, "handshake_ms", positive(client->peer->handshake_us));
    put_upstream(json, exchange);
    put_verdict(json, exchange);
    if (exchange->detail[0])
        jsonw_str(json, "detail", exchange->detail);
    if (exchange->stand_in)
        put_certificate(json, exchange->stand_in->stand_in);
    else
        jsonw_written(json, fields->certificate);
    const struct header *agent =
        exchange->request ? headers_find(&exchange->request->headers, SLICE("user-agent")) : NULL;
    put_known(json, "user_agent", agent ? agent->value : SLICE_NONE);
    jsonw_str(json, "ending", ending_text(exchange, ending));
}

/* ---- lines ---- */

static void exchange_line(const struct exchange *exchange, struct logsink *sink, const char *event,
                          int64_t duration_us) {
    struct jsonw json;
    if (logsink_is_off(sink))
        return;
    line_begin(&json, event, exchange->started_wall_us);
    put_exchange(&json, exchange, duration_us);
    line_end(&json, sink);
}

/* "200"; "0" for none. */
static void status_text(int status, char out[4]) {
    if (status < 100 || status > 999) {
        memcpy(out, "0", 2);
        return;
    }
    out[0] = (char)('0' + status / 100);
    out[1] = (char)('0' + status / 10 % 10);
    out[2] = (char)('0' + status % 10);
    out[3] = '\0';
}

static void count_exchange(const struct exchange *exchange, int64_t duration_us) {
    const char *hostname = exchange->hostname ? exchange->hostname->name : "";
    const char *decision = exchange->verdict.decision ? exchange->verdict.decision : "";
    char status[4];
    status_text(exchange->status, status);
    metric_add(METRIC_REQUESTS, 1, hostname, decision, reason_code(exchange->reason), status);
    metric_observe(METRIC_REQUEST_SECONDS, (double)duration_us / 1e6, hostname);
    metric_add(METRIC_BYTES_IN, (int64_t)exchange->bytes_in, hostname);
    metric_add(METRIC_BYTES_OUT, (int64_t)exchange->bytes_out, hostname);
    if (!exchange->upstream)
        return;
    bool is_upstream_fault = exchange->reason >= REASON_UPSTREAM_UNREACHABLE;
    metric_add(METRIC_UPSTREAM_REQUESTS, 1, exchange->upstream->name,
               is_upstream_fault ? reason_code(exchange->reason) : "ok");
    if (exchange->upstream_head_us > 0)
        metric_observe(METRIC_UPSTREAM_SECONDS,
                       (double)(exchange->upstream_head_us - exchange->upstream_started_us) / 1e6,
                       exchange->upstream->name);
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
    struct jsonw json;
    line_begin(&json, HANDSHAKE_REFUSED, clock_wall_us());
    put_address(&json, &client->addr, client->listener);
    jsonw_str(&json, "sni", failure->server_name[0] ? failure->server_name : NULL);
    jsonw_str(&json, "host", failure->hostname);
    jsonw_str(&json, "tls_version", failure->tls_version);
    jsonw_ms(&json, "handshake_ms", positive(clock_mono_us() - client->accepted_us));
    jsonw_str(&json, "reason", reason_code(failure->reason));
    jsonw_str(&json, "detail", failure->detail);
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
    struct jsonw json;
    line_begin(&json, kind.event, clock_wall_us());
    put_address(&json, peer, listener);
    jsonw_str(&json, "reason", reason_code(kind.reason));
    jsonw_str(&json, "limit", limit);
    line_end(&json, worker->audit);
}

void observe_left_out(const struct worker *worker, const struct flood_kind *kind, uint64_t count) {
    if (logsink_is_off(worker->audit))
        return;
    struct jsonw json;
    line_begin(&json, "lines_left_out", clock_wall_us());
    jsonw_str(&json, "of", kind->event);
    jsonw_str(&json, "reason", reason_code(kind->reason));
    if (kind->detail)
        jsonw_str(&json, "limit", kind->detail);
    jsonw_int(&json, "count", (int64_t)count);
    line_end(&json, worker->audit);
}

void observe_event(struct logsink *audit, const char *event, const char *result, const char *detail,
                   uint64_t generation) {
    if (!audit || logsink_is_off(audit))
        return;
    struct jsonw json;
    line_begin(&json, event, clock_wall_us());
    jsonw_str(&json, "result", result);
    if (detail && *detail)
        jsonw_str(&json, "detail", detail);
    jsonw_int(&json, "generation", (int64_t)generation);
    line_end(&json, audit);
}

static void put_crl(struct jsonw *json, const struct crl *crl) {
    char when[CLOCK_TEXT_SIZE], number[2 * CRL_NUMBER_SHOWN + 1];
    jsonw_str(json, "issuer", crl_issuer_text(crl));
    if (crl_has_number(crl) && crl_number(crl).len <= CRL_NUMBER_SHOWN)
        jsonw_str(json, "number", hex_upper(crl_number(crl).ptr, crl_number(crl).len, number));
    else
        jsonw_null(json, "number");
    jsonw_str(json, "this_update", clock_format(crl_this_update(crl), when));
    if (crl_next_update(crl) != 0)
        jsonw_str(json, "next_update", clock_format(crl_next_update(crl), when));
    else
        jsonw_null(json, "next_update");
    jsonw_int(json, "entries", (int64_t)crl_count(crl));
}

void observe_crl(struct logsink *audit, const struct crl_news *news, const char *result, uint64_t generation) {
    if (!audit || logsink_is_off(audit))
        return;
    struct jsonw json;
    line_begin(&json, "crl", clock_wall_us());
    jsonw_str(&json, "result", result);
    jsonw_str(&json, "ca_bundle", news->bundle);
    jsonw_str(&json, "file", news->path);
    if (news->crl)
        put_crl(&json, news->crl);
    if (*news->detail)
        jsonw_str(&json, "detail", news->detail);
    jsonw_int(&json, "generation", (int64_t)generation);
    line_end(&json, audit);
}
