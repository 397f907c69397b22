/*
 * ip_set: address blocks as one sorted, disjoint list, so that a rule with ten thousand blocks costs about what one
 * with ten does. Built by compile, asked by eval.
 */
#ifndef SALLYPORT_POLICY_IP_SET_PRIV_H
#define SALLYPORT_POLICY_IP_SET_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include "io/addr.h"

struct ip_set {
    struct cidr *blocks;
    size_t count;
};

/* Sorts set->blocks in place and drops those that lie within another. */
void ip_set_seal(struct ip_set *set);
/* false for an address that is neither IPv4 nor IPv6. */
bool ip_set_contains(const struct ip_set *set, const struct addr *addr);

#endif
