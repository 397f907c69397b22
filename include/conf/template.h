/*
 * template: text with fields in braces, for values of headers: "{cert_subject_dn}". Parsed when the configuration is
 * bound, so that a misspelt field is an error of the file; rendered by proxy/templates.
 */
#ifndef SALLYPORT_CONF_TEMPLATE_H
#define SALLYPORT_CONF_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

/* Those of cf.tls_client_auth (facts 4.4) under their own names; then what else a header may want to say. */
#define TEMPLATE_FIELDS(X)          \
    X(cert_presented)               \
    X(cert_verified)                \
    X(cert_revoked)                 \
    X(cert_issuer_dn)               \
    X(cert_subject_dn)              \
    X(cert_issuer_dn_rfc2253)       \
    X(cert_subject_dn_rfc2253)      \
    X(cert_issuer_dn_legacy)        \
    X(cert_subject_dn_legacy)       \
    X(cert_serial)                  \
    X(cert_issuer_serial)           \
    X(cert_fingerprint_sha256)      \
    X(cert_fingerprint_sha1)        \
    X(cert_not_before)              \
    X(cert_not_after)               \
    X(cert_ski)                     \
    X(cert_issuer_ski)              \
    X(cert_rfc9440)                 \
    X(cert_rfc9440_too_large)       \
    X(cert_chain_rfc9440)           \
    X(cert_chain_rfc9440_too_large) \
    X(cert_common_name)             \
    X(tls_version)                  \
    X(tls_cipher)                   \
    X(client_ip)                    \
    X(host)                         \
    X(ray_id)

enum template_field {
    TEMPLATE_LITERAL, /* no field: text as it stands */
#define X(name) TEMPLATE_##name,
    TEMPLATE_FIELDS(X)
#undef X
        TEMPLATE_FIELD_COUNT
};

struct template_part {
    enum template_field field;
    struct slice literal;
};

struct template {
    const char *text; /* as written; NULL: none */
    struct template_part *parts;
    size_t count;
};

/* `{{` and `}}` are the braces themselves. All of it lives in the arena; text must as well, and end with NUL. -1 with
 * what is wrong: an unknown field (with the nearest known one), a brace without its other half, a character that no
 * header may hold. */
MUST_CHECK int template_parse(const char *text, struct arena *arena, struct template *template_out, struct err *err);

#endif
