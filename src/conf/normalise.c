/*
 * normalise: values that may be written in several ways get their one form before anything is compared: host names in
 * lower case without a trailing dot, an entry of its own for each upstream written inline, the default of
 * client_certificate. Called by conf.c for YAML only: the resolved document holds these forms already.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "bind_priv.h"
#include "check_priv.h"

#define HOST_MAX 253
#define LABEL_MAX 63

/* A label of letters, digits and inner hyphens. */
static bool is_label(struct slice label) {
    if (label.len == 0 || label.len > LABEL_MAX || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++) {
        char c = ascii_lower(label.ptr[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return true;
}

/* The form only; what resolve hands to http/target's host_normalise is judged there once more. */
static bool is_host(struct slice host) {
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        return strspn(host.ptr + 1, "0123456789abcdefABCDEF:.") == host.len - 2;
    if (host.len == 0 || host.len > HOST_MAX)
        return false;
    while (host.ptr) {
        struct slice label;
        host = slice_cut(host, '.', &label);
        if (!is_label(label))
            return false;
    }
    return true;
}

static const char *lower(struct arena *arena, struct slice text) {
    char *copy = arena_str(arena, text);
    for (size_t i = 0; i < text.len; i++)
        copy[i] = ascii_lower(copy[i]);
    return copy;
}

static bool is_ascii(const char *text) {
    for (; *text; text++) {
        if ((unsigned char)*text >= 0x80)
            return false;
    }
    return true;
}

static void normalise_host(struct conf *conf, struct conf_messages *messages, const char *where,
                           struct conf_text *name) {
    if (!name->text)
        return;
    struct slice host = slice_of(name->text);
    if (slice_ends_with(host, SLICE(".")))
        host = slice_first(host, host.len - 1);
    struct slice rest = slice_starts_with(host, SLICE("*.")) ? slice_after(host, 2) : host;
    name->text = lower(conf->arena, host);
    rest.ptr = name->text + (host.len - rest.len);
    if (is_host(rest))
        return;
    const char *expected = !is_ascii(name->text) ? "a host name in ASCII form (xn--...)"
                           : strchr(name->text, '*')
                               ? "a host name, or *. and a host name (the star stands for one label)"
                           : strchr(name->text, '/') ? "a host name without scheme and path"
                           : strchr(name->text, ':') ? "a host name without port"
                                                     : "a host name such as iot.example.test";
    conf_error(messages, name->pos, "%s: expected %s, found %s", where, expected,
               text_describe(conf->arena, slice_of(name->text)));
    name->text = NULL;
}

/* The host part only: paths are case-sensitive. Its form is judged by route/application_table. */
static void normalise_domain(struct conf *conf, struct conf_text *domain) {
    if (!domain->text)
        return;
    struct slice path = slice_after(slice_of(domain->text), strcspn(domain->text, "/"));
    struct slice host = slice_first(slice_of(domain->text), (size_t)(path.ptr - domain->text));
    if (host.len > 1 && slice_ends_with(host, SLICE(".")))
        host.len--;
    domain->text = arena_printf(conf->arena, "%s" SLICE_FMT, lower(conf->arena, host), SLICE_ARG(path));
}

static void normalise_hosts(struct conf *conf, struct conf_messages *messages) {
    for (size_t i = 0; i < conf->hostnames.count; i++)
        normalise_host(conf, messages, arena_printf(conf->arena, "hostnames[%zu].name", i),
                       &conf->hostnames.items[i].name);
    for (size_t i = 0; i < conf->listeners.count; i++)
        normalise_host(conf, messages, arena_printf(conf->arena, "listeners[%zu].no_sni", i),
                       &conf->listeners.items[i].no_sni);
    for (size_t i = 0; i < conf->ca_bundles.count; i++) {
        conf_texts *names = &conf->ca_bundles.items[i].associated_hostnames;
        for (size_t j = 0; j < names->count; j++)
            normalise_host(conf, messages, arena_printf(conf->arena, "ca_bundles[%zu].associated_hostnames[%zu]", i, j),
                           &names->items[j]);
    }
    for (size_t i = 0; i < conf->applications.count; i++)
        normalise_domain(conf, &conf->applications.items[i].domain);
}

/* "http://host[:port]" to "host:port"; NULL after an error. */
static const char *inline_address(struct conf *conf, struct conf_messages *messages, const char *where,
                                  const struct conf_text *text) {
    struct slice rest = slice_after(slice_of(text->text), strlen("http://"));
    if (slice_ends_with(rest, SLICE("/")))
        rest.len--;
    if (rest.len == 0 || memchr(rest.ptr, '/', rest.len) || memchr(rest.ptr, '@', rest.len) ||
        memchr(rest.ptr, '?', rest.len)) {
        conf_error(messages, text->pos, "%s: expected http://host:port without a path, found %s", where,
                   text_describe(conf->arena, slice_of(text->text)));
        return NULL;
    }
    size_t literal_end = rest.ptr[0] == '[' ? slice_index(rest, ']') : 0;
    bool has_port = memchr(rest.ptr + literal_end, ':', rest.len - literal_end) != NULL;
    return arena_printf(conf->arena, SLICE_FMT "%s", SLICE_ARG(rest), has_port ? "" : ":80");
}

static void upstream_add(struct conf *conf, struct conf_messages *messages, const struct conf_text *text,
                         const char *address) {
    /* One is added for each distinct text; room grows by doubling. */
    size_t count = conf->upstreams.count;
    if ((count & (count - 1)) == 0) {
        struct conf_upstream *grown = ARENA_ARRAY(conf->arena, struct conf_upstream, count ? 2 * count : 1);
        if (count)
            memcpy(grown, conf->upstreams.items, count * sizeof(*grown));
        conf->upstreams.items = grown;
    }
    struct conf_upstream *upstream = &conf->upstreams.items[conf->upstreams.count++];
    struct conf_server *server = ARENA_NEW(conf->arena, struct conf_server);
    bind_defaults(conf, messages, &schema_upstream, upstream);
    bind_defaults(conf, messages, &schema_server, server);
    upstream->pos = server->pos = text->pos;
    upstream->name = *text;
    server->address = (struct conf_text){address, text->pos};
    upstream->servers.items = server;
    upstream->servers.count = 1;
}

static void normalise_upstreams(struct conf *conf, struct conf_messages *messages) {
    struct map known;
    map_init(&known);
    for (size_t i = 0; i < conf->upstreams.count; i++) {
        if (conf->upstreams.items[i].name.text)
            map_put(&known, slice_of(conf->upstreams.items[i].name.text), conf);
    }
    /* The array is replaced before it is written to for the first time: its end may not be at a power of two. */
    size_t count = conf->upstreams.count, room = 1;
    while (room < count)
        room *= 2;
    struct conf_upstream *items = ARENA_ARRAY(conf->arena, struct conf_upstream, room);
    if (count)
        memcpy(items, conf->upstreams.items, count * sizeof(*items));
    conf->upstreams.items = items;
    for (size_t i = 0; i < conf->hostnames.count; i++) {
        struct conf_text *text = &conf->hostnames.items[i].upstream;
        if (!text->text || map_get(&known, slice_of(text->text)))
            continue;
        const char *where = arena_printf(conf->arena, "hostnames[%zu].upstream", i);
        const char *address = NULL;
        if (strncmp(text->text, "https://", 8) == 0)
            conf_error(messages, text->pos, "%s: TLS to the upstream (https://) is not supported yet", where);
        else if (strncmp(text->text, "http://", 7) == 0)
            address = inline_address(conf, messages, where, text);
        else if (strcmp(text->text, "builtin:whoami") == 0)
            address = text->text;
        else if (strncmp(text->text, "builtin:", 8) == 0)
            conf_error(messages, text->pos, "%s: expected builtin:whoami, found %s", where,
                       text_describe(conf->arena, slice_of(text->text)));
        else
            continue; /* a name that is not there: check_references says so */
        if (address) {
            upstream_add(conf, messages, text, address);
            map_put(&known, slice_of(text->text), conf);
        } else {
            text->text = NULL;
        }
    }
    map_fini(&known);
}

/* `request` when a CA bundle is associated, unless the file says. */
static void default_client_certificate(struct conf *conf) {
    struct map associated;
    map_init(&associated);
    for (size_t i = 0; i < conf->ca_bundles.count; i++) {
        const conf_texts *names = &conf->ca_bundles.items[i].associated_hostnames;
        for (size_t j = 0; j < names->count; j++) {
            if (names->items[j].text)
                map_put(&associated, slice_of(names->items[j].text), conf);
        }
    }
    for (size_t i = 0; i < conf->hostnames.count; i++) {
        struct conf_hostname *hostname = &conf->hostnames.items[i];
        bool is_given = conf_place(conf, &hostname->client_certificate, (struct conf_pos){0, 0}).line > 0;
        if (!is_given && hostname->name.text)
            hostname->client_certificate = map_get(&associated, slice_of(hostname->name.text))
                                               ? CONF_CLIENT_CERTIFICATE_REQUEST
                                               : CONF_CLIENT_CERTIFICATE_OFF;
    }
    map_fini(&associated);
}

/* The application's, unless the file says. */
static void default_session_duration(struct conf *conf) {
    for (size_t i = 0; i < conf->applications.count; i++) {
        const struct conf_application *application = &conf->applications.items[i];
        for (size_t j = 0; j < application->policies.count; j++) {
            struct conf_policy *policy = &application->policies.items[j];
            if (conf_place(conf, &policy->session_duration_ms, (struct conf_pos){0, 0}).line == 0)
                policy->session_duration_ms = application->session_duration_ms;
        }
    }
}

/* Who cannot write where services keep their state keeps it beside the file. */
static void default_state_dir(struct conf *conf) {
    struct conf_text *path = &conf->state_dir.path;
    if (path->text || geteuid() == 0 || getenv("STATE_DIRECTORY"))
        return;
    char *directory = path_directory(conf->file), *state = path_join(directory, "state");
    path->text = arena_str(conf->arena, slice_of(state));
    mem_free(state);
    mem_free(directory);
}

void check_normalise(struct conf *conf, struct conf_messages *messages) {
    normalise_hosts(conf, messages);
    normalise_upstreams(conf, messages);
    default_client_certificate(conf);
    default_session_duration(conf);
    default_state_dir(conf);
}
