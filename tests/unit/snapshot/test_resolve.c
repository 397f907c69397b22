/*
 * resolve: every file is proved at the place of its path, nothing half-made comes out, and no revocation is lost at a
 * reload. With real files in a directory of its own, made anew for each test, and the real time.
 */
#include <check.h>
#include <ftw.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "conf/document.h"
#include "snapshot/resolve.h"
#include "support/testpki.h"

#define TEXT_MAX ((size_t)16 << 20)

static char directory[] = "/tmp/sallyport-resolve-XXXXXX";
static struct testpki ca, other_ca, intermediate, server, rsa_server, client_cert;
static time_t now;

/* ---- files ---- */

static void put(const char *name, struct slice content) {
    char *path = path_join(directory, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(content.ptr, 1, content.len, file), content.len);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(chmod(path, 0600), 0);
    mem_free(path);
}

static void put_pem(const char *name, const struct testpki *first, const struct testpki *second, bool with_key) {
    struct sbuf pem;
    sbuf_init(&pem, TEXT_MAX);
    testpki_cert_pem(first, &pem);
    if (second)
        testpki_cert_pem(second, &pem);
    if (with_key)
        testpki_key_pem(first, &pem);
    put(name, sbuf_slice(&pem));
    sbuf_fini(&pem);
}

static void put_key(const char *name, const struct testpki *owner) {
    struct sbuf pem;
    sbuf_init(&pem, TEXT_MAX);
    testpki_key_pem(owner, &pem);
    put(name, sbuf_slice(&pem));
    sbuf_fini(&pem);
}

/* age and life in days: when it was issued, and how long from then to nextUpdate. */
static void put_crl(const char *name, const struct testpki *issuer, const char *number, int age, int life) {
    static const struct testpki_revoked revoked[] = {{"66", -1, 0}, {NULL, 0, 0}};
    struct sbuf der;
    sbuf_init(&der, TEXT_MAX);
    testpki_crl(&(struct testpki_crl_spec){.issuer = issuer,
                                           .revoked = revoked,
                                           .number = number,
                                           .this_update = now - age * TESTPKI_DAY,
                                           .next_update = now + (life - age) * TESTPKI_DAY},
                &der);
    put(name, sbuf_slice(&der));
    sbuf_fini(&der);
}

static struct testpki make(const struct testpki_spec *spec) {
    struct testpki_spec dated = *spec;
    if (!dated.not_after) {
        dated.not_before = now - TESTPKI_DAY;
        dated.not_after = now + 365 * TESTPKI_DAY;
    }
    return testpki_make(&dated);
}

static void setup(void) {
    now = time(NULL);
    memcpy(directory + sizeof(directory) - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ca = make(&(struct testpki_spec){.cn = "CA", .is_ca = true});
    other_ca = make(&(struct testpki_spec){.cn = "Other CA", .is_ca = true});
    intermediate = make(&(struct testpki_spec){.cn = "Intermediate", .is_ca = true, .issuer = &ca});
    server = make(&(struct testpki_spec){.cn = "a.test", .san = "DNS:a.test", .extended_key_usage = "serverAuth"});
    EVP_PKEY *rsa = testpki_key_rsa(2048); /* the certificate takes a reference of its own */
    rsa_server = make(
        &(struct testpki_spec){.cn = "a.test", .san = "DNS:a.test", .extended_key_usage = "serverAuth", .key = rsa});
    EVP_PKEY_free(rsa);
    client_cert = make(&(struct testpki_spec){.cn = "client", .issuer = &ca});
    put_pem("ca.pem", &ca, NULL, false);
    put_pem("a.pem", &server, NULL, false);
    put_key("a-key.pem", &server);
    put_pem("client.pem", &client_cert, NULL, true);
    put_crl("ca.crl", &ca, "5", 0, 30);
    put("token", SLICE("secret token\n"));
    put("empty", SLICE(""));
    put("garbage", SLICE("\x01garbage\n"));
    char *path = path_join(directory, "dir");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    mem_free(path);
}

static int unlink_one(const char *path, const struct stat *st, int type, struct FTW *walk) {
    (void)st, (void)type, (void)walk;
    return remove(path);
}

static void teardown(void) {
    (void)nftw(directory, unlink_one, 8, FTW_DEPTH | FTW_PHYS);
    testpki_free(&ca);
    testpki_free(&other_ca);
    testpki_free(&intermediate);
    testpki_free(&server);
    testpki_free(&rsa_server);
    testpki_free(&client_cert);
}

/* ---- asking ---- */

/* The places in a configuration that tests change. */
struct plan {
    const char *bundle, *crl, *crl_more, *certificate, *key, *token, *test, *test_certificate, *more, *host_more,
        *admin, *address, *rule, *server;
};

static const char *or_else(const char *text, const char *otherwise) { return text ? text : otherwise; }

static char *yaml_of(const struct plan *plan) {
    return mem_printf(
        "listeners: [{address: '%s'}]\n"
        "admin: {address: '%s', token_file: %s}\n"
        "ca_bundles:\n"
        "  - name: b\n"
        "    file: %s\n"
        "    associated_hostnames: [a.test]\n"
        "    crl: {files: [%s]%s}\n"
        "hostnames:\n"
        "  - name: a.test\n"
        "    certificate: %s\n"
        "    private_key: %s\n"
        "    upstream: u\n"
        "%s"
        "upstreams: [{name: u, servers: ['%s']}]\n"
        "tests: [{%s, certificate: %s, expect: allow}]\n"
        "applications: [{name: p, domain: a.test, policies: [{name: x, decision: allow, include: [%s]}]}]\n"
        "%s",
        or_else(plan->address, "127.0.0.1:0"), or_else(plan->admin, "127.0.0.1:1"), or_else(plan->token, "token"),
        or_else(plan->bundle, "ca.pem"), or_else(plan->crl, "ca.crl"), or_else(plan->crl_more, ""),
        or_else(plan->certificate, "a.pem"), or_else(plan->key, "a-key.pem"), or_else(plan->host_more, ""),
        or_else(plan->server, "127.0.0.1:3000"), or_else(plan->test, "url: 'https://a.test/'"),
        or_else(plan->test_certificate, "client.pem"), or_else(plan->rule, "{certificate: {}}"),
        or_else(plan->more, ""));
}

/* Messages without the path in front of the line and with the directory left out; the caller frees. *resolved_out is
 * good when there is no error. */
static char *ask(const struct plan *plan, const struct resolved *previous, struct resolved *resolved_out,
                 bool *is_good_out) {
    char *yaml = yaml_of(plan), *path = path_join(directory, "sallyport.yaml");
    struct conf_messages messages;
    struct sbuf out, trimmed;
    put("sallyport.yaml", slice_of(yaml));
    conf_messages_init(&messages, "f");
    sbuf_init(&out, TEXT_MAX);
    sbuf_init(&trimmed, TEXT_MAX);
    *is_good_out = resolve_file(path, previous, &messages, NULL, resolved_out) == 0;
    ck_assert_int_eq(*is_good_out, messages.errors == 0);
    conf_messages_print(&messages, &out);
    for (const char *at = sbuf_text(&out); *at;) {
        size_t skip = strlen(directory) + 1;
        if (strncmp(at, directory, skip - 1) == 0 && at[skip - 1] == '/')
            at += skip;
        else
            sbuf_append_char(&trimmed, *at++);
    }
    char *said = mem_strdup(sbuf_text(&trimmed));
    conf_messages_fini(&messages);
    sbuf_fini(&out);
    sbuf_fini(&trimmed);
    mem_free(yaml);
    mem_free(path);
    return said;
}

static void expect(const struct plan *plan, const char *expected) {
    struct resolved resolved;
    bool is_good;
    char *said = ask(plan, NULL, &resolved, &is_good);
    ck_assert_msg(strcmp(said, expected) == 0, "expected\n%s\ngot\n%s", expected, said);
    if (!is_good) {
        ck_assert_uint_eq(resolved.document.len, 0);
        ck_assert_uint_eq(resolved.secret_count + resolved.crl_count, 0);
    }
    resolved_fini(&resolved);
    mem_free(said);
}

static void expect_part(const struct plan *plan, const char *part, bool should_be_good) {
    struct resolved resolved;
    bool is_good;
    char *said = ask(plan, NULL, &resolved, &is_good);
    ck_assert_msg(strstr(said, part) != NULL, "expected among the messages\n%s\ngot\n%s", part, said);
    ck_assert_msg(is_good == should_be_good, "%s", said);
    resolved_fini(&resolved);
    mem_free(said);
}

/* ---- tests ---- */

START_TEST(a_good_configuration_makes_document_secrets_and_crls) {
    struct resolved resolved;
    struct err err = {""};
    bool is_good;
    char *said = ask(&(struct plan){.key = NULL}, NULL, &resolved, &is_good);
    ck_assert_str_eq(said, "");
    struct conf *conf = document_read(sbuf_slice(&resolved.document), &err);
    ck_assert_msg(conf != NULL, "%s", err.text);
    ck_assert_uint_eq(resolved.secret_count, 2);
    ck_assert_uint_eq(resolved.crl_count, 1);
    ck_assert_str_eq(conf->ca_bundles.items[0].crl.lists.items[0].digest, resolved.crls[0].digest);
    ck_assert_uint_eq(conf->ca_bundles.items[0].crl.lists.items[0].content.len, 0);
    ck_assert_str_eq(conf->hostnames.items[0].private_keys.items[0].digest, resolved.secrets[0].digest);
    ck_assert(memmem(conf->hostnames.items[0].certificates.items[0].content.ptr,
                     conf->hostnames.items[0].certificates.items[0].content.len, "BEGIN CERTIFICATE", 17));
    /* without the line break at its end */
    ck_assert_uint_eq(resolved.secrets[1].size, strlen("secret token"));
    ck_assert_str_eq(conf->upstreams.items[0].servers.items[0].resolved.items[0].text, "127.0.0.1:3000");
    conf_free(&conf);
    resolved_fini(&resolved);
    mem_free(said);
}
END_TEST

START_TEST(equal_configurations_make_equal_documents) {
    struct resolved one, two;
    bool is_good;
    mem_free(ask(&(struct plan){.key = NULL}, NULL, &one, &is_good));
    mem_free(ask(&(struct plan){.key = NULL}, &one, &two, &is_good));
    ck_assert(slice_eq(sbuf_slice(&one.document), sbuf_slice(&two.document)));
    resolved_fini(&one);
    resolved_fini(&two);
}
END_TEST

/* Each path in turn leads nowhere, to a directory, to an empty file, to garbage. */
START_TEST(sec_09_an_unusable_file_is_an_error_at_the_place_of_its_path) {
    static const struct {
        size_t place;
        const char *where, *garbage;
    } rows[] = {
        {offsetof(struct plan, bundle), "f:5:11: CA bundle 'b': ", "holds no certificate"},
        {offsetof(struct plan, crl), "f:7:19: CA bundle 'b': ", "holds no CRL"},
        {offsetof(struct plan, certificate), "f:10:18: hostname 'a.test': ", "holds no certificate"},
        {offsetof(struct plan, key), "f:11:18: hostname 'a.test': ", "private key"},
        {offsetof(struct plan, token), "f:2:45: admin.token_file: ", NULL},
        {offsetof(struct plan, test_certificate), "f:14:47: tests[0].certificate: ", "holds no certificate"},
    };
    static const char *const files[] = {"missing", "dir", "empty", "garbage"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t j = 0; j < sizeof(files) / sizeof(files[0]); j++) {
            const char *const said[] = {"No such file or directory", "directory", "empty", rows[i].garbage};
            struct plan plan = {.key = NULL};
            struct resolved resolved;
            bool is_good;
            memcpy((char *)&plan + rows[i].place, &files[j], sizeof(files[j]));
            char *messages = ask(&plan, NULL, &resolved, &is_good);
            if (!said[j]) { /* any text is a token */
                ck_assert_str_eq(messages, "");
            } else {
                const char *at = strstr(messages, rows[i].where);
                ck_assert_msg(!is_good && at && (j == 2 || strstr(at, files[j])), "%s%s\n%s", rows[i].where, files[j],
                              messages);
                bool is_told = strstr(at, said[j]) || (j == 2 && strstr(at, "holds no")) ||
                               (j == 1 && strstr(at, "Is a directory"));
                ck_assert_msg(is_told, "%s, expected %s in\n%s", files[j], said[j], messages);
            }
            resolved_fini(&resolved);
            mem_free(messages);
        }
    }
}
END_TEST

START_TEST(sec_09_all_errors_come_at_once_with_those_of_the_text) {
    expect(&(struct plan){.bundle = "missing",
                          .certificate = "empty",
                          .key = "garbage",
                          .more = "limit: 1\n",
                          .address = "nonsense",
                          .rule = "{ip: 300.1.2.3}"},
           "f:1:23: listeners[0].address: expected an IP address and a port (127.0.0.1:8443, [::1]:8443, *:8443) or "
           "unix:path, got 'nonsense'\n"
           "f:5:11: CA bundle 'b': missing cannot be opened: No such file or directory\n"
           "f:10:18: hostname 'a.test': empty is empty\n"
           "f:15:95: rule ip: expected an address block such as 192.0.2.0/24 or 2001:db8::/32, or an address, got "
           "'300.1.2.3'\n"
           "f:16:1: unknown key 'limit' at the top level; did you mean 'limits'?\n");
}
END_TEST

START_TEST(sec_22_every_certificate_of_a_bundle_is_a_ca) {
    put_pem("leaf.pem", &ca, &client_cert, false);
    expect(&(struct plan){.bundle = "leaf.pem"}, "f:5:11: CA bundle 'b': certificate 2 of leaf.pem (CN=client) is no "
                                                 "CA certificate: expected CA:TRUE in its basicConstraints\n");
    put_pem("keyed.pem", &ca, NULL, true);
    expect_part(&(struct plan){.bundle = "keyed.pem"}, "f:5:11: CA bundle 'b': keyed.pem: holds a private key", false);
}
END_TEST

START_TEST(sec_23_a_bundle_has_an_anchor) {
    put_pem("intermediate.pem", &intermediate, NULL, false);
    put_crl("intermediate.crl", &intermediate, "1", 0, 30);
    expect(&(struct plan){.bundle = "intermediate.pem", .crl = "intermediate.crl"},
           "f:5:11: CA bundle 'b': intermediate.pem holds no root certificate: expected one, or partial_chain: true\n");
    expect(&(struct plan){.bundle = "intermediate.pem\n    partial_chain: true", .crl = "intermediate.crl"}, "");
    put_pem("both.pem", &intermediate, &ca, false);
    expect(&(struct plan){.bundle = "both.pem"}, "");
}
END_TEST

START_TEST(certificate_and_key_belong_together) {
    put_key("other-key.pem", &client_cert);
    expect_part(&(struct plan){.key = "other-key.pem"}, "f:11:18: hostname 'a.test': other-key.pem: ", false);
    put_pem("rsa.pem", &rsa_server, NULL, false);
    put_key("rsa-key.pem", &rsa_server);
    expect(&(struct plan){.certificate = "[a.pem, rsa.pem]", .key = "[a-key.pem, rsa-key.pem]"}, "");
    expect(&(struct plan){.certificate = "[a.pem, a.pem]", .key = "[a-key.pem, a-key.pem]"},
           "f:10:26: hostname 'a.test': two certificates with EC keys: expected one of each type\n");
}
END_TEST

START_TEST(sec_47_a_key_beside_its_certificate_stays_out_of_the_document) {
    struct resolved resolved;
    bool is_good;
    put_pem("combined.pem", &server, NULL, true);
    char *said = ask(&(struct plan){.certificate = "combined.pem", .key = "combined.pem"}, NULL, &resolved, &is_good);
    ck_assert_str_eq(said, "");
    ck_assert_ptr_null(strstr(sbuf_text(&resolved.document), "PRIVATE"));
    ck_assert_ptr_nonnull(strstr(sbuf_text(&resolved.document), "BEGIN CERTIFICATE"));
    ck_assert_ptr_null(strstr(sbuf_text(&resolved.document), "secret token"));
    resolved_fini(&resolved);
    mem_free(said);
}
END_TEST

START_TEST(warnings_do_not_stop) {
    struct testpki expired = make(&(struct testpki_spec){.cn = "b.test",
                                                         .san = "DNS:b.test",
                                                         .extended_key_usage = "serverAuth",
                                                         .not_before = now - 9 * TESTPKI_DAY,
                                                         .not_after = now - TESTPKI_DAY});
    struct testpki soon = make(&(struct testpki_spec){
        .cn = "Soon CA", .is_ca = true, .not_before = now - 9 * TESTPKI_DAY, .not_after = now + 5 * TESTPKI_DAY + 60});
    put_pem("expired.pem", &expired, NULL, false);
    put_key("expired-key.pem", &expired);
    put_pem("soon.pem", &soon, NULL, false);
    put_crl("soon.crl", &soon, "1", 0, 30);
    char *path = path_join(directory, "expired-key.pem");
    ck_assert_int_eq(chmod(path, 0644), 0);
    const struct plan plan = {.certificate = "expired.pem",
                              .key = "expired-key.pem",
                              .bundle = "soon.pem\n    allow_sha1: true",
                              .crl = "soon.crl",
                              .more = ""};
    static const char *const wanted[] = {
        "f:11:18: warning: hostname 'a.test': certificate CN=b.test expired on ",
        "f:5:11: warning: CA bundle 'b': certificate CN=Soon CA expires in 5 days, on ",
        "f:12:18: warning: hostname 'a.test': everybody on this machine can read the private key expired-key.pem ",
        "f:11:18: warning: hostname 'a.test': the certificate expired.pem does not name it",
        "f:6:17: warning: CA bundle 'b': allow_sha1: signatures with SHA-1 can be forged"};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        expect_part(&plan, wanted[i], true);
    mem_free(path);
    testpki_free(&expired);
    testpki_free(&soon);
}
END_TEST

START_TEST(a_directory_brings_its_files_once_and_by_name) {
    struct resolved resolved;
    bool is_good;
    struct err err;
    put_crl("dir/z.crl", &ca, "6", 0, 30);
    put_crl("dir/a.crl", &ca, "7", 0, 30);
    char *file = mem_printf("%s/dir/z.crl", directory);
    char *said = ask(&(struct plan){.crl = file, .crl_more = ", directory: dir"}, NULL, &resolved, &is_good);
    ck_assert_msg(is_good && said[0] == '\0', "%s", said);
    struct conf *conf = document_read(sbuf_slice(&resolved.document), &err);
    const conf_files *lists = &conf->ca_bundles.items[0].crl.lists;
    ck_assert_uint_eq(lists->count, 2);
    ck_assert_str_eq(lists->items[0].path.text, file);
    ck_assert(slice_ends_with(slice_of(lists->items[1].path.text), SLICE("/dir/a.crl")));
    ck_assert_uint_eq(conf->ca_bundles.items[0].crl.files.count, 0); /* the document has what is in force */
    conf_free(&conf);
    resolved_fini(&resolved);
    mem_free(said);
    mem_free(file);
}
END_TEST

START_TEST(sec_09_a_directory_that_is_not_good_is_an_error) {
    expect_part(&(struct plan){.crl = "", .crl_more = ", directory: dir"}, "there is no CRL in dir yet", true);
    expect_part(&(struct plan){.crl = "", .crl_more = ", directory: gone"},
                "f:7:33: CA bundle 'b': gone cannot be read: No such file", false);
    put("dir/junk", SLICE("junk"));
    expect_part(&(struct plan){.crl = "", .crl_more = ", directory: dir"}, "f:7:33: CA bundle 'b': dir/junk: ", false);
    expect_part(&(struct plan){.crl = "'http://crl.example.test/a.crl'"}, "it belongs under crl.urls", false);
}
END_TEST

START_TEST(what_is_said_of_accept_older) {
    expect(&(struct plan){.crl_more = ", accept_older: true"},
           "f:7:42: warning: CA bundle 'b': crl.accept_older: an older list may undo revocations; take it out again\n");
}
END_TEST

START_TEST(sec_28_require_without_a_crl_is_said_in_advance) {
    put_pem("both.pem", &intermediate, &ca, false);
    put_crl("intermediate.crl", &intermediate, "1", 0, 30);
    expect(&(struct plan){.crl = "", .crl_more = ", require: leaf"},
           "f:7:31: warning: CA bundle 'b': crl.require: leaf, but there is no CRL of CN=CA: every certificate is "
           "denied\n");
    expect(&(struct plan){.bundle = "both.pem", .crl = "intermediate.crl", .crl_more = ", require: chain"},
           "f:7:47: warning: CA bundle 'b': crl.require: chain, but there is no CRL of CN=CA: every certificate is "
           "denied\n");
    expect(&(struct plan){.bundle = "both.pem", .crl_more = ", require: chain"},
           "f:7:37: warning: CA bundle 'b': crl.require: chain, but there is no CRL of CN=Intermediate: what it issued "
           "is denied\n");
    expect(&(struct plan){.bundle = "both.pem", .crl = "ca.crl, intermediate.crl", .crl_more = ", require: chain"}, "");
    expect(&(struct plan){.crl = ""}, "");
}
END_TEST

START_TEST(sec_29_the_age_of_a_crl_is_warned_about) {
    static const struct {
        int age, life;
        const char *said;
    } rows[] = {
        {10, 100, NULL},
        {60, 100, "is past 50 % of its life"},
        {85, 100, "is past 80 % of its life"},
        {97, 100, "is past 95 % of its life"},
        {101, 100, "expired on "},
        {-1, 100, "is not valid before "},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        put_crl("ca.crl", &ca, "5", rows[i].age, rows[i].life);
        if (rows[i].said)
            expect_part(&(struct plan){.key = NULL}, rows[i].said, true);
        else
            expect(&(struct plan){.key = NULL}, "");
    }
}
END_TEST

START_TEST(sec_29_a_crl_of_a_stranger_is_an_error_at_start) {
    put_crl("other.crl", &other_ca, "1", 0, 30);
    expect_part(&(struct plan){.crl = "other.crl"}, "f:7:19: CA bundle 'b': other.crl: CRL is from CN=Other CA", false);
}
END_TEST

/* A reload: what the CRL file holds now, and whether the list in force stays. */
static void expect_reload(const struct plan *before, const struct plan *after, const char *said_part,
                          bool should_stay) {
    struct resolved first, second;
    bool is_good;
    char *said = ask(before, NULL, &first, &is_good);
    ck_assert_msg(is_good && first.crl_count == 1, "%s", said);
    mem_free(said);
    struct crl *in_force = first.crls[0].crl;
    put("ca.crl", SLICE(""));
    said = ask(after, &first, &second, &is_good);
    ck_assert_msg(is_good, "%s", said);
    ck_assert_msg(said_part ? strstr(said, said_part) != NULL : *said == '\0', "%s", said);
    ck_assert_uint_eq(second.crl_count, 1);
    ck_assert_int_eq(second.crls[0].crl == in_force, should_stay);
    /* And the generation after that keeps it just as well. */
    struct resolved third;
    mem_free(said);
    said = ask(after, &second, &third, &is_good);
    ck_assert_msg(is_good && third.crl_count == 1, "%s", said);
    ck_assert_int_eq(third.crls[0].crl == in_force, should_stay);
    mem_free(said);
    resolved_fini(&first);
    resolved_fini(&second);
    resolved_fini(&third);
}

START_TEST(sec_29_an_unusable_crl_keeps_the_last_good_at_a_reload) {
    const struct plan plan = {.key = NULL};
    expect_reload(&plan, &plan, "f:7:19: warning: CA bundle 'b': ca.crl: ", true);
}
END_TEST

/* Puts one list in force, then another in its place. */
static void expect_replaced(const char *old_number, int old_age, const char *new_number, int new_age,
                            bool should_stay) {
    struct resolved first, second;
    const struct plan plan = {.key = NULL};
    bool is_good;
    put_crl("ca.crl", &ca, old_number, old_age, 100);
    mem_free(ask(&plan, NULL, &first, &is_good));
    ck_assert(is_good);
    put_crl("ca.crl", &ca, new_number, new_age, 100);
    char *said = ask(&plan, &first, &second, &is_good);
    ck_assert(is_good);
    ck_assert_int_eq(strstr(said, "is older than the one in force") != NULL, should_stay);
    ck_assert_int_eq(second.crls[0].crl == first.crls[0].crl, should_stay);
    ck_assert_uint_eq(second.crl_count, 1);
    mem_free(said);
    resolved_fini(&first);
    resolved_fini(&second);
}

START_TEST(sec_29_an_older_crl_never_replaces_a_newer) {
    expect_replaced("5", 1, "4", 0, true);
    expect_replaced("256", 1, "255", 0, true);
    expect_replaced("5", 1, "6", 0, false);
    expect_replaced("5", 0, "6", 1, false); /* the number counts, not the date */
    expect_replaced("5", 1, "5", 0, false);
    expect_replaced(NULL, 0, NULL, 1, true); /* cfssl's have no number */
    expect_replaced(NULL, 1, NULL, 0, false);
    expect_replaced("5", 0, NULL, 1, true);
    expect_replaced("5", 1, NULL, 0, false);
}
END_TEST

START_TEST(sec_29_nor_under_another_file_name) {
    struct resolved first, second;
    bool is_good;
    put_crl("ca.crl", &ca, "5", 1, 100);
    put_crl("new.crl", &ca, "4", 0, 100);
    mem_free(ask(&(struct plan){.key = NULL}, NULL, &first, &is_good));
    ck_assert(is_good);
    char *said = ask(&(struct plan){.crl = "new.crl"}, &first, &second, &is_good);
    ck_assert_msg(is_good && strstr(said, "is older than the one in force"), "%s", said);
    ck_assert_ptr_eq(second.crls[0].crl, first.crls[0].crl);
    resolved_fini(&second);
    mem_free(said);
    /* At start there is nothing to compare with, and another CA's list is another matter. */
    expect(&(struct plan){.crl = "new.crl"}, "");
    resolved_fini(&first);
}
END_TEST

START_TEST(a_url_that_waits_takes_no_list_over) {
    struct resolved first, second;
    bool is_good;
    const char *url = ", urls: ['http://a.test/l.crl']";
    put_crl("gone.crl", &ca, "9", 1, 100);
    mem_free(ask(&(struct plan){.crl = "ca.crl, gone.crl", .crl_more = url}, NULL, &first, &is_good));
    ck_assert(is_good && first.crl_count == 2);
    char *said = ask(&(struct plan){.crl = "ca.crl", .crl_more = url}, &first, &second, &is_good);
    ck_assert_msg(is_good && second.crl_count == 1, "%s", said);
    ck_assert_str_eq(second.crls[0].digest, first.crls[0].digest);
    resolved_fini(&second);
    mem_free(said);
    /* A new one does, until it has brought its own: a change of the source is no gap. */
    resolved_fini(&first);
    mem_free(ask(&(struct plan){.crl = "ca.crl, gone.crl"}, NULL, &first, &is_good));
    said = ask(&(struct plan){.crl = "ca.crl", .crl_more = url}, &first, &second, &is_good);
    ck_assert_msg(is_good && second.crl_count == 2, "%s", said);
    resolved_fini(&first);
    resolved_fini(&second);
    mem_free(said);
}
END_TEST

START_TEST(sec_29_a_kept_crl_belongs_to_a_ca_of_the_bundle) {
    struct resolved first, second;
    bool is_good;
    put_pem("other.pem", &other_ca, NULL, false);
    mem_free(ask(&(struct plan){.key = NULL}, NULL, &first, &is_good));
    ck_assert(is_good);
    put("ca.crl", SLICE("garbage"));
    char *said = ask(&(struct plan){.bundle = "other.pem"}, &first, &second, &is_good);
    ck_assert_msg(!is_good && strstr(said, "f:7:19: CA bundle 'b': ca.crl: "), "%s", said);
    mem_free(said);
    resolved_fini(&first);
    resolved_fini(&second);
}
END_TEST

START_TEST(several_lists_in_a_pem_file_share_its_digest) {
    struct resolved resolved;
    struct sbuf der, pem;
    bool is_good;
    sbuf_init(&pem, TEXT_MAX);
    const struct testpki *issuers[] = {&ca, &intermediate};
    for (size_t i = 0; i < 2; i++) {
        sbuf_init(&der, TEXT_MAX);
        testpki_crl(
            &(struct testpki_crl_spec){
                .issuer = issuers[i], .number = "1", .this_update = now - 60, .next_update = now + TESTPKI_DAY},
            &der);
        testpki_der_to_pem(sbuf_slice(&der), "X509 CRL", &pem);
        sbuf_fini(&der);
    }
    put("two.crl", sbuf_slice(&pem));
    put_pem("both.pem", &intermediate, &ca, false);
    char *said = ask(&(struct plan){.bundle = "both.pem", .crl = "two.crl, two.crl"}, NULL, &resolved, &is_good);
    ck_assert_msg(is_good, "%s", said);
    ck_assert_uint_eq(resolved.crl_count, 2);
    ck_assert_str_eq(resolved.crls[0].digest, resolved.crls[1].digest);
    mem_free(said);
    sbuf_fini(&pem);
    resolved_fini(&resolved);
}
END_TEST

START_TEST(addresses_rules_tls_settings_and_tests_are_proved) {
    static const struct {
        struct plan plan;
        const char *said;
    } rows[] = {
        {{.address = "unix:sock"},
         "f:1:23: listeners[0].address: expected host:port, [::]:port or *:port, found 'unix:"},
        {{.address = "localhost:1"}, "f:1:23: listeners[0].address: expected an IP address"},
        {{.address = "127.0.0.1:70000"}, "f:1:23: listeners[0].address: expected an IP address"},
        {{.address = "*:4433'}, {address: '[::]:4433"}, "f:1:44: duplicate listener '[::]:4433'; first on line 1"},
        {{.server = "127.0.0.1"}, "f:13:33: expected host:port"},
        {{.server = "127.0.0.1:0"}, "f:13:33: server '127.0.0.1:0': expected a port from 1 to 65535"},
        {{.server = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test:1"},
         "f:13:33: server 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test:1': cannot resolve"},
        {{.rule = "{ip: {any_of: [192.0.2.1, 192.0.2.1/24]}}"},
         "f:15:116: rule ip: '192.0.2.1/24' has bits set beyond its prefix; the network is 192.0.2.0/24"},
        {{.rule = "{serial_number: xyz}"}, "f:15:106: rule serial_number: "},
        {{.more = "groups: [{name: g, include: [{ip: 1}]}]\n"}, "f:16:35: rule ip: "},
        {{.more = "tls: {ciphers: 'NO-SUCH'}\n"}, "f:16:16: tls.ciphers: no "},
        {{.more = "tls: {groups: 'P-1'}\n"}, "f:16:15: tls.groups: "},
        {{.test = "url: a.test"}, "f:14:15: tests[0].url: \"a.test\" cannot be asked for: "},
        {{.test = "url: 'https://a.test/', ip: '1:0'"},
         "f:14:38: tests[0].ip: expected an address such as 192.0.2.7, found '1:0'"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_part(&rows[i].plan, rows[i].said, false);
    expect(&(struct plan){.server = "localhost:3000"}, "");
    expect(&(struct plan){.server = "builtin:whoami"}, "");
    expect(&(struct plan){.rule = "{ip: {any_of: [192.0.2.1, 192.0.2.0/24, '2001:db8::/32']}}"}, "");
}
END_TEST

START_TEST(sec_47_an_admin_address_beyond_loopback_is_warned_about) {
    expect(&(struct plan){.admin = "[::1]:9443"}, "");
    expect(&(struct plan){.admin = "*:9443"},
           "f:2:18: warning: admin.address: '*:9443' can be reached from other machines, and is not encrypted\n");
    expect_part(&(struct plan){.admin = "9443"}, "f:2:18: admin.address: expected an IP address and a port", false);
}
END_TEST

START_TEST(application_domains_are_proved) {
    static const struct {
        const char *domain, *said;
    } rows[] = {
        {"'a.test/*'",
         "applications[1].domain: the domain \"a.test/*\" is taken by another application, as \"a.test\""},
        {"'a.test/a**b'", "applications[1].domain: "},
        {"'a.test/?q'", "applications[1].domain: "},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *rule = mem_printf("{certificate: {}}]}]}, {name: q, domain: %s, policies: [{name: x, decision: allow, "
                                "include: [{certificate: {}}",
                                rows[i].domain);
        expect_part(&(struct plan){.rule = rule}, rows[i].said, false);
        mem_free(rule);
    }
    expect(&(struct plan){.rule = "{certificate: {}}]}]}, {name: q, domain: a.test/v1, policies: [{name: x, decision: "
                                  "allow, include: [{certificate: {}}"},
           "");
}
END_TEST

Suite *snapshot_resolve_suite(void);
Suite *snapshot_resolve_suite(void) {
    Suite *suite = suite_create("snapshot/resolve");
    TCase *tcase = tcase_create("resolve");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_good_configuration_makes_document_secrets_and_crls);
    tcase_add_test(tcase, equal_configurations_make_equal_documents);
    tcase_add_test(tcase, sec_09_an_unusable_file_is_an_error_at_the_place_of_its_path);
    tcase_add_test(tcase, sec_09_all_errors_come_at_once_with_those_of_the_text);
    tcase_add_test(tcase, sec_22_every_certificate_of_a_bundle_is_a_ca);
    tcase_add_test(tcase, sec_23_a_bundle_has_an_anchor);
    tcase_add_test(tcase, certificate_and_key_belong_together);
    tcase_add_test(tcase, sec_47_a_key_beside_its_certificate_stays_out_of_the_document);
    tcase_add_test(tcase, warnings_do_not_stop);
    tcase_add_test(tcase, a_directory_brings_its_files_once_and_by_name);
    tcase_add_test(tcase, sec_09_a_directory_that_is_not_good_is_an_error);
    tcase_add_test(tcase, what_is_said_of_accept_older);
    tcase_add_test(tcase, sec_28_require_without_a_crl_is_said_in_advance);
    tcase_add_test(tcase, sec_29_the_age_of_a_crl_is_warned_about);
    tcase_add_test(tcase, sec_29_a_crl_of_a_stranger_is_an_error_at_start);
    tcase_add_test(tcase, sec_29_an_unusable_crl_keeps_the_last_good_at_a_reload);
    tcase_add_test(tcase, sec_29_an_older_crl_never_replaces_a_newer);
    tcase_add_test(tcase, sec_29_nor_under_another_file_name);
    tcase_add_test(tcase, a_url_that_waits_takes_no_list_over);
    tcase_add_test(tcase, sec_29_a_kept_crl_belongs_to_a_ca_of_the_bundle);
    tcase_add_test(tcase, several_lists_in_a_pem_file_share_its_digest);
    tcase_add_test(tcase, addresses_rules_tls_settings_and_tests_are_proved);
    tcase_add_test(tcase, sec_47_an_admin_address_beyond_loopback_is_warned_about);
    tcase_add_test(tcase, application_domains_are_proved);
    suite_add_tcase(suite, tcase);
    return suite;
}
