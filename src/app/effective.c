/*
 * effective: the effective policy of each hostname and path, and the effective settings, for `check --print`. Reads the
 * compiled snapshot, so what is shown is what judges.
 */
#include "app/effective.h"

static const char *mode_text(enum client_certificate mode) {
    switch (mode) {
    case CLIENT_CERTIFICATE_OFF:
        return "off";
    case CLIENT_CERTIFICATE_REQUEST:
        return "request";
    case CLIENT_CERTIFICATE_REQUIRE:
        break;
    }
    return "require";
}

struct hostname_print {
    const struct hostname *hostname;
    bool is_all_covered; /* an application covers every path */
    struct sbuf *out;
};

/* Does the domain stand for this hostname, and for all of its paths? */
static bool covers_all(const char *domain, const char *hostname) {
    struct slice host;
    struct slice path = slice_cut(slice_of(domain), '/', &host);
    return slice_eq_str(host, hostname) && (path.len == 0 || slice_eq_str(path, "*"));
}

static void print_application(void *arg, const char *domain, void *value) {
    struct hostname_print *print = arg;
    const struct application *application = value;
    sbuf_printf(print->out, "  %s: application \"%s\"%s\n", domain, application->name,
                application->service_auth_401 ? ", denials are 401"
                : application->deny_url       ? ", denials are 302"
                                              : "");
    if (application->options_preflight_bypass)
        sbuf_append_str(print->out, "    CORS preflights: pass\n");
    policy_set_print(application->policies, 4, print->out);
    sbuf_append_str(print->out, "    otherwise: denied\n");
    if (covers_all(domain, print->hostname->name))
        print->is_all_covered = true;
}

static void print_bundles(const struct trust *trust, struct sbuf *out) {
    for (size_t i = 0; i < trust_bundle_count(trust); i++)
        sbuf_printf(out, "%s\"%s\"", i > 0 ? ", " : " ", trust_bundle_name(trust, i));
}

static void print_hostname(const struct snapshot *snapshot, const struct hostname *hostname, struct sbuf *out) {
    struct hostname_print print = {.hostname = hostname, .out = out};
    sbuf_printf(out, "%s\n  client certificate: %s", hostname->name, mode_text(tls_host_mode(hostname->tls)));
    if (hostname->trust) {
        sbuf_append_str(out, ", judged by CA bundle");
        print_bundles(hostname->trust, out);
    }
    sbuf_printf(out, "\n  upstream: %s\n", hostname->upstream->name);
    application_table_each(snapshot->applications, hostname->name, print_application, &print);
    if (print.is_all_covered)
        return;
    const char *rule = hostname->trust    ? "a valid client certificate"
                       : hostname->public ? "everyone (public)"
                                          : "denied";
    sbuf_printf(out, "  every other path: %s\n", rule);
}

void effective_print(const struct conf *conf, const struct snapshot *snapshot, struct sbuf *out) {
    sbuf_append_str(out, "\n# Effective policy\n\n");
    for (size_t i = 0; i < snapshot->hostname_count; i++) {
        print_hostname(snapshot, snapshot->hostname_list[i], out);
        sbuf_append_char(out, '\n');
    }
    sbuf_append_str(out, "# Effective settings\n\n");
    conf_write_yaml(conf, out);
}
