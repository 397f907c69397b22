/*
 * crl_audit: see the header. Two generations are compared bundle by bundle, by the bundles' names; lists are told apart
 * by their digest. A list that a newer one of the same CA replaced is not mentioned: the newer one is.
 */
#include "app/crl_audit.h"

#include <string.h>

#include "proxy/observe.h"

typedef bool crl_test(const struct crl *crl, const struct crl *other);

static bool is_same_list(const struct crl *a, const struct crl *b) {
    return memcmp(crl_digest(a), crl_digest(b), SHA256_SIZE) == 0;
}

static bool is_of_same_issuer(const struct crl *a, const struct crl *b) {
    return memcmp(crl_issuer_key(a), crl_issuer_key(b), SHA256_SIZE) == 0;
}

static const struct conf_ca_bundle *find_bundle(const struct conf *conf, const char *name) {
    for (size_t i = 0; i < conf->ca_bundles.count; i++) {
        if (strcmp(conf->ca_bundles.items[i].name.text, name) == 0)
            return &conf->ca_bundles.items[i];
    }
    return NULL;
}

/* A list and where it comes from. */
struct placed_list {
    const char *bundle, *path;
    struct crl *crl;
};

/* The index-th list of the bundle's files; false behind the last. */
static bool list_at(const struct crl_view *view, const struct conf_ca_bundle *bundle, size_t index,
                    struct placed_list *list_out) {
    for (size_t i = 0; i < bundle->crl.lists.count; i++) {
        for (size_t j = 0; j < view->resolved->crl_count; j++) {
            const struct resolved_crl *entry = &view->resolved->crls[j];
            if (strcmp(entry->digest, bundle->crl.lists.items[i].digest) != 0 || index-- > 0)
                continue;
            *list_out = (struct placed_list){bundle->name.text, bundle->crl.lists.items[i].path.text, entry->crl};
            return true;
        }
    }
    return false;
}

static bool has_list(const struct crl_view *view, const char *bundle_name, const struct crl *wanted, crl_test *test) {
    const struct conf_ca_bundle *bundle = find_bundle(view->conf, bundle_name);
    struct placed_list list;
    for (size_t i = 0; bundle && list_at(view, bundle, i, &list); i++) {
        if (test(list.crl, wanted))
            return true;
    }
    return false;
}

static void tell(struct logsink *audit, enum crl_result result, const struct placed_list *list, uint64_t generation) {
    const struct crl_news news = {
        .result = result, .bundle = list->bundle, .path = list->path, .crl = list->crl, .detail = ""};
    observe_crl(audit, &news, crl_result_name(result), generation);
}

/* Every list of `from` that `to` does not know by the test. */
static void tell_missing(struct logsink *audit, enum crl_result result, const struct crl_view *from,
                         const struct crl_view *to, crl_test *test) {
    uint64_t generation = from->generation > to->generation ? from->generation : to->generation;
    for (size_t i = 0; i < from->conf->ca_bundles.count; i++) {
        const struct conf_ca_bundle *bundle = &from->conf->ca_bundles.items[i];
        struct placed_list list;
        for (size_t j = 0; list_at(from, bundle, j, &list); j++) {
            if (!has_list(to, bundle->name.text, list.crl, test))
                tell(audit, result, &list, generation);
        }
    }
}

void crl_audit(struct logsink *audit, const struct crl_view *before, const struct crl_view *now) {
    tell_missing(audit, CRL_RESULT_OK, now, before, is_same_list);
    tell_missing(audit, CRL_RESULT_REMOVED, before, now, is_of_same_issuer);
}
