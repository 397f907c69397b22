/*
 * whoami: an origin that answers each request with what it received. Called by link (builtin:whoami, over a socketpair)
 * and by `sallyport whoami`; the connections are local_server's.
 */
#include "upstream/whoami.h"

#include "base/json.h"
#include "upstream/local_server.h"

static void write_headers(struct json *json, const char *key, const struct headers *headers) {
    json_open_array(json, key);
    for (size_t i = 0; i < headers->count; i++) {
        json_open_object(json, NULL);
        json_string(json, "name", headers->items[i].name);
        json_string(json, "value", headers->items[i].value);
        json_close_object(json);
    }
    json_close_array(json);
}

static void answer(void *arg, const struct local_request *request, struct local_response *response) {
    (void)arg;
    struct json json;
    json_init(&json, &response->body);
    json_open_object(&json, NULL);
    json_string(&json, "method", request->head->method);
    json_string(&json, "path", request->head->raw_target);
    json_str(&json, "http_version", http_version_name(request->head->version));
    write_headers(&json, "headers", &request->head->headers);
    json_int(&json, "body_length", (int64_t)request->body_length);
    write_headers(&json, "trailers", request->trailers);
    json_close_object(&json);
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
