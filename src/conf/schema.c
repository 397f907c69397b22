/*
 * schema: the rows. See schema_priv.h for what each column means. A new key is a row here, a member of a struct in
 * conf/conf.h, and a test.
 */
#include "schema_priv.h"

#include <stddef.h>

#include "value_priv.h"

#define MS 1
#define SECONDS (1000 * MS)
#define MINUTES (60 * SECONDS)
#define HOURS (60 * MINUTES)
#define DAYS ((int64_t)24 * HOURS)
#define KIB ((int64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

#define NAME_MAX_BYTES 350
#define ROW(type, member, ...) \
    { .offset = offsetof(struct type, member), __VA_ARGS__ }
#define LATER(name_, doc_, ...) \
    { .name = (name_), .type = FIELD_LATER, .doc = (doc_), ##__VA_ARGS__ }
#define END \
    { .name = NULL }

/* clang-format off */

static const struct choice log_levels[] = {{"debug", 0, false}, {"info", 0, false}, {"warning", 0, false}, {"error", 0, false}, {NULL, 0, false}};
static const struct choice log_targets[] = {{"stdout", 0, false}, {"stderr", 0, false}, {"off", 0, false}, {NULL, 0, false}};
static const struct choice tls_versions[] = {{"1.2", 0, false}, {"1.3", 0, false}, {NULL, 0, false}};
static const struct choice session_tickets[] = {{"stateful", CONF_SESSION_TICKETS_STATEFUL, false}, {"stateless", CONF_SESSION_TICKETS_STATELESS, false},
                                                {NULL, 0, false}};
static const struct choice ekus[] = {{"client_auth", CONF_EKU_CLIENT_AUTH, false}, {"any", CONF_EKU_ANY, false}, {NULL, 0, false}};
static const struct choice crl_requires[] = {{"if_present", CONF_CRL_IF_PRESENT, false}, {"leaf", CONF_CRL_LEAF, false},
    {"chain", CONF_CRL_CHAIN, false}, {NULL, 0, false}};
static const struct choice ocsps[] = {{"off", CONF_OCSP_OFF, false}, {"leaf", CONF_OCSP_LEAF, false}, {"chain", CONF_OCSP_CHAIN, false}, {NULL, 0, false}};
static const struct choice unavailables[] = {{"deny", CONF_UNAVAILABLE_DENY, false}, {"allow", CONF_UNAVAILABLE_ALLOW, false}, {NULL, 0, false}};
static const struct choice certificate_modes[] = {{"off", CONF_CLIENT_CERTIFICATE_OFF, false}, {"request", CONF_CLIENT_CERTIFICATE_REQUEST, false},
    {"require", CONF_CLIENT_CERTIFICATE_REQUIRE, false}, {NULL, 0, false}};
static const struct choice forwardings[] = {{"off", CONF_FORWARDING_OFF, false}, {"first_request", CONF_FORWARDING_FIRST_REQUEST, false},
    {"every_request", CONF_FORWARDING_EVERY_REQUEST, false}, {NULL, 0, false}};
static const struct choice dialects[] = {{"cf", CONF_DIALECT_CF, false}, {"rfc9440", CONF_DIALECT_RFC9440, false},
    {"cf_cert", CONF_DIALECT_CF_CERT, false}, {"xfcc", CONF_DIALECT_XFCC, false}, {"nginx", CONF_DIALECT_NGINX, false},
    {"traefik", CONF_DIALECT_TRAEFIK, false}, {"aws", CONF_DIALECT_AWS, false}, {NULL, 0, false}};
static const struct choice explains[] = {{"full", CONF_EXPLAIN_FULL, false}, {"code", CONF_EXPLAIN_CODE, false}, {"off", CONF_EXPLAIN_OFF, false},
    {NULL, 0, false}};
static const struct choice decisions[] = {{"service_auth", CONF_SERVICE_AUTH, false}, {"allow", CONF_ALLOW, false}, {"block", CONF_BLOCK, false},
    {"bypass", CONF_BYPASS, false}, {NULL, 0, false}};
static const struct choice token_algorithms[] = {{"RS256", CONF_RS256, false}, {"ES256", CONF_ES256, false}, {NULL, 0, false}};
static const struct choice same_sites[] = {{"none", CONF_SAME_SITE_NONE, false}, {"lax", CONF_SAME_SITE_LAX, false},
    {"strict", CONF_SAME_SITE_STRICT, false}, {NULL, 0, false}};
static const struct choice assertions[] = {{"best_effort", CONF_ASSERTION_BEST_EFFORT, false}, {"required", CONF_ASSERTION_REQUIRED, false}, {NULL, 0, false}};
static const struct choice expectations[] = {{"allow", CONF_EXPECT_ALLOW, false}, {"deny", CONF_EXPECT_DENY, false}, {NULL, 0, false}};

const struct choice schema_forms[] = {{"any_of", CONF_MATCH_ANY_OF, false}, {"wildcard", CONF_MATCH_WILDCARD, false},
    {"regex", CONF_MATCH_REGEX, true}, {"ignore_case", CONF_MATCH_IGNORE_CASE, false}, {NULL, 0, false}};

static const struct field listener_fields[] = {
    ROW(conf_listener, address, .name = "address", .type = FIELD_ADDRESS, .is_required = true,
        .doc = "Where to listen: `host:port`, `[::]:port`, `*:port`.", .example = "127.0.0.1:8443"),
    LATER("proxy_protocol", "PROXY protocol, versions 1 and 2, believed from the sources in `trust`.", .fallback = "off",
          .example = "{trust: [10.0.0.0/8]}"),
    LATER("trusted_forwarders", "Whose X-Forwarded-For is believed.", .fallback = "[]", .example = "[10.0.0.0/8]"),
    ROW(conf_listener, no_sni, .name = "no_sni", .type = FIELD_TEXT, .max = 254,
        .doc = "The hostname of a client that names none (old devices). Without it such a client is refused.", .example = "iot.example.test"),
    END};
static const struct object_type listener_type = {"listener", "listeners", sizeof(struct conf_listener), true, NULL, listener_fields};

static const struct field log_fields[] = {
    ROW(conf_log, level, .name = "level", .type = FIELD_TEXT, .choices = log_levels, .fallback = "info", .doc = "The least level of the error log."),
    ROW(conf_log, file, .name = "file", .type = FIELD_TARGET, .choices = log_targets, .fallback = "stderr", .doc = "Where the error log goes."),
    ROW(conf_log, access, .name = "access", .type = FIELD_TARGET, .choices = log_targets, .fallback = "stdout",
        .doc = "Where the access log goes: one JSON object a request."),
    ROW(conf_log, audit, .name = "audit", .type = FIELD_TARGET, .choices = log_targets, .fallback = "stdout",
        .doc = "Where the audit log goes: denials, refused handshakes, reloads, CRL changes."),
    END};
static const struct object_type log_type = {"log", "logs", sizeof(struct conf_log), false, NULL, log_fields};

static const struct field admin_fields[] = {
    ROW(conf_admin, address, .name = "address", .type = FIELD_ADDRESS,
        .doc = "Where metrics and health are served: `unix:PATH`, or `host:port` together with `token_file`. Without it they are not.",
        .example = "unix:../run/admin.sock"),
    ROW(conf_admin, token_file, .name = "token_file", .type = FIELD_FILE, .is_secret = true,
        .doc = "A file with the bearer token that TCP clients of the admin address must show.", .example = "../run/admin-token"),
    END};
static const struct object_type admin_type = {"admin", "admins", sizeof(struct conf_admin), false, NULL, admin_fields};

static const struct field tls_fields[] = {
    ROW(conf_tls, min_version, .name = "min_version", .type = FIELD_TEXT, .choices = tls_versions, .fallback = "1.2", .doc = "The oldest TLS version."),
    ROW(conf_tls, session_timeout_ms, .name = "session_timeout", .type = FIELD_DURATION, .min = 0, .max = 7 * DAYS, .fallback = "8h",
        .doc = "How long after its full handshake a session may be resumed; 0: never."),
    ROW(conf_tls, session_tickets, .name = "session_tickets", .type = FIELD_ENUM, .choices = session_tickets, .fallback = "stateful",
        .doc = "Where TLS 1.3 sessions are: `stateful`: in memory that all workers share (32 MiB at most, the oldest go), which makes resumption cheap; `stateless`: in the client's ticket, sealed. TLS 1.2 sessions are always in the ticket."),
    ROW(conf_tls, ciphers, .name = "ciphers", .type = FIELD_TEXT, .fallback = "secure",
        .doc = "`secure`: ECDHE with AEAD; or an OpenSSL list for TLS 1.2."),
    ROW(conf_tls, groups, .name = "groups", .type = FIELD_TEXT, .fallback = "X25519:P-256:P-384:P-521", .doc = "Key exchange groups, in order of preference."),
    END};
static const struct object_type tls_type = {"tls", "tls", sizeof(struct conf_tls), false, NULL, tls_fields};

static const struct field limits_fields[] = {
    ROW(conf_limits, max_connections, .name = "max_connections", .type = FIELD_INT, .min = 0, .max = 10000000, .fallback = "100000",
        .doc = "Client connections at a time; 0: no limit."),
    ROW(conf_limits, connections_per_ip, .name = "connections_per_ip", .type = FIELD_INT, .min = 0, .max = 10000000, .fallback = "0",
        .doc = "Client connections of one address; 0: no limit."),
    ROW(conf_limits, concurrent_handshakes, .name = "concurrent_handshakes", .type = FIELD_INT, .min = 0, .max = 10000000, .fallback = "0",
        .doc = "Client connections whose TLS handshake is not over; 0: 1024 for each worker. At the limit the oldest that sent no ClientHello makes room."),
    ROW(conf_limits, handshake_timeout_ms, .name = "handshake_timeout", .type = FIELD_DURATION, .min = 0, .max = HOURS, .fallback = "10s",
        .doc = "From accept to the end of the TLS handshake; 0: no limit."),
    ROW(conf_limits, header_timeout_ms, .name = "header_timeout", .type = FIELD_DURATION, .min = 0, .max = HOURS, .fallback = "10s",
        .doc = "From the first byte of a request head to its last; 0: no limit."),
    ROW(conf_limits, idle_timeout_ms, .name = "idle_timeout", .type = FIELD_DURATION, .min = 0, .max = 7 * DAYS, .fallback = "75s",
        .doc = "Silence between requests, and of a request or response body; 0: no limit."),
    ROW(conf_limits, header_size, .name = "header_size", .type = FIELD_SIZE, .min = KIB, .max = MIB, .is_zero_max = true, .fallback = "32KiB",
        .doc = "Size of a request head, and of its trailers; 0: the most there is."),
    ROW(conf_limits, certificate_chain_size, .name = "certificate_chain_size", .type = FIELD_SIZE, .min = KIB, .max = MIB, .is_zero_max = true,
        .fallback = "32KiB", .doc = "Size of the certificates that a client presents; 0: the most there is."),
    ROW(conf_limits, body_size, .name = "body_size", .type = FIELD_SIZE, .min = 0, .max = 1024 * TIB, .fallback = "0",
        .doc = "Size of a request body; 0: no limit."),
    ROW(conf_limits, body_rate, .name = "body_rate", .type = FIELD_SIZE, .min = 0, .max = TIB, .fallback = "0",
        .doc = "Bytes a second that a request body must bring on average, once idle_timeout has gone by. Only time in which the client was waited for "
               "counts; 0: no minimum, for streams that may rest, such as gRPC's."),
    END};
static const struct object_type limits_type = {"limits", "limits", sizeof(struct conf_limits), false, NULL, limits_fields};

static const struct field fetch_fields[] = {
    ROW(conf_fetch, private_networks, .name = "private_networks", .type = FIELD_TEXTS, .is_one_or_list = true, .max = 1000,
        .doc = "Addresses and blocks that may be connected to although they are not public (loopback, private, link-local...).",
        .example = "[10.20.0.0/16]"),
    ROW(conf_fetch, redirect_hosts, .name = "redirect_hosts", .type = FIELD_TEXTS, .is_one_or_list = true, .max = 1000,
        .doc = "Hosts to which a redirect may lead, besides the one that was asked; `*`: any. Never from https to http.",
        .example = "[cdn.example.test]"),
    ROW(conf_fetch, redirects, .name = "redirects", .type = FIELD_INT, .max = 20, .fallback = "3", .doc = "So many redirects are followed; 0: none."),
    ROW(conf_fetch, ca_file, .name = "ca_file", .type = FIELD_FILE,
        .doc = "PEM: the CAs that may vouch for https servers. Default: those of the system.", .example = "/etc/ssl/internal-ca.pem"),
    ROW(conf_fetch, connect_timeout_ms, .name = "connect_timeout", .type = FIELD_DURATION, .min = MS, .max = HOURS, .fallback = "10s",
        .doc = "For a connection to stand."),
    ROW(conf_fetch, timeout_ms, .name = "timeout", .type = FIELD_DURATION, .min = MS, .max = HOURS, .fallback = "60s",
        .doc = "For the whole of it, redirects included."),
    END};
static const struct object_type fetch_type = {"fetch", "fetches", sizeof(struct conf_fetch), false, NULL, fetch_fields};

static const struct field webhook_fields[] = {
    ROW(conf_webhook, name, .name = "name", .type = FIELD_TEXT, .max = NAME_MAX_BYTES, .doc = "Goes into the payload. Default: `sallyport`.", .example = "on call"),
    ROW(conf_webhook, url, .name = "url", .type = FIELD_TEXT, .is_required = true, .max = 2048,
        .doc = "Where alerts are posted, as JSON in Cloudflare's generic form. An address that is not public needs its network in `fetch.private_networks`.",
        .example = "https://alerts.example.test/hook"),
    ROW(conf_webhook, secret_file, .name = "secret_file", .type = FIELD_FILE, .is_secret = true,
        .doc = "A file with the secret that goes along as `cf-webhook-auth`.", .example = "../run/hook-secret"),
    END};
static const struct object_type webhook_type = {"webhook", "webhooks", sizeof(struct conf_webhook), true, NULL, webhook_fields};

static const struct field alerts_fields[] = {
    ROW(conf_alerts, webhooks, .name = "webhooks", .type = FIELD_OBJECTS, .max = 100, .object = &webhook_type,
        .doc = "Told 30 and 14 days before a CA, a server certificate or a CRL expires, and when it has."),
    END};
static const struct object_type alerts_type = {"alerts", "alerts", sizeof(struct conf_alerts), false, NULL, alerts_fields};

static const struct field crl_fields[] = {
    ROW(conf_crl, files, .name = "files", .type = FIELD_FILES, .is_one_or_list = true, .is_local = true, .max = 10000, .doc = "Revocation lists, DER or PEM.", .example = "[../certs/devices.crl]"),
    ROW(conf_crl, directory, .name = "directory", .type = FIELD_FILE,
        .doc = "Every revocation list of a directory. Names that begin with a dot are left out, and so are directories in it.", .example = "../certs/crls"),
    ROW(conf_crl, urls, .name = "urls", .type = FIELD_TEXTS, .is_one_or_list = true, .max = 1000,
        .doc = "Revocation lists fetched in the background, DER or PEM. The last good one is kept in `state_dir`.", .example = "[\"http://crl.example.test/devices.crl\"]"),
    ROW(conf_crl, fetch_interval_ms, .name = "fetch_interval", .type = FIELD_DURATION, .min = SECONDS, .max = 30 * DAYS, .fallback = "1h",
        .doc = "How often `urls` are asked, and sooner before a list's nextUpdate; a failure is retried after 5s, then ever later."),
    ROW(conf_crl, fetch_size, .name = "fetch_size", .type = FIELD_SIZE, .min = 1, .max = 4294967296, .fallback = "64MiB", .doc = "The most that a list may be."),
    ROW(conf_crl, accept_older, .name = "accept_older", .type = FIELD_BOOL, .fallback = "false",
        .doc = "true: an older list may replace a newer one of its CA. For a CA that was set back; to be taken out again."),
    ROW(conf_crl, lists, .name = "lists", .type = FIELD_FILES, .is_internal = true, .max = 30000, .doc = "Where the lists in force come from."),
    ROW(conf_crl, require, .name = "require", .type = FIELD_ENUM, .choices = crl_requires, .fallback = "if_present",
        .doc = "Which CAs of a chain must have a revocation list: those for which one is loaded, the issuer of the leaf, every one."),
    ROW(conf_crl, on_expired, .name = "on_expired", .type = FIELD_ON_EXPIRED, .min = SECONDS, .max = 3650 * DAYS, .fallback = "deny",
        .doc = "What a list past its nextUpdate means: `deny`, `allow`, or `grace 24h`: deny once that much time has passed."),
    END};
static const struct object_type crl_type = {"crl", "crls", sizeof(struct conf_crl), false, NULL, crl_fields};

static const struct field ca_bundle_fields[] = {
    ROW(conf_ca_bundle, name, .name = "name", .type = FIELD_TEXT, .is_required = true, .max = NAME_MAX_BYTES, .doc = "What rules and messages call it.",
        .example = "devices"),
    ROW(conf_ca_bundle, file, .name = "file", .type = FIELD_FILE, .is_required = true, .doc = "PEM: the root, with intermediates if any.",
        .example = "../certs/devices-ca.pem"),
    ROW(conf_ca_bundle, associated_hostnames, .name = "associated_hostnames", .type = FIELD_TEXTS, .is_one_or_list = true, .max = 1000000,
        .doc = "The hostnames for which this bundle may vouch; each equals a `hostnames` entry.", .example = "[iot.example.test]"),
    ROW(conf_ca_bundle, extended_key_usage, .name = "extended_key_usage", .type = FIELD_ENUM, .choices = ekus, .fallback = "client_auth",
        .doc = "What a certificate must be good for."),
    ROW(conf_ca_bundle, partial_chain, .name = "partial_chain", .type = FIELD_BOOL, .fallback = "false",
        .doc = "true: an intermediate in the file is an anchor by itself."),
    ROW(conf_ca_bundle, allow_sha1, .name = "allow_sha1", .type = FIELD_BOOL, .fallback = "false", .doc = "true: signatures with SHA-1 count. Warned about."),
    ROW(conf_ca_bundle, crl, .name = "crl", .type = FIELD_OBJECT, .object = &crl_type, .doc = "Revocation."),
    ROW(conf_ca_bundle, ocsp, .name = "ocsp", .type = FIELD_ENUM, .choices = ocsps, .fallback = "off",
        .doc = "Whether responders are asked (OCSP) about client certificates that verify: never, about the leaf, about all but the anchor."),
    ROW(conf_ca_bundle, on_unavailable, .name = "on_unavailable", .type = FIELD_ENUM, .choices = unavailables, .fallback = "deny",
        .doc = "What it means when no responder answers in time."),
    ROW(conf_ca_bundle, ocsp_url, .name = "ocsp_url", .type = FIELD_TEXT, .max = 2048,
        .doc = "The responder. Default: the one that the certificate itself names.", .example = "http://ocsp.example.test"),
    END};
static const struct object_type ca_bundle_type = {"CA bundle", "CA bundles", sizeof(struct conf_ca_bundle), true, NULL, ca_bundle_fields};

static const struct field hostname_fields[] = {
    ROW(conf_hostname, name, .name = "name", .type = FIELD_TEXT, .is_required = true, .max = 256,
        .doc = "Exact, or `*.example.test` (one label).", .example = "iot.example.test"),
    ROW(conf_hostname, certificates, .name = "certificate", .type = FIELD_FILES, .is_required = true, .is_one_or_list = true, .min = 1, .max = 3,
        .doc = "PEM: the chain, leaf first. A list: one for each key type (RSA and ECDSA side by side).", .example = "../certs/iot.pem"),
    ROW(conf_hostname, private_keys, .name = "private_key", .type = FIELD_FILES, .is_required = true, .is_one_or_list = true, .min = 1, .max = 3,
        .is_secret = true, .doc = "PEM, not encrypted; as many as there are certificates, in their order.", .example = "../certs/iot-key.pem"),
    ROW(conf_hostname, client_certificate, .name = "client_certificate", .type = FIELD_ENUM, .choices = certificate_modes, .is_computed = true,
        .doc = "Whether the handshake asks for a client certificate. Default: `request` when a CA bundle is associated, else `off`.", .example = "request"),
    ROW(conf_hostname, client_certificate_forwarding, .name = "client_certificate_forwarding", .type = FIELD_ENUM, .choices = forwardings,
        .fallback = "every_request", .doc = "On which requests of a connection the certificate's headers go upstream."),
    ROW(conf_hostname, forward_headers, .name = "forward_headers", .type = FIELD_TEXTS, .is_one_or_list = true, .choices = dialects, .fallback = "cf",
        .doc = "The dialects of headers in which the upstream gets the certificate."),
    ROW(conf_hostname, request_headers, .name = "request_headers", .type = FIELD_HEADERS, .max = 100,
        .doc = "Headers for the upstream: name to template, or to `{operation: remove}`. The client's own of these names are removed in any case.",
        .example = "{X-CERT-SUBJECT-DN: \"{cert_subject_dn}\"}"),
    ROW(conf_hostname, response_headers, .name = "response_headers", .type = FIELD_HEADERS, .max = 100,
        .doc = "The same for the client, in the place of the upstream's.", .example = "{Server: {operation: remove}}"),
    ROW(conf_hostname, upstream, .name = "upstream", .type = FIELD_TEXT, .is_required = true,
        .doc = "A name in `upstreams`, or `http://host:port`, or `builtin:whoami`.", .example = "telemetry"),
    ROW(conf_hostname, public, .name = "public", .type = FIELD_BOOL, .fallback = "false",
        .doc = "true: open to everyone where neither a CA bundle nor an application covers the path."),
    ROW(conf_hostname, explain_denials, .name = "explain_denials", .type = FIELD_ENUM, .choices = explains, .fallback = "full",
        .doc = "How much a denied client is told: the reason with facts and a hint, the reason code, or nothing."),
    END};
static const struct object_type hostname_type = {"hostname", "hostnames", sizeof(struct conf_hostname), true, NULL, hostname_fields};

#define RULE_LISTS(owner) \
    ROW(owner, include, .name = "include", .type = FIELD_RULES, .doc = "Any of these must match.", .example = "[{certificate: {}}]"), \
    ROW(owner, require, .name = "require", .type = FIELD_RULES, .doc = "All of these must match.", .example = "[{ca_bundle: devices}]"), \
    ROW(owner, exclude, .name = "exclude", .type = FIELD_RULES, .doc = "None of these may match.", .example = "[{common_name: lost-sensor-17}]")

static const struct field tokens_fields[] = {
    ROW(conf_tokens, issuer, .name = "issuer", .type = FIELD_TEXT, .max = 512,
        .doc = "`iss` of every token; its keys are at `<issuer>/cdn-cgi/access/certs`. Default: `https://` and the hostname of the request.",
        .example = "https://access.example.test"),
    ROW(conf_tokens, algorithm, .name = "algorithm", .type = FIELD_ENUM, .choices = token_algorithms, .fallback = "RS256",
        .doc = "How tokens are signed. ES256 is shorter and costs less."),
    ROW(conf_tokens, key_rotation_ms, .name = "key_rotation", .type = FIELD_DURATION, .min = SECONDS, .max = 3650 * DAYS, .fallback = "1008h",
        .doc = "How long a key signs; 1008h are six weeks."),
    ROW(conf_tokens, key_overlap_ms, .name = "key_overlap", .type = FIELD_DURATION, .min = SECONDS, .max = 3650 * DAYS, .fallback = "168h",
        .doc = "How long a key is published before it signs (at most half of `key_rotation`) and after; no token is valid for longer."),
    END};
static const struct object_type tokens_type = {"tokens", "tokens", sizeof(struct conf_tokens), false, NULL, tokens_fields};

static const struct field policy_fields[] = {
    ROW(conf_policy, name, .name = "name", .type = FIELD_TEXT, .is_required = true, .max = NAME_MAX_BYTES, .doc = "For logs and traces.",
        .example = "enrolled devices"),
    ROW(conf_policy, decision, .name = "decision", .type = FIELD_ENUM, .is_required = true, .choices = decisions,
        .doc = "What follows when the rules match.", .example = "service_auth"),
    RULE_LISTS(conf_policy),
    ROW(conf_policy, session_duration_ms, .name = "session_duration", .type = FIELD_DURATION, .min = 0, .max = 31 * DAYS, .is_computed = true,
        .doc = "How long a token that this policy led to is valid. Default: that of the application.", .example = "1h"),
    ROW(conf_policy, report_only, .name = "report_only", .type = FIELD_BOOL, .fallback = "false", .doc = "true: log what it would have decided, decide nothing."),
    END};
static const struct object_type policy_type = {"policy", "policies", sizeof(struct conf_policy), true, NULL, policy_fields};

static const struct field application_fields[] = {
    ROW(conf_application, name, .name = "name", .type = FIELD_TEXT, .is_required = true, .max = NAME_MAX_BYTES, .doc = "For logs; its audience tag is made from it.",
        .example = "telemetry"),
    ROW(conf_application, domain, .name = "domain", .type = FIELD_TEXT, .is_required = true, .max = 2048,
        .doc = "Host and path. The most specific application of a request decides, nothing is inherited.", .example = "iot.example.test/v1"),
    ROW(conf_application, service_auth_401_redirect, .name = "service_auth_401_redirect", .type = FIELD_BOOL, .fallback = "false",
        .doc = "true: a denial is 401 and not 403."),
    ROW(conf_application, policies, .name = "policies", .type = FIELD_OBJECTS, .object = &policy_type,
        .doc = "`bypass` and `service_auth` run first, in order, then `allow` and `block`, in order; the first that matches decides; none: denied."),
    ROW(conf_application, aud, .name = "aud", .type = FIELD_TEXT, .max = 64,
        .doc = "The audience tag: 64 hex digits. Default: SHA-256 of the name.", .example = "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2"),
    ROW(conf_application, session_duration_ms, .name = "session_duration", .type = FIELD_DURATION, .min = 0, .max = 31 * DAYS, .fallback = "24h",
        .doc = "How long a token of this application is valid, though never longer than the certificate. 0: no cookie, and a minute for the origin."),
    ROW(conf_application, certificate_session, .name = "certificate_session", .type = FIELD_BOOL, .fallback = "false",
        .doc = "true: after one request with a certificate the cookie stands in for it, until it expires."),
    ROW(conf_application, assertion, .name = "assertion", .type = FIELD_ENUM, .choices = assertions, .fallback = "best_effort",
        .doc = "When no token can be signed within 500 ms: `best_effort` forwards without one, `required` answers 503."),
    ROW(conf_application, options_preflight_bypass, .name = "options_preflight_bypass", .type = FIELD_BOOL, .fallback = "false",
        .doc = "true: CORS preflights (OPTIONS with Origin and Access-Control-Request-Method), which browsers send without a certificate, pass unjudged; not with a body or an upgrade."),
    ROW(conf_application, custom_deny_message, .name = "custom_deny_message", .type = FIELD_TEXT, .max = 1024,
        .doc = "What a denied client reads first, on the page, in JSON and in text.", .example = "Ask the help desk for a device certificate."),
    ROW(conf_application, custom_non_identity_deny_url, .name = "custom_non_identity_deny_url", .type = FIELD_TEXT, .max = 2048,
        .doc = "Where a denied client is sent (302). With `service_auth_401_redirect` it is 401 all the same.", .example = "https://help.example.test/certificates"),
    LATER("custom_deny_url", "Where a client is sent whose login was denied. There is no login."),
    ROW(conf_application, http_only_cookie_attribute, .name = "http_only_cookie_attribute", .type = FIELD_BOOL, .fallback = "false",
        .doc = "true: scripts on the page cannot read the cookie."),
    ROW(conf_application, same_site_cookie_attribute, .name = "same_site_cookie_attribute", .type = FIELD_ENUM, .choices = same_sites, .fallback = "none",
        .doc = "When browsers send the cookie with requests that pages of other sites make."),
    ROW(conf_application, path_cookie_attribute, .name = "path_cookie_attribute", .type = FIELD_BOOL, .fallback = "false",
        .doc = "true: the cookie is for the application's path, up to a star, and not for the whole hostname."),
    LATER("enable_binding_cookie", "true: a second cookie binds the first."),
    END};
static const struct object_type application_type = {"application", "applications", sizeof(struct conf_application), true, NULL, application_fields};

static const struct field group_fields[] = {
    ROW(conf_group, name, .name = "name", .type = FIELD_TEXT, .is_required = true, .max = NAME_MAX_BYTES, .doc = "What `group` rules call it.", .example = "laboratory"),
    RULE_LISTS(conf_group),
    END};
static const struct object_type group_type = {"group", "groups", sizeof(struct conf_group), true, NULL, group_fields};

static const struct field server_fields[] = {
    ROW(conf_server, address, .name = "address", .type = FIELD_TEXT, .is_required = true, .max = 300, .doc = "`host:port`, or `builtin:whoami`.",
        .example = "127.0.0.1:3000"),
    ROW(conf_server, weight, .name = "weight", .type = FIELD_INT, .min = 1, .max = 1000, .fallback = "1", .doc = "Its share of the requests."),
    ROW(conf_server, resolved, .name = "resolved", .type = FIELD_TEXTS, .is_internal = true, .doc = "The addresses that the name stands for."),
    END};
const struct object_type schema_server = {"server", "servers", sizeof(struct conf_server), true, "address", server_fields};

static const struct field upstream_fields[] = {
    ROW(conf_upstream, name, .name = "name", .type = FIELD_TEXT, .is_required = true, .max = NAME_MAX_BYTES, .doc = "What hostnames call it.", .example = "telemetry"),
    ROW(conf_upstream, servers, .name = "servers", .type = FIELD_OBJECTS, .is_required = true, .min = 1, .max = 1000, .object = &schema_server,
        .doc = "Requests go to them in turn, by weight.", .example = "[{address: 127.0.0.1:3000, weight: 1}]"),
    ROW(conf_upstream, connect_timeout_ms, .name = "connect_timeout", .type = FIELD_DURATION, .min = 0, .max = HOURS, .fallback = "5s",
        .doc = "For a connection to stand; 0: no limit."),
    ROW(conf_upstream, read_timeout_ms, .name = "read_timeout", .type = FIELD_DURATION, .min = 0, .max = 7 * DAYS, .fallback = "60s",
        .doc = "Longest silence of an upstream that owes us bytes; 0: no limit."),
    ROW(conf_upstream, pool_size, .name = "pool_size", .type = FIELD_INT, .min = 0, .max = 100000, .fallback = "128",
        .doc = "Idle connections kept for each server; 0: none."),
    ROW(conf_upstream, pool_idle_ms, .name = "pool_idle_timeout", .type = FIELD_DURATION, .min = 0, .max = 7 * DAYS, .fallback = "60s",
        .doc = "How long an idle connection is kept; 0: no limit."),
    LATER("balance", "How a server is chosen.", .fallback = "round_robin"),
    LATER("health", "Health checks."),
    LATER("health_check", "Health checks."),
    LATER("tls", "TLS to the upstream, with its own client certificate."),
    LATER("retries", "Requests sent again to another server."),
    END};
const struct object_type schema_upstream = {"upstream", "upstreams", sizeof(struct conf_upstream), true, NULL, upstream_fields};

static const struct field test_fields[] = {
    ROW(conf_test, url, .name = "url", .type = FIELD_TEXT, .is_required = true, .doc = "The request.", .example = "https://iot.example.test/v1/x"),
    ROW(conf_test, method, .name = "method", .type = FIELD_TEXT, .max = 64, .fallback = "GET", .doc = "Its method."),
    ROW(conf_test, ip, .name = "ip", .type = FIELD_TEXT, .max = 64, .fallback = "127.0.0.1", .doc = "The client's address."),
    ROW(conf_test, certificate, .name = "certificate", .type = FIELD_FILE, .doc = "PEM: the client's certificate, with its chain. Without it none is presented.",
        .example = "../certs/client.pem"),
    ROW(conf_test, expect, .name = "expect", .type = FIELD_ENUM, .is_required = true, .choices = expectations, .doc = "What must come out.", .example = "allow"),
    ROW(conf_test, reason, .name = "reason", .type = FIELD_TEXT, .max = 64, .doc = "With `deny`: the reason code that must come out.",
        .example = "certificate_missing"),
    END};
static const struct object_type test_type = {"test", "tests", sizeof(struct conf_test), true, NULL, test_fields};

static const struct field root_fields[] = {
    ROW(conf, workers, .name = "workers", .type = FIELD_INT, .min = 1, .max = 64, .zero_word = "auto", .fallback = "auto",
        .doc = "Worker processes; `auto`: as many as there are CPUs, 64 at most."),
    ROW(conf, user, .name = "user", .type = FIELD_TEXT, .max = 64,
        .doc = "The account that workers take on when started as root. Default: `sallyport` if there is such an account, else `nobody`.",
        .example = "sallyport"),
    ROW(conf, state_dir, .name = "state_dir", .type = FIELD_FILE,
        .doc = "A directory for what must outlive a restart. Made, for its owner alone, when something is kept. Default: systemd's `StateDirectory`, else `/var/lib/sallyport`; for another user than root `state` beside the file.",
        .example = "/var/lib/sallyport"),
    ROW(conf, shutdown_timeout_ms, .name = "shutdown_timeout", .type = FIELD_DURATION, .min = 0, .max = DAYS, .fallback = "10s",
        .doc = "How long requests may take to finish after TERM; 0: no limit. Idle connections close at once."),
    ROW(conf, listeners, .name = "listeners", .type = FIELD_OBJECTS, .is_required = true, .min = 1, .max = 1000, .object = &listener_type,
        .doc = "Where clients connect."),
    ROW(conf, log, .name = "log", .type = FIELD_OBJECT, .object = &log_type, .doc = "The three logs. A target is a path, `stdout`, `stderr` or `off`."),
    ROW(conf, admin, .name = "admin", .type = FIELD_OBJECT, .object = &admin_type, .doc = "Metrics and health."),
    ROW(conf, tls, .name = "tls", .type = FIELD_OBJECT, .object = &tls_type, .doc = "TLS with clients."),
    ROW(conf, limits, .name = "limits", .type = FIELD_OBJECT, .object = &limits_type, .doc = "What clients may take."),
    ROW(conf, fetch, .name = "fetch", .type = FIELD_OBJECT, .object = &fetch_type, .doc = "How others are asked: lists, OCSP, webhooks."),
    ROW(conf, tokens, .name = "tokens", .type = FIELD_OBJECT, .object = &tokens_type, .doc = "What origins are told about clients, signed."),
    ROW(conf, ca_bundles, .name = "ca_bundles", .type = FIELD_OBJECTS, .max = 100000, .object = &ca_bundle_type, .doc = "The CAs that may vouch for clients."),
    ROW(conf, hostnames, .name = "hostnames", .type = FIELD_OBJECTS, .is_required = true, .min = 1, .max = 1000000, .object = &hostname_type,
        .doc = "The names that are served. There is no default one."),
    ROW(conf, applications, .name = "applications", .type = FIELD_OBJECTS, .max = 1000000, .object = &application_type, .doc = "Who may go where."),
    ROW(conf, groups, .name = "groups", .type = FIELD_OBJECTS, .max = 100000, .object = &group_type, .doc = "Rules under a name, for `group` rules."),
    ROW(conf, upstreams, .name = "upstreams", .type = FIELD_OBJECTS, .max = 100000, .object = &schema_upstream, .doc = "Where requests go."),
    ROW(conf, alerts, .name = "alerts", .type = FIELD_OBJECT, .object = &alerts_type, .doc = "Who is told what expires."),
    ROW(conf, tests, .name = "tests", .type = FIELD_OBJECTS, .is_local = true, .max = 100000, .object = &test_type, .doc = "Run by `sallyport check`."),
    END};
const struct object_type schema_root = {"configuration", "configurations", sizeof(struct conf), false, NULL, root_fields};

const struct rule_type schema_rules[] = {
    [CONF_RULE_CERTIFICATE] = {"certificate", false, false, false, true, "A certificate that chains to a CA bundle of this hostname, in its dates, not revoked.", "{}"},
    [CONF_RULE_EVERYONE] = {"everyone", false, false, false, false, "Every request.", "{}"},
    [CONF_RULE_IP] = {"ip", true, true, false, false, "The client's address is this one or in this block.", "192.0.2.0/24"},
    [CONF_RULE_GROUP] = {"group", true, false, false, false, "The rules of this group match.", "laboratory"},
    [CONF_RULE_CA_BUNDLE] = {"ca_bundle", true, true, false, true, "This CA bundle vouches for the certificate.", "devices"},
    [CONF_RULE_METHOD] = {"method", true, true, false, false, "The request's method.", "GET"},
    [CONF_RULE_SERIAL_NUMBER] = {"serial_number", true, true, false, true, "The certificate's serial number, in hex, compared as a number.", "0A:3F"},
    [CONF_RULE_COMMON_NAME] = {"common_name", true, true, true, true, "The subject's common name.", "sensor-17"},
    [CONF_RULE_ISSUER_COMMON_NAME] = {"issuer_common_name", true, true, true, true, "The issuer's common name.", "Devices CA"},
    [CONF_RULE_ISSUER_SKI] = {"issuer_ski", true, true, true, true, "The issuer's key identifier, in hex.", "A1B2C3"},
    [CONF_RULE_ORGANIZATION] = {"organization", true, true, true, true, "An organization of the subject.", "Example"},
    [CONF_RULE_ORGANIZATIONAL_UNIT] = {"organizational_unit", true, true, true, true, "An organizational unit of the subject.", "Sensors"},
    [CONF_RULE_FINGERPRINT_SHA256] = {"fingerprint_sha256", true, true, true, true, "SHA-256 of the certificate, in hex.", "9f86d0..."},
    [CONF_RULE_SAN_DNS] = {"san_dns", true, true, true, true, "A DNS name of the subject.", "sensor-17.example.test"},
    [CONF_RULE_SAN_URI] = {"san_uri", true, true, true, true, "A URI of the subject (SPIFFE).", "spiffe://example.test/sensor/17"},
    [CONF_RULE_SAN_EMAIL] = {"san_email", true, true, true, true, "A mail address of the subject.", "ada@example.test"},
    [CONF_RULE_SAN_IP] = {"san_ip", true, true, true, true, "An IP address of the subject.", "192.0.2.17"},
    [CONF_RULE_EXTENDED_KEY_USAGE] = {"extended_key_usage", true, true, true, true, "An extended key usage (OID, client_auth, server_auth).", "1.3.6.1.5.5.7.3.2"},
    [CONF_RULE_CERTIFICATE_POLICY] = {"certificate_policy", true, true, true, true, "A certificate policy (OID).", "2.23.140.1.2.1"},
};

/* clang-format on */

unsigned conf_dialects(const conf_texts *names) {
    unsigned set = 0;
    for (size_t i = 0; i < names->count; i++) {
        for (const struct choice *dialect = dialects; dialect->name; dialect++) {
            if (strcmp(dialect->name, names->items[i].text) == 0)
                set |= (unsigned)dialect->value;
        }
    }
    return set;
}

const struct field *schema_find(const struct object_type *type, struct slice name) {
    for (const struct field *field = type->fields; field->name; field++) {
        if (slice_eq_str(name, field->name))
            return field;
    }
    return NULL;
}

/* Those that are supported: what is expected, not what is known. */
static void describe_choices(const struct choice *choices, struct sbuf *out) {
    const char *separator = "";
    for (const struct choice *choice = choices; choice->name; choice++) {
        const struct choice *following = choice + 1;
        while (following->name && following->is_later)
            following++;
        if (choice->is_later)
            continue;
        const char *before = following->name || !*separator ? separator : " or ";
        sbuf_printf(out, "%s%s", before, choice->name);
        separator = ", ";
    }
}

void schema_describe(const struct field *field, struct sbuf *out) {
    switch (field->type) {
    case FIELD_TEXT:
    case FIELD_ENUM:
        if (field->choices)
            describe_choices(field->choices, out);
        else
            sbuf_append_str(out, "text");
        break;
    case FIELD_TARGET:
        sbuf_append_str(out, "a path, stdout, stderr or off");
        break;
    case FIELD_ADDRESS:
        sbuf_append_str(out, "an address such as 127.0.0.1:8443");
        break;
    case FIELD_BOOL:
        sbuf_append_str(out, "true or false");
        break;
    case FIELD_INT:
        sbuf_append_str(out, field->zero_word ? field->zero_word : "");
        sbuf_append_str(out, field->zero_word ? " or a number" : "a number");
        break;
    case FIELD_DURATION:
        sbuf_append_str(out, "a duration such as 30s, 5m or 24h");
        break;
    case FIELD_SIZE:
        sbuf_append_str(out, "a size such as 16KiB or 1MiB");
        break;
    case FIELD_FILE:
        sbuf_append_str(out, "a path");
        break;
    case FIELD_TEXTS:
    case FIELD_FILES:
        sbuf_append_str(out, field->type == FIELD_FILES ? "a path" : field->choices ? "" : "a text");
        if (field->choices)
            describe_choices(field->choices, out);
        sbuf_append_str(out, field->is_one_or_list ? ", or a list of them" : " in a list");
        break;
    case FIELD_OBJECT:
        sbuf_append_str(out, "an object");
        break;
    case FIELD_OBJECTS:
        sbuf_printf(out, "a list of %s", field->object->plural);
        break;
    case FIELD_RULES:
        sbuf_append_str(out, "a list of rules such as [{certificate: {}}]");
        break;
    case FIELD_HEADERS:
        sbuf_append_str(out, "a map of header names to templates");
        break;
    case FIELD_ON_EXPIRED:
        sbuf_append_str(out, "deny, allow or grace and a duration such as grace 24h");
        break;
    case FIELD_LATER:
        sbuf_append_str(out, "nothing");
        break;
    }
}
