/* conf_rig: see the header. */
#include "conf_rig.h"

#include "base/mem.h"

#define OUTPUT_MAX ((size_t)64 * 1024 * 1024)

char *rig_messages(const char *yaml) {
    struct conf_messages messages;
    struct sbuf out;
    conf_messages_init(&messages, "f");
    sbuf_init(&out, OUTPUT_MAX);
    struct conf *conf = conf_parse(slice_of(yaml), "f", "dir", &messages);
    ck_assert_msg((conf == NULL) == (messages.errors > 0), "a configuration comes out exactly when there is no error");
    conf_messages_print(&messages, &out);
    char *text = mem_strdup(sbuf_text(&out));
    conf_free(&conf);
    conf_messages_fini(&messages);
    sbuf_fini(&out);
    return text;
}

struct conf *rig_parse(const char *yaml) {
    struct conf_messages messages;
    struct sbuf out;
    conf_messages_init(&messages, "f");
    sbuf_init(&out, OUTPUT_MAX);
    struct conf *conf = conf_parse(slice_of(yaml), "f", "dir", &messages);
    conf_messages_print(&messages, &out);
    ck_assert_msg(conf != NULL, "%s\n%s", sbuf_text(&out), yaml);
    conf_messages_fini(&messages);
    sbuf_fini(&out);
    return conf;
}

void rig_expect(const char *yaml, const char *expected_messages) {
    char *messages = rig_messages(yaml);
    ck_assert_msg(strcmp(messages, expected_messages) == 0, "of\n%s\nexpected\n%sgot\n%s", yaml, expected_messages,
                  messages);
    mem_free(messages);
}

void rig_expect_part(const char *yaml, const char *text) {
    char *messages = rig_messages(yaml);
    ck_assert_msg(strstr(messages, text) != NULL, "of\n%s\nexpected among the messages\n%s\ngot\n%s", yaml, text,
                  messages);
    mem_free(messages);
}

char *rig_document(const struct conf *conf) {
    struct sbuf out;
    sbuf_init(&out, OUTPUT_MAX);
    document_write(conf, &out);
    ck_assert(!out.overflow);
    char *text = mem_strdup(sbuf_text(&out));
    sbuf_fini(&out);
    return text;
}
