/* refresh_priv: what refresh.c and crl_files.c share: the memory of the sources. */
#ifndef SALLYPORT_SNAPSHOT_REFRESH_PRIV_H
#define SALLYPORT_SNAPSHOT_REFRESH_PRIV_H

#include "resolve_priv.h"
#include "snapshot/crl_files.h"

/* A source of a bundle; in the order of the document, then those that have nothing in force. */
struct crl_file {
    char *bundle, *path;
    char digest[65]; /* of what is in force; "": nothing */
    bool is_in_directory, is_url;
    char *candidate; /* of a URL: a file to be read at the next look; or NULL */
    struct file_stamp stamp;
    bool is_settled; /* a change since then shows in the stamp */
    int64_t read_us; /* monotonic; 0: not read */
    enum crl_result result;
    char *complaint; /* what was wrong with it last; NULL: it is good */
    int age;         /* as warned about */
    bool is_there;   /* while a directory is read */
    bool is_due;     /* in a look */
};

struct crl_directory {
    char *bundle, *path;
    char *complaint;
};

struct crl_files {
    struct crl_file *items;
    size_t count;
    struct crl_directory *directories;
    size_t directory_count;
    const char **paths; /* for crl_files_paths */
    char **directory_paths;
    void (*news)(void *arg, const struct crl_news *news);
    void *arg;
};

struct conf *crl_files_read_document(const struct resolved *resolved);
struct crl_file *crl_files_find(const struct crl_files *files, const char *bundle, const char *path);
/* A source that has nothing in force yet. */
struct crl_file *crl_files_add(struct crl_files *files, const char *bundle, const char *path);
void crl_files_drop(struct crl_files *files, size_t index);

/* News of an item; crl may be NULL. */
void crl_files_tell(const struct crl_files *files, const struct crl_file *item, const struct crl_news *news);
/* What is wrong with it; stays: what is in force. */
void crl_files_complain(const struct crl_files *files, struct crl_file *item, enum crl_result result,
                        const struct crl_list *stays, const char *detail);

#endif
