/*
 * cmd_sandbox_test: `sallyport sandbox-test`: tries everything that a worker must not be able to do. For the tests and
 * for whoever wants to know what a kernel or a container takes away from the sandbox; not shown in the usage.
 */
#include <getopt.h>
#include <stdio.h>

#include "app/commands.h"
#include "app/sandbox.h"

static void usage(FILE *out) {
    fputs("usage: sallyport sandbox-test [-u USER] [-n]\n\n"
          "Enters the sandbox of a worker and tries what it forbids, one line each. Exit 0: all of it is refused.\n"
          "-u USER  the account to become when started as root\n"
          "-n       tries the same without a sandbox, for comparison\n",
          out);
}

int cmd_sandbox_test(int argc, char **argv) {
    struct sandbox_source source = {NULL};
    struct sandbox_ids ids;
    struct err err;
    bool is_boxed = true;
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "u:nh", options, NULL)) != -1;) {
        if (option == 'u') {
            source.user = optarg;
        } else if (option == 'n') {
            is_boxed = false;
        } else {
            usage(option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    if (optind < argc) {
        usage(stderr);
        return 2;
    }
    if (sandbox_lookup(&source, &ids, &err) != 0) {
        fprintf(stderr, "sallyport sandbox-test: %s\n", err.text);
        return 2;
    }
    int allowed = sandbox_try_everything(&ids, is_boxed, &err);
    if (allowed < 0) {
        fprintf(stderr, "sallyport sandbox-test: %s\n", err.text);
        return 2;
    }
    return allowed > 0;
}
