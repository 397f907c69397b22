/*
 * measure: see the header. CPU time comes from /proc/PID/task/TID/schedstat, which counts nanoseconds; /proc/PID/stat
 * counts ticks of 10 ms. A thread that ends within the window takes its time with it; no server measured here has such.
 */
#include "measure.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t clock_ns(clockid_t clock) {
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

double own_cpu_seconds(void) { return (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9; }

/* ---- samples ---- */

void samples_add(struct samples *samples, int64_t ns) {
    if (samples->count == samples->cap) {
        samples->cap = samples->cap ? 2 * samples->cap : 65536;
        samples->values = realloc(samples->values, samples->cap * sizeof *samples->values);
        if (!samples->values)
            abort();
    }
    int64_t value = ns / 100;
    samples->values[samples->count++] = value > UINT32_MAX ? UINT32_MAX : (uint32_t)(value < 0 ? 0 : value);
}

static int compare_values(const void *a, const void *b) {
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

double samples_percentile(struct samples *samples, double percent) {
    if (!samples->count)
        return 0;
    qsort(samples->values, samples->count, sizeof *samples->values, compare_values);
    size_t place = (size_t)(percent / 100 * (double)samples->count);
    return samples->values[place < samples->count ? place : samples->count - 1] / 10.0;
}

/* ---- other processes ---- */

static double thread_seconds(long pid, const char *thread) {
    char path[96];
    unsigned long long ns = 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/task/%.20s/schedstat", pid, thread);
    FILE *file = fopen(path, "r");
    if (file) {
        if (fscanf(file, "%llu", &ns) != 1)
            ns = 0;
        (void)fclose(file);
    }
    return (double)ns / 1e9;
}

static double process_seconds(long pid) {
    char path[64];
    double sum = 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/task", pid);
    DIR *threads = opendir(path);
    for (const struct dirent *at; threads && (at = readdir(threads));) {
        if (at->d_name[0] != '.')
            sum += thread_seconds(pid, at->d_name);
    }
    if (threads)
        (void)closedir(threads);
    return sum;
}

static unsigned long process_pss(long pid) {
    char path[64], line[256];
    unsigned long kib = 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/smaps_rollup", pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "Pss:", 4) == 0)
            kib = strtoul(line + 4, NULL, 10);
    }
    if (file)
        (void)fclose(file);
    return kib;
}

struct usage usage_read(const char *pids) {
    struct usage usage = {0, 0};
    char *end;
    for (const char *at = pids; at && *at; at = *end ? end + 1 : end) {
        long pid = strtol(at, &end, 10);
        usage.cpu_s += process_seconds(pid);
        usage.pss_kib += process_pss(pid);
    }
    return usage;
}
