/* admin_client: what subcommands ask a running gateway on its admin address. Waits; for the command line only. */
#ifndef SALLYPORT_APP_ADMIN_CLIENT_H
#define SALLYPORT_APP_ADMIN_CLIENT_H

#include "base/err.h"
#include "base/sbuf.h"

/* GET path of the gateway that runs with this configuration file (NULL: the default one). body_out is empty to begin
 * with, and bounded. 0 for an answer with 200; 1 for no answer, or another one; 2 when the configuration does not say
 * where to ask. */
MUST_CHECK int admin_ask(const char *config_path, const char *path, struct sbuf *body_out, struct err *err);

#endif
