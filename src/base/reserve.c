/* reserve: see the header. One for the process; its only thread that opens descriptors sets and asks. */
#include "base/reserve.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

static size_t limit, count;

void reserve_set(size_t wanted) {
    struct rlimit found;
    if (limit == 0 && getrlimit(RLIMIT_NOFILE, &found) == 0)
        limit = (size_t)found.rlim_cur;
    count = wanted < limit / 4 ? wanted : limit / 4;
}

size_t reserve_count(void) { return count; }

bool reserve_is_touched(int fd) { return count > 0 && fd >= 0 && (size_t)fd >= limit - count; }

bool reserve_is_half_used(int fd) { return count > 0 && fd >= 0 && (size_t)fd >= limit - count / 2; }

bool reserve_is_next(void) {
    int fd = count > 0 ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0) : -1;
    if (fd < 0)
        return count > 0;
    (void)close(fd);
    return reserve_is_touched(fd);
}
