/* cmd_version: `sallyport version`. */
#include <stdio.h>
#include <string.h>

#include "app/commands.h"
#include "pki/cert.h"

int cmd_version(int argc, char **argv) {
    if (argc > 1) {
        int is_help = strcmp(argv[1], "-h") == 0;
        fputs("usage: sallyport version\n", is_help ? stdout : stderr);
        return is_help ? 0 : 2;
    }
    printf("sallyport %s\n%s\n", SALLYPORT_VERSION, openssl_version());
    return 0;
}
