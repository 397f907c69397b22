/*
 * templates: `request_headers` and `response_headers` of a hostname, rendered for one exchange (conf/template.h).
 */
#ifndef SALLYPORT_PROXY_TEMPLATES_H
#define SALLYPORT_PROXY_TEMPLATES_H

#include "http/head.h"
#include "proxy/exchange.h"

/* Is it the name of one of the rules, in any spelling, or with "-Too-Large" behind it? rules may be NULL. */
bool templates_have(const conf_headers *rules, struct slice name);
/* Removes from out every header whose name the rules have (sec-12, sec-16), then adds those that are set, unless
 * their value is empty. */
void templates_apply(struct exchange *exchange, const conf_headers *rules, struct headers *out);
/* The value, in the arena: visible ASCII whatever the fields hold, other bytes as \u00XX (sec-14). Fields of the
 * certificate are empty unless it verified; cert_presented, cert_verified and cert_revoked always tell. */
struct slice template_render(struct exchange *exchange, const struct template *template, struct arena *arena);

#endif
