/*
 * origin: a scripted upstream on a loopback socket, driven step by step by a test, and a probe that stands in for the
 * exchange. Both turn the test's one loop until what they wait for has happened.
 */
#ifndef SALLYPORT_TESTS_UNIT_UPSTREAM_ORIGIN_H
#define SALLYPORT_TESTS_UNIT_UPSTREAM_ORIGIN_H

#include "base/arena.h"
#include "base/sbuf.h"
#include "io/loop.h"
#include "upstream/link.h"

extern struct loop *test_loop;
extern struct pool *test_pool;
extern struct upstream test_upstream; /* one endpoint: the origin */
extern int origin_listener;

/* Loop, pool, listener; generous timeouts. */
void origin_set_up(void);
void origin_tear_down(void);
/* The next connection, or -1 when none comes within some turns. */
int origin_accept(void);
/* Reads until text has come; what was read stays in the buffer. */
void origin_hear(int fd, struct sbuf *heard, const char *text);
void origin_say(int fd, const char *text);
void origin_say_bytes(int fd, const void *bytes, size_t size);
void origin_close(int *fd);
/* A reset instead of a FIN. */
void origin_reset(int *fd);
/* Whether the gateway has closed its side, waiting some turns for it. */
bool origin_is_left(int fd);

/* What an exchange would have seen. */
struct probe {
    struct link *link;
    struct arena *arena;
    struct sbuf body;
    int informationals, heads, ends, writables, failures;
    int status, trailers;
    enum link_failure failure;
    char detail[128];
    bool keeps_window;   /* does not say link_consumed() */
    const char *release; /* event in which to release: "informational", "head", "body", "end", "writable", "failed" */
    size_t body_seen;
    struct probe *chained; /* opened, with a request for /chained, in the end event */
};

void probe_open(struct probe *probe, bool fresh);
/* Releases the link if that has not happened. */
void probe_close(struct probe *probe);
/* A request without a body, or with a chunked one that is left open when body is NULL. */
void probe_get(struct probe *probe, const char *target);
void probe_post(struct probe *probe, const char *body, bool is_whole);
/* Turns the loop until *count reaches wanted; fails the test if it does not. */
void turn_until(const int *count, int wanted);
/* Turns the loop for that long. */
void turn_for(int ms);

#endif
