#include "snapshot_rig.h"

#include <stdlib.h>

#include "base/mem.h"
#include "conf/document.h"

#define TEXT_MAX (1 << 20)

/* ---- the PKI ---- */

static struct testpki client(const char *cn, const struct testpki_spec *spec) {
    struct testpki_spec with_name = *spec;
    with_name.cn = cn;
    return testpki_make(&with_name);
}

const struct rig_pki *rig_pki(void) {
    static struct rig_pki pki;
    if (pki.sensor.cert)
        return &pki;
    const time_t day = TESTPKI_DAY, now = TESTPKI_NOW;
    pki.devices = testpki_root("Devices CA");
    pki.fleet = testpki_root("Fleet CA");
    pki.server_a = client("a.test", &(struct testpki_spec){.extended_key_usage = "serverAuth", .san = "DNS:a.test"});
    pki.server_b = client("b.test", &(struct testpki_spec){.extended_key_usage = "serverAuth", .san = "DNS:b.test"});
    pki.sensor = testpki_client("sensor-1", &pki.devices);
    pki.truck = testpki_client("truck-1", &pki.fleet);
    pki.stranger = testpki_make(&(struct testpki_spec){.cn = "sensor-1"});
    pki.revoked = client("revoked", &(struct testpki_spec){.issuer = &pki.devices, .serial = "66"});
    pki.expired = client(
        "expired", &(struct testpki_spec){.issuer = &pki.devices, .not_before = now - 9 * day, .not_after = now - day});
    pki.future = client(
        "future", &(struct testpki_spec){.issuer = &pki.devices, .not_before = now + day, .not_after = now + 9 * day});
    pki.server_only =
        client("server-only", &(struct testpki_spec){.issuer = &pki.devices, .extended_key_usage = "serverAuth"});
    return &pki;
}

static const struct testpki *find_pki(struct slice name) {
    const struct rig_pki *pki = rig_pki();
    const struct {
        const char *name;
        const struct testpki *made;
    } rows[] = {{"server-a", &pki->server_a},
                {"server-b", &pki->server_b},
                {"devices-ca", &pki->devices},
                {"fleet-ca", &pki->fleet}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (slice_starts_with(name, slice_of(rows[i].name)))
            return rows[i].made;
    }
    ck_abort_msg("no file " SLICE_FMT, SLICE_ARG(name));
}

/* ---- in place of resolve ---- */

static struct slice base_name(const struct conf_file *file) {
    const char *slash = strrchr(file->path.text, '/');
    return slice_of(slash ? slash + 1 : file->path.text);
}

static void fill_certificate(struct conf_file *file, struct arena *arena) {
    struct sbuf pem;
    sbuf_init(&pem, TEXT_MAX);
    testpki_cert_pem(find_pki(base_name(file)), &pem);
    file->not_after = cert_not_after(find_pki(base_name(file))->cert);
    file->content = arena_dup(arena, sbuf_slice(&pem));
    sha256_hex(file->content, file->digest);
    sbuf_fini(&pem);
}

static void fill_key(struct conf_file *file, struct resolved *resolved) {
    struct sbuf pem;
    sbuf_init(&pem, TEXT_MAX);
    testpki_key_pem(find_pki(base_name(file)), &pem);
    sha256_hex(sbuf_slice(&pem), file->digest);
    resolved->secrets = mem_resize(resolved->secrets, (resolved->secret_count + 1) * sizeof *resolved->secrets);
    struct secret *secret = &resolved->secrets[resolved->secret_count++];
    memcpy(secret->digest, file->digest, sizeof secret->digest);
    secret->bytes = mem_dup(sbuf_slice(&pem).ptr, pem.len);
    secret->size = pem.len;
    sbuf_fini(&pem);
}

static void fill_crl(struct conf_file *file, struct resolved *resolved) {
    static const struct testpki_revoked entries[] = {{"66", 1, 0}, {NULL, 0, 0}};
    const struct testpki_crl_spec spec = {.issuer = &rig_pki()->devices, .revoked = entries, .number = "7"};
    struct sbuf der;
    enum crl_fault fault;
    struct err err;
    sbuf_init(&der, TEXT_MAX);
    testpki_crl(&spec, &der);
    sha256_hex(sbuf_slice(&der), file->digest);
    resolved->crls = mem_resize(resolved->crls, (resolved->crl_count + 1) * sizeof *resolved->crls);
    struct resolved_crl *crl = &resolved->crls[resolved->crl_count++];
    memcpy(crl->digest, file->digest, sizeof crl->digest);
    crl->crl = testpki_load(sbuf_slice(&der), &rig_pki()->devices, &fault, &err);
    ck_assert_msg(crl->crl != NULL, "%s", err.text);
    sbuf_fini(&der);
}

static void fill_files(struct conf *conf, struct resolved *resolved) {
    for (size_t i = 0; i < conf->hostnames.count; i++) {
        struct conf_hostname *hostname = &conf->hostnames.items[i];
        for (size_t j = 0; j < hostname->certificates.count; j++) {
            fill_certificate(&hostname->certificates.items[j], conf->arena);
            fill_key(&hostname->private_keys.items[j], resolved);
        }
    }
    for (size_t i = 0; i < conf->ca_bundles.count; i++) {
        struct conf_ca_bundle *bundle = &conf->ca_bundles.items[i];
        fill_certificate(&bundle->file, conf->arena);
        bundle->crl.lists = bundle->crl.files;
        for (size_t j = 0; j < bundle->crl.lists.count; j++)
            fill_crl(&bundle->crl.lists.items[j], resolved);
    }
}

static void fill_addresses(struct conf *conf) {
    for (size_t i = 0; i < conf->upstreams.count; i++) {
        for (size_t j = 0; j < conf->upstreams.items[i].servers.count; j++) {
            struct conf_server *server = &conf->upstreams.items[i].servers.items[j];
            if (strcmp(server->address.text, "builtin:whoami") == 0)
                continue;
            server->resolved.items = ARENA_NEW(conf->arena, struct conf_text);
            server->resolved.items[0] = server->address;
            server->resolved.count = 1;
        }
    }
}

void rig_resolve(const char *yaml, struct resolved *resolved_out) {
    struct conf_messages messages;
    struct sbuf text;
    conf_messages_init(&messages, "test.yaml");
    sbuf_init(&text, TEXT_MAX);
    *resolved_out = (struct resolved){.secret_count = 0};
    sbuf_init(&resolved_out->document, TEXT_MAX);
    struct conf *conf = conf_parse(slice_of(yaml), "test.yaml", ".", &messages);
    conf_messages_print(&messages, &text);
    ck_assert_msg(conf != NULL && messages.errors == 0, "%s", sbuf_text(&text));
    fill_files(conf, resolved_out);
    fill_addresses(conf);
    document_write(conf, &resolved_out->document);
    conf_free(&conf);
    conf_messages_fini(&messages);
    sbuf_fini(&text);
}

struct ticket_keys *rig_keys(void) {
    static struct ticket_keys *keys;
    if (!keys)
        keys = ticket_keys_new();
    return keys;
}

struct snapshot *rig_snapshot(const char *yaml) {
    struct resolved resolved;
    struct err err;
    rig_resolve(yaml, &resolved);
    struct snapshot *snapshot = snapshot_new(&resolved, 1, rig_keys(), &err);
    ck_assert_msg(snapshot != NULL, "%s", err.text);
    resolved_fini(&resolved); /* a snapshot needs nothing of it any more */
    return snapshot;
}

/* ---- asking ---- */

struct answer rig_ask_traced(const struct snapshot *snapshot, const char *url, const struct testpki *certificate,
                             const char *method, struct trace *trace) {
    struct cert_list presented = {NULL, 0};
    if (certificate)
        cert_list_add(&presented, certificate->cert);
    const struct question question = {
        .url = slice_of(url), .method = slice_of(method), .certificates = &presented, .now = TESTPKI_NOW};
    struct answer answer;
    struct err err;
    ck_assert_msg(judge_question(snapshot, &question, trace, &answer, &err) == 0, "%s", err.text);
    cert_list_fini(&presented);
    return answer;
}

struct answer rig_ask(const struct snapshot *snapshot, const char *url, const struct testpki *certificate) {
    return rig_ask_traced(snapshot, url, certificate, NULL, NULL);
}
