/*
 * build: the making of a snapshot, shared by its files:
 *
 *   build.c        a generation from its document, whole
 *   build_trust.c  CA bundles with their CRLs, trusts, and the gauges of both
 *   derive.c       a generation that differs from one before in nothing but its CRLs
 */
#ifndef SALLYPORT_SNAPSHOT_BUILD_PRIV_H
#define SALLYPORT_SNAPSHOT_BUILD_PRIV_H

#include "base/map.h"
#include "snapshot/snapshot.h"

/* What a generation has in common with those that differ from it only in their CRLs. */
struct snapshot_common {
    unsigned refs;
    struct arena *arena; /* of upstreams, applications and their policies */
    struct conf *conf;
    struct application_table *applications;
    char *document; /* of the first of these generations */
    size_t document_len;
    size_t *crl_places; /* where in it the digests of CRL files stand, in the order of bundles and files */
    size_t crl_count;   /* places; 0 if one was not found, and nothing can be derived */
};
struct snapshot_common *snapshot_common_ref(struct snapshot_common *common);
void snapshot_common_unref(struct snapshot_common **common);

#define CRL_DIGEST_LEN 64

/* A hostname on its way. */
struct source {
    const struct conf_hostname *conf;
    struct hostname *hostname;
    size_t bundles[TRUST_BUNDLES_MAX]; /* indexes of conf->ca_bundles, in their order */
    size_t bundle_count;
};

/* The CRLs of one file, by its digest. */
struct crl_item {
    struct crl *crl;
    struct crl_item *next;
};

struct builder {
    struct snapshot *snapshot;
    const struct conf *conf;
    const struct snapshot *previous; /* what did not change is taken from there; or NULL */
    struct arena *scratch;
    struct source *sources;       /* as many as conf->hostnames */
    struct trust_bundle *bundles; /* as many as conf->ca_bundles; name NULL: not built yet */
    size_t *first_crl;            /* of each bundle, in snapshot->crl_digests */
    struct map by_name;           /* hostname to struct source */
    struct map upstreams;         /* name to struct upstream */
    struct map secrets;           /* digest to struct secret */
    struct map crls;              /* digest of the file to struct crl_item */
    struct map keypairs;          /* digests of certificate and key to struct keypair, a reference */
    struct map trusts;            /* indexes of the bundles, as bytes, to struct trust, a reference */
};

/* snapshot has its conf, common part and crl_digests. */
void builder_init(struct builder *builder, struct snapshot *snapshot, const struct snapshot *previous);
void builder_fini(struct builder *builder);

/* Has the content this digest? Then it is what control has decoded and proved. */
bool builder_is_proved(struct slice content, const char *digest);

/* ---- build_trust.c ---- */

/* Takes references of all lists for the snapshot. */
void builder_collect_crls(struct builder *builder, const struct resolved *resolved);
/* Builds bundles[index], once. */
MUST_CHECK int builder_bundle(struct builder *builder, size_t index, struct err *err);
/* One trust for each set of bundles; NULL for the empty set. The reference is the builder's. */
MUST_CHECK int builder_trust(struct builder *builder, const size_t *indexes, size_t count, struct trust **trust_out,
                             struct err *err);
void builder_add_gauge(struct snapshot *snapshot, enum metric metric, const char *kind, const char *name,
                       int64_t value);
/* Entries and nextUpdate of the bundle's lists. */
void builder_gauge_crls(struct builder *builder, size_t index);

/* ---- the two ways ---- */

/* Each fills an empty snapshot (arena and common are there). On failure it is left half-made, good for
 * snapshot_unref() only. */
MUST_CHECK int snapshot_build(struct snapshot *snapshot, const struct resolved *resolved, struct ticket_keys *keys,
                              const struct snapshot *previous, struct err *err);
/* snapshot_is_derivable() first. */
MUST_CHECK int snapshot_derive(struct snapshot *snapshot, const struct resolved *resolved,
                               const struct snapshot *previous, struct err *err);
/* Is the document that of previous but for the digests of CRL files? */
bool snapshot_is_derivable(const struct snapshot *previous, const struct resolved *resolved);
/* Finds the digests of CRL files in the document. */
void snapshot_find_crl_places(struct snapshot_common *common);

#endif
