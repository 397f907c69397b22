/*
 * file_watch: every way in which a file comes to have other content is told, once, within the two seconds that a CRL
 * may take to be in force; what does not concern a watched file is not. With real files in a directory of its own.
 */
#include "io/file_watch.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define TOLD_MS 2000
/* Beyond the next look, and what follows it. */
#define QUIET_MS 1500

static struct loop *loop;
static struct file_watch *watch;
static char directory[64];
static int calls;

static void note(void *arg) {
    (void)arg;
    calls++;
}

static void set_up(void) {
    strcpy(directory, "/tmp/sallyport-watch-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    loop = loop_new(NULL);
    struct err err;
    watch = file_watch_new(loop, note, NULL, &err);
    ck_assert_ptr_nonnull(watch);
    calls = 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk) {
    (void)st, (void)type, (void)walk;
    return remove(path);
}

static void tear_down(void) {
    file_watch_free(&watch);
    loop_free(loop);
    ck_assert_int_eq(chdir("/"), 0);
    (void)nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void link_to(const char *target, const char *path) { ck_assert_int_eq(symlink(target, path), 0); }
static void move(const char *from, const char *to) { ck_assert_int_eq(rename(from, to), 0); }

static void watch_one(const char *path) { file_watch_set(watch, &path, 1); }

static void run_for(int64_t ms, int until_calls) {
    int64_t end = clock_mono_us() / 1000 + ms;
    while (calls < until_calls && clock_mono_us() / 1000 < end)
        loop_turn(loop, 20);
}

static void expect_told(const char *what) {
    int64_t start = clock_mono_us();
    run_for((int64_t)10 * TOLD_MS, 1);
    int64_t ms = (clock_mono_us() - start) / 1000;
    ck_assert_msg(calls == 1 && ms < TOLD_MS, "%s: told %d times, after %lld ms", what, calls, (long long)ms);
    calls = 0;
}

static void expect_quiet(const char *what) {
    run_for(QUIET_MS, 1);
    ck_assert_msg(calls == 0, "%s was told", what);
}

/* ---- ways to change a file ---- */

static void rewrite(void) { put("a/b/file", "two"); }
static void same_size(void) { put("a/b/file", "ONE"); }
static void replace(void) {
    put("a/b/.new", "two");
    move("a/b/.new", "a/b/file");
}
static void replace_from_elsewhere(void) {
    put("new", "two");
    move("new", "a/b/file");
}
static void delete (void) { ck_assert_int_eq(unlink("a/b/file"), 0); }
static void delete_and_create(void) {
    delete ();
    put("a/b/file", "two");
}
/* vi: the old one is moved aside, a new one is written, the backup goes. */
static void edit(void) {
    move("a/b/file", "a/b/file~");
    put("a/b/file", "two");
    ck_assert_int_eq(unlink("a/b/file~"), 0);
}
static void hard_link(void) {
    put("new", "two");
    delete ();
    ck_assert_int_eq(link("new", "a/b/file"), 0);
}
static void rename_its_directory(void) {
    ck_assert_int_eq(mkdir("a/c", 0700), 0);
    put("a/c/file", "two");
    move("a/b", "a/old");
    move("a/c", "a/b");
}
static void rename_a_directory_above(void) {
    ck_assert_int_eq(mkdir("n", 0700), 0);
    ck_assert_int_eq(mkdir("n/b", 0700), 0);
    put("n/b/file", "two");
    move("a", "old");
    move("n", "a");
}
static void move_away(void) { move("a", "old"); }
static void append(void) {
    int fd = open("a/b/file", O_WRONLY | O_APPEND);
    ck_assert_int_eq(write(fd, "two", 3), 3);
    close(fd);
}
static void truncate_it(void) { ck_assert_int_eq(truncate("a/b/file", 1), 0); }

static const struct way {
    const char *name;
    void (*change)(void);
} ways[] = {{"write in place", rewrite},
            {"write of the same size", same_size},
            {"append", append},
            {"truncate", truncate_it},
            {"rename over it", replace},
            {"rename from another directory", replace_from_elsewhere},
            {"delete", delete},
            {"delete and create", delete_and_create},
            {"an editor", edit},
            {"a hard link", hard_link},
            {"rename of its directory", rename_its_directory},
            {"rename of a directory above", rename_a_directory_above},
            {"a directory above goes", move_away}};

static void make_file(void) {
    ck_assert_int_eq(mkdir("a", 0700), 0);
    ck_assert_int_eq(mkdir("a/b", 0700), 0);
    put("a/b/file", "one");
}

START_TEST(each_way_to_change_a_file_is_told) {
    make_file();
    watch_one("a/b/file");
    ways[_i].change();
    expect_told(ways[_i].name);
}
END_TEST

/* By its absolute path, and after it has been told once: the watches are made anew each time. */
START_TEST(each_way_is_told_again) {
    char path[128];
    make_file();
    (void)snprintf(path, sizeof(path), "%s/./a//b/../b/file", directory);
    watch_one(path);
    put("a/b/file", "zero");
    expect_told("the first change");
    ways[_i].change();
    expect_told(ways[_i].name);
}
END_TEST

/* ---- links ---- */

static void make_releases(void) {
    ck_assert_int_eq(mkdir("one", 0700), 0);
    ck_assert_int_eq(mkdir("two", 0700), 0);
    put("one/file", "one");
    put("two/file", "two");
}

static void swap_link(const char *target, const char *path) {
    link_to(target, "fresh-link");
    move("fresh-link", path);
}

START_TEST(a_swap_of_a_link_at_any_level_is_told) {
    make_releases();
    link_to("one", "current");
    link_to("current/file", "file");
    watch_one("file");
    swap_link("two", "current");
    expect_told("a link on the way");
    put("two/file", "three");
    expect_told("a write behind the link");
    swap_link("one/file", "file");
    expect_told("the link itself");
    put("one/file", "four");
    expect_told("a write behind the new link");
    put("two/file", "five");
    expect_quiet("a write to what the link no longer names");
}
END_TEST

/* As mounted volumes of container platforms do it: file -> ..data/file, ..data -> ..2026. */
START_TEST(a_swapped_data_directory_is_told) {
    char absolute[128];
    make_releases();
    (void)snprintf(absolute, sizeof(absolute), "%s/one", directory);
    link_to(absolute, "..data");
    link_to("..data/file", "file");
    watch_one("file");
    swap_link("two", "..data");
    expect_told("a swap from an absolute link");
    ck_assert_int_eq(unlink("..data"), 0);
    expect_told("the link goes");
    link_to("one", "..data");
    expect_told("and comes back");
}
END_TEST

START_TEST(a_loop_of_links_is_no_trap) {
    link_to("b", "a");
    link_to("a", "b");
    watch_one("a/file");
    expect_quiet("nothing");
    ck_assert_int_eq(unlink("a"), 0);
    ck_assert_int_eq(mkdir("a", 0700), 0);
    put("a/file", "x");
    expect_told("the way is free");
}
END_TEST

/* ---- what is not there, what does not matter ---- */

START_TEST(a_file_may_come_later_and_its_directories_too) {
    watch_one("x/y/file");
    ck_assert_int_eq(mkdir("x", 0700), 0);
    run_for(QUIET_MS, 1); /* a directory on the way: told or not */
    calls = 0;
    ck_assert_int_eq(mkdir("x/y", 0700), 0);
    put("x/y/file", "x");
    expect_told("a file that came late");
}
END_TEST

START_TEST(a_whole_directory_is_watched_when_it_ends_in_a_slash) {
    ck_assert_int_eq(mkdir("d", 0700), 0);
    ck_assert_int_eq(mkdir("d/below", 0700), 0);
    watch_one("d/");
    put("d/new", "x");
    expect_told("a new file");
    put("d/new", "xy");
    expect_told("its change");
    move("d/new", "d/other");
    expect_told("its other name");
    ck_assert_int_eq(unlink("d/other"), 0);
    expect_told("its end");
    put("beside", "x");
    put("d/below/deep", "x");
    expect_quiet("what is elsewhere");
    move("d", "e");
    expect_told("the directory's end");
    ck_assert_int_eq(mkdir("d", 0700), 0);
    put("d/again", "x");
    expect_told("another directory in its place");
}
END_TEST

START_TEST(other_files_of_the_directory_do_not_matter) {
    make_file();
    watch_one("a/b/file");
    put("a/b/other", "x");
    put("a/file", "x");
    move("a/b/other", "a/b/another");
    expect_quiet("another file");
    char text[8];
    int fd = open("a/b/file", O_RDONLY);
    ck_assert_int_eq(read(fd, text, sizeof(text)), 3);
    close(fd);
    expect_quiet("reading");
}
END_TEST

START_TEST(many_changes_at_once_are_told_once) {
    make_file();
    put("a/other", "x");
    const char *paths[] = {"a/b/file", "a/other"};
    file_watch_set(watch, paths, 2);
    for (int i = 0; i < 2000; i++) {
        put("a/b/.new", i % 2 ? "odd" : "even");
        move("a/b/.new", "a/b/file");
        put("a/other", "y");
    }
    expect_told("thousands of changes");
    expect_quiet("the rest of them");
}
END_TEST

/* Whoever writes in pieces is not interrupted: told when the file is closed. */
START_TEST(a_half_written_file_is_left_to_rest) {
    make_file();
    watch_one("a/b/file");
    int fd = open("a/b/file", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (int64_t end = clock_mono_us() / 1000 + 1000; clock_mono_us() / 1000 < end;) {
        ck_assert_int_eq(write(fd, "piece", 5), 5);
        loop_turn(loop, 20);
    }
    ck_assert_int_eq(calls, 0);
    close(fd);
    expect_told("the end of the writing");
}
END_TEST

START_TEST(a_new_set_forgets_the_old_one) {
    make_file();
    put("other", "x");
    watch_one("a/b/file");
    rewrite();
    watch_one("other"); /* what has changed before counts as seen */
    put("a/b/file", "three");
    expect_quiet("a file of the old set");
    put("other", "y");
    expect_told("the new one");
    file_watch_set(watch, NULL, 0);
    put("other", "z");
    expect_quiet("a file of the empty set");
}
END_TEST

/* A write by whoever keeps the file open tells nothing: the look finds it. */
START_TEST(what_makes_no_event_is_found_by_looking) {
    make_file();
    watch_one("a/b/file");
    int fd = open("a/b/file", O_WRONLY | O_APPEND);
    ck_assert_int_eq(write(fd, "more", 4), 4);
    expect_told("a file that stays open"); /* no close: no event */
    close(fd);
}
END_TEST

Suite *io_file_watch_suite(void);
Suite *io_file_watch_suite(void) {
    Suite *suite = suite_create("io/file_watch");
    TCase *tcase = tcase_create("file_watch");
    int way_count = (int)(sizeof(ways) / sizeof(ways[0]));
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, each_way_to_change_a_file_is_told, 0, way_count);
    tcase_add_loop_test(tcase, each_way_is_told_again, 0, way_count);
    tcase_add_test(tcase, a_swap_of_a_link_at_any_level_is_told);
    tcase_add_test(tcase, a_swapped_data_directory_is_told);
    tcase_add_test(tcase, a_loop_of_links_is_no_trap);
    tcase_add_test(tcase, a_file_may_come_later_and_its_directories_too);
    tcase_add_test(tcase, a_whole_directory_is_watched_when_it_ends_in_a_slash);
    tcase_add_test(tcase, other_files_of_the_directory_do_not_matter);
    tcase_add_test(tcase, many_changes_at_once_are_told_once);
    tcase_add_test(tcase, a_half_written_file_is_left_to_rest);
    tcase_add_test(tcase, a_new_set_forgets_the_old_one);
    tcase_add_test(tcase, what_makes_no_event_is_found_by_looking);
    suite_add_tcase(suite, tcase);
    return suite;
}
