/*
 * sandbox_seccomp: the system calls that a worker has left, as tables: those allowed whatever their arguments, those
 * allowed with certain arguments, and those that end the process. The only file that knows libseccomp.
 *
 *   allowed       what OpenSSL, libevent, malloc and the proxy need; found with strace, and by the integration tests
 *                 running inside
 *   kill          what no library tries on its own: executing, debugging, mounting, changing who one is. Whoever calls
 *                 it is an intruder; the process ends with SIGSYS, master logs that and starts another
 *   anything else EPERM. Libraries probe: a file that could hold a locale, a newer call with an older one to fall back
 *                 to. A refusal costs nothing there, while killing would make every update of libc an outage
 *
 * Calls that take a path are among "anything else", also those that only look (stat): Landlock does not cover them.
 */
#include "sandbox_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/sandbox.h"

#ifndef SALLYPORT_NO_SANDBOX

/* clang-format off */
/* Names that an architecture does not have (poll, epoll_wait on aarch64) are left out by libseccomp. */
static const int allowed[] = {
    /* bytes on descriptors */
    SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(lseek), SCMP_SYS(close),
    SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(fstat),
    /* connections */
    SCMP_SYS(accept4), SCMP_SYS(connect), SCMP_SYS(shutdown), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
    /* waiting */
    SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2),
    SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(eventfd2), SCMP_SYS(pipe2), SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime), SCMP_SYS(alarm), SCMP_SYS(setitimer), SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep),
    SCMP_SYS(restart_syscall),
    /* memory; mmap and mprotect are below */
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex),
    /* the time, chance, and who am I (OpenSSL asks, to notice a fork) */
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom),
    SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
    SCMP_SYS(getegid), SCMP_SYS(sysinfo), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(getcpu),
    /* signals to oneself, and the end */
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

static const int deadly[] = {
    SCMP_SYS(execve), SCMP_SYS(execveat),
    /* other processes */
    SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(process_madvise),
    SCMP_SYS(pidfd_getfd), SCMP_SYS(kcmp), SCMP_SYS(perf_event_open),
    /* who one is and what one sees */
    SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid),
    SCMP_SYS(setresgid), SCMP_SYS(setfsuid), SCMP_SYS(setfsgid), SCMP_SYS(setgroups), SCMP_SYS(capset),
    SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(chroot), SCMP_SYS(pivot_root), SCMP_SYS(personality),
    SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(open_tree), SCMP_SYS(move_mount), SCMP_SYS(fsopen),
    SCMP_SYS(fsmount), SCMP_SYS(fspick), SCMP_SYS(mount_setattr), SCMP_SYS(name_to_handle_at),
    SCMP_SYS(open_by_handle_at),
    /* the kernel's wide doors */
    SCMP_SYS(bpf), SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register),
    SCMP_SYS(userfaultfd), SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load), SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module),
    SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(acct), SCMP_SYS(iopl), SCMP_SYS(ioperm),
    SCMP_SYS(modify_ldt),
};

/* One call with up to three conditions, all of which must hold. A call may have several rows. */
struct rule {
    int call;
    unsigned count;
    struct scmp_arg_cmp when[3];
};

#define ARG(n, compare, ...) {(n), (compare), __VA_ARGS__}
#define BITS(n, mask, value) ARG(n, SCMP_CMP_MASKED_EQ, (uint64_t)(mask), (uint64_t)(value))
/* int arguments: the upper half of the register is not looked at by the kernel, so not here either. */
#define IS_INT(n, value) BITS(n, 0xffffffffU, (uint32_t)(value))
#define SOCKET_TYPE(n, type) BITS(n, 0xffffffffU & ~(uint32_t)(SOCK_NONBLOCK | SOCK_CLOEXEC), type)
#define OPTION(level, name) {SCMP_SYS(setsockopt), 2, {IS_INT(1, level), IS_INT(2, name)}}
#define FCNTL(command) {SCMP_SYS(fcntl), 1, {IS_INT(1, command)}}
#define IOCTL(request) {SCMP_SYS(ioctl), 1, {IS_INT(1, request)}}

static const struct rule conditional[] = {
    /* TCP to upstreams: no datagrams, no raw sockets, no other family. A pair of stream sockets (builtin:whoami,
     * libevent's signals) is connected from the start and cannot be connected to a path later. */
    {SCMP_SYS(socket), 3, {IS_INT(0, AF_INET), SOCKET_TYPE(1, SOCK_STREAM), IS_INT(2, 0)}},
    {SCMP_SYS(socket), 3, {IS_INT(0, AF_INET6), SOCKET_TYPE(1, SOCK_STREAM), IS_INT(2, 0)}},
    {SCMP_SYS(socketpair), 3, {IS_INT(0, AF_UNIX), SOCKET_TYPE(1, SOCK_STREAM), IS_INT(2, 0)}},
    OPTION(IPPROTO_TCP, TCP_NODELAY),
    OPTION(IPPROTO_TCP, TCP_CORK),
    OPTION(IPPROTO_TCP, TCP_QUICKACK),
    OPTION(IPPROTO_TCP, TCP_KEEPIDLE),
    OPTION(IPPROTO_TCP, TCP_KEEPINTVL),
    OPTION(IPPROTO_TCP, TCP_KEEPCNT),
    OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT),
    OPTION(IPPROTO_TCP, TCP_NOTSENT_LOWAT),
    OPTION(SOL_SOCKET, SO_LINGER),
    OPTION(SOL_SOCKET, SO_KEEPALIVE),
    OPTION(SOL_SOCKET, SO_RCVBUF),
    OPTION(SOL_SOCKET, SO_SNDBUF),
    OPTION(SOL_SOCKET, SO_RCVLOWAT),
    {SCMP_SYS(getsockopt), 1, {IS_INT(1, SOL_SOCKET)}},
    {SCMP_SYS(getsockopt), 1, {IS_INT(1, IPPROTO_TCP)}},
    /* No F_SETOWN: it sends signals. */
    FCNTL(F_GETFL),
    FCNTL(F_SETFL),
    FCNTL(F_GETFD),
    FCNTL(F_SETFD),
    FCNTL(F_DUPFD_CLOEXEC),
    FCNTL(F_GET_SEALS),
    IOCTL(FIONBIO),
    IOCTL(FIONREAD),
    IOCTL(SIOCOUTQ),
    /* No page is ever executable that was not when the box closed. */
    {SCMP_SYS(mmap), 1, {BITS(2, PROT_EXEC, 0)}},
    {SCMP_SYS(mprotect), 1, {BITS(2, PROT_EXEC, 0)}},
};

/* clang-format on */

/* The kernel has seccomp filters if it complains of the missing filter, not of the mode. */
static bool has_filters(void) {
    return prctl(PR_SET_SECCOMP, 2 /* SECCOMP_MODE_FILTER */, NULL, 0, 0) == -1 && errno == EFAULT;
}

static int add(scmp_filter_ctx filter, uint32_t action, const struct rule *rule, struct err *err) {
    int result = seccomp_rule_add_array(filter, action, rule->call, rule->count, rule->when);
    if (result == 0)
        return 0;
    char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, rule->call);
    (void)err_set(err, "no filter for %s: %s", name ? name : "a system call", strerror(-result));
    free(name);
    return -1;
}

/* abort() and stack smashing end with a signal to oneself. */
static int allow_own_signals(scmp_filter_ctx filter, struct err *err) {
    struct rule rule = {SCMP_SYS(tgkill), 1, {IS_INT(0, getpid())}};
    return add(filter, SCMP_ACT_ALLOW, &rule, err);
}

static int add_rules(scmp_filter_ctx filter, struct err *err) {
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
        if (add(filter, SCMP_ACT_ALLOW, &(struct rule){.call = allowed[i]}, err) != 0)
            return -1;
    for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
        if (add(filter, SCMP_ACT_KILL_PROCESS, &(struct rule){.call = deadly[i]}, err) != 0)
            return -1;
    for (size_t i = 0; i < sizeof(conditional) / sizeof(conditional[0]); i++)
        if (add(filter, SCMP_ACT_ALLOW, &conditional[i], err) != 0)
            return -1;
    return allow_own_signals(filter, err);
}

int sandbox_filter_calls(bool *is_missing_out, struct err *err) {
    *is_missing_out = !has_filters();
    if (*is_missing_out)
        return 0;
    int result = -1;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return err_set(err, "seccomp: no filter");
    /* The program as a 32-bit or x32 one would have other calls under these numbers. 2: a search tree, not a list. */
    if (seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) != 0 ||
        seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) != 0) {
        (void)err_set(err, "seccomp: an attribute is not supported");
        goto out;
    }
    if (add_rules(filter, err) != 0)
        goto out;
    int loaded = seccomp_load(filter);
    result = loaded == 0 ? 0 : err_set(err, "seccomp: the filter is not taken: %s", strerror(-loaded));
out:
    seccomp_release(filter);
    return result;
}

#endif
