/*
 * build_trust: the part of a snapshot that CRLs belong to: CA bundles, the trusts made of them, and the gauges of both.
 * Called by build.c for all bundles, by derive.c for those whose lists changed.
 */
#include "build_priv.h"

#include <string.h>

/* ---- lists ---- */

/* From the last to the first, each put in front: the lists keep the order of the files. */
void builder_collect_crls(struct builder *builder, const struct resolved *resolved) {
    struct snapshot *snapshot = builder->snapshot;
    snapshot->crls = ARENA_ARRAY(snapshot->arena, struct crl *, resolved->crl_count);
    for (size_t i = resolved->crl_count; i-- > 0;) {
        const struct resolved_crl *from = &resolved->crls[i];
        struct crl_item *item = ARENA_NEW(builder->scratch, struct crl_item);
        item->crl = snapshot->crls[snapshot->crl_count++] = crl_ref(from->crl);
        item->next = map_get(&builder->crls, slice_of(from->digest));
        map_put(&builder->crls, slice_of(from->digest), item);
    }
}

/* Those of the bundle's file. */
static const struct crl_item *lists_of(const struct builder *builder, size_t bundle, size_t file) {
    const char *digest = builder->snapshot->crl_digests[builder->first_crl[bundle] + file];
    return map_get(&builder->crls, slice_of(digest));
}

/* ---- gauges ---- */

void builder_add_gauge(struct snapshot *snapshot, enum metric metric, const char *kind, const char *name,
                       int64_t value) {
    snapshot->gauges[snapshot->gauge_count++] =
        (struct snapshot_gauge){.metric = metric, .kind = kind, .name = name, .value = value};
}

void builder_gauge_crls(struct builder *builder, size_t index) {
    const struct conf_ca_bundle *conf = &builder->conf->ca_bundles.items[index];
    int64_t next_update = INT64_MAX, entries = 0;
    if (conf->crl.lists.count == 0)
        return;
    for (size_t i = 0; i < conf->crl.lists.count; i++) {
        for (const struct crl_item *item = lists_of(builder, index, i); item; item = item->next) {
            int64_t next = crl_next_update(item->crl);
            if (next != 0 && next < next_update)
                next_update = next;
            entries += (int64_t)crl_count(item->crl);
        }
    }
    builder_add_gauge(builder->snapshot, METRIC_CRL_ENTRIES, NULL, conf->name.text, entries);
    if (next_update != INT64_MAX)
        builder_add_gauge(builder->snapshot, METRIC_CRL_NEXT_UPDATE, NULL, conf->name.text, next_update);
}

/* ---- bundles ---- */

static enum trust_eku eku_of(enum conf_eku eku) { return eku == CONF_EKU_ANY ? TRUST_EKU_ANY : TRUST_EKU_CLIENT_AUTH; }

static enum crl_require require_of(enum conf_crl_require require) {
    switch (require) {
    case CONF_CRL_IF_PRESENT:
        return CRL_IF_PRESENT;
    case CONF_CRL_LEAF:
        return CRL_LEAF;
    case CONF_CRL_CHAIN:
        break;
    }
    return CRL_CHAIN;
}

static enum crl_on_expired on_expired_of(enum conf_crl_on_expired on_expired) {
    switch (on_expired) {
    case CONF_CRL_ALLOW:
        return CRL_ALLOW;
    case CONF_CRL_GRACE:
        return CRL_GRACE;
    case CONF_CRL_DENY:
        break;
    }
    return CRL_DENY;
}

static enum trust_ocsp ocsp_of(enum conf_ocsp ocsp) {
    switch (ocsp) {
    case CONF_OCSP_LEAF:
        return TRUST_OCSP_LEAF;
    case CONF_OCSP_CHAIN:
        return TRUST_OCSP_CHAIN;
    case CONF_OCSP_OFF:
        break;
    }
    return TRUST_OCSP_OFF;
}

static int collect_bundle_crls(struct builder *builder, size_t index, struct trust_bundle *bundle, struct err *err) {
    const struct conf_crl *conf = &builder->conf->ca_bundles.items[index].crl;
    size_t count = 0;
    for (size_t i = 0; i < conf->lists.count; i++) {
        const struct crl_item *item = lists_of(builder, index, i);
        if (!item)
            return err_set(err, "the CRL %s was not handed over", conf->lists.items[i].path.text);
        for (; item; item = item->next)
            count++;
    }
    bundle->crls = ARENA_ARRAY(builder->scratch, struct crl *, count);
    for (size_t i = 0; i < conf->lists.count; i++) {
        for (const struct crl_item *item = lists_of(builder, index, i); item; item = item->next)
            bundle->crls[bundle->crl_count++] = item->crl;
    }
    return 0;
}

int builder_bundle(struct builder *builder, size_t index, struct err *err) {
    const struct conf_ca_bundle *conf = &builder->conf->ca_bundles.items[index];
    struct trust_bundle *bundle = &builder->bundles[index];
    if (bundle->name)
        return 0;
    *bundle = (struct trust_bundle){.name = conf->name.text,
                                    .extended_key_usage = eku_of(conf->extended_key_usage),
                                    .partial_chain = conf->partial_chain,
                                    .allow_sha1 = conf->allow_sha1,
                                    .ocsp = ocsp_of(conf->ocsp),
                                    .ocsp_may_be_missing = conf->on_unavailable == CONF_UNAVAILABLE_ALLOW,
                                    .crl_require = require_of(conf->crl.require),
                                    .crl_on_expired = on_expired_of(conf->crl.on_expired),
                                    .crl_grace_seconds = (long)(conf->crl.grace_ms / 1000)};
    if (!builder_is_proved(conf->file.content, conf->file.digest))
        return err_set(err, "%s is not what was proved", conf->file.path.text);
    bundle->proved = proved_new(conf->file.content);
    return collect_bundle_crls(builder, index, bundle, err);
}

int builder_trust(struct builder *builder, const size_t *indexes, size_t count, struct trust **trust_out,
                  struct err *err) {
    *trust_out = NULL;
    if (count == 0)
        return 0;
    struct slice key = slice_make(indexes, count * sizeof(indexes[0]));
    *trust_out = map_get(&builder->trusts, key);
    if (*trust_out)
        return 0;
    struct trust_bundle chosen[TRUST_BUNDLES_MAX];
    for (size_t i = 0; i < count; i++) {
        if (builder_bundle(builder, indexes[i], err) < 0)
            return err_context(err, "CA bundle \"%s\"", builder->conf->ca_bundles.items[indexes[i]].name.text);
        chosen[i] = builder->bundles[indexes[i]];
    }
    *trust_out = trust_new(chosen, count, err);
    if (!*trust_out)
        return -1;
    map_put(&builder->trusts, arena_dup(builder->scratch, key), *trust_out);
    return 0;
}
