/*
 * webhooks: alerts to the addresses of `alerts: {webhooks: [...]}`, in Cloudflare's generic payload with its
 * cf-webhook-auth header (facts 8). Control only. Never in anybody's way: posts run in the background, are retried with
 * growing pauses for a day, and are bounded in number; what is given up is logged and counted.
 */
#ifndef SALLYPORT_APP_WEBHOOKS_H
#define SALLYPORT_APP_WEBHOOKS_H

#include <time.h>

#include "conf/conf.h"
#include "io/loop.h"
#include "snapshot/resolve.h"

/* Texts are copied. */
struct alert {
    const char *type;                             /* "access_custom_certificate_expiration_type" */
    const char *id;                               /* of what it is about and how far it has come: 64 hex digits */
    const char *text;                             /* a sentence */
    const char *kind, *name, *subject, *severity; /* go into `data` */
    const char *fingerprint;                      /* SHA-256, or "" */
    const conf_texts *hostnames;                  /* concerned; or NULL */
    time_t expires;
};

struct webhooks;
MUST_CHECK struct webhooks *webhooks_new(struct loop *loop, struct err *err);
/* After every commit: where to and with which secrets. What is still on its way to an address that is not configured
 * any more is dropped. */
void webhooks_set(struct webhooks *webhooks, const struct conf *conf, const struct resolved *resolved);
/* To every address that was not told of this id before; deliveries are remembered in `state_dir`, across restarts. */
void webhooks_send(struct webhooks *webhooks, const struct alert *alert);
void webhooks_free(struct webhooks **webhooks);

#endif
