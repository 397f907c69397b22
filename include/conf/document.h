/*
 * document: the resolved document: a struct conf as JSON, every default filled in, every file's content inlined,
 * secrets named by digest. The one format that crosses a process boundary. Written and read through the same schema
 * table as the YAML.
 */
#ifndef SALLYPORT_CONF_DOCUMENT_H
#define SALLYPORT_CONF_DOCUMENT_H

#include "conf/conf.h"

/* Deterministic: equal configurations give equal bytes. Leaves tests: out. */
void document_write(const struct conf *conf, struct sbuf *out);
/* The inverse. Bounds and types are checked as for YAML: an error is a bug or a damaged document. */
MUST_CHECK struct conf *document_read(struct slice json, struct err *err);

#endif
