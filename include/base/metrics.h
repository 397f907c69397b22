/*
 * metrics: counters, gauges and histograms, named once in this table, rendered as Prometheus text (version 0.0.4).
 * A row: constant, kind, name, label names (comma-separated, "" for none), help. A series comes into being with its
 * first use; a family holds at most METRIC_SERIES_MAX, what comes after that is counted under label values "other".
 * Labels are hostnames, reasons and the like, never anything a client can choose freely.
 */
#ifndef SALLYPORT_BASE_METRICS_H
#define SALLYPORT_BASE_METRICS_H

#include <stdint.h>

#include "base/sbuf.h"

#define METRIC_SERIES_MAX 20000

/* clang-format off */
#define METRICS(X) \
    X(REQUESTS, COUNTER, "sallyport_requests_total", "hostname,decision,reason,status", "Requests finished.") \
    X(REQUEST_SECONDS, HISTOGRAM, "sallyport_request_duration_seconds", "hostname", "From the request head to the end of the response.") \
    X(UPSTREAM_SECONDS, HISTOGRAM, "sallyport_upstream_duration_seconds", "upstream", "From the forwarded head to the upstream's response head.") \
    X(HANDSHAKES, COUNTER, "sallyport_handshakes_total", "hostname,result,resumed", "TLS handshakes; result is ok or a reason code.") \
    X(HANDSHAKE_SECONDS, HISTOGRAM, "sallyport_handshake_duration_seconds", "resumed", "From accept to the end of the handshake.") \
    X(CONNECTIONS, GAUGE, "sallyport_connections", "state", "Client connections: handshake, active, idle, tunnel.") \
    X(CONNECTIONS_TOTAL, COUNTER, "sallyport_connections_total", "listener", "Client connections accepted.") \
    X(CONNECTIONS_REFUSED, COUNTER, "sallyport_connections_refused_total", "reason,limit", "Client connections closed at accept; limit is the key under limits.") \
    X(ACCEPT_PAUSED, GAUGE, "sallyport_accept_paused", "listener", "1 while accepting pauses because descriptors ran out.") \
    X(ACCEPT_PAUSES, COUNTER, "sallyport_accept_pauses_total", "listener", "Times that accepting paused because descriptors ran out.") \
    X(UPSTREAM_REQUESTS, COUNTER, "sallyport_upstream_requests_total", "upstream,result", "Requests forwarded; result is ok or a reason code.") \
    X(UPSTREAM_CONNECTIONS, COUNTER, "sallyport_upstream_connections_total", "upstream", "Connections opened to upstreams.") \
    X(UPSTREAM_IDLE, GAUGE, "sallyport_upstream_idle_connections", "upstream", "Pooled connections at rest.") \
    X(UPSTREAM_RETRIES, COUNTER, "sallyport_upstream_retries_total", "upstream", "Requests sent again after a pooled connection turned out stale.") \
    X(BYTES_IN, COUNTER, "sallyport_client_bytes_received_total", "hostname", "Body bytes received from clients.") \
    X(BYTES_OUT, COUNTER, "sallyport_client_bytes_sent_total", "hostname", "Body bytes sent to clients.") \
    X(LOG_DROPPED, COUNTER, "sallyport_log_lines_dropped_total", "log", "Log lines lost to a full disk or a slow reader.") \
    X(CERTIFICATE_NOT_AFTER, GAUGE, "sallyport_certificate_not_after_seconds", "kind,name", "When the certificate expires, Unix time; kind is server or ca.") \
    X(CRL_NEXT_UPDATE, GAUGE, "sallyport_crl_next_update_seconds", "ca_bundle", "Earliest nextUpdate of the bundle's CRLs, Unix time.") \
    X(CRL_ENTRIES, GAUGE, "sallyport_crl_entries", "ca_bundle", "Revoked certificates on the bundle's CRLs.") \
    X(CRL_REFRESH, COUNTER, "sallyport_crl_refresh_total", "ca_bundle,result", "CRL files read after a change: ok, unchanged, older or unusable.") \
    X(OCSP, COUNTER, "sallyport_ocsp_answers_total", "result", "Answers of OCSP responders: good, revoked, unknown or failed.") \
    X(ALERTS, COUNTER, "sallyport_alerts_total", "alert_type,result", "Alerts posted to webhooks: sent, retried or failed.") \
    X(CRL_FETCH, COUNTER, "sallyport_crl_fetch_total", "ca_bundle,result", "CRLs asked for: ok, unchanged, refused (not usable, or older) or failed.") \
    X(CRL_FETCH_SUCCESS, GAUGE, "sallyport_crl_fetch_success_seconds", "ca_bundle,source", "When the URL last gave its list, or said that it is the newest, Unix time; 0: never.") \
    X(CRL_SOURCE_UP, GAUGE, "sallyport_crl_source_up", "ca_bundle,source", "1: the last look at this source of CRLs found nothing wrong.") \
    X(CRL_LIFE_USED, GAUGE, "sallyport_crl_life_used_percent", "ca_bundle", "How much of the life of the bundle's oldest CRL is over: 0, 50, 80, 95, or 100 when it has expired.") \
    X(TOKENS, COUNTER, "sallyport_tokens_total", "result", "Tokens that workers asked for: signed or refused.") \
    X(ASSERTIONS_MISSING, COUNTER, "sallyport_assertions_missing_total", "hostname", "Requests for which no token was there in time.") \
    X(COOKIES_TOO_LARGE, COUNTER, "sallyport_cookies_too_large_total", "application", "Tokens not given to clients, because browsers drop such long cookies.") \
    X(RELOADS, COUNTER, "sallyport_reloads_total", "result", "Reloads: ok or failed.") \
    X(GENERATION, GAUGE, "sallyport_generation", "", "Generation of the configuration in force.") \
    X(RELOAD_SUCCESS, GAUGE, "sallyport_last_reload_successful", "", "1 if the last reload took effect.") \
    X(INFO, GAUGE, "sallyport_info", "version,openssl", "Always 1.")
/* clang-format on */

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

enum metric {
#define X(name, kind, text, labels, help) METRIC_##name,
    METRICS(X)
#undef X
        METRIC_COUNT
};

/* The label values follow, as `const char *`, as many as the row has labels. */
void metric_add(enum metric metric, int64_t n, ...);
void metric_set(enum metric metric, int64_t value, ...);
/* Histogram: buckets from 0.5 ms to 60 s. */
void metric_observe(enum metric metric, double seconds, ...);
/* Removes all series of a family (gauges that are about to be set anew, after a reload). */
void metric_forget(enum metric metric);
int64_t metric_value(enum metric metric, ...);
void metrics_render(struct sbuf *out);

/* Shared memory: a worker keeps its series in a region of metrics_region_size() bytes (zeroed, base/memfd.h; a new one
 * for each process, also for a successor) that control maps read-only. Call before the first metric. */
size_t metrics_region_size(void);
void metrics_use_region(void *memory);
/* This process's series and those of the regions, summed by family and labels (gauges too: each process sets only what
 * is its own). A region's writer may be dead or lie: every bound is checked, nothing but the series it claims to have
 * can be wrong. */
void metrics_render_all(const void *const *regions, size_t count, struct sbuf *out);
/* Folds a dead process's counters and histograms (not gauges) into this process's own, so that counters never go back.
 */
void metrics_absorb(const void *region);

#endif
