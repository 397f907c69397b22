/*
 * instructions: counting under `valgrind --tool=callgrind --collect-atstart=no`: what runs between begin and end is
 * counted, and written to a dump of that name. Without valgrind, also where its header is missing, nothing happens.
 */
#ifndef SALLYPORT_TESTS_BENCH_INSTRUCTIONS_H
#define SALLYPORT_TESTS_BENCH_INSTRUCTIONS_H

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#define instructions_are_counted() (RUNNING_ON_VALGRIND != 0)
#define instructions_begin() CALLGRIND_TOGGLE_COLLECT
#define instructions_end() CALLGRIND_TOGGLE_COLLECT
#define instructions_dump(name) CALLGRIND_DUMP_STATS_AT(name)
#else
#define instructions_are_counted() false
#define instructions_begin() ((void)0)
#define instructions_end() ((void)0)
#define instructions_dump(name) ((void)(name))
#endif

#endif
