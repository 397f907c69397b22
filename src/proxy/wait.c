/* wait: see the header. Begun and woken by tokens.c and statuses.c, made and cancelled by the exchange's steps. */
#include "proxy/wait.h"

static void end(struct wait *wait) {
    list_remove(&wait->node);
    loop_timer_free(&wait->timer);
    wait->is_over = true;
    wait->done(wait->arg);
}

static void on_limit(void *arg) { end(arg); }

void wait_init(struct wait *wait, void (*done)(void *arg), void *arg) {
    *wait = (struct wait){.done = done, .arg = arg};
    list_init(&wait->node);
}

void wait_begin(struct wait *wait, struct list *waiting, struct loop *loop, int64_t limit_ms) {
    wait->timer = loop_timer_new(loop, on_limit, wait);
    loop_timer_set(wait->timer, limit_ms);
    list_push_back(waiting, &wait->node);
}

void wait_cancel(struct wait *wait) {
    if (!wait_is_ready(wait))
        return;
    list_remove(&wait->node);
    loop_timer_free(&wait->timer);
}

void wait_wake(struct list *waiting) {
    struct list woken;
    list_init(&woken);
    LIST_EACH (node, next, waiting) {
        list_remove(node);
        list_push_back(&woken, node);
    }
    while (!list_is_empty(&woken))
        end(LIST_ENTRY(woken.next, struct wait, node));
}
