/* YAML: syntax errors at their place, and what of YAML is refused. */
#include "conf_rig.h"

#include "base/mem.h"

START_TEST(sec_11_syntax_errors_have_a_place) {
    static const struct {
        const char *yaml, *messages;
    } rows[] = {
        {"", "f:1:1: the file is empty: expected at least 'listeners' and 'hostnames'\n"},
        {"# nothing\n", "f:1:1: the file is empty: expected at least 'listeners' and 'hostnames'\n"},
        {"a: [1, 2\n", "f:2:1: syntax error: did not find expected ',' or ']', while parsing a flow sequence that "
                       "begins on line 1\n"},
        {"a: 1\n b: 2\n", "f:2:3: syntax error: mapping values are not allowed in this context\n"},
        {"a: 'x\n",
         "f:2:1: syntax error: found unexpected end of stream, while scanning a quoted scalar that begins on line 1\n"},
        {"a:\n\t- b\n",
         "f:2:1: syntax error: found character that cannot start any token, while scanning for the next token\n"},
        {"a: \"\\q\"\n", "f:1:5: syntax error: found unknown escape character, while parsing a quoted scalar\n"},
        {"a: \xff\n", "f:1:4: syntax error: invalid leading UTF-8 octet\n"},
        {"x: 1\na: \xc3\x28\n", "f:2:5: syntax error: invalid trailing UTF-8 octet\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        rig_expect(rows[i].yaml, rows[i].messages);
}
END_TEST

START_TEST(sec_11_anchors_aliases_and_tags_are_refused_all_at_once) {
    rig_expect("a: &x 1\nb: *x\nc: !!str 1\nd: !mine {}\n",
               "f:1:4: anchors are not supported: write the value out\n"
               "f:2:4: aliases are not supported: write the value out\n"
               "f:3:4: tags are not supported: write the value without it\n"
               "f:4:4: tags are not supported: write the value without it\n");
    /* A hundred million laughs cost nothing. */
    rig_expect_part("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n", "f:4:5: aliases are not supported");
    rig_expect_part("a: &a [*a]\n", "f:1:8: aliases are not supported");
}
END_TEST

START_TEST(sec_11_duplicate_keys_are_refused) {
    rig_expect(LEAST "tls: {min_version: '1.3', min_version: '1.2'}\n",
               "f:4:27: duplicate key 'min_version'; first on line 4\n");
    rig_expect(LEAST "tests: []\ntests: []\n", "f:5:1: duplicate key 'tests'; first on line 4\n");
}
END_TEST

START_TEST(one_document_only) {
    rig_expect(LEAST "---\na: 1\n", "f:4:1: a second document begins here: expected only one\n");
    rig_expect("---\n" LEAST "...\n", "");
}
END_TEST

START_TEST(a_byte_order_mark_is_no_column) {
    rig_expect_part("\xef\xbb\xbflisteners: []\nhostnames: []\nx: 1\n", "f:3:1: unknown key 'x'");
    rig_expect("\xef\xbb\xbf", "f:1:1: the file is empty: expected at least 'listeners' and 'hostnames'\n");
}
END_TEST

START_TEST(depth_is_bounded) {
    char yaml[4096] = "tests: ";
    for (int i = 0; i < 1000; i++)
        strcat(yaml, "[");
    rig_expect_part(yaml, "f:1:31: nested too deep: at most 24 levels");
}
END_TEST

START_TEST(keys_are_texts) {
    rig_expect_part(LEAST "? [a]\n: 1\n", "f:4:3: expected a key, found a list\n");
    rig_expect_part("- a\n- b\n", "f:1:1: the file: expected an object with keys such as workers, found a list\n");
    rig_expect_part("hello\n", "f:1:1: the file: expected an object with keys such as workers, found 'hello'\n");
}
END_TEST

START_TEST(words_of_yaml_stay_text) {
    struct conf *conf = rig_parse(
        "listeners: [{address: '127.0.0.1:8443'}]\n"
        "hostnames: [{name: no.test, certificate: yes, private_key: 1.20, upstream: builtin:whoami, public: true}]\n"
        "log: {access: off}\n");
    ck_assert_str_eq(conf->hostnames.items[0].certificates.items[0].path.text, "dir/yes");
    ck_assert_str_eq(conf->hostnames.items[0].private_keys.items[0].path.text, "dir/1.20");
    ck_assert_str_eq(conf->log.access.text, "off");
    conf_free(&conf);
}
END_TEST

Suite *conf_yaml_suite(void);
Suite *conf_yaml_suite(void) {
    Suite *suite = suite_create("conf/yaml");
    TCase *tcase = tcase_create("yaml");
    tcase_add_test(tcase, sec_11_syntax_errors_have_a_place);
    tcase_add_test(tcase, sec_11_anchors_aliases_and_tags_are_refused_all_at_once);
    tcase_add_test(tcase, sec_11_duplicate_keys_are_refused);
    tcase_add_test(tcase, one_document_only);
    tcase_add_test(tcase, a_byte_order_mark_is_no_column);
    tcase_add_test(tcase, depth_is_bounded);
    tcase_add_test(tcase, keys_are_texts);
    tcase_add_test(tcase, words_of_yaml_stay_text);
    suite_add_tcase(suite, tcase);
    return suite;
}
