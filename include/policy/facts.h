/*
 * facts: what a judgement may look at. Values only; filled by proxy/exchange from the connection's peer and the
 * request, or by explain from its arguments. No clock: dates were judged by verify.
 */
#ifndef SALLYPORT_POLICY_FACTS_H
#define SALLYPORT_POLICY_FACTS_H

#include "io/addr.h"
#include "pki/identity.h"
#include "pki/trust.h"
#include "pki/verify.h"

struct facts {
    const struct identity *identity;    /* NULL: no certificate presented */
    const struct verify_report *report; /* never NULL; verified only if report->reason is NONE */
    const struct trust *trust;          /* what report->bundles indexes; NULL for a hostname without CA bundle */
    const struct addr *client;
    struct slice method;
    /* OPTIONS with Origin and Access-Control-Request-Method, without body and upgrade (Fetch, 4.8): never with a
     * certificate */
    bool is_preflight;
};

#endif
