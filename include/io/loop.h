/*
 * loop: the event loop of a process: descriptors, timers, signals, and work put off to the end of the turn. The only
 * file that knows libevent. One loop, one thread.
 */
#ifndef SALLYPORT_IO_LOOP_H
#define SALLYPORT_IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"

struct loop;

struct loop *loop_new(struct err *err);
void loop_free(struct loop *loop);
/* Until loop_stop(), or for one turn (blocking for at most max_wait_ms; 0: does not wait). */
void loop_run(struct loop *loop);
void loop_turn(struct loop *loop, int max_wait_ms);
void loop_stop(struct loop *loop);
/* Monotonic time of this turn in milliseconds; cached, cheap. */
int64_t loop_now_ms(const struct loop *loop);

/* A descriptor: fn is called with what it is ready for. Level-triggered. The descriptor stays the caller's. */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };
struct loop_watch;
struct loop_watch *loop_watch_new(struct loop *loop, int fd, void (*fn)(void *arg, int ready), void *arg);
/* Sets what to wait for (bits, 0: nothing). No system call when nothing changes. */
void loop_watch_set(struct loop_watch *watch, int interest);
/* Calls fn with these bits in this turn or the next although the descriptor may not be ready (bytes that wait inside a
 * TLS object; fairness). */
void loop_watch_trigger(struct loop_watch *watch, int ready);
/* Stops and frees, sets *watch to NULL. No call comes afterwards. */
void loop_watch_free(struct loop_watch **watch);

/* One-shot timer. Timers of equal durations share a queue, so setting one again is cheap. */
struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *loop, void (*fn)(void *arg), void *arg);
void loop_timer_set(struct loop_timer *timer, int64_t after_ms);
void loop_timer_cancel(struct loop_timer *timer);
bool loop_timer_is_set(const struct loop_timer *timer);
void loop_timer_free(struct loop_timer **timer);

/* Work for the end of this turn: the place where things are freed. A task is a member of the object; putting it on
 * twice is fine. */
struct loop_task {
    struct list node;
    void (*fn)(void *arg);
    void *arg;
};
void loop_task_init(struct loop_task *task, void (*fn)(void *arg), void *arg);
void loop_defer(struct loop *loop, struct loop_task *task);
void loop_task_cancel(struct loop_task *task);
/* Work that takes long and may wait (a step of a handshake): one such task a turn, after everything else that was
 * ready, in the order they were put on; is_first: before those that wait. Putting on one that waits changes nothing. */
void loop_queue(struct loop *loop, struct loop_task *task, bool is_first);
bool loop_task_waits(const struct loop_task *task);

/* fn is called from the loop, not from the signal handler: once a turn, however many signals came. */
MUST_CHECK int loop_signal(struct loop *loop, int signo, void (*fn)(void *arg), void *arg, struct err *err);

#endif
