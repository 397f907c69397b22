/*
 * addr_public: which addresses are anybody's on the Internet. Called before connecting to where a name or a redirect
 * of somebody else leads. After the registries of special-purpose addresses (RFC 6890; IANA's tables).
 */
#include <string.h>

#include "io/addr.h"

#define BLOCK4(a, b, c, n) \
    { .bytes = {a, b, c}, .bits = (n) }
#define BLOCK6(a, b, n) \
    { .bytes = {(a) >> 8, (a)&255, (b) >> 8, (b)&255}, .bits = (n), .is_v6 = true }

static const struct cidr not_public[] = {
    BLOCK4(0, 0, 0, 8),       /* this network */
    BLOCK4(10, 0, 0, 8),      /* private */
    BLOCK4(100, 64, 0, 10),   /* shared by carriers */
    BLOCK4(127, 0, 0, 8),     /* loopback */
    BLOCK4(169, 254, 0, 16),  /* link-local; the metadata service of clouds */
    BLOCK4(172, 16, 0, 12),   /* private */
    BLOCK4(192, 0, 0, 24),    /* protocol assignments */
    BLOCK4(192, 0, 2, 24),    /* documentation */
    BLOCK4(192, 168, 0, 16),  /* private */
    BLOCK4(198, 18, 0, 15),   /* benchmarks */
    BLOCK4(198, 51, 100, 24), /* documentation */
    BLOCK4(203, 0, 113, 24),  /* documentation */
    BLOCK4(224, 0, 0, 3),     /* multicast, reserved, broadcast */
};

/* Public IPv6 addresses are in 2000::/3; these are the parts of it that are not, or that carry an IPv4 address. */
static const struct cidr global6 = BLOCK6(0x2000, 0, 3);
static const struct cidr not_public6[] = {
    BLOCK6(0x2001, 0, 23),      /* protocol assignments, Teredo */
    BLOCK6(0x2001, 0x0db8, 32), /* documentation */
    BLOCK6(0x3fff, 0, 20),      /* documentation */
};
static const struct cidr six_to_four = BLOCK6(0x2002, 0, 16);
static const struct cidr nat64 = {.bytes = {0, 0x64, 0xff, 0x9b}, .bits = 96, .is_v6 = true};

static bool is_public4(const uint8_t bytes[4]) {
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct addr addr;
    memcpy(&in.sin_addr, bytes, 4);
    addr_from_sockaddr((const struct sockaddr *)&in, sizeof in, &addr);
    for (size_t i = 0; i < sizeof not_public / sizeof not_public[0]; i++)
        if (cidr_contains(&not_public[i], &addr))
            return false;
    return true;
}

static bool is_public6(const struct addr *addr) {
    const uint8_t *bytes = addr->in6.sin6_addr.s6_addr;
    if (cidr_contains(&nat64, addr))
        return is_public4(bytes + 12);
    if (cidr_contains(&six_to_four, addr))
        return is_public4(bytes + 2);
    for (size_t i = 0; i < sizeof not_public6 / sizeof not_public6[0]; i++)
        if (cidr_contains(&not_public6[i], addr))
            return false;
    return cidr_contains(&global6, addr);
}

bool addr_is_public(const struct addr *addr) {
    if (addr->sa.sa_family == AF_INET)
        return is_public4((const uint8_t *)&addr->in.sin_addr);
    return addr->sa.sa_family == AF_INET6 && is_public6(addr);
}
