/*
 * fuzz_config: any text as a configuration; what is accepted makes a document that is read back to the same, and any
 * text as a document. Inputs that begin with "{" are tried as a document, all as YAML.
 */
#include <stdint.h>

#include "base/mem.h"
#include "conf/document.h"

#define OUTPUT_MAX ((size_t)256 * 1024 * 1024)

static void expect_round_trip(const struct conf *conf) {
    struct sbuf first, second, yaml;
    struct err err;
    sbuf_init(&first, OUTPUT_MAX);
    sbuf_init(&second, OUTPUT_MAX);
    sbuf_init(&yaml, OUTPUT_MAX);
    document_write(conf, &first);
    INVARIANT(!first.overflow);
    struct conf *again = document_read(sbuf_slice(&first), &err);
    INVARIANT(again);
    document_write(again, &second);
    INVARIANT(slice_eq(sbuf_slice(&first), sbuf_slice(&second)));
    conf_write_yaml(again, &yaml);
    conf_free(&again);
    sbuf_fini(&first);
    sbuf_fini(&second);
    sbuf_fini(&yaml);
}

static void try_yaml(struct slice text) {
    struct conf_messages messages;
    struct sbuf out;
    conf_messages_init(&messages, "fuzz");
    sbuf_init(&out, OUTPUT_MAX);
    struct conf *conf = conf_parse(text, "fuzz", ".", &messages);
    INVARIANT((conf != NULL) == (messages.errors == 0));
    conf_messages_print(&messages, &out);
    for (size_t i = 0; i < messages.count; i++)
        INVARIANT(messages.items[i].pos.line > 0 && messages.items[i].pos.column > 0);
    if (conf)
        expect_round_trip(conf);
    conf_free(&conf);
    conf_messages_fini(&messages);
    sbuf_fini(&out);
}

static void try_document(struct slice text) {
    struct err err;
    struct conf *conf = document_read(text, &err);
    if (conf)
        expect_round_trip(conf);
    conf_free(&conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice text = slice_make(data, size);
    if (size > 0 && data[0] == '{')
        try_document(text);
    try_yaml(text);
    return 0;
}
