/*
 * refresh: CRL files while a configuration is in force: read only when they may have changed, never replaced by what
 * is older, damaged or less; told once. With real files in a directory of its own, and the real time.
 */
#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "conf/document.h"
#include "snapshot/crl_files.h"
#include "store/kept.h"
#include "store/state.h"
#include "support/testpki.h"

#define TEXT_MAX ((size_t)16 << 20)
#define NEWS_MAX 16

static char directory[64];
static struct testpki ca, other_ca, server;
static time_t now;

static struct {
    enum crl_result result;
    char bundle[32], detail[256];
    bool is_repeated;
    size_t entries;
} news[NEWS_MAX];
static size_t news_count;

static void note(void *arg, const struct crl_news *told) {
    (void)arg;
    ck_assert_uint_lt(news_count, NEWS_MAX);
    news[news_count].result = told->result;
    news[news_count].is_repeated = told->is_repeated;
    news[news_count].entries = told->crl ? crl_count(told->crl) : 999;
    (void)snprintf(news[news_count].bundle, sizeof(news[0].bundle), "%s", told->bundle);
    (void)snprintf(news[news_count].detail, sizeof(news[0].detail), "%s", told->detail);
    news_count++;
}

/* ---- files ---- */

static void put(const char *name, struct slice content) {
    FILE *file = fopen(".new", "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(content.ptr, 1, content.len, file), content.len);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(rename(".new", name), 0);
}

static void put_pem(const char *name, const struct testpki *cert, const struct testpki *more, bool is_key) {
    struct sbuf pem;
    sbuf_init(&pem, TEXT_MAX);
    if (is_key)
        testpki_key_pem(cert, &pem);
    else
        testpki_cert_pem(cert, &pem);
    if (more)
        testpki_cert_pem(more, &pem);
    put(name, sbuf_slice(&pem));
    sbuf_fini(&pem);
}

static const struct testpki_revoked none[] = {{NULL, 0, 0}};
static const struct testpki_revoked one[] = {{"66", 1, 0}, {NULL, 0, 0}};

static void make_crl(const struct testpki *issuer, const struct testpki_revoked *revoked, const char *number,
                     int age_days, struct sbuf *pem) {
    struct sbuf der;
    sbuf_init(&der, TEXT_MAX);
    testpki_crl(&(struct testpki_crl_spec){.issuer = issuer,
                                           .revoked = revoked,
                                           .number = number,
                                           .this_update = now - age_days * TESTPKI_DAY,
                                           .next_update = now + (100 - age_days) * TESTPKI_DAY},
                &der);
    testpki_der_to_pem(sbuf_slice(&der), "X509 CRL", pem);
    sbuf_fini(&der);
}

static void put_crl(const char *name, const struct testpki *issuer, const struct testpki_revoked *revoked,
                    const char *number, int age_days) {
    struct sbuf pem;
    sbuf_init(&pem, TEXT_MAX);
    make_crl(issuer, revoked, number, age_days, &pem);
    put(name, sbuf_slice(&pem));
    sbuf_fini(&pem);
}

/* ---- the generation in force ---- */

static struct resolved in_force;
static struct crl_files *files;

static struct testpki make(const char *cn, bool is_ca) {
    return testpki_make(&(struct testpki_spec){
        .cn = cn, .is_ca = is_ca, .not_before = now - TESTPKI_DAY, .not_after = now + 365 * TESTPKI_DAY});
}

static const char *crl_of_b; /* what the bundle b says of its CRLs */

static void load(void) {
    struct conf_messages messages;
    conf_messages_init(&messages, "f");
    char *text = mem_printf("listeners: [{address: '127.0.0.1:0'}]\n"
                            "state_dir: state\n"
                            "ca_bundles:\n"
                            "  - {name: a, file: ca.pem, associated_hostnames: [a.test], crl: {files: [a.crl]}}\n"
                            "  - {name: b, file: both.pem, associated_hostnames: [a.test], crl: {%s}}\n"
                            "hostnames:\n"
                            "  - {name: a.test, certificate: a.pem, private_key: a-key.pem, upstream: "
                            "'builtin:whoami'}\n",
                            crl_of_b);
    put("f.yaml", slice_of(text));
    mem_free(text);
    struct resolved fresh;
    int status = resolve_file("f.yaml", &in_force, &messages, NULL, &fresh);
    for (size_t i = 0; status && i < messages.count; i++)
        ck_abort_msg("%s", messages.items[i].text);
    conf_messages_fini(&messages);
    resolved_fini(&in_force);
    in_force = fresh;
    crl_files_set(files, &in_force);
}

static void set_up(void) {
    now = time(NULL);
    strcpy(directory, "/tmp/sallyport-refresh-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    ca = make("CA", true);
    other_ca = make("Other CA", true);
    server = testpki_make(&(struct testpki_spec){
        .cn = "a.test", .san = "DNS:a.test", .not_before = now - TESTPKI_DAY, .not_after = now + 365 * TESTPKI_DAY});
    put_pem("ca.pem", &ca, NULL, false);
    put_pem("both.pem", &ca, &other_ca, false);
    put_pem("a.pem", &server, NULL, false);
    put_pem("a-key.pem", &server, NULL, true);
    put_crl("a.crl", &ca, none, "5", 1);
    put_crl("b.crl", &other_ca, none, "7", 1);
    crl_of_b = "files: [a.crl, b.crl]";
    files = crl_files_new(note, NULL);
    in_force = (struct resolved){.secrets = NULL};
    load();
    news_count = 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk) {
    (void)st, (void)type, (void)walk;
    return remove(path);
}

static void tear_down(void) {
    crl_files_free(&files);
    resolved_fini(&in_force);
    ck_assert_int_eq(chdir("/"), 0);
    (void)nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    testpki_free(&ca);
    testpki_free(&other_ca);
    testpki_free(&server);
}

/* Looks; what changed is put in force. How many pieces of news there were. */
static size_t look(bool *changed_out) {
    struct resolved fresh;
    news_count = 0;
    *changed_out = crl_files_look(files, &in_force, &fresh).is_changed;
    if (*changed_out) {
        resolved_fini(&in_force);
        in_force = fresh;
        crl_files_set(files, &in_force);
    } else {
        ck_assert_uint_eq(fresh.document.len + fresh.crl_count + fresh.secret_count, 0);
    }
    return news_count;
}

static void expect_quiet(void) {
    bool changed;
    ck_assert_uint_eq(look(&changed), 0);
    ck_assert(!changed);
}

static struct conf *read_in_force(void) {
    struct err err = {""};
    struct conf *conf = document_read(sbuf_slice(&in_force.document), &err);
    ck_assert_msg(conf != NULL, "%s", err.text);
    return conf;
}

static const struct crl *list_of(const char *digest) {
    for (size_t i = 0; i < in_force.crl_count; i++)
        if (strcmp(in_force.crls[i].digest, digest) == 0)
            return in_force.crls[i].crl;
    ck_abort_msg("%s is not there", digest);
}

/* Entries of the list that the bundle's file stands for. */
static size_t entries_of(size_t bundle, size_t file) {
    struct conf *conf = read_in_force();
    size_t entries = crl_count(list_of(conf->ca_bundles.items[bundle].crl.lists.items[file].digest));
    conf_free(&conf);
    return entries;
}

/* ---- tests ---- */

START_TEST(what_did_not_change_is_not_read) {
    expect_quiet();
    crl_files_set(files, &in_force);
    expect_quiet();
}
END_TEST

START_TEST(a_newer_list_makes_a_generation_that_differs_in_nothing_else) {
    bool changed;
    struct sbuf before = in_force.document;
    char *old_document = mem_strndup(sbuf_slice(&before).ptr, before.len);
    size_t old_len = before.len;
    put_crl("a.crl", &ca, one, "6", 0);
    ck_assert_uint_eq(look(&changed), 2); /* in both bundles */
    ck_assert(changed);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(news[i].result, CRL_RESULT_OK);
        ck_assert_str_eq(news[i].bundle, i ? "b" : "a");
        ck_assert_uint_eq(news[i].entries, 1);
    }
    ck_assert_uint_eq(entries_of(0, 0), 1);
    ck_assert_uint_eq(entries_of(1, 0), 1);
    ck_assert_uint_eq(entries_of(1, 1), 0);
    ck_assert_uint_eq(in_force.crl_count, 2); /* the old one is gone */
    ck_assert_uint_eq(in_force.secret_count, 1);
    ck_assert_uint_eq(in_force.document.len, old_len);
    size_t different = 0;
    for (size_t i = 0; i < old_len; i++)
        different += old_document[i] != sbuf_slice(&in_force.document).ptr[i];
    ck_assert_uint_le(different, 2 * 64); /* two digests */
    mem_free(old_document);
    expect_quiet();
}
END_TEST

START_TEST(a_file_read_for_nothing_is_told_and_changes_nothing) {
    bool changed;
    ck_assert_int_eq(utimensat(AT_FDCWD, "b.crl", (struct timespec[2]){{1, 5}, {1, 5}}, 0), 0);
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(!changed && news[0].result == CRL_RESULT_UNCHANGED && news[0].is_repeated);
    expect_quiet();
    crl_files_forget(files);
    ck_assert_uint_eq(look(&changed), 3);
    ck_assert(!changed);
}
END_TEST

START_TEST(sec_29_what_cannot_be_used_is_told_once_and_keeps_the_last_good_list) {
    bool changed;
    put_crl("b.crl", &other_ca, one, "8", 0);
    ck_assert_uint_eq(look(&changed), 1);
    put("b.crl", SLICE("garbage"));
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(!changed && news[0].result == CRL_RESULT_UNUSABLE && !news[0].is_repeated);
    ck_assert_ptr_nonnull(strstr(news[0].detail, "its last good CRL stays"));
    ck_assert_uint_eq(news[0].entries, 1); /* the one that stays */
    expect_quiet();
    put("b.crl", SLICE("garbage")); /* again the same */
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(news[0].is_repeated);
    /* A change elsewhere, and a new generation, do not forget it. */
    put_crl("a.crl", &ca, one, "6", 0);
    ck_assert_uint_eq(look(&changed), 2);
    ck_assert_uint_eq(entries_of(1, 1), 1);
    expect_quiet();
    ck_assert_int_eq(unlink("b.crl"), 0);
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(!changed && !news[0].is_repeated && strstr(news[0].detail, "No such file"));
    put_crl("b.crl", &other_ca, one, "9", 0);
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(changed && news[0].result == CRL_RESULT_OK);
}
END_TEST

START_TEST(sec_29_an_older_list_never_replaces_a_newer) {
    bool changed;
    put_crl("b.crl", &other_ca, one, "6", 0); /* by number, although it is younger */
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(!changed && news[0].result == CRL_RESULT_OLDER);
    put_crl("b.crl", &other_ca, one, NULL, 2); /* by date */
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(!changed && news[0].result == CRL_RESULT_OLDER);
    ck_assert_uint_eq(entries_of(1, 1), 0);
    put_crl("b.crl", &other_ca, one, NULL, 0);
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(changed);
    put_crl("b.crl", &other_ca, none, "1", 0); /* as young as that one, which has no number */
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(changed);
}
END_TEST

START_TEST(sec_29_a_list_does_not_vanish_from_its_file) {
    struct sbuf pem;
    bool changed;
    sbuf_init(&pem, TEXT_MAX);
    make_crl(&other_ca, one, "8", 0, &pem);
    size_t first = pem.len;
    make_crl(&ca, one, "6", 0, &pem);
    put("b.crl", sbuf_slice(&pem));
    ck_assert_uint_eq(look(&changed), 2); /* two lists */
    ck_assert(changed);
    put("b.crl", slice_first(sbuf_slice(&pem), first));
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(!changed && news[0].result == CRL_RESULT_UNUSABLE && strstr(news[0].detail, "holds no CRL of CN=CA"));
    sbuf_fini(&pem);
}
END_TEST

START_TEST(sec_29_a_list_of_a_ca_beyond_the_bundle_is_refused) {
    bool changed;
    put_crl("a.crl", &other_ca, one, "9", 0); /* bundle b knows its issuer, but loses the list of CA */
    ck_assert_uint_eq(look(&changed), 2);
    ck_assert(!changed && news[0].result == CRL_RESULT_UNUSABLE && news[1].result == CRL_RESULT_UNUSABLE);
    ck_assert_ptr_nonnull(strstr(news[0].detail, "none of the CA certificates"));
    ck_assert_ptr_nonnull(strstr(news[1].detail, "holds no CRL of CN=CA"));
}
END_TEST

START_TEST(a_pipe_in_place_of_the_file_is_not_opened) {
    bool changed;
    ck_assert_int_eq(unlink("b.crl"), 0);
    ck_assert_int_eq(mkfifo("b.crl", 0600), 0);
    ck_assert_uint_eq(look(&changed), 1); /* comes back */
    ck_assert(!changed && strstr(news[0].detail, "regular file"));
}
END_TEST

/* In place, within the same tick of the file system's clock, with as many bytes. */
START_TEST(a_change_that_leaves_no_trace_is_found_after_a_while) {
    struct resolved fresh;
    struct sbuf first, second;
    sbuf_init(&first, TEXT_MAX);
    sbuf_init(&second, TEXT_MAX);
    make_crl(&other_ca, one, "8", 0, &first);
    for (int tries = 0; tries < 50 && second.len != first.len; tries++) { /* signatures differ in length */
        sbuf_clear(&second);
        make_crl(&other_ca, one, "9", 0, &second);
    }
    ck_assert_uint_eq(first.len, second.len);
    int64_t written_us = clock_mono_us();
    int fd = open("b.crl", O_WRONLY | O_TRUNC);
    ck_assert_int_eq(pwrite(fd, sbuf_slice(&first).ptr, first.len, 0), (ssize_t)first.len);
    const struct crl_look look = crl_files_look(files, &in_force, &fresh);
    bool is_same_tick = clock_mono_us() - written_us < 15000; /* a busy machine may take longer */
    ck_assert(look.is_changed);
    ck_assert_int_eq(pwrite(fd, sbuf_slice(&second).ptr, second.len, 0), (ssize_t)second.len);
    close(fd);
    ck_assert(!look.is_settled || !is_same_tick); /* so that the caller comes back */
    resolved_fini(&in_force);
    in_force = fresh;
    crl_files_set(files, &in_force);
    sbuf_fini(&first);
    sbuf_fini(&second);
}
END_TEST

START_TEST(lists_are_warned_about_as_they_age) {
    static const struct {
        int day;
        const char *said; /* NULL: nothing new */
    } rows[] = {{10, NULL}, {49, "past 50 %"},   {60, NULL},  {79, "past 80 %"}, {94, "past 95 %"},
                {95, NULL}, {100, "expired on"}, {101, NULL}, {60, NULL},        {79, "past 80 %"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        news_count = 0;
        crl_files_check_age(files, &in_force, now + rows[i].day * TESTPKI_DAY + 60);
        ck_assert_msg(news_count == (rows[i].said ? 3 : 0), "row %zu: %zu", i, news_count);
        if (rows[i].said)
            ck_assert_msg(news[0].result == CRL_RESULT_AGEING && strstr(news[0].detail, rows[i].said), "%s",
                          news[0].detail);
        crl_files_set(files, &in_force); /* a reload forgets nothing */
    }
}
END_TEST

START_TEST(a_reload_and_a_refresh_follow_each_other) {
    bool changed;
    put_crl("b.crl", &other_ca, one, "8", 0);
    ck_assert_uint_eq(look(&changed), 1);
    load();
    expect_quiet();
    ck_assert_uint_eq(entries_of(1, 1), 1);
    put_crl("b.crl", &other_ca, none, "9", 0);
    load(); /* it comes with the reload */
    ck_assert_uint_eq(entries_of(1, 1), 0);
    expect_quiet();
}
END_TEST

START_TEST(without_stamps_every_file_is_read_once) {
    bool changed;
    for (size_t i = 0; i < in_force.file_count; i++)
        mem_free(in_force.files[i].path);
    in_force.file_count = 0; /* as a control process has it that was given its generation by master */
    crl_files_set(files, &in_force);
    ck_assert_uint_eq(look(&changed), 3);
    ck_assert(!changed);
    expect_quiet();
}
END_TEST

/* ---- directories ---- */

/* The bundle b has what is in this directory, with the list of the CA in it. */
static void load_directory(const char *more) {
    static char text[64];
    ck_assert_int_eq(mkdir("d", 0700), 0);
    put_crl("d/a.crl", &ca, none, "5", 1);
    (void)snprintf(text, sizeof text, "directory: d%s", more);
    crl_of_b = text;
    load();
}

static size_t list_count(size_t bundle) {
    struct conf *conf = read_in_force();
    size_t count = conf->ca_bundles.items[bundle].crl.lists.count;
    conf_free(&conf);
    return count;
}

/* What was written before is older than a step of the file system's clock. */
static void settle(const char *path) {
    struct stat st;
    struct timespec time, pause = {.tv_nsec = 5000000};
    ck_assert_int_eq(stat(path, &st), 0);
    do {
        (void)nanosleep(&pause, NULL);
        (void)clock_gettime(CLOCK_REALTIME, &time);
    } while ((time.tv_sec - st.st_ctim.tv_sec) * 1000000000L + time.tv_nsec - st.st_ctim.tv_nsec < 40000000L);
}

START_TEST(what_comes_into_a_directory_comes_into_force) {
    bool changed;
    load_directory("");
    ck_assert_uint_eq(list_count(1), 1);
    expect_quiet();
    put_crl("d/b.crl", &other_ca, one, "1", 1);
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(changed && news[0].result == CRL_RESULT_OK && news[0].entries == 1);
    ck_assert_uint_eq(list_count(1), 2);
    ck_assert_uint_eq(entries_of(1, 1), 1);
    expect_quiet();
    put_crl("d/b.crl", &other_ca, none, "2", 0);
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(changed);
    ck_assert_uint_eq(entries_of(1, 1), 0);
    load();
    ck_assert_uint_eq(list_count(1), 2);
    expect_quiet();
}
END_TEST

START_TEST(names_with_a_dot_and_directories_are_left_out) {
    load_directory("");
    put("d/.rsync.tmp", SLICE("half"));
    ck_assert_int_eq(mkdir("d/archive", 0700), 0);
    put("d/archive/x.crl", SLICE("junk"));
    expect_quiet();
    load();
    ck_assert_uint_eq(list_count(1), 1);
}
END_TEST

START_TEST(paths_to_watch_are_files_and_directories) {
    const char *const *paths;
    load_directory("");
    ck_assert_uint_eq(crl_files_paths(files, &paths), 3);
    ck_assert_str_eq(paths[0], "a.crl");
    ck_assert_str_eq(paths[1], "d/a.crl");
    ck_assert_str_eq(paths[2], "d/");
}
END_TEST

START_TEST(sec_29_an_unusable_file_in_a_directory_is_told_once_and_counts_for_nothing) {
    bool changed;
    load_directory("");
    put("d/junk", SLICE("half a li"));
    ck_assert_uint_eq(look(&changed), 0); /* it may be on its way */
    put("d/junk", SLICE("half a list"));
    settle("d/junk");
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(!changed && news[0].result == CRL_RESULT_UNUSABLE && !news[0].is_repeated);
    expect_quiet();
    put_crl("d/b.crl", &other_ca, none, "1", 1);
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(changed);
    expect_quiet(); /* the junk is not told again */
    put_crl("d/junk", &other_ca, one, "2", 0);
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(changed && news[0].result == CRL_RESULT_OK);
    ck_assert_uint_eq(list_count(1), 3);
}
END_TEST

START_TEST(sec_29_a_list_gone_from_a_directory_stays_until_another_takes_its_place) {
    bool changed;
    load_directory("");
    put_crl("d/b-1.crl", &other_ca, one, "1", 2);
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert_int_eq(unlink("d/b-1.crl"), 0);
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(!changed && news[0].result == CRL_RESULT_UNUSABLE);
    expect_quiet();
    put_crl("d/b-0.crl", &other_ca, none, "0", 3); /* an older one does not */
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert_uint_eq(list_count(1), 3);
    put_crl("d/b-2.crl", &other_ca, none, "2", 0);
    ck_assert_uint_eq(look(&changed), 2);
    ck_assert(changed && news[0].result == CRL_RESULT_OK && news[1].result == CRL_RESULT_REMOVED);
    ck_assert_uint_eq(list_count(1), 3);
    ck_assert_int_eq(unlink("d/b-0.crl"), 0);
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(changed && news[0].result == CRL_RESULT_REMOVED);
    ck_assert_uint_eq(list_count(1), 2);
    ck_assert_int_eq(unlink("d/b-2.crl"), 0);
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert_uint_eq(list_count(1), 2);
    load(); /* somebody's will */
    ck_assert_uint_eq(list_count(1), 1);
}
END_TEST

START_TEST(sec_29_a_directory_that_cannot_be_read_is_told_once_and_its_lists_stay) {
    bool changed;
    load_directory("");
    ck_assert_int_eq(rename("d", "e"), 0);
    ck_assert_uint_eq(look(&changed), 2); /* of the directory, and of the file in it */
    ck_assert(!changed && news[0].result == CRL_RESULT_UNUSABLE && news[1].result == CRL_RESULT_UNUSABLE);
    ck_assert_uint_eq(list_count(1), 1);
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(news[0].is_repeated);
    ck_assert_int_eq(rename("e", "d"), 0);
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert_int_eq(news[0].result, CRL_RESULT_UNCHANGED);
    expect_quiet();
}
END_TEST

START_TEST(an_older_list_comes_into_force_where_the_operator_says_so) {
    bool changed;
    crl_of_b = "files: [a.crl, b.crl], accept_older: true";
    load();
    put_crl("b.crl", &other_ca, one, "6", 2);
    ck_assert_uint_eq(look(&changed), 1);
    ck_assert(changed && news[0].result == CRL_RESULT_OK);
    ck_assert_msg(strstr(news[0].detail, "accept_older says so") != NULL, "%s", news[0].detail);
    ck_assert_uint_eq(entries_of(1, 1), 1);
    put_crl("b.crl", &other_ca, none, "3", 3);
    load(); /* and at a reload */
    ck_assert_uint_eq(entries_of(1, 1), 0);
    put_crl("a.crl", &ca, one, "1", 3); /* of the bundle a, which does not say so, and of b */
    ck_assert_uint_eq(look(&changed), 2);
    ck_assert(changed && news[0].result == CRL_RESULT_OLDER && news[1].result == CRL_RESULT_OK);
}
END_TEST

/* ---- URLs ---- */

#define URL "http://crl.example.test/b.crl"

/* A start: nothing is in force before. */
static void start_with_url(void) {
    crl_of_b = "files: [a.crl], urls: ['" URL "']";
    resolved_fini(&in_force);
    in_force = (struct resolved){.secrets = NULL};
    load();
}

static enum crl_result offer(const char *path, bool *changed_out) {
    struct crl_state state;
    ck_assert(crl_files_offer(files, "b", URL, path));
    (void)look(changed_out);
    ck_assert(crl_files_find_state(files, "b", URL, &state));
    return state.result;
}

/* As whoever fetches does when a list was taken. */
static void keep(const char *path) {
    const struct kept_facts facts = {.url = URL, .etag = "", .last_modified = ""};
    char *key = crl_state_key("b", URL), *copy = mem_strdup("copy");
    struct err err = {""};
    struct sbuf content;
    sbuf_init(&content, TEXT_MAX);
    ck_assert_int_eq(file_read(path, TEXT_MAX, &content, &err), 0);
    put(copy, sbuf_slice(&content));
    ck_assert_int_eq(state_make("state", CRL_STATE_PART, &err), 0);
    ck_assert_msg(kept_put("state/" CRL_STATE_PART, key, &facts, copy, &err) == 0, "%s", err.text);
    sbuf_fini(&content);
    mem_free(copy);
    mem_free(key);
}

START_TEST(what_was_fetched_comes_into_force_when_it_is_good) {
    bool changed;
    start_with_url();
    ck_assert_uint_eq(list_count(1), 1);
    ck_assert_uint_eq(crl_files_count(files), 3); /* twice a.crl, and the URL */
    (void)look(&changed);
    expect_quiet();
    put_crl("fetched", &other_ca, one, "5", 1);
    ck_assert_int_eq(offer("fetched", &changed), CRL_RESULT_OK);
    ck_assert(changed);
    ck_assert_uint_eq(list_count(1), 2);
    ck_assert_uint_eq(entries_of(1, 1), 1);
    ck_assert_int_eq(offer("fetched", &changed), CRL_RESULT_OK);
    ck_assert(!changed); /* it is what is in force */
    put_crl("fetched", &other_ca, none, "6", 0);
    ck_assert_int_eq(offer("fetched", &changed), CRL_RESULT_OK);
    ck_assert_uint_eq(entries_of(1, 1), 0);
    expect_quiet();
}
END_TEST

START_TEST(sec_29_what_was_fetched_and_is_not_good_changes_nothing) {
    bool changed;
    const char *const *paths;
    start_with_url();
    ck_assert_uint_eq(crl_files_paths(files, &paths), 2); /* a URL is no file */
    ck_assert(!crl_files_offer(files, "a", URL, "fetched"));
    ck_assert(!crl_files_offer(files, "b", "http://crl.example.test/", "fetched"));
    put("fetched", SLICE("junk"));
    ck_assert_int_eq(offer("fetched", &changed), CRL_RESULT_UNUSABLE);
    ck_assert(!changed);
    ck_assert_int_eq(offer("gone", &changed), CRL_RESULT_UNUSABLE);
    put_crl("fetched", &other_ca, one, "5", 1);
    ck_assert_int_eq(offer("fetched", &changed), CRL_RESULT_OK);
    put_crl("fetched", &other_ca, none, "4", 1);
    ck_assert_int_eq(offer("fetched", &changed), CRL_RESULT_OLDER);
    put_crl("fetched", &ca, none, "9", 0); /* another CA's: the one of this CA would be gone */
    ck_assert_int_eq(offer("fetched", &changed), CRL_RESULT_UNUSABLE);
    ck_assert_uint_eq(entries_of(1, 1), 1);
}
END_TEST

START_TEST(what_is_kept_is_in_force_from_the_start) {
    bool changed;
    put_crl("fetched", &other_ca, one, "5", 1);
    keep("fetched");
    start_with_url();
    ck_assert_uint_eq(list_count(1), 2);
    ck_assert_uint_eq(entries_of(1, 1), 1);
    expect_quiet();
    put_crl("fetched", &other_ca, none, "6", 0);
    keep("fetched");
    expect_quiet(); /* whoever keeps it offers it */
    crl_files_forget(files);
    (void)look(&changed); /* but what did not come into force is read again */
    ck_assert(changed);
    ck_assert_uint_eq(entries_of(1, 1), 0);
}
END_TEST

START_TEST(a_file_that_becomes_a_url_stays_in_force_until_the_list_is_fetched) {
    crl_of_b = "files: [a.crl], urls: ['" URL "']";
    load();
    ck_assert_uint_eq(list_count(1), 2);
    ck_assert_uint_eq(entries_of(1, 1), 0);
    expect_quiet();
}
END_TEST

START_TEST(what_is_kept_and_damaged_stops_nothing) {
    put_crl("fetched", &other_ca, one, "5", 1);
    keep("fetched");
    start_with_url();
    put("junk", SLICE("junk"));
    keep("junk"); /* as if the disk had lost it */
    load();       /* a reload: what is in force stays */
    ck_assert_uint_eq(entries_of(1, 1), 1);
    start_with_url();
    ck_assert_uint_eq(list_count(1), 1);
}
END_TEST

Suite *snapshot_refresh_suite(void);
Suite *snapshot_refresh_suite(void) {
    Suite *suite = suite_create("snapshot/refresh");
    TCase *tcase = tcase_create("refresh");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, what_did_not_change_is_not_read);
    tcase_add_test(tcase, a_newer_list_makes_a_generation_that_differs_in_nothing_else);
    tcase_add_test(tcase, a_file_read_for_nothing_is_told_and_changes_nothing);
    tcase_add_test(tcase, sec_29_what_cannot_be_used_is_told_once_and_keeps_the_last_good_list);
    tcase_add_test(tcase, sec_29_an_older_list_never_replaces_a_newer);
    tcase_add_test(tcase, sec_29_a_list_does_not_vanish_from_its_file);
    tcase_add_test(tcase, sec_29_a_list_of_a_ca_beyond_the_bundle_is_refused);
    tcase_add_test(tcase, a_pipe_in_place_of_the_file_is_not_opened);
    tcase_add_test(tcase, a_change_that_leaves_no_trace_is_found_after_a_while);
    tcase_add_test(tcase, lists_are_warned_about_as_they_age);
    tcase_add_test(tcase, a_reload_and_a_refresh_follow_each_other);
    tcase_add_test(tcase, without_stamps_every_file_is_read_once);
    tcase_add_test(tcase, what_comes_into_a_directory_comes_into_force);
    tcase_add_test(tcase, names_with_a_dot_and_directories_are_left_out);
    tcase_add_test(tcase, paths_to_watch_are_files_and_directories);
    tcase_add_test(tcase, sec_29_an_unusable_file_in_a_directory_is_told_once_and_counts_for_nothing);
    tcase_add_test(tcase, sec_29_a_list_gone_from_a_directory_stays_until_another_takes_its_place);
    tcase_add_test(tcase, sec_29_a_directory_that_cannot_be_read_is_told_once_and_its_lists_stay);
    tcase_add_test(tcase, what_was_fetched_comes_into_force_when_it_is_good);
    tcase_add_test(tcase, sec_29_what_was_fetched_and_is_not_good_changes_nothing);
    tcase_add_test(tcase, what_is_kept_is_in_force_from_the_start);
    tcase_add_test(tcase, what_is_kept_and_damaged_stops_nothing);
    tcase_add_test(tcase, a_file_that_becomes_a_url_stays_in_force_until_the_list_is_fetched);
    tcase_add_test(tcase, an_older_list_comes_into_force_where_the_operator_says_so);
    suite_add_tcase(suite, tcase);
    return suite;
}
