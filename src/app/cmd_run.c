/* cmd_run: `sallyport run`: runs the gateway in the foreground. */
#include <getopt.h>
#include <stdio.h>

#include "app/commands.h"
#include "app/config_path.h"
#include "app/master.h"

static void usage(FILE *out) {
    fputs("usage: sallyport run [-c FILE]\n\n"
          "Runs in the foreground. FILE defaults to ./conf/sallyport.yaml, then /etc/sallyport/sallyport.yaml.\n"
          "Signals: HUP reload, USR1 reopen logs, TERM and INT graceful stop, QUIT immediate stop,\n"
          "USR2 replace the program (see `sallyport upgrade -h`).\n",
          out);
}

int cmd_run(int argc, char **argv) {
    static const struct option OPTIONS[] = {
        {"config", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const char *path = NULL;
    for (int option; (option = getopt_long(argc, argv, "c:h", OPTIONS, NULL)) != -1;) {
        if (option == 'h') {
            usage(stdout);
            return 0;
        }
        if (option != 'c') {
            usage(stderr);
            return 2;
        }
        path = optarg;
    }
    if (optind < argc) {
        fprintf(stderr, "sallyport run: unexpected argument '%s'\n", argv[optind]);
        usage(stderr);
        return 2;
    }
    return master_run(path ? path : default_config_path());
}
