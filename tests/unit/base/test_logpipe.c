#include "base/logpipe.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/metrics.h"

static int read_end, write_end;
static struct logpipe_writer *writer;
static struct logpipe_reader *reader;
static struct sbuf seen; /* "kind:line\n" for each line */

static void note(void *arg, enum logpipe_kind kind, struct slice line) {
    ck_assert_ptr_eq(arg, &seen);
    sbuf_printf(&seen, "%d:", (int)kind);
    sbuf_append(&seen, line);
    sbuf_append_char(&seen, '\n');
}

static struct logpipe_reader *new_reader(void) { return logpipe_reader_new(read_end, note, &seen); }

static void set_up(void) {
    struct err err = {""};
    signal(SIGPIPE, SIG_IGN);
    ck_assert_msg(logpipe_make(&read_end, &write_end, &err) == 0, "%s", err.text);
    writer = logpipe_writer_new(write_end);
    reader = new_reader();
    sbuf_init(&seen, 64 << 20);
}

static void tear_down(void) {
    logpipe_writer_free(&writer);
    logpipe_reader_free(&reader);
    ck_assert_ptr_null(writer);
    close(read_end);
    close(write_end);
    sbuf_fini(&seen);
}

static void say(enum logpipe_kind kind, const char *text) {
    logsink_line(logpipe_writer_sink(writer, kind), slice_of(text));
}

static char *long_text(size_t len) {
    char *text = mem_new(len + 1);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + i % 26);
    return text;
}

/* What the pipe holds, put in by hand. */
static void put(const char *bytes, size_t len) { ck_assert_int_eq(write(write_end, bytes, len), (ssize_t)len); }

static void discard_packet(void) {
    char bytes[8192];
    ck_assert_int_gt(read(read_end, bytes, sizeof bytes), 0);
}

START_TEST(lines_arrive_whole_and_in_order) {
    say(LOGPIPE_ACCESS, "{\"a\":1}");
    say(LOGPIPE_ERROR, "first \xc3\xa9");
    say(LOGPIPE_AUDIT, "");
    say(LOGPIPE_ACCESS, "{}");
    ck_assert_int_eq(logpipe_reader_take(reader), 1);
    ck_assert_str_eq(sbuf_text(&seen), "");
    ck_assert(!logpipe_writer_flush(writer));
    ck_assert_int_eq(logpipe_reader_take(reader), 1);
    ck_assert_str_eq(sbuf_text(&seen), "1:{\"a\":1}\n0:first \xc3\xa9\n2:\n1:{}\n");
}
END_TEST

static const size_t lengths[] = {4090, 4091, 4092, 8181, 8182, 8183, 100000, LOGPIPE_LINE_MAX};

START_TEST(long_lines_arrive_whole) {
    char *text = long_text(lengths[_i]);
    say(LOGPIPE_ERROR, "before");
    say(LOGPIPE_ACCESS, text);
    say(LOGPIPE_ERROR, "after");
    (void)logpipe_writer_flush(writer);
    ck_assert_int_eq(logpipe_reader_take(reader), 1);
    (void)logpipe_writer_flush(writer);
    ck_assert_int_eq(logpipe_reader_take(reader), 1);
    char *expected = mem_printf("0:before\n1:%s\n0:after\n", text);
    ck_assert(slice_eq_str(sbuf_slice(&seen), expected));
    mem_free(expected);
    mem_free(text);
}
END_TEST

START_TEST(a_line_over_the_limit_is_dropped_and_counted) {
    char *text = long_text(LOGPIPE_LINE_MAX + 1);
    say(LOGPIPE_ACCESS, text);
    say(LOGPIPE_AUDIT, "other");
    say(LOGPIPE_ACCESS, "next");
    (void)logpipe_writer_flush(writer);
    (void)logpipe_reader_take(reader);
    ck_assert_ptr_nonnull(strstr(sbuf_text(&seen), "Z warning log access: 1 lines were dropped\n1:next\n"));
    ck_assert_ptr_eq(strstr(sbuf_text(&seen), "2:other\n"), sbuf_text(&seen));
    ck_assert_uint_eq(logsink_dropped(logpipe_writer_sink(writer, LOGPIPE_ACCESS)), 1);
    ck_assert_int_eq(metric_value(METRIC_LOG_DROPPED, "access"), 1);
    mem_free(text);
}
END_TEST

START_TEST(much_is_written_without_waiting_for_the_end_of_the_turn) {
    for (int i = 0; i < 1000; i++)
        say(LOGPIPE_ACCESS,
            "a line of an ordinary length, such as an access log has, but for the names in it ............");
    ck_assert_int_eq(logpipe_reader_take(reader), 1);
    ck_assert_uint_gt(seen.len, 60000);
}
END_TEST

START_TEST(off_takes_lines_and_sends_none) {
    struct logsink *sink = logpipe_writer_sink(writer, LOGPIPE_ACCESS);
    ck_assert(!logsink_is_off(sink));
    logpipe_writer_set_off(writer, LOGPIPE_ACCESS, true);
    ck_assert(logsink_is_off(sink));
    say(LOGPIPE_ACCESS, "x");
    say(LOGPIPE_AUDIT, "y");
    logpipe_writer_set_off(writer, LOGPIPE_ACCESS, false);
    say(LOGPIPE_ACCESS, "z");
    logsink_reopen(sink);
    (void)logpipe_writer_flush(writer);
    (void)logpipe_reader_take(reader);
    ck_assert_str_eq(sbuf_text(&seen), "2:y\n1:z\n");
    ck_assert_uint_eq(logsink_dropped(sink), 0);
}
END_TEST

START_TEST(a_reader_that_sleeps_costs_lines_not_time) {
    char *text = long_text(1000);
    struct logsink *sink = logpipe_writer_sink(writer, LOGPIPE_ACCESS);
    text[0] = '{';
    uint64_t sent = 0;
    for (; logsink_dropped(sink) < 10; sent++)
        say(LOGPIPE_ACCESS, text);
    ck_assert_uint_gt(sent, 4000);
    ck_assert_uint_lt(sent, 6000);
    ck_assert(logpipe_writer_flush(writer));
    while (logpipe_writer_flush(writer))
        ck_assert_int_eq(logpipe_reader_take(reader), 1);
    say(LOGPIPE_ACCESS, "{\"next\":1}");
    ck_assert(!logpipe_writer_flush(writer));
    for (size_t before = 0; before != seen.len;) { /* a call takes a bounded part */
        before = seen.len;
        ck_assert_int_eq(logpipe_reader_take(reader), 1);
    }
    ck_assert_ptr_nonnull(strstr(sbuf_text(&seen), "\"event\":\"log_lines_dropped\",\"log\":\"access\",\"count\":10}\n"
                                                   "1:{\"next\":1}\n"));
    uint64_t lines = 0;
    for (size_t i = 0; i < seen.len; i++)
        lines += sbuf_text(&seen)[i] == '\n';
    ck_assert_uint_eq(lines, sent - 10 + 2);
    ck_assert_int_eq(metric_value(METRIC_LOG_DROPPED, "access"), 10);
    mem_free(text);
}
END_TEST

START_TEST(a_reader_that_went_away_costs_its_lines_only) {
    close(read_end);
    say(LOGPIPE_ACCESS, "x");
    say(LOGPIPE_ACCESS, "y");
    say(LOGPIPE_AUDIT, "z");
    ck_assert(!logpipe_writer_flush(writer));
    ck_assert_uint_eq(logsink_dropped(logpipe_writer_sink(writer, LOGPIPE_ACCESS)), 2);
    ck_assert_uint_eq(logsink_dropped(logpipe_writer_sink(writer, LOGPIPE_AUDIT)), 1);
    read_end = open("/dev/null", O_RDONLY | O_CLOEXEC);
}
END_TEST

START_TEST(the_end_is_told_after_the_last_line) {
    say(LOGPIPE_ERROR, "last words");
    logpipe_writer_free(&writer);
    close(write_end);
    write_end = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(logpipe_reader_take(reader), 0);
    ck_assert_str_eq(sbuf_text(&seen), "0:last words\n");
}
END_TEST

START_TEST(a_reader_that_follows_one_that_died_goes_on) {
    char *text = long_text(10000);
    say(LOGPIPE_ACCESS, text);
    say(LOGPIPE_ACCESS, "next");
    (void)logpipe_writer_flush(writer);
    discard_packet(); /* died with it */
    logpipe_reader_free(&reader);
    reader = new_reader();
    ck_assert_int_eq(logpipe_reader_take(reader), 1);
    ck_assert_str_eq(sbuf_text(&seen), "1:next\n");
    mem_free(text);
}
END_TEST

START_TEST(a_writer_that_follows_one_that_died_goes_on) {
    put("\x41\x05\0\0\0begin", 10); /* a first piece, of which no more comes */
    say(LOGPIPE_ACCESS, "next");
    (void)logpipe_writer_flush(writer);
    ck_assert_int_eq(logpipe_reader_take(reader), 1);
    ck_assert_str_eq(sbuf_text(&seen), "1:next\n");
}
END_TEST

static const struct {
    const char *bytes;
    size_t len;
} mad[] = {
    {"\xc3\x01\0\0\0x", 6},    {"\x03\x01\0\0\0x", 6},  {"\xff\xff\xff\xff\xff", 5},
    {"\xc0\0\x10\0\0", 5},     {"\xc0\xfc\x0f\0\0", 5}, /* 4092 */ {"\xc0\x03\0\0\0a\nb", 8},
    {"\xc0\x01\0\0\0\x1b", 6}, {"\xc0\x01\0\0\0\0", 6},
};

START_TEST(what_no_writer_writes_ends_it) {
    say(LOGPIPE_ERROR, "good");
    (void)logpipe_writer_flush(writer);
    put(mad[_i].bytes, mad[_i].len);
    ck_assert_int_eq(logpipe_reader_take(reader), -1);
    ck_assert_str_eq(sbuf_text(&seen), "0:good\n");
}
END_TEST

START_TEST(a_line_without_end_ends_it) {
    char *piece = mem_new(4096);
    memset(piece, 'x', 4096);
    int result = 1;
    memcpy(piece, "\x41\xfb\x0f\0\0", 5);
    for (int i = 0; i < 80 && result == 1; i++) {
        put(piece, 4096);
        piece[0] = 1;
        result = logpipe_reader_take(reader);
    }
    ck_assert_int_eq(result, -1);
    mem_free(piece);
}
END_TEST

START_TEST(an_ordinary_pipe_serves_too) {
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    struct logpipe_writer *other = logpipe_writer_new(ends[1]);
    ck_assert_int_eq(fcntl(ends[1], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    logsink_line(logpipe_writer_sink(other, LOGPIPE_AUDIT), SLICE("x"));
    ck_assert(!logpipe_writer_flush(other));
    logpipe_writer_free(&other);
    close(ends[1]);
    struct logpipe_reader *others = logpipe_reader_new(ends[0], note, &seen);
    ck_assert_int_eq(logpipe_reader_take(others), 0);
    ck_assert_str_eq(sbuf_text(&seen), "2:x\n");
    logpipe_reader_free(&others);
    close(ends[0]);
}
END_TEST

Suite *base_logpipe_suite(void);
Suite *base_logpipe_suite(void) {
    Suite *suite = suite_create("logpipe");
    TCase *tcase = tcase_create("logpipe");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, lines_arrive_whole_and_in_order);
    tcase_add_loop_test(tcase, long_lines_arrive_whole, 0, (int)(sizeof lengths / sizeof lengths[0]));
    tcase_add_test(tcase, a_line_over_the_limit_is_dropped_and_counted);
    tcase_add_test(tcase, much_is_written_without_waiting_for_the_end_of_the_turn);
    tcase_add_test(tcase, off_takes_lines_and_sends_none);
    tcase_add_test(tcase, a_reader_that_sleeps_costs_lines_not_time);
    tcase_add_test(tcase, a_reader_that_went_away_costs_its_lines_only);
    tcase_add_test(tcase, the_end_is_told_after_the_last_line);
    tcase_add_test(tcase, a_reader_that_follows_one_that_died_goes_on);
    tcase_add_test(tcase, a_writer_that_follows_one_that_died_goes_on);
    tcase_add_loop_test(tcase, what_no_writer_writes_ends_it, 0, (int)(sizeof mad / sizeof mad[0]));
    tcase_add_test(tcase, a_line_without_end_ends_it);
    tcase_add_test(tcase, an_ordinary_pipe_serves_too);
    suite_add_tcase(suite, tcase);
    return suite;
}
