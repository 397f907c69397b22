/*
 * templates: see the header. Called by forward.c; the fields are those of facts 4.4, in its formats. Owns nothing.
 */
#include "proxy/templates.h"

#include "base/sbuf.h"
#include "http/hop.h"
#include "proxy/dialects.h"

#define VALUE_MAX (2 * DIALECT_VALUE_MAX)

static struct slice truth(bool value) { return value ? SLICE("true") : SLICE("false"); }

/* Fields that a certificate has as text. */
static struct slice identity_field(const struct identity *identity, enum template_field field) {
    switch (field) {
    case TEMPLATE_cert_issuer_dn:
    case TEMPLATE_cert_issuer_dn_rfc2253:
        return identity->issuer_dn;
    case TEMPLATE_cert_subject_dn:
    case TEMPLATE_cert_subject_dn_rfc2253:
        return identity->subject_dn;
    case TEMPLATE_cert_issuer_dn_legacy:
        return identity->issuer_dn_legacy;
    case TEMPLATE_cert_subject_dn_legacy:
        return identity->subject_dn_legacy;
    case TEMPLATE_cert_serial:
        return identity->serial;
    case TEMPLATE_cert_issuer_serial:
        return identity->issuer_serial;
    case TEMPLATE_cert_fingerprint_sha256:
        return identity->fingerprint_sha256;
    case TEMPLATE_cert_fingerprint_sha1:
        return identity->fingerprint_sha1;
    case TEMPLATE_cert_not_before:
        return identity->not_before;
    case TEMPLATE_cert_not_after:
        return identity->not_after;
    case TEMPLATE_cert_ski:
        return identity->ski;
    case TEMPLATE_cert_issuer_ski:
        return identity->issuer_ski;
    case TEMPLATE_cert_common_name:
        return identity->common_name;
    default:
        return SLICE("");
    }
}

/* Fields of a certificate that verified. */
static struct slice certificate_field(struct peer *peer, enum template_field field, struct arena *arena) {
    const struct identity *identity = peer_identity(peer);
    switch (field) {
    case TEMPLATE_cert_rfc9440:
        return dialect_rfc9440(identity->cert, arena);
    case TEMPLATE_cert_rfc9440_too_large:
        return truth(dialect_rfc9440(identity->cert, arena).len == 0);
    case TEMPLATE_cert_chain_rfc9440:
        return dialect_chain_rfc9440(&peer->sent, arena);
    case TEMPLATE_cert_chain_rfc9440_too_large:
        return truth(peer->sent.count > 0 && dialect_chain_rfc9440(&peer->sent, arena).len == 0);
    default:
        return identity_field(identity, field);
    }
}

static struct slice field_value(struct exchange *exchange, enum template_field field, struct arena *arena) {
    struct peer *peer = exchange->client->peer;
    switch (field) {
    case TEMPLATE_cert_presented:
        return truth(peer->leaf != NULL);
    case TEMPLATE_cert_verified:
        return truth(dialect_cert_verified(&peer->report));
    case TEMPLATE_cert_revoked:
        return truth(peer->report.reason == REASON_CERTIFICATE_REVOKED);
    case TEMPLATE_tls_version:
        return slice_of(peer->tls_version);
    case TEMPLATE_tls_cipher:
        return slice_of(peer->cipher);
    case TEMPLATE_client_ip:
        return slice_of(exchange->client->host_text);
    case TEMPLATE_host:
        return exchange->request->has_host ? exchange->request->target.authority : slice_of(peer->server_name);
    case TEMPLATE_ray_id:
        return slice_of(exchange->ray_id);
    default:
        break;
    }
    return peer->leaf && peer->report.reason == REASON_NONE ? certificate_field(peer, field, arena) : SLICE("");
}

/* Only a common name can hold anything but visible ASCII. */
static void append_visible(struct sbuf *out, struct slice text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20 || c > 0x7e) {
            sbuf_printf(out, "\\u%04x", c);
        } else {
            sbuf_append_char(out, (char)c);
        }
    }
}

struct slice template_render(struct exchange *exchange, const struct template *template, struct arena *arena) {
    struct sbuf value;
    sbuf_init(&value, VALUE_MAX);
    for (size_t i = 0; i < template->count; i++) {
        const struct template_part *part = &template->parts[i];
        bool is_literal = part->field == TEMPLATE_LITERAL;
        append_visible(&value, is_literal ? part->literal : field_value(exchange, part->field, arena));
    }
    struct slice text = value.overflow ? SLICE_NONE : arena_dup(arena, slice_trim(sbuf_slice(&value)));
    sbuf_fini(&value);
    return text;
}

/* The name of a rule, or what stands in its place when the value is too large. */
static bool is_name_of(struct slice name, struct slice rule) {
    const struct slice marker = SLICE("-Too-Large");
    return header_is_same(name, rule) ||
           (name.len == rule.len + marker.len && header_is_same(slice_first(name, rule.len), rule) &&
            header_is_same(slice_after(name, rule.len), marker));
}

bool templates_have(const conf_headers *rules, struct slice name) {
    for (size_t i = 0; rules && i < rules->count; i++) {
        if (is_name_of(name, slice_of(rules->items[i].name.text))) {
            return true;
        }
    }
    return false;
}

void templates_apply(struct exchange *exchange, const conf_headers *rules, struct headers *out) {
    for (size_t i = 0; i < rules->count; i++) {
        headers_remove(out, slice_of(rules->items[i].name.text), is_name_of);
    }
    for (size_t i = 0; i < rules->count; i++) {
        const struct conf_header *rule = &rules->items[i];
        struct slice name = slice_of(rule->name.text);
        if (rule->is_removed) {
            continue;
        }
        struct slice value = template_render(exchange, &rule->value, out->arena);
        if (!value.ptr) {
            headers_add(out, slice_of(arena_printf(out->arena, "%s-Too-Large", rule->name.text)), SLICE("1"));
        } else if (value.len > 0) {
            headers_add(out, name, value);
        }
    }
}
