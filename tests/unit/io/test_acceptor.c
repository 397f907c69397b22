#include "io/acceptor.h"

#include <check.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/metrics.h"
#include "base/reserve.h"

static struct loop *loop;
static struct acceptor *acceptor;
static struct addr address;
static int accepted, flags_seen;
static char peer_seen[ADDR_TEXT_SIZE];
static bool close_when_called, is_kept;
static int kept[64];
static char directory[] = "/tmp/sallyport-acceptor-XXXXXX";

static void on_accept(void *owner, int fd, const struct addr *peer) {
    ck_assert_ptr_eq(owner, &accepted);
    accepted++;
    flags_seen = fcntl(fd, F_GETFL);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    addr_format_host(peer, peer_seen);
    if (is_kept)
        kept[accepted - 1] = fd;
    else
        close(fd);
    if (close_when_called)
        acceptor_close(&acceptor);
}

static void open_acceptor(const char *text) {
    struct addr addr;
    struct err err;
    ck_assert_int_eq(addr_parse(slice_of(text), &addr, NULL), 0);
    int fd = acceptor_bind(&addr, &err);
    ck_assert_msg(fd >= 0, "%s", err.text);
    acceptor = acceptor_open(loop, fd, text, on_accept, &accepted);
    acceptor_address(acceptor, &address);
}

static void set_up(void) {
    loop = loop_new(NULL);
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void tear_down(void) {
    acceptor_close(&acceptor);
    loop_free(loop);
    char path[64];
    snprintf(path, sizeof path, "%s/s", directory);
    (void)unlink(path);
    (void)rmdir(directory);
}

static int connect_to(const struct addr *addr) {
    int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, &addr->sa, addr->len), 0);
    return fd;
}

static void turn_until(int wanted) {
    for (int i = 0; i < 500 && accepted < wanted; i++) {
        loop_turn(loop, 20);
    }
    ck_assert_int_eq(accepted, wanted);
}

START_TEST(connections_are_handed_up) {
    open_acceptor("127.0.0.1:0");
    ck_assert_uint_ne(addr_port(&address), 0);
    int client = connect_to(&address);
    turn_until(1);
    ck_assert_int_ne(flags_seen & O_NONBLOCK, 0);
    ck_assert_str_eq(peer_seen, "127.0.0.1");
    close(client);
}
END_TEST

START_TEST(star_takes_both_families_and_folds_ipv4) {
    open_acceptor("*:0");
    struct addr v4;
    ck_assert_int_eq(addr_parse(SLICE("127.0.0.1:0"), &v4, NULL), 0);
    v4.in.sin_port = htons(addr_port(&address));
    int client = connect_to(&v4);
    turn_until(1);
    ck_assert_str_eq(peer_seen, "127.0.0.1");
    close(client);
}
END_TEST

START_TEST(a_flood_comes_in_batches) {
    enum { COUNT = 100 };
    open_acceptor("127.0.0.1:0");
    int clients[COUNT];
    for (int i = 0; i < COUNT; i++) {
        clients[i] = connect_to(&address);
    }
    loop_turn(loop, 1000);
    ck_assert_int_gt(accepted, 0);
    ck_assert_int_lt(accepted, COUNT);
    turn_until(COUNT);
    for (int i = 0; i < COUNT; i++) {
        close(clients[i]);
    }
}
END_TEST

/* sec-41: out of descriptors, accepting pauses and comes back; the connection waits meanwhile. */
START_TEST(sec_41_out_of_descriptors_pauses_and_recovers) {
    open_acceptor("127.0.0.1:0");
    int client = connect_to(&address);
    struct rlimit old;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    struct rlimit none = {.rlim_cur = 3, .rlim_max = old.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 50 && metric_value(METRIC_ACCEPT_PAUSES, "127.0.0.1:0") == 0; i++) {
        loop_turn(loop, 20);
    }
    ck_assert_int_eq(metric_value(METRIC_ACCEPT_PAUSES, "127.0.0.1:0"), 1);
    ck_assert_int_eq(metric_value(METRIC_ACCEPT_PAUSED, "127.0.0.1:0"), 1);
    loop_turn(loop, 20);
    ck_assert_int_eq(metric_value(METRIC_ACCEPT_PAUSES, "127.0.0.1:0"), 1); /* one pause, however many tries */
    ck_assert_int_eq(accepted, 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    turn_until(1);
    ck_assert_int_eq(metric_value(METRIC_ACCEPT_PAUSED, "127.0.0.1:0"), 0);
    close(client);
}
END_TEST

/* The last descriptors are not for clients: those wait in the queue, and are taken when others have left. */
START_TEST(the_reserve_is_not_for_clients) {
    enum { CLIENTS = 12 };
    struct rlimit old;
    int clients[CLIENTS], held = 0;
    is_kept = true;
    open_acceptor("127.0.0.1:0");
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = connect_to(&address);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    int first_free = dup(0);
    close(first_free);
    const struct rlimit few = {.rlim_cur = (rlim_t)first_free + 12, .rlim_max = old.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    reserve_set(8);
    const int free_for_clients = 12 - (int)reserve_count();
    ck_assert_uint_ge(reserve_count(), 4);
    for (int i = 0; i < 50 && metric_value(METRIC_ACCEPT_PAUSES, "127.0.0.1:0") == 0; i++)
        loop_turn(loop, 20);
    ck_assert_int_eq(metric_value(METRIC_ACCEPT_PAUSED, "127.0.0.1:0"), 1);
    loop_turn(loop, 150);
    ck_assert_int_eq(accepted, free_for_clients + 1); /* the one that shows it is served too */
    ck_assert(reserve_is_next());
    for (; held < accepted; held++)
        close(kept[held]);
    turn_until(CLIENTS < 2 * accepted ? CLIENTS : 2 * accepted);
    reserve_set(0);
    ck_assert(!reserve_is_next());
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    for (; held < accepted; held++)
        close(kept[held]);
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
}
END_TEST

START_TEST(an_acceptor_may_be_closed_in_its_own_call) {
    open_acceptor("127.0.0.1:0");
    close_when_called = true;
    int first = connect_to(&address), second = connect_to(&address);
    turn_until(1);
    ck_assert_ptr_null(acceptor);
    loop_turn(loop, 20);
    ck_assert_int_eq(accepted, 1);
    close(first);
    close(second);
}
END_TEST

/* The client resets before we accept: nothing comes of it, and the next one is served. */
START_TEST(a_connection_that_went_away_is_passed_over) {
    open_acceptor("127.0.0.1:0");
    int gone = connect_to(&address);
    struct linger at_once = {.l_onoff = 1};
    ck_assert_int_eq(setsockopt(gone, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(gone);
    int client = connect_to(&address);
    for (int i = 0; i < 500 && accepted < 1; i++) {
        loop_turn(loop, 20);
    }
    ck_assert_int_ge(accepted, 1);
    close(client);
}
END_TEST

static void unix_address(char *text, size_t size) { snprintf(text, size, "unix:%s/s", directory); }

START_TEST(a_unix_socket_serves_its_group_only) {
    char text[64];
    unix_address(text, sizeof text);
    mode_t old = umask(0);
    open_acceptor(text);
    umask(old);
    struct stat status;
    ck_assert_int_eq(stat(text + 5, &status), 0);
    ck_assert_int_eq(status.st_mode & 0777, 0660);
    int client = connect_to(&address);
    turn_until(1);
    ck_assert_str_eq(peer_seen, "unix:");
    close(client);
}
END_TEST

START_TEST(a_left_over_unix_socket_is_replaced_and_a_live_one_is_not) {
    char text[64];
    unix_address(text, sizeof text);
    open_acceptor(text);
    struct addr addr;
    struct err err;
    ck_assert_int_eq(addr_parse(slice_of(text), &addr, NULL), 0);
    ck_assert_int_eq(acceptor_bind(&addr, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "in use"));
    acceptor_close(&acceptor);
    open_acceptor(text);
    int client = connect_to(&address);
    turn_until(1);
    close(client);
}
END_TEST

START_TEST(a_file_that_is_no_socket_is_left_alone) {
    char text[64];
    unix_address(text, sizeof text);
    int fd = open(text + 5, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
    struct addr addr;
    ck_assert_int_eq(addr_parse(slice_of(text), &addr, NULL), 0);
    ck_assert_int_eq(acceptor_bind(&addr, NULL), -1);
    ck_assert_int_eq(access(text + 5, F_OK), 0);
}
END_TEST

START_TEST(an_address_that_is_not_here_is_named) {
    struct addr addr;
    struct err err;
    ck_assert_int_eq(addr_parse(SLICE("192.0.2.1:1"), &addr, NULL), 0);
    ck_assert_int_eq(acceptor_bind(&addr, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "cannot listen on 192.0.2.1:1: "));
}
END_TEST

START_TEST(a_port_in_use_is_an_error) {
    struct addr addr;
    ck_assert_int_eq(addr_parse(SLICE("127.0.0.1:0"), &addr, NULL), 0);
    int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(other, &addr.sa, addr.len) | listen(other, 1), 0);
    struct sockaddr_storage storage;
    socklen_t size = sizeof storage;
    ck_assert_int_eq(getsockname(other, (struct sockaddr *)&storage, &size), 0);
    addr_from_sockaddr((struct sockaddr *)&storage, size, &addr);
    struct err err;
    ck_assert_int_eq(acceptor_bind(&addr, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "in use"));
    close(other);
}
END_TEST

/* SO_REUSEPORT would let a second gateway take a part of the first one's connections. */
START_TEST(a_port_of_another_gateway_is_seen) {
    struct err err;
    open_acceptor("127.0.0.1:0");
    ck_assert_int_eq(acceptor_probe(&address, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "in use"));
    struct addr any = {.in = {.sin_family = AF_INET, .sin_port = address.in.sin_port}, .len = sizeof any.in};
    ck_assert_int_eq(acceptor_probe(&any, &err), -1);
    acceptor_close(&acceptor);
    loop_turn(loop, 0);
    ck_assert_int_eq(acceptor_probe(&address, &err), 0);
    ck_assert_int_eq(addr_parse(SLICE("127.0.0.1:0"), &any, NULL), 0);
    ck_assert_int_eq(acceptor_probe(&any, &err), 0);
}
END_TEST

Suite *io_acceptor_suite(void);
Suite *io_acceptor_suite(void) {
    Suite *suite = suite_create("acceptor");
    TCase *tcase = tcase_create("acceptor");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, connections_are_handed_up);
    tcase_add_test(tcase, star_takes_both_families_and_folds_ipv4);
    tcase_add_test(tcase, a_flood_comes_in_batches);
    tcase_add_test(tcase, sec_41_out_of_descriptors_pauses_and_recovers);
    tcase_add_test(tcase, the_reserve_is_not_for_clients);
    tcase_add_test(tcase, an_acceptor_may_be_closed_in_its_own_call);
    tcase_add_test(tcase, a_connection_that_went_away_is_passed_over);
    tcase_add_test(tcase, a_unix_socket_serves_its_group_only);
    tcase_add_test(tcase, a_left_over_unix_socket_is_replaced_and_a_live_one_is_not);
    tcase_add_test(tcase, a_file_that_is_no_socket_is_left_alone);
    tcase_add_test(tcase, an_address_that_is_not_here_is_named);
    tcase_add_test(tcase, a_port_in_use_is_an_error);
    tcase_add_test(tcase, a_port_of_another_gateway_is_seen);
    suite_add_tcase(suite, tcase);
    return suite;
}
