/*
 * fetch_rules: the `fetch:` part of the configuration, ready for requests: which networks, which redirects, which CAs,
 * how long. One for each configuration in force, kept by whoever fetches (CRLs, OCSP, webhooks).
 */
#ifndef SALLYPORT_STORE_FETCH_RULES_H
#define SALLYPORT_STORE_FETCH_RULES_H

#include "conf/conf.h"
#include "store/fetch.h"

struct fetch_rules;
/* conf: as resolved (its networks parse). Copied. */
struct fetch_rules *fetch_rules_new(const struct conf_fetch *conf);
void fetch_rules_free(struct fetch_rules **rules);
/* Fills in limits, networks, redirects and CAs; the request borrows them. */
void fetch_rules_apply(const struct fetch_rules *rules, struct fetch_request *request);

#endif
