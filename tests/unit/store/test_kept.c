#include "store/kept.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "store/state.h"

#define KEY "devices http://crl.example.test/a.crl"

static char root[64];
static const struct kept_facts facts = {.url = "http://crl.example.test/a.crl",
                                        .etag = "W/\"v 1\"",
                                        .last_modified = "Mon, 01 Jun 2026 00:00:00 GMT",
                                        .fetched_at = 1780000000,
                                        .checked_at = 1780000100};

static void set_up(void) {
    snprintf(root, sizeof root, "/tmp/sallyport-kept-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void tear_down(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    ck_assert_int_eq(system(command), 0);
}

static void put(const char *key, const char *body, const struct kept_facts *what) {
    struct err err = {""};
    char *part = kept_part_path(root, key);
    ck_assert_int_eq(state_write(part, slice_of(body), &err), 0);
    ck_assert_msg(kept_put(root, key, what, part, &err) == 0, "%s", err.text);
    ck_assert_int_eq(access(part, F_OK), -1);
    mem_free(part);
}

static void expect(const char *key, const char *body) {
    struct kept kept;
    struct err err = {""};
    struct sbuf content;
    sbuf_init(&content, 1000);
    ck_assert_msg(kept_read(root, key, &kept, &err) == KEPT_GOOD, "%s", err.text);
    ck_assert_int_eq(file_read(kept.path, 1000, &content, &err), 0);
    ck_assert_str_eq(sbuf_text(&content), body);
    sbuf_fini(&content);
    kept_fini(&kept);
}

static enum kept_result look(struct err *err) {
    struct kept kept;
    enum kept_result result = kept_read(root, KEY, &kept, err);
    kept_fini(&kept);
    return result;
}

/* The one file here whose name ends so. */
static char *find(const char *suffix) {
    DIR *directory = opendir(root);
    char *found = NULL;
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (!slice_ends_with(slice_of(entry->d_name), slice_of(suffix)))
            continue;
        ck_assert_ptr_null(found);
        found = path_join(root, entry->d_name);
    }
    closedir(directory);
    ck_assert_ptr_nonnull(found);
    return found;
}

START_TEST(what_is_put_is_there_with_its_facts) {
    struct kept kept;
    struct err err = {""};
    ck_assert_int_eq(look(&err), KEPT_NONE);
    put(KEY, "body", &facts);
    put("another key", "other", &facts);
    expect(KEY, "body");
    expect("another key", "other");
    ck_assert_int_eq(kept_read(root, KEY, &kept, &err), KEPT_GOOD);
    ck_assert_str_eq(kept.etag, facts.etag);
    ck_assert_str_eq(kept.last_modified, facts.last_modified);
    ck_assert_int_eq(kept.fetched_at, facts.fetched_at);
    ck_assert_int_eq(kept.checked_at, facts.checked_at);
    kept_fini(&kept);
}
END_TEST

START_TEST(a_new_body_takes_the_place_of_the_old_one) {
    struct kept_facts bare = {.url = facts.url, .etag = "", .last_modified = "", .fetched_at = 1, .checked_at = 1};
    put(KEY, "one", &facts);
    put(KEY, "two", &bare);
    put(KEY, "two", &facts); /* the same again */
    expect(KEY, "two");
    mem_free(find(".body"));
}
END_TEST

START_TEST(facts_may_change_without_the_body) {
    struct kept_facts later = facts;
    struct kept kept;
    struct err err = {""};
    ck_assert_int_eq(kept_touch(root, KEY, &later, &err), -1);
    put(KEY, "body", &facts);
    later.checked_at = 1790000000;
    ck_assert_int_eq(kept_touch(root, KEY, &later, &err), 0);
    expect(KEY, "body");
    ck_assert_int_eq(kept_read(root, KEY, &kept, &err), KEPT_GOOD);
    ck_assert_int_eq(kept.checked_at, later.checked_at);
    kept_fini(&kept);
}
END_TEST

START_TEST(every_truncation_is_found) {
    static const char *const suffixes[] = {".kept", ".body"};
    for (size_t i = 0; i < 2; i++) {
        put(KEY, "a body of some length", &facts);
        char *path = find(suffixes[i]);
        struct sbuf whole;
        struct err err = {""};
        sbuf_init(&whole, 10000);
        ck_assert_int_eq(file_read(path, 10000, &whole, &err), 0);
        for (size_t size = 0; size < whole.len; size++) {
            ck_assert_int_eq(truncate(path, (off_t)size), 0);
            ck_assert_int_eq(look(&err), KEPT_DAMAGED);
            ck_assert_msg(strstr(err.text, root) != NULL, "%s", err.text);
            ck_assert_int_eq(state_write(path, sbuf_slice(&whole), &err), 0);
        }
        ck_assert_int_eq(look(&err), KEPT_GOOD);
        sbuf_fini(&whole);
        mem_free(path);
    }
}
END_TEST

START_TEST(a_changed_body_is_found) {
    struct err err = {""};
    put(KEY, "body", &facts);
    char *path = find(".body");
    ck_assert_int_eq(state_write(path, SLICE("bodY"), &err), 0);
    ck_assert_int_eq(look(&err), KEPT_DAMAGED);
    ck_assert_msg(strstr(err.text, "digest differs") != NULL, "%s", err.text);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(look(&err), KEPT_DAMAGED);
    mem_free(path);
    put(KEY, "again", &facts); /* it heals */
    expect(KEY, "again");
}
END_TEST

START_TEST(facts_that_make_no_sense_are_damage) {
    static const struct {
        const char *from, *to;
    } rows[] = {{"sallyport kept 1", "sallyport kept 2"},
                {"sha256 ", "sha256 x"},
                {"size 4", "size 5"},
                {"size 4", "size -4"},
                {"fetched 1", "fetched x"},
                {"end\n", "end\nmore\n"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sbuf text, changed;
        struct err err = {""};
        put(KEY, "body", &facts);
        char *path = find(".kept");
        sbuf_init(&text, 10000);
        sbuf_init(&changed, 10000);
        ck_assert_int_eq(file_read(path, 10000, &text, &err), 0);
        const char *all = sbuf_text(&text), *at = strstr(all, rows[i].from);
        ck_assert_ptr_nonnull(at);
        sbuf_append(&changed, slice_make(all, (size_t)(at - all)));
        sbuf_append_str(&changed, rows[i].to);
        sbuf_append_str(&changed, at + strlen(rows[i].from));
        ck_assert_int_eq(state_write(path, sbuf_slice(&changed), &err), 0);
        ck_assert_msg(look(&err) == KEPT_DAMAGED, "%s", rows[i].to);
        sbuf_fini(&text);
        sbuf_fini(&changed);
        mem_free(path);
    }
}
END_TEST

Suite *store_kept_suite(void);
Suite *store_kept_suite(void) {
    Suite *suite = suite_create("kept");
    TCase *tcase = tcase_create("kept");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, what_is_put_is_there_with_its_facts);
    tcase_add_test(tcase, a_new_body_takes_the_place_of_the_old_one);
    tcase_add_test(tcase, facts_may_change_without_the_body);
    tcase_add_test(tcase, every_truncation_is_found);
    tcase_add_test(tcase, a_changed_body_is_found);
    tcase_add_test(tcase, facts_that_make_no_sense_are_damage);
    suite_add_tcase(suite, tcase);
    return suite;
}
