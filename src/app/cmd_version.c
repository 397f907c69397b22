/* cmd_version: `sallyport version`. */
#include <getopt.h>
#include <stdio.h>

#include "app/commands.h"
#include "pki/cert.h"

int cmd_version(int argc, char **argv) {
    static const struct option OPTIONS[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    int option = getopt_long(argc, argv, "h", OPTIONS, NULL);
    if (option != -1 || optind < argc) {
        fputs("usage: sallyport version\n", option == 'h' ? stdout : stderr);
        return option == 'h' ? 0 : 2;
    }
    printf("sallyport %s\n%s\n", SALLYPORT_VERSION, openssl_version());
    return 0;
}
