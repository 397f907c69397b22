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
    struct map certificates;    /* path to struct loaded_chain */
    struct map bundle_counts;   /* hostname to the number of its CA bundles; empty until it is asked for */
    time_t *anchor_ends;        /* for each CA bundle: when its last anchor expires; 0: it could not be read */
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
 * an error. */
const struct secret *resolve_secret(struct resolving *r, struct conf_file *file, const char *who);
/* The same, of a secret that only control needs; without white space at its end. */
const struct secret *resolve_controls_secret(struct resolving *r, struct conf_file *file, const char *who);
/* Warns about certificates that have expired, soon will, or are not yet valid. */
void resolve_warn_dates(struct resolving *r, const struct cert_list *certs, struct conf_pos pos, const char *who);

/* Warns of hostnames whose last CA has expired or soon will (resolve_expiry.c). */
void resolve_last_cas(struct resolving *r);
void resolve_note_anchors(struct resolving *r, const struct conf_ca_bundle *bundle, const struct cert_list *certs);
void resolve_bundle(struct resolving *r, struct conf_ca_bundle *bundle);
/* The CRLs of a bundle, loaded or kept from before: references, in an array for mem_free. issuers: the bundle's
 * certificates. */
size_t resolve_crls(struct resolving *r, struct conf_ca_bundle *bundle, const struct cert_list *issuers,
                    struct crl ***crls_out);
/* The lists of a file: owned references, in its order. */
struct crl_list {
    struct crl **items;
    size_t count;
};

/* ---- where lists come from (crl_source.c) ---- */

/* In place of a path: what was fetched last. */
bool crl_path_is_url(const char *path);
/* The lists that are kept. False: none are, and err says why ("": nothing was ever fetched). */
bool crl_load_kept(const struct conf *conf, const char *bundle, const char *url, const struct cert_list *issuers,
                   struct crl_list *out, struct err *err);
/* Made by crl_directory_read of this directory; which may be NULL. */
bool crl_path_is_in(const char *directory, const char *path);
struct crl_paths {
    const char **items; /* the strings are the arena's */
    size_t count;
};
/* The files of a directory, sorted by name. err says what is wrong with it, without its name. */
MUST_CHECK int crl_directory_read(const char *directory, struct arena *arena, struct crl_paths *paths_out,
                                  struct err *err);
void crl_paths_fini(struct crl_paths *paths);
struct conf_file *crl_find_list(const struct conf_crl *crl, const char *path);
/* Room for so many more; what pointed to the lists becomes invalid. */
void crl_reserve_lists(struct arena *arena, struct conf_crl *crl, size_t more);
/* At the end, in room that was reserved. */
struct conf_file *crl_add_list(struct conf_crl *crl, const struct conf_text *path);
void crl_remove_list(struct conf_crl *crl, const char *path);

/* ---- lists (resolve_crl.c) ---- */

void crl_list_add(struct crl_list *list, struct crl *crl);
void crl_list_fini(struct crl_list *list);
/* What crl_load_file calls; arg is the list. */
void crl_list_take(void *arg, struct crl *crl);
/* What names the file in the document. One list: its own digest. Several: that of their digests. */
void crl_list_digest(const struct crl_list *list, char out[65]);
/* Puts those of resolved that have this digest, and an issuer among these, at the end of out. */
void crl_list_add_from(struct crl_list *list, const struct resolved *resolved, const char *digest,
                       const struct cert_list *issuers);
/* Hands the lists of a file over to the workers, once for each digest. */
void resolved_add_crls(struct resolved *resolved, const char *digest, const struct crl_list *list);
/* Remembers when a file was looked at: before it is read. */
void resolved_add_file(struct resolved *resolved, const char *path, const struct file_stamp *stamp, bool is_settled);
/* Whether a change after now makes another stamp: file systems count time in steps. */
bool stamp_is_settled(const struct file_stamp *stamp, int64_t now_us);
bool crl_speaks_for_the_same(const struct crl *a, const struct crl *b);
/* By CRL number; by thisUpdate where one of the two has none. */
bool crl_is_older(const struct crl *crl, const struct crl *than);
/* "number 0A of 2026-03-01T00:00:00Z" */
const char *crl_describe(struct arena *arena, const struct crl *crl);
/* Hundredths of its life that are over, in the steps that are warned about: 0, 50, 80, 95, 100. */
int crl_age(const struct crl *crl, time_t now);
/* What is said at an age above 0: "... is past 80 % of its life; its next update is due on ...". */
const char *crl_age_text(struct arena *arena, const struct crl *crl, const char *path, time_t now);

void resolve_hostname(struct resolving *r, struct conf_hostname *hostname);
void resolve_network(struct resolving *r);  /* listeners, admin, upstreams */
void resolve_policies(struct resolving *r); /* domains, rules, tests */

#endif
