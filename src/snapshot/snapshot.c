/*
 * snapshot: the life of a generation: made from the resolved document (build.c, derive.c), shared by reference, taken
 * apart when the last connection and request that pinned it are gone. Opens no file.
 */
#include "snapshot/snapshot.h"

#include "base/mem.h"
#include "build_priv.h"
#include "conf/document.h"

/* ---- the common part ---- */

static struct snapshot_common *common_new(const struct resolved *resolved, struct err *err) {
    struct snapshot_common *common = NEW(struct snapshot_common);
    struct slice document = sbuf_slice(&resolved->document);
    common->refs = 1;
    common->arena = arena_new(64 * 1024);
    common->applications = application_table_new();
    common->conf = document_read(document, err);
    if (!common->conf) {
        snapshot_common_unref(&common);
        return NULL;
    }
    common->document = mem_dup(document.ptr, document.len);
    common->document_len = document.len;
    snapshot_find_crl_places(common);
    if (common->crl_count == 0) { /* nothing will be compared with it */
        mem_free(common->document);
        common->document = NULL;
    }
    return common;
}

struct snapshot_common *snapshot_common_ref(struct snapshot_common *common) {
    common->refs++;
    return common;
}

void snapshot_common_unref(struct snapshot_common **common) {
    struct snapshot_common *last = *common;
    *common = NULL;
    if (!last || --last->refs > 0)
        return;
    application_table_free(&last->applications);
    conf_free(&last->conf);
    arena_free(last->arena);
    mem_free(last->crl_places);
    mem_free(last->document);
    mem_free(last);
}

/* ---- a generation ---- */

static struct snapshot *snapshot_alloc(struct snapshot_common *common, uint64_t generation) {
    struct snapshot *snapshot = NEW(struct snapshot);
    snapshot->refs = 1;
    snapshot->generation = generation;
    snapshot->arena = arena_new(64 * 1024);
    hostname_table_init(&snapshot->hostnames);
    snapshot->common = common;
    snapshot->conf = common->conf;
    snapshot->applications = common->applications;
    return snapshot;
}

struct snapshot *snapshot_new_after(const struct resolved *resolved, uint64_t generation, struct ticket_keys *keys,
                                    const struct snapshot *previous, struct err *err) {
    bool is_derived = previous && snapshot_is_derivable(previous, resolved);
    struct snapshot_common *common = is_derived ? snapshot_common_ref(previous->common) : common_new(resolved, err);
    if (!common)
        return NULL;
    struct snapshot *snapshot = snapshot_alloc(common, generation);
    int status = is_derived ? snapshot_derive(snapshot, resolved, previous, err)
                            : snapshot_build(snapshot, resolved, keys, previous, err);
    if (status < 0)
        snapshot_unref(&snapshot);
    return snapshot;
}

struct snapshot *snapshot_new(const struct resolved *resolved, uint64_t generation, struct ticket_keys *keys,
                              struct err *err) {
    return snapshot_new_after(resolved, generation, keys, NULL, err);
}

struct snapshot *snapshot_ref(struct snapshot *snapshot) {
    snapshot->refs++;
    return snapshot;
}

void snapshot_unref(struct snapshot **snapshot) {
    struct snapshot *last = *snapshot;
    *snapshot = NULL;
    if (!last || --last->refs > 0)
        return;
    for (size_t i = 0; i < last->hostname_count; i++)
        tls_host_unref(&last->hostname_list[i]->tls);
    for (size_t i = 0; i < last->crl_count; i++)
        crl_unref(&last->crls[i]);
    tls_profile_unref(&last->tls);
    hostname_table_fini(&last->hostnames);
    snapshot_common_unref(&last->common);
    arena_free(last->arena);
    mem_free(last);
}

const struct hostname *snapshot_hostname(const struct snapshot *snapshot, struct slice host) {
    return hostname_table_find(&snapshot->hostnames, host);
}

void snapshot_publish_metrics(const struct snapshot *snapshot) {
    metric_forget(METRIC_CERTIFICATE_NOT_AFTER);
    metric_forget(METRIC_CRL_NEXT_UPDATE);
    metric_forget(METRIC_CRL_ENTRIES);
    for (size_t i = 0; i < snapshot->gauge_count; i++) {
        const struct snapshot_gauge *gauge = &snapshot->gauges[i];
        if (gauge->kind)
            metric_set(gauge->metric, gauge->value, gauge->kind, gauge->name);
        else
            metric_set(gauge->metric, gauge->value, gauge->name);
    }
    metric_set(METRIC_GENERATION, (int64_t)snapshot->generation);
}
