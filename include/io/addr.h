/*
 * addr: socket addresses and address blocks as values with a text. IPv4-mapped IPv6 addresses are turned into IPv4 when
 * they enter, so that a rule written for 192.0.2.0/24 also meets a client on a dual-stack socket.
 */
#ifndef SALLYPORT_IO_ADDR_H
#define SALLYPORT_IO_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/slice.h"

#define ADDR_TEXT_SIZE 128 /* "[v6]:port" or "unix:/path" and NUL */

struct addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_storage storage; /* also sockaddr_un, for the admin socket */
    };
    socklen_t len;
};

/* "host:port", "[v6]:port", "*:port" (all IPv6 and IPv4), "unix:path". Numeric hosts only; the text in err says what
 * was expected. */
MUST_CHECK int addr_parse(struct slice text, struct addr *addr_out, struct err *err);
/* A numeric host without a port: "192.0.2.7", "2001:db8::1". The port becomes 0. */
MUST_CHECK bool addr_parse_host(struct slice host, struct addr *addr_out);
/* Splits "host:port" without resolving; port is required. */
MUST_CHECK int addr_split(struct slice text, struct slice *host_out, uint16_t *port_out, struct err *err);
/* Resolves a name (blocking; control side, at load). Fills at most max addresses. */
MUST_CHECK int addr_resolve(struct slice host, uint16_t port, struct addr *addrs_out, size_t max, size_t *count_out,
                            struct err *err);
void addr_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct addr *addr_out);
/* "192.0.2.7:4711"; out of ADDR_TEXT_SIZE. Returns out. */
const char *addr_format(const struct addr *addr, char *out);
/* "192.0.2.7" without the port. */
const char *addr_format_host(const struct addr *addr, char *out);
uint16_t addr_port(const struct addr *addr);
bool addr_is_loopback(const struct addr *addr);
/* An address that anybody on the Internet may have: not loopback, private, link-local, shared, multicast, reserved; and
 * no IPv6 form of such an IPv4 address. */
bool addr_is_public(const struct addr *addr);
bool addr_eq(const struct addr *a, const struct addr *b);

/* "192.0.2.0/24", "2001:db8::/32" or a bare address. */
struct cidr {
    uint8_t bytes[16];
    uint8_t bits;
    bool is_v6;
};
/* Host bits set beyond the prefix are an error that names the network meant. */
MUST_CHECK int cidr_parse(struct slice text, struct cidr *cidr_out, struct err *err);
bool cidr_contains(const struct cidr *cidr, const struct addr *addr);

#endif
