/*
 * control_ask: the workers' lines to control (ipc/ask.h), one for each, and who answers which kind of question. A
 * worker that breaks the rules loses its line; it is not believed anyway. Lines that come before a generation is in
 * force are not read until then.
 */
#include <unistd.h>

#include "base/log.h"
#include "control_priv.h"

static void on_asked(void *arg, struct ask_question *question) {
    const struct asking *asking = arg;
    switch (question->kind) {
    case ASK_SIGN:
        tokens_answer(asking->control, question);
        break;
    case ASK_OCSP:
        ocsp_desk_answer(asking->control->ocsp_desk, question);
        break;
    default:
        ask_question_refuse(&question);
    }
}

static int index_of(const struct asking *asking) { return (int)(asking - asking->control->asking); }

static void on_closed(void *arg, const char *fault) {
    struct asking *asking = arg;
    if (fault[0] != '\0')
        log_error("worker %d asked %s; it is not answered any more", index_of(asking), fault);
    answerer_close(&asking->answerer);
}

static void drop(struct asking *asking) {
    answerer_close(&asking->answerer);
    if (asking->fd >= 0)
        (void)close(asking->fd);
    asking->fd = -1;
}

static void open_line(struct asking *asking) {
    if (asking->fd < 0)
        return;
    asking->answerer = answerer_open(asking->control->loop, asking->fd, on_asked, on_closed, asking);
    asking->fd = -1;
    tokens_greet(asking);
}

void ask_add(struct control *control, int64_t index, int fd) {
    if (index < 0 || index >= GENERATION_WORKERS_MAX) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    struct asking *asking = &control->asking[index];
    drop(asking);
    asking->fd = fd;
    if (control->does_answer)
        open_line(asking);
}

void ask_open(struct control *control) {
    control->does_answer = true;
    for (size_t i = 0; i < GENERATION_WORKERS_MAX; i++)
        open_line(&control->asking[i]);
}

void ask_start(struct control *control) {
    for (size_t i = 0; i < GENERATION_WORKERS_MAX; i++)
        control->asking[i] = (struct asking){.control = control, .fd = -1};
}

void ask_stop(struct control *control) {
    for (size_t i = 0; i < GENERATION_WORKERS_MAX; i++)
        drop(&control->asking[i]);
}
