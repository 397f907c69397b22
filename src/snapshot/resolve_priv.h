/*
 * resolve: what its files share: the work in hand, reading with an error at the path's place, and the parts of a
 * configuration that each proves.
 */
#ifndef SALLYPORT_SNAPSHOT_RESOLVE_PRIV_H
#define SALLYPORT_SNAPSHOT_RESOLVE_PRIV_H

#include <time.h>

#include "base/map.h"
#include "pki/cert.h"
#include "snapshot/resolve.h"

#define PEM_SIZE_MAX ((size_t)4 * 1024 * 1024)
#define EXPIRES_SOON_DAYS 30

struct resolving {
    struct conf *conf;
    struct conf_messages *messages;
    struct resolved *out;
    const struct resolved *previous;
    struct conf *previous_conf; /* of the previous document; NULL without one */
    struct map secrets;         /* digest to anything: those that out has */
    struct map crls;            /* digest to anything */
    struct map certificates;    /* path to struct loaded_chain */
    time_t now;
    bool is_partial; /* the configuration has errors already: look for more, make nothing */
};

/* The certificates of a PEM file, read once however many hostnames use it. */
struct loaded_chain {
    struct cert_list certs;
    struct slice pem; /* only the certificates, in one form: what the document holds */
    char digest[65];
    bool is_warned; /* about dates */
};

/* Reads file's certificates and fills in its content and digest. NULL, with an error at the path's place that says what
 * (who) it is for, when it cannot be used. refuse_keys: a private key in the file is an error. */
struct loaded_chain *resolve_certificates(struct resolving *r, struct conf_file *file, const char *who,
                                          bool refuse_keys);
/* Reads a secret; its digest goes to file, its bytes to the secrets. Returns them, valid as long as r->out; NULL after
 * an error. trim: without white space at its end. */
const struct secret *resolve_secret(struct resolving *r, struct conf_file *file, const char *who, bool trim);
/* Warns about certificates that have expired, soon will, or are not yet valid. */
void resolve_warn_dates(struct resolving *r, const struct cert_list *certs, struct conf_pos pos, const char *who);

void resolve_bundle(struct resolving *r, struct conf_ca_bundle *bundle);
/* The CRLs of a bundle, loaded or kept from before: references, in an array for mem_free. issuers: the bundle's
 * certificates. */
size_t resolve_crls(struct resolving *r, struct conf_ca_bundle *bundle, const struct cert_list *issuers,
                    struct crl ***crls_out);
void resolve_hostname(struct resolving *r, struct conf_hostname *hostname);
void resolve_network(struct resolving *r);  /* listeners, admin, upstreams */
void resolve_policies(struct resolving *r); /* domains, rules, tests */

#endif
