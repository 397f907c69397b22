/* cmd_crls: `sallyport crls`: how the CRLs of a running gateway stand, asked on its admin address. */
#include <getopt.h>
#include <stdio.h>

#include "app/admin_client.h"
#include "app/commands.h"

#define ANSWER_MAX ((size_t)64 << 20)

static void usage(FILE *out) {
    fputs("usage: sallyport crls [-c FILE] [--json]\n\n"
          "Shows the CRLs of the running gateway: for each list its CA bundle, issuer, number, this and next update,\n"
          "entries, state and source, and what went wrong with the source last. Asks on the admin address of FILE.\n\n"
          "  -c FILE  default ./conf/sallyport.yaml, then /etc/sallyport/sallyport.yaml\n"
          "  --json   for programs: {\"crls\": [...]}\n\n"
          "Exit status: 0 shown, 1 no gateway answered, 2 bad usage or configuration.\n",
          out);
}

int cmd_crls(int argc, char **argv) {
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const char *config_path = NULL, *page = "/crls.txt";
    for (int option; (option = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            config_path = optarg;
            break;
        case 'j':
            page = "/crls";
            break;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (optind < argc) {
        usage(stderr);
        return 2;
    }
    struct sbuf body;
    struct err err = {""};
    sbuf_init(&body, ANSWER_MAX);
    int status = admin_ask(config_path, page, &body, &err);
    if (status == 0)
        (void)fwrite(sbuf_slice(&body).ptr, 1, body.len, stdout);
    else
        fprintf(stderr, "sallyport crls: %s\n", err.text);
    sbuf_fini(&body);
    return status;
}
