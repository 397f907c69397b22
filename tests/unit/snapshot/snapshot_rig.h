/*
 * snapshot_rig: snapshots without a file system, for the tests of snapshot/. YAML goes through conf_parse(); what
 * resolve would read from disk comes from a PKI made in memory, by the base name of the path:
 *
 *   server-a.pem, server-b.pem, -key.pem  certificates of the gateway
 *   devices-ca.pem, fleet-ca.pem          CAs of clients
 *   devices.crl                           a CRL of devices-ca with "revoked" on it
 */
#ifndef SALLYPORT_TESTS_SNAPSHOT_SNAPSHOT_RIG_H
#define SALLYPORT_TESTS_SNAPSHOT_SNAPSHOT_RIG_H

#include <check.h>

#include "snapshot/judge.h"
#include "support/testpki.h"

struct rig_pki {
    struct testpki server_a, server_b, devices, fleet;
    /* By devices, but the last: good for a year around TESTPKI_NOW, unless the name says otherwise. */
    struct testpki sensor, revoked, expired, future, server_only, truck;
    struct testpki stranger; /* by nobody; its common name is the sensor's */
};
const struct rig_pki *rig_pki(void);

/* The resolved document and its secrets. Fails the test when the YAML has errors. */
void rig_resolve(const char *yaml, struct resolved *resolved_out);
struct snapshot *rig_snapshot(const char *yaml);
/* Keys that outlive every snapshot. */
struct ticket_keys *rig_keys(void);

/* Judges at TESTPKI_NOW. certificate NULL: none. The answer is the caller's to fini. */
struct answer rig_ask(const struct snapshot *snapshot, const char *url, const struct testpki *certificate);
struct answer rig_ask_traced(const struct snapshot *snapshot, const char *url, const struct testpki *certificate,
                             const char *method, struct trace *trace);

#endif
