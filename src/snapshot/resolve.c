/*
 * resolve: control side: every file that a configuration names is read and proved here, and what workers are given is
 * made of them. Called at start, at reload and by `check`. Every error is collected, at the place of the path (sec-09);
 * nothing half-made comes out.
 *
 *   resolve.c        reading, secrets, the whole
 *   resolve_trust.c  CA bundles and hostnames
 *   resolve_crl.c    CRLs, and which of two generations of one stays
 *   refresh.c        the CRLs alone, while a configuration is in force
 *   resolve_rest.c   addresses, upstreams, TLS settings, policies, tests
 */
#include "resolve_priv.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/mem.h"
#include "conf/document.h"

#define DOCUMENT_MAX ((size_t)1 << 30)
#define PEM_LINE 64

/* ---- certificates ---- */

/* One form for equal certificates; whatever else the file held (comments, a private key) stays behind. */
static struct slice pem_of(const struct cert_list *certs, struct arena *arena) {
    struct sbuf pem, base64;
    sbuf_init(&pem, 4 * PEM_SIZE_MAX);
    for (size_t i = 0; i < certs->count; i++) {
        sbuf_init(&base64, PEM_SIZE_MAX * 2);
        base64_encode(cert_der(certs->items[i]), &base64);
        sbuf_append_str(&pem, "-----BEGIN CERTIFICATE-----\n");
        for (struct slice rest = sbuf_slice(&base64); rest.len > 0; rest = slice_after(rest, PEM_LINE)) {
            sbuf_append(&pem, slice_first(rest, PEM_LINE));
            sbuf_append_char(&pem, '\n');
        }
        sbuf_append_str(&pem, "-----END CERTIFICATE-----\n");
        sbuf_fini(&base64);
    }
    INVARIANT(!pem.overflow);
    struct slice kept = slice_make(arena_str(arena, sbuf_slice(&pem)), pem.len);
    sbuf_fini(&pem);
    return kept;
}

static struct loaded_chain *load_chain(struct resolving *r, const struct conf_file *file, const char *who,
                                       bool refuse_keys) {
    struct sbuf content;
    sbuf_init(&content, PEM_SIZE_MAX);
    struct err err;
    struct loaded_chain *chain = NULL;
    struct cert_list certs = {NULL, 0};
    if (file_read(file->path.text, PEM_SIZE_MAX, &content, &err) < 0) {
        conf_error(r->messages, file->path.pos, "%s: %s %s", who, file->path.text, err.text);
    } else if (cert_list_from_pem(sbuf_slice(&content), refuse_keys, &certs, &err) < 0) {
        conf_error(r->messages, file->path.pos, "%s: %s: %s", who, file->path.text, err.text);
    } else {
        chain = ARENA_NEW(r->conf->arena, struct loaded_chain);
        chain->certs = certs;
        chain->pem = pem_of(&certs, r->conf->arena);
        sha256_hex(chain->pem, chain->digest);
    }
    /* It may hold a key beside the certificates. */
    if (content.data)
        mem_wipe(content.data, content.cap);
    sbuf_fini(&content);
    return chain;
}

struct loaded_chain *resolve_certificates(struct resolving *r, struct conf_file *file, const char *who,
                                          bool refuse_keys) {
    if (!file->path.text)
        return NULL;
    const char *key = arena_printf(r->conf->arena, "%c%s", refuse_keys ? 'c' : 'k', file->path.text);
    struct loaded_chain *chain = map_get(&r->certificates, slice_of(key));
    if (!chain) {
        chain = load_chain(r, file, who, refuse_keys);
        if (!chain)
            return NULL;
        map_put(&r->certificates, slice_of(key), chain);
    }
    file->content = chain->pem;
    file->not_after = chain->certs.count > 0 ? cert_not_after(chain->certs.items[0]) : 0;
    for (size_t i = 1; i < chain->certs.count; i++)
        if (cert_not_after(chain->certs.items[i]) < file->not_after)
            file->not_after = cert_not_after(chain->certs.items[i]);
    memcpy(file->digest, chain->digest, sizeof(file->digest));
    return chain;
}

void resolve_warn_dates(struct resolving *r, const struct cert_list *certs, struct conf_pos pos, const char *who) {
    for (size_t i = 0; i < certs->count; i++) {
        const struct cert *cert = certs->items[i];
        char when[CLOCK_TEXT_SIZE];
        char *subject = cert_subject_text(cert);
        time_t left = cert_not_after(cert) - r->now;
        if (left < 0)
            conf_warning(r->messages, pos, "%s: certificate %s expired on %s", who, subject,
                         clock_format(cert_not_after(cert), when));
        else if (left < (time_t)EXPIRES_SOON_DAYS * 24 * 3600)
            conf_warning(r->messages, pos, "%s: certificate %s expires in %ld days, on %s", who, subject,
                         (long)(left / (24 * 3600)), clock_format(cert_not_after(cert), when));
        if (cert_not_before(cert) > r->now)
            conf_warning(r->messages, pos, "%s: certificate %s is not valid before %s", who, subject,
                         clock_format(cert_not_before(cert), when));
        mem_free(subject);
    }
}

/* ---- secrets ---- */

static struct secret *secret_find(const struct resolved *resolved, const char *digest) {
    for (size_t i = resolved->secret_count; i > 0; i--) {
        if (strcmp(resolved->secrets[i - 1].digest, digest) == 0)
            return &resolved->secrets[i - 1];
    }
    return NULL;
}

struct slice resolved_secret(const struct resolved *resolved, const char *digest) {
    const struct secret *secret = secret_find(resolved, digest);
    return secret ? slice_make(secret->bytes, secret->size) : SLICE_NONE;
}

static struct secret *secret_add(struct resolving *r, struct slice bytes, const char *digest) {
    struct resolved *out = r->out;
    if (map_get(&r->secrets, slice_of(digest)))
        return secret_find(out, digest);
    size_t count = out->secret_count;
    if ((count & (count - 1)) == 0)
        out->secrets = mem_resize(out->secrets, (count ? 2 * count : 1) * sizeof(*out->secrets));
    struct secret *secret = &out->secrets[out->secret_count++];
    memcpy(secret->digest, digest, sizeof(secret->digest));
    secret->bytes = mem_dup(bytes.ptr, bytes.len);
    secret->size = bytes.len;
    secret->is_controls = true;
    map_put(&r->secrets, slice_of(arena_str(r->conf->arena, slice_of(digest))), secret->bytes);
    return secret;
}

static struct slice trim_end(struct slice s) {
    while (s.len > 0 && strchr(" \t\r\n", s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static struct secret *read_secret(struct resolving *r, struct conf_file *file, const char *who, bool trim) {
    if (!file->path.text)
        return NULL;
    struct sbuf content;
    sbuf_init(&content, PEM_SIZE_MAX);
    struct err err;
    struct secret *secret = NULL;
    if (file_read(file->path.text, PEM_SIZE_MAX, &content, &err) < 0) {
        conf_error(r->messages, file->path.pos, "%s: %s %s", who, file->path.text, err.text);
    } else {
        struct slice bytes = trim ? trim_end(sbuf_slice(&content)) : sbuf_slice(&content);
        if (bytes.len == 0) {
            conf_error(r->messages, file->path.pos, "%s: %s is empty", who, file->path.text);
        } else {
            sha256_hex(bytes, file->digest);
            secret = secret_add(r, bytes, file->digest);
        }
    }
    if (content.data)
        mem_wipe(content.data, content.cap);
    sbuf_fini(&content);
    return secret;
}

const struct secret *resolve_secret(struct resolving *r, struct conf_file *file, const char *who) {
    struct secret *secret = read_secret(r, file, who, false);
    if (secret)
        secret->is_controls = false;
    return secret;
}

const struct secret *resolve_controls_secret(struct resolving *r, struct conf_file *file, const char *who) {
    return read_secret(r, file, who, true);
}

/* ---- the whole ---- */

static void resolving_open(struct resolving *r) {
    map_init(&r->secrets);
    map_init(&r->certificates);
    map_init(&r->bundle_counts);
    r->anchor_ends = NEW_ARRAY(time_t, r->conf->ca_bundles.count + 1);
    struct err err;
    if (r->previous && r->previous->document.len > 0) {
        r->previous_conf = document_read(sbuf_slice(&r->previous->document), &err);
        INVARIANT(r->previous_conf); /* our own writing */
    }
}

static void resolving_close(struct resolving *r) {
    const struct map_entry *entry;
    for (size_t cursor = 0; (entry = map_next(&r->certificates, &cursor)) != NULL;)
        cert_list_fini(&((struct loaded_chain *)entry->value)->certs);
    map_fini(&r->secrets);
    map_fini(&r->certificates);
    map_fini(&r->bundle_counts);
    mem_free(r->anchor_ends);
    conf_free(&r->previous_conf);
}

int resolve(struct conf *conf, const struct resolved *previous, struct conf_messages *messages,
            struct resolved *resolved_out) {
    *resolved_out = (struct resolved){.secrets = NULL};
    sbuf_init(&resolved_out->document, DOCUMENT_MAX);
    struct resolving r = {.conf = conf,
                          .messages = messages,
                          .out = resolved_out,
                          .previous = previous,
                          .now = clock_wall(),
                          .is_partial = messages->errors > 0};
    resolving_open(&r);
    for (size_t i = 0; i < conf->ca_bundles.count; i++)
        resolve_bundle(&r, &conf->ca_bundles.items[i]);
    for (size_t i = 0; i < conf->hostnames.count; i++)
        resolve_hostname(&r, &conf->hostnames.items[i]);
    resolve_last_cas(&r);
    resolve_network(&r);
    resolve_policies(&r);
    if (messages->errors == 0) {
        document_write(conf, &resolved_out->document);
        if (resolved_out->document.overflow)
            conf_error(messages, (struct conf_pos){0, 0},
                       "the configuration with its certificates is larger than %zu bytes", DOCUMENT_MAX);
    }
    resolving_close(&r);
    if (messages->errors == 0)
        return 0;
    resolved_fini(resolved_out);
    return -1;
}

void resolved_fini(struct resolved *resolved) {
    for (size_t i = 0; i < resolved->secret_count; i++)
        mem_wipe_free(resolved->secrets[i].bytes, resolved->secrets[i].size);
    for (size_t i = 0; i < resolved->crl_count; i++)
        crl_unref(&resolved->crls[i].crl);
    for (size_t i = 0; i < resolved->file_count; i++)
        mem_free(resolved->files[i].path);
    mem_free(resolved->secrets);
    mem_free(resolved->crls);
    mem_free(resolved->files);
    sbuf_fini(&resolved->document);
    *resolved = (struct resolved){.secrets = NULL};
}

int resolve_file(const char *path, const struct resolved *previous, struct conf_messages *messages,
                 struct conf **conf_out, struct resolved *resolved_out) {
    *resolved_out = (struct resolved){.secrets = NULL};
    if (conf_out)
        *conf_out = NULL;
    struct conf *conf = conf_load(path, messages);
    int status = conf ? resolve(conf, previous, messages, resolved_out) : -1;
    if (status == 0 && conf_out) {
        *conf_out = conf;
        conf = NULL;
    }
    conf_free(&conf);
    return status;
}
