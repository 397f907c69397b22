/*
 * fetch: see the header. Owned by control; libcurl's multi interface, driven by the loop: libcurl says which sockets
 * and which time it waits for, and is called when they come.
 *
 *   fetch_start -> running -- hop done --> another hop (a redirect)
 *                     |-----------------> done -- end of the turn --> fn, freed
 *
 * Nobody is called back from inside libcurl but take(): adding and removing transfers there would hang it.
 */
#include "store/fetch.h"

#include <string.h>

#include "base/mem.h"
#include "fetch_priv.h"

#define SIZE_DEFAULT (1 << 20)
#define CONNECT_DEFAULT_MS 10000
#define TOTAL_DEFAULT_MS 30000

struct fetcher {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer *timer;
    struct list running, done, sockets;
    struct loop_task delivery;
};

/* A socket that libcurl waits for. */
struct fetch_socket {
    struct list node;
    struct fetcher *fetcher;
    curl_socket_t fd;
    struct loop_watch *watch;
};

struct loop *fetcher_loop(const struct fetcher *fetcher) {
    return fetcher->loop;
}

/* ---- one fetch ---- */

static void fetch_free(struct fetch *fetch) {
    list_remove(&fetch->node);
    if (fetch->is_added)
        (void)curl_multi_remove_handle(fetch->fetcher->multi, fetch->easy);
    curl_easy_cleanup(fetch->easy);
    curl_slist_free_all(fetch->own_headers);
    curl_slist_free_all(fetch->headers);
    for (size_t i = 0; i < fetch->redirect_host_count; i++)
        mem_free(fetch->redirect_hosts[i]);
    mem_free(fetch->redirect_hosts);
    mem_free(fetch->networks);
    mem_free(fetch->url);
    mem_free(fetch->body);
    mem_free(fetch->content_type);
    mem_free(fetch->ca_file);
    mem_free(fetch->etag);
    mem_free(fetch->last_modified);
    sbuf_fini(&fetch->answer);
    mem_free(fetch);
}

static const char *header_of(const struct fetch *fetch, const char *name) {
    struct curl_header *header;
    return fetch->status != 0 && curl_easy_header(fetch->easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK
               ? header->value
               : "";
}

static void deliver(struct fetch *fetch) {
    char *url = NULL;
    curl_off_t retry_after = 0;
    (void)curl_easy_getinfo(fetch->easy, CURLINFO_EFFECTIVE_URL, &url);
    (void)curl_easy_getinfo(fetch->easy, CURLINFO_RETRY_AFTER, &retry_after);
    const struct fetch_answer answer = {
        .status = fetch->status,
        .error = fetch->status == 0 ? fetch->fault : "",
        .url = url ? url : fetch->url,
        .body = fetch->status != 0 ? sbuf_slice(&fetch->answer) : SLICE(""),
        .content_type = header_of(fetch, "Content-Type"),
        .etag = header_of(fetch, "ETag"),
        .last_modified = header_of(fetch, "Last-Modified"),
        .retry_after_s = (int64_t)retry_after,
    };
    fetch->fn(fetch->arg, &answer);
    fetch_free(fetch);
}

/* ---- the multi handle and the loop ---- */

static void add(struct fetch *fetch) {
    INVARIANT(curl_multi_add_handle(fetch->fetcher->multi, fetch->easy) == CURLM_OK);
    fetch->is_added = true;
}

static void hop_ended(struct fetcher *fetcher, struct fetch *fetch, CURLcode result) {
    (void)curl_multi_remove_handle(fetcher->multi, fetch->easy);
    fetch->is_added = false;
    if (fetch_hop_done(fetch, result)) {
        add(fetch);
        return;
    }
    list_remove(&fetch->node);
    list_push_back(&fetcher->done, &fetch->node);
    loop_defer(fetcher->loop, &fetcher->delivery);
}

static void drive(struct fetcher *fetcher, curl_socket_t fd, int what) {
    int running, left;
    const CURLMsg *message;
    (void)curl_multi_socket_action(fetcher->multi, fd, what, &running);
    while ((message = curl_multi_info_read(fetcher->multi, &left))) {
        struct fetch *fetch = NULL;
        CURLcode result = message->data.result; /* the message is gone with the handle */
        if (message->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &fetch);
        hop_ended(fetcher, fetch, result);
    }
}

static void on_ready(void *arg, int ready) {
    const struct fetch_socket *socket = arg;
    drive(socket->fetcher, socket->fd,
          (ready & LOOP_READ ? CURL_CSELECT_IN : 0) | (ready & LOOP_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_time(void *arg) { drive(arg, CURL_SOCKET_TIMEOUT, 0); }

static void on_done(void *arg) {
    struct fetcher *fetcher = arg;
    while (!list_is_empty(&fetcher->done))
        deliver(LIST_ENTRY(fetcher->done.next, struct fetch, node));
}

static void socket_free(struct fetch_socket *socket) {
    list_remove(&socket->node);
    loop_watch_free(&socket->watch);
    mem_free(socket);
}

/* libcurl: what to wait for at this socket. */
static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known) {
    struct fetcher *fetcher = arg;
    struct fetch_socket *socket = known;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (socket)
            socket_free(socket);
        (void)curl_multi_assign(fetcher->multi, fd, NULL);
        return 0;
    }
    if (!socket) {
        socket = NEW(struct fetch_socket);
        socket->fetcher = fetcher;
        socket->fd = fd;
        socket->watch = loop_watch_new(fetcher->loop, fd, on_ready, socket);
        list_push_back(&fetcher->sockets, &socket->node);
        (void)curl_multi_assign(fetcher->multi, fd, socket);
    }
    loop_watch_set(socket->watch, (what & CURL_POLL_IN ? LOOP_READ : 0) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0));
    return 0;
}

static int set_timer(CURLM *multi, long after_ms, void *arg) {
    struct fetcher *fetcher = arg;
    (void)multi;
    if (after_ms < 0)
        loop_timer_cancel(fetcher->timer);
    else
        loop_timer_set(fetcher->timer, after_ms);
    return 0;
}

/* ---- life ---- */

struct fetcher *fetcher_new(struct loop *loop, struct err *err) {
    CURLM *multi = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_multi_init() : NULL;
    if (!multi) {
        (void)err_set(err, "libcurl does not start");
        return NULL;
    }
    struct fetcher *fetcher = NEW(struct fetcher);
    fetcher->loop = loop;
    fetcher->multi = multi;
    fetcher->timer = loop_timer_new(loop, on_time, fetcher);
    list_init(&fetcher->running);
    list_init(&fetcher->done);
    list_init(&fetcher->sockets);
    loop_task_init(&fetcher->delivery, on_done, fetcher);
    bool is_set = curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, set_socket) == CURLM_OK &&
                  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, fetcher) == CURLM_OK &&
                  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer) == CURLM_OK &&
                  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, fetcher) == CURLM_OK &&
                  curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)FETCH_RUNNING_MAX) == CURLM_OK;
    INVARIANT(is_set);
    return fetcher;
}

void fetcher_free(struct fetcher **fetcher_ptr) {
    struct fetcher *fetcher = *fetcher_ptr;
    *fetcher_ptr = NULL;
    if (!fetcher)
        return;
    LIST_EACH (node, next, &fetcher->running)
        fetch_free(LIST_ENTRY(node, struct fetch, node));
    LIST_EACH (node, next, &fetcher->done)
        fetch_free(LIST_ENTRY(node, struct fetch, node));
    (void)curl_multi_cleanup(fetcher->multi);
    LIST_EACH (node, next, &fetcher->sockets)
        socket_free(LIST_ENTRY(node, struct fetch_socket, node));
    loop_task_cancel(&fetcher->delivery);
    loop_timer_free(&fetcher->timer);
    mem_free(fetcher);
    curl_global_cleanup();
}

/* ---- starting ---- */

static bool is_printable(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

static int check_request(const struct fetch_request *request, struct err *err) {
    const char *values[] = {request->content_type, request->etag, request->last_modified};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        if (values[i] && !is_printable(values[i]))
            return err_set(err, "a header's value has control characters");
    for (size_t i = 0; i < request->header_count; i++)
        if (!is_printable(request->headers[i]) || !strchr(request->headers[i], ':'))
            return err_set(err, "a header is not \"Name: value\"");
    return fetch_check_url(request->url, err);
}

static char *copy(const char *text) { return text && text[0] ? mem_strdup(text) : NULL; }

static void copy_lists(struct fetch *fetch, const struct fetch_request *request) {
    for (size_t i = 0; i < request->header_count; i++) {
        struct curl_slist *longer = curl_slist_append(fetch->own_headers, request->headers[i]);
        INVARIANT(longer);
        fetch->own_headers = longer;
    }
    fetch->redirect_hosts = NEW_ARRAY(char *, request->redirect_host_count + 1);
    for (size_t i = 0; i < request->redirect_host_count; i++)
        fetch->redirect_hosts[fetch->redirect_host_count++] = mem_strdup(request->redirect_hosts[i]);
    fetch->networks = NEW_ARRAY(struct cidr, request->network_count + 1);
    for (size_t i = 0; i < request->network_count; i++)
        fetch->networks[fetch->network_count++] = request->networks[i];
}

static struct fetch *fetch_new(struct fetcher *fetcher, const struct fetch_request *request) {
    int64_t total_ms = request->total_ms > 0 ? request->total_ms : TOTAL_DEFAULT_MS;
    struct fetch *fetch = NEW(struct fetch);
    list_init(&fetch->node);
    fetch->fetcher = fetcher;
    fetch->easy = curl_easy_init();
    INVARIANT(fetch->easy);
    fetch->take = request->take;
    fetch->url = mem_strdup(request->url);
    fetch->method = request->method;
    fetch->body = mem_dup(request->body.ptr ? request->body.ptr : "", request->body.len);
    fetch->body_size = request->body.len;
    fetch->content_type = copy(request->content_type);
    fetch->ca_file = copy(request->ca_file);
    fetch->etag = copy(request->etag);
    fetch->last_modified = copy(request->last_modified);
    fetch->size_max = request->size_max > 0 ? request->size_max : SIZE_DEFAULT;
    fetch->connect_ms = request->connect_ms > 0 ? request->connect_ms : CONNECT_DEFAULT_MS;
    fetch->ends_ms = loop_now_ms(fetcher->loop) + total_ms;
    fetch->redirects_max = request->redirects_max;
    sbuf_init(&fetch->answer, fetch->size_max);
    copy_lists(fetch, request);
    return fetch;
}

struct fetch *fetch_start(struct fetcher *fetcher, const struct fetch_request *request, fetch_fn *fn, void *arg,
                          struct err *err) {
    if (check_request(request, err) != 0)
        return NULL;
    struct fetch *fetch = fetch_new(fetcher, request);
    fetch->fn = fn;
    fetch->arg = arg;
    if (!fetch_prepare(fetch, fetch->url)) {
        (void)err_set(err, "%s", fetch->fault);
        fetch_free(fetch);
        return NULL;
    }
    list_push_back(&fetcher->running, &fetch->node);
    add(fetch);
    return fetch;
}

void fetch_cancel(struct fetch **fetch_ptr) {
    struct fetch *fetch = *fetch_ptr;
    *fetch_ptr = NULL;
    if (fetch)
        fetch_free(fetch);
}
