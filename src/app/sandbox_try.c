/*
 * sandbox_try: the proof of the sandbox: every forbidden thing, tried. Called by `sallyport sandbox-test` only. Each
 * attempt runs in a child process that enters the box and then tries that one thing, because a box lets nobody fork and
 * some attempts are deadly.
 *
 * What an attempt could reach is prepared outside: a directory of the worker's own account with a file and a listening
 * socket in it, a process of that account (the victim), a program in memory. So it is the box that refuses, not the
 * account. Attempts that could harm the machine have arguments that make no sense: whatever error the kernel has for
 * these, the call was let through, and counts as allowed. Refused is EPERM, EACCES, ENOSYS, or the end by SIGSYS.
 */
#include "app/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define PATH_SIZE 96 /* fits into sockaddr_un */
#define ROUND_TRIP "/bin/true"

/* Within reach of the worker's account. */
struct prey {
    char directory[64];
    char file[PATH_SIZE], spare[PATH_SIZE], fresh[PATH_SIZE], socket[PATH_SIZE];
    int listener;
    int program; /* a memfd that could be executed */
    pid_t victim;
};

/* How a child ends. A program that it manages to execute (ROUND_TRIP) ends with 0 too. */
enum outcome { ALLOWED = 0, REFUSED = 3, NOT_TRIED = 4 };

/* ---- attempts of more than one call; -1 with errno, as system calls do ---- */

static long try_fork(void) {
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    return child;
}

static void *do_nothing(void *arg) { return arg; }

static long try_thread(void) {
    pthread_t thread;
    errno = pthread_create(&thread, NULL, do_nothing, NULL);
    return errno == 0 ? 0 : -1;
}

static long try_exec(const char *path) {
    char name[] = "true", *const argv[] = {name, NULL}, *const envp[] = {NULL};
    return execve(path, argv, envp);
}

static long try_exec_fd(int fd) {
    char name[] = "true", *const argv[] = {name, NULL}, *const envp[] = {NULL};
    return syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
}

static struct sockaddr_un unix_address(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    return address;
}

static long try_unix_connect(const struct prey *prey, int type) {
    struct sockaddr_un address = unix_address(prey->socket);
    int fd = socket(AF_UNIX, type, 0);
    return fd < 0 ? -1 : connect(fd, (const struct sockaddr *)&address, sizeof(address));
}

/* From the end of a pair, such as a worker's channel. That it is connected already is as good as a refusal. */
static long try_pair(const struct prey *prey, int type, bool is_by_sending) {
    struct sockaddr_un address = unix_address(prey->socket);
    int pair[2];
    if (socketpair(AF_UNIX, type, 0, pair) != 0)
        return -1;
    long result = is_by_sending ? sendto(pair[0], "x", 1, 0, (const struct sockaddr *)&address, sizeof(address))
                                : connect(pair[0], (const struct sockaddr *)&address, sizeof(address));
    if (result < 0 && errno == EISCONN)
        errno = EPERM;
    return result;
}

static long try_bind(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0 ? -1 : bind(fd, (const struct sockaddr *)&address, sizeof(address));
}

static long try_option(int level, int name, const char *value, size_t size) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0 ? -1 : setsockopt(fd, level, name, value, (socklen_t)size);
}

static long try_map(int protection, int fd) {
    void *memory = mmap(NULL, 4096, protection, MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
    return memory == MAP_FAILED ? -1 : 0;
}

static long try_protect_data(void) {
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? -1 : mprotect(memory, 4096, PROT_READ | PROT_EXEC);
}

/* This very code, made writable. */
static long try_protect_code(void) {
    uintptr_t page = (uintptr_t)try_protect_data & ~(uintptr_t)4095;
    return syscall(SYS_mprotect, page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static long try_shared_exec(void) {
    int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0700);
    if (id < 0)
        return -1;
    void *memory = shmat(id, NULL, SHM_EXEC);
    (void)shmctl(id, IPC_RMID, NULL);
    return (intptr_t)memory == -1 ? -1 : 0;
}

static long try_peek(pid_t pid) {
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)(uintptr_t)&try_peek, 1};
    return process_vm_readv(pid, &here, 1, &there, 1, 0);
}

static long try_capabilities(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}}; /* which anybody may ask for */
    return syscall(SYS_capset, &header, none);
}

/* The same kernel by its other two doors on x86, where calls have other numbers. */
static long try_x32(void) {
#ifdef __x86_64__
    return syscall(0x40000000 + SYS_getpid);
#else
    errno = ENOSYS;
    return -1;
#endif
}

static long try_32_bit(void) {
#ifdef __x86_64__
    long result = 20; /* getpid */
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    return result;
#else
    errno = ENOSYS;
    return -1;
#endif
}

/* ---- all attempts ---- */

#define NONSENSE ((void *)1)

/* X(name with underscores, the attempt): an expression in `prey` that is negative, with errno, when it fails. */
/* clang-format off */
#define ATTEMPTS(X) \
    /* files */ \
    X(open_for_reading, open(prey->file, O_RDONLY)) \
    X(open_for_writing, open(prey->file, O_WRONLY)) \
    X(open_of_a_directory, open("/", O_RDONLY | O_DIRECTORY)) \
    X(open_as_a_path, open(prey->file, O_PATH)) \
    X(open_of_proc_self_mem, open("/proc/self/mem", O_RDWR)) \
    X(openat2, syscall(SYS_openat2, AT_FDCWD, prey->file, NONSENSE, 24)) \
    X(creat, creat(prey->fresh, 0600)) \
    X(stat, faccessat(AT_FDCWD, prey->file, F_OK, 0)) \
    X(statx, syscall(SYS_statx, AT_FDCWD, prey->file, 0, 0, NONSENSE)) \
    X(fstatat, syscall(SYS_newfstatat, AT_FDCWD, prey->file, NONSENSE, 0)) \
    X(statfs, statfs("/", &(struct statfs){0})) \
    X(readlink, readlink("/proc/self/exe", (char[8]){0}, 8)) \
    X(truncate, truncate(prey->file, 0)) \
    X(chmod, chmod(prey->file, 0640)) \
    X(chown, chown(prey->file, (uid_t)-1, (gid_t)-1)) \
    X(setxattr, setxattr(prey->file, "user.x", "x", 1, 0)) \
    X(mkdir, mkdir(prey->fresh, 0700)) \
    X(rmdir, rmdir(prey->fresh)) \
    X(mknod, mknod(prey->fresh, S_IFIFO | 0600, 0)) \
    X(symlink, symlink("/", prey->fresh)) \
    X(link, link(prey->file, prey->spare)) \
    X(rename, rename(prey->file, prey->file)) \
    X(unlink, unlink(prey->spare)) \
    X(chdir, chdir("/")) \
    X(chroot, chroot("/")) \
    X(inotify, inotify_init1(0)) \
    X(fanotify, fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID, O_RDONLY)) \
    X(name_to_handle_at, syscall(SYS_name_to_handle_at, AT_FDCWD, prey->file, NONSENSE, NONSENSE, 0)) \
    X(open_by_handle_at, syscall(SYS_open_by_handle_at, -1, NONSENSE, 0)) \
    X(memfd_create, memfd_create("x", 0)) \
    /* programs and processes */ \
    X(execve, try_exec(ROUND_TRIP)) \
    X(execveat_of_memory, try_exec_fd(prey->program)) \
    X(fork, try_fork()) \
    X(clone3, syscall(SYS_clone3, NONSENSE, 0)) \
    X(thread, try_thread()) \
    X(kill, kill(prey->victim, 0)) \
    X(tgkill, syscall(SYS_tgkill, prey->victim, prey->victim, 0)) \
    X(kill_of_the_parent, kill(getppid(), 0)) \
    X(sigqueue, sigqueue(prey->victim, 0, (union sigval){0})) \
    X(pidfd_open, syscall(SYS_pidfd_open, prey->victim, 0)) \
    X(ptrace, ptrace(PTRACE_SEIZE, prey->victim, NULL, NULL)) \
    X(ptrace_of_oneself, ptrace(PTRACE_TRACEME, 0, NULL, NULL)) \
    X(process_vm_readv, try_peek(prey->victim)) \
    X(prlimit, prlimit(prey->victim, RLIMIT_NOFILE, NULL, &(struct rlimit){0})) \
    X(setpriority, setpriority(PRIO_PROCESS, (id_t)prey->victim, 19)) \
    X(sched_setaffinity, sched_setaffinity(0, 0, NONSENSE)) \
    /* sockets */ \
    X(udp_socket, socket(AF_INET, SOCK_DGRAM, 0)) \
    X(udp6_socket, socket(AF_INET6, SOCK_DGRAM, 0)) \
    X(raw_socket, socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)) \
    X(multipath_tcp_socket, socket(AF_INET, SOCK_STREAM, 262)) \
    X(netlink_socket, socket(AF_NETLINK, SOCK_RAW, 0)) \
    X(packet_socket, socket(AF_PACKET, SOCK_RAW, 0)) \
    X(alg_socket, socket(AF_ALG, SOCK_SEQPACKET, 0)) \
    X(unix_connect, try_unix_connect(prey, SOCK_STREAM)) \
    X(unix_connect_datagram, try_unix_connect(prey, SOCK_DGRAM)) \
    X(datagram_pair, try_pair(prey, SOCK_DGRAM, false)) \
    X(connect_of_a_pair, try_pair(prey, SOCK_STREAM, false)) \
    X(sendto_of_a_pair, try_pair(prey, SOCK_STREAM, true)) \
    X(bind, try_bind()) \
    X(listen, listen(prey->listener, 1)) \
    X(socket_filter, try_option(SOL_SOCKET, SO_ATTACH_FILTER, "", 0)) \
    X(socket_protocol, try_option(IPPROTO_TCP, TCP_ULP, "x", 1)) \
    X(terminal_input, ioctl(0, TIOCSTI, NONSENSE)) \
    X(signal_owner, fcntl(0, F_SETOWN, getppid())) \
    /* memory */ \
    X(map_writable_code, try_map(PROT_READ | PROT_WRITE | PROT_EXEC, -1)) \
    X(map_code, try_map(PROT_READ | PROT_EXEC, -1)) \
    X(map_code_of_a_memfd, try_map(PROT_READ | PROT_EXEC, prey->program)) \
    X(make_data_executable, try_protect_data()) \
    X(make_code_writable, try_protect_code()) \
    X(pkey_mprotect, syscall(SYS_pkey_mprotect, NULL, 0, PROT_EXEC, -1)) \
    X(shared_memory_code, try_shared_exec()) \
    /* who one is */ \
    X(setuid, setuid(geteuid())) \
    X(setgid, setgid(getegid())) \
    X(setgroups, setgroups((size_t)-1, NONSENSE)) \
    X(capabilities, try_capabilities()) \
    X(dumpable_again, prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)) \
    X(core_limit, setrlimit(RLIMIT_CORE, &(struct rlimit){0})) \
    X(personality, personality(0xffffffff)) \
    X(unshare, unshare(0)) \
    X(setns, setns(-1, 0)) \
    /* the kernel */ \
    X(mount, mount(NONSENSE, NONSENSE, NONSENSE, 0, NULL)) \
    X(umount, umount2(prey->fresh, 0)) \
    X(pivot_root, syscall(SYS_pivot_root, prey->fresh, prey->fresh)) \
    X(bpf, syscall(SYS_bpf, -1, NONSENSE, 0)) \
    X(perf_event_open, syscall(SYS_perf_event_open, NONSENSE, 0, -1, -1, 0)) \
    X(io_uring_setup, syscall(SYS_io_uring_setup, 0, NONSENSE)) \
    X(userfaultfd, syscall(SYS_userfaultfd, -1)) \
    X(keyctl, syscall(SYS_keyctl, -1, 0, 0, 0, 0)) \
    X(add_key, syscall(SYS_add_key, NONSENSE, NONSENSE, NONSENSE, 0, 0)) \
    X(request_key, syscall(SYS_request_key, NONSENSE, NONSENSE, NONSENSE, 0)) \
    X(kexec_load, syscall(SYS_kexec_load, 0, 0, NULL, 0xffff0000UL)) \
    X(init_module, syscall(SYS_init_module, NONSENSE, 1, NONSENSE)) \
    X(finit_module, syscall(SYS_finit_module, -1, NONSENSE, 0)) \
    X(reboot, syscall(SYS_reboot, 0, 0, 0, NULL)) \
    X(swapon, syscall(SYS_swapon, NONSENSE, 0)) \
    X(acct, syscall(SYS_acct, NONSENSE)) \
    X(set_the_clock, syscall(SYS_clock_settime, CLOCK_REALTIME, NONSENSE)) \
    X(sethostname, syscall(SYS_sethostname, NONSENSE, -1)) \
    X(kernel_log, syscall(SYS_syslog, 10, NULL, 0)) \
    X(call_as_x32, try_x32()) \
    X(call_as_32_bit, try_32_bit())
/* clang-format on */

#define X(name, expression)                               \
    static long attempt_##name(const struct prey *prey) { \
        (void)prey;                                       \
        return (long)(expression);                        \
    }
ATTEMPTS(X)
#undef X

static const struct attempt {
    const char *name;
    long (*try)(const struct prey *prey);
} attempts[] = {
#define X(name, expression) {#name, attempt_##name},
    ATTEMPTS(X)
#undef X
};

/* ---- the prey ---- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *place) {
    (void)st;
    (void)type;
    (void)place;
    (void)remove(path);
    return 0;
}

static void prey_fini(struct prey *prey) {
    if (prey->victim > 0) {
        (void)kill(prey->victim, SIGKILL);
        (void)waitpid(prey->victim, NULL, 0);
    }
    if (prey->listener >= 0)
        close(prey->listener);
    if (prey->program >= 0)
        close(prey->program);
    if (prey->directory[0])
        (void)nftw(prey->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* A process of the worker's account that anyone of this account may signal and trace. */
static pid_t start_victim(const struct sandbox_ids *ids) {
    pid_t parent = getpid(), victim = fork();
    if (victim != 0)
        return victim;
    if (ids->uid != 0 && (setresgid(ids->gid, ids->gid, ids->gid) != 0 || setresuid(ids->uid, ids->uid, ids->uid) != 0))
        _exit(1);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    while (getppid() == parent)
        (void)pause();
    _exit(0);
}

static int make_file(const char *path, const struct sandbox_ids *ids) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    int result = ids->uid != 0 ? fchown(fd, ids->uid, ids->gid) : 0;
    close(fd);
    return result;
}

static int listen_at(const char *path, const struct sandbox_ids *ids) {
    struct sockaddr_un address = unix_address(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 8) != 0 ||
                    (ids->uid != 0 && chown(path, ids->uid, ids->gid) != 0))) {
        close(fd);
        return -1;
    }
    return fd;
}

static int copy_program(void) {
    char buffer[16384];
    int from = open(ROUND_TRIP, O_RDONLY | O_CLOEXEC), to = memfd_create("program", MFD_CLOEXEC);
    ssize_t got = from < 0 || to < 0 ? -1 : 1;
    while (got > 0 && (got = read(from, buffer, sizeof(buffer))) > 0)
        if (write(to, buffer, (size_t)got) != got)
            got = -1;
    if (from >= 0)
        close(from);
    if (got < 0 && to >= 0)
        close(to);
    return got < 0 ? -1 : to;
}

static int prey_init(struct prey *prey, const struct sandbox_ids *ids, struct err *err) {
    const char *top = getenv("TMPDIR");
    *prey = (struct prey){.listener = -1, .program = -1};
    int length = snprintf(prey->directory, sizeof(prey->directory), "%s/sallyport-XXXXXX", top ? top : "/tmp");
    if (length < 0 || (size_t)length >= sizeof(prey->directory) || !mkdtemp(prey->directory)) {
        prey->directory[0] = '\0';
        return err_set(err, "no directory to work in below %s", top ? top : "/tmp");
    }
    (void)snprintf(prey->file, PATH_SIZE, "%s/file", prey->directory);
    (void)snprintf(prey->spare, PATH_SIZE, "%s/spare", prey->directory);
    (void)snprintf(prey->fresh, PATH_SIZE, "%s/fresh", prey->directory);
    (void)snprintf(prey->socket, PATH_SIZE, "%s/socket", prey->directory);
    if ((ids->uid != 0 && chown(prey->directory, ids->uid, ids->gid) != 0) || make_file(prey->file, ids) != 0 ||
        (prey->listener = listen_at(prey->socket, ids)) < 0 || (prey->program = copy_program()) < 0 ||
        (prey->victim = start_victim(ids)) < 0)
        return err_set(err, "cannot prepare the trial: %s", strerror(errno));
    return 0;
}

/* ---- the trial ---- */

/* In the child. */
_Noreturn static void try_one(const struct attempt *attempt, const struct prey *prey, const struct sandbox_ids *ids) {
    struct err err;
    if (ids && sandbox_enter(ids, &err) != 0) {
        fprintf(stderr, "sallyport sandbox-test: %s\n", err.text);
        _exit(NOT_TRIED);
    }
    errno = 0;
    bool is_refused = attempt->try(prey) < 0 && (errno == EPERM || errno == EACCES || errno == ENOSYS);
    _exit(is_refused ? REFUSED : ALLOWED);
}

/* ids: NULL to try without the box. */
static enum outcome run_attempt(const struct attempt *attempt, const struct prey *prey, const struct sandbox_ids *ids) {
    int status;
    pid_t child = fork();
    if (child == 0)
        try_one(attempt, prey, ids);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return NOT_TRIED;
    if (WIFSIGNALED(status)) /* SIGSEGV: how a kernel without 32-bit calls answers them */
        return WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV ? REFUSED : NOT_TRIED;
    return WEXITSTATUS(status) == REFUSED || WEXITSTATUS(status) == NOT_TRIED ? (enum outcome)WEXITSTATUS(status)
                                                                              : ALLOWED;
}

static void print_outcome(const char *name, bool is_allowed) {
    for (; *name; name++)
        putchar(*name == '_' ? ' ' : *name);
    puts(is_allowed ? ": ALLOWED" : ": refused");
}

int sandbox_try_everything(const struct sandbox_ids *ids, bool is_boxed, struct err *err) {
    struct prey prey;
    int allowed = prey_init(&prey, ids, err);
    for (size_t i = 0; allowed >= 0 && i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        (void)fflush(stdout);
        enum outcome outcome = run_attempt(&attempts[i], &prey, is_boxed ? ids : NULL);
        if (outcome == NOT_TRIED) {
            allowed = err_set(err, "%s could not be tried", attempts[i].name);
            break;
        }
        print_outcome(attempts[i].name, outcome == ALLOWED);
        allowed += outcome == ALLOWED;
        log_set_level(LOG_ERROR); /* what the kernel lacks has been said by the first child */
    }
    prey_fini(&prey);
    return allowed;
}
