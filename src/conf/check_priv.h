/*
 * check: what a configuration must hold beyond the type of each value, as far as no other file has to be opened. Called
 * by conf.c after a YAML file is bound, and by document.c, which needs references that lead somewhere. All of it copes
 * with texts that are absent, so that every error is found at once.
 */
#ifndef SALLYPORT_CONF_CHECK_PRIV_H
#define SALLYPORT_CONF_CHECK_PRIV_H

#include "conf/conf.h"

struct conf *conf_new(const char *file);

/* Host names to their one form; upstreams that are written inline get an entry; client_certificate its default. Errors
 * for forms that cannot be. */
void check_normalise(struct conf *conf, struct conf_messages *messages);
/* Everything that a name refers to is there; names are unique; groups have no cycle. */
void check_references(const struct conf *conf, struct conf_messages *messages);
/* Hostnames, bundles, applications, policies and tests make sense together. */
void check_meaning(const struct conf *conf, struct conf_messages *messages);

#endif
