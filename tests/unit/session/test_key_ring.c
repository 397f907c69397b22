/* Keys on the disk: made once, for their owner only, read again, replaced in time. */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "session/key_ring.h"
#include "session/key_set.h"
#include "session_rig.h"

static char directory[64];
static struct key_ring *ring;
static struct key_ring_source source;
static struct err err;

static void set_up(void) {
    strcpy(directory, "/tmp/key-ring-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    source = (struct key_ring_source){directory, TOKEN_ES256, {100, 20}};
    ring = NULL;
}

/* The names of the files, sorted; the count. */
static int files(char names[8][256]) {
    struct dirent **entries;
    int count = 0, all = scandir(directory, &entries, NULL, alphasort);
    for (int i = 0; i < all; i++) {
        if (entries[i]->d_name[0] != '.' && count < 8)
            snprintf(names[count++], 256, "%s", entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return count;
}

static char *path_of(const char *name) { return path_join(directory, name); }

static void tear_down(void) {
    char names[8][256];
    key_ring_free(&ring);
    for (int count = files(names); count > 0; count--) {
        char *path = path_of(names[count - 1]);
        unlink(path);
        mem_free(path);
    }
    rmdir(directory);
}

static void open_ring(int64_t now) {
    key_ring_free(&ring);
    ring = key_ring_open(&source, now, &err);
    ck_assert_msg(ring != NULL, "%s", err.text);
}

static const char *current(int64_t now) {
    int64_t good;
    return token_key_id(key_ring_current(ring, now, &good));
}

static struct key_set *published(int64_t now) {
    struct sbuf text;
    sbuf_init(&text, 64 * 1024);
    key_ring_write_set(ring, now, &text);
    struct key_set *set = key_set_read(sbuf_slice(&text), &err);
    sbuf_fini(&text);
    ck_assert_ptr_nonnull(set);
    return set;
}

static bool is_published(const char *id, int64_t now) {
    struct key_set *set = published(now);
    bool is_there = key_set_find(set, slice_of(id)) != NULL;
    key_set_free(&set);
    return is_there;
}

START_TEST(the_first_key_is_made_for_its_owner_alone) {
    char names[8][256];
    struct stat status;
    open_ring(1000);
    ck_assert_int_eq(files(names), 1);
    ck_assert_int_eq(strncmp(names[0], "token-1000-", 11), 0);
    char *path = path_of(names[0]);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 0777, 0600);
    mem_free(path);
}
END_TEST

START_TEST(a_key_outlives_its_process) {
    char first[TOKEN_KID_SIZE];
    source.algorithm = (enum token_algorithm)_i;
    open_ring(1000);
    strcpy(first, current(1000));
    struct key_set *before = published(1000);
    open_ring(1050);
    ck_assert_str_eq(current(1050), first);
    struct key_set *after = published(1050);
    ck_assert(slice_eq(key_set_json(before), key_set_json(after)));
    key_set_free(&before);
    key_set_free(&after);
}
END_TEST

START_TEST(a_rotation_publishes_signs_and_forgets) {
    char first[TOKEN_KID_SIZE], names[8][256];
    open_ring(1000);
    strcpy(first, current(1000));
    ck_assert_int_eq(key_ring_update(ring, 1079, &err), 0);
    ck_assert_int_eq(files(names), 1);
    ck_assert_int_eq(key_ring_update(ring, 1080, &err), 0);
    ck_assert_int_eq(files(names), 2);
    ck_assert_str_eq(current(1099), first);
    ck_assert_str_ne(current(1100), first);
    ck_assert(is_published(current(1100), 1085));
    ck_assert(is_published(first, 1100));
    ck_assert_int_eq(key_ring_update(ring, 1119, &err), 0);
    ck_assert(is_published(first, 1119));
    ck_assert_int_eq(key_ring_update(ring, 1120, &err), 0);
    ck_assert(!is_published(first, 1120));
    ck_assert_int_eq(files(names), 1);
}
END_TEST

START_TEST(the_current_key_is_shown_first) {
    open_ring(1000);
    ck_assert_int_eq(key_ring_update(ring, 1085, &err), 0);
    struct key_set *set = published(1085);
    ck_assert_str_eq(token_key_id(key_set_current(set)), current(1085));
    key_set_free(&set);
    set = published(1100);
    ck_assert_str_eq(token_key_id(key_set_current(set)), current(1100));
    key_set_free(&set);
}
END_TEST

START_TEST(two_that_share_a_directory_agree) {
    open_ring(1000);
    struct key_ring *other = key_ring_open(&source, 1001, &err);
    int64_t good;
    ck_assert_str_eq(token_key_id(key_ring_current(other, 1001, &good)), current(1001));
    ck_assert_int_eq(key_ring_update(ring, 1080, &err), 0);
    ck_assert_int_eq(key_ring_update(other, 1080, &err), 0);
    ck_assert_str_eq(token_key_id(key_ring_current(other, 1100, &good)), current(1100));
    key_ring_free(&other);
}
END_TEST

START_TEST(another_algorithm_counts_at_once_and_the_old_key_stays_published) {
    char first[TOKEN_KID_SIZE];
    open_ring(1000);
    strcpy(first, current(1000));
    ck_assert_int_eq(key_ring_update(ring, 1085, &err), 0);
    source.algorithm = TOKEN_RS256;
    open_ring(1090);
    int64_t good;
    ck_assert_int_eq(token_key_algorithm(key_ring_current(ring, 1090, &good)), TOKEN_RS256);
    ck_assert_int_eq(token_key_algorithm(key_ring_current(ring, 1100, &good)), TOKEN_RS256);
    ck_assert(is_published(first, 1100));
}
END_TEST

static void put_file(const char *name, const char *text, mode_t mode) {
    char *path = path_of(name);
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
    chmod(path, mode);
    mem_free(path);
}

#define A_NAME "token-1000-0123456789abcdef.pem"

START_TEST(sec_09_a_file_that_cannot_be_used_is_an_error_that_names_it) {
    put_file(A_NAME, _i == 0 ? "nonsense" : "", _i == 2 ? 0644 : 0600);
    ck_assert_ptr_null(key_ring_open(&source, 1000, &err));
    ck_assert_ptr_nonnull(strstr(err.text, A_NAME));
    if (_i == 2)
        ck_assert_ptr_nonnull(strstr(err.text, "chmod it to 0600"));
}
END_TEST

START_TEST(a_bad_file_while_running_costs_no_key) {
    char first[TOKEN_KID_SIZE];
    open_ring(1000);
    strcpy(first, current(1000));
    put_file("token-1001-0123456789abcdef.pem", "nonsense", 0600);
    ck_assert_int_eq(key_ring_update(ring, 1010, &err), -1);
    ck_assert_str_eq(current(1010), first);
}
END_TEST

START_TEST(other_files_are_let_alone) {
    char names[8][256];
    put_file("README", "mine", 0644);
    put_file("token-x-0123456789abcdef.pem", "mine", 0600);
    put_file("token-1000-0123456789abcdef.pem.new", "half", 0600);
    open_ring(1000);
    ck_assert_int_eq(files(names), 4);
}
END_TEST

START_TEST(a_directory_that_is_not_there_is_an_error) {
    source.directory = "/nonexistent/keys";
    ck_assert_ptr_null(key_ring_open(&source, 1000, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/keys"));
}
END_TEST

START_TEST(the_looks_come_often_enough) {
    open_ring(1000);
    ck_assert_int_eq(key_ring_interval_ms(ring), 6250);
    source.rotation = (struct rotation){42 * 86400, 7 * 86400};
    open_ring(1000);
    ck_assert_int_eq(key_ring_interval_ms(ring), 60000);
}
END_TEST

START_TEST(the_set_is_as_documented) {
    static const char *const members[2][5] = {
        {"\"keys\":[{\"kid\":\"", "\"kty\":\"RSA\",\"alg\":\"RS256\",\"use\":\"sig\",\"e\":\"AQAB\",\"n\":\"",
         "\"public_cert\":{\"kid\":\"", "\"cert\":\"-----BEGIN CERTIFICATE-----\\n", "\"public_certs\":[{\"kid\":\""},
        {"\"keys\":[{\"kid\":\"", "\"kty\":\"EC\",\"alg\":\"ES256\",\"use\":\"sig\",\"crv\":\"P-256\",\"x\":\"",
         "\"public_cert\":{\"kid\":\"", "\"cert\":\"-----BEGIN CERTIFICATE-----\\n", "\"public_certs\":[{\"kid\":\""}};
    struct key_set *set = rig_set(rig_key((enum token_algorithm)_i, 0), NULL);
    struct slice json = key_set_json(set);
    for (int i = 0; i < 5; i++)
        ck_assert_ptr_nonnull(memmem(json.ptr, json.len, members[_i][i], strlen(members[_i][i])));
    ck_assert_ptr_null(memmem(json.ptr, json.len, "PRIVATE", 7));
    key_set_free(&set);
}
END_TEST

START_TEST(a_set_that_makes_no_sense_is_refused) {
    struct sbuf text;
    struct slice certificate = token_key_certificate(rig_key(TOKEN_ES256, 0));
    sbuf_init(&text, 64 * 1024);
    key_set_write(&certificate, 1, &text);
    for (size_t i = 0; i < text.len; i++)
        ck_assert_ptr_null(key_set_read(slice_first(sbuf_slice(&text), i), &err));
    sbuf_append_char(&text, 'x');
    ck_assert_ptr_null(key_set_read(sbuf_slice(&text), &err));
    sbuf_fini(&text);
}
END_TEST

START_TEST(the_public_half_signs_nothing) {
    uint8_t signature[TOKEN_SIGNATURE_MAX];
    size_t size;
    for (int i = 0; i < 2; i++) {
        struct token_key *key =
            token_key_from_certificate(token_key_certificate(rig_key((enum token_algorithm)i, 0)), &err);
        ck_assert_str_eq(token_key_id(key), token_key_id(rig_key((enum token_algorithm)i, 0)));
        ck_assert_int_eq(token_key_sign(key, SLICE("x"), signature, &size, &err), -1);
        token_key_free(&key);
    }
}
END_TEST

Suite *session_key_ring_suite(void);
Suite *session_key_ring_suite(void) {
    Suite *suite = suite_create("session/key_ring");
    TCase *tcase = tcase_create("keys");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, the_first_key_is_made_for_its_owner_alone);
    tcase_add_loop_test(tcase, a_key_outlives_its_process, 0, 2);
    tcase_add_test(tcase, a_rotation_publishes_signs_and_forgets);
    tcase_add_test(tcase, the_current_key_is_shown_first);
    tcase_add_test(tcase, two_that_share_a_directory_agree);
    tcase_add_test(tcase, another_algorithm_counts_at_once_and_the_old_key_stays_published);
    tcase_add_loop_test(tcase, sec_09_a_file_that_cannot_be_used_is_an_error_that_names_it, 0, 3);
    tcase_add_test(tcase, a_bad_file_while_running_costs_no_key);
    tcase_add_test(tcase, other_files_are_let_alone);
    tcase_add_test(tcase, a_directory_that_is_not_there_is_an_error);
    tcase_add_test(tcase, the_looks_come_often_enough);
    tcase_add_loop_test(tcase, the_set_is_as_documented, 0, 2);
    tcase_add_test(tcase, a_set_that_makes_no_sense_is_refused);
    tcase_add_test(tcase, the_public_half_signs_nothing);
    suite_add_tcase(suite, tcase);
    return suite;
}
