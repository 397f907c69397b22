/* fetch_rules: see the header. Owns copies of the texts; nothing of the configuration need stay. */
#include "store/fetch_rules.h"

#include "base/mem.h"

struct fetch_rules {
    struct cidr *networks;
    size_t network_count;
    char **hosts;
    size_t host_count;
    char *ca_file;
    unsigned redirects;
    int64_t connect_ms, total_ms;
};

struct fetch_rules *fetch_rules_new(const struct conf_fetch *conf) {
    struct fetch_rules *rules = NEW(struct fetch_rules);
    rules->networks = NEW_ARRAY(struct cidr, conf->private_networks.count + 1);
    for (size_t i = 0; i < conf->private_networks.count; i++) {
        struct slice text = slice_of(conf->private_networks.items[i].text);
        int parsed = cidr_parse(text, &rules->networks[rules->network_count++], NULL);
        INVARIANT(parsed == 0);
    }
    rules->hosts = NEW_ARRAY(char *, conf->redirect_hosts.count + 1);
    for (size_t i = 0; i < conf->redirect_hosts.count; i++)
        rules->hosts[rules->host_count++] = mem_strdup(conf->redirect_hosts.items[i].text);
    rules->ca_file = conf->ca_file.path.text ? mem_strdup(conf->ca_file.path.text) : NULL;
    rules->redirects = (unsigned)conf->redirects;
    rules->connect_ms = conf->connect_timeout_ms;
    rules->total_ms = conf->timeout_ms;
    return rules;
}

void fetch_rules_free(struct fetch_rules **rules_ptr) {
    struct fetch_rules *rules = *rules_ptr;
    *rules_ptr = NULL;
    if (!rules)
        return;
    for (size_t i = 0; i < rules->host_count; i++)
        mem_free(rules->hosts[i]);
    mem_free(rules->hosts);
    mem_free(rules->networks);
    mem_free(rules->ca_file);
    mem_free(rules);
}

void fetch_rules_apply(const struct fetch_rules *rules, struct fetch_request *request) {
    request->networks = rules->networks;
    request->network_count = rules->network_count;
    request->redirect_hosts = (const char *const *)rules->hosts;
    request->redirect_host_count = rules->host_count;
    request->redirects_max = rules->redirects;
    request->ca_file = rules->ca_file;
    request->connect_ms = rules->connect_ms;
    request->total_ms = rules->total_ms;
}
