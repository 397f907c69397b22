/*
 * verify_cache: see the header. A map by the leaf's digest with one entry for each leaf, and a list in the order of
 * use. An entry holds the leaf, what the client sent beside it, and a path for each bundle that vouched.
 *
 * A leaf that comes with other certificates than before, or verifies by another path, replaces what is here: however
 * many variants of its chain a client sends, it has one entry.
 */
#include <openssl/x509.h>

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "verify_cache_priv.h"

#define PATHS_MAX 4
/* Decoded, a certificate takes about this much. */
#define CERT_OVERHEAD ((size_t)4096)
#define DER_FACTOR ((size_t)3)
/* Chains longer than this are verified every time. */
#define SENT_BYTES_MAX ((size_t)8 * 1024)
#define LEAF_BYTES_MAX ((size_t)16 * 1024)

struct path {
    uint8_t bundle[SHA256_SIZE];
    struct cert_list chain;
    time_t not_before, not_after; /* of all of it */
};

struct client {
    struct list order; /* of use, latest first */
    struct cert *leaf;
    struct cert_list sent;
    struct path paths[PATHS_MAX];
    size_t path_count, path_next; /* which goes when there are too many */
    size_t size;
};

struct verify_cache {
    struct map clients; /* by the leaf's SHA-256 */
    struct list order;
    size_t size;
};

struct verify_cache *verify_cache_new(void) {
    struct verify_cache *cache = NEW(struct verify_cache);
    map_init(&cache->clients);
    list_init(&cache->order);
    return cache;
}

static struct slice key_of(const uint8_t sha256[SHA256_SIZE]) { return slice_make(sha256, SHA256_SIZE); }

static void client_free(struct verify_cache *cache, struct client *client) {
    (void)map_remove(&cache->clients, key_of(cert_sha256(client->leaf)));
    list_remove(&client->order);
    cache->size -= client->size;
    for (size_t i = 0; i < client->path_count; i++)
        cert_list_fini(&client->paths[i].chain);
    cert_list_fini(&client->sent);
    cert_unref(&client->leaf);
    mem_free(client);
}

void verify_cache_free(struct verify_cache **cache_ptr) {
    struct verify_cache *cache = *cache_ptr;
    *cache_ptr = NULL;
    if (cache == NULL)
        return;
    LIST_EACH (node, next, &cache->order)
        client_free(cache, LIST_ENTRY(node, struct client, order));
    map_fini(&cache->clients);
    mem_free(cache);
}

size_t verify_cache_count(const struct verify_cache *cache) { return cache->clients.count; }

static struct client *find(struct verify_cache *cache, const uint8_t sha256[SHA256_SIZE]) {
    struct client *client = map_get(&cache->clients, key_of(sha256));
    if (client != NULL) {
        list_remove(&client->order);
        list_push_front(&cache->order, &client->order);
    }
    return client;
}

/* --- certificates --------------------------------------------------------------------------------------------- */

static struct cert *known(struct verify_cache *cache, struct slice der) {
    uint8_t digest[SHA256_SIZE];
    sha256(der, digest);
    struct client *client = find(cache, digest);
    return client ? cert_ref(client->leaf) : NULL;
}

struct cert *verify_cache_cert(struct verify_cache *cache, struct slice der) {
    struct cert *cert = known(cache, der);
    return cert ? cert : cert_from_der(der, NULL);
}

struct cert *verify_cache_cert_of(struct verify_cache *cache, X509 *x509) {
    unsigned char *der = NULL;
    int len = i2d_X509(x509, &der);
    INVARIANT(len > 0);
    struct cert *cert = known(cache, slice_make(der, (size_t)len));
    OPENSSL_free(der);
    return cert ? cert : cert_from_x509(x509);
}

/* --- paths ---------------------------------------------------------------------------------------------------- */

static bool is_same(const struct cert_list *a, const struct cert_list *b) {
    size_t count = b ? b->count : 0;
    if (a->count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (memcmp(cert_sha256(a->items[i]), cert_sha256(b->items[i]), SHA256_SIZE) != 0)
            return false;
    return true;
}

static struct path *path_of(struct client *client, const uint8_t bundle[SHA256_SIZE]) {
    for (size_t i = 0; i < client->path_count; i++)
        if (memcmp(client->paths[i].bundle, bundle, SHA256_SIZE) == 0)
            return &client->paths[i];
    return NULL;
}

const struct cert_list *verify_cache_path(struct verify_cache *cache, const struct cert *leaf,
                                          const struct cert_list *untrusted, const uint8_t bundle[SHA256_SIZE],
                                          time_t now) {
    struct client *client = find(cache, cert_sha256(leaf));
    if (client == NULL || !is_same(&client->sent, untrusted))
        return NULL;
    const struct path *path = path_of(client, bundle);
    return path && now >= path->not_before && now <= path->not_after ? &path->chain : NULL;
}

void verify_cache_drop(struct verify_cache *cache, const struct cert *leaf) {
    struct client *client = find(cache, cert_sha256(leaf));
    if (client != NULL)
        client_free(cache, client);
}

static void list_copy(struct cert_list *to, const struct cert_list *from) {
    for (size_t i = 0; from != NULL && i < from->count; i++)
        cert_list_add(to, from->items[i]);
}

static size_t der_size(const struct cert_list *list) {
    size_t size = 0;
    for (size_t i = 0; list != NULL && i < list->count; i++)
        size += cert_der(list->items[i]).len;
    return size;
}

static struct client *client_new(struct verify_cache *cache, struct cert *leaf, const struct cert_list *untrusted) {
    struct client *client = NEW(struct client);
    list_init(&client->order);
    client->leaf = cert_ref(leaf);
    list_copy(&client->sent, untrusted);
    client->size = sizeof(*client) + (1 + client->sent.count) * CERT_OVERHEAD +
                   DER_FACTOR * (cert_der(leaf).len + der_size(untrusted));
    cache->size += client->size;
    (void)map_put(&cache->clients, key_of(cert_sha256(client->leaf)), client);
    list_push_front(&cache->order, &client->order);
    return client;
}

static void set_path(struct client *client, const uint8_t bundle[SHA256_SIZE], const struct cert_list *chain) {
    struct path *path = path_of(client, bundle);
    if (path == NULL) {
        path = &client->paths[client->path_next++ % PATHS_MAX];
        client->path_count += client->path_count < PATHS_MAX;
    }
    cert_list_fini(&path->chain);
    memcpy(path->bundle, bundle, SHA256_SIZE);
    list_copy(&path->chain, chain);
    path->not_before = cert_not_before(chain->items[0]);
    path->not_after = cert_not_after(chain->items[0]);
    for (size_t i = 1; i < chain->count; i++) {
        if (cert_not_before(chain->items[i]) > path->not_before)
            path->not_before = cert_not_before(chain->items[i]);
        if (cert_not_after(chain->items[i]) < path->not_after)
            path->not_after = cert_not_after(chain->items[i]);
    }
}

void verify_cache_put(struct verify_cache *cache, const struct cert_list *untrusted, const uint8_t bundle[SHA256_SIZE],
                      const struct cert_list *path) {
    struct cert *leaf = path->items[0];
    struct client *client = find(cache, cert_sha256(leaf));
    if (client != NULL && !is_same(&client->sent, untrusted)) {
        client_free(cache, client);
        client = NULL;
    }
    if (cert_der(leaf).len > LEAF_BYTES_MAX || der_size(untrusted) > SENT_BYTES_MAX)
        return;
    if (client == NULL)
        client = client_new(cache, leaf, untrusted);
    set_path(client, bundle, path);
    while (cache->clients.count > VERIFY_CACHE_CLIENTS_MAX || cache->size > VERIFY_CACHE_BYTES_MAX)
        client_free(cache, LIST_ENTRY(cache->order.prev, struct client, order));
}
