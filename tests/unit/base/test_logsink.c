#include "base/logsink.h"

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

static char directory[32];
static char *path, *moved;

static void set_up(void) {
    signal(SIGPIPE, SIG_IGN);
    strcpy(directory, "/tmp/sallyport-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    path = path_join(directory, "log");
    moved = path_join(directory, "log.1");
}

static void tear_down(void) {
    unlink(path);
    unlink(moved);
    rmdir(directory);
    mem_free(path);
    mem_free(moved);
}

static struct logsink *open_sink(const char *name, const char *target) {
    struct err err = {""};
    struct logsink *sink = logsink_open(name, target, &err);
    ck_assert_msg(sink != NULL, "%s", err.text);
    return sink;
}

static bool file_has(const char *file, const char *text) {
    struct sbuf content;
    struct err err;
    sbuf_init(&content, 64 << 20);
    bool has = file_read(file, 64 << 20, &content, &err) == 0 && strstr(sbuf_text(&content), text) != NULL;
    sbuf_fini(&content);
    return has;
}

/* Polls for up to a second, the time in which a line must be out. */
static bool file_gets(const char *file, const char *text) {
    int64_t deadline = clock_mono_us() + 1000000;
    while (!file_has(file, text)) {
        if (clock_mono_us() > deadline)
            return false;
        poll(NULL, 0, 5);
    }
    return true;
}

START_TEST(a_line_is_out_within_a_second) {
    struct logsink *sink = open_sink("access", path);
    struct stat st;
    logsink_line(sink, SLICE("one"));
    ck_assert(file_gets(path, "one\n"));
    logsink_line(sink, SLICE("two"));
    ck_assert(file_gets(path, "one\ntwo\n"));
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0137, 0);
    logsink_close(&sink);
    ck_assert_ptr_null(sink);
    logsink_close(&sink);
}
END_TEST

START_TEST(close_writes_everything) {
    struct logsink *sink = open_sink("access", path);
    char line[64];
    for (int i = 0; i < 50000; i++) {
        snprintf(line, sizeof line, "line %d.", i);
        logsink_line(sink, slice_of(line));
    }
    ck_assert_uint_eq(logsink_dropped(sink), 0);
    logsink_close(&sink);
    ck_assert(file_has(path, "\nline 1.\n") && file_has(path, "\nline 49999.\n"));
}
END_TEST

START_TEST(off_takes_lines_and_keeps_none) {
    struct logsink *sink = open_sink("access", "off");
    ck_assert(logsink_is_off(sink));
    logsink_line(sink, SLICE("x"));
    logsink_reopen(sink);
    logsink_close(&sink);
}
END_TEST

START_TEST(a_file_that_cannot_be_opened_is_an_error) {
    struct err err;
    ck_assert_ptr_null(logsink_open("access", "/nonexistent/log", &err));
    ck_assert_str_eq(err.text, "/nonexistent/log cannot be opened: No such file or directory");
    struct logsink *sink = open_sink("access", path);
    ck_assert_ptr_null(logsink_open("audit", directory, &err));
    logsink_line(sink, SLICE("still there"));
    logsink_close(&sink);
    ck_assert(file_has(path, "still there\n"));
}
END_TEST

START_TEST(reopen_follows_a_rename) {
    struct logsink *sink = open_sink("access", path);
    logsink_line(sink, SLICE("before"));
    ck_assert(file_gets(path, "before\n"));
    ck_assert_int_eq(rename(path, moved), 0);
    logsink_line(sink, SLICE("to the old file"));
    ck_assert(file_gets(moved, "to the old file\n"));
    logsink_reopen(sink);
    logsink_line(sink, SLICE("after"));
    ck_assert(file_gets(path, "after\n"));
    ck_assert(!file_has(moved, "after"));
    logsink_close(&sink);
}
END_TEST

START_TEST(a_failed_reopen_keeps_the_file_and_says_why) {
    struct logsink *access = open_sink("access", path), *error = open_sink("error", moved);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    logsink_reopen(access);
    ck_assert(file_gets(moved, "cannot be opened again, going on with the old one: Is a directory\n"));
    ck_assert_int_eq(rmdir(path), 0);
    logsink_reopen(access);
    logsink_line(access, SLICE("x"));
    ck_assert(file_gets(path, "x\n"));
    logsink_close(&access);
    logsink_close(&error);
}
END_TEST

/* Fills the sink until it drops; the caller's time must not depend on the reader. */
static uint64_t fill(struct logsink *sink, int extra) {
    static char line[1000];
    memset(line, 'x', sizeof line);
    line[0] = '{';
    while (logsink_dropped(sink) == 0)
        logsink_line(sink, slice_make(line, sizeof line));
    for (int i = 1; i < extra; i++)
        logsink_line(sink, slice_make(line, sizeof line));
    return logsink_dropped(sink);
}

START_TEST(a_full_disk_drops_lines_and_counts_them) {
    struct logsink *full = open_sink("access", "/dev/full"), *other = open_sink("audit", path);
    ck_assert_uint_eq(fill(full, 100), 100);
    ck_assert_int_eq(metric_value(METRIC_LOG_DROPPED, "access"), 100);
    logsink_line(other, SLICE("not held up"));
    ck_assert(file_gets(path, "not held up\n"));
    int64_t start = clock_mono_us();
    logsink_close(&full);
    ck_assert_int_lt(clock_mono_us() - start, 3000000);
    logsink_close(&other);
}
END_TEST

START_TEST(an_error_is_told_once) {
    struct logsink *full = open_sink("access", "/dev/full"), *errors = open_sink("error", path);
    for (int i = 0; i < 3; i++) {
        logsink_line(full, SLICE("lost"));
        ck_assert(
            file_gets(path, "log file /dev/full cannot be written, lines may be lost: No space left on device\n"));
    }
    logsink_close(&full);
    logsink_close(&errors);
    struct sbuf content;
    sbuf_init(&content, 65536);
    ck_assert_int_eq(file_read(path, 65536, &content, NULL), 0);
    ck_assert_ptr_eq(strstr(sbuf_text(&content), "/dev/full"), strrchr(sbuf_text(&content), '/') - 4);
    sbuf_fini(&content);
}
END_TEST

/* A pipe whose reader sleeps: path of its write end. */
static char *make_pipe(int ends[2]) {
    ck_assert_int_eq(pipe(ends), 0);
    return mem_printf("/proc/self/fd/%d", ends[1]);
}

/* Takes what is in the pipe within some milliseconds. */
static void read_some(int fd, struct sbuf *all) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    if (poll(&ready, 1, 10) <= 0)
        return;
    char *place = sbuf_reserve(all, 65536);
    ssize_t got = read(fd, place, 65536);
    ck_assert_int_gt(got, 0);
    sbuf_commit(all, (size_t)got);
}

static void read_until(int fd, struct sbuf *all, const char *text) {
    int64_t deadline = clock_mono_us() + 5000000;
    while (!strstr(sbuf_text(all), text)) {
        ck_assert_int_lt(clock_mono_us(), deadline);
        read_some(fd, all);
    }
}

START_TEST(a_reader_that_wakes_up_is_told_what_it_missed) {
    int ends[2];
    struct sbuf all;
    char *pipe_path = make_pipe(ends);
    sbuf_init(&all, 64 << 20);
    struct logsink *slow = open_sink("access", pipe_path), *other = open_sink("audit", path);
    uint64_t dropped = fill(slow, 10);
    logsink_line(other, SLICE("not held up"));
    ck_assert(file_gets(path, "not held up\n"));

    /* While the reader catches up, lines are dropped still; the first one that is not brings the announcement. */
    int64_t deadline = clock_mono_us() + 5000000;
    for (;;) {
        logsink_line(slow, SLICE("{\"next\":1}"));
        if (logsink_dropped(slow) == dropped)
            break;
        dropped = logsink_dropped(slow);
        ck_assert_int_lt(clock_mono_us(), deadline);
        read_some(ends[0], &all);
    }
    read_until(ends[0], &all, "{\"next\":1}\n");
    char expected[100];
    snprintf(expected, sizeof expected, "\"event\":\"log_lines_dropped\",\"log\":\"access\",\"count\":%d}\n{\"next\"",
             (int)dropped);
    ck_assert_msg(strstr(sbuf_text(&all), expected) != NULL, "%s", expected);
    logsink_close(&slow);
    logsink_close(&other);
    mem_free(pipe_path);
    sbuf_fini(&all);
}
END_TEST

START_TEST(a_sink_is_retired_without_waiting_for_its_reader) {
    int ends[2];
    char *pipe_path = make_pipe(ends);
    struct logsink *slow = open_sink("access", pipe_path), *next = open_sink("access", path);
    fill(slow, 10);
    int64_t start = clock_mono_us();
    logsink_retire(&slow);
    ck_assert_ptr_null(slow);
    ck_assert_int_lt(clock_mono_us() - start, 500000);
    logsink_line(next, SLICE("goes on"));
    ck_assert(file_gets(path, "goes on\n"));
    close(ends[0]);
    close(ends[1]);
    logsink_close(&next);
    mem_free(pipe_path);
}
END_TEST

START_TEST(a_reader_that_goes_away_costs_its_lines_only) {
    int ends[2];
    char *pipe_path = make_pipe(ends);
    struct logsink *sink = open_sink("access", pipe_path);
    close(ends[1]);
    close(ends[0]);
    int64_t deadline = clock_mono_us() + 2000000;
    int sent = 0;
    while (logsink_dropped(sink) == 0 && clock_mono_us() < deadline) {
        logsink_line(sink, SLICE("x"));
        sent++;
        poll(NULL, 0, 5);
    }
    ck_assert_uint_gt(logsink_dropped(sink), 0);
    ck_assert_uint_le(logsink_dropped(sink), (uint64_t)sent);
    logsink_close(&sink);
    mem_free(pipe_path);
}
END_TEST

START_TEST(two_sinks_of_one_pipe_do_not_cut_lines) {
    int ends[2], saved = dup(STDOUT_FILENO);
    struct sbuf all;
    sbuf_init(&all, 64 << 20);
    ck_assert_int_eq(pipe(ends), 0);
    dup2(ends[1], STDOUT_FILENO);
    struct logsink *access = open_sink("access", "stdout"), *audit = open_sink("audit", "stdout");
    /* Lines longer than a pipe takes at once, and short ones between them. */
    static char line_a[9000], line_b[100];
    memset(line_a, 'a', sizeof line_a);
    memset(line_b, 'b', sizeof line_b);
    for (int i = 0; i < 100; i++) {
        logsink_line(access, slice_make(line_a, sizeof line_a));
        logsink_line(audit, slice_make(line_b, sizeof line_b));
    }
    logsink_line(audit, SLICE("end b"));
    logsink_line(access, SLICE("end a"));
    read_until(ends[0], &all, "end b\n");
    read_until(ends[0], &all, "end a\n");
    struct slice rest = sbuf_slice(&all), line;
    int whole = 0;
    while (rest.len > 0) {
        rest = slice_cut(rest, '\n', &line);
        bool is_whole = slice_eq(line, slice_make(line_a, sizeof line_a)) ||
                        slice_eq(line, slice_make(line_b, sizeof line_b)) || slice_starts_with(line, SLICE("end "));
        ck_assert_msg(is_whole, "%.*s", (int)(line.len < 100 ? line.len : 100), line.ptr);
        whole++;
    }
    ck_assert_int_eq(whole, 202);
    logsink_close(&access);
    logsink_close(&audit);
    dup2(saved, STDOUT_FILENO);
    sbuf_fini(&all);
}
END_TEST

static void describe_client(const void *subject, struct sbuf *out) {
    sbuf_printf(out, "client=%s", (const char *)subject);
}

static void describe_step(const void *subject, struct sbuf *out) {
    sbuf_printf(out, "while %s", (const char *)subject);
}

START_TEST(log_lines_say_whom_they_are_about) {
    struct logsink *sink = open_sink("error", path);
    struct log_scope client = {.describe = describe_client, .subject = "192.0.2.7:4711"};
    struct log_scope step = {.describe = describe_step, .subject = "connecting to upstream"};
    log_set_sink(sink);
    log_push(&client);
    log_push(&step);
    log_warning("refused %d\nforged line", 7);
    log_pop(&step);
    log_debug("not written at level info");
    log_error("no step");
    log_pop(&client);
    log_info("%0*d", 9000, 1);
    log_set_sink(NULL);
    logsink_close(&sink);
    ck_assert(
        file_has(path, "Z warning refused 7\\x0aforged line client=192.0.2.7:4711 while connecting to upstream\n"));
    ck_assert(file_has(path, "Z error no step client=192.0.2.7:4711\n"));
    ck_assert(!file_has(path, "not written"));
    ck_assert(file_has(path, "000...\n"));
}
END_TEST

START_TEST(log_levels) {
    enum log_level level;
    ck_assert(log_level_from_name(SLICE("debug"), &level) && level == LOG_DEBUG);
    ck_assert(log_level_from_name(SLICE("error"), &level) && level == LOG_ERROR);
    ck_assert(!log_level_from_name(SLICE("warn"), &level));
    ck_assert(!log_level_from_name(SLICE(""), &level));
}
END_TEST

Suite *base_logsink_suite(void);
Suite *base_logsink_suite(void) {
    Suite *suite = suite_create("logsink and log");
    TCase *tcase = tcase_create("logsink");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_line_is_out_within_a_second);
    tcase_add_test(tcase, close_writes_everything);
    tcase_add_test(tcase, off_takes_lines_and_keeps_none);
    tcase_add_test(tcase, a_file_that_cannot_be_opened_is_an_error);
    tcase_add_test(tcase, reopen_follows_a_rename);
    tcase_add_test(tcase, a_failed_reopen_keeps_the_file_and_says_why);
    tcase_add_test(tcase, a_full_disk_drops_lines_and_counts_them);
    tcase_add_test(tcase, an_error_is_told_once);
    tcase_add_test(tcase, a_sink_is_retired_without_waiting_for_its_reader);
    tcase_add_test(tcase, a_reader_that_wakes_up_is_told_what_it_missed);
    tcase_add_test(tcase, a_reader_that_goes_away_costs_its_lines_only);
    tcase_add_test(tcase, two_sinks_of_one_pipe_do_not_cut_lines);
    tcase_add_test(tcase, log_lines_say_whom_they_are_about);
    tcase_add_test(tcase, log_levels);
    suite_add_tcase(suite, tcase);
    return suite;
}
