/*
 * kept: see the header. Called by those who fetch and by those who load what was fetched. The digest tells damage: what
 * is kept is signed by whoever made it, so nobody is believed because a file lies here.
 *
 *   <name>.kept           the facts: a line each, "end" last
 *   <name>.<digest>.body  the body that the facts name
 *   <name>.part           a body on its way
 */
#include "store/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "pki/cert.h"
#include "store/state.h"

#define FACTS_MAX 65536
#define FORMAT "sallyport kept 1"

/* ---- names ---- */

static char *path_of(const char *directory, const char *key, const char *rest) {
    char name[65];
    sha256_hex(slice_of(key), name);
    name[32] = '\0';
    return mem_printf("%s/%s%s", directory, name, rest);
}

static char *body_path(const char *directory, const char *key, const char *digest) {
    char *rest = mem_printf(".%.64s.body", digest);
    char *path = path_of(directory, key, rest);
    mem_free(rest);
    return path;
}

char *kept_part_path(const char *directory, const char *key) { return path_of(directory, key, ".part"); }

/* ---- the body ---- */

/* The digest of a file without a copy of it in memory. */
static int digest_file(const char *path, char digest_out[65], size_t *size_out, struct err *err) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int result = -1;
    void *bytes = MAP_FAILED;
    if (fd < 0 || fstat(fd, &st) != 0)
        (void)err_set(err, "%s cannot be read: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode) || st.st_size <= 0)
        (void)err_set(err, "%s is empty, or not a file", path);
    else if ((bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
        (void)err_set(err, "%s cannot be mapped: %s", path, strerror(errno));
    if (bytes != MAP_FAILED) {
        *size_out = (size_t)st.st_size;
        sha256_hex(slice_make(bytes, *size_out), digest_out);
        (void)munmap(bytes, *size_out);
        result = 0;
    }
    if (fd >= 0)
        (void)close(fd);
    return result;
}

/* ---- the facts ---- */

struct record {
    char digest[65];
    unsigned long long size;
    struct kept *kept; /* etag, last_modified, times */
};

/* The next line's value if the line begins with this word. */
static bool take_line(struct slice *rest, const char *word, struct slice *value_out) {
    struct slice line;
    *rest = slice_cut(*rest, '\n', &line);
    if (!rest->ptr || !slice_starts_with(line, slice_of(word)))
        return false;
    line = slice_after(line, strlen(word));
    *value_out = slice_after(line, 1);
    return line.len == 0 || line.ptr[0] == ' ';
}

static bool take_time(struct slice *rest, const char *word, time_t *time_out) {
    struct slice value;
    unsigned long long number;
    if (!take_line(rest, word, &value) || !slice_to_u64(value, &number))
        return false;
    *time_out = (time_t)number;
    return true;
}

static bool take_text(struct slice *rest, const char *word, char **text_out) {
    struct slice value;
    if (!take_line(rest, word, &value))
        return false;
    *text_out = mem_strndup(value.ptr ? value.ptr : "", value.len);
    return true;
}

static bool is_hex(struct slice text) {
    for (size_t i = 0; i < text.len; i++)
        if (!strchr("0123456789abcdef", text.ptr[i]))
            return false;
    return true;
}

static bool parse(struct slice text, struct record *record) {
    struct slice value;
    if (!take_line(&text, FORMAT, &value) || !take_line(&text, "url", &value) || !take_line(&text, "sha256", &value) ||
        value.len != 64 || !is_hex(value))
        return false;
    memcpy(record->digest, value.ptr, 64);
    record->digest[64] = '\0';
    return take_line(&text, "size", &value) && slice_to_u64(value, &record->size) &&
           take_time(&text, "fetched", &record->kept->fetched_at) &&
           take_time(&text, "checked", &record->kept->checked_at) && take_text(&text, "etag", &record->kept->etag) &&
           take_text(&text, "last-modified", &record->kept->last_modified) && take_line(&text, "end", &value) &&
           text.len == 0;
}

static int write_facts(const char *directory, const char *key, const struct kept_facts *facts,
                       const struct record *record, struct err *err) {
    struct sbuf text;
    char *path = path_of(directory, key, ".kept");
    sbuf_init(&text, FACTS_MAX);
    sbuf_printf(&text, FORMAT "\nurl %s\nsha256 %s\nsize %llu\nfetched %lld\nchecked %lld\n", facts->url,
                record->digest, record->size, (long long)facts->fetched_at, (long long)facts->checked_at);
    sbuf_printf(&text, "etag %s\nlast-modified %s\nend\n", facts->etag, facts->last_modified);
    int result = text.overflow ? err_set(err, "the facts are too long") : state_write(path, sbuf_slice(&text), err);
    sbuf_fini(&text);
    mem_free(path);
    return result;
}

/* KEPT_GOOD: the facts are well-formed. */
static enum kept_result read_facts(const char *directory, const char *key, struct record *record, struct err *err) {
    struct sbuf text;
    char *path = path_of(directory, key, ".kept");
    enum kept_result result = KEPT_DAMAGED;
    sbuf_init(&text, FACTS_MAX);
    if (access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR))
        result = KEPT_NONE;
    else if (file_read(path, FACTS_MAX, &text, err) != 0)
        (void)err_context(err, "%s", path);
    else if (!parse(sbuf_slice(&text), record))
        (void)err_set(err, "%s is damaged", path);
    else
        result = KEPT_GOOD;
    sbuf_fini(&text);
    mem_free(path);
    return result;
}

/* ---- the whole ---- */

enum kept_result kept_read(const char *directory, const char *key, struct kept *kept_out, struct err *err) {
    *kept_out = (struct kept){.path = NULL};
    struct record record = {.kept = kept_out};
    char digest[65];
    size_t size;
    enum kept_result result = read_facts(directory, key, &record, err);
    if (result != KEPT_GOOD)
        return result;
    kept_out->path = body_path(directory, key, record.digest);
    if (digest_file(kept_out->path, digest, &size, err) != 0)
        return KEPT_DAMAGED;
    if (size == record.size && strcmp(digest, record.digest) == 0)
        return KEPT_GOOD;
    (void)err_set(err, "%s is not what was kept: its digest differs", kept_out->path);
    return KEPT_DAMAGED;
}

void kept_fini(struct kept *kept) {
    mem_free(kept->path);
    mem_free(kept->etag);
    mem_free(kept->last_modified);
    *kept = (struct kept){.path = NULL};
}

int kept_put(const char *directory, const char *key, const struct kept_facts *facts, const char *part,
             struct err *err) {
    struct kept old_facts = {.path = NULL};
    struct record record = {.size = 0}, old = {.kept = &old_facts};
    size_t size;
    if (digest_file(part, record.digest, &size, err) != 0)
        return -1;
    record.size = size;
    bool has_old = read_facts(directory, key, &old, NULL) == KEPT_GOOD;
    char *path = body_path(directory, key, record.digest);
    int result = state_replace(path, part, err);
    if (result == 0)
        result = write_facts(directory, key, facts, &record, err);
    if (result == 0 && has_old && strcmp(old.digest, record.digest) != 0) {
        char *old_path = body_path(directory, key, old.digest);
        (void)unlink(old_path);
        mem_free(old_path);
    }
    mem_free(path);
    kept_fini(&old_facts);
    return result;
}

int kept_touch(const char *directory, const char *key, const struct kept_facts *facts, struct err *err) {
    struct kept old_facts = {.path = NULL};
    struct record record = {.kept = &old_facts};
    int result = -1;
    switch (read_facts(directory, key, &record, err)) {
    case KEPT_GOOD:
        result = write_facts(directory, key, facts, &record, err);
        break;
    case KEPT_NONE:
        (void)err_set(err, "nothing is kept");
        break;
    case KEPT_DAMAGED:
        break;
    }
    kept_fini(&old_facts);
    return result;
}
