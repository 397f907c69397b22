/*
 * resolve_trust: CA bundles and the certificates of hostnames: read, proved by the code that will use them, warned
 * about. Called by resolve.c. The system's roots are never looked at: a bundle is what its file says.
 */
#include <arpa/inet.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/mem.h"
#include "http/target.h"
#include "pki/keypair.h"
#include "pki/trust.h"
#include "resolve_priv.h"
#include "store/fetch.h"

/* ---- CA bundles ---- */

/* Each certificate must be a CA's; false after an error. */
static bool check_cas(struct resolving *r, const struct conf_ca_bundle *bundle, const struct cert_list *certs,
                      const char *who) {
    bool ok = true;
    size_t anchors = 0;
    for (size_t i = 0; i < certs->count; i++) {
        const struct cert *cert = certs->items[i];
        anchors += bundle->partial_chain || cert_is_self_issued(cert);
        if (cert_is_ca(cert))
            continue;
        char *subject = cert_subject_text(cert);
        conf_error(r->messages, bundle->file.path.pos,
                   "%s: certificate %zu of %s (%s) is no CA certificate: expected CA:TRUE in its basicConstraints", who,
                   i + 1, bundle->file.path.text, subject);
        mem_free(subject);
        ok = false;
    }
    if (anchors == 0) {
        conf_error(r->messages, bundle->file.path.pos,
                   "%s: %s holds no root certificate: expected one, or partial_chain: true", who,
                   bundle->file.path.text);
        ok = false;
    }
    return ok;
}

static void warn_digests(struct resolving *r, const struct conf_ca_bundle *bundle, const struct cert_list *certs,
                         const char *who) {
    if (bundle->allow_sha1)
        conf_warning(r->messages, conf_place(r->conf, &bundle->allow_sha1, bundle->file.path.pos),
                     "%s: allow_sha1: signatures with SHA-1 can be forged", who);
    for (size_t i = 0; i < certs->count && !bundle->allow_sha1; i++) {
        if (!cert_has_weak_digest(certs->items[i]))
            continue;
        char *subject = cert_subject_text(certs->items[i]);
        conf_warning(r->messages, bundle->file.path.pos,
                     "%s: certificate %s is signed with SHA-1: no chain over it is accepted without allow_sha1", who,
                     subject);
        mem_free(subject);
    }
}

static bool has_list_for(struct crl *const *crls, size_t count, const struct cert *issuer) {
    uint8_t key[SHA256_SIZE];
    crl_issuer_key_of(issuer, key);
    for (size_t i = 0; i < count; i++) {
        if (memcmp(crl_issuer_key(crls[i]), key, sizeof(key)) == 0)
            return true;
    }
    return false;
}

/* Where lists are asked for: which CAs have none, and whether that lets anything pass at all. Not an error: the
 * requests are denied with crl_missing until a list is there, which is what was asked for. */
static void check_require(struct resolving *r, const struct conf_ca_bundle *bundle, const struct cert_list *certs,
                          struct crl *const *crls, size_t count, const char *who) {
    struct conf_pos pos = conf_place(r->conf, &bundle->crl.require, bundle->name.pos);
    const char *mode = bundle->crl.require == CONF_CRL_LEAF ? "leaf" : "chain";
    size_t anchors_with = 0, with = 0;
    if (bundle->crl.require == CONF_CRL_IF_PRESENT)
        return;
    for (size_t i = 0; i < certs->count; i++) {
        bool has_list = has_list_for(crls, count, certs->items[i]);
        with += has_list;
        anchors_with += has_list && (bundle->partial_chain || cert_is_self_issued(certs->items[i]));
    }
    bool is_all = with == 0 || (bundle->crl.require == CONF_CRL_CHAIN && anchors_with == 0);
    for (size_t i = 0; i < certs->count; i++) {
        if (has_list_for(crls, count, certs->items[i]))
            continue;
        char *subject = cert_subject_text(certs->items[i]);
        conf_warning(r->messages, pos, "%s: crl.require: %s, but there is no CRL of %s: %s is denied%s", who, mode,
                     subject, is_all ? "every certificate" : "what it issued",
                     bundle->crl.urls.count > 0 ? " until one is fetched" : "");
        mem_free(subject);
    }
}

/* What trust_new finds beyond the checks above. */
static void prove_bundle(struct resolving *r, const struct conf_ca_bundle *bundle, const struct cert_list *certs,
                         struct crl **crls, size_t count, const char *who) {
    const struct trust_bundle source = {.name = bundle->name.text ? bundle->name.text : "",
                                        .certs = *certs,
                                        .partial_chain = bundle->partial_chain,
                                        .allow_sha1 = bundle->allow_sha1,
                                        .crls = crls,
                                        .crl_count = count};
    struct err err;
    struct trust *trust = trust_new(&source, 1, &err);
    if (!trust)
        conf_error(r->messages, bundle->file.path.pos, "%s: %s: %s", who, bundle->file.path.text, err.text);
    trust_unref(&trust);
}

static void check_responder(struct resolving *r, const struct conf_ca_bundle *bundle, const char *who) {
    struct err err;
    if (!bundle->ocsp_url.text)
        return;
    if (fetch_check_url(bundle->ocsp_url.text, &err) < 0)
        conf_error(r->messages, bundle->ocsp_url.pos, "%s: ocsp_url: %s", who, err.text);
    else if (bundle->ocsp == CONF_OCSP_OFF)
        conf_warning(r->messages, bundle->ocsp_url.pos, "%s: ocsp_url has no effect while ocsp is off", who);
}

void resolve_bundle(struct resolving *r, struct conf_ca_bundle *bundle) {
    const char *who = arena_printf(r->conf->arena, "CA bundle '%s'", bundle->name.text ? bundle->name.text : "");
    struct loaded_chain *chain = resolve_certificates(r, &bundle->file, who, true);
    if (!chain)
        return;
    struct crl **crls = NULL;
    size_t errors_before = r->messages->errors;
    size_t count = resolve_crls(r, bundle, &chain->certs, &crls);
    if (r->messages->errors == errors_before)
        check_require(r, bundle, &chain->certs, crls, count, who);
    if (check_cas(r, bundle, &chain->certs, who))
        prove_bundle(r, bundle, &chain->certs, crls, count, who);
    warn_digests(r, bundle, &chain->certs, who);
    check_responder(r, bundle, who);
    resolve_note_anchors(r, bundle, &chain->certs);
    resolve_warn_dates(r, &chain->certs, bundle->file.path.pos, who);
    for (size_t i = 0; i < count; i++)
        crl_unref(&crls[i]);
    mem_free(crls);
}

/* ---- hostnames ---- */

static void warn_readable(struct resolving *r, const struct conf_file *file, const char *who) {
    struct stat st;
    if (stat(file->path.text, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IROTH))
        conf_warning(r->messages, file->path.pos,
                     "%s: everybody on this machine can read the private key %s (mode %04o)", who, file->path.text,
                     (unsigned)(st.st_mode & 07777));
}

static bool is_ip_literal(const char *name) {
    struct in_addr in;
    return name[0] == '[' || inet_pton(AF_INET, name, &in) == 1;
}

/* A client that checks the name would refuse this certificate. */
static void warn_uncovered(struct resolving *r, const struct conf_hostname *hostname, const struct conf_file *file,
                           const struct keypair *keypair, const char *who) {
    const char *name = hostname->name.text;
    if (!name || is_ip_literal(name))
        return;
    const char *sample = name[0] == '*' ? arena_printf(r->conf->arena, "any-name-here%s", name + 1) : name;
    if (!keypair_covers(keypair, sample))
        conf_warning(r->messages, file->path.pos, "%s: the certificate %s does not name it", who, file->path.text);
}

/* NULL after an error. */
static struct keypair *load_keypair(struct resolving *r, struct conf_hostname *hostname, size_t index,
                                    const char *who) {
    struct conf_file *certificate = &hostname->certificates.items[index];
    struct conf_file *key = &hostname->private_keys.items[index];
    struct loaded_chain *chain = resolve_certificates(r, certificate, who, false);
    const struct secret *secret = resolve_secret(r, key, who);
    if (!chain || !secret)
        return NULL;
    struct err err;
    struct keypair *keypair = keypair_from_chain(&chain->certs, slice_make(secret->bytes, secret->size), &err);
    if (!keypair) {
        bool is_certificate = strncmp(err.text, "certificate", 11) == 0;
        const struct conf_file *at = is_certificate ? certificate : key;
        conf_error(r->messages, at->path.pos, "%s: %s: %s", who, at->path.text, err.text);
        return NULL;
    }
    warn_readable(r, key, who);
    warn_uncovered(r, hostname, certificate, keypair, who);
    if (!chain->is_warned)
        resolve_warn_dates(r, &chain->certs, certificate->path.pos, who);
    chain->is_warned = true;
    return keypair;
}

/* How many bundles name each hostname: counted once. */
static size_t count_bundles(struct resolving *r, const char *name) {
    if (!r->bundle_counts.count)
        for (size_t i = 0; i < r->conf->ca_bundles.count; i++) {
            const conf_texts *names = &r->conf->ca_bundles.items[i].associated_hostnames;
            for (size_t j = 0; j < names->count; j++) {
                if (!names->items[j].text)
                    continue;
                struct slice key = slice_of(names->items[j].text);
                map_put(&r->bundle_counts, key, (void *)((uintptr_t)map_get(&r->bundle_counts, key) + 1));
            }
        }
    return (uintptr_t)map_get(&r->bundle_counts, slice_of(name));
}

static void check_name(struct resolving *r, const struct conf_hostname *hostname, const char *who) {
    const char *name = hostname->name.text;
    char normal[256];
    if (!host_normalise(slice_of(strncmp(name, "*.", 2) == 0 ? name + 2 : name), normal))
        conf_error(r->messages, hostname->name.pos, "%s: expected a host name such as iot.example.test", who);
    /* Only a configuration that has so many bundles is worth the count. */
    if (r->conf->ca_bundles.count > TRUST_BUNDLES_MAX && count_bundles(r, name) > TRUST_BUNDLES_MAX)
        conf_error(r->messages, hostname->name.pos, "%s: more than %d CA bundles are associated with it", who,
                   TRUST_BUNDLES_MAX);
}

void resolve_hostname(struct resolving *r, struct conf_hostname *hostname) {
    const char *who = arena_printf(r->conf->arena, "hostname '%s'", hostname->name.text ? hostname->name.text : "");
    const char *types[8] = {NULL};
    size_t count = hostname->certificates.count < hostname->private_keys.count ? hostname->certificates.count
                                                                               : hostname->private_keys.count;
    if (hostname->name.text)
        check_name(r, hostname, who);
    for (size_t i = 0; i < count && i < sizeof(types) / sizeof(types[0]); i++) {
        struct keypair *keypair = load_keypair(r, hostname, i, who);
        if (!keypair)
            continue;
        types[i] = keypair_type(keypair);
        for (size_t j = 0; j < i; j++) {
            if (types[j] && strcmp(types[j], types[i]) == 0)
                conf_error(r->messages, hostname->certificates.items[i].path.pos,
                           "%s: two certificates with %s keys: expected one of each type", who, types[i]);
        }
        keypair_unref(&keypair);
    }
}
