/*
 * sandbox: see the header. Called once by each worker, and by the children of the trial (sandbox_try.c). Owns nothing.
 *
 * Each layer stands alone, so that a kernel (or a bug) that opens one leaves the others:
 *
 *   ids, capabilities   nothing of root's, nothing of other accounts'
 *   no new privileges   no set-uid program helps
 *   not dumpable        no core file, no ptrace by processes of the same account
 *   Landlock            no path, no listening port, no signal or abstract socket beyond this process
 *   MDWE                no memory that was writable becomes executable
 *   seccomp             sandbox_seccomp.c
 *
 * It refuses to run in a process with several threads: Landlock and seccomp bind the calling thread.
 */
#include "app/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox_priv.h"

/* ---- ids and privileges ---- */

int sandbox_lookup(const struct sandbox_source *source, struct sandbox_ids *ids_out, struct err *err) {
    static const char usual[] = "sallyport"; /* also when it is spelt out: the default is what it means */
    const char *name = source->user ? source->user : usual;
    *ids_out = (struct sandbox_ids){0};
    errno = 0;
    const struct passwd *account = getpwnam(name);
    if (!account && strcmp(name, usual) != 0)
        return err_set(err, "user: there is no account '%s'%s%s", name, errno ? ": " : "",
                       errno ? strerror(errno) : "");
    if (geteuid() != 0)
        return 0;
    if (!account)
        account = getpwnam("nobody");
    if (!account)
        return err_set(err, "user: neither 'sallyport' nor 'nobody' is an account; name one that is");
    ids_out->uid = account->pw_uid;
    ids_out->gid = account->pw_gid;
    return 0;
}

static int change_ids(const struct sandbox_ids *ids, struct err *err) {
    if (geteuid() != 0)
        return 0;
    if (setgroups(0, NULL) != 0)
        return err_set(err, "cannot leave root's groups: %s", strerror(errno));
    if (ids->uid == 0) {
        log_warning("the worker stays root, without capabilities, because `user` says so");
        return 0;
    }
    if (setresgid(ids->gid, ids->gid, ids->gid) != 0 || setresuid(ids->uid, ids->uid, ids->uid) != 0)
        return err_set(err, "cannot become uid %u, gid %u: %s", (unsigned)ids->uid, (unsigned)ids->gid,
                       strerror(errno));
    if (setuid(0) == 0)
        return err_set(err, "could become root again after changing to uid %u", (unsigned)ids->uid);
    return 0;
}

/* Also those that an ordinary user was given for low ports (systemd's AmbientCapabilities). */
static int drop_capabilities(struct err *err) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (syscall(SYS_capset, &header, none) != 0)
        return err_set(err, "cannot drop capabilities: %s", strerror(errno));
    return 0;
}

static int drop_privileges(const struct sandbox_ids *ids, struct err *err) {
    int death_signal = 0; /* forgotten by the kernel when ids or capabilities change */
    (void)prctl(PR_GET_PDEATHSIG, &death_signal);
    if (change_ids(ids, err) != 0 || drop_capabilities(err) != 0)
        return -1;
    if (death_signal != 0 && prctl(PR_SET_PDEATHSIG, death_signal) != 0)
        return err_set(err, "cannot keep the parent death signal: %s", strerror(errno));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return err_set(err, "cannot renounce new privileges: %s", strerror(errno));
    return 0;
}

#ifdef SALLYPORT_NO_SANDBOX

int sandbox_enter(const struct sandbox_ids *ids, struct err *err) {
    if (drop_privileges(ids, err) != 0)
        return -1;
    log_info("this build has no sandbox: ids and capabilities are dropped, nothing else");
    return 0;
}

#else

static int forbid_dumps(struct err *err) {
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return err_set(err, "cannot switch core dumps off: %s", strerror(errno));
    return 0;
}

/* ---- Landlock ---- */

/* As linux/landlock.h, whose version at build time says nothing about the kernel that runs. */
struct landlock_ruleset {
    uint64_t access_fs;
    uint64_t access_net; /* ABI 4 */
    uint64_t scoped;     /* ABI 6 */
};

#define LANDLOCK_VERSION_FLAG 1U
#define LANDLOCK_BIND_TCP 1ULL /* connecting, the other right, is what upstreams need */
#define LANDLOCK_SCOPES 3ULL   /* abstract sockets, signals */

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self 446
#endif

/* Handles every right that this kernel's version of Landlock knows and allows none. */
static int forbid_paths(bool *is_missing_out, struct err *err) {
    /* Rights to the file system by ABI: up to making symlinks, then linking across, truncating, device ioctls. */
    static const unsigned fs_rights[] = {0, 13, 14, 15, 15, 16};
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION_FLAG);
    *is_missing_out = abi < 1;
    if (*is_missing_out)
        return 0;
    size_t known = sizeof(fs_rights) / sizeof(fs_rights[0]) - 1;
    struct landlock_ruleset ruleset = {
        .access_fs = (1ULL << fs_rights[(size_t)abi < known ? (size_t)abi : known]) - 1,
        .access_net = abi >= 4 ? LANDLOCK_BIND_TCP : 0,
        .scoped = abi >= 6 ? LANDLOCK_SCOPES : 0,
    };
    /* A kernel takes a longer structure than it knows as long as the rest is zero. */
    int fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);
    if (fd < 0)
        return err_set(err, "Landlock: no rule set: %s", strerror(errno));
    int result = 0;
    if (syscall(SYS_landlock_restrict_self, fd, 0) != 0)
        result = err_set(err, "Landlock: %s", strerror(errno));
    close(fd);
    return result;
}

/* ---- all of it ---- */

/* Linux 6.3; the filter refuses executable memory by itself, so nobody is warned where this is missing. */
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
#define MDWE_NO_EXEC_GAIN 1UL

static int require_one_thread(struct err *err) {
    struct stat st;
    if (stat("/proc/self/task", &st) == 0 && st.st_nlink > 3)
        return err_set(err, "the process has %lu threads", (unsigned long)st.st_nlink - 2);
    return 0;
}

int sandbox_enter(const struct sandbox_ids *ids, struct err *err) {
    bool lacks_landlock, lacks_seccomp;
    if (require_one_thread(err) != 0 || drop_privileges(ids, err) != 0 || forbid_dumps(err) != 0 ||
        forbid_paths(&lacks_landlock, err) != 0)
        return err_context(err, "sandbox");
    (void)prctl(PR_SET_MDWE, MDWE_NO_EXEC_GAIN, 0, 0, 0);
    if (sandbox_filter_calls(&lacks_seccomp, err) != 0)
        return err_context(err, "sandbox");
    if (lacks_landlock || lacks_seccomp)
        log_warning("this kernel lacks %s%s%s: workers run without", lacks_landlock ? "Landlock" : "",
                    lacks_landlock && lacks_seccomp ? " and " : "", lacks_seccomp ? "seccomp filters" : "");
    return 0;
}

#endif
