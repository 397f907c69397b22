/* A generation crosses a channel and is what it was; what is missing or makes no sense is a fault of it, and nothing
 * worse. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/generation.h"
#include "base/mem.h"
#include "base/memfd.h"

static struct loop *loop;
static struct channel *sender, *receiver;
static struct generation received;

static void on_message(void *owner, struct ipc_message *message) { (void)generation_take(owner, message); }

static void on_closed(void *owner, const char *fault) {
    (void)owner;
    ck_abort_msg("closed: %s", fault);
}

static void set_up(void) {
    struct err err;
    int a, b;
    loop = loop_new(&err);
    ck_assert_int_eq(channel_pair(&a, &b, &err), 0);
    generation_init(&received);
    sender = channel_open(loop, a, on_message, on_closed, &received);
    receiver = channel_open(loop, b, on_message, on_closed, &received);
}

static void tear_down(void) {
    generation_fini(&received);
    channel_close(&sender);
    channel_close(&receiver);
    loop_turn(loop, 0);
    loop_free(loop);
}

static void cross(void) {
    for (int i = 0; i < 20; i++)
        loop_turn(loop, 0);
}

/* Two secrets, no list. */
static void make(struct generation *generation, struct resolved *resolved) {
    static struct conf_listener listeners[2] = {{.address = {.text = "127.0.0.1:1"}}, {.address = {.text = "[::1]:2"}}};
    struct conf conf = {.shutdown_timeout_ms = 2500, .log = {.level = {.text = "warning"}}};
    struct err err = {""};
    conf.listeners.items = listeners;
    conf.listeners.count = 2;
    *resolved = (struct resolved){.secrets = NEW_ARRAY(struct secret, 2), .secret_count = 2};
    sbuf_init(&resolved->document, 1000);
    sbuf_append_str(&resolved->document, "{\"a\": 1}");
    for (size_t i = 0; i < 2; i++) {
        struct secret *secret = &resolved->secrets[i];
        memset(secret->digest, i == 0 ? 'a' : 'b', 64);
        secret->size = i == 0 ? 3 : 5000;
        secret->bytes = mem_new(secret->size);
        memset(secret->bytes, 'x' + (int)i, secret->size);
    }
    ck_assert_msg(generation_seal(generation, resolved, &conf, NULL, &err) == 0, "%s", err.text);
    generation->number = 7;
    generation->workers = 3;
}

START_TEST(what_is_sent_is_opened_again) {
    struct generation made;
    struct resolved resolved, opened;
    struct err err = {""};
    make(&made, &resolved);
    ck_assert(generation_send_whole(&made, sender));
    cross();
    ck_assert_str_eq(received.fault, "");
    ck_assert(received.is_complete);
    ck_assert_uint_eq(received.number, 7);
    ck_assert_uint_eq(received.workers, 3);
    ck_assert_int_eq(received.shutdown_timeout_ms, 2500);
    ck_assert_str_eq(received.level, "warning");
    ck_assert_uint_eq(received.listener_count, 2);
    ck_assert_str_eq(received.listeners[1].address, "[::1]:2");
    ck_assert_int_eq(received.listeners[1].fd, -1);
    ck_assert_msg(generation_open(&received, NULL, &opened, &err) == 0, "%s", err.text);
    ck_assert(slice_eq(sbuf_slice(&opened.document), sbuf_slice(&resolved.document)));
    ck_assert_uint_eq(opened.secret_count, 2);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_str_eq(opened.secrets[i].digest, resolved.secrets[i].digest);
        ck_assert_uint_eq(opened.secrets[i].size, resolved.secrets[i].size);
        ck_assert_mem_eq(opened.secrets[i].bytes, resolved.secrets[i].bytes, resolved.secrets[i].size);
    }
    resolved_fini(&opened);
    resolved_fini(&resolved);
    generation_fini(&made);
}
END_TEST

START_TEST(a_new_beginning_drops_what_was_there) {
    struct generation made;
    struct resolved resolved;
    make(&made, &resolved);
    ck_assert(generation_send(&made, sender));
    ck_assert(generation_send_whole(&made, sender));
    cross();
    ck_assert_str_eq(received.fault, "");
    ck_assert_uint_eq(received.listener_count, 2);
    resolved_fini(&resolved);
    generation_fini(&made);
}
END_TEST

static void take(enum ipc_type type, uint64_t number, int64_t value, const char *text, int fd) {
    struct ipc_message message = {.type = type, .number = number, .value = value, .text = slice_of(text)};
    if (fd >= 0)
        message.fds[message.fd_count++] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    ck_assert(generation_take(&received, &message));
    if (message.fd_count > 0 && message.fds[0] >= 0)
        close(message.fds[0]);
}

START_TEST(a_head_that_makes_no_sense_is_a_fault) {
    static const struct {
        uint64_t number;
        int64_t workers;
        const char *words;
    } rows[] = {{0, 1, "1 info"}, {1, 0, "1 info"}, {1, 65, "1 info"}, {1, -1, "1 info"},
                {1, 1, ""},       {1, 1, "1"},      {1, 1, "x info"},  {1, 1, "1 chatty"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        take(IPC_GENERATION_BEGIN, rows[i].number, rows[i].workers, rows[i].words, -1);
        ck_assert_msg(received.fault[0] != '\0', "row %zu", i);
    }
    take(IPC_GENERATION_BEGIN, 1, 64, "0 debug", -1);
    ck_assert_str_eq(received.fault, "");
}
END_TEST

START_TEST(what_is_missing_is_a_fault) {
    struct resolved opened;
    struct err err = {""};
    take(IPC_DOCUMENT, 0, 0, "", STDERR_FILENO);
    ck_assert_str_ne(received.fault, "");
    take(IPC_GENERATION_BEGIN, 1, 1, "1 info", -1);
    take(IPC_DOCUMENT, 0, 0, "", -1); /* the receiver had no descriptor left */
    ck_assert_ptr_nonnull(strstr(received.fault, "descriptors"));
    take(IPC_GENERATION_BEGIN, 1, 1, "1 info", -1);
    take(IPC_CRL, 1, 0, "too short", STDERR_FILENO);
    ck_assert_str_ne(received.fault, "");
    take(IPC_GENERATION_BEGIN, 1, 1, "1 info", -1);
    take(IPC_GENERATION_END, 0, 0, "", -1);
    ck_assert_str_ne(received.fault, "");
    ck_assert_int_eq(generation_open(&received, NULL, &opened, &err), -1);
}
END_TEST

START_TEST(too_many_items_are_a_fault_and_are_not_kept) {
    take(IPC_GENERATION_BEGIN, 1, 1, "1 info", -1);
    for (int i = 0; i < GENERATION_ITEMS_MAX + 10; i++)
        take(IPC_LISTENER, 0, 0, "127.0.0.1:1", -1);
    ck_assert_uint_eq(received.listener_count, GENERATION_ITEMS_MAX);
    ck_assert_str_ne(received.fault, "");
}
END_TEST

START_TEST(memory_that_is_not_sealed_is_refused) {
    struct resolved opened;
    struct err err = {""};
    int loose = memfd_shared("loose", 4096, &err);
    take(IPC_GENERATION_BEGIN, 1, 1, "1 info", -1);
    take(IPC_DOCUMENT, 0, 0, "", loose);
    take(IPC_SECRETS, 0, 0, "", loose);
    take(IPC_GENERATION_END, 0, 0, "", -1);
    ck_assert_str_eq(received.fault, "");
    ck_assert_int_eq(generation_open(&received, NULL, &opened, &err), -1);
    close(loose);
}
END_TEST

START_TEST(damaged_secrets_are_refused) {
    char block[200] = {0};
    static const uint64_t SIZES[] = {0, 129, UINT64_MAX};
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        struct resolved opened;
        struct err err = {""};
        memcpy(block + 64, &SIZES[i], sizeof SIZES[i]);
        int document = memfd_seal("document", SLICE("{}"), &err);
        int secrets = memfd_seal("secrets", slice_make(block, sizeof block), &err);
        take(IPC_GENERATION_BEGIN, 1, 1, "1 info", -1);
        take(IPC_DOCUMENT, 0, 0, "", document);
        take(IPC_SECRETS, 0, 0, "", secrets);
        take(IPC_GENERATION_END, 0, 0, "", -1);
        ck_assert_int_eq(generation_open(&received, NULL, &opened, &err), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "damaged"));
        close(document);
        close(secrets);
    }
}
END_TEST

Suite *app_generation_suite(void);
Suite *app_generation_suite(void) {
    Suite *suite = suite_create("app/generation");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_add_test(all, what_is_sent_is_opened_again);
    tcase_add_test(all, a_new_beginning_drops_what_was_there);
    tcase_add_test(all, a_head_that_makes_no_sense_is_a_fault);
    tcase_add_test(all, what_is_missing_is_a_fault);
    tcase_add_test(all, too_many_items_are_a_fault_and_are_not_kept);
    tcase_add_test(all, memory_that_is_not_sealed_is_refused);
    tcase_add_test(all, damaged_secrets_are_refused);
    suite_add_tcase(suite, all);
    return suite;
}
