/*
 * derive: a generation whose document is that of the generation before, but for the digests of CRL files: the common
 * case, and one that must cost nothing while clients are served. Only the trusts with a changed list, and the hostnames
 * that have them, are made anew; the rest is shared.
 *
 * A digest of a CRL stands in the document exactly where such a digest stood before, so the comparison needs no parser.
 */
#include "build_priv.h"

#include <string.h>

#include "base/mem.h"

/* ---- the documents ---- */

void snapshot_find_crl_places(struct snapshot_common *common) {
    const struct conf *conf = common->conf;
    const char *at = common->document, *end = at + common->document_len;
    size_t count = 0;
    for (size_t i = 0; i < conf->ca_bundles.count; i++)
        count += conf->ca_bundles.items[i].crl.lists.count;
    common->crl_places = NEW_ARRAY(size_t, count + 1);
    for (size_t i = 0; i < conf->ca_bundles.count; i++) {
        const conf_files *files = &conf->ca_bundles.items[i].crl.lists;
        for (size_t j = 0; j < files->count; j++) {
            const char *digest = files->items[j].digest;
            const char *found =
                strlen(digest) == CRL_DIGEST_LEN ? memmem(at, (size_t)(end - at), digest, CRL_DIGEST_LEN) : NULL;
            if (!found) {
                common->crl_count = 0;
                return;
            }
            common->crl_places[common->crl_count++] = (size_t)(found - common->document);
            at = found + CRL_DIGEST_LEN;
        }
    }
}

static bool is_digest(const char *text) {
    for (size_t i = 0; i < CRL_DIGEST_LEN; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return true;
}

bool snapshot_is_derivable(const struct snapshot *previous, const struct resolved *resolved) {
    const struct snapshot_common *common = previous->common;
    struct slice document = sbuf_slice(&resolved->document);
    size_t from = 0;
    if (common->crl_count == 0 || document.len != common->document_len)
        return false;
    for (size_t i = 0; i < common->crl_count; i++) {
        size_t place = common->crl_places[i];
        if (memcmp(document.ptr + from, common->document + from, place - from) != 0 || !is_digest(document.ptr + place))
            return false;
        from = place + CRL_DIGEST_LEN;
    }
    return memcmp(document.ptr + from, common->document + from, document.len - from) == 0;
}

static void read_crl_digests(struct snapshot *snapshot, const struct resolved *resolved) {
    const struct snapshot_common *common = snapshot->common;
    const char *document = sbuf_slice(&resolved->document).ptr;
    snapshot->crl_digests = ARENA_ARRAY(snapshot->arena, const char *, common->crl_count);
    for (size_t i = 0; i < common->crl_count; i++)
        snapshot->crl_digests[i] =
            arena_str(snapshot->arena, slice_make(document + common->crl_places[i], CRL_DIGEST_LEN));
}

/* ---- trusts ---- */

struct derivation {
    struct builder builder;
    const struct snapshot *previous;
    struct map bundles; /* name to its conf */
    struct map trusts;  /* address of a trust before to struct replacement */
};

/* The trust of the generation before, and the one in its place: the same, or a new one. */
struct replacement {
    struct trust *old, *next;
};

static bool has_new_lists(const struct derivation *derivation, size_t bundle) {
    const struct builder *builder = &derivation->builder;
    for (size_t i = builder->first_crl[bundle]; i < builder->first_crl[bundle + 1]; i++)
        if (strcmp(builder->snapshot->crl_digests[i], derivation->previous->crl_digests[i]) != 0)
            return true;
    return false;
}

static struct trust *make_trust(struct derivation *derivation, struct trust *old, struct err *err) {
    size_t indexes[TRUST_BUNDLES_MAX], count = trust_bundle_count(old);
    bool is_new = false;
    for (size_t i = 0; i < count; i++) {
        const struct conf_ca_bundle *conf = map_get(&derivation->bundles, slice_of(trust_bundle_name(old, i)));
        INVARIANT(conf);
        indexes[i] = (size_t)(conf - derivation->builder.conf->ca_bundles.items);
        is_new |= has_new_lists(derivation, indexes[i]);
    }
    struct trust *next = old;
    if (is_new && builder_trust(&derivation->builder, indexes, count, &next, err) < 0)
        return NULL;
    return next;
}

/* What stands in old's place. The reference is not the caller's. */
static struct trust *replace_trust(struct derivation *derivation, struct trust *old, struct err *err) {
    struct replacement *known = map_get(&derivation->trusts, slice_make(&old, sizeof(old)));
    if (known)
        return known->next;
    struct trust *next = make_trust(derivation, old, err);
    if (!next)
        return NULL;
    known = ARENA_NEW(derivation->builder.scratch, struct replacement);
    *known = (struct replacement){.old = old, .next = next};
    map_put(&derivation->trusts, slice_make(&known->old, sizeof(known->old)), known);
    return next;
}

/* ---- hostnames ---- */

static int derive_hostname(struct derivation *derivation, const struct hostname *old, struct hostname *hostname,
                           struct err *err) {
    *hostname = *old;
    hostname->tls = NULL; /* no reference yet */
    if (!old->trust) {
        hostname->tls = tls_host_ref(old->tls);
        return 0;
    }
    struct trust *trust = replace_trust(derivation, old->trust, err);
    if (!trust)
        return -1;
    hostname->tls = trust == old->trust ? tls_host_ref(old->tls) : tls_host_with_crls(old->tls, trust);
    hostname->trust = trust;
    return 0;
}

static int derive_hostnames(struct derivation *derivation, struct err *err) {
    struct snapshot *snapshot = derivation->builder.snapshot;
    const struct snapshot *previous = derivation->previous;
    struct hostname *hostnames = ARENA_ARRAY(snapshot->arena, struct hostname, previous->hostname_count);
    snapshot->hostname_list = ARENA_ARRAY(snapshot->arena, struct hostname *, previous->hostname_count);
    for (size_t i = 0; i < previous->hostname_count; i++) {
        snapshot->hostname_list[snapshot->hostname_count++] = &hostnames[i];
        if (derive_hostname(derivation, previous->hostname_list[i], &hostnames[i], err) < 0 ||
            hostname_table_add(&snapshot->hostnames, hostnames[i].name, &hostnames[i], err) < 0)
            return err_context(err, "hostname \"%s\"", previous->hostname_list[i]->name);
    }
    return 0;
}

static struct hostname *counterpart(const struct snapshot *snapshot, const struct snapshot *previous,
                                    const struct hostname *old) {
    for (size_t i = 0; i < previous->hostname_count; i++)
        if (previous->hostname_list[i] == old)
            return snapshot->hostname_list[i];
    return NULL;
}

static void derive_listeners(struct snapshot *snapshot, const struct snapshot *previous) {
    snapshot->listeners = ARENA_ARRAY(snapshot->arena, struct snapshot_listener, previous->listener_count);
    for (size_t i = 0; i < previous->listener_count; i++) {
        struct snapshot_listener *listener = &snapshot->listeners[snapshot->listener_count++];
        *listener = previous->listeners[i];
        listener->no_sni = counterpart(snapshot, previous, listener->no_sni);
    }
}

static void derive_gauges(struct derivation *derivation) {
    struct snapshot *snapshot = derivation->builder.snapshot;
    for (size_t i = 0; i < derivation->previous->gauge_count; i++)
        if (derivation->previous->gauges[i].metric == METRIC_CERTIFICATE_NOT_AFTER)
            snapshot->gauges[snapshot->gauge_count++] = derivation->previous->gauges[i];
    for (size_t i = 0; i < snapshot->conf->ca_bundles.count; i++)
        builder_gauge_crls(&derivation->builder, i);
}

/* ---- all of it ---- */

static void share(struct snapshot *snapshot, const struct snapshot *previous) {
    snapshot->tls = tls_profile_ref(previous->tls);
    snapshot->upstreams = previous->upstreams;
    snapshot->upstream_count = previous->upstream_count;
    snapshot->h1_limits = previous->h1_limits;
}

int snapshot_derive(struct snapshot *snapshot, const struct resolved *resolved, const struct snapshot *previous,
                    struct err *err) {
    struct derivation derivation = {.previous = previous};
    read_crl_digests(snapshot, resolved);
    share(snapshot, previous);
    builder_init(&derivation.builder, snapshot, previous);
    map_init(&derivation.bundles);
    map_init(&derivation.trusts);
    for (size_t i = 0; i < snapshot->conf->ca_bundles.count; i++) {
        struct conf_ca_bundle *bundle = &snapshot->conf->ca_bundles.items[i];
        map_put(&derivation.bundles, slice_of(bundle->name.text), bundle);
    }
    builder_collect_crls(&derivation.builder, resolved);
    int status = derive_hostnames(&derivation, err);
    if (status == 0) {
        derive_listeners(snapshot, previous);
        derive_gauges(&derivation);
    }
    map_fini(&derivation.bundles);
    map_fini(&derivation.trusts);
    builder_fini(&derivation.builder);
    return status;
}
