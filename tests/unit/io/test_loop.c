#include "io/loop.h"

#include <check.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

static struct loop *loop;
static int fds[2];

static void set_up(void) {
    loop = loop_new(NULL);
    ck_assert_ptr_nonnull(loop);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

static void tear_down(void) {
    close(fds[0]);
    close(fds[1]);
    loop_free(loop);
}

struct seen {
    struct loop_watch *watch, *victim;
    struct loop_timer *timer, *timer_victim;
    struct loop_task task, other;
    int calls, ready;
    int again; /* how often the callback puts itself on again */
};

static void note(void *arg, int ready) {
    struct seen *seen = arg;
    seen->calls++;
    seen->ready |= ready;
}

START_TEST(a_watch_reports_what_it_waits_for) {
    struct seen seen = {0};
    seen.watch = loop_watch_new(loop, fds[0], note, &seen);
    loop_turn(loop, 0);
    ck_assert_int_eq(seen.calls, 0);
    loop_watch_set(seen.watch, LOOP_READ);
    loop_turn(loop, 0);
    ck_assert_int_eq(seen.calls, 0);
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    loop_turn(loop, 1000);
    ck_assert_int_eq(seen.ready, LOOP_READ);
    loop_turn(loop, 1000); /* level-triggered */
    ck_assert_int_eq(seen.calls, 2);
    loop_watch_set(seen.watch, LOOP_READ | LOOP_WRITE);
    loop_turn(loop, 1000);
    ck_assert_int_eq(seen.ready, LOOP_READ | LOOP_WRITE);
    loop_watch_free(&seen.watch);
    ck_assert_ptr_null(seen.watch);
}
END_TEST

START_TEST(a_watch_without_interest_is_silent_and_does_not_spin) {
    struct seen seen = {0};
    seen.watch = loop_watch_new(loop, fds[0], note, &seen);
    loop_watch_set(seen.watch, LOOP_READ);
    loop_watch_set(seen.watch, 0);
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    loop_turn(loop, 1000); /* the registration that was left is found out and taken back */
    int64_t before_us = clock_mono_us();
    loop_turn(loop, 30); /* nothing to wake up for */
    ck_assert_int_ge(clock_mono_us() - before_us, 20000);
    ck_assert_int_eq(seen.calls, 0);
    loop_watch_set(seen.watch, LOOP_READ);
    loop_turn(loop, 1000);
    ck_assert_int_eq(seen.calls, 1);
    loop_watch_free(&seen.watch);
}
END_TEST

static void free_victims(void *arg, int ready) {
    struct seen *seen = arg;
    (void)ready;
    seen->calls++;
    loop_watch_free(&seen->watch);
    loop_watch_free(&seen->victim);
    if (seen->timer_victim) {
        loop_timer_free(&seen->timer_victim);
    }
}

/* Both ends become ready in the same turn; whichever comes first frees both. */
START_TEST(a_watch_freed_in_the_same_turn_does_not_call_back) {
    struct seen seen = {0};
    seen.watch = loop_watch_new(loop, fds[0], free_victims, &seen);
    seen.victim = loop_watch_new(loop, fds[1], free_victims, &seen);
    loop_watch_set(seen.watch, LOOP_READ | LOOP_WRITE);
    loop_watch_set(seen.victim, LOOP_READ | LOOP_WRITE);
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    ck_assert_int_eq(write(fds[0], "x", 1), 1);
    loop_turn(loop, 1000);
    loop_turn(loop, 0);
    ck_assert_int_eq(seen.calls, 1);
}
END_TEST

START_TEST(a_triggered_watch_freed_in_the_same_turn_does_not_call_back) {
    struct seen seen = {0};
    seen.watch = loop_watch_new(loop, fds[0], free_victims, &seen);
    seen.victim = loop_watch_new(loop, fds[1], free_victims, &seen);
    loop_watch_trigger(seen.watch, LOOP_READ);
    loop_watch_trigger(seen.victim, LOOP_READ);
    loop_turn(loop, 1000);
    loop_turn(loop, 0);
    ck_assert_int_eq(seen.calls, 1);
}
END_TEST

static void trigger_again(void *arg, int ready) {
    struct seen *seen = arg;
    seen->ready |= ready;
    seen->calls++;
    if (seen->again-- > 0) {
        int calls = seen->calls;
        loop_watch_trigger(seen->watch, LOOP_READ);
        ck_assert_int_eq(seen->calls, calls); /* no recursion */
    }
}

START_TEST(a_trigger_calls_back_once_a_turn_and_does_not_wait) {
    struct seen seen = {.again = 2};
    seen.watch = loop_watch_new(loop, -1, trigger_again, &seen);
    loop_watch_trigger(seen.watch, LOOP_READ);
    loop_watch_trigger(seen.watch, LOOP_WRITE);
    ck_assert_int_eq(seen.calls, 0);
    for (int turn = 1; turn <= 3; turn++) {
        loop_turn(loop, 60000);
        ck_assert_int_eq(seen.calls, turn);
    }
    ck_assert_int_eq(seen.ready, LOOP_READ | LOOP_WRITE);
    loop_turn(loop, 0);
    ck_assert_int_eq(seen.calls, 3);
    loop_watch_free(&seen.watch);
}
END_TEST

static void note_timeout(void *arg) { ((struct seen *)arg)->calls++; }

static void turn_until(const int *count, int wanted) {
    for (int i = 0; i < 1000 && *count < wanted; i++) {
        loop_turn(loop, 100);
    }
    ck_assert_int_eq(*count, wanted);
}

START_TEST(a_timer_fires_once) {
    struct seen seen = {0};
    seen.timer = loop_timer_new(loop, note_timeout, &seen);
    ck_assert(!loop_timer_is_set(seen.timer));
    loop_timer_set(seen.timer, 20);
    ck_assert(loop_timer_is_set(seen.timer));
    int64_t before = loop_now_ms(loop);
    turn_until(&seen.calls, 1);
    ck_assert_int_ge(loop_now_ms(loop) - before, 15); /* the clock behind timers is a coarse one */
    ck_assert(!loop_timer_is_set(seen.timer));
    loop_turn(loop, 30);
    ck_assert_int_eq(seen.calls, 1);
    loop_timer_free(&seen.timer);
}
END_TEST

START_TEST(a_timer_can_be_cancelled_and_set_anew) {
    struct seen seen = {0}, later = {0};
    seen.timer = loop_timer_new(loop, note_timeout, &seen);
    later.timer = loop_timer_new(loop, note_timeout, &later);
    loop_timer_set(seen.timer, 5);
    loop_timer_cancel(seen.timer);
    ck_assert(!loop_timer_is_set(seen.timer));
    loop_timer_set(later.timer, 1);
    loop_timer_set(later.timer, 30);
    turn_until(&later.calls, 1);
    ck_assert_int_eq(seen.calls, 0);
    loop_timer_set(seen.timer, 0);
    turn_until(&seen.calls, 1);
    loop_timer_free(&seen.timer);
    loop_timer_free(&later.timer);
}
END_TEST

/* More durations than there are queues, each used often enough to get one, in an order that mixes them. */
START_TEST(timers_of_many_durations_all_fire) {
    enum { COUNT = 2000 };
    struct seen seen = {0};
    struct loop_timer **timers = NEW_ARRAY(struct loop_timer *, COUNT);
    for (int i = 0; i < COUNT; i++) {
        timers[i] = loop_timer_new(loop, note_timeout, &seen);
        loop_timer_set(timers[i], 5000);
        loop_timer_set(timers[i], 1 + i % 90);
    }
    turn_until(&seen.calls, COUNT);
    for (int i = 0; i < COUNT; i++) {
        ck_assert(!loop_timer_is_set(timers[i]));
        loop_timer_free(&timers[i]);
    }
    mem_free(timers);
}
END_TEST

static void free_other_timer(void *arg) {
    struct seen *seen = arg;
    seen->calls++;
    if (seen->timer) {
        loop_timer_free(&seen->timer);
        loop_timer_free(&seen->timer_victim);
    }
}

START_TEST(a_timer_freed_in_the_same_turn_does_not_call_back) {
    for (int round = 0; round < 20; round++) { /* through the heap at first, then through a queue */
        struct seen seen = {0};
        seen.timer = loop_timer_new(loop, free_other_timer, &seen);
        seen.timer_victim = loop_timer_new(loop, free_other_timer, &seen);
        loop_timer_set(seen.timer, 3);
        loop_timer_set(seen.timer_victim, 3);
        turn_until(&seen.calls, 1);
        loop_turn(loop, 10);
        ck_assert_int_eq(seen.calls, 1);
    }
}
END_TEST

static void run_task(void *arg) {
    struct seen *seen = arg;
    seen->calls++;
    if (seen->again-- > 0) {
        loop_defer(loop, &seen->task);
    }
}

static void defer_twice(void *arg, int ready) {
    struct seen *seen = arg;
    (void)ready;
    loop_defer(loop, &seen->task);
    loop_defer(loop, &seen->task);
    ck_assert_int_eq(seen->calls, 0);
    loop_watch_set(seen->watch, 0);
}

START_TEST(a_task_runs_once_at_the_end_of_the_turn) {
    struct seen seen = {0};
    loop_task_init(&seen.task, run_task, &seen);
    seen.watch = loop_watch_new(loop, fds[0], defer_twice, &seen);
    loop_watch_set(seen.watch, LOOP_WRITE);
    loop_turn(loop, 1000);
    ck_assert_int_eq(seen.calls, 1);
    loop_turn(loop, 0);
    ck_assert_int_eq(seen.calls, 1);
    loop_watch_free(&seen.watch);
}
END_TEST

START_TEST(a_task_that_puts_itself_on_again_does_not_stop_the_loop) {
    struct seen seen = {.again = 1000};
    loop_task_init(&seen.task, run_task, &seen);
    loop_defer(loop, &seen.task);
    loop_turn(loop, 1000);
    ck_assert_int_lt(seen.calls, 1000);
    turn_until(&seen.calls, 1001);
}
END_TEST

static void cancel_other(void *arg) {
    struct seen *seen = arg;
    seen->calls++;
    loop_task_cancel(&seen->other);
}

START_TEST(a_cancelled_task_does_not_run) {
    struct seen seen = {0};
    loop_task_init(&seen.task, cancel_other, &seen);
    loop_task_init(&seen.other, cancel_other, &seen);
    loop_defer(loop, &seen.task);
    loop_defer(loop, &seen.other);
    loop_turn(loop, 0);
    ck_assert_int_eq(seen.calls, 1);
    loop_task_cancel(&seen.task); /* not on a list: fine */
}
END_TEST

START_TEST(what_is_deferred_runs_before_the_loop_goes) {
    struct seen seen = {.again = 100};
    struct loop *other = loop_new(NULL);
    loop_task_init(&seen.task, note_timeout, &seen);
    loop_defer(other, &seen.task);
    loop_free(other);
    ck_assert_int_eq(seen.calls, 1);
    loop_free(NULL);
}
END_TEST

static void stop(void *arg) {
    (*(int *)arg)++;
    loop_stop(loop);
}

START_TEST(a_signal_comes_from_the_loop_and_can_stop_it) {
    int signals = 0;
    ck_assert_int_eq(loop_signal(loop, SIGUSR1, stop, &signals, NULL), 0);
    ck_assert_int_eq(raise(SIGUSR1), 0);
    ck_assert_int_eq(signals, 0);
    loop_run(loop);
    ck_assert_int_eq(signals, 1);
    struct err err = {""};
    ck_assert_int_eq(loop_signal(loop, SIGUSR2, stop, &signals, &err), 0);
}
END_TEST

static void count(void *arg) { ++*(int *)arg; }

/* Between two turns everything else gets its turn, too. */
START_TEST(many_signals_are_one_call_a_turn) {
    int signals = 0;
    ck_assert_int_eq(loop_signal(loop, SIGUSR1, count, &signals, NULL), 0);
    for (int turns = 1; turns <= 3; turns++) {
        for (int i = 0; i < 100; i++)
            ck_assert_int_eq(raise(SIGUSR1), 0);
        loop_turn(loop, 1000);
        ck_assert_int_eq(signals, turns);
    }
}
END_TEST

START_TEST(the_time_of_the_turn_moves_with_the_clock) {
    int64_t before = loop_now_ms(loop);
    loop_turn(loop, 20);
    ck_assert_int_gt(loop_now_ms(loop), before);
    ck_assert_int_le(loop_now_ms(loop), clock_mono_us() / 1000);
}
END_TEST

/* Notes who ran, in order. */
struct runner {
    struct loop_task task;
    char name;
};
static char ran[16];

static void note_run(void *arg) {
    const struct runner *runner = arg;
    ran[strlen(ran)] = runner->name;
}

static void note_read(void *arg, int ready) {
    (void)ready;
    note_run(arg);
}

static void runner_init(struct runner *runner, char name) {
    runner->name = name;
    loop_task_init(&runner->task, note_run, runner);
}

START_TEST(queued_work_is_done_a_piece_a_turn) {
    struct runner a, b, c, end, read;
    struct loop_watch *watch = loop_watch_new(loop, fds[0], note_read, &read);
    memset(ran, 0, sizeof ran);
    runner_init(&a, 'a');
    runner_init(&b, 'b');
    runner_init(&c, 'c');
    runner_init(&end, 'e');
    runner_init(&read, 'r');
    loop_watch_set(watch, LOOP_READ);
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    loop_queue(loop, &a.task, false);
    loop_queue(loop, &b.task, false);
    loop_queue(loop, &a.task, false); /* waits already */
    loop_queue(loop, &c.task, true);
    loop_defer(loop, &end.task);
    ck_assert(loop_task_waits(&b.task));
    loop_turn(loop, 60000); /* does not wait */
    ck_assert_str_eq(ran, "rce");
    loop_turn(loop, 60000);
    ck_assert_str_eq(ran, "rcera");
    loop_turn(loop, 60000);
    ck_assert_str_eq(ran, "rcerarb");
    ck_assert(!loop_task_waits(&b.task));
    loop_turn(loop, 0);
    ck_assert_str_eq(ran, "rcerarbr");
    loop_watch_free(&watch);
}
END_TEST

START_TEST(queued_work_can_be_taken_back) {
    struct runner a, b;
    memset(ran, 0, sizeof ran);
    runner_init(&a, 'a');
    runner_init(&b, 'b');
    loop_queue(loop, &a.task, false);
    loop_queue(loop, &b.task, false);
    loop_task_cancel(&a.task);
    loop_turn(loop, 60000);
    loop_turn(loop, 0);
    ck_assert_str_eq(ran, "b");
}
END_TEST

Suite *io_loop_suite(void);
Suite *io_loop_suite(void) {
    Suite *suite = suite_create("loop");
    TCase *tcase = tcase_create("loop");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_watch_reports_what_it_waits_for);
    tcase_add_test(tcase, a_watch_without_interest_is_silent_and_does_not_spin);
    tcase_add_test(tcase, a_watch_freed_in_the_same_turn_does_not_call_back);
    tcase_add_test(tcase, a_triggered_watch_freed_in_the_same_turn_does_not_call_back);
    tcase_add_test(tcase, a_trigger_calls_back_once_a_turn_and_does_not_wait);
    tcase_add_test(tcase, a_timer_fires_once);
    tcase_add_test(tcase, a_timer_can_be_cancelled_and_set_anew);
    tcase_add_test(tcase, timers_of_many_durations_all_fire);
    tcase_add_test(tcase, a_timer_freed_in_the_same_turn_does_not_call_back);
    tcase_add_test(tcase, a_task_runs_once_at_the_end_of_the_turn);
    tcase_add_test(tcase, a_task_that_puts_itself_on_again_does_not_stop_the_loop);
    tcase_add_test(tcase, a_cancelled_task_does_not_run);
    tcase_add_test(tcase, what_is_deferred_runs_before_the_loop_goes);
    tcase_add_test(tcase, a_signal_comes_from_the_loop_and_can_stop_it);
    tcase_add_test(tcase, many_signals_are_one_call_a_turn);
    tcase_add_test(tcase, the_time_of_the_turn_moves_with_the_clock);
    tcase_add_test(tcase, queued_work_is_done_a_piece_a_turn);
    tcase_add_test(tcase, queued_work_can_be_taken_back);
    suite_add_tcase(suite, tcase);
    return suite;
}
