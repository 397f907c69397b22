/*
 * memfd: see the header. Made by master and control, mapped by whoever they hand it to. Owns nothing: descriptors and
 * mappings are the caller's.
 *
 * A descriptor that comes from another process is not believed: without the seals its owner could change what was
 * checked, or shrink it, so that reading it raises SIGBUS. Sealed memory is mapped MAP_PRIVATE: kernels before 6.7
 * refuse a shared mapping of it even for reading; the pages are those of the memfd all the same.
 */
#include "base/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW)
#define ALL_SEALS (SIZE_SEALS | F_SEAL_WRITE)

static int write_all(int fd, struct slice content) {
    while (content.len > 0) {
        ssize_t written = write(fd, content.ptr, content.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        content = slice_after(content, (size_t)written);
    }
    return 0;
}

int memfd_seal(const char *name, struct slice content, struct err *err) {
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_set(err, "no anonymous memory for %s: %s", name, strerror(errno));
    if (write_all(fd, content) < 0 || fcntl(fd, F_ADD_SEALS, ALL_SEALS) < 0) {
        (void)err_set(err, "anonymous memory for %s cannot be filled and sealed: %s", name, strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

/* The size of a memfd that has these seals, or -1. */
static int64_t sealed_size(int fd, int seals, struct err *err) {
    int found = fcntl(fd, F_GET_SEALS);
    if (found < 0 || (found & seals) != seals)
        return err_set(err, "the memory is not sealed");
    /* Not fstat(): some libcs make a call with a path of it, and a worker has none. */
    off_t size = lseek(fd, 0, SEEK_END);
    if (size < 0)
        return err_set(err, "the memory has no size: %s", strerror(errno));
    return (int64_t)size;
}

static void *map_fd(int fd, size_t size, int protection, int sharing, struct err *err) {
    void *memory = mmap(NULL, size, protection, sharing, fd, 0);
    if (memory == MAP_FAILED) {
        (void)err_set(err, "the memory cannot be mapped: %s", strerror(errno));
        return NULL;
    }
    (void)madvise(memory, size, MADV_DONTDUMP);
    return memory;
}

int memfd_map_sealed(int fd, size_t limit, struct slice *content_out, struct err *err) {
    int64_t size = sealed_size(fd, ALL_SEALS, err);
    *content_out = SLICE("");
    if (size < 0)
        return -1;
    if ((uint64_t)size > limit)
        return err_set(err, "the memory holds %lld bytes, more than %zu", (long long)size, limit);
    if (size == 0)
        return 0; /* nothing can be mapped, nor need be */
    void *memory = map_fd(fd, (size_t)size, PROT_READ, MAP_PRIVATE, err);
    if (!memory)
        return -1;
    *content_out = slice_make(memory, (size_t)size);
    return 0;
}

void memfd_unmap(struct slice *content) {
    union {
        const char *from;
        void *to;
    } memory = {.from = content->ptr}; /* munmap wants it without const */
    if (content->len > 0)
        (void)munmap(memory.to, content->len);
    *content = SLICE_NONE;
}

int memfd_shared(const char *name, size_t size, struct err *err) {
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_set(err, "no anonymous memory for %s: %s", name, strerror(errno));
    if (ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, SIZE_SEALS) < 0) {
        (void)err_set(err, "anonymous memory for %s cannot have %zu bytes: %s", name, size, strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

void *memfd_map_shared(int fd, size_t size, bool is_writable, struct err *err) {
    int64_t found = sealed_size(fd, SIZE_SEALS, err);
    if (found < 0)
        return NULL;
    if ((uint64_t)found != size || size == 0) {
        (void)err_set(err, "the memory holds %lld bytes, not %zu", (long long)found, size);
        return NULL;
    }
    return map_fd(fd, size, is_writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, err);
}
