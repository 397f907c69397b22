/*
 * loop: the event loop, over libevent (the only file that knows it). Everything above calls it through io/loop.h.
 *
 * A turn:  wait -> descriptors, timers, signals -> triggered watches -> one queued task -> deferred tasks
 *
 * Long work is queued and done a piece a turn: what is short never waits for more than one piece of it, and it gets
 * what time is left.
 *
 * Reading is registered once and stays so (EV_PERSIST): no epoll_ctl for a request on a kept connection. When an owner
 * stops reading, the registration is taken back only if the descriptor becomes ready meanwhile. Timers of a duration
 * that is used often wait in a queue of that duration; others in libevent's heap.
 */
/* First: these borrow the name LIST_ENTRY, which is ours below. */
#include <event2/event.h>
#include <event2/event_struct.h>

#include "io/loop.h"

#include "base/clock.h"
#include "base/mem.h"

/* libevent has room for 256 common timeouts; durations come from configuration and change with reloads. */
#define QUEUES_MAX 64
#define DURATION_SLOTS 256
#define DURATION_PROBES 4
/* So often must a duration be used before it gets a queue of its own. */
#define DURATION_FREQUENT 8
/* Tasks may put on further tasks for the same turn (one object's end is another's); a chain longer than this goes on in
 * the next. */
#define TASK_ROUNDS 32

struct duration {
    int64_t ms;
    unsigned uses;
    const struct timeval *queue; /* NULL: not frequent, or no queue left */
};

struct signal_watch {
    struct list node;
    struct event event;
    struct loop *loop;
    struct loop_task delivery;
    void (*fn)(void *arg);
    void *arg;
};

struct loop {
    struct event_base *base;
    struct event wake; /* bounds the wait of one turn */
    int64_t now_ms;
    bool is_now_stale;
    bool stopping;
    struct list triggered; /* watches */
    struct list tasks;
    struct list queue; /* tasks that may wait */
    struct list signals;
    struct duration durations[DURATION_SLOTS];
    size_t queue_count;
};

struct loop_watch {
    struct loop *loop;
    struct event read;
    struct event *write; /* made when it is first waited for: most connections never do */
    int fd;
    int wanted;     /* what the owner waits for */
    int registered; /* what libevent waits for: wanted, and perhaps LOOP_READ besides */
    int triggered;
    struct list node; /* on loop->triggered, or on none */
    void (*fn)(void *arg, int ready);
    void *arg;
};

struct loop_timer {
    struct loop *loop;
    struct event event;
    void (*fn)(void *arg);
    void *arg;
};

/* ---- the loop ---- */

static void loop_refresh(struct loop *loop) {
    if (loop->is_now_stale) {
        loop->now_ms = clock_mono_us() / 1000;
        loop->is_now_stale = false;
    }
}

static void on_wake(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    (void)arg;
}

struct loop *loop_new(struct err *err) {
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;
    if (config && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0) {
        base = event_base_new_with_config(config);
    }
    if (config) {
        event_config_free(config);
    }
    if (!base) {
        (void)err_set(err, "cannot make an event loop");
        return NULL;
    }
    struct loop *loop = NEW(struct loop);
    loop->base = base;
    loop->is_now_stale = true;
    loop_refresh(loop);
    list_init(&loop->triggered);
    list_init(&loop->tasks);
    list_init(&loop->queue);
    list_init(&loop->signals);
    INVARIANT(event_assign(&loop->wake, base, -1, 0, on_wake, NULL) == 0);
    return loop;
}

static void run_tasks(struct loop *loop) {
    for (int round = 0; round < TASK_ROUNDS && !list_is_empty(&loop->tasks); round++) {
        struct list batch;
        list_init(&batch);
        list_insert_before(&loop->tasks, &batch);
        list_remove(&loop->tasks); /* the batch is the head of what was there; the loop's list is empty */
        while (!list_is_empty(&batch)) {
            struct loop_task *task = LIST_ENTRY(batch.next, struct loop_task, node);
            list_remove(&task->node);
            task->fn(task->arg);
        }
    }
}

static void run_triggered(struct loop *loop) {
    if (list_is_empty(&loop->triggered)) {
        return;
    }
    struct list batch;
    list_init(&batch);
    list_insert_before(&loop->triggered, &batch);
    list_remove(&loop->triggered);
    while (!list_is_empty(&batch)) {
        struct loop_watch *watch = LIST_ENTRY(batch.next, struct loop_watch, node);
        int ready = watch->triggered;
        list_remove(&watch->node);
        watch->triggered = 0;
        watch->fn(watch->arg, ready);
    }
}

static void run_queued(struct loop *loop) {
    if (list_is_empty(&loop->queue)) {
        return;
    }
    struct loop_task *task = LIST_ENTRY(loop->queue.next, struct loop_task, node);
    list_remove(&task->node);
    task->fn(task->arg);
}

static void turn(struct loop *loop, int flags) {
    if (!list_is_empty(&loop->triggered) || !list_is_empty(&loop->tasks) || !list_is_empty(&loop->queue)) {
        flags |= EVLOOP_NONBLOCK;
    }
    loop->is_now_stale = true;
    INVARIANT(event_base_loop(loop->base, flags | EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY) >= 0);
    loop_refresh(loop);
    run_triggered(loop);
    run_queued(loop);
    run_tasks(loop);
}

void loop_run(struct loop *loop) {
    loop->stopping = false;
    while (!loop->stopping) {
        turn(loop, 0);
    }
}

void loop_turn(struct loop *loop, int max_wait_ms) {
    if (max_wait_ms <= 0) {
        turn(loop, EVLOOP_NONBLOCK);
        return;
    }
    struct timeval wait = {.tv_sec = max_wait_ms / 1000, .tv_usec = max_wait_ms % 1000 * 1000};
    INVARIANT(event_add(&loop->wake, &wait) == 0);
    turn(loop, 0);
    (void)event_del(&loop->wake);
}

void loop_stop(struct loop *loop) { loop->stopping = true; }

int64_t loop_now_ms(const struct loop *loop) { return loop->now_ms; }

void loop_free(struct loop *loop) {
    if (!loop) {
        return;
    }
    LIST_EACH (node, next, &loop->signals) {
        loop_task_cancel(&LIST_ENTRY(node, struct signal_watch, node)->delivery);
    }
    while (!list_is_empty(&loop->tasks)) {
        run_tasks(loop);
    }
    LIST_EACH (node, next, &loop->signals) {
        struct signal_watch *watch = LIST_ENTRY(node, struct signal_watch, node);
        (void)event_del(&watch->event);
        mem_free(watch);
    }
    INVARIANT(list_is_empty(&loop->triggered) && list_is_empty(&loop->queue));
    event_base_free(loop->base);
    mem_free(loop);
}

/* ---- descriptors ---- */

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    struct loop_watch *watch = arg;
    loop_refresh(watch->loop);
    if (!(watch->wanted & LOOP_READ)) {
        (void)event_del(&watch->read);
        watch->registered &= ~LOOP_READ;
        return;
    }
    watch->fn(watch->arg, LOOP_READ);
}

static void on_writable(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    struct loop_watch *watch = arg;
    loop_refresh(watch->loop);
    watch->fn(watch->arg, LOOP_WRITE);
}

struct loop_watch *loop_watch_new(struct loop *loop, int fd, void (*fn)(void *arg, int ready), void *arg) {
    struct loop_watch *watch = NEW(struct loop_watch);
    watch->loop = loop;
    watch->fd = fd;
    watch->fn = fn;
    watch->arg = arg;
    list_init(&watch->node);
    INVARIANT(event_assign(&watch->read, loop->base, fd, EV_READ | EV_PERSIST, on_readable, watch) == 0);
    return watch;
}

static void wait_for_write(struct loop_watch *watch) {
    if (!watch->write) {
        watch->write = NEW(struct event);
        INVARIANT(event_assign(watch->write, watch->loop->base, watch->fd, EV_WRITE | EV_PERSIST, on_writable, watch) ==
                  0);
    }
    INVARIANT(event_add(watch->write, NULL) == 0);
}

void loop_watch_set(struct loop_watch *watch, int interest) {
    INVARIANT(watch->fd >= 0 || interest == 0);
    watch->wanted = interest;
    int missing = interest & ~watch->registered;
    if (missing & LOOP_READ) {
        INVARIANT(event_add(&watch->read, NULL) == 0);
    }
    if (missing & LOOP_WRITE) {
        wait_for_write(watch);
    }
    watch->registered |= missing;
    if (watch->registered & ~interest & LOOP_WRITE) {
        (void)event_del(watch->write);
        watch->registered &= ~LOOP_WRITE;
    }
}

void loop_watch_trigger(struct loop_watch *watch, int ready) {
    watch->triggered |= ready;
    if (list_is_empty(&watch->node)) {
        list_push_back(&watch->loop->triggered, &watch->node);
    }
}

void loop_watch_free(struct loop_watch **watch_ptr) {
    struct loop_watch *watch = *watch_ptr;
    *watch_ptr = NULL;
    if (!watch) {
        return;
    }
    /* Takes them off libevent's list of active events too. */
    (void)event_del(&watch->read);
    if (watch->write) {
        (void)event_del(watch->write);
        mem_free(watch->write);
    }
    list_remove(&watch->node);
    mem_free(watch);
}

/* ---- timers ---- */

/* The queue of this duration, or NULL. Durations are remembered in a small hash table where rare ones give way. */
static const struct timeval *find_queue(struct loop *loop, int64_t ms, const struct timeval *wait) {
    struct duration *found = NULL;
    size_t home = (size_t)ms * 31;
    for (size_t i = 0; i < DURATION_PROBES && !found; i++) {
        struct duration *slot = &loop->durations[(home + i) % DURATION_SLOTS];
        if (slot->ms == ms) {
            found = slot;
        }
    }
    for (size_t i = 0; i < DURATION_PROBES && !found; i++) {
        struct duration *slot = &loop->durations[(home + i) % DURATION_SLOTS];
        if (!slot->queue) {
            *slot = (struct duration){.ms = ms};
            found = slot;
        }
    }
    if (!found) {
        return NULL;
    }
    if (!found->queue && ++found->uses >= DURATION_FREQUENT && loop->queue_count < QUEUES_MAX) {
        found->queue = event_base_init_common_timeout(loop->base, wait);
        loop->queue_count += found->queue != NULL;
    }
    return found->queue;
}

static void on_timeout(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    struct loop_timer *timer = arg;
    loop_refresh(timer->loop);
    timer->fn(timer->arg);
}

struct loop_timer *loop_timer_new(struct loop *loop, void (*fn)(void *arg), void *arg) {
    struct loop_timer *timer = NEW(struct loop_timer);
    timer->loop = loop;
    timer->fn = fn;
    timer->arg = arg;
    INVARIANT(event_assign(&timer->event, loop->base, -1, 0, on_timeout, timer) == 0);
    return timer;
}

void loop_timer_set(struct loop_timer *timer, int64_t after_ms) {
    if (after_ms < 0) {
        after_ms = 0;
    }
    struct timeval wait = {.tv_sec = after_ms / 1000, .tv_usec = after_ms % 1000 * 1000};
    const struct timeval *queue = after_ms > 0 ? find_queue(timer->loop, after_ms, &wait) : NULL;
    INVARIANT(event_add(&timer->event, queue ? queue : &wait) == 0);
}

void loop_timer_cancel(struct loop_timer *timer) { (void)event_del(&timer->event); }

bool loop_timer_is_set(const struct loop_timer *timer) { return event_pending(&timer->event, EV_TIMEOUT, NULL) != 0; }

void loop_timer_free(struct loop_timer **timer_ptr) {
    struct loop_timer *timer = *timer_ptr;
    *timer_ptr = NULL;
    if (timer) {
        (void)event_del(&timer->event);
        mem_free(timer);
    }
}

/* ---- tasks ---- */

void loop_task_init(struct loop_task *task, void (*fn)(void *arg), void *arg) {
    list_init(&task->node);
    task->fn = fn;
    task->arg = arg;
}

void loop_defer(struct loop *loop, struct loop_task *task) {
    if (list_is_empty(&task->node)) {
        list_push_back(&loop->tasks, &task->node);
    }
}

void loop_task_cancel(struct loop_task *task) { list_remove(&task->node); }

void loop_queue(struct loop *loop, struct loop_task *task, bool is_first) {
    if (loop_task_waits(task)) {
        return;
    }
    if (is_first) {
        list_push_front(&loop->queue, &task->node);
    } else {
        list_push_back(&loop->queue, &task->node);
    }
}

bool loop_task_waits(const struct loop_task *task) { return !list_is_empty(&task->node); }

/* ---- signals ---- */

/* libevent counts signals and calls once for each: a storm of them would leave no time for anything else. */
static void on_signal(evutil_socket_t signo, short what, void *arg) {
    (void)signo;
    (void)what;
    struct signal_watch *watch = arg;
    loop_defer(watch->loop, &watch->delivery);
}

static void deliver_signal(void *arg) {
    struct signal_watch *watch = arg;
    loop_refresh(watch->loop);
    watch->fn(watch->arg);
}

int loop_signal(struct loop *loop, int signo, void (*fn)(void *arg), void *arg, struct err *err) {
    struct signal_watch *watch = NEW(struct signal_watch);
    watch->loop = loop;
    watch->fn = fn;
    watch->arg = arg;
    list_init(&watch->node);
    loop_task_init(&watch->delivery, deliver_signal, watch);
    if (event_assign(&watch->event, loop->base, signo, EV_SIGNAL | EV_PERSIST, on_signal, watch) != 0 ||
        event_add(&watch->event, NULL) != 0) {
        mem_free(watch);
        return err_set(err, "cannot wait for signal %d", signo);
    }
    list_push_back(&loop->signals, &watch->node);
    return 0;
}
