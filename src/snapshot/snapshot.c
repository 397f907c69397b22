/*
 * snapshot: the life of a generation: made from the resolved document (build.c), shared by reference, taken apart when
 * the last connection and request that pinned it are gone. Opens no file.
 */
#include "snapshot/snapshot.h"

#include "base/mem.h"
#include "build_priv.h"
#include "conf/document.h"

struct snapshot *snapshot_new(const struct resolved *resolved, uint64_t generation, struct ticket_keys *keys,
                              struct err *err) {
    struct snapshot *snapshot = NEW(struct snapshot);
    snapshot->refs = 1;
    snapshot->generation = generation;
    snapshot->arena = arena_new(64 * 1024);
    hostname_table_init(&snapshot->hostnames);
    snapshot->applications = application_table_new();
    snapshot->conf = document_read(sbuf_slice(&resolved->document), err);
    if (!snapshot->conf || snapshot_build(snapshot, resolved, keys, err) < 0)
        snapshot_unref(&snapshot);
    return snapshot;
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
    application_table_free(&last->applications);
    conf_free(&last->conf);
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
