/*
 * crl_audit: see the header. Two generations are compared bundle by bundle, by the bundles' names; lists are told apart
 * by their digest. A list that a newer one of the same CA replaced is not mentioned: the newer one is.
 */
#include "app/crl_audit.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "proxy/observe.h"

#define DETAIL_SIZE 1024
#define NUMBER_SHOWN_MAX 20

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

/* The index-th list of the bundle's files; NULL behind the last. */
static const struct crl *list_at(const struct crl_view *view, const struct conf_ca_bundle *bundle, size_t index) {
    for (size_t i = 0; i < bundle->crl.lists.count; i++) {
        for (size_t j = 0; j < view->resolved->crl_count; j++) {
            const struct resolved_crl *entry = &view->resolved->crls[j];
            if (strcmp(entry->digest, bundle->crl.lists.items[i].digest) == 0 && index-- == 0)
                return entry->crl;
        }
    }
    return NULL;
}

static bool has_list(const struct crl_view *view, const char *bundle_name, const struct crl *wanted, crl_test *test) {
    const struct conf_ca_bundle *bundle = find_bundle(view->conf, bundle_name);
    const struct crl *crl;
    for (size_t i = 0; bundle && (crl = list_at(view, bundle, i)); i++) {
        if (test(crl, wanted))
            return true;
    }
    return false;
}

static void tell(struct logsink *audit, const char *result, const char *bundle, const struct crl *crl,
                 uint64_t generation) {
    char detail[DETAIL_SIZE], from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE] = "", number[2 * NUMBER_SHOWN_MAX + 1] = "";
    struct slice n = crl_number(crl);
    bool has_number = crl_has_number(crl) && n.len <= NUMBER_SHOWN_MAX;
    if (has_number)
        hex_upper(n.ptr, n.len, number);
    if (crl_next_update(crl) != 0)
        clock_format(crl_next_update(crl), to);
    (void)snprintf(detail, sizeof detail, "CA bundle '%s': CRL of %.256s%s%s, of %s%s%s, %zu %s", bundle,
                   crl_issuer_text(crl), has_number ? ", number " : "", number,
                   clock_format(crl_this_update(crl), from), *to ? ", next update " : "", to, crl_count(crl),
                   crl_count(crl) == 1 ? "entry" : "entries");
    observe_event(audit, "crl", result, detail, generation);
}

/* Every list of `from` that `to` does not know by the test. */
static void tell_missing(struct logsink *audit, const char *result, const struct crl_view *from,
                         const struct crl_view *to, crl_test *test) {
    uint64_t generation = from->generation > to->generation ? from->generation : to->generation;
    for (size_t i = 0; i < from->conf->ca_bundles.count; i++) {
        const struct conf_ca_bundle *bundle = &from->conf->ca_bundles.items[i];
        const struct crl *crl;
        for (size_t j = 0; (crl = list_at(from, bundle, j)); j++) {
            if (!has_list(to, bundle->name.text, crl, test))
                tell(audit, result, bundle->name.text, crl, generation);
        }
    }
}

void crl_audit(struct logsink *audit, const struct crl_view *before, const struct crl_view *now) {
    tell_missing(audit, "in_force", now, before, is_same_list);
    tell_missing(audit, "removed", before, now, is_of_same_issuer);
}
