/*
 * main: picks the subcommand, and sees to it that what it printed arrived: an answer that was lost is not a success.
 * Everything else is in the subcommands' own files.
 */
#include <stdio.h>
#include <string.h>

#include "app/commands.h"
#include "app/processes.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary; /* NULL: not shown */
} commands[] = {
    {"run", cmd_run, "run the gateway in the foreground"},
    {"check", cmd_check, "validate a configuration and run its tests"},
    {"explain", cmd_explain, "judge one request offline and say why"},
    {"verify", cmd_verify, "verify one certificate as the gateway would"},
    {"crls", cmd_crls, "how the CRLs of a running gateway stand"},
    {"upgrade", cmd_upgrade, "replace the program of a running gateway"},
    {"whoami", cmd_whoami, "a small origin that answers with what it received"},
    {"version", cmd_version, "print the version and that of OpenSSL"},
    /* no summary: not for people in a hurry */
    {"sandbox-test", cmd_sandbox_test, NULL},
    {"control", cmd_control, NULL},
    {"worker", cmd_worker, NULL},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out) {
    fputs("usage: sallyport COMMAND [OPTIONS]\n\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (commands[i].summary)
            fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fputs("\n`sallyport COMMAND -h` tells a command's options.\n", out);
}

static int run_command(const struct command *command, int argc, char **argv) {
    static char name[64]; /* what getopt calls us in its messages */
    (void)snprintf(name, sizeof name, "sallyport %s", command->name);
    argv[0] = name;
    int status = command->run(argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    perror(name);
    return status ? status : 2;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return 0;
    }
    const char *name = strcmp(argv[1], "--version") == 0 ? "version" : argv[1];
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            return run_command(&commands[i], argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "sallyport: unknown command '%s'\n\n", argv[1]);
    usage(stderr);
    return 2;
}
