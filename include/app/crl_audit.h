/*
 * crl_audit: which revocation lists a reload put in force or took out of it, for the audit log (event "crl"). Called by
 * the gateway when a generation has become the one in force. Owns nothing.
 */
#ifndef SALLYPORT_APP_CRL_AUDIT_H
#define SALLYPORT_APP_CRL_AUDIT_H

#include "base/logsink.h"
#include "snapshot/resolve.h"

/* The control side's view of a generation. */
struct crl_view {
    const struct conf *conf;
    const struct resolved *resolved;
    uint64_t generation;
};

/* One line for each list of `now` that its bundle did not have in `before`, and for each that is gone and has no
 * successor. */
void crl_audit(struct logsink *audit, const struct crl_view *before, const struct crl_view *now);

#endif
