/*
 * load_options: the command line of load (its head comment says what the modes are).
 */
#ifndef SALLYPORT_TESTS_BENCH_LOAD_OPTIONS_H
#define SALLYPORT_TESTS_BENCH_LOAD_OPTIONS_H

#include <stdbool.h>

enum mode { MODE_HANDSHAKE, MODE_RESUME, MODE_REQUEST, MODE_HOLD };

struct load_options {
    enum mode mode;
    int port, conns;
    double seconds, warmup, rate, hold;
    unsigned long requests; /* operations to measure instead of seconds; then without warm-up */
    unsigned long body;
    const char *path, *name, *cert, *key, *server;
    int names;       /* > 0: name holds one %d, which goes from 0 to names - 1 */
    bool asks_first; /* hold: one request on each connection before it is left alone */
    int certs;       /* > 0: cert and key hold one %d each */
};

/* False: it has been said what is wrong. */
bool load_options_parse(int argc, char **argv, struct load_options *options_out);

#endif
