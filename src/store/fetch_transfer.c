/*
 * fetch_transfer: one hop of a fetch: what libcurl is told, what it asks back, what became of it. Called by fetch.c,
 * and by libcurl for bytes and sockets. Redirects are hops of their own, so that each is judged like the first.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "fetch_priv.h"

#define BUFFER_SIZE 65536L

/* ---- what libcurl asks back ---- */

/* The socket to an address that was just resolved, or none: the one place through which every connection goes. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to) {
    struct fetch *fetch = arg;
    struct addr addr;
    char text[ADDR_TEXT_SIZE];
    if (purpose != CURLSOCKTYPE_IPCXN)
        return CURL_SOCKET_BAD;
    addr_from_sockaddr(&to->addr, to->addrlen, &addr);
    bool is_allowed = addr_is_public(&addr);
    for (size_t i = 0; i < fetch->network_count && !is_allowed; i++)
        is_allowed = cidr_contains(&fetch->networks[i], &addr);
    if (!is_allowed) {
        (void)snprintf(fetch->fault, sizeof fetch->fault, "%s is not a public address, and not listed",
                       addr_format_host(&addr, text));
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, to->protocol);
}

static size_t on_head(char *data, size_t size, size_t count, void *arg) {
    struct fetch *fetch = arg;
    (void)data;
    fetch->head_size += size * count;
    if (fetch->head_size <= FETCH_HEADERS_MAX)
        return size * count;
    (void)snprintf(fetch->fault, sizeof fetch->fault, "the head of the answer is larger than %d bytes",
                   FETCH_HEADERS_MAX);
    return 0;
}

static int status_of(const struct fetch *fetch) {
    long status = 0;
    (void)curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg) {
    struct fetch *fetch = arg;
    size_t len = size * count;
    if (len > fetch->size_max - fetch->answer_size) {
        (void)snprintf(fetch->fault, sizeof fetch->fault, "the answer is larger than %zu bytes", fetch->size_max);
        return 0;
    }
    fetch->answer_size += len;
    if (!fetch->take || status_of(fetch) / 100 != 2) {
        sbuf_append(&fetch->answer, slice_make(data, len));
        return len;
    }
    if (fetch->take(fetch->arg, slice_make(data, len)))
        return len;
    (void)snprintf(fetch->fault, sizeof fetch->fault, "the answer could not be stored");
    return 0;
}

/* ---- what libcurl is told ---- */

static void add_header(struct fetch *fetch, const char *name, const char *value) {
    char *line = mem_printf("%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(fetch->headers, line);
    INVARIANT(longer);
    fetch->headers = longer;
    mem_free(line);
}

static void make_headers(struct fetch *fetch, const char *url) {
    curl_slist_free_all(fetch->headers);
    fetch->headers = curl_slist_append(NULL, "Expect:");
    INVARIANT(fetch->headers);
    if (fetch->content_type)
        add_header(fetch, "Content-Type", fetch->content_type);
    if (fetch->etag)
        add_header(fetch, "If-None-Match", fetch->etag);
    if (fetch->last_modified)
        add_header(fetch, "If-Modified-Since", fetch->last_modified);
    if (!fetch_is_same_host(fetch->url, url))
        return;
    for (const struct curl_slist *own = fetch->own_headers; own; own = own->next) {
        struct curl_slist *longer = curl_slist_append(fetch->headers, own->data);
        INVARIANT(longer);
        fetch->headers = longer;
    }
}

static bool set_limits(struct fetch *fetch) {
    CURL *easy = fetch->easy;
    int64_t left = fetch->ends_ms - loop_now_ms(fetcher_loop(fetch->fetcher));
    if (left <= 0) {
        (void)snprintf(fetch->fault, sizeof fetch->fault, "took too long");
        return false;
    }
    return curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)left) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)fetch->connect_ms) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)fetch->size_max) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_SIZE) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
}

/* Where it may go, and nothing from the environment. A connection is judged when it is made, so none is used twice. */
static bool set_ways(struct fetch *fetch) {
    CURL *easy = fetch->easy;
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, fetch) == CURLE_OK &&
           /* a name that is being resolved when the fetch is cancelled is not waited for */
           curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
}

static bool set_tls(struct fetch *fetch) {
    CURL *easy = fetch->easy;
    bool is_set = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
                  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
                  curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
    if (is_set && fetch->ca_file)
        is_set = curl_easy_setopt(easy, CURLOPT_CAINFO, fetch->ca_file) == CURLE_OK &&
                 curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK;
    return is_set;
}

static bool set_request(struct fetch *fetch, const char *url) {
    CURL *easy = fetch->easy;
    make_headers(fetch, url);
    bool is_set = curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
                  curl_easy_setopt(easy, CURLOPT_USERAGENT, "sallyport/" SALLYPORT_VERSION) == CURLE_OK &&
                  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, fetch->headers) == CURLE_OK;
    if (is_set && fetch->method == FETCH_POST)
        is_set = curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
                 curl_easy_setopt(easy, CURLOPT_POSTFIELDS, fetch->body) == CURLE_OK &&
                 curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)fetch->body_size) == CURLE_OK;
    return is_set;
}

static bool set_answers(struct fetch *fetch) {
    CURL *easy = fetch->easy;
    return curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->text) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetch) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch) == CURLE_OK;
}

bool fetch_prepare(struct fetch *fetch, const char *url) {
    fetch->head_size = fetch->answer_size = 0;
    fetch->text[0] = '\0';
    sbuf_clear(&fetch->answer);
    if (set_limits(fetch) && set_ways(fetch) && set_tls(fetch) && set_request(fetch, url) && set_answers(fetch))
        return true;
    if (!fetch->fault[0])
        (void)snprintf(fetch->fault, sizeof fetch->fault, "this libcurl lacks something that is needed");
    return false;
}

/* ---- the end of a hop ---- */

static bool is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* The next URL, or NULL: the answer stands, or fault says why not. The caller frees. */
static char *next_url(struct fetch *fetch) {
    char *to = NULL, *from = NULL;
    struct err err = {""};
    if (fetch->method == FETCH_POST || fetch->redirects_max == 0 || !is_redirect(fetch->status) ||
        curl_easy_getinfo(fetch->easy, CURLINFO_REDIRECT_URL, &to) != CURLE_OK || !to)
        return NULL;
    (void)curl_easy_getinfo(fetch->easy, CURLINFO_EFFECTIVE_URL, &from);
    if (fetch->redirects++ >= fetch->redirects_max)
        (void)snprintf(fetch->fault, sizeof fetch->fault, "more than %u redirects", fetch->redirects_max);
    else if (!fetch_may_follow(fetch, from, to, &err))
        (void)snprintf(fetch->fault, sizeof fetch->fault, "a redirect that is not followed: %.180s", err.text);
    return fetch->fault[0] ? NULL : mem_strdup(to);
}

bool fetch_hop_done(struct fetch *fetch, CURLcode result) {
    fetch->status = 0;
    if (result != CURLE_OK) {
        if (!fetch->fault[0])
            (void)snprintf(fetch->fault, sizeof fetch->fault, "%.250s",
                           fetch->text[0] ? fetch->text : curl_easy_strerror(result));
        return false;
    }
    fetch->fault[0] = '\0'; /* one of several addresses was not allowed, another was */
    fetch->status = status_of(fetch);
    char *url = next_url(fetch);
    bool goes_on = url && fetch_prepare(fetch, url);
    if (goes_on || fetch->fault[0])
        fetch->status = 0;
    mem_free(url);
    return goes_on;
}
