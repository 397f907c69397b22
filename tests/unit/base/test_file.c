#include "base/file.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static char directory[32];
static char *path;

static void set_up(void) {
    strcpy(directory, "/tmp/sallyport-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    path = path_join(directory, "file");
}

static void tear_down(void) {
    unlink(path);
    rmdir(directory);
    mem_free(path);
}

static void write_file(size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    char *bytes = mem_new(size);
    memset(bytes, 'x', size);
    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
    mem_free(bytes);
    close(fd);
}

START_TEST(reads_up_to_the_limit_and_not_beyond) {
    static const struct {
        size_t size, limit;
        const char *error;
    } rows[] = {
        {1, 1, NULL},           {2, 1, "is larger than 1 bytes"},
        {16384, 16384, NULL},   {16385, 16384, "is larger than 16384 bytes"},
        {100000, 100000, NULL}, {0, 100, "is empty"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sbuf out;
        struct err err = {""};
        sbuf_init(&out, 1 << 20);
        sbuf_append_str(&out, "before");
        write_file(rows[i].size);
        int result = file_read(path, rows[i].limit, &out, &err);
        ck_assert_str_eq(err.text, rows[i].error ? rows[i].error : "");
        ck_assert_int_eq(result, rows[i].error ? -1 : 0);
        if (result == 0)
            ck_assert_uint_eq(out.len, rows[i].size + 6);
        sbuf_fini(&out);
    }
}
END_TEST

START_TEST(the_buffer_may_be_smaller_than_the_limit) {
    struct sbuf out;
    struct err err;
    write_file(1000);
    sbuf_init(&out, 1000);
    ck_assert_int_eq(file_read(path, 5000, &out, &err), -1);
    sbuf_fini(&out);
    sbuf_init(&out, 1001);
    ck_assert_int_eq(file_read(path, 5000, &out, &err), 0);
    ck_assert_uint_eq(out.len, 1000);
    sbuf_fini(&out);
}
END_TEST

START_TEST(says_what_is_wrong) {
    struct sbuf out;
    struct err err;
    sbuf_init(&out, 1000);
    ck_assert_int_eq(file_read(path, 100, &out, &err), -1);
    ck_assert_str_eq(err.text, "cannot be opened: No such file or directory");
    ck_assert_int_eq(file_read(directory, 100, &out, &err), -1);
    ck_assert_str_eq(err.text, "is a directory");
    sbuf_fini(&out);
}
END_TEST

START_TEST(reads_a_pipe) {
    struct sbuf out;
    struct err err;
    int ends[2];
    sbuf_init(&out, 1000);
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(write(ends[1], "abc", 3), 3);
    close(ends[1]);
    char *pipe_path = mem_printf("/proc/self/fd/%d", ends[0]);
    ck_assert_int_eq(file_read(pipe_path, 3, &out, &err), 0);
    ck_assert_str_eq(sbuf_text(&out), "abc");
    mem_free(pipe_path);
    close(ends[0]);
    sbuf_fini(&out);
}
END_TEST

START_TEST(paths) {
    static const struct {
        const char *directory, *path, *joined;
    } joins[] = {
        {"/etc", "a.pem", "/etc/a.pem"}, {"/etc/", "a.pem", "/etc/a.pem"}, {"/", "a", "/a"},
        {".", "../a", "./../a"},         {"/etc", "/other/a", "/other/a"},
    };
    for (size_t i = 0; i < sizeof joins / sizeof joins[0]; i++) {
        char *joined = path_join(joins[i].directory, joins[i].path);
        ck_assert_str_eq(joined, joins[i].joined);
        mem_free(joined);
    }
    static const char *const directories[][2] = {
        {"a", "."}, {"a/b", "a"}, {"/a", "/"}, {"/a/b/c", "/a/b"}, {"./a", "."}};
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
        char *found = path_directory(directories[i][0]);
        ck_assert_str_eq(found, directories[i][1]);
        mem_free(found);
    }
}
END_TEST

Suite *base_file_suite(void);
Suite *base_file_suite(void) {
    Suite *suite = suite_create("file");
    TCase *tcase = tcase_create("file");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, reads_up_to_the_limit_and_not_beyond);
    tcase_add_test(tcase, the_buffer_may_be_smaller_than_the_limit);
    tcase_add_test(tcase, says_what_is_wrong);
    tcase_add_test(tcase, reads_a_pipe);
    tcase_add_test(tcase, paths);
    suite_add_tcase(suite, tcase);
    return suite;
}
