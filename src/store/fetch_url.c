/*
 * fetch_url: which URLs are asked, and which redirects are followed. Called by fetch.c for each URL before it is
 * asked. libcurl's own parser reads them, so that what is judged is what is used. It refuses user names in URLs (they
 * would be in logs), every scheme but http and https, the way back from https to http, and hosts that nobody listed.
 */
#include <string.h>

#include "fetch_priv.h"

struct parts {
    CURLU *handle;
    char *scheme, *host, *user, *password;
};

static void parts_fini(struct parts *parts) {
    curl_free(parts->scheme);
    curl_free(parts->host);
    curl_free(parts->user);
    curl_free(parts->password);
    curl_url_cleanup(parts->handle);
}

static int parts_read(struct parts *parts, const char *url, struct err *err) {
    *parts = (struct parts){.handle = curl_url()};
    INVARIANT(parts->handle);
    if (strlen(url) > FETCH_URL_MAX)
        return err_set(err, "a URL has at most %d characters", FETCH_URL_MAX);
    CURLUcode code = curl_url_set(parts->handle, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
    if (code == CURLUE_OK)
        code = curl_url_get(parts->handle, CURLUPART_SCHEME, &parts->scheme, 0);
    if (code == CURLUE_OK)
        code = curl_url_get(parts->handle, CURLUPART_HOST, &parts->host, 0);
    if (code != CURLUE_OK)
        return err_set(err, "not a URL: %s", curl_url_strerror(code));
    (void)curl_url_get(parts->handle, CURLUPART_USER, &parts->user, 0);
    (void)curl_url_get(parts->handle, CURLUPART_PASSWORD, &parts->password, 0);
    return 0;
}

static int parts_check(const struct parts *parts, struct err *err) {
    if (strcmp(parts->scheme, "http") != 0 && strcmp(parts->scheme, "https") != 0)
        return err_set(err, "%s: only http and https are fetched", parts->scheme);
    if (parts->user || parts->password)
        return err_set(err, "a URL with a user name or a password is not taken: it would be in logs");
    return 0;
}

int fetch_check_url(const char *url, struct err *err) {
    struct parts parts;
    int result = parts_read(&parts, url, err);
    if (result == 0)
        result = parts_check(&parts, err);
    parts_fini(&parts);
    return result;
}

static bool is_same_host(const struct parts *a, const struct parts *b) {
    return slice_eq_nocase(slice_of(a->host), slice_of(b->host));
}

bool fetch_is_same_host(const char *url, const char *other) {
    struct parts a, b;
    bool is_same = false;
    int read_a = parts_read(&a, url, NULL), read_b = parts_read(&b, other, NULL);
    if (read_a == 0 && read_b == 0)
        is_same = is_same_host(&a, &b);
    parts_fini(&a);
    parts_fini(&b);
    return is_same;
}

static bool is_listed(const struct fetch *fetch, const char *host) {
    for (size_t i = 0; i < fetch->redirect_host_count; i++)
        if (strcmp(fetch->redirect_hosts[i], "*") == 0 ||
            slice_eq_nocase(slice_of(fetch->redirect_hosts[i]), slice_of(host)))
            return true;
    return false;
}

bool fetch_may_follow(const struct fetch *fetch, const char *from, const char *to, struct err *err) {
    struct parts first, now, next;
    int result = parts_read(&first, fetch->url, err);
    int read_now = parts_read(&now, from, err), read_next = parts_read(&next, to, err);
    if (result == 0)
        result = read_now;
    if (result == 0)
        result = read_next;
    if (result == 0)
        result = parts_check(&next, err);
    if (result == 0 && strcmp(now.scheme, "https") == 0 && strcmp(next.scheme, "https") != 0)
        result = err_set(err, "from https to http");
    if (result == 0 && !is_same_host(&first, &next) && !is_listed(fetch, next.host))
        result = err_set(err, "to the host %s, which is not listed", next.host);
    parts_fini(&first);
    parts_fini(&now);
    parts_fini(&next);
    return result == 0;
}
