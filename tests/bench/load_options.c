/* load_options: see the header. */
#include "load_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool take_mode(const char *name, enum mode *mode_out) {
    static const char *const names[] = {"handshake", "resume", "request", "hold"};
    for (int i = 0; i <= MODE_HOLD; i++) {
        if (strcmp(names[i], name) != 0)
            continue;
        *mode_out = (enum mode)i;
        return true;
    }
    return false;
}

static bool take_option(int option, char *value, struct load_options *options) {
    switch (option) {
    case 'm':
        return take_mode(value, &options->mode);
    case 'c':
        options->conns = atoi(value);
        break;
    case 's':
        options->seconds = atof(value);
        break;
    case 'w':
        options->warmup = atof(value);
        break;
    case 'r':
        options->rate = atof(value);
        break;
    case 'h':
        options->hold = atof(value);
        break;
    case 'n':
        options->requests = strtoul(value, NULL, 10);
        break;
    case 'b':
        options->body = strtoul(value, NULL, 10);
        break;
    case 'p':
        options->path = value;
        break;
    case 'N':
        options->name = value;
        break;
    case 'K':
        options->names = atoi(value);
        break;
    case 'C':
        options->cert = value;
        break;
    case 'k':
        options->key = value;
        break;
    case 'M':
        options->certs = atoi(value);
        break;
    case 'S':
        options->server = value;
        break;
    case 'f':
        options->asks_first = true;
        break;
    default:
        return false;
    }
    return true;
}

bool load_options_parse(int argc, char **argv, struct load_options *options) {
    static const struct option names[] = {
        {"mode", 1, NULL, 'm'}, {"conns", 1, NULL, 'c'}, {"seconds", 1, NULL, 's'},  {"warmup", 1, NULL, 'w'},
        {"rate", 1, NULL, 'r'}, {"hold", 1, NULL, 'h'},  {"requests", 1, NULL, 'n'}, {"body", 1, NULL, 'b'},
        {"path", 1, NULL, 'p'}, {"name", 1, NULL, 'N'},  {"names", 1, NULL, 'K'},    {"cert", 1, NULL, 'C'},
        {"key", 1, NULL, 'k'},  {"certs", 1, NULL, 'M'}, {"server", 1, NULL, 'S'},   {"first", 0, NULL, 'f'},
        {NULL, 0, NULL, 0},
    };
    bool is_good = true;
    *options =
        (struct load_options){.conns = 16, .seconds = 2, .warmup = 0.3, .hold = 1, .path = "/", .name = "localhost"};
    for (int option; is_good && (option = getopt_long(argc, argv, "", names, NULL)) != -1;)
        is_good = take_option(option, optarg, options);
    options->port = optind + 1 == argc ? atoi(argv[optind]) : 0;
    is_good = is_good && options->port > 0 && options->conns >= 1 && options->conns <= 50000;
    if (!is_good)
        fputs("usage: load [options] PORT; see the head of tests/bench/load.c\n", stderr);
    return is_good;
}
