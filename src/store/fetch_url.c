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

/* False: scheme and host are NULL. */
static bool parts_read(struct parts *parts, const char *url, struct err *err) {
    *parts = (struct parts){.handle = curl_url()};
    INVARIANT(parts->handle);
    if (strlen(url) > FETCH_URL_MAX) {
        (void)err_set(err, "a URL has at most %d characters", FETCH_URL_MAX);
        return false;
    }
    CURLUcode code = curl_url_set(parts->handle, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
    if (code == CURLUE_OK)
        code = curl_url_get(parts->handle, CURLUPART_SCHEME, &parts->scheme, 0);
    if (code == CURLUE_OK)
        code = curl_url_get(parts->handle, CURLUPART_HOST, &parts->host, 0);
    if (!parts->scheme || !parts->host) {
        (void)err_set(err, "not a URL: %s", curl_url_strerror(code));
        return false;
    }
    (void)curl_url_get(parts->handle, CURLUPART_USER, &parts->user, 0);
    (void)curl_url_get(parts->handle, CURLUPART_PASSWORD, &parts->password, 0);
    return true;
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
    int result = parts_read(&parts, url, err) ? parts_check(&parts, err) : -1;
    parts_fini(&parts);
    return result;
}

static bool is_same_host(const struct parts *a, const struct parts *b) {
    return slice_eq_nocase(slice_of(a->host), slice_of(b->host));
}

bool fetch_is_same_host(const char *url, const char *other) {
    struct parts a, b;
    bool are_read = parts_read(&a, url, NULL);
    are_read &= parts_read(&b, other, NULL);
    bool is_same = are_read && is_same_host(&a, &b);
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

static int judge_step(const struct fetch *fetch, const struct parts *first, const struct parts *now,
                      const struct parts *next, struct err *err) {
    if (parts_check(next, err) != 0)
        return -1;
    if (strcmp(now->scheme, "https") == 0 && strcmp(next->scheme, "https") != 0)
        return err_set(err, "from https to http");
    if (!is_same_host(first, next) && !is_listed(fetch, next->host))
        return err_set(err, "to the host %s, which is not listed", next->host);
    return 0;
}

bool fetch_may_follow(const struct fetch *fetch, const char *from, const char *to, struct err *err) {
    struct parts first, now, next;
    bool are_read = parts_read(&first, fetch->url, err);
    are_read &= parts_read(&now, from, err);
    are_read &= parts_read(&next, to, err);
    bool may = are_read && judge_step(fetch, &first, &now, &next, err) == 0;
    parts_fini(&first);
    parts_fini(&now);
    parts_fini(&next);
    return may;
}
