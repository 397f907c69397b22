/*
 * ip_set: blocks are prefixes, so two of them are disjoint or one holds the other; without the inner ones, the only
 * block that can hold an address is the last that begins at or before it.
 */
#include "ip_set_priv.h"

#include <stdlib.h>
#include <string.h>

/* IPv4 first, then by first address; of two that begin together, the larger first. */
static int compare_blocks(const void *a, const void *b) {
    const struct cidr *left = a, *right = b;
    if (left->is_v6 != right->is_v6)
        return left->is_v6 ? 1 : -1;
    int order = memcmp(left->bytes, right->bytes, sizeof left->bytes);
    return order ? order : (left->bits > right->bits) - (left->bits < right->bits);
}

static bool holds(const struct cidr *block, const struct cidr *inner) {
    if (block->is_v6 != inner->is_v6 || block->bits > inner->bits)
        return false;
    size_t whole = block->bits / 8;
    unsigned rest = block->bits % 8;
    if (memcmp(block->bytes, inner->bytes, whole) != 0)
        return false;
    return rest == 0 || (block->bytes[whole] ^ inner->bytes[whole]) >> (8 - rest) == 0;
}

void ip_set_seal(struct ip_set *set) {
    if (set->count == 0)
        return;
    qsort(set->blocks, set->count, sizeof *set->blocks, compare_blocks);
    size_t kept = 1;
    for (size_t i = 1; i < set->count; i++) {
        if (!holds(&set->blocks[kept - 1], &set->blocks[i]))
            set->blocks[kept++] = set->blocks[i];
    }
    set->count = kept;
}

static bool block_of(const struct addr *addr, struct cidr *block_out) {
    *block_out = (struct cidr){.bits = 0};
    if (addr->sa.sa_family == AF_INET) {
        block_out->bits = 32;
        memcpy(block_out->bytes, &addr->in.sin_addr, 4);
        return true;
    }
    if (addr->sa.sa_family == AF_INET6) {
        block_out->bits = 128;
        block_out->is_v6 = true;
        memcpy(block_out->bytes, &addr->in6.sin6_addr, 16);
        return true;
    }
    return false;
}

bool ip_set_contains(const struct ip_set *set, const struct addr *addr) {
    struct cidr wanted;
    if (!addr || !block_of(addr, &wanted))
        return false;
    size_t low = 0,
           high = set->count; /* the blocks before low begin at or before the address, those from high on after it */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_blocks(&set->blocks[middle], &wanted) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && cidr_contains(&set->blocks[low - 1], addr);
}
