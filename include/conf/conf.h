/*
 * conf: the configuration as values: what YAML, the resolved document and the schema table all describe. Below this
 * there are no "unset" values: every default is filled in. Everything lives in conf->arena.
 *
 *   file.yaml --conf_load--> struct conf --snapshot/resolve, which reads files--> resolved document (JSON)
 *   resolved document --document_read--> struct conf --snapshot_new--> snapshot
 */
#ifndef SALLYPORT_CONF_CONF_H
#define SALLYPORT_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "base/sbuf.h"
#include "base/slice.h"
#include "conf/template.h"

/* Where a value stands in the file; 1-based; line 0: it does not come from the file (a default, or a resolved
 * document). */
struct conf_pos {
    int line, column;
};

struct conf_text {
    const char *text; /* NULL: not given */
    struct conf_pos pos;
};

/* A file named in the configuration. path is absolute or relative to the working directory after conf_load. content is
 * NULL until resolved. */
struct conf_file {
    struct conf_text path;
    struct slice content; /* text or bytes; for secrets it stays empty: they are named by digest only */
    char digest[65];      /* SHA-256 of the content in lower-case hex, "" until resolved */
    int64_t not_after;    /* of certificates, once resolved: when the first of them expires, in seconds; else 0 */
};

#define CONF_LIST(type) \
    struct {            \
        type *items;    \
        size_t count;   \
    }

typedef CONF_LIST(struct conf_text) conf_texts;
typedef CONF_LIST(struct conf_file) conf_files;

struct conf_listener {
    struct conf_pos pos;
    struct conf_text address;
    struct conf_text no_sni; /* a configured hostname, or absent */
};

struct conf_log {
    struct conf_text level, file, access, audit;
};

struct conf_admin {
    struct conf_text address;    /* absent: no admin listener */
    struct conf_file token_file; /* a secret; required for TCP addresses */
};

enum conf_session_tickets { CONF_SESSION_TICKETS_STATEFUL, CONF_SESSION_TICKETS_STATELESS };

struct conf_tls {
    struct conf_text min_version, ciphers, groups;
    int64_t session_timeout_ms;
    enum conf_session_tickets session_tickets;
};

struct conf_limits {
    int64_t max_connections, connections_per_ip;
    int64_t concurrent_handshakes; /* 0: so many for each worker */
    int64_t handshake_timeout_ms, header_timeout_ms, idle_timeout_ms;
    int64_t header_size, certificate_chain_size, body_size;
    int64_t body_rate; /* bytes a second */
};

/* How control asks others (store/fetch_rules.h). */
struct conf_fetch {
    conf_texts private_networks, redirect_hosts;
    int64_t redirects;
    struct conf_file ca_file; /* read by libcurl: neither content nor digest */
    int64_t connect_timeout_ms, timeout_ms;
};

struct conf_webhook {
    struct conf_pos pos;
    struct conf_text name, url;
    struct conf_file secret_file; /* a secret */
};

struct conf_alerts {
    CONF_LIST(struct conf_webhook) webhooks;
};

enum conf_token_algorithm { CONF_RS256, CONF_ES256 };

struct conf_tokens {
    struct conf_text issuer; /* absent: "https://" and the request's hostname */
    enum conf_token_algorithm algorithm;
    int64_t key_rotation_ms, key_overlap_ms;
};

enum conf_eku { CONF_EKU_CLIENT_AUTH, CONF_EKU_ANY };
enum conf_crl_require { CONF_CRL_IF_PRESENT, CONF_CRL_LEAF, CONF_CRL_CHAIN };
enum conf_crl_on_expired { CONF_CRL_DENY, CONF_CRL_ALLOW, CONF_CRL_GRACE };

enum conf_ocsp { CONF_OCSP_OFF, CONF_OCSP_LEAF, CONF_OCSP_CHAIN };
enum conf_unavailable { CONF_UNAVAILABLE_DENY, CONF_UNAVAILABLE_ALLOW };

struct conf_crl {
    conf_files files;           /* as configured; only in the file */
    struct conf_file directory; /* absent: none; neither content nor digest */
    conf_texts urls;
    int64_t fetch_interval_ms, fetch_size;
    bool accept_older;
    conf_files lists; /* resolved: every file and URL whose lists are in force; digest names the index blob, content
                         stays empty */
    enum conf_crl_require require;
    enum conf_crl_on_expired on_expired;
    int64_t grace_ms; /* with GRACE */
};

struct conf_ca_bundle {
    struct conf_pos pos;
    struct conf_text name;
    struct conf_file file;
    conf_texts associated_hostnames;
    enum conf_eku extended_key_usage;
    bool partial_chain;
    bool allow_sha1;
    struct conf_crl crl;
    enum conf_ocsp ocsp;
    enum conf_unavailable on_unavailable;
    struct conf_text ocsp_url;
};

enum conf_client_certificate {
    CONF_CLIENT_CERTIFICATE_OFF,
    CONF_CLIENT_CERTIFICATE_REQUEST,
    CONF_CLIENT_CERTIFICATE_REQUIRE
};
enum conf_forwarding { CONF_FORWARDING_OFF, CONF_FORWARDING_FIRST_REQUEST, CONF_FORWARDING_EVERY_REQUEST };
/* The headers in which an upstream gets the certificate; bits of a set. */
enum conf_dialect {
    CONF_DIALECT_CF = 1,
    CONF_DIALECT_RFC9440 = 2,
    CONF_DIALECT_CF_CERT = 4,
    CONF_DIALECT_XFCC = 8,
    CONF_DIALECT_NGINX = 16,
    CONF_DIALECT_TRAEFIK = 32,
    CONF_DIALECT_AWS = 64
};

/* A header that is set to a template, or removed. */
struct conf_header {
    struct conf_text name;
    bool is_removed;
    struct template value;
};
typedef CONF_LIST(struct conf_header) conf_headers;

enum conf_explain { CONF_EXPLAIN_FULL, CONF_EXPLAIN_CODE, CONF_EXPLAIN_OFF };

struct conf_hostname {
    struct conf_pos pos;
    struct conf_text name;                           /* lower case; "*." + host for a wildcard */
    conf_files certificates, private_keys;           /* paired by position; private_keys are secrets */
    enum conf_client_certificate client_certificate; /* default filled in: REQUEST with a CA bundle, else OFF */
    enum conf_forwarding client_certificate_forwarding;
    conf_texts forward_headers; /* "cf"; conf_dialects() has them as a set */
    conf_headers request_headers, response_headers;
    struct conf_text upstream; /* name of an entry in upstreams; inline ones ("http://host:port", "builtin:whoami") get
                                  an entry named after themselves */
    bool public;
    enum conf_explain explain_denials;
};

enum conf_rule_kind {
    CONF_RULE_CERTIFICATE,
    CONF_RULE_EVERYONE,
    CONF_RULE_IP,            /* values: addresses or CIDRs, any of them */
    CONF_RULE_GROUP,         /* values[0]: name */
    CONF_RULE_CA_BUNDLE,     /* values: names, any of them */
    CONF_RULE_METHOD,        /* values: any of them */
    CONF_RULE_SERIAL_NUMBER, /* values: hex digits, ":" allowed; compared as numbers */
    /* From here on: text of the certificate, compared by `form`. */
    CONF_RULE_COMMON_NAME,
    CONF_RULE_ISSUER_COMMON_NAME,
    CONF_RULE_ISSUER_SKI,
    CONF_RULE_ORGANIZATION,
    CONF_RULE_ORGANIZATIONAL_UNIT,
    CONF_RULE_FINGERPRINT_SHA256,
    CONF_RULE_SAN_DNS,
    CONF_RULE_SAN_URI,
    CONF_RULE_SAN_EMAIL,
    CONF_RULE_SAN_IP,
    CONF_RULE_EXTENDED_KEY_USAGE,
    CONF_RULE_CERTIFICATE_POLICY
};

/* x | {any_of: [..]} | {wildcard: "*.lab"} | {regex: ..} (not supported yet) | {ignore_case: x} */
enum conf_match_form {
    CONF_MATCH_EXACT,
    CONF_MATCH_ANY_OF,
    CONF_MATCH_WILDCARD,
    CONF_MATCH_REGEX,
    CONF_MATCH_IGNORE_CASE
};

struct conf_rule {
    struct conf_pos pos;
    enum conf_rule_kind kind;
    enum conf_match_form form;
    conf_texts values;
};
typedef CONF_LIST(struct conf_rule) conf_rules;

enum conf_decision { CONF_SERVICE_AUTH, CONF_ALLOW, CONF_BLOCK, CONF_BYPASS };

struct conf_policy {
    struct conf_pos pos;
    struct conf_text name;
    enum conf_decision decision;
    conf_rules include, require, exclude;
    bool report_only;
    int64_t session_duration_ms; /* the application's, unless the file says */
};

enum conf_same_site { CONF_SAME_SITE_NONE, CONF_SAME_SITE_LAX, CONF_SAME_SITE_STRICT };
enum conf_assertion { CONF_ASSERTION_BEST_EFFORT, CONF_ASSERTION_REQUIRED };

struct conf_application {
    struct conf_pos pos;
    struct conf_text name;
    struct conf_text domain; /* host and path pattern, facts 2.6 */
    struct conf_text aud;    /* 64 hex digits; absent: made from the name */
    int64_t session_duration_ms;
    bool certificate_session;
    enum conf_assertion assertion;
    bool http_only_cookie_attribute, path_cookie_attribute;
    enum conf_same_site same_site_cookie_attribute;
    bool service_auth_401_redirect;
    bool options_preflight_bypass;
    struct conf_text custom_deny_message, custom_non_identity_deny_url;
    CONF_LIST(struct conf_policy) policies;
};

struct conf_group {
    struct conf_pos pos;
    struct conf_text name;
    conf_rules include, require, exclude;
};

struct conf_server {
    struct conf_pos pos;
    struct conf_text address; /* host:port, or "builtin:whoami" */
    conf_texts resolved;      /* numeric "ip:port", filled in by resolve */
    int64_t weight;
};

struct conf_upstream {
    struct conf_pos pos;
    struct conf_text name;
    CONF_LIST(struct conf_server) servers;
    int64_t connect_timeout_ms, read_timeout_ms;
    int64_t pool_size, pool_idle_ms;
};

enum conf_expect { CONF_EXPECT_ALLOW, CONF_EXPECT_DENY };

/* One line of `tests:`, run by `sallyport check`. Not part of the resolved document. */
struct conf_test {
    struct conf_pos pos;
    struct conf_text url, method, ip, reason;
    struct conf_file certificate; /* PEM, may hold the chain; absent: none presented */
    enum conf_expect expect;
};

struct conf {
    struct arena *arena;
    const char *file;      /* path as given, for messages */
    int64_t workers;       /* 0: auto */
    struct conf_text user; /* absent: sallyport, else nobody */
    int64_t shutdown_timeout_ms;
    CONF_LIST(struct conf_listener) listeners;
    struct conf_log log;
    struct conf_admin admin;
    struct conf_tls tls;
    struct conf_limits limits;
    struct conf_file state_dir; /* absent: state_directory() knows the default */
    struct conf_fetch fetch;
    struct conf_alerts alerts;
    struct conf_tokens tokens;
    CONF_LIST(struct conf_ca_bundle) ca_bundles;
    CONF_LIST(struct conf_hostname) hostnames;
    CONF_LIST(struct conf_application) applications;
    CONF_LIST(struct conf_group) groups;
    CONF_LIST(struct conf_upstream) upstreams;
    CONF_LIST(struct conf_test) tests;
    struct map places; /* of the numbers, flags and words that the file gives; see conf_place */
};

/* Everything found, in file order when printed; never just the first. */
struct conf_message {
    struct conf_pos pos;
    bool is_warning;
    char *text;
};
struct conf_messages {
    const char *file;
    struct conf_message *items;
    size_t count, cap;
    size_t errors; /* those that are not warnings */
};
void conf_messages_init(struct conf_messages *messages, const char *file);
void conf_messages_fini(struct conf_messages *messages);
void conf_error(struct conf_messages *messages, struct conf_pos pos, const char *format, ...) PRINTF_LIKE(3, 4);
void conf_warning(struct conf_messages *messages, struct conf_pos pos, const char *format, ...) PRINTF_LIKE(3, 4);
/* "FILE:LINE:COL: message" lines ("FILE:LINE:COL: warning: ..."), sorted by place. */
void conf_messages_print(struct conf_messages *messages, struct sbuf *out);

/* Reads and binds the YAML file and checks all that can be checked without opening other files: keys, types, limits,
 * names, references, duplicates, coverage of hostnames. With errors it still returns what could be bound (NULL only if
 * nothing could), so that the files it names can be looked at too and all errors be reported at once: texts may be
 * absent then that are required, and nothing else may be done with it. Control side. */
struct conf *conf_load(const char *path, struct conf_messages *messages);
/* The same from memory, for tests and fuzzing, but NULL with any error; directory is what relative paths are relative
 * to. */
struct conf *conf_parse(struct slice yaml, const char *file, const char *directory, struct conf_messages *messages);
void conf_free(struct conf **conf);

/* Where the file gives the value of this member (an int64_t, bool or enum inside conf); fallback if it does not: the
 * value is a default. */
struct conf_pos conf_place(const struct conf *conf, const void *member, struct conf_pos fallback);

/* Finds by name; NULL when absent. */
const struct conf_upstream *conf_find_upstream(const struct conf *conf, const char *name);
const struct conf_group *conf_find_group(const struct conf *conf, const char *name);
/* "common_name" for CONF_RULE_COMMON_NAME etc. Static. */
const char *conf_rule_name(enum conf_rule_kind kind);
/* The bits of enum conf_dialect that the names stand for. */
unsigned conf_dialects(const conf_texts *names);
const char *conf_decision_name(enum conf_decision decision); /* "service_auth" */

/* The configuration with every default filled in, as YAML. No secrets: only where they are kept. */
void conf_write_yaml(const struct conf *conf, struct sbuf *out);
/* JSON Schema (draft 2020-12) of the file, generated from the schema table, for editors. */
void conf_write_json_schema(struct sbuf *out);

#endif
