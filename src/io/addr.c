/*
 * addr: socket addresses and address blocks, to and from text. Called by configuration (listeners, upstreams, rules)
 * and for every accepted connection. Pure but for addr_resolve(), which asks the system's resolver and blocks.
 */
#include "io/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define PORT_DIGITS 5
#define HOST_MAX 253

static const struct slice UNIX_PREFIX = {"unix:", 5};

/* ---- making addresses ---- */

static void set_v4(struct addr *addr, const void *bytes, uint16_t port) {
    memset(addr, 0, sizeof *addr);
    addr->in.sin_family = AF_INET;
    addr->in.sin_port = htons(port);
    memcpy(&addr->in.sin_addr, bytes, 4);
    addr->len = sizeof addr->in;
}

static void set_v6(struct addr *addr, const struct in6_addr *in6, uint16_t port) {
    if (IN6_IS_ADDR_V4MAPPED(in6)) {
        set_v4(addr, in6->s6_addr + 12, port);
        return;
    }
    memset(addr, 0, sizeof *addr);
    addr->in6.sin6_family = AF_INET6;
    addr->in6.sin6_port = htons(port);
    addr->in6.sin6_addr = *in6;
    addr->len = sizeof addr->in6;
}

static const struct sockaddr_un *as_unix(const struct addr *addr) {
    return (const struct sockaddr_un *)(const void *)&addr->storage;
}

static bool set_unix(struct addr *addr, struct slice path) {
    memset(addr, 0, sizeof *addr);
    struct sockaddr_un *un = (struct sockaddr_un *)(void *)&addr->storage;
    if (path.len == 0 || path.len >= sizeof un->sun_path || memchr(path.ptr, '\0', path.len)) {
        return false;
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.ptr, path.len);
    addr->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    return true;
}

/* A numeric host of either family. inet_pton() knows no scope ids ("fe80::1%eth0"), no octal and no short forms, and
 * neither do we. */
static bool set_numeric(struct addr *addr, struct slice host, uint16_t port) {
    char text[INET6_ADDRSTRLEN];
    if (host.len == 0 || host.len >= sizeof text || memchr(host.ptr, '\0', host.len)) {
        return false;
    }
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    struct in_addr in;
    struct in6_addr in6;
    if (inet_pton(AF_INET, text, &in) == 1) {
        set_v4(addr, &in, port);
        return true;
    }
    if (inet_pton(AF_INET6, text, &in6) == 1) {
        set_v6(addr, &in6, port);
        return true;
    }
    return false;
}

void addr_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct addr *addr_out) {
    memset(addr_out, 0, sizeof *addr_out);
    if (len > sizeof addr_out->storage) {
        len = sizeof addr_out->storage;
    }
    memcpy(&addr_out->storage, sa, len);
    addr_out->len = len;
    if (len >= sizeof(struct sockaddr_in6) && sa->sa_family == AF_INET6) {
        struct in6_addr in6 = addr_out->in6.sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(&in6)) {
            set_v6(addr_out, &in6, ntohs(addr_out->in6.sin6_port));
        }
    }
}

/* ---- from text ---- */

static bool parse_port(struct slice text, uint16_t *port_out) {
    unsigned long long port = 0;
    if (text.len > PORT_DIGITS || !slice_to_u64(text, &port) || port > UINT16_MAX) {
        return false;
    }
    *port_out = (uint16_t)port;
    return true;
}

static bool is_host_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
}

/* "name", "192.0.2.1" or "[v6]"; sets the host without brackets. */
static bool split_host(struct slice text, struct slice *host_out) {
    if (text.len == 0) {
        return false;
    }
    if (text.ptr[0] == '[') {
        struct addr addr;
        *host_out = slice_make(text.ptr + 1, text.len >= 2 ? text.len - 2 : 0);
        return text.ptr[text.len - 1] == ']' && slice_index(*host_out, ':') < host_out->len &&
               set_numeric(&addr, *host_out, 0);
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!is_host_byte(text.ptr[i])) {
            return false;
        }
    }
    *host_out = text;
    return text.len <= HOST_MAX;
}

/* The port stands behind the last colon; a colon before that is only good within brackets. */
static size_t last_colon(struct slice text) {
    size_t at = text.len;
    while (at > 0 && text.ptr[at - 1] != ':') {
        at--;
    }
    return at > 0 ? at - 1 : text.len;
}

int addr_split(struct slice text, struct slice *host_out, uint16_t *port_out, struct err *err) {
    size_t colon = last_colon(text);
    if (!split_host(slice_first(text, colon), host_out)) {
        return err_set(err, "expected host:port or [IPv6 address]:port, got '" SLICE_FMT "'", SLICE_ARG(text));
    }
    if (colon == text.len) {
        return err_set(err, "expected host:port, got '" SLICE_FMT "' without a port", SLICE_ARG(text));
    }
    if (!parse_port(slice_after(text, colon + 1), port_out)) {
        return err_set(err, "expected a port from 0 to 65535 after the colon, got '" SLICE_FMT "'", SLICE_ARG(text));
    }
    return 0;
}

int addr_parse(struct slice text, struct addr *addr_out, struct err *err) {
    if (slice_starts_with(text, UNIX_PREFIX)) {
        if (!set_unix(addr_out, slice_after(text, UNIX_PREFIX.len))) {
            return err_set(err, "expected unix:path with a path of 1 to 107 bytes, got '" SLICE_FMT "'",
                           SLICE_ARG(text));
        }
        return 0;
    }
    uint16_t port = 0;
    if (slice_starts_with(text, SLICE("*:")) && parse_port(slice_after(text, 2), &port)) {
        set_v6(addr_out, &in6addr_any, port);
        return 0;
    }
    struct slice host = SLICE_NONE;
    if (addr_split(text, &host, &port, NULL) != 0 || !set_numeric(addr_out, host, port)) {
        return err_set(
            err,
            "expected an IP address and a port (127.0.0.1:8443, [::1]:8443, *:8443) or unix:path, got '" SLICE_FMT "'",
            SLICE_ARG(text));
    }
    return 0;
}

bool addr_parse_host(struct slice host, struct addr *addr_out) { return set_numeric(addr_out, host, 0); }

/* ---- names ---- */

static bool is_known(const struct addr *addrs, size_t count, const struct addr *addr) {
    for (size_t i = 0; i < count; i++) {
        if (addr_eq(&addrs[i], addr)) {
            return true;
        }
    }
    return false;
}

int addr_resolve(struct slice host, uint16_t port, struct addr *addrs_out, size_t max, size_t *count_out,
                 struct err *err) {
    *count_out = 0;
    if (max == 0 || set_numeric(&addrs_out[0], host, port)) {
        *count_out = max > 0 ? 1 : 0;
        return 0;
    }
    char name[HOST_MAX + 1];
    if (host.len == 0 || host.len > HOST_MAX || memchr(host.ptr, '\0', host.len)) {
        return err_set(err, "not a host name: '" SLICE_FMT "'", SLICE_ARG(host));
    }
    memcpy(name, host.ptr, host.len);
    name[host.len] = '\0';

    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int result = getaddrinfo(name, NULL, &hints, &list);
    if (result != 0) {
        return err_set(err, "cannot resolve '%s': %s", name,
                       result == EAI_SYSTEM ? strerror(errno) : gai_strerror(result));
    }
    for (const struct addrinfo *item = list; item && *count_out < max; item = item->ai_next) {
        struct addr addr;
        if (item->ai_family == AF_INET) {
            set_v4(&addr, &((const struct sockaddr_in *)(const void *)item->ai_addr)->sin_addr, port);
        } else if (item->ai_family == AF_INET6) {
            set_v6(&addr, &((const struct sockaddr_in6 *)(const void *)item->ai_addr)->sin6_addr, port);
        } else {
            continue;
        }
        if (!is_known(addrs_out, *count_out, &addr)) {
            addrs_out[(*count_out)++] = addr;
        }
    }
    freeaddrinfo(list);
    return *count_out > 0 ? 0 : err_set(err, "'%s' has no IP address", name);
}

/* ---- to text ---- */

const char *addr_format_host(const struct addr *addr, char *out) {
    out[0] = '\0';
    if (addr->sa.sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &addr->in.sin_addr, out, ADDR_TEXT_SIZE);
    } else if (addr->sa.sa_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &addr->in6.sin6_addr, out, ADDR_TEXT_SIZE);
    } else if (addr->sa.sa_family == AF_UNIX) {
        const struct sockaddr_un *un = as_unix(addr);
        size_t offset = offsetof(struct sockaddr_un, sun_path);
        size_t room = addr->len > offset ? addr->len - offset : 0;
        (void)snprintf(out, ADDR_TEXT_SIZE, "unix:%.*s", (int)strnlen(un->sun_path, room), un->sun_path);
    }
    return out;
}

const char *addr_format(const struct addr *addr, char *out) {
    char host[ADDR_TEXT_SIZE];
    addr_format_host(addr, host);
    if (addr->sa.sa_family == AF_INET6) {
        (void)snprintf(out, ADDR_TEXT_SIZE, "[%.*s]:%u", INET6_ADDRSTRLEN, host, addr_port(addr));
    } else if (addr->sa.sa_family == AF_INET) {
        (void)snprintf(out, ADDR_TEXT_SIZE, "%.*s:%u", INET_ADDRSTRLEN, host, addr_port(addr));
    } else {
        memcpy(out, host, sizeof host);
    }
    return out;
}

/* ---- comparing ---- */

uint16_t addr_port(const struct addr *addr) {
    switch (addr->sa.sa_family) {
    case AF_INET:
        return ntohs(addr->in.sin_port);
    case AF_INET6:
        return ntohs(addr->in6.sin6_port);
    default:
        return 0;
    }
}

bool addr_is_loopback(const struct addr *addr) {
    switch (addr->sa.sa_family) {
    case AF_INET:
        return ntohl(addr->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    case AF_INET6:
        return IN6_IS_ADDR_LOOPBACK(&addr->in6.sin6_addr);
    default:
        return addr->sa.sa_family == AF_UNIX;
    }
}

bool addr_eq(const struct addr *a, const struct addr *b) {
    if (a->sa.sa_family != b->sa.sa_family || addr_port(a) != addr_port(b)) {
        return false;
    }
    switch (a->sa.sa_family) {
    case AF_INET:
        return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    case AF_INET6:
        return IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr);
    default:
        return a->len == b->len && memcmp(&a->storage, &b->storage, a->len) == 0;
    }
}

/* ---- address blocks ---- */

static int cidr_width(const struct cidr *cidr) { return cidr->is_v6 ? 128 : 32; }

/* Clears what lies beyond the prefix; says whether anything was there. */
static bool cidr_mask(struct cidr *cidr) {
    bool had_host_bits = false;
    for (int bit = cidr->bits; bit < cidr_width(cidr); bit++) {
        uint8_t mask = (uint8_t)(0x80 >> (bit % 8));
        had_host_bits |= (cidr->bytes[bit / 8] & mask) != 0;
        cidr->bytes[bit / 8] &= (uint8_t)~mask;
    }
    return had_host_bits;
}

static bool parse_prefix_length(struct slice text, int width, uint8_t *bits_out) {
    unsigned long long bits = 0;
    bool has_leading_zero = text.len > 1 && text.ptr[0] == '0';
    if (has_leading_zero || !slice_to_u64(text, &bits) || bits > (unsigned)width) {
        return false;
    }
    *bits_out = (uint8_t)bits;
    return true;
}

static int refuse_host_bits(const struct cidr *network, struct slice text, struct err *err) {
    char name[INET6_ADDRSTRLEN] = "";
    (void)inet_ntop(network->is_v6 ? AF_INET6 : AF_INET, network->bytes, name, sizeof name);
    return err_set(err, "'" SLICE_FMT "' has bits set beyond its prefix; the network is %s/%u", SLICE_ARG(text), name,
                   network->bits);
}

int cidr_parse(struct slice text, struct cidr *cidr_out, struct err *err) {
    static const char EXPECTED[] = "expected an address block such as 192.0.2.0/24 or 2001:db8::/32, or an address";
    struct slice host;
    struct slice length = slice_cut(text, '/', &host);
    struct addr addr;
    if (!set_numeric(&addr, host, 0)) {
        return err_set(err, "%s, got '" SLICE_FMT "'", EXPECTED, SLICE_ARG(text));
    }
    struct cidr cidr = {.is_v6 = addr.sa.sa_family == AF_INET6};
    memcpy(cidr.bytes, cidr.is_v6 ? (const void *)&addr.in6.sin6_addr : (const void *)&addr.in.sin_addr,
           cidr.is_v6 ? 16 : 4);
    /* "::ffff:192.0.2.0/120" was written with the length of IPv6 and means 192.0.2.0/24. */
    bool is_mapped = !cidr.is_v6 && slice_index(host, ':') < host.len;
    int width = cidr.is_v6 || is_mapped ? 128 : 32;
    cidr.bits = (uint8_t)width;
    if (length.ptr && !parse_prefix_length(length, width, &cidr.bits)) {
        return err_set(err, "%s, got '" SLICE_FMT "' with a prefix length that is not a number from 0 to %d", EXPECTED,
                       SLICE_ARG(text), width);
    }
    if (is_mapped && cidr.bits < 96) {
        return err_set(err, "%s, got '" SLICE_FMT "', which reaches beyond IPv4-mapped addresses", EXPECTED,
                       SLICE_ARG(text));
    }
    if (is_mapped) {
        cidr.bits = (uint8_t)(cidr.bits - 96);
    }
    if (cidr_mask(&cidr)) {
        return refuse_host_bits(&cidr, text, err);
    }
    *cidr_out = cidr;
    return 0;
}

bool cidr_contains(const struct cidr *cidr, const struct addr *addr) {
    const uint8_t *bytes;
    if (cidr->is_v6 && addr->sa.sa_family == AF_INET6) {
        bytes = addr->in6.sin6_addr.s6_addr;
    } else if (!cidr->is_v6 && addr->sa.sa_family == AF_INET) {
        bytes = (const uint8_t *)&addr->in.sin_addr;
    } else {
        return false;
    }
    size_t whole = cidr->bits / 8;
    uint8_t mask = (uint8_t)(0xff00 >> (cidr->bits % 8));
    return memcmp(bytes, cidr->bytes, whole) == 0 && (mask == 0 || ((bytes[whole] ^ cidr->bytes[whole]) & mask) == 0);
}
