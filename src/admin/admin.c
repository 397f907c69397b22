/*
 * admin: see the header. Every answer is made whole from memory; nothing here changes anything yet, so there is nothing
 * that a page of another site could drive, and the token keeps it from reading (sec-47).
 */
#include "admin/admin.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/acceptor.h"
#include "upstream/local_server.h"

struct admin {
    struct local_server server;
    struct acceptor *acceptor;
    char *unix_path;  /* or NULL */
    char *taken_path; /* where the socket is until admin_take_path; or NULL */
    ino_t inode;      /* of the socket's file */
    char *token;      /* "" on a unix socket */
    size_t token_size;
    bool (*is_ready)(void *arg, const char **detail_out);
    void (*render)(void *arg, struct sbuf *out);
    void (*render_crls)(void *arg, bool is_json, struct sbuf *out);
    void *arg;
};

/* Time depends on the length of what was sent only. */
static bool is_equal_secret(struct slice given, const char *secret, size_t size) {
    unsigned char difference = given.len == size ? 0 : 1;
    for (size_t i = 0; i < given.len; i++) {
        difference |= (unsigned char)(given.ptr[i] ^ secret[size > 0 ? i % size : 0]);
    }
    return difference == 0;
}

static bool is_authorised(const struct admin *admin, const struct headers *headers) {
    if (admin->token_size == 0) {
        return true;
    }
    const struct header *header = headers_find(headers, SLICE("authorization"));
    if (!header || headers_count(headers, SLICE("authorization")) != 1 ||
        !slice_starts_with_nocase(header->value, SLICE("bearer "))) {
        return false;
    }
    return is_equal_secret(slice_trim(slice_after(header->value, 7)), admin->token, admin->token_size);
}

static void refuse(struct local_response *response, int status, const char *text) {
    response->status = status;
    sbuf_printf(&response->body, "%s\n", text);
}

static void check_size(struct local_response *response) {
    if (response->body.overflow) {
        sbuf_clear(&response->body);
        refuse(response, 500, "there is too much of it to be shown");
    }
}

static void answer_metrics(struct admin *admin, struct local_response *response) {
    response->type = "text/plain; version=0.0.4; charset=utf-8";
    admin->render(admin->arg, &response->body);
    check_size(response);
}

static void answer_crls_json(struct admin *admin, struct local_response *response) {
    response->type = "application/json";
    admin->render_crls(admin->arg, true, &response->body);
    check_size(response);
}

static void answer_crls_text(struct admin *admin, struct local_response *response) {
    admin->render_crls(admin->arg, false, &response->body);
    check_size(response);
}

static void answer_health(struct admin *admin, struct local_response *response) {
    (void)admin;
    sbuf_append_str(&response->body, "ok\n");
}

static void answer_ready(struct admin *admin, struct local_response *response) {
    const char *detail = "";
    response->status = admin->is_ready(admin->arg, &detail) ? 200 : 503;
    sbuf_printf(&response->body, "%s\n", detail);
}

static const struct page {
    const char *path;
    void (*answer)(struct admin *admin, struct local_response *response);
} PAGES[] = {{"/metrics", answer_metrics},
             {"/healthz", answer_health},
             {"/readyz", answer_ready},
             {"/crls", answer_crls_json},
             {"/crls.txt", answer_crls_text}};

static void answer(void *arg, const struct local_request *request, struct local_response *response) {
    struct admin *admin = arg;
    const struct request_head *head = request->head;
    if (!is_authorised(admin, &head->headers)) {
        response->challenge = "Bearer realm=\"sallyport\"";
        refuse(response, 401, "a bearer token is needed: Authorization: Bearer TOKEN");
        return;
    }
    for (size_t i = 0; i < sizeof PAGES / sizeof PAGES[0]; i++) {
        if (!slice_eq_str(head->target.path, PAGES[i].path)) {
            continue;
        }
        if (!slice_eq_str(head->method, "GET") && !slice_eq_str(head->method, "HEAD")) {
            refuse(response, 405, "only GET is served here");
            return;
        }
        PAGES[i].answer(admin, response);
        return;
    }
    refuse(response, 404, "not here; there are /metrics, /healthz, /readyz, /crls and /crls.txt");
}

static void on_accept(void *owner, int fd, const struct addr *peer) {
    struct admin *admin = owner;
    (void)peer;
    local_server_serve(&admin->server, fd);
}

void admin_set_token(struct admin *admin, struct slice token) {
    mem_wipe_free(admin->token, admin->token_size);
    admin->token = mem_strndup(token.ptr ? token.ptr : "", token.len);
    admin->token_size = token.len;
}

static ino_t inode_of(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0 ? status.st_ino : 0;
}

/* A successor's socket is made beside the path, which still leads to the one it replaces. */
static int bind_address(const struct admin_source *source, char **path_out, char **taken_path_out, struct err *err) {
    struct addr addr;
    bool is_unix = slice_starts_with(slice_of(source->address), SLICE("unix:"));
    bool is_beside = is_unix && source->is_successor && inode_of(source->address + 5) != 0;
    char *address = is_beside ? mem_printf("%s.new", source->address) : mem_strdup(source->address);
    bool is_free =
        addr_parse(slice_of(address), &addr, err) == 0 && (source->is_successor || acceptor_probe(&addr, err) == 0);
    int fd = is_free ? acceptor_bind(&addr, err) : -1;
    if (fd >= 0 && is_unix) {
        *path_out = mem_strdup(source->address + 5);
        *taken_path_out = is_beside ? mem_strdup(address + 5) : NULL;
    }
    mem_free(address);
    return fd;
}

void admin_take_path(struct admin *admin) {
    if (admin->taken_path && rename(admin->taken_path, admin->unix_path) == 0) {
        mem_free(admin->taken_path);
        admin->taken_path = NULL;
    }
}

struct admin *admin_open(struct loop *loop, const struct admin_source *source, struct err *err) {
    char *unix_path = NULL, *taken_path = NULL;
    int fd = bind_address(source, &unix_path, &taken_path, err);
    if (fd < 0) {
        return NULL;
    }
    struct admin *admin = NEW(struct admin);
    admin->unix_path = unix_path;
    admin->taken_path = taken_path;
    admin->inode = unix_path ? inode_of(taken_path ? taken_path : unix_path) : 0;
    admin_set_token(admin, source->token);
    admin->is_ready = source->is_ready;
    admin->render = source->render;
    admin->render_crls = source->render_crls;
    admin->arg = source->arg;
    local_server_init(&admin->server, loop, answer, admin);
    admin->acceptor = acceptor_open(loop, fd, source->address, on_accept, admin);
    return admin;
}

void admin_close(struct admin **admin) {
    struct admin *closing = *admin;
    if (!closing) {
        return;
    }
    *admin = NULL;
    acceptor_close(&closing->acceptor);
    local_server_close(&closing->server);
    const char *path = closing->taken_path ? closing->taken_path : closing->unix_path;
    if (path && inode_of(path) == closing->inode) {
        (void)unlink(path);
    }
    mem_free(closing->unix_path);
    mem_free(closing->taken_path);
    mem_wipe_free(closing->token, closing->token_size);
    mem_free(closing);
}
