/*
 * dialects: see the header. forward.c calls dialects_render once per connection and keeps the result; templates.c uses
 * the single values. Owns nothing; everything lives in the arena of the headers.
 *
 * One function a dialect, each after the document of the peer whose origins read it (docs/headers.md names them).
 * Where a peer would let a certificate's text break out of its quotes, we escape it instead: no origin may read a
 * field that the CA did not certify.
 */
#include "proxy/dialects.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/mem.h"
#include "base/sbuf.h"
#include "pki/dn.h"

#define PEM_LINE 64

/* Headers of one certificate; what has been said about its size. */
struct rendering {
    const struct presented_certificate *presented;
    struct headers *out;
    bool is_digest_there;
};

/* ---- escaping ---- */

static bool is_unreserved(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

/* Percent-encoding (RFC 3986 2.1) of everything but unreserved characters and those of `safe`. */
static void append_escaped(struct sbuf *out, struct slice text, const char *safe) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (is_unreserved(c) || (c && strchr(safe, c))) {
            sbuf_append_char(out, c);
        } else {
            sbuf_printf(out, "%%%02X", (unsigned char)c);
        }
    }
}

/* A name in RFC 2253 form between quotes: no quote is left in it, and no backslash in front of the closing one, because
 * both are written as hex pairs, which that form knows too. */
static void append_quoted_name(struct sbuf *out, struct slice name) {
    sbuf_append_char(out, '"');
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (c == '\\' && i + 1 < name.len && strchr("\\\"", name.ptr[i + 1])) {
            c = name.ptr[++i];
            sbuf_printf(out, "\\%02X", (unsigned char)c);
        } else if (c == '"') {
            sbuf_append_str(out, "\\22");
        } else {
            sbuf_append_char(out, c);
        }
    }
    sbuf_append_char(out, '"');
}

/* Characters of `special`, and all that is not visible ASCII or a blank, as "\XX" (RFC 2253 2.4): the quotes around the
 * value stay the only ones. */
static void append_quotable(struct sbuf *out, struct slice text, const char *special) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20 || c > 0x7e || strchr(special, c)) {
            sbuf_printf(out, "\\%02X", c);
        } else {
            sbuf_append_char(out, (char)c);
        }
    }
}

/* ---- encodings of a certificate ---- */

static void append_base64(struct sbuf *out, const struct cert *cert) { base64_encode(cert_der(cert), out); }

/* RFC 7468: lines of 64 characters. */
static void append_pem(struct sbuf *out, const struct cert *cert) {
    struct sbuf base64;
    sbuf_init(&base64, BASE64_SIZE(cert_der(cert).len));
    append_base64(&base64, cert);
    sbuf_append_str(out, "-----BEGIN CERTIFICATE-----\n");
    for (struct slice rest = sbuf_slice(&base64); rest.len > 0; rest = slice_after(rest, PEM_LINE)) {
        sbuf_append(out, slice_first(rest, PEM_LINE));
        sbuf_append_char(out, '\n');
    }
    sbuf_append_str(out, "-----END CERTIFICATE-----\n");
    sbuf_fini(&base64);
}

static void append_escaped_pem(struct sbuf *out, const struct cert *cert, const char *safe) {
    struct sbuf pem;
    sbuf_init(&pem, 4 * DIALECT_VALUE_MAX);
    append_pem(&pem, cert);
    append_escaped(out, sbuf_slice(&pem), safe);
    out->overflow = out->overflow || pem.overflow;
    sbuf_fini(&pem);
}

/* ---- adding ---- */

static void add_digest(struct rendering *r) {
    if (!r->is_digest_there) {
        headers_add(r->out, SLICE("Cf-Client-Cert-Sha256"), r->presented->identity->fingerprint_sha256);
    }
    r->is_digest_there = true;
}

static void add(struct rendering *r, const char *name, struct slice value) {
    if (value.len > DIALECT_VALUE_MAX) {
        headers_add(r->out, slice_of(arena_printf(r->out->arena, "%s-Too-Large", name)), SLICE("1"));
        add_digest(r);
    } else if (value.len > 0) {
        headers_add(r->out, slice_of(name), value);
    }
}

/* The buffer's content as value; it is at an end afterwards. What overflowed is too large by far. */
static void add_built(struct rendering *r, const char *name, struct sbuf *value) {
    if (value->overflow) {
        add(r, name, slice_make("", DIALECT_VALUE_MAX + 1));
    } else {
        add(r, name, arena_dup(r->out->arena, sbuf_slice(value)));
    }
    sbuf_fini(value);
}

/* Room for a value a little too large, so that it is known for one. */
static void value_init(struct sbuf *value) { sbuf_init(value, DIALECT_VALUE_MAX + 1); }

/* ---- cf: Cloudflare Access ---- */

static void add_cf(struct rendering *r) {
    add(r, "Cf-Client-Cert-Der-Base64", r->presented->identity->der_base64);
    add_digest(r);
}

/* ---- cf_cert: "Add TLS client auth headers", facts 5 ---- */

bool dialect_cert_verified(const struct verify_report *report) {
    return report->reason == REASON_NONE || report->reason == REASON_CERTIFICATE_REVOKED;
}

static struct slice truth(bool value) { return value ? SLICE("true") : SLICE("false"); }

static void add_cf_cert(struct rendering *r) {
    const struct identity *identity = r->presented->identity;
    const struct verify_report *report = r->presented->report;
    add(r, "cf-cert-revoked", truth(report->reason == REASON_CERTIFICATE_REVOKED));
    add(r, "cf-cert-verified", truth(dialect_cert_verified(report)));
    add(r, "cf-cert-presented", truth(true));
    add(r, "cf-cert-issuer-dn", identity->issuer_dn);
    add(r, "cf-cert-subject-dn", identity->subject_dn);
    add(r, "cf-cert-issuer-dn-rfc2253", identity->issuer_dn);
    add(r, "cf-cert-subject-dn-rfc2253", identity->subject_dn);
    add(r, "cf-cert-issuer-dn-legacy", identity->issuer_dn_legacy);
    add(r, "cf-cert-subject-dn-legacy", identity->subject_dn_legacy);
    add(r, "cf-cert-serial", identity->serial);
    add(r, "cf-cert-issuer-serial", identity->issuer_serial);
    add(r, "cf-cert-fingerprint-sha256", identity->fingerprint_sha256);
    add(r, "cf-cert-fingerprint-sha1", identity->fingerprint_sha1);
    add(r, "cf-cert-not-before", identity->not_before);
    add(r, "cf-cert-not-after", identity->not_after);
    add(r, "cf-cert-ski", identity->ski);
    add(r, "cf-cert-issuer-ski", identity->issuer_ski);
}

/* ---- rfc9440 ---- */

static void append_byte_sequence(struct sbuf *out, const struct cert *cert) {
    sbuf_append_char(out, ':');
    append_base64(out, cert);
    sbuf_append_char(out, ':');
}

static void append_byte_sequences(struct sbuf *out, const struct cert_list *certs) {
    for (size_t i = 0; i < certs->count; i++) {
        sbuf_append_str(out, i > 0 ? ", " : "");
        append_byte_sequence(out, certs->items[i]);
    }
}

static struct slice take(struct sbuf *value, struct arena *arena) {
    struct slice text = value->overflow ? SLICE("") : arena_dup(arena, sbuf_slice(value));
    sbuf_fini(value);
    return text;
}

struct slice dialect_rfc9440(const struct cert *cert, struct arena *arena) {
    struct sbuf value;
    sbuf_init(&value, DIALECT_VALUE_MAX);
    append_byte_sequence(&value, cert);
    return take(&value, arena);
}

struct slice dialect_chain_rfc9440(const struct cert_list *sent, struct arena *arena) {
    struct sbuf value;
    sbuf_init(&value, DIALECT_VALUE_MAX);
    append_byte_sequences(&value, sent);
    return take(&value, arena);
}

static void add_rfc9440(struct rendering *r) {
    struct sbuf leaf, chain;
    value_init(&leaf);
    append_byte_sequence(&leaf, r->presented->identity->cert);
    add_built(r, "Client-Cert", &leaf);
    value_init(&chain);
    append_byte_sequences(&chain, r->presented->sent);
    add_built(r, "Client-Cert-Chain", &chain);
}

/* ---- xfcc: Envoy ---- */

/* Quoted where it holds what separates elements and pairs; a quote inside cannot end it. */
static void append_xfcc_texts(struct sbuf *out, const char *key, const struct texts *texts) {
    for (size_t i = 0; i < texts->count; i++) {
        struct slice text = texts->items[i];
        bool is_quoted = false;
        for (size_t j = 0; j < text.len; j++) {
            is_quoted = is_quoted || strchr(",;=\"\\", text.ptr[j]);
        }
        sbuf_printf(out, ";%s=%s", key, is_quoted ? "\"" : "");
        append_escaped(out, text, "!#$%&'()*+,/:;<=>?@[]^`{|}");
        sbuf_append_str(out, is_quoted ? "\"" : "");
    }
}

static void add_xfcc(struct rendering *r) {
    const struct identity *identity = r->presented->identity;
    struct sbuf value;
    value_init(&value);
    sbuf_printf(&value, "Hash=" SLICE_FMT ";Cert=\"", SLICE_ARG(identity->fingerprint_sha256));
    append_escaped_pem(&value, identity->cert, "");
    sbuf_append_char(&value, '"');
    if (r->presented->sent->count > 0) {
        sbuf_append_str(&value, ";Chain=\"");
        append_escaped_pem(&value, identity->cert, "");
        for (size_t i = 0; i < r->presented->sent->count; i++) {
            append_escaped_pem(&value, r->presented->sent->items[i], "");
        }
        sbuf_append_char(&value, '"');
    }
    sbuf_append_str(&value, ";Subject=");
    append_quoted_name(&value, identity->subject_dn);
    append_xfcc_texts(&value, "URI", &identity->san_uri);
    append_xfcc_texts(&value, "DNS", &identity->san_dns);
    add_built(r, "x-forwarded-client-cert", &value);
}

/* ---- nginx: $ssl_client_* ---- */

static void add_nginx(struct rendering *r) {
    const struct identity *identity = r->presented->identity;
    struct sbuf pem;
    add(r, "ssl-client-verify", slice_of(r->presented->report->verified_text));
    add(r, "ssl-client-subject-dn", identity->subject_dn);
    add(r, "ssl-client-issuer-dn", identity->issuer_dn);
    add(r, "ssl-client-serial", identity->serial);
    add(r, "ssl-client-fingerprint", identity->fingerprint_sha1);
    value_init(&pem);
    append_escaped_pem(&pem, identity->cert, "");
    add_built(r, "ssl-client-cert", &pem);
}

/* ---- traefik: passTLSClientCert ---- */

/* What ends a value, a part of one, or the certificate in X-Forwarded-Tls-Client-Cert-Info. */
#define TRAEFIK_SPECIAL "\",;\\"

static void append_parts(struct sbuf *out, const struct dn *dn, const char *type, const char *shown) {
    for (size_t i = 0; i < dn->count; i++) {
        if (strcmp(dn->items[i].type, type) == 0 && dn->items[i].value.len > 0) {
            sbuf_printf(out, "%s%s=", out->len > 0 ? "," : "", shown);
            append_quotable(out, dn->items[i].value, TRAEFIK_SPECIAL);
        }
    }
}

static void append_field(struct sbuf *out, const char *key, struct slice value) {
    if (value.len > 0) {
        sbuf_printf(out, "%s%s=\"", out->len > 0 ? ";" : "", key);
        sbuf_append(out, value);
        sbuf_append_char(out, '"');
    }
}

/* The order of Traefik, which is not that of the certificate. */
static void append_name(struct sbuf *out, const char *key, const struct dn *dn) {
    static const struct {
        const char *type, *shown;
    } order[] = {{"DC", "DC"}, {"C", "C"},   {"ST", "ST"},           {"L", "L"},
                 {"O", "O"},   {"OU", "OU"}, {"serialNumber", "SN"}, {"CN", "CN"}};
    struct sbuf parts;
    sbuf_init(&parts, DIALECT_VALUE_MAX);
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        append_parts(&parts, dn, order[i].type, order[i].shown);
    }
    append_field(out, key, sbuf_slice(&parts));
    out->overflow = out->overflow || parts.overflow;
    sbuf_fini(&parts);
}

static void append_alternatives(struct sbuf *out, const struct identity *identity) {
    const struct texts *kinds[] = {&identity->san_dns, &identity->san_email, &identity->san_ip, &identity->san_uri};
    struct sbuf names;
    sbuf_init(&names, DIALECT_VALUE_MAX);
    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
        for (size_t i = 0; i < kinds[kind]->count; i++) {
            sbuf_append_str(&names, names.len > 0 ? "," : "");
            append_quotable(&names, kinds[kind]->items[i], TRAEFIK_SPECIAL);
        }
    }
    append_field(out, "SAN", sbuf_slice(&names));
    out->overflow = out->overflow || names.overflow;
    sbuf_fini(&names);
}

static void append_seconds(struct sbuf *out, const char *key, time_t seconds) {
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)seconds);
    append_field(out, key, slice_of(text));
}

static void append_certificate_summary(struct sbuf *out, const struct identity *identity, struct arena *arena) {
    struct dn subject = dn_subject(identity->cert, arena), issuer = dn_issuer(identity->cert, arena);
    struct sbuf one;
    sbuf_init(&one, 4 * DIALECT_VALUE_MAX);
    append_name(&one, "Subject", &subject);
    append_name(&one, "Issuer", &issuer);
    char *serial = cert_serial_decimal(identity->cert);
    append_field(&one, "SerialNumber", slice_of(serial));
    mem_free(serial);
    append_seconds(&one, "NB", cert_not_before(identity->cert));
    append_seconds(&one, "NA", cert_not_after(identity->cert));
    append_alternatives(&one, identity);
    sbuf_append(out, sbuf_slice(&one));
    out->overflow = out->overflow || one.overflow;
    sbuf_fini(&one);
}

static void add_traefik(struct rendering *r) {
    const struct cert_list *sent = r->presented->sent;
    struct sbuf certificates, summary, escaped;
    value_init(&certificates);
    append_base64(&certificates, r->presented->identity->cert);
    sbuf_init(&summary, 4 * DIALECT_VALUE_MAX);
    append_certificate_summary(&summary, r->presented->identity, r->out->arena);
    for (size_t i = 0; i < sent->count; i++) {
        struct identity *identity = identity_new(sent->items[i], NULL);
        sbuf_append_char(&certificates, ',');
        append_base64(&certificates, sent->items[i]);
        sbuf_append_char(&summary, ',');
        append_certificate_summary(&summary, identity, r->out->arena);
        identity_free(&identity);
    }
    add_built(r, "X-Forwarded-Tls-Client-Cert", &certificates);
    value_init(&escaped);
    append_escaped(&escaped, sbuf_slice(&summary), "");
    escaped.overflow = escaped.overflow || summary.overflow;
    sbuf_fini(&summary);
    add_built(r, "X-Forwarded-Tls-Client-Cert-Info", &escaped);
}

/* ---- aws: Application Load Balancer ---- */

#define AWS_SAFE "+=/"

static void add_aws(struct rendering *r) {
    const struct identity *identity = r->presented->identity;
    const struct cert_list *sent = r->presented->sent;
    char not_before[CLOCK_TEXT_SIZE], not_after[CLOCK_TEXT_SIZE];
    struct sbuf leaf, chain;
    add(r, "X-Amzn-Mtls-Clientcert-Serial-Number", identity->serial);
    add(r, "X-Amzn-Mtls-Clientcert-Issuer", identity->issuer_dn);
    add(r, "X-Amzn-Mtls-Clientcert-Subject", identity->subject_dn);
    clock_format(cert_not_before(identity->cert), not_before);
    clock_format(cert_not_after(identity->cert), not_after);
    add(r, "X-Amzn-Mtls-Clientcert-Validity",
        slice_of(arena_printf(r->out->arena, "NotBefore=%s;NotAfter=%s", not_before, not_after)));
    value_init(&leaf);
    append_escaped_pem(&leaf, identity->cert, AWS_SAFE);
    add_built(r, "X-Amzn-Mtls-Clientcert-Leaf", &leaf);
    value_init(&chain);
    append_escaped_pem(&chain, identity->cert, AWS_SAFE);
    for (size_t i = 0; i < sent->count; i++) {
        append_escaped_pem(&chain, sent->items[i], AWS_SAFE);
    }
    add_built(r, "X-Amzn-Mtls-Clientcert", &chain);
}

/* ---- all ---- */

void dialects_render(const struct presented_certificate *presented, unsigned dialects, struct headers *out) {
    static const struct {
        enum conf_dialect dialect;
        bool says_verdict;
        void (*add)(struct rendering *);
    } table[] = {{CONF_DIALECT_CF, false, add_cf},           {CONF_DIALECT_CF_CERT, true, add_cf_cert},
                 {CONF_DIALECT_RFC9440, false, add_rfc9440}, {CONF_DIALECT_XFCC, false, add_xfcc},
                 {CONF_DIALECT_NGINX, true, add_nginx},      {CONF_DIALECT_TRAEFIK, false, add_traefik},
                 {CONF_DIALECT_AWS, false, add_aws}};
    struct rendering r = {presented, out, false};
    bool is_verified = presented->report->reason == REASON_NONE;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if ((dialects & (unsigned)table[i].dialect) && (is_verified || table[i].says_verdict)) {
            table[i].add(&r);
        }
    }
}
