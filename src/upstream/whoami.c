/*
 * whoami: an origin that answers each request with what it received. Called by link (builtin:whoami, over a socketpair)
 * and by `sallyport whoami`; the connections are local_server's.
 */
#include "upstream/whoami.h"

#include "base/jsonw.h"
#include "upstream/local_server.h"

static void write_headers(struct jsonw *json, const char *key, const struct headers *headers) {
    jsonw_open_array(json, key);
    for (size_t i = 0; i < headers->count; i++) {
        jsonw_open_object(json, NULL);
        jsonw_string(json, "name", headers->items[i].name);
        jsonw_string(json, "value", headers->items[i].value);
        jsonw_close_object(json);
    }
    jsonw_close_array(json);
}

static void answer(void *arg, const struct local_request *request, struct local_response *response) {
    (void)arg;
    struct jsonw json;
    jsonw_init(&json, &response->body);
    jsonw_open_object(&json, NULL);
    jsonw_string(&json, "method", request->head->method);
    jsonw_string(&json, "path", request->head->raw_target);
    jsonw_str(&json, "http_version", http_version_name(request->head->version));
    write_headers(&json, "headers", &request->head->headers);
    jsonw_int(&json, "body_length", (int64_t)request->body_length);
    write_headers(&json, "trailers", request->trailers);
    jsonw_close_object(&json);
    sbuf_append_char(&response->body, '\n');
    response->type = "application/json";
}

/* One for the loop of the process; made by the first connection. */
static struct local_server whoami;

void whoami_serve(struct loop *loop, int fd) {
    if (whoami.loop != loop) {
        local_server_init(&whoami, loop, answer, NULL);
    }
    local_server_serve(&whoami, fd);
}

void whoami_close_all(struct loop *loop) {
    if (whoami.loop == loop && loop) {
        local_server_close(&whoami);
        whoami.loop = NULL;
    }
}
