/*
 * messages: every error and warning about a configuration, with its place. Everyone who looks at a configuration adds;
 * the commands print.
 */
#include "conf/conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

/* A file that is wrong from end to end does not fill the memory; the count of errors goes on. */
#define MESSAGES_MAX 10000
#define MESSAGE_TEXT_MAX 2048

void conf_messages_init(struct conf_messages *messages, const char *file) {
    *messages = (struct conf_messages){.file = file};
}

void conf_messages_fini(struct conf_messages *messages) {
    for (size_t i = 0; i < messages->count; i++)
        mem_free(messages->items[i].text);
    mem_free(messages->items);
    *messages = (struct conf_messages){.file = messages->file};
}

__attribute__((format(printf, 3, 0))) static void
message_add(struct conf_messages *messages, struct conf_message message, const char *format, va_list args) {
    if (!message.is_warning)
        messages->errors++;
    if (messages->count == MESSAGES_MAX)
        return;
    if (messages->count == messages->cap) {
        messages->cap = messages->cap ? 2 * messages->cap : 16;
        messages->items = mem_resize(messages->items, messages->cap * sizeof(*messages->items));
    }
    char text[MESSAGE_TEXT_MAX];
    vsnprintf(text, sizeof(text), format, args);
    message.text = mem_strdup(text);
    messages->items[messages->count++] = message;
}

void conf_error(struct conf_messages *messages, struct conf_pos pos, const char *format, ...) {
    va_list args;
    va_start(args, format);
    message_add(messages, (struct conf_message){.pos = pos}, format, args);
    va_end(args);
}

void conf_warning(struct conf_messages *messages, struct conf_pos pos, const char *format, ...) {
    va_list args;
    va_start(args, format);
    message_add(messages, (struct conf_message){.pos = pos, .is_warning = true}, format, args);
    va_end(args);
}

/* By place; of two at one place, by text, so that the order never depends on who looked first. */
static int message_compare(const void *left, const void *right) {
    const struct conf_message *a = left, *b = right;
    if (a->pos.line != b->pos.line)
        return a->pos.line < b->pos.line ? -1 : 1;
    if (a->pos.column != b->pos.column)
        return a->pos.column < b->pos.column ? -1 : 1;
    return strcmp(a->text, b->text);
}

void conf_messages_print(struct conf_messages *messages, struct sbuf *out) {
    if (messages->count > 0)
        qsort(messages->items, messages->count, sizeof(*messages->items), message_compare);
    for (size_t i = 0; i < messages->count; i++) {
        const struct conf_message *message = &messages->items[i];
        /* What has no place of its own is about the file: its beginning. */
        int line = message->pos.line > 0 ? message->pos.line : 1;
        int column = message->pos.column > 0 ? message->pos.column : 1;
        sbuf_printf(out, "%s:%d:%d: %s%s\n", messages->file ? messages->file : "configuration", line, column,
                    message->is_warning ? "warning: " : "", message->text);
    }
}
