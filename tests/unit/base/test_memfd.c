#include "base/memfd.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct err err;

START_TEST(what_is_sealed_reads_the_same_elsewhere) {
    struct slice content;
    int fd = memfd_seal("document", SLICE("{\"a\":1}"), &err);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    ck_assert_int_eq(memfd_map_sealed(fd, 100, &content, &err), 0);
    ck_assert(slice_eq_str(content, "{\"a\":1}"));
    close(fd);
    ck_assert(slice_eq_str(content, "{\"a\":1}"));
    memfd_unmap(&content);
    ck_assert_ptr_null(content.ptr);
    memfd_unmap(&content);
}
END_TEST

START_TEST(nothing_can_be_sealed) {
    struct slice content;
    int fd = memfd_seal("empty", SLICE(""), &err);
    ck_assert_int_eq(memfd_map_sealed(fd, 0, &content, &err), 0);
    ck_assert_uint_eq(content.len, 0);
    memfd_unmap(&content);
    close(fd);
}
END_TEST

START_TEST(sealed_memory_cannot_change) {
    int fd = memfd_seal("x", SLICE("abc"), &err);
    ck_assert(pwrite(fd, "z", 1, 0) < 0 && errno == EPERM);
    ck_assert(ftruncate(fd, 1) < 0 && errno == EPERM);
    ck_assert(ftruncate(fd, 9) < 0 && errno == EPERM);
    ck_assert(mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    ck_assert(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) < 0);
    close(fd);
}
END_TEST

static const int incomplete_seals[] = {0, F_SEAL_WRITE, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW,
                                       F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_WRITE,
                                       F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE};

START_TEST(memory_without_all_seals_is_refused) {
    struct slice content;
    int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_eq(write(fd, "abc", 3), 3);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, incomplete_seals[_i]), 0);
    ck_assert_int_eq(memfd_map_sealed(fd, 100, &content, &err), -1);
    ck_assert_str_eq(err.text, "the memory is not sealed");
    close(fd);
}
END_TEST

START_TEST(what_is_no_memfd_is_refused) {
    struct slice content;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(memfd_map_sealed(fd, 100, &content, &err), -1);
    ck_assert_ptr_null(memfd_map_shared(fd, 100, false, &err));
    close(fd);
    ck_assert_int_eq(memfd_map_sealed(-1, 100, &content, &err), -1);
}
END_TEST

START_TEST(more_than_the_limit_is_refused) {
    struct slice content;
    int fd = memfd_seal("x", SLICE("abcd"), &err);
    ck_assert_int_eq(memfd_map_sealed(fd, 3, &content, &err), -1);
    ck_assert_str_eq(err.text, "the memory holds 4 bytes, more than 3");
    ck_assert_int_eq(memfd_map_sealed(fd, 4, &content, &err), 0);
    memfd_unmap(&content);
    close(fd);
}
END_TEST

START_TEST(shared_memory_is_seen_by_the_other_process) {
    int fd = memfd_shared("counters", 8192, &err), status;
    ck_assert_int_ge(fd, 0);
    unsigned char *ours = memfd_map_shared(fd, 8192, false, &err);
    ck_assert_ptr_nonnull(ours);
    ck_assert_int_eq(ours[0] | ours[8191], 0);
    pid_t child = fork();
    if (child == 0) {
        unsigned char *theirs = memfd_map_shared(fd, 8192, true, NULL);
        if (theirs)
            theirs[8191] = 7;
        _exit(theirs ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(ours[8191], 7);
    munmap(ours, 8192);
    close(fd);
}
END_TEST

START_TEST(shared_memory_keeps_its_size) {
    int fd = memfd_shared("counters", 8192, &err);
    ck_assert(ftruncate(fd, 0) < 0 && errno == EPERM);
    ck_assert_ptr_null(memfd_map_shared(fd, 4096, true, &err));
    ck_assert_str_eq(err.text, "the memory holds 8192 bytes, not 4096");
    ck_assert_ptr_null(memfd_map_shared(fd, 16384, true, &err));
    close(fd);

    /* One that its owner could shrink under us. */
    fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_eq(ftruncate(fd, 8192), 0);
    ck_assert_ptr_null(memfd_map_shared(fd, 8192, false, &err));
    close(fd);
}
END_TEST

Suite *base_memfd_suite(void);
Suite *base_memfd_suite(void) {
    Suite *suite = suite_create("memfd");
    TCase *tcase = tcase_create("memfd");
    tcase_add_test(tcase, what_is_sealed_reads_the_same_elsewhere);
    tcase_add_test(tcase, nothing_can_be_sealed);
    tcase_add_test(tcase, sealed_memory_cannot_change);
    tcase_add_loop_test(tcase, memory_without_all_seals_is_refused, 0,
                        (int)(sizeof incomplete_seals / sizeof incomplete_seals[0]));
    tcase_add_test(tcase, what_is_no_memfd_is_refused);
    tcase_add_test(tcase, more_than_the_limit_is_refused);
    tcase_add_test(tcase, shared_memory_is_seen_by_the_other_process);
    tcase_add_test(tcase, shared_memory_keeps_its_size);
    suite_add_tcase(suite, tcase);
    return suite;
}
