/*
 * build: the resolved document's values to what serving needs: key pairs, trusts, TLS settings, routes, policies,
 * upstreams. Everything was proved by the control side (resolve.c), so an error here is a bug or a damaged document; it
 * is reported all the same, and nothing half-made is served.
 *
 * Shared by content: one keypair for each certificate and key, one trust for each set of CA bundles, however many
 * hostnames use them. None is decoded here: that happens when a client first asks for the hostname, and cannot fail
 * since the bytes have the digest of what control has proved. Key pairs and TLS settings that were there before are
 * taken from the generation before.
 */
#include "build_priv.h"

#include <string.h>

#include "base/mem.h"

#define FIELD_COUNT_MAX 100
#define WHOAMI "builtin:whoami"

/* ---- what was handed over ---- */

bool builder_is_proved(struct slice content, const char *digest) {
    char found[65];
    sha256_hex(content, found);
    return strcmp(found, digest) == 0;
}

/* Those that are what their digest says: others were not handed over. */
static void collect_secrets(struct builder *builder, const struct resolved *resolved) {
    for (size_t i = 0; i < resolved->secret_count; i++) {
        const struct secret *secret = &resolved->secrets[i];
        if (builder_is_proved(slice_make(secret->bytes, secret->size), secret->digest))
            map_put(&builder->secrets, slice_of(secret->digest), (void *)(uintptr_t)secret);
    }
}

/* ---- CA bundles ---- */

/* The bundle goes to every hostname that it names. */
static int associate_bundle(struct builder *builder, size_t index, struct err *err) {
    const conf_texts *names = &builder->conf->ca_bundles.items[index].associated_hostnames;
    for (size_t i = 0; i < names->count; i++) {
        struct source *source = map_get(&builder->by_name, slice_of(names->items[i].text));
        if (!source)
            return err_set(err, "there is no hostname \"%s\"", names->items[i].text);
        if (source->bundle_count == TRUST_BUNDLES_MAX)
            return err_set(err, "hostname \"%s\" has more than %d CA bundles", names->items[i].text, TRUST_BUNDLES_MAX);
        bool is_known = source->bundle_count && source->bundles[source->bundle_count - 1] == index;
        if (!is_known)
            source->bundles[source->bundle_count++] = index;
    }
    return 0;
}

static int build_bundles(struct builder *builder, struct err *err) {
    for (size_t i = 0; i < builder->conf->ca_bundles.count; i++) {
        const struct conf_ca_bundle *conf = &builder->conf->ca_bundles.items[i];
        if (builder_bundle(builder, i, err) < 0 || associate_bundle(builder, i, err) < 0)
            return err_context(err, "CA bundle \"%s\"", conf->name.text);
        builder_add_gauge(builder->snapshot, METRIC_CERTIFICATE_NOT_AFTER, "ca", conf->name.text, conf->file.not_after);
        builder_gauge_crls(builder, i);
    }
    return 0;
}

/* ---- upstreams ---- */

static int add_endpoints(const struct conf_server *server, struct upstream *upstream, struct err *err) {
    struct endpoint endpoint = {.weight = (unsigned)server->weight};
    if (slice_eq_str(slice_of(server->address.text), WHOAMI)) {
        endpoint.is_whoami = true;
        memcpy(endpoint.name, WHOAMI, sizeof WHOAMI);
        upstream->endpoints[upstream->endpoint_count++] = endpoint;
        return 0;
    }
    for (size_t i = 0; i < server->resolved.count; i++) {
        if (addr_parse(slice_of(server->resolved.items[i].text), &endpoint.addr, err) < 0)
            return err_context(err, "server \"%s\"", server->address.text);
        (void)addr_format(&endpoint.addr, endpoint.name);
        upstream->endpoints[upstream->endpoint_count++] = endpoint;
    }
    return server->resolved.count ? 0 : err_set(err, "server \"%s\" has no address", server->address.text);
}

static int build_upstream(struct builder *builder, const struct conf_upstream *conf, struct err *err) {
    struct snapshot *snapshot = builder->snapshot;
    size_t count = 0;
    for (size_t i = 0; i < conf->servers.count; i++)
        count += conf->servers.items[i].resolved.count + 1;
    struct upstream *upstream = ARENA_NEW(snapshot->common->arena, struct upstream);
    *upstream = (struct upstream){.name = conf->name.text,
                                  .endpoints = ARENA_ARRAY(snapshot->common->arena, struct endpoint, count),
                                  .connect_timeout_ms = conf->connect_timeout_ms,
                                  .read_timeout_ms = conf->read_timeout_ms,
                                  .pool_size = (size_t)conf->pool_size,
                                  .pool_idle_ms = conf->pool_idle_ms};
    for (size_t i = 0; i < conf->servers.count; i++) {
        if (add_endpoints(&conf->servers.items[i], upstream, err) < 0)
            return err_context(err, "upstream \"%s\"", conf->name.text);
    }
    snapshot->upstreams[snapshot->upstream_count++] = upstream;
    map_put(&builder->upstreams, slice_of(upstream->name), upstream);
    return 0;
}

static int build_upstreams(struct builder *builder, struct err *err) {
    const struct conf *conf = builder->conf;
    builder->snapshot->upstreams =
        ARENA_ARRAY(builder->snapshot->common->arena, struct upstream *, conf->upstreams.count);
    for (size_t i = 0; i < conf->upstreams.count; i++) {
        if (build_upstream(builder, &conf->upstreams.items[i], err) < 0)
            return -1;
    }
    return 0;
}

/* ---- hostnames ---- */

static const char *keypair_name(struct arena *arena, const struct conf_file *certificate, const struct conf_file *key) {
    return arena_printf(arena, "%s:%s", certificate->digest, key->digest);
}

static void recall_keypairs(struct builder *builder) {
    const struct snapshot *previous = builder->previous;
    for (size_t i = 0; previous && i < previous->hostname_count; i++) {
        const struct conf_hostname *conf = &previous->conf->hostnames.items[i];
        for (size_t j = 0; j < conf->certificates.count; j++) {
            struct keypair *keypair = tls_host_keypair(previous->hostname_list[i]->tls, j);
            const char *name =
                keypair_name(builder->scratch, &conf->certificates.items[j], &conf->private_keys.items[j]);
            if (!map_get(&builder->keypairs, slice_of(name)))
                map_put(&builder->keypairs, slice_of(name), keypair_ref(keypair));
        }
    }
}

static struct keypair *keypair_of(struct builder *builder, const struct conf_file *certificate,
                                  const struct conf_file *key, struct err *err) {
    struct slice digests = slice_of(keypair_name(builder->scratch, certificate, key));
    struct keypair *keypair = map_get(&builder->keypairs, digests);
    if (keypair)
        return keypair;
    const struct secret *secret = map_get(&builder->secrets, slice_of(key->digest));
    if (!secret) {
        err_set(err, "the private key %s was not handed over", key->path.text);
        return NULL;
    }
    if (!builder_is_proved(certificate->content, certificate->digest)) {
        err_set(err, "the certificate %s is not what was proved", certificate->path.text);
        return NULL;
    }
    keypair = keypair_proved(certificate->content, slice_make(secret->bytes, secret->size));
    map_put(&builder->keypairs, digests, keypair);
    return keypair;
}

/* In scratch memory; the references are the map's. */
static struct keypair **keypairs_of(struct builder *builder, const struct conf_hostname *conf, struct err *err) {
    if (conf->certificates.count != conf->private_keys.count) {
        err_set(err, "%zu certificates and %zu private keys", conf->certificates.count, conf->private_keys.count);
        return NULL;
    }
    struct keypair **keypairs = ARENA_ARRAY(builder->scratch, struct keypair *, conf->certificates.count);
    for (size_t i = 0; i < conf->certificates.count; i++) {
        keypairs[i] = keypair_of(builder, &conf->certificates.items[i], &conf->private_keys.items[i], err);
        if (!keypairs[i])
            return NULL;
    }
    return keypairs;
}

static enum client_certificate mode_of(enum conf_client_certificate mode) {
    switch (mode) {
    case CONF_CLIENT_CERTIFICATE_OFF:
        return CLIENT_CERTIFICATE_OFF;
    case CONF_CLIENT_CERTIFICATE_REQUEST:
        return CLIENT_CERTIFICATE_REQUEST;
    case CONF_CLIENT_CERTIFICATE_REQUIRE:
        break;
    }
    return CLIENT_CERTIFICATE_REQUIRE;
}

static int build_tls_host(struct builder *builder, const struct source *source, struct err *err) {
    const struct conf_hostname *conf = source->conf;
    struct trust *trust = NULL;
    struct keypair **keypairs = keypairs_of(builder, conf, err);
    if (!keypairs || builder_trust(builder, source->bundles, source->bundle_count, &trust, err) < 0)
        return -1;
    const struct tls_host_source tls = {.name = conf->name.text,
                                        .keypairs = keypairs,
                                        .keypair_count = conf->certificates.count,
                                        .mode = mode_of(conf->client_certificate),
                                        .trust = trust};
    source->hostname->tls = tls_host_new(&tls, err);
    if (!source->hostname->tls)
        return -1;
    source->hostname->trust = tls_host_trust(source->hostname->tls);
    int64_t expiry = INT64_MAX;
    for (size_t i = 0; i < conf->certificates.count; i++) {
        int64_t next = conf->certificates.items[i].not_after;
        expiry = next < expiry ? next : expiry;
    }
    builder_add_gauge(builder->snapshot, METRIC_CERTIFICATE_NOT_AFTER, "server", conf->name.text, expiry);
    return 0;
}

static int build_hostname(struct builder *builder, const struct source *source, struct err *err) {
    const struct conf_hostname *conf = source->conf;
    struct hostname *hostname = source->hostname;
    hostname->name = conf->name.text;
    hostname->is_wildcard = slice_starts_with(slice_of(conf->name.text), SLICE("*."));
    hostname->public = conf->public;
    hostname->forwarding = conf->client_certificate_forwarding;
    hostname->dialects = conf_dialects(&conf->forward_headers);
    hostname->request_headers = conf->request_headers;
    hostname->response_headers = conf->response_headers;
    hostname->explain = conf->explain_denials;
    hostname->upstream = map_get(&builder->upstreams, slice_of(conf->upstream.text));
    if (!hostname->upstream)
        return err_set(err, "there is no upstream \"%s\"", conf->upstream.text ? conf->upstream.text : "");
    if (build_tls_host(builder, source, err) < 0)
        return -1;
    return hostname_table_add(&builder->snapshot->hostnames, hostname->name, hostname, err);
}

static void collect_hostnames(struct builder *builder) {
    struct snapshot *snapshot = builder->snapshot;
    size_t count = builder->conf->hostnames.count;
    builder->sources = ARENA_ARRAY(builder->scratch, struct source, count);
    snapshot->hostname_list = ARENA_ARRAY(snapshot->arena, struct hostname *, count);
    for (size_t i = 0; i < count; i++) {
        struct source *source = &builder->sources[i];
        source->conf = &builder->conf->hostnames.items[i];
        source->hostname = snapshot->hostname_list[i] = ARENA_NEW(snapshot->arena, struct hostname);
        map_put(&builder->by_name, slice_of(source->conf->name.text), source);
    }
    snapshot->hostname_count = count;
}

static int build_hostnames(struct builder *builder, struct err *err) {
    for (size_t i = 0; i < builder->conf->hostnames.count; i++) {
        if (build_hostname(builder, &builder->sources[i], err) < 0)
            return err_context(err, "hostname \"%s\"", builder->sources[i].conf->name.text);
    }
    return 0;
}

/* ---- applications, listeners, TLS settings ---- */

void application_tag(const struct conf_application *application, char aud_out[65]) {
    if (application->aud.text)
        memcpy(aud_out, application->aud.text, 65);
    else
        sha256_hex(slice_of(application->name.text), aud_out);
}

static int build_application(struct snapshot *snapshot, const struct conf_application *conf, struct err *err) {
    struct application *application = ARENA_NEW(snapshot->common->arena, struct application);
    application->name = conf->name.text;
    application->domain = conf->domain.text;
    application->service_auth_401 = conf->service_auth_401_redirect;
    application->options_preflight_bypass = conf->options_preflight_bypass;
    application->deny_message = conf->custom_deny_message.text;
    application->deny_url = conf->custom_non_identity_deny_url.text;
    application->certificate_session = conf->certificate_session;
    application->assertion_required = conf->assertion == CONF_ASSERTION_REQUIRED;
    application->http_only_cookie = conf->http_only_cookie_attribute;
    application->path_cookie = conf->path_cookie_attribute;
    application->same_site_cookie = conf->same_site_cookie_attribute;
    application_tag(conf, application->aud);
    application->policies = policy_set_new(conf, snapshot->conf, snapshot->common->arena, err);
    if (!application->policies)
        return -1;
    return application_table_add(snapshot->applications, application->domain, application, err);
}

static int build_applications(struct builder *builder, struct err *err) {
    for (size_t i = 0; i < builder->conf->applications.count; i++) {
        const struct conf_application *conf = &builder->conf->applications.items[i];
        if (build_application(builder->snapshot, conf, err) < 0)
            return err_context(err, "application \"%s\"", conf->name.text);
    }
    return 0;
}

static void mark_application(void *arg, const char *domain, void *value) {
    bool *has_application = arg;
    (void)domain, (void)value;
    *has_application = true;
}

/* Is it the host of tokens.issuer? */
static bool is_issuer(const struct builder *builder, const char *name) {
    struct slice host, issuer = slice_of(builder->conf->tokens.issuer.text);
    (void)slice_cut(slice_after(issuer, strlen("https://")), '/', &host);
    (void)slice_cut(host, ':', &host);
    return slice_eq_nocase(host, slice_of(name));
}

static void mark_hostnames(struct builder *builder) {
    const struct snapshot *snapshot = builder->snapshot;
    for (size_t i = 0; i < snapshot->hostname_count; i++) {
        struct hostname *hostname = snapshot->hostname_list[i];
        hostname->serves_access = hostname->trust || is_issuer(builder, hostname->name);
        if (!hostname->serves_access)
            application_table_each(snapshot->applications, hostname->name, mark_application, &hostname->serves_access);
        hostname->serves_access = hostname->serves_access && builder->conf->applications.count > 0;
    }
}

static int build_listeners(struct builder *builder, struct err *err) {
    struct snapshot *snapshot = builder->snapshot;
    size_t count = builder->conf->listeners.count;
    snapshot->listeners = ARENA_ARRAY(snapshot->arena, struct snapshot_listener, count);
    for (size_t i = 0; i < count; i++) {
        const struct conf_listener *conf = &builder->conf->listeners.items[i];
        struct snapshot_listener *listener = &snapshot->listeners[snapshot->listener_count++];
        listener->address = conf->address.text;
        if (!conf->no_sni.text)
            continue;
        const struct source *source = map_get(&builder->by_name, slice_of(conf->no_sni.text));
        if (!source)
            return err_set(err, "listener %s: there is no hostname \"%s\"", conf->address.text, conf->no_sni.text);
        listener->no_sni = source->hostname;
    }
    return 0;
}

static bool has_same_tls(const struct conf *a, const struct conf *b) {
    return strcmp(a->tls.min_version.text, b->tls.min_version.text) == 0 &&
           strcmp(a->tls.ciphers.text, b->tls.ciphers.text) == 0 &&
           strcmp(a->tls.groups.text, b->tls.groups.text) == 0 &&
           a->tls.session_timeout_ms == b->tls.session_timeout_ms && a->tls.session_tickets == b->tls.session_tickets &&
           a->limits.certificate_chain_size == b->limits.certificate_chain_size;
}

static int build_tls_profile(struct builder *builder, struct ticket_keys *keys, struct err *err) {
    const struct conf *conf = builder->conf;
    if (builder->previous && has_same_tls(conf, builder->previous->conf)) {
        builder->snapshot->tls = tls_profile_ref(builder->previous->tls);
        return 0;
    }
    const struct tls_profile_source source = {.min_version = conf->tls.min_version.text,
                                              .session_timeout = (long)(conf->tls.session_timeout_ms / 1000),
                                              .ciphers = conf->tls.ciphers.text,
                                              .groups = conf->tls.groups.text,
                                              .has_stateless_tickets =
                                                  conf->tls.session_tickets == CONF_SESSION_TICKETS_STATELESS,
                                              .certificate_chain_size = (size_t)conf->limits.certificate_chain_size};
    builder->snapshot->tls = tls_profile_new(&source, keys, err);
    return builder->snapshot->tls ? 0 : -1;
}

/* ---- all of it ---- */

void builder_init(struct builder *builder, struct snapshot *snapshot, const struct snapshot *previous) {
    const struct conf *conf = snapshot->conf;
    *builder =
        (struct builder){.snapshot = snapshot, .conf = conf, .previous = previous, .scratch = arena_new(16 * 1024)};
    builder->bundles = ARENA_ARRAY(builder->scratch, struct trust_bundle, conf->ca_bundles.count);
    builder->first_crl = ARENA_ARRAY(builder->scratch, size_t, conf->ca_bundles.count + 1);
    for (size_t i = 0; i < conf->ca_bundles.count; i++)
        builder->first_crl[i + 1] = builder->first_crl[i] + conf->ca_bundles.items[i].crl.lists.count;
    snapshot->gauges =
        ARENA_ARRAY(snapshot->arena, struct snapshot_gauge, 3 * conf->ca_bundles.count + conf->hostnames.count);
    map_init(&builder->by_name);
    map_init(&builder->upstreams);
    map_init(&builder->secrets);
    map_init(&builder->crls);
    map_init(&builder->keypairs);
    map_init(&builder->trusts);
}

void builder_fini(struct builder *builder) {
    const struct map_entry *entry;
    for (size_t i = 0; (entry = map_next(&builder->keypairs, &i)) != NULL;)
        keypair_unref(&(struct keypair *){entry->value});
    for (size_t i = 0; (entry = map_next(&builder->trusts, &i)) != NULL;)
        trust_unref(&(struct trust *){entry->value});
    for (size_t i = 0; i < builder->conf->ca_bundles.count; i++)
        proved_unref(&builder->bundles[i].proved);
    map_fini(&builder->by_name);
    map_fini(&builder->upstreams);
    map_fini(&builder->secrets);
    map_fini(&builder->crls);
    map_fini(&builder->keypairs);
    map_fini(&builder->trusts);
    arena_free(builder->scratch);
}

/* The digests of the CRL files, in the order of bundles and files. */
static void collect_crl_digests(struct snapshot *snapshot) {
    const struct conf *conf = snapshot->conf;
    size_t count = 0;
    for (size_t i = 0; i < conf->ca_bundles.count; i++)
        count += conf->ca_bundles.items[i].crl.lists.count;
    snapshot->crl_digests = ARENA_ARRAY(snapshot->arena, const char *, count);
    count = 0;
    for (size_t i = 0; i < conf->ca_bundles.count; i++)
        for (size_t j = 0; j < conf->ca_bundles.items[i].crl.lists.count; j++)
            snapshot->crl_digests[count++] = conf->ca_bundles.items[i].crl.lists.items[j].digest;
}

int snapshot_build(struct snapshot *snapshot, const struct resolved *resolved, struct ticket_keys *keys,
                   const struct snapshot *previous, struct err *err) {
    struct builder builder;
    int status = -1;
    collect_crl_digests(snapshot);
    builder_init(&builder, snapshot, previous);
    snapshot->h1_limits =
        (struct h1_limits){.head_size = (size_t)snapshot->conf->limits.header_size, .field_count = FIELD_COUNT_MAX};
    collect_secrets(&builder, resolved);
    builder_collect_crls(&builder, resolved);
    collect_hostnames(&builder);
    recall_keypairs(&builder);
    if (build_tls_profile(&builder, keys, err) < 0 || build_upstreams(&builder, err) < 0)
        goto out;
    if (build_bundles(&builder, err) < 0 || build_hostnames(&builder, err) < 0)
        goto out;
    if (build_applications(&builder, err) < 0 || build_listeners(&builder, err) < 0)
        goto out;
    mark_hostnames(&builder);
    status = 0;
out:
    builder_fini(&builder);
    return status;
}
