/* Messages and descriptors cross a channel; what breaks the rules ends it. */
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "ipc/channel.h"

#define SEEN_MAX 8192

/* One end with what it received. */
struct end {
    struct channel *channel;
    struct ipc_message last;
    char text[IPC_TEXT_MAX];
    int fd; /* the descriptor of the last message, or -1 */
    size_t count;
    uint64_t numbers[SEEN_MAX];
    const char *fault; /* NULL: open */
    bool closes_itself;
};

static struct loop *loop;
static struct end left, right;
static int raw; /* the other side of `left`, when a test speaks by hand */

static void on_message(void *owner, struct ipc_message *message) {
    struct end *end = owner;
    end->last = *message;
    memcpy(end->text, message->text.ptr, message->text.len);
    if (end->fd >= 0)
        close(end->fd);
    end->fd = ipc_message_take_fd(message, 0);
    if (end->count < SEEN_MAX)
        end->numbers[end->count] = message->number;
    end->count++;
    if (end->closes_itself)
        channel_close(&end->channel);
}

static void on_closed(void *owner, const char *fault) {
    struct end *end = owner;
    end->fault = fault;
}

static void set_up(void) {
    struct err err;
    int a, b;
    loop = loop_new(&err);
    ck_assert_int_eq(channel_pair(&a, &b, &err), 0);
    left = (struct end){.fd = -1};
    right = (struct end){.fd = -1};
    raw = -1;
    left.channel = channel_open(loop, a, on_message, on_closed, &left);
    right.channel = channel_open(loop, b, on_message, on_closed, &right);
}

static void set_up_raw(void) {
    struct err err;
    int a;
    loop = loop_new(&err);
    ck_assert_int_eq(channel_pair(&a, &raw, &err), 0);
    left = (struct end){.fd = -1};
    right = (struct end){.fd = -1};
    left.channel = channel_open(loop, a, on_message, on_closed, &left);
}

static void tear_down(void) {
    channel_close(&left.channel);
    channel_close(&right.channel);
    loop_turn(loop, 0);
    loop_free(loop);
    for (struct end *end = &left; end; end = end == &left ? &right : NULL)
        if (end->fd >= 0)
            close(end->fd);
    if (raw >= 0)
        close(raw);
}

static void turns(int count) {
    for (int i = 0; i < count; i++)
        loop_turn(loop, 0);
}

START_TEST(a_message_arrives_as_it_was_sent) {
    struct ipc_message message = {
        .type = IPC_FAILED, .number = UINT64_MAX, .value = INT64_MIN, .text = SLICE("no room")};
    ck_assert(channel_send(left.channel, &message));
    turns(2);
    ck_assert_uint_eq(right.count, 1);
    ck_assert_int_eq(right.last.type, IPC_FAILED);
    ck_assert_uint_eq(right.last.number, UINT64_MAX);
    ck_assert_int_eq(right.last.value, INT64_MIN);
    ck_assert_uint_eq(right.last.text.len, 7);
    ck_assert_mem_eq(right.text, "no room", 7);
    ck_assert_str_eq(ipc_type_name(IPC_FAILED), "FAILED");
}
END_TEST

START_TEST(a_descriptor_goes_with_it_and_stays_the_senders) {
    int ends[2];
    char got[4];
    ck_assert_int_eq(pipe(ends), 0);
    struct ipc_message message = {.type = IPC_DOCUMENT, .fds = {ends[1]}, .fd_count = 1};
    ck_assert(channel_send(left.channel, &message));
    turns(2);
    ck_assert_int_ge(right.fd, 0);
    ck_assert_int_ne(fcntl(right.fd, F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_eq((int)write(right.fd, "abc", 3), 3);
    ck_assert_int_eq((int)read(ends[0], got, sizeof got), 3);
    ck_assert_int_ne(fcntl(ends[1], F_GETFD), -1);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(what_does_not_fit_waits_in_order_with_its_descriptors) {
    static char text[IPC_TEXT_MAX];
    for (uint64_t i = 0; i < 200; i++) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        struct ipc_message message = {
            .type = IPC_CRL, .number = i, .text = slice_make(text, sizeof text), .fds = {fd}, .fd_count = 1};
        ck_assert(channel_send(left.channel, &message));
        close(fd);
    }
    for (int i = 0; i < 1000 && right.count < 200; i++)
        loop_turn(loop, 1);
    ck_assert_uint_eq(right.count, 200);
    for (uint64_t i = 0; i < 200; i++)
        ck_assert_uint_eq(right.numbers[i], i);
    ck_assert_int_ge(right.fd, 0);
}
END_TEST

START_TEST(a_peer_that_does_not_read_fills_the_queue_and_no_more) {
    channel_close(&right.channel);
    turns(1);
    tear_down();
    set_up_raw();
    struct ipc_message message = {.type = IPC_ALIVE};
    size_t sent = 0;
    while (sent < 100000 && channel_send(left.channel, &message))
        sent++;
    ck_assert_uint_ge(sent, IPC_QUEUE_MAX);
    ck_assert_uint_lt(sent, 100000);
}
END_TEST

START_TEST(flush_sends_what_waits) {
    static char text[IPC_TEXT_MAX];
    struct ipc_message message = {.type = IPC_FAILED, .text = slice_make(text, sizeof text)};
    for (int i = 0; i < 20; i++)
        ck_assert(channel_send(left.channel, &message));
    /* Nobody reads: it gives up in time. */
    channel_flush(left.channel, 5);
    for (int i = 0; i < 100 && right.count < 20; i++) {
        loop_turn(loop, 0);
        channel_flush(left.channel, 5);
    }
    ck_assert_uint_eq(right.count, 20);
}
END_TEST

START_TEST(the_end_of_one_side_is_told_once) {
    channel_close(&right.channel);
    turns(3);
    ck_assert_str_eq(left.fault, "");
    left.fault = NULL;
    struct ipc_message message = {.type = IPC_ALIVE};
    ck_assert(channel_send(left.channel, &message)); /* to nobody */
    turns(3);
    ck_assert_ptr_null(left.fault);
}
END_TEST

START_TEST(a_channel_may_be_closed_in_its_own_callback) {
    struct ipc_message message = {.type = IPC_ALIVE};
    right.closes_itself = true;
    ck_assert(channel_send(left.channel, &message));
    ck_assert(channel_send(left.channel, &message));
    turns(3);
    ck_assert_uint_eq(right.count, 1);
    ck_assert_ptr_null(right.fault);
}
END_TEST

static size_t send_raw(const void *bytes, size_t size) {
    ssize_t sent = send(raw, bytes, size, MSG_NOSIGNAL);
    turns(2);
    return sent < 0 ? 0 : (size_t)sent;
}

START_TEST(nonsense_ends_the_channel) {
    char frame[IPC_FRAME_MAX + 1] = {0};
    struct ipc_message good = {.type = IPC_PREPARED, .number = 7, .text = SLICE("abc")};
    size_t size = ipc_encode(&good, frame);
    uint32_t none = IPC_NONE, beyond = IPC_TYPE_COUNT;
    switch (_i) {
    case 0: /* a head cut short */
        send_raw(frame, 23);
        break;
    case 1: /* a text cut short */
        send_raw(frame, size - 1);
        break;
    case 2: /* a longer text than it says */
        send_raw(frame, size + 1);
        break;
    case 3:
        memcpy(frame, &none, sizeof none);
        send_raw(frame, size);
        break;
    case 4:
        memcpy(frame, &beyond, sizeof beyond);
        send_raw(frame, size);
        break;
    default: /* longer than any */
        send_raw(frame, sizeof frame);
        break;
    }
    ck_assert_uint_eq(left.count, 0);
    ck_assert_ptr_nonnull(left.fault);
    ck_assert_str_ne(left.fault, "");
}
END_TEST

/* Sends the frame of message with count descriptors, whatever its type. */
static void send_with_fds(const struct ipc_message *message, int count) {
    char frame[IPC_FRAME_MAX];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 4)];
    } control = {.bytes = {0}};
    struct iovec piece = {frame, ipc_encode(message, frame)};
    struct msghdr packet = {.msg_iov = &piece,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count)};
    struct cmsghdr *part = CMSG_FIRSTHDR(&packet);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    for (int i = 0; i < count; i++)
        memcpy(CMSG_DATA(part) + (size_t)i * sizeof(int), &raw, sizeof(int));
    ck_assert_int_gt((int)sendmsg(raw, &packet, 0), 0);
    turns(2);
}

START_TEST(descriptors_where_none_belong_end_the_channel) {
    struct ipc_message message = {.type = _i == 0 ? IPC_PREPARED : IPC_DOCUMENT};
    send_with_fds(&message, _i == 0 ? 1 : 2);
    ck_assert_uint_eq(left.count, 0);
    ck_assert_ptr_nonnull(strstr(left.fault, "descriptors"));
}
END_TEST

START_TEST(without_a_free_descriptor_the_message_comes_alone) {
    struct rlimit before, none;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    int lowest = fcntl(raw, F_DUPFD, 0);
    close(lowest);
    none = (struct rlimit){(rlim_t)lowest, before.rlim_max};
    struct ipc_message message = {.type = IPC_DOCUMENT, .number = 9};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    send_with_fds(&message, 1);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_uint_eq(left.count, 1);
    ck_assert_uint_eq(left.last.number, 9);
    ck_assert_int_eq(left.fd, -1);
    ck_assert_ptr_null(left.fault);
}
END_TEST

START_TEST(every_type_is_encoded_and_decoded) {
    char frame[IPC_FRAME_MAX];
    for (int type = IPC_NONE + 1; type < IPC_TYPE_COUNT; type++) {
        struct ipc_message message = {.type = (enum ipc_type)type, .number = 1, .value = -2, .text = SLICE("t")}, back;
        ck_assert(ipc_decode(slice_make(frame, ipc_encode(&message, frame)), &back));
        ck_assert_int_eq((int)back.type, type);
        ck_assert_int_eq(back.value, -2);
        ck_assert(slice_eq(back.text, SLICE("t")));
    }
}
END_TEST

Suite *ipc_channel_suite(void);
Suite *ipc_channel_suite(void) {
    Suite *suite = suite_create("ipc/channel");
    TCase *pair = tcase_create("pair");
    tcase_add_checked_fixture(pair, set_up, tear_down);
    tcase_add_test(pair, a_message_arrives_as_it_was_sent);
    tcase_add_test(pair, a_descriptor_goes_with_it_and_stays_the_senders);
    tcase_add_test(pair, what_does_not_fit_waits_in_order_with_its_descriptors);
    tcase_add_test(pair, a_peer_that_does_not_read_fills_the_queue_and_no_more);
    tcase_add_test(pair, flush_sends_what_waits);
    tcase_add_test(pair, the_end_of_one_side_is_told_once);
    tcase_add_test(pair, a_channel_may_be_closed_in_its_own_callback);
    suite_add_tcase(suite, pair);
    TCase *by_hand = tcase_create("by hand");
    tcase_add_checked_fixture(by_hand, set_up_raw, tear_down);
    tcase_add_loop_test(by_hand, nonsense_ends_the_channel, 0, 6);
    tcase_add_loop_test(by_hand, descriptors_where_none_belong_end_the_channel, 0, 2);
    tcase_add_test(by_hand, without_a_free_descriptor_the_message_comes_alone);
    tcase_add_test(by_hand, every_type_is_encoded_and_decoded);
    suite_add_tcase(suite, by_hand);
    return suite;
}
