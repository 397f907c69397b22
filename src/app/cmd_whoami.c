/*
 * cmd_whoami: `sallyport whoami`, the small origin of upstream/whoami on a port of its own, to try a gateway against.
 * In the foreground, until TERM or INT.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

#include "app/commands.h"
#include "io/acceptor.h"
#include "upstream/whoami.h"

static void usage(FILE *out) {
    fputs("usage: sallyport whoami --listen ADDR\n\n"
          "Answers every HTTP request with what it received (method, path, headers, body length) as JSON.\n"
          "ADDR is an address and a port: 127.0.0.1:3000, [::1]:3000, *:3000; port 0 takes a free one.\n",
          out);
}

static void on_accept(void *owner, int fd, const struct addr *peer) {
    (void)peer;
    whoami_serve(owner, fd);
}

static void on_stop(void *arg) { loop_stop(arg); }

static int serve(struct addr addr, struct err *err) {
    struct loop *loop = NULL;
    struct acceptor *acceptor = NULL;
    char text[ADDR_TEXT_SIZE];
    int fd, result = -1;

    loop = loop_new(err);
    if (!loop || loop_signal(loop, SIGTERM, on_stop, loop, err) != 0 ||
        loop_signal(loop, SIGINT, on_stop, loop, err) != 0) {
        goto out;
    }
    if (acceptor_probe(&addr, err) != 0 || (fd = acceptor_bind(&addr, err)) < 0) {
        goto out;
    }
    acceptor = acceptor_open(loop, fd, "whoami", on_accept, loop);
    acceptor_address(acceptor, &addr);
    fprintf(stderr, "whoami: listening on http://%s\n", addr_format(&addr, text));
    loop_run(loop);
    result = 0;
out:
    acceptor_close(&acceptor);
    whoami_close_all(loop);
    loop_free(loop);
    return result;
}

int cmd_whoami(int argc, char **argv) {
    static const struct option OPTIONS[] = {
        {"listen", required_argument, NULL, 'l'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const char *address = NULL;
    for (int option; (option = getopt_long(argc, argv, "l:h", OPTIONS, NULL)) != -1;) {
        switch (option) {
        case 'l':
            address = optarg;
            break;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (!address || optind < argc) {
        usage(stderr);
        return 2;
    }
    struct addr addr;
    struct err err;
    if (addr_parse(slice_of(address), &addr, &err) != 0) {
        fprintf(stderr, "sallyport whoami: --listen: %s\n", err.text);
        return 2;
    }
    if (serve(addr, &err) != 0) {
        fprintf(stderr, "sallyport whoami: %s\n", err.text);
        return 1;
    }
    return 0;
}
