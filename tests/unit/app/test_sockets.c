/* Sockets: one for each worker and address, found again, opened at the commit only, and handed to who is to serve them.
 */
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/sockets.h"
#include "base/log.h"
#include "base/mem.h"

static struct sockets sockets;
static struct generation generation;
static char address[64]; /* with the port of the first socket */

static void use(unsigned workers, const char *first, const char *second) {
    generation_fini(&generation);
    generation.number = 1;
    generation.workers = workers;
    generation.listeners = NEW_ARRAY(struct generation_listener, 2);
    for (const char *each = first; each; each = each == first ? second : NULL) {
        generation.listeners[generation.listener_count].fd = -1;
        generation.listeners[generation.listener_count++].address = mem_strdup(each);
    }
}

static void set_up(void) {
    log_set_level(LOG_ERROR);
    generation_init(&generation);
    sockets_init(&sockets);
}

static void tear_down(void) {
    sockets_fini(&sockets);
    generation_fini(&generation);
}

static uint16_t port_of(int fd) {
    struct sockaddr_in bound;
    socklen_t size = sizeof bound;
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&bound, &size), 0);
    return ntohs(bound.sin_port);
}

static bool is_listening(int fd) {
    int on = 0;
    socklen_t size = sizeof on;
    ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size), 0);
    return on;
}

static size_t export(int *fds, char *names_out, size_t size) {
    struct sbuf names;
    sbuf_init(&names, 4096);
    size_t count = sockets_export(&sockets, fds, 16, &names);
    (void)snprintf(names_out, size, "%s", sbuf_text(&names));
    sbuf_fini(&names);
    return count;
}

static void prepare(void) {
    struct err err = {""};
    ck_assert_msg(sockets_prepare(&sockets, &generation, &err) == 0, "%s", err.text);
}

START_TEST(all_workers_listen_on_one_port_from_the_commit_on) {
    int fds[16];
    char names[256];
    use(3, "127.0.0.1:0", NULL);
    prepare();
    ck_assert_uint_eq(export(fds, names, sizeof names), 0);
    sockets_commit(&sockets, &generation);
    ck_assert_uint_eq(export(fds, names, sizeof names), 3);
    ck_assert_str_eq(names, "127.0.0.1:0\n127.0.0.1:0\n127.0.0.1:0");
    for (int i = 0; i < 3; i++) {
        ck_assert(is_listening(fds[i]));
        ck_assert_uint_eq(port_of(fds[i]), port_of(fds[0]));
    }
}
END_TEST

START_TEST(what_stays_is_the_same_socket) {
    int before[16], after[16];
    char names[256];
    use(2, "127.0.0.1:0", NULL);
    prepare();
    sockets_commit(&sockets, &generation);
    (void)export(before, names, sizeof names);
    use(4, "127.0.0.1:0", "[::1]:0");
    prepare();
    sockets_commit(&sockets, &generation);
    ck_assert_uint_eq(export(after, names, sizeof names), 8);
    ck_assert_int_eq(before[0], after[0]);
    ck_assert_int_eq(before[1], after[1]);
    /* Fewer workers: every socket stays. */
    use(1, "127.0.0.1:0", NULL);
    prepare();
    sockets_commit(&sockets, &generation);
    ck_assert_uint_eq(export(after, names, sizeof names), 4);
    ck_assert_int_eq(before[0], after[0]);
}
END_TEST

START_TEST(a_rollback_leaves_what_was_there) {
    int fds[16];
    char names[256];
    use(2, "127.0.0.1:0", NULL);
    prepare();
    sockets_commit(&sockets, &generation);
    use(3, "127.0.0.1:0", "[::1]:0");
    prepare();
    sockets_rollback(&sockets);
    ck_assert_uint_eq(export(fds, names, sizeof names), 2);
    ck_assert(is_listening(fds[0]) && is_listening(fds[1]));
}
END_TEST

START_TEST(an_address_that_is_taken_is_an_error_that_changes_nothing) {
    int fds[16], taken = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct err err = {""};
    char names[256];
    ck_assert_int_eq(bind(taken, (struct sockaddr *)&any, sizeof any), 0);
    ck_assert_int_eq(listen(taken, 1), 0);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", port_of(taken));
    use(2, "127.0.0.1:0", address);
    ck_assert_int_eq(sockets_prepare(&sockets, &generation, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, address));
    ck_assert_uint_eq(export(fds, names, sizeof names), 0);
    close(taken);
}
END_TEST

/* ---- who serves what ---- */

static unsigned seen_sockets[16];
static size_t seen_count;

static void on_message(void *owner, struct ipc_message *message) {
    (void)owner;
    ck_assert_int_eq(message->type, IPC_LISTENER);
    ck_assert(slice_eq_str(message->text, "127.0.0.1:0"));
    ck_assert_int_eq(message->fd_count, 1);
    seen_sockets[seen_count++] = (unsigned)message->value;
}

static void on_closed(void *owner, const char *fault) {
    (void)owner;
    (void)fault;
}

START_TEST(the_sockets_of_workers_that_are_no_more_go_to_others) {
    struct err err;
    struct loop *loop = loop_new(&err);
    int a, b;
    ck_assert_int_eq(channel_pair(&a, &b, &err), 0);
    struct channel *to = channel_open(loop, a, on_message, on_closed, NULL);
    struct channel *from = channel_open(loop, b, on_message, on_closed, NULL);
    use(5, "127.0.0.1:0", NULL);
    prepare();
    sockets_commit(&sockets, &generation);
    use(2, "127.0.0.1:0", NULL);
    bool is_served[5] = {false};
    for (unsigned worker = 0; worker < 2; worker++) {
        seen_count = 0;
        ck_assert(sockets_send(&sockets, &generation, worker, to));
        for (int i = 0; i < 5; i++)
            loop_turn(loop, 0);
        for (size_t i = 0; i < seen_count; i++) {
            ck_assert(!is_served[seen_sockets[i]]);
            is_served[seen_sockets[i]] = true;
        }
        ck_assert(seen_count >= 2 && is_served[worker]);
    }
    for (int i = 0; i < 5; i++)
        ck_assert(is_served[i]);
    channel_close(&to);
    channel_close(&from);
    loop_turn(loop, 0);
    loop_free(loop);
}
END_TEST

Suite *app_sockets_suite(void);
Suite *app_sockets_suite(void) {
    Suite *suite = suite_create("app/sockets");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_test(all, all_workers_listen_on_one_port_from_the_commit_on);
    tcase_add_test(all, what_stays_is_the_same_socket);
    tcase_add_test(all, a_rollback_leaves_what_was_there);
    tcase_add_test(all, an_address_that_is_taken_is_an_error_that_changes_nothing);
    tcase_add_test(all, the_sockets_of_workers_that_are_no_more_go_to_others);
    suite_add_tcase(suite, all);
    return suite;
}
