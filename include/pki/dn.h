/*
 * dn: a distinguished name as a list of attributes, for dialects that lay names out in a way of their own. Everything
 * else shows names by pki/identity.
 */
#ifndef SALLYPORT_PKI_DN_H
#define SALLYPORT_PKI_DN_H

#include "base/arena.h"
#include "pki/cert.h"

struct dn_attribute {
    const char *type;   /* "CN", "O", "serialNumber"...; dotted OID where there is no short name */
    struct slice value; /* UTF-8; may hold any character, NUL too */
};

struct dn {
    struct dn_attribute *items;
    size_t count;
};

/* In the order of the certificate. An attribute whose value is no text is left out. All of it lives in the arena. */
struct dn dn_subject(const struct cert *cert, struct arena *arena);
struct dn dn_issuer(const struct cert *cert, struct arena *arena);

#endif
