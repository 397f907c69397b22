/*
 * admin_client: see the header. Called by the subcommands that show what a running gateway knows. Of the configuration
 * it reads the admin address and the token, nothing else has to be good. The answer is read to the end of the
 * connection within a deadline, and believed no more than its size is bounded: it is printed, not used.
 */
#include "app/admin_client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "app/config_path.h"
#include "base/file.h"
#include "conf/conf.h"
#include "io/addr.h"

#define PATIENCE_S 10
#define TOKEN_MAX 65536
#define HEAD_SLACK 65536
#define MESSAGES_MAX 65536

struct target {
    struct conf *conf;
    struct addr addr;
    struct sbuf token;
};

/* The file is not even YAML: the first thing that is wrong with it, on one line. */
static int say_unreadable(struct conf_messages *messages, struct err *err) {
    struct sbuf text;
    struct slice line;
    sbuf_init(&text, MESSAGES_MAX);
    conf_messages_print(messages, &text);
    (void)slice_cut(sbuf_slice(&text), '\n', &line);
    int result = err_set(err, SLICE_FMT, SLICE_ARG(line));
    sbuf_fini(&text);
    return result;
}

static int find_target(const char *config_path, struct target *target, struct err *err) {
    struct conf_messages messages;
    const char *path = config_path ? config_path : default_config_path();
    conf_messages_init(&messages, path);
    target->conf = conf_load(path, &messages);
    int result = target->conf ? 0 : say_unreadable(&messages, err);
    conf_messages_fini(&messages);
    if (result != 0)
        return result;
    const struct conf_admin *admin = &target->conf->admin;
    if (!admin->address.text)
        return err_set(err, "%s has no admin address to ask on; for example: admin: {address: \"unix:run/admin.sock\"}",
                       path);
    if (addr_parse(slice_of(admin->address.text), &target->addr, err) != 0)
        return err_context(err, "admin.address");
    if (admin->token_file.path.text && file_read(admin->token_file.path.text, TOKEN_MAX, &target->token, err) != 0)
        return err_context(err, "%s", admin->token_file.path.text);
    return 0;
}

static struct slice token_of(const struct target *target) {
    struct slice token = sbuf_slice(&target->token);
    while (token.len > 0 && strchr(" \t\r\n", token.ptr[token.len - 1]))
        token.len--;
    return token;
}

static int send_all(int fd, struct slice bytes) {
    while (bytes.len > 0) {
        ssize_t sent = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            return -1;
        bytes = slice_after(bytes, sent > 0 ? (size_t)sent : 0);
    }
    return 0;
}

static int receive_all(int fd, struct sbuf *answer, struct err *err) {
    for (;;) {
        char *place = sbuf_reserve(answer, 16384);
        if (!place)
            return err_set(err, "the answer is too long");
        ssize_t got = recv(fd, place, 16384, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(err, "no answer: %s", strerror(errno));
        if (got == 0)
            return 0;
        sbuf_commit(answer, (size_t)got);
    }
}

static int exchange(const struct target *target, const char *path, struct sbuf *answer, struct err *err) {
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    const char *address = target->conf->admin.address.text;
    struct slice token = token_of(target);
    struct sbuf request;
    int result = -1;
    sbuf_init(&request, TOKEN_MAX + 4096);
    sbuf_printf(&request, "GET %s HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n", path);
    if (token.len > 0)
        sbuf_printf(&request, "Authorization: Bearer " SLICE_FMT "\r\n", SLICE_ARG(token));
    sbuf_append_str(&request, "\r\n");
    int fd = socket(target->addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0 ||
        connect(fd, &target->addr.sa, target->addr.len) != 0)
        (void)err_set(err, "no gateway answers on %s: %s", address, strerror(errno));
    else if (send_all(fd, sbuf_slice(&request)) != 0)
        (void)err_set(err, "%s: %s", address, strerror(errno));
    else
        result = receive_all(fd, answer, err);
    if (fd >= 0)
        (void)close(fd);
    sbuf_fini(&request);
    return result;
}

/* The body of a whole 200. */
static int take_body(const struct sbuf *answer, struct sbuf *body_out, struct err *err) {
    struct slice text = sbuf_slice(answer), line;
    const char *end = memmem(text.ptr, text.len, "\r\n\r\n", 4);
    (void)slice_cut(text, '\r', &line);
    if (!end || !slice_starts_with(line, SLICE("HTTP/1.1 ")))
        return err_set(err, "the answer is not one of a gateway");
    struct slice body = slice_after(text, (size_t)(end - text.ptr) + 4);
    if (!slice_starts_with(line, SLICE("HTTP/1.1 200")))
        return err_set(err, "the gateway answers: " SLICE_FMT, SLICE_ARG(slice_first(slice_trim(body), 200)));
    sbuf_append(body_out, body);
    return body_out->overflow ? err_set(err, "the answer is too long") : 0;
}

int admin_ask(const char *config_path, const char *path, struct sbuf *body_out, struct err *err) {
    struct target target = {.conf = NULL};
    struct sbuf answer;
    int status = 2;
    sbuf_init(&target.token, TOKEN_MAX);
    sbuf_init(&answer, body_out->limit + HEAD_SLACK);
    if (find_target(config_path, &target, err) == 0)
        status = exchange(&target, path, &answer, err) == 0 && take_body(&answer, body_out, err) == 0 ? 0 : 1;
    sbuf_fini(&answer);
    sbuf_fini(&target.token);
    conf_free(&target.conf);
    return status;
}
