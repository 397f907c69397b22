/*
 * snapshot: one generation of the configuration, compiled for serving: immutable, reference-counted, published by
 * swapping one pointer. Made from what workers are given (snapshot/resolve.h); opens no file.
 */
#ifndef SALLYPORT_SNAPSHOT_SNAPSHOT_H
#define SALLYPORT_SNAPSHOT_SNAPSHOT_H

#include "base/metrics.h"
#include "http/h1_parse.h"
#include "policy/policy.h"
#include "route/application_table.h"
#include "route/hostname_table.h"
#include "snapshot/resolve.h"
#include "tls/tls_host.h"
#include "tls/tls_profile.h"
#include "upstream/upstream.h"

struct hostname {
    const char *name; /* as configured, for logs and metrics */
    bool is_wildcard;
    struct tls_host *tls;
    struct trust *trust; /* the one tls has; NULL without a CA bundle */
    const struct upstream *upstream;
    bool public;
    bool serves_access; /* /cdn-cgi/access/ is ours: a CA bundle or an application stands before it, or it is the issuer
                         */
    enum conf_forwarding forwarding;
    unsigned dialects; /* bits of enum conf_dialect: the headers in which upstreams get the certificate */
    conf_headers request_headers, response_headers;
    enum conf_explain explain;
};

struct application {
    const char *name;
    const char *domain; /* as configured */
    char aud[65];       /* application tag; see application_tag() */
    bool service_auth_401;
    bool options_preflight_bypass;
    const char *deny_message, *deny_url; /* or NULL */
    bool certificate_session;            /* a token may stand in for the certificate */
    bool assertion_required;
    bool http_only_cookie, path_cookie;
    enum conf_same_site same_site_cookie;
    struct policy_set *policies;
};

/* 64 hex digits: as configured, or SHA-256 over the name; stable across restarts. */
void application_tag(const struct conf_application *application, char aud_out[65]);

struct snapshot_listener {
    const char *address;
    const struct hostname *no_sni; /* or NULL */
};

/* A fact of this generation that a metric shows. */
struct snapshot_gauge {
    enum metric metric; /* CERTIFICATE_NOT_AFTER, CRL_NEXT_UPDATE, CRL_ENTRIES */
    const char *kind;   /* "server" or "ca", with CERTIFICATE_NOT_AFTER */
    const char *name;
    int64_t value;
};

struct snapshot {
    unsigned refs;
    struct arena *arena;
    uint64_t generation;
    struct conf *conf; /* the resolved document's values */
    struct tls_profile *tls;
    struct hostname_table hostnames;        /* values: struct hostname */
    struct application_table *applications; /* values: struct application */
    struct hostname **hostname_list;
    size_t hostname_count;
    struct upstream **upstreams;
    size_t upstream_count;
    struct snapshot_listener *listeners;
    size_t listener_count;
    struct h1_limits h1_limits;
    struct crl **crls; /* references held for the trusts */
    size_t crl_count;
    struct snapshot_gauge *gauges; /* what snapshot_publish_metrics() says */
    size_t gauge_count;
    const char **crl_digests;       /* of each CRL file, in the order of bundles and files */
    struct snapshot_common *common; /* what conf, applications and upstreams belong to: shared with generations that
                                       differ only in their CRLs */
};

/* keys outlive all snapshots. Returns a snapshot with one reference, or NULL with err. */
MUST_CHECK struct snapshot *snapshot_new(const struct resolved *resolved, uint64_t generation, struct ticket_keys *keys,
                                         struct err *err);
/* The same, sharing with previous (may be NULL; made with the same keys) what did not change: a generation that differs
 * only in its CRLs costs next to nothing however many hostnames there are; in others key pairs and TLS settings are
 * taken over. previous may go at any time afterwards. */
MUST_CHECK struct snapshot *snapshot_new_after(const struct resolved *resolved, uint64_t generation,
                                               struct ticket_keys *keys, const struct snapshot *previous,
                                               struct err *err);
struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot **snapshot);
/* host normalised. The only way from a name to a hostname. */
const struct hostname *snapshot_hostname(const struct snapshot *snapshot, struct slice host);
/* Sets the gauges that describe this generation (certificates' and CRLs' dates, entries). */
void snapshot_publish_metrics(const struct snapshot *snapshot);

#endif
