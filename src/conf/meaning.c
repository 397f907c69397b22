/*
 * meaning: hostnames, CA bundles, applications, policies and tests make sense together: nothing is open that was not
 * said to be open, nothing is configured that can have no effect. Called by conf.c for YAML, after names and
 * references.
 */
#include "base/arena.h"
#include "base/encode.h"
#include "base/glob.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/reason.h"
#include "bind_priv.h"
#include "check_priv.h"
#include "value_priv.h"

struct hostname_facts {
    const struct conf_hostname *hostname;
    bool has_bundle, has_application;
};

struct meaning {
    const struct conf *conf;
    struct conf_messages *messages;
    struct hostname_facts *hostnames;
    struct map by_name; /* hostname to its hostname_facts */
    struct map used_groups, used_upstreams;
};

static const char *quoted(const struct meaning *m, const char *text) {
    return text_describe(m->conf->arena, slice_of(text));
}

/* ---- hostnames and bundles ---- */

static void mark_associated(struct meaning *m, const struct conf_ca_bundle *bundle) {
    for (size_t i = 0; i < bundle->associated_hostnames.count; i++) {
        const char *name = bundle->associated_hostnames.items[i].text;
        struct hostname_facts *facts = name ? map_get(&m->by_name, slice_of(name)) : NULL;
        if (facts)
            facts->has_bundle = true;
    }
    if (bundle->associated_hostnames.count == 0 && bundle->name.text)
        conf_error(m->messages, bundle->name.pos,
                   "CA bundle %s is unused: expected a hostname in its associated_hostnames",
                   quoted(m, bundle->name.text));
}

static void check_hostname(struct meaning *m, const struct hostname_facts *facts) {
    const struct conf_hostname *hostname = facts->hostname;
    if (hostname->certificates.count != hostname->private_keys.count && hostname->certificates.count > 0 &&
        hostname->private_keys.count > 0)
        conf_error(m->messages, hostname->private_keys.items[0].path.pos,
                   "hostname %s: expected as many private keys as certificates (%zu), found %zu",
                   quoted(m, hostname->name.text), hostname->certificates.count, hostname->private_keys.count);
    struct conf_pos place = conf_place(m->conf, &hostname->client_certificate, hostname->name.pos);
    if (hostname->client_certificate != CONF_CLIENT_CERTIFICATE_OFF && !facts->has_bundle)
        conf_error(m->messages, place,
                   "hostname %s asks for client certificates, but no CA bundle is associated with it",
                   quoted(m, hostname->name.text));
    if (hostname->client_certificate == CONF_CLIENT_CERTIFICATE_OFF && facts->has_bundle)
        conf_warning(m->messages, place, "hostname %s has a CA bundle but never asks for a certificate",
                     quoted(m, hostname->name.text));
    if (hostname->public && facts->has_bundle)
        conf_warning(m->messages, conf_place(m->conf, &hostname->public, hostname->name.pos),
                     "hostname %s has a CA bundle, so public: true has no effect", quoted(m, hostname->name.text));
    if (!facts->has_bundle && !facts->has_application && !hostname->public)
        conf_error(m->messages, hostname->name.pos,
                   "hostname %s is covered by no CA bundle and no application: expected one of them, or public: true",
                   quoted(m, hostname->name.text));
}

/* ---- applications ---- */

/* Can a request to this hostname ("host" or "*.host") have this pattern's host? Label by label. */
static bool pattern_meets(struct slice pattern, struct slice hostname) {
    while (pattern.ptr && hostname.ptr) {
        struct slice pattern_label, label;
        pattern = slice_cut(pattern, '.', &pattern_label);
        hostname = slice_cut(hostname, '.', &label);
        if (!slice_eq(label, SLICE("*")) && !glob_match(pattern_label, label))
            return false;
    }
    return !pattern.ptr && !hostname.ptr;
}

/* Calls see for each hostname on which this application can have a say; returns how many. */
static size_t each_met_hostname(struct meaning *m, const struct conf_application *application,
                                void (*see)(const struct conf_application *application, struct hostname_facts *facts,
                                            void *arg),
                                void *arg) {
    struct slice host = slice_first(slice_of(application->domain.text), strcspn(application->domain.text, "/"));
    size_t count = 0;
    if (!memchr(host.ptr, '*', host.len)) {
        struct hostname_facts *exact = map_get(&m->by_name, host);
        /* An exact hostname inherits nothing from a wildcard, so it is one or the other. */
        size_t dot = slice_index(host, '.');
        const char *wildcard = arena_printf(m->conf->arena, "*" SLICE_FMT, SLICE_ARG(slice_after(host, dot)));
        struct hostname_facts *facts = exact ? exact : dot < host.len ? map_get(&m->by_name, slice_of(wildcard)) : NULL;
        if (facts)
            see(application, facts, arg);
        return facts != NULL;
    }
    for (size_t i = 0; i < m->conf->hostnames.count; i++) {
        struct hostname_facts *facts = &m->hostnames[i];
        if (!facts->hostname->name.text || !pattern_meets(host, slice_of(facts->hostname->name.text)))
            continue;
        see(application, facts, arg);
        count++;
    }
    return count;
}

struct application_view {
    struct meaning *m;
    bool asks; /* one of its hostnames asks for certificates */
    struct map bundles_wanted;
};

static void see_hostname(const struct conf_application *application, struct hostname_facts *facts, void *arg) {
    (void)application;
    struct application_view *view = arg;
    facts->has_application = true;
    if (facts->hostname->client_certificate != CONF_CLIENT_CERTIFICATE_OFF)
        view->asks = true;
}

static void check_rule(struct application_view *view, const struct conf_rule *rule) {
    struct meaning *m = view->m;
    if (rule->kind == CONF_RULE_GROUP && rule->values.count > 0)
        map_put(&m->used_groups, slice_of(rule->values.items[0].text), m);
    if (schema_rules[rule->kind].needs_certificate && !view->asks)
        conf_warning(m->messages, rule->pos,
                     "rule %s can never match: no hostname of this application asks for a client certificate",
                     schema_rules[rule->kind].name);
}

static void check_rule_lists(struct application_view *view, const conf_rules *include, const conf_rules *require,
                             const conf_rules *exclude) {
    const conf_rules *lists[] = {include, require, exclude};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (size_t j = 0; j < lists[i]->count; j++)
            check_rule(view, &lists[i]->items[j]);
    }
}

static void refuse_domain(struct meaning *m, const struct conf_application *application) {
    struct slice host = slice_first(slice_of(application->domain.text), strcspn(application->domain.text, "/"));
    struct nearest nearest;
    nearest_init(&nearest, host);
    for (size_t i = 0; i < m->conf->hostnames.count; i++) {
        if (m->conf->hostnames.items[i].name.text)
            nearest_offer(&nearest, slice_of(m->conf->hostnames.items[i].name.text));
    }
    struct sbuf hint;
    sbuf_init(&hint, 512);
    nearest_append(&nearest, &hint);
    conf_error(m->messages, application->domain.pos, "application domain %s meets no hostname%s",
               quoted(m, application->domain.text), sbuf_text(&hint));
    sbuf_fini(&hint);
}

static void check_application(struct meaning *m, const struct conf_application *application) {
    struct application_view view = {.m = m};
    if (!application->domain.text || !application->domain.text[0])
        return;
    if (each_met_hostname(m, application, see_hostname, &view) == 0) {
        refuse_domain(m, application);
        view.asks = true; /* enough said */
    }
    if (application->policies.count == 0)
        conf_warning(m->messages, application->pos, "application %s has no policies: everybody is denied",
                     application->name.text ? quoted(m, application->name.text) : "");
    for (size_t i = 0; i < application->policies.count; i++) {
        const struct conf_policy *policy = &application->policies.items[i];
        check_rule_lists(&view, &policy->include, &policy->require, &policy->exclude);
        if (policy->include.count == 0)
            conf_error(m->messages, policy->pos, "policy %s has no include: expected at least one rule in it",
                       policy->name.text ? quoted(m, policy->name.text) : "");
    }
}

static void check_group(struct meaning *m, const struct conf_group *group) {
    struct application_view view = {.m = m, .asks = true};
    check_rule_lists(&view, &group->include, &group->require, &group->exclude);
    if (group->include.count == 0)
        conf_error(m->messages, group->pos, "group %s has no include: expected at least one rule in it",
                   group->name.text ? quoted(m, group->name.text) : "");
}

/* ---- the rest ---- */

static void check_unused(struct meaning *m) {
    for (size_t i = 0; i < m->conf->groups.count; i++) {
        const struct conf_text *name = &m->conf->groups.items[i].name;
        if (name->text && !map_get(&m->used_groups, slice_of(name->text)))
            conf_warning(m->messages, name->pos, "group %s is unused", quoted(m, name->text));
    }
    for (size_t i = 0; i < m->conf->upstreams.count; i++) {
        const struct conf_text *name = &m->conf->upstreams.items[i].name;
        if (name->text && !map_get(&m->used_upstreams, slice_of(name->text)))
            conf_warning(m->messages, name->pos, "upstream %s is unused", quoted(m, name->text));
    }
}

static void check_admin(struct meaning *m) {
    const struct conf_admin *admin = &m->conf->admin;
    bool is_unix = admin->address.text && strncmp(admin->address.text, "unix:", 5) == 0;
    if (admin->address.text && !is_unix && !admin->token_file.path.text)
        conf_error(m->messages, admin->address.pos,
                   "admin.address: a TCP address needs a token_file; or use unix:PATH");
    if (!admin->address.text && admin->token_file.path.text)
        conf_error(m->messages, admin->token_file.path.pos, "admin.token_file: expected an admin.address with it");
}

/* A base to which "/cdn-cgi/access/certs" is appended, and which validators compare as it is. */
static void check_issuer(struct meaning *m) {
    const struct conf_text *issuer = &m->conf->tokens.issuer;
    struct slice text = slice_of(issuer->text);
    if (!issuer->text)
        return;
    bool is_good = slice_starts_with(text, SLICE("https://")) && text.len > strlen("https://") &&
                   !slice_ends_with(text, SLICE("/"));
    for (size_t i = 0; i < text.len; i++)
        is_good = is_good && text.ptr[i] > ' ' && text.ptr[i] < 0x7f && !strchr("?#\"\\<>@", text.ptr[i]);
    if (!is_good)
        conf_error(m->messages, issuer->pos,
                   "tokens.issuer: expected https:// and a host, without a slash at the end, found %s",
                   quoted(m, issuer->text));
}

static void check_audiences(struct meaning *m) {
    struct map seen;
    uint8_t digest[32];
    map_init(&seen);
    for (size_t i = 0; i < m->conf->applications.count; i++) {
        const struct conf_application *application = &m->conf->applications.items[i];
        struct slice aud = slice_of(application->aud.text);
        if (!aud.ptr)
            continue;
        if (aud.len != 2 * sizeof digest || !hex_decode(aud, digest) || strpbrk(aud.ptr, "ABCDEF"))
            conf_error(m->messages, application->aud.pos, "aud: expected 64 hex digits in lower case, found %s",
                       quoted(m, aud.ptr));
        else if (map_put(&seen, aud, (void *)(uintptr_t)application))
            conf_error(m->messages, application->aud.pos, "aud: another application has this one");
    }
    map_fini(&seen);
}

static void check_test(struct meaning *m, const struct conf_test *test) {
    enum reason reason;
    if (!test->reason.text)
        return;
    if (test->expect != CONF_EXPECT_DENY)
        conf_error(m->messages, test->reason.pos, "a reason is expected only with expect: deny");
    if (reason_from_code(slice_of(test->reason.text), &reason) && reason != REASON_NONE)
        return;
    struct nearest nearest;
    nearest_init(&nearest, slice_of(test->reason.text));
    for (int code = 0; code < REASON_COUNT; code++)
        nearest_offer(&nearest, slice_of(reason_code((enum reason)code)));
    struct sbuf hint;
    sbuf_init(&hint, 128);
    nearest_append(&nearest, &hint);
    conf_error(m->messages, test->reason.pos, "unknown reason %s%s", quoted(m, test->reason.text), sbuf_text(&hint));
    sbuf_fini(&hint);
}

/* A name that looks like an address must be that address, as it is for upstreams written inline. */
static bool name_misleads(const struct conf_upstream *upstream) {
    const char *name = upstream->name.text;
    if (!name || (!strstr(name, "://") && strncmp(name, "builtin:", 8) != 0))
        return false;
    const char *address = upstream->servers.count == 1 ? upstream->servers.items[0].address.text : NULL;
    if (!address)
        return true;
    struct slice host = slice_of(name);
    if (slice_starts_with(host, SLICE("http://")))
        host = slice_after(host, strlen("http://"));
    if (slice_ends_with(host, SLICE("/")))
        host.len--;
    bool is_same = slice_starts_with(slice_of(address), host);
    return !is_same || (address[host.len] != '\0' && strcmp(address + host.len, ":80") != 0);
}

static void check_upstream(struct meaning *m, const struct conf_upstream *upstream) {
    if (name_misleads(upstream))
        conf_error(m->messages, upstream->name.pos, "upstream %s: expected a name that does not look like an address",
                   quoted(m, upstream->name.text));
    for (size_t i = 0; i < upstream->servers.count; i++) {
        const struct conf_text *address = &upstream->servers.items[i].address;
        if (address->text && strncmp(address->text, "https://", 8) == 0)
            conf_error(m->messages, address->pos, "TLS to the upstream (https://) is not supported yet");
        else if (address->text && strstr(address->text, "://"))
            conf_error(m->messages, address->pos, "expected host:port without a scheme, found %s",
                       quoted(m, address->text));
    }
}

/* Goes into a Location header as it is. */
static void check_deny_url(struct meaning *m, const struct conf_text *url) {
    if (!url->text)
        return;
    bool is_visible = true;
    for (const char *c = url->text; *c; c++)
        is_visible = is_visible && *c > 0x20 && *c < 0x7f;
    const char *host = strstr(url->text, "://");
    bool is_http = strncmp(url->text, "https://", 8) == 0 || strncmp(url->text, "http://", 7) == 0;
    if (!is_visible || !is_http || !host[3] || host[3] == '/')
        conf_error(m->messages, url->pos, "custom_non_identity_deny_url: expected https://host/path, found %s",
                   quoted(m, url->text));
}

static void meaning_open(struct meaning *m) {
    const struct conf *conf = m->conf;
    m->hostnames = NEW_ARRAY(struct hostname_facts, conf->hostnames.count + 1);
    map_init(&m->by_name);
    map_init(&m->used_groups);
    map_init(&m->used_upstreams);
    for (size_t i = 0; i < conf->hostnames.count; i++) {
        const struct conf_hostname *hostname = &conf->hostnames.items[i];
        m->hostnames[i].hostname = hostname;
        if (hostname->name.text)
            map_put(&m->by_name, slice_of(hostname->name.text), &m->hostnames[i]);
        if (hostname->upstream.text)
            map_put(&m->used_upstreams, slice_of(hostname->upstream.text), m);
    }
}

static void meaning_close(struct meaning *m) {
    map_fini(&m->by_name);
    map_fini(&m->used_groups);
    map_fini(&m->used_upstreams);
    mem_free(m->hostnames);
}

void check_meaning(const struct conf *conf, struct conf_messages *messages) {
    struct meaning m = {.conf = conf, .messages = messages};
    meaning_open(&m);
    for (size_t i = 0; i < conf->ca_bundles.count; i++)
        mark_associated(&m, &conf->ca_bundles.items[i]);
    for (size_t i = 0; i < conf->applications.count; i++)
        check_application(&m, &conf->applications.items[i]);
    for (size_t i = 0; i < conf->applications.count; i++)
        check_deny_url(&m, &conf->applications.items[i].custom_non_identity_deny_url);
    for (size_t i = 0; i < conf->groups.count; i++)
        check_group(&m, &conf->groups.items[i]);
    for (size_t i = 0; i < conf->hostnames.count; i++) {
        if (m.hostnames[i].hostname->name.text)
            check_hostname(&m, &m.hostnames[i]);
    }
    for (size_t i = 0; i < conf->upstreams.count; i++)
        check_upstream(&m, &conf->upstreams.items[i]);
    for (size_t i = 0; i < conf->tests.count; i++)
        check_test(&m, &conf->tests.items[i]);
    check_unused(&m);
    check_admin(&m);
    check_issuer(&m);
    check_audiences(&m);
    meaning_close(&m);
}
