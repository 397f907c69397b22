/*
 * cmd_upgrade: `sallyport upgrade PID`: asks a running gateway to replace its program (USR2) and waits for the outcome,
 * which shows in the process's name (app/upgrade.h).
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#include "app/commands.h"
#include "app/upgrade.h"
#include "base/clock.h"

#define WAIT_US (75LL * 1000000) /* longer than the gateway waits for the new program */
#define POLL_NS (20L * 1000000)
#define NAME_SIZE 32

static void usage(FILE *out) {
    fputs(
        "usage: sallyport upgrade PID\n\n"
        "Replaces the program of the running gateway PID (of `sallyport run`) by the file that is now at the path it\n"
        "was started with, without refusing a connection. The new program has a process of its own; the old one\n"
        "finishes its requests and ends. If the new one does not come up, the old one goes on and its error log says\n"
        "why. The signal USR2 does the same.\n",
        out);
}

/* The process's name; "" when it is gone. */
static void read_name(pid_t pid, char name[NAME_SIZE]) {
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    name[0] = '\0';
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    if (!fgets(name, NAME_SIZE, file))
        name[0] = '\0';
    name[strcspn(name, "\n")] = '\0';
    (void)fclose(file);
}

static int wait_for_outcome(pid_t pid, const char *before) {
    const struct timespec pause = {.tv_nsec = POLL_NS};
    char name[NAME_SIZE];
    for (int64_t until_us = clock_mono_us() + WAIT_US; clock_mono_us() < until_us; nanosleep(&pause, NULL)) {
        read_name(pid, name);
        if (strcmp(name, UPGRADE_NAME_DONE) == 0 || name[0] == '\0') {
            printf("the new program serves; process %d finishes what it has\n", (int)pid);
            return 0;
        }
        if (strncmp(name, UPGRADE_NAME_FAILED, strlen(UPGRADE_NAME_FAILED)) == 0 && strcmp(name, before) != 0) {
            fprintf(stderr, "sallyport upgrade: the new program did not come up; the error log says why\n");
            return 1;
        }
    }
    fprintf(stderr, "sallyport upgrade: process %d does not say what became of it\n", (int)pid);
    return 1;
}

int cmd_upgrade(int argc, char **argv) {
    char before[NAME_SIZE], *end = NULL;
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        usage(option == 'h' ? stdout : stderr);
        return option == 'h' ? 0 : 2;
    }
    long pid = optind + 1 == argc ? strtol(argv[optind], &end, 10) : 0;
    if (pid <= 1 || pid > INT32_MAX || *end != '\0') {
        usage(stderr);
        return 2;
    }
    read_name((pid_t)pid, before);
    if (kill((pid_t)pid, SIGUSR2) != 0) {
        fprintf(stderr, "sallyport upgrade: process %ld: %s\n", pid, strerror(errno));
        return 1;
    }
    return wait_for_outcome((pid_t)pid, before);
}
