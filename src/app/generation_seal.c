/*
 * generation_seal: what is inside a generation's memory: made by control, opened by workers and by a restarted control.
 *
 * Secrets are one block: for each its digest (64 bytes), its size (8 bytes, of the machine) and its bytes. A list is
 * known again by what it says (the digest of its DER and its signer), so one that did not change is one memory for all
 * processes and generations.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/generation.h"
#include "base/mem.h"
#include "base/memfd.h"

#define DOCUMENT_MAX ((size_t)1 << 30)
#define SECRETS_MAX ((size_t)1 << 30)
#define CRL_BYTES_MAX ((size_t)8 << 30)
#define DIGEST_SIZE 64

/* ---- sealing ---- */

static int seal_secrets(const struct resolved *resolved, bool is_controls, struct err *err) {
    struct sbuf block;
    sbuf_init(&block, SECRETS_MAX);
    size_t size = 0;
    for (size_t i = 0; i < resolved->secret_count; i++)
        if (resolved->secrets[i].is_controls == is_controls)
            size += DIGEST_SIZE + sizeof(uint64_t) + resolved->secrets[i].size;
    /* At once: a buffer that moves as it grows would leave secrets behind. */
    if (size > 0 && !sbuf_reserve(&block, size))
        return err_set(err, "the private keys are larger than %zu bytes", SECRETS_MAX);
    for (size_t i = 0; i < resolved->secret_count; i++) {
        const struct secret *secret = &resolved->secrets[i];
        if (secret->is_controls != is_controls)
            continue;
        uint64_t secret_size = secret->size;
        sbuf_append(&block, slice_make(secret->digest, DIGEST_SIZE));
        sbuf_append(&block, slice_make(&secret_size, sizeof secret_size));
        sbuf_append(&block, slice_make(secret->bytes, secret->size));
    }
    int fd = memfd_seal("secrets", sbuf_slice(&block), err);
    if (block.data)
        mem_wipe(block.data, block.cap);
    sbuf_fini(&block);
    return fd;
}

static bool is_same_list(const struct crl *a, const struct crl *b) {
    return a && b && memcmp(crl_digest(a), crl_digest(b), SHA256_SIZE) == 0 &&
           memcmp(crl_issuer_key(a), crl_issuer_key(b), SHA256_SIZE) == 0;
}

static const struct generation_crl *find_list(const struct generation *previous, const struct resolved_crl *list) {
    for (size_t i = 0; previous && i < previous->crl_count; i++)
        if (is_same_list(previous->crls[i].crl, list->crl))
            return &previous->crls[i];
    return NULL;
}

/* Maps a sealed index; the mapping goes with the list's last reference. */
static struct crl *map_list(int fd, struct err *err) {
    struct slice block;
    if (memfd_map_sealed(fd, CRL_BYTES_MAX, &block, err) != 0)
        return NULL;
    struct crl *crl = crl_from_bytes(block, err);
    if (!crl) {
        memfd_unmap(&block);
        return NULL;
    }
    crl_set_release(crl, memfd_unmap);
    return crl;
}

/* list in memory of its own, or in that of previous; afterwards list->crl is the mapped one. */
static int seal_list(struct generation_crl *sealed, struct resolved_crl *list, const struct generation *previous,
                     struct err *err) {
    const struct generation_crl *same = find_list(previous, list);
    struct stat status;
    *sealed = (struct generation_crl){.fd = -1};
    memcpy(sealed->digest, list->digest, sizeof sealed->digest);
    sealed->fd = same ? fcntl(same->fd, F_DUPFD_CLOEXEC, 0) : memfd_seal("crl", crl_bytes(list->crl), err);
    if (sealed->fd < 0 || fstat(sealed->fd, &status) != 0)
        return same ? err_set(err, "a CRL's descriptor cannot be copied") : -1;
    sealed->memory = status.st_ino;
    sealed->crl = same ? crl_ref(same->crl) : map_list(sealed->fd, err);
    if (!sealed->crl)
        return -1;
    crl_unref(&list->crl);
    list->crl = crl_ref(sealed->crl);
    return 0;
}

static void copy_words(struct generation *generation, const struct conf *conf) {
    generation->shutdown_timeout_ms = conf->shutdown_timeout_ms;
    (void)snprintf(generation->level, sizeof generation->level, "%s", conf->log.level.text);
    generation->listener_count = conf->listeners.count;
    generation->listeners = NEW_ARRAY(struct generation_listener, conf->listeners.count);
    for (size_t i = 0; i < conf->listeners.count; i++) {
        generation->listeners[i].address = mem_strdup(conf->listeners.items[i].address.text);
        generation->listeners[i].fd = -1;
    }
}

int generation_seal(struct generation *generation, struct resolved *resolved, const struct conf *conf,
                    const struct generation *previous, struct err *err) {
    generation_init(generation);
    copy_words(generation, conf);
    if (resolved->crl_count + conf->listeners.count >= GENERATION_ITEMS_MAX)
        return err_set(err, "more than %d CRLs and listeners", GENERATION_ITEMS_MAX);
    generation->document = memfd_seal("document", sbuf_slice(&resolved->document), err);
    if (generation->document < 0)
        return -1;
    generation->secrets = seal_secrets(resolved, false, err);
    generation->controls_secrets = generation->secrets < 0 ? -1 : seal_secrets(resolved, true, err);
    if (generation->controls_secrets < 0)
        return -1;
    generation->crls = NEW_ARRAY(struct generation_crl, resolved->crl_count);
    for (size_t i = 0; i < resolved->crl_count; i++) {
        generation->crl_count++;
        if (seal_list(&generation->crls[i], &resolved->crls[i], previous, err) != 0)
            return -1;
    }
    generation->is_complete = true;
    return 0;
}

/* ---- opening ---- */

static int open_document(int fd, struct sbuf *document, struct err *err) {
    struct slice content;
    sbuf_init(document, DOCUMENT_MAX);
    if (memfd_map_sealed(fd, DOCUMENT_MAX, &content, err) != 0)
        return err_context(err, "the document");
    sbuf_append(document, content);
    memfd_unmap(&content);
    return 0;
}

static bool read_secret(struct slice *rest, struct secret *secret) {
    uint64_t size;
    if (rest->len < DIGEST_SIZE + sizeof size)
        return false;
    memcpy(secret->digest, rest->ptr, DIGEST_SIZE);
    memcpy(&size, rest->ptr + DIGEST_SIZE, sizeof size);
    *rest = slice_after(*rest, DIGEST_SIZE + sizeof size);
    if (size == 0 || size > rest->len)
        return false;
    secret->bytes = mem_dup(rest->ptr, (size_t)size);
    secret->size = (size_t)size;
    *rest = slice_after(*rest, (size_t)size);
    return true;
}

static int open_secrets(int fd, bool is_controls, struct resolved *resolved, struct err *err) {
    struct slice content;
    if (fd < 0) /* a worker gets none of control's */
        return 0;
    if (memfd_map_sealed(fd, SECRETS_MAX, &content, err) != 0)
        return err_context(err, "the secrets");
    struct slice rest = content;
    int status = 0;
    while (rest.len > 0 && status == 0) {
        size_t count = resolved->secret_count;
        if ((count & (count - 1)) == 0)
            resolved->secrets = mem_resize(resolved->secrets, (count ? 2 * count : 1) * sizeof *resolved->secrets);
        resolved->secrets[count] = (struct secret){.is_controls = is_controls};
        if (read_secret(&rest, &resolved->secrets[count]))
            resolved->secret_count++;
        else
            status = err_set(err, "the secrets are damaged");
    }
    memfd_unmap(&content);
    return status;
}

static struct crl *find_memory(const struct generation *previous, uint64_t memory) {
    for (size_t i = 0; previous && i < previous->crl_count; i++)
        if (previous->crls[i].crl && previous->crls[i].memory == memory)
            return crl_ref(previous->crls[i].crl);
    return NULL;
}

static int open_lists(struct generation *generation, const struct generation *previous, struct resolved *resolved,
                      struct err *err) {
    resolved->crls = NEW_ARRAY(struct resolved_crl, generation->crl_count);
    for (size_t i = 0; i < generation->crl_count; i++) {
        struct generation_crl *sealed = &generation->crls[i];
        sealed->crl = find_memory(previous, sealed->memory);
        if (!sealed->crl)
            sealed->crl = map_list(sealed->fd, err);
        if (!sealed->crl)
            return err_context(err, "a CRL");
        struct resolved_crl *list = &resolved->crls[resolved->crl_count++];
        memcpy(list->digest, sealed->digest, sizeof list->digest);
        list->crl = crl_ref(sealed->crl);
    }
    return 0;
}

int generation_open(struct generation *generation, const struct generation *previous, struct resolved *resolved_out,
                    struct err *err) {
    *resolved_out = (struct resolved){.secrets = NULL};
    if (generation->fault[0] != '\0')
        return err_set(err, "%s", generation->fault);
    if (open_document(generation->document, &resolved_out->document, err) == 0 &&
        open_secrets(generation->secrets, false, resolved_out, err) == 0 &&
        open_secrets(generation->controls_secrets, true, resolved_out, err) == 0 &&
        open_lists(generation, previous, resolved_out, err) == 0)
        return 0;
    resolved_fini(resolved_out);
    return -1;
}
