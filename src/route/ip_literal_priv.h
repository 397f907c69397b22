/* ip_literal: is a normalised host an IP literal? Those match exact entries only, in both tables of route/ (sec-05). */
#ifndef SALLYPORT_ROUTE_IP_LITERAL_PRIV_H
#define SALLYPORT_ROUTE_IP_LITERAL_PRIV_H

#include <stdbool.h>

#include "base/slice.h"

/* "[v6]", or a name whose last label is all digits: after host_normalise() that can only be an IPv4 address. */
static inline bool host_is_ip_literal(struct slice host) {
    if (host.len == 0 || host.ptr[0] == '[')
        return host.len > 0;
    size_t begin = host.len;
    while (begin > 0 && host.ptr[begin - 1] >= '0' && host.ptr[begin - 1] <= '9')
        begin--;
    return begin < host.len && (begin == 0 || host.ptr[begin - 1] == '.');
}

#endif
