/* Private to src/store: the parts of fetch. */
#ifndef SALLYPORT_STORE_FETCH_PRIV_H
#define SALLYPORT_STORE_FETCH_PRIV_H

#include <curl/curl.h>

#include "base/list.h"
#include "base/sbuf.h"
#include "store/fetch.h"

#define FETCH_HEADERS_MAX 65536 /* bytes of a response's head */

struct fetch {
    struct list node; /* fetcher->running or fetcher->done */
    struct fetcher *fetcher;
    CURL *easy;
    bool is_added; /* to the multi handle */
    fetch_fn *fn;
    bool (*take)(void *arg, struct slice piece);
    void *arg;
    char *url, *body, *content_type, *ca_file, *etag, *last_modified;
    size_t body_size;
    enum fetch_method method;
    struct curl_slist *own_headers, *headers; /* the caller's; what is sent */
    char **redirect_hosts;
    size_t redirect_host_count;
    struct cidr *networks;
    size_t network_count;
    size_t size_max;
    int64_t connect_ms, ends_ms;       /* by loop_now_ms */
    unsigned redirects_max, redirects; /* followed so far */
    struct sbuf answer;
    size_t answer_size, head_size;
    int status;                 /* once it is done; 0: failed */
    char fault[256];            /* what we found wrong ourselves */
    char text[CURL_ERROR_SIZE]; /* what libcurl says */
};

struct loop *fetcher_loop(const struct fetcher *fetcher);

/* fetch_transfer.c: one hop. False: it cannot be set up; fault says why. */
bool fetch_prepare(struct fetch *fetch, const char *url);
/* The hop is over. True: another one is prepared; false: status is set, or fault. */
bool fetch_hop_done(struct fetch *fetch, CURLcode result);

/* fetch_url.c: may a redirect lead from one to the other? */
bool fetch_may_follow(const struct fetch *fetch, const char *from, const char *to, struct err *err);
bool fetch_is_same_host(const char *url, const char *other);

#endif
