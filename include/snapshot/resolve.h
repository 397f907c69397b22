/*
 * resolve: control side: reads and proves every file that a configuration names (keys, certificates, CAs, CRLs),
 * resolves upstream names, and makes what workers are given: the resolved document, the secrets, the CRL indexes. All
 * errors are collected; nothing half-made comes out.
 */
#ifndef SALLYPORT_SNAPSHOT_RESOLVE_H
#define SALLYPORT_SNAPSHOT_RESOLVE_H

#include <time.h>

#include "base/file.h"
#include "conf/conf.h"
#include "pki/crl.h"

struct secret {
    char digest[65];
    char *bytes; /* wiped on free */
    size_t size;
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
void resolved_fini(struct resolved *resolved);
/* The one who opens everything: conf_load and resolve. conf_out may be NULL. */
MUST_CHECK int resolve_file(const char *path, const struct resolved *previous, struct conf_messages *messages,
                            struct conf **conf_out, struct resolved *resolved_out);

/* ---- the CRL files alone, while a configuration is in force ---- */

/* What a look at a CRL file found. */
enum crl_result {
    CRL_RESULT_OK,        /* a list that is to replace the one in force */
    CRL_RESULT_UNCHANGED, /* read again, and it holds what is in force */
    CRL_RESULT_OLDER,     /* it holds an older list than the one in force, which stays */
    CRL_RESULT_UNUSABLE,  /* missing, half-written, damaged, by a stranger, without a list that was there: the last good
                             one stays */
    CRL_RESULT_AGEING     /* the list in force is past another part of its life (crl_files_check_age) */
};
const char *crl_result_name(enum crl_result result); /* "ok", "unchanged", "older", "unusable", "ageing". Static. */

struct crl_news {
    enum crl_result result;
    const char *bundle, *path;
    struct crl *crl;    /* OK: a new list, one call for each; else one that stays (NULL if there is none) */
    const char *detail; /* a sentence for people; "" with OK */
    bool is_repeated;   /* the file was told of before, for the same reason, and was not good since */
};

/* What control remembers of the CRL files between two looks: when each was last read and what became of it. news is
 * called from the functions below, what it is given is valid during the call. */
struct crl_files;
struct crl_files *crl_files_new(void (*news)(void *arg, const struct crl_news *news), void *arg);
void crl_files_free(struct crl_files **files);
/* After each commit: the generation in force. Files that were not read since are not read for that. */
void crl_files_set(struct crl_files *files, const struct resolved *in_force);
/* The next look reads every file, whether it seems changed or not. */
void crl_files_forget(struct crl_files *files);
/* How many; the paths as configured, valid until the next crl_files_set. */
size_t crl_files_paths(const struct crl_files *files, const char *const **paths_out);
/* Warnings at 50, 80, 95 and 100 % of the life of each list in force, once each. */
void crl_files_check_age(struct crl_files *files, const struct resolved *in_force, time_t now);
/* Reads the files that may have changed since they were last read (by stat: the others cost nothing) and compares them
 * with in_force, the generation of crl_files_set. What cannot be used, or is older, keeps its last good list. True: a
 * list is to be replaced, and resolved_out is the generation with it, whole; false: nothing to do, resolved_out is
 * empty. *is_settled_out: false when a file was written so shortly before that its times may not tell the next change:
 * look again within seconds. */
MUST_CHECK bool resolve_refresh_crls(struct crl_files *files, const struct resolved *in_force,
                                     struct resolved *resolved_out, bool *is_settled_out);

#endif
