/*
 * resolve: control side: reads and proves every file that a configuration names (keys, certificates, CAs, CRLs),
 * resolves upstream names, and makes what workers are given: the resolved document, the secrets, the CRL indexes. All
 * errors are collected; nothing half-made comes out.
 */
#ifndef SALLYPORT_SNAPSHOT_RESOLVE_H
#define SALLYPORT_SNAPSHOT_RESOLVE_H

#include "base/file.h"
#include "conf/conf.h"
#include "pki/crl.h"

/* What was fetched last from a URL of a bundle (store/kept.h): the part of state_dir, its path, and the key there. The
 * caller frees with mem_free. */
#define CRL_STATE_PART "crls"
char *crl_state_directory(const struct conf *conf);
char *crl_state_key(const char *bundle, const char *url);

struct secret {
    char digest[65];
    char *bytes; /* wiped on free */
    size_t size;
    bool is_controls; /* no worker needs it, so none gets it */
};

struct resolved_crl {
    char digest[65]; /* of the CRL file's DER; a PEM file with several lists has several entries of one file digest */
    struct crl *crl;
};

/* A CRL file as it was before it was read. Only control has these. */
struct resolved_file {
    char *path;
    struct file_stamp stamp;
    bool is_settled; /* a later change makes another stamp */
};

struct resolved {
    struct sbuf document;
    struct secret *secrets;
    size_t secret_count;
    struct resolved_crl *crls;
    size_t crl_count;
    struct resolved_file *files; /* in no order; what is not there is read again at the next refresh */
    size_t file_count;
};

/* previous (may be NULL): the generation in force, so that an older CRL number never replaces a newer one, and a CRL
 * file that is unusable now keeps its last good list with a warning; at start an unusable CRL is an error (sec-09,
 * sec-29). Fills conf's files in. Returns 0, or -1 when messages->errors grew. */
MUST_CHECK int resolve(struct conf *conf, const struct resolved *previous, struct conf_messages *messages,
                       struct resolved *resolved_out);
/* The bytes of a secret, valid as long as resolved; ptr NULL when it has none of that digest. */
struct slice resolved_secret(const struct resolved *resolved, const char *digest);
void resolved_fini(struct resolved *resolved);
/* The one who opens everything: conf_load and resolve. conf_out may be NULL. */
MUST_CHECK int resolve_file(const char *path, const struct resolved *previous, struct conf_messages *messages,
                            struct conf **conf_out, struct resolved *resolved_out);

#endif
