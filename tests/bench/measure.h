/*
 * measure: what load and micro measure with: clocks, latencies, the CPU time and memory of other processes. Linux: from
 * /proc. For the benchmark only.
 */
#ifndef SALLYPORT_TESTS_BENCH_MEASURE_H
#define SALLYPORT_TESTS_BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>

/* Monotonic. */
int64_t now_ns(void);
/* CPU time of this process so far. */
double own_cpu_seconds(void);

/* Every value is kept, so a percentile is exact. Zero-initialised is empty. */
struct samples {
    uint32_t *values; /* units of 100 ns */
    size_t count, cap;
};
void samples_add(struct samples *samples, int64_t ns);
/* In microseconds; 100 is the largest. Sorts. */
double samples_percentile(struct samples *samples, double percent);

struct usage {
    double cpu_s; /* user and system time of all live threads, from schedstat (nanoseconds) */
    unsigned long pss_kib;
};
/* pids: "12,34", or NULL for none. */
struct usage usage_read(const char *pids);

#endif
