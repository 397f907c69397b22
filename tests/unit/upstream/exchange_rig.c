/* exchange_rig: see the header. */
#include "upstream/exchange_rig.h"

#include <check.h>
#include <string.h>
#include <unistd.h>

struct probe probe;
struct sbuf heard;
int peer;

void rig_set_up(void) {
    origin_set_up();
    memset(&probe, 0, sizeof probe);
    sbuf_init(&heard, 32 * 1024 * 1024);
    peer = -1;
}

void rig_tear_down(void) {
    probe_close(&probe);
    sbuf_fini(&heard);
    if (peer >= 0) {
        close(peer);
    }
    origin_tear_down();
}

/* A GET is at the origin. */
void begin_get(void) {
    probe_open(&probe, false);
    probe_get(&probe, "/a?b");
    peer = origin_accept();
    ck_assert_int_ge(peer, 0);
    origin_hear(peer, &heard, "\r\n\r\n");
    sbuf_clear(&heard);
}

/* A connection at rest in the pool, the origin's end being peer. */
void rest_one(void) {
    begin_get();
    origin_say(peer, OK_HELLO);
    turn_until(&probe.ends, 1);
    probe_close(&probe);
    ck_assert_uint_eq(pool_idle_count(test_pool), 1);
}

/* A GET on the connection at rest. */
void begin_reused_get(void) {
    rest_one();
    probe_open(&probe, false);
    ck_assert(link_is_reused(probe.link));
    probe_get(&probe, "/again");
    origin_hear(peer, &heard, "/again");
}
