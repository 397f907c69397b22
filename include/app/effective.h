/* effective: what is in force, for people: who may go where on each hostname, then every setting with its default
 * filled in. No secrets. */
#ifndef SALLYPORT_APP_EFFECTIVE_H
#define SALLYPORT_APP_EFFECTIVE_H

#include "conf/conf.h"
#include "snapshot/snapshot.h"

/* conf: the one that the snapshot was made of. */
void effective_print(const struct conf *conf, const struct snapshot *snapshot, struct sbuf *out);

#endif
