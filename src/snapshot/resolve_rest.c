/*
 * resolve_rest: what needs no certificate: addresses of listeners and of the admin interface, names of upstream
 * servers, TLS settings, application domains, rules, tests. Called by resolve.c; each is proved by the module that will
 * use it.
 */
#include "base/arena.h"
#include "base/file.h"
#include "base/mem.h"
#include "http/hop.h"
#include "io/addr.h"
#include "policy/policy.h"
#include "resolve_priv.h"
#include "route/application_table.h"
#include "snapshot/judge.h"
#include "store/fetch.h"
#include "tls/tls_profile.h"

#define ADDRESSES_MAX 16

/* ---- addresses ---- */

static void check_listeners(struct resolving *r) {
    size_t count = r->conf->listeners.count;
    struct addr *seen = NEW_ARRAY(struct addr, count + 1);
    for (size_t i = 0; i < count; i++) {
        const struct conf_text *address = &r->conf->listeners.items[i].address;
        struct err err;
        if (!address->text)
            continue;
        if (strncmp(address->text, "unix:", 5) == 0) {
            conf_error(r->messages, address->pos,
                       "listeners[%zu].address: expected host:port, [::]:port or *:port, found '%s'", i, address->text);
        } else if (addr_parse(slice_of(address->text), &seen[i], &err) < 0) {
            conf_error(r->messages, address->pos, "listeners[%zu].address: %s", i, err.text);
            memset(&seen[i], 0, sizeof(seen[i]));
        }
        for (size_t j = 0; j < i && addr_port(&seen[i]) != 0; j++) {
            if (addr_eq(&seen[i], &seen[j]))
                conf_error(r->messages, address->pos, "duplicate listener '%s'; first on line %d", address->text,
                           r->conf->listeners.items[j].address.pos.line);
        }
    }
    mem_free(seen);
}

static void resolve_admin(struct resolving *r) {
    struct conf_admin *admin = &r->conf->admin;
    struct addr addr;
    struct err err;
    if (admin->address.text && addr_parse(slice_of(admin->address.text), &addr, &err) < 0)
        conf_error(r->messages, admin->address.pos, "admin.address: %s", err.text);
    else if (admin->address.text && !addr_is_loopback(&addr))
        conf_warning(r->messages, admin->address.pos,
                     "admin.address: '%s' can be reached from other machines, and is not encrypted",
                     admin->address.text);
    (void)resolve_controls_secret(r, &admin->token_file, "admin.token_file");
}

/* ---- what is fetched ---- */

static void resolve_fetch(struct resolving *r) {
    const struct conf_fetch *fetch = &r->conf->fetch;
    struct cidr network;
    struct err err;
    for (size_t i = 0; i < fetch->private_networks.count; i++) {
        const struct conf_text *text = &fetch->private_networks.items[i];
        if (text->text && cidr_parse(slice_of(text->text), &network, &err) < 0)
            conf_error(r->messages, text->pos, "fetch.private_networks: %s", err.text);
    }
    const struct conf_text *ca_file = &fetch->ca_file.path;
    struct sbuf content;
    struct cert_list certs = {NULL, 0};
    sbuf_init(&content, PEM_SIZE_MAX);
    if (ca_file->text && file_read(ca_file->text, PEM_SIZE_MAX, &content, &err) < 0)
        conf_error(r->messages, ca_file->pos, "fetch.ca_file: %s %s", ca_file->text, err.text);
    else if (ca_file->text && cert_list_from_pem(sbuf_slice(&content), true, &certs, &err) < 0)
        conf_error(r->messages, ca_file->pos, "fetch.ca_file: %s: %s", ca_file->text, err.text);
    cert_list_fini(&certs);
    sbuf_fini(&content);
}

static void resolve_alerts(struct resolving *r) {
    for (size_t i = 0; i < r->conf->alerts.webhooks.count; i++) {
        struct conf_webhook *webhook = &r->conf->alerts.webhooks.items[i];
        const char *where = arena_printf(r->conf->arena, "alerts.webhooks[%zu]", i);
        struct err err;
        if (webhook->url.text && fetch_check_url(webhook->url.text, &err) < 0)
            conf_error(r->messages, webhook->url.pos, "%s.url: %s", where, err.text);
        const struct secret *secret =
            resolve_controls_secret(r, &webhook->secret_file, arena_printf(r->conf->arena, "%s.secret_file", where));
        for (size_t j = 0; secret && j < secret->size; j++) {
            if (secret->bytes[j] <= 0x20 || secret->bytes[j] >= 0x7f) {
                conf_error(r->messages, webhook->secret_file.path.pos,
                           "%s.secret_file: expected one line of visible ASCII", where);
                break;
            }
        }
    }
}

/* ---- upstreams ---- */

/* A name that cannot be resolved now keeps the addresses it had. */
static bool keep_addresses(struct resolving *r, struct conf_server *server, const char *why) {
    if (!r->previous_conf)
        return false;
    for (size_t i = 0; i < r->previous_conf->upstreams.count; i++) {
        const struct conf_upstream *old = &r->previous_conf->upstreams.items[i];
        for (size_t j = 0; j < old->servers.count; j++) {
            const struct conf_server *known = &old->servers.items[j];
            if (strcmp(known->address.text, server->address.text) != 0 || known->resolved.count == 0)
                continue;
            server->resolved.items = ARENA_ARRAY(r->conf->arena, struct conf_text, known->resolved.count);
            server->resolved.count = known->resolved.count;
            for (size_t k = 0; k < known->resolved.count; k++)
                server->resolved.items[k].text = arena_str(r->conf->arena, slice_of(known->resolved.items[k].text));
            conf_warning(r->messages, server->address.pos, "server '%s': %s; the addresses known before stay",
                         server->address.text, why);
            return true;
        }
    }
    return false;
}

static void resolve_server(struct resolving *r, struct conf_server *server) {
    struct addr addrs[ADDRESSES_MAX];
    struct slice host;
    uint16_t port;
    size_t count;
    struct err err;
    const char *text = server->address.text;
    if (!text || strcmp(text, "builtin:whoami") == 0 || strstr(text, "://"))
        return; /* an address with a scheme was refused already */
    if (addr_split(slice_of(text), &host, &port, &err) < 0) {
        conf_error(r->messages, server->address.pos, "%s", err.text);
        return;
    }
    if (port == 0) {
        conf_error(r->messages, server->address.pos, "server '%s': expected a port from 1 to 65535", text);
        return;
    }
    if (addr_resolve(host, port, addrs, ADDRESSES_MAX, &count, &err) < 0) {
        if (!keep_addresses(r, server, err.text))
            conf_error(r->messages, server->address.pos, "server '%s': %s", text, err.text);
        return;
    }
    server->resolved.items = ARENA_ARRAY(r->conf->arena, struct conf_text, count);
    server->resolved.count = count;
    for (size_t i = 0; i < count; i++) {
        char shown[ADDR_TEXT_SIZE];
        server->resolved.items[i].text = arena_str(r->conf->arena, slice_of(addr_format(&addrs[i], shown)));
    }
}

/* ---- TLS settings ---- */

static void check_tls(struct resolving *r) {
    const struct conf *conf = r->conf;
    const struct tls_profile_source source = {.min_version = conf->tls.min_version.text,
                                              .session_timeout = (long)(conf->tls.session_timeout_ms / 1000),
                                              .ciphers = conf->tls.ciphers.text,
                                              .groups = conf->tls.groups.text,
                                              .certificate_chain_size = (size_t)conf->limits.certificate_chain_size};
    if (!source.min_version || !source.ciphers || !source.groups)
        return;
    struct err err;
    struct ticket_keys *keys = ticket_keys_new();
    struct tls_profile *profile = tls_profile_new(&source, keys, &err);
    if (!profile)
        conf_error(r->messages, strstr(err.text, "tls.groups") ? conf->tls.groups.pos : conf->tls.ciphers.pos, "%s",
                   err.text);
    tls_profile_unref(&profile);
    ticket_keys_free(&keys);
}

/* ---- headers ---- */

/* What no template may touch: framing, routing, and what the gateway says about itself. */
static const char *protected_header(struct slice name) {
    static const char *const ours[] = {"host", "via", "cf-ray", "cf-access-*", "x-sallyport-*"};
    if (header_is_hop_by_hop(name))
        return "is about the connection, not the message";
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        if (header_is_like(name, ours[i]))
            return "is set by the gateway itself";
    }
    return NULL;
}

static void check_headers(struct resolving *r, const char *where, const conf_headers *headers) {
    for (size_t i = 0; i < headers->count; i++) {
        const struct conf_text *name = &headers->items[i].name;
        struct slice text = slice_of(name->text);
        const char *fault = header_is_name(text) ? protected_header(text) : "is not the name of a header";
        if (fault)
            conf_error(r->messages, name->pos, "%s: '%s' %s", where, name->text, fault);
        for (size_t j = 0; j < i; j++) {
            if (header_is_same(text, slice_of(headers->items[j].name.text)))
                conf_error(r->messages, name->pos, "%s: duplicate header '%s'; first on line %d", where, name->text,
                           headers->items[j].name.pos.line);
        }
    }
}

static void check_all_headers(struct resolving *r) {
    for (size_t i = 0; i < r->conf->hostnames.count; i++) {
        const struct conf_hostname *hostname = &r->conf->hostnames.items[i];
        check_headers(r, "request_headers", &hostname->request_headers);
        check_headers(r, "response_headers", &hostname->response_headers);
    }
}

void resolve_network(struct resolving *r) {
    check_listeners(r);
    resolve_admin(r);
    resolve_fetch(r);
    resolve_alerts(r);
    check_tls(r);
    check_all_headers(r);
    for (size_t i = 0; i < r->conf->upstreams.count; i++) {
        struct conf_upstream *upstream = &r->conf->upstreams.items[i];
        for (size_t j = 0; j < upstream->servers.count; j++)
            resolve_server(r, &upstream->servers.items[j]);
    }
}

/* ---- applications ---- */

static void check_domains(struct resolving *r) {
    struct application_table *table = application_table_new();
    for (size_t i = 0; i < r->conf->applications.count; i++) {
        struct conf_application *application = &r->conf->applications.items[i];
        struct err err;
        if (application->domain.text && application_table_add(table, application->domain.text, application, &err) < 0)
            conf_error(r->messages, application->domain.pos, "applications[%zu].domain: %s", i, err.text);
    }
    application_table_free(&table);
}

/* One rule as an application of its own, so that its error has its place. Groups are compiled with the whole. */
static void check_rule(struct resolving *r, struct conf_rule *rule, struct arena *scratch) {
    if (rule->kind == CONF_RULE_GROUP || rule->kind == CONF_RULE_CERTIFICATE || rule->kind == CONF_RULE_EVERYONE ||
        rule->values.count == 0)
        return;
    struct conf_policy policy = {.name = {"", rule->pos}};
    policy.include.items = rule;
    policy.include.count = 1;
    struct conf_application application = {.name = {"", rule->pos}};
    application.policies.items = &policy;
    application.policies.count = 1;
    struct err err;
    if (policy_set_new(&application, r->conf, scratch, &err))
        return;
    /* What the engine says is about one value: the first that it refuses alone. */
    size_t at = 0;
    for (size_t i = 0; i < rule->values.count && rule->form == CONF_MATCH_ANY_OF; i++) {
        struct conf_rule one = *rule;
        one.values.items = &rule->values.items[i];
        one.values.count = 1;
        policy.include.items = &one;
        if (!policy_set_new(&application, r->conf, scratch, &err)) {
            at = i;
            break;
        }
    }
    /* "policy "": include rule 1 (ip): ..." says no more than the place does. */
    const char *text = strstr(err.text, "): ");
    conf_error(r->messages, rule->values.items[at].pos, "rule %s: %s", conf_rule_name(rule->kind),
               text ? text + 3 : err.text);
}

static void check_rules(struct resolving *r, const conf_rules *rules, struct arena *scratch) {
    for (size_t i = 0; i < rules->count; i++)
        check_rule(r, &rules->items[i], scratch);
}

static void check_rule_lists(struct resolving *r, const conf_rules *include, const conf_rules *require,
                             const conf_rules *exclude, struct arena *scratch) {
    check_rules(r, include, scratch);
    check_rules(r, require, scratch);
    check_rules(r, exclude, scratch);
}

/* Rule by rule, then as a whole. The whole only where nothing is absent or leads nowhere: the compiler would only say
 * it again. */
static void check_application(struct resolving *r, const struct conf_application *application, bool groups_are_good,
                              struct arena *scratch) {
    size_t errors_before = r->messages->errors;
    struct err err;
    for (size_t i = 0; i < application->policies.count; i++) {
        const struct conf_policy *policy = &application->policies.items[i];
        check_rule_lists(r, &policy->include, &policy->require, &policy->exclude, scratch);
    }
    if (r->is_partial || !groups_are_good || r->messages->errors > errors_before)
        return;
    if (!policy_set_new(application, r->conf, scratch, &err))
        conf_error(r->messages, application->pos, "application '%s': %s", application->name.text, err.text);
}

static void check_applications(struct resolving *r) {
    size_t errors_before = r->messages->errors;
    struct arena *scratch = arena_new(64 * 1024);
    for (size_t i = 0; i < r->conf->groups.count; i++)
        check_rule_lists(r, &r->conf->groups.items[i].include, &r->conf->groups.items[i].require,
                         &r->conf->groups.items[i].exclude, scratch);
    bool groups_are_good = r->messages->errors == errors_before;
    for (size_t i = 0; i < r->conf->applications.count; i++) {
        arena_reset(scratch);
        check_application(r, &r->conf->applications.items[i], groups_are_good, scratch);
    }
    arena_free(scratch);
}

/* ---- tests ---- */

static void check_test(struct resolving *r, struct conf_test *test, size_t index) {
    struct addr addr;
    struct err err;
    if (test->url.text && judge_check_url(slice_of(test->url.text), &err) < 0)
        conf_error(r->messages, test->url.pos, "tests[%zu].url: %s", index, err.text);
    if (test->ip.text && !addr_parse_host(slice_of(test->ip.text), &addr))
        conf_error(r->messages, test->ip.pos, "tests[%zu].ip: expected an address such as 192.0.2.7, found '%s'", index,
                   test->ip.text);
    if (test->certificate.path.text)
        (void)resolve_certificates(r, &test->certificate, arena_printf(r->conf->arena, "tests[%zu].certificate", index),
                                   false);
}

void resolve_policies(struct resolving *r) {
    check_domains(r);
    check_applications(r);
    for (size_t i = 0; i < r->conf->tests.count; i++)
        check_test(r, &r->conf->tests.items[i], i);
}
