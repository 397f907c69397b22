/*
 * crl_files: the sources of CRLs (files, directories, what was fetched from URLs) while a configuration is in force:
 * which may have changed, what became of them, and a generation that differs from the one in force in nothing but its
 * lists. No list that would make trust weaker than it is comes into force (sec-29): not an older one, not one that does
 * not verify; what is missing stays. Control side.
 */
#ifndef SALLYPORT_SNAPSHOT_CRL_FILES_H
#define SALLYPORT_SNAPSHOT_CRL_FILES_H

#include <time.h>

#include "snapshot/resolve.h"

/* What a look at a source found. */
enum crl_result {
    CRL_RESULT_NONE,      /* not looked at yet */
    CRL_RESULT_OK,        /* a list that is to come into force */
    CRL_RESULT_UNCHANGED, /* read again, and it holds what is in force */
    CRL_RESULT_OLDER,     /* it holds an older list than the one in force, which stays */
    CRL_RESULT_UNUSABLE,  /* missing, half-written, damaged, by a stranger, without a list that was there: the last good
                             one stays */
    CRL_RESULT_REMOVED,   /* gone from its directory, and another file there has a list in its place */
    CRL_RESULT_AGEING     /* the list in force is past another part of its life (crl_files_check_age) */
};
const char *crl_result_name(enum crl_result result); /* "ok", "unchanged", "older", "unusable"... Static. */

struct crl_news {
    enum crl_result result;
    const char *bundle, *path; /* or the URL */
    struct crl *crl;           /* OK: a new list, one call for each; else one that stays (NULL if there is none) */
    const char *detail;        /* a sentence for people; "" if there is nothing to say */
    bool is_repeated;          /* the source was told of before, for the same reason, and was not good since */
};

/* What control remembers of the sources between two looks: when each was last read and what became of it. news is
 * called from the functions below, what it is given is valid during the call. */
struct crl_files;
struct crl_files *crl_files_new(void (*news)(void *arg, const struct crl_news *news), void *arg);
void crl_files_free(struct crl_files **files);
/* After each commit: the generation in force. Files that were not read since are not read for that. */
void crl_files_set(struct crl_files *files, const struct resolved *in_force);
/* The next look reads every file, whether it seems changed or not. */
void crl_files_forget(struct crl_files *files);
/* How many paths are to be watched: files as configured, directories with a slash at their end. Valid until the next
 * look or crl_files_set. */
size_t crl_files_paths(struct crl_files *files, const char *const **paths_out);
/* Warnings at 50, 80, 95 and 100 % of the life of each list in force, once each. */
void crl_files_check_age(struct crl_files *files, const struct resolved *in_force, time_t now);

/* What was fetched from a URL, in a file of the caller's: the next look reads it as it reads a changed file, and
 * crl_files_state tells what became of it. False: there is no such source. */
MUST_CHECK bool crl_files_offer(struct crl_files *files, const char *bundle, const char *url, const char *path);
/* A source as the last look left it. The texts are valid until the next look. */
struct crl_state {
    const char *bundle, *path, *digest; /* digest: of what is in force; "" if nothing is */
    enum crl_result result;
    const char *complaint; /* what is wrong with it; NULL: nothing */
    int age;               /* of what is in force: 0, 50, 80, 95, 100 % of its life */
};
size_t crl_files_count(const struct crl_files *files);
void crl_files_state(const struct crl_files *files, size_t index, struct crl_state *state_out);
bool crl_files_find_state(const struct crl_files *files, const char *bundle, const char *path,
                          struct crl_state *state_out);

/* What follows from a look. */
struct crl_look {
    bool is_changed;    /* resolved_out is a generation with other lists, whole; else it is empty */
    bool is_settled;    /* false: a file was written so shortly before that its times may not tell the next change: look
                           again within seconds */
    bool has_new_paths; /* crl_files_paths says more than before */
};
/* Reads the files that may have changed since they were last read (by stat: the others cost nothing) and compares them
 * with in_force, the generation of crl_files_set. */
MUST_CHECK struct crl_look crl_files_look(struct crl_files *files, const struct resolved *in_force,
                                          struct resolved *resolved_out);

#endif
