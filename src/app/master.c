/*
 * master: see the header; start, signals and stop. Holds no lock, waits for nobody: everything is an event of its loop.
 */
#include "app/master.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/notify.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/memfd.h"
#include "master_priv.h"

#define HOUSEKEEPING_MS 1000
#define CONTROL_END_MS 10000 /* control writes the rest of the logs and ends */
#define TURN_MS 200          /* what the log's pipe did not take is tried again */
#define PROGRAM_FD_MIN 16    /* out of the way of the descriptors that children are given */

void master_set_state(struct master *master, enum master_state state) { master->state = state; }

/* ---- the end ---- */

static void kill_workers(struct master *master) {
    for (size_t i = 0; i < GENERATION_WORKERS_MAX; i++) {
        child_kill(&master->workers[i].child, NULL);
        if (!child_is_alive(&master->workers[i].child))
            child_forget(&master->workers[i].child);
    }
}

static void begin_ending(struct master *master) {
    master_set_state(master, MASTER_ENDING);
    (void)logpipe_writer_flush(master->log_writer);
    /* What workers wrote while there was no control is still to be written down. */
    if (!child_is_alive(&master->control) && !master->control.channel && master->in_force.number > 0)
        child_start(&master->control);
    control_tell(master, &(struct ipc_message){.type = IPC_STOP, .value = 2});
    loop_timer_set(master->deadline, CONTROL_END_MS);
    master_look_around(master);
}

void master_look_around(struct master *master) {
    if (workers_alive(master) > 0)
        return;
    if (master->state == MASTER_DRAINING)
        begin_ending(master);
    else if (master->state == MASTER_ENDING && !child_is_alive(&master->control) && !master->control.channel)
        master_set_state(master, MASTER_ENDED);
}

static void on_deadline(void *arg) {
    struct master *master = arg;
    child_kill(&master->control, "does not end");
    kill_workers(master);
}

void master_fail(struct master *master, int status) {
    if (master->state != MASTER_STARTING)
        return;
    master->status = status;
    kill_workers(master);
    master_set_state(master, MASTER_ENDING);
    loop_timer_set(master->deadline, CONTROL_END_MS);
}

void master_stop(struct master *master, bool is_replaced) {
    if (master->state >= MASTER_DRAINING)
        return;
    /* After a hand-over the service is the successor, and goes on. */
    if (!is_replaced)
        notify_send("STOPPING=1");
    upgrade_cancel(&master->upgrade);
    exchange_reject(master, "the gateway is stopping");
    if (master->state == MASTER_STARTING) {
        kill_workers(master);
        child_kill(&master->control, NULL);
        master_set_state(master, MASTER_ENDING);
        master_look_around(master);
        return;
    }
    size_t workers = workers_serving(master);
    log_info("stopping: %zu %s at most %lld ms to finish", workers, workers == 1 ? "worker has" : "workers have",
             (long long)master->in_force.shutdown_timeout_ms);
    master_set_state(master, MASTER_DRAINING);
    control_tell(master, &(struct ipc_message){.type = IPC_STOP, .value = 1});
    /* Workers take in what waits and close theirs: who comes after that is refused at once. */
    if (!is_replaced)
        sockets_close(&master->sockets);
    for (size_t i = 0; i < GENERATION_WORKERS_MAX; i++) {
        worker_dismiss(master, &master->workers[i], is_replaced);
        if (!child_is_alive(&master->workers[i].child))
            child_forget(&master->workers[i].child);
    }
    master_look_around(master);
}

/* ---- signals ---- */

static void on_stop(void *arg) { master_stop(arg, false); }

static void on_quit(void *arg) {
    struct master *master = arg;
    if (master->state >= MASTER_ENDING)
        return;
    log_info("quitting at once");
    master->status = 1;
    upgrade_cancel(&master->upgrade);
    kill_workers(master);
    begin_ending(master);
}

static void on_reload(void *arg) {
    struct master *master = arg;
    char state[64];
    if (master->state > MASTER_SERVING)
        return;
    if (master->state == MASTER_STARTING) { /* files may have changed since control read them */
        master->wants_reload = true;
        return;
    }
    (void)snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_mono_us());
    notify_send(state);
    control_reload(master);
}

static void on_reopen(void *arg) {
    struct master *master = arg;
    control_tell(master, &(struct ipc_message){.type = IPC_REOPEN_LOGS});
}

static void on_upgrade(void *arg) {
    struct master *master = arg;
    if (master->state == MASTER_SERVING)
        upgrade_start(&master->upgrade, &master->program, &master->sockets,
                      (struct upgrade_bequest){master->tickets.fd, master->sessions});
}

static void taken_over(void *arg) { master_stop(arg, true); }

static void on_child(void *arg) {
    struct master *master = arg;
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        struct child *child = pid == master->control.pid ? &master->control : NULL;
        for (size_t i = 0; i < GENERATION_WORKERS_MAX && !child; i++)
            if (pid == master->workers[i].child.pid)
                child = &master->workers[i].child;
        if (child)
            child_reaped(child, status);
        else
            upgrade_reaped(&master->upgrade, pid, status);
    }
}

static int watch_signals(struct master *master, struct err *err) {
    static const struct {
        int signo;
        void (*fn)(void *arg);
    } table[] = {{SIGHUP, on_reload}, {SIGUSR1, on_reopen},  {SIGTERM, on_stop}, {SIGINT, on_stop},
                 {SIGQUIT, on_quit},  {SIGUSR2, on_upgrade}, {SIGCHLD, on_child}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (loop_signal(master->loop, table[i].signo, table[i].fn, master, err) != 0)
            return -1;
    return 0;
}

/* ---- the start ---- */

void master_ready(struct master *master) {
    notify_send("READY=1");
    if (master->state != MASTER_STARTING)
        return;
    master_set_state(master, MASTER_SERVING);
    upgrade_tell_ready(&master->upgrade);
    if (master->wants_reload)
        on_reload(master);
}

static void housekeeping(void *arg) {
    struct master *master = arg;
    workers_watch(master);
    if (ticket_box_rotate(&master->tickets, clock_mono_us() / 1000))
        workers_send_tickets(master);
    if (notify_watchdog_ms() > 0)
        notify_send("WATCHDOG=1");
    loop_timer_set(master->housekeeping, HOUSEKEEPING_MS);
}

/* As many descriptors as the system lets us have: two for each connection of each worker. */
static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* No key in a core dump; children inherit it. */
static void forbid_core_dumps(void) {
    struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
}

/* Descriptors 0 to 2 are there, or what is opened next would be taken for them. */
static void fill_standard_descriptors(void) {
    int fd;
    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
        continue;
    if (fd > STDERR_FILENO)
        (void)close(fd);
}

static int find_program(struct program *program, struct err *err) {
    char path[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path);
    int fd = size > 0 ? open("/proc/self/exe", O_PATH | O_CLOEXEC) : -1;
    program->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, PROGRAM_FD_MIN) : -1;
    if (fd >= 0)
        (void)close(fd);
    if (program->fd < 0)
        return err_set(err, "the program's own file cannot be opened: %s", strerror(errno));
    program->path = mem_strndup(path, (size_t)size);
    return 0;
}

static void close_fd(int fd) {
    if (fd >= 0)
        (void)close(fd);
}

/* The predecessor's, if it has the form that this program knows. */
static int make_sessions(struct master *master, struct err *err) {
    struct stat status;
    int inherited = master->upgrade.inherited_sessions;
    master->upgrade.inherited_sessions = -1;
    if (inherited >= 0 && fstat(inherited, &status) == 0 && (size_t)status.st_size == session_store_size()) {
        master->sessions = inherited;
        return 0;
    }
    close_fd(inherited);
    master->sessions = memfd_shared("sessions", session_store_size(), err);
    return master->sessions < 0 ? -1 : 0;
}

static int make_shared(struct master *master, struct err *err) {
    if (logpipe_make(&master->log.read, &master->log.write, err) != 0)
        return -1;
    master->log_writer = logpipe_writer_new(master->log.write);
    master->limits = memfd_shared("limits", limit_table_size(), err);
    void *memory = master->limits < 0 ? NULL : memfd_map_shared(master->limits, limit_table_size(), true, err);
    if (!memory)
        return -1;
    master->limit_table = limit_table_open(memory);
    if (make_sessions(master, err) != 0)
        return -1;
    int keys = master->upgrade.inherited_keys;
    master->upgrade.inherited_keys = -1;
    return ticket_box_init(&master->tickets, keys, clock_mono_us() / 1000, err);
}

static int start(struct master *master, struct err *err) {
    if (find_program(&master->program, err) != 0 || make_shared(master, err) != 0 || watch_signals(master, err) != 0)
        return -1;
    housekeeping(master);
    child_start(&master->control);
    return 0;
}

static struct master *master_new(const char *config_path, struct err *err) {
    struct loop *loop = loop_new(err);
    if (!loop)
        return NULL;
    struct master *master = NEW(struct master);
    master->loop = loop;
    master->program = (struct program){.fd = -1, .config_path = config_path};
    master->limits = master->sessions = master->log.read = master->log.write = master->tickets.fd = -1;
    generation_init(&master->in_force);
    sockets_init(&master->sockets);
    upgrade_init(&master->upgrade, loop, taken_over, master);
    control_init(master);
    workers_init(master);
    exchange_init(master);
    master->housekeeping = loop_timer_new(loop, housekeeping, master);
    master->deadline = loop_timer_new(loop, on_deadline, master);
    return master;
}

static void master_free(struct master *master) {
    log_set_sink(NULL);
    exchange_fini(master);
    control_fini(master);
    workers_fini(master);
    upgrade_fini(&master->upgrade);
    sockets_fini(&master->sockets);
    generation_fini(&master->in_force);
    ticket_box_fini(&master->tickets);
    logpipe_writer_free(&master->log_writer);
    close_fd(master->log.read);
    close_fd(master->log.write);
    close_fd(master->limits);
    close_fd(master->sessions);
    close_fd(master->program.fd);
    mem_free((void *)(uintptr_t)master->program.path);
    loop_timer_free(&master->housekeeping);
    loop_timer_free(&master->deadline);
    loop_free(master->loop);
    mem_free(master);
}

int master_run(const char *config_path) {
    struct err err = {""};
    fill_standard_descriptors();
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file at its limit is a write that fails, as on a full disk */
    raise_descriptor_limit();
    forbid_core_dumps();
    struct master *master = master_new(config_path, &err);
    int status = 1;
    if (!master || start(master, &err) != 0) {
        fprintf(stderr, "sallyport: %s\n", err.text);
    } else {
        while (master->state != MASTER_ENDED) {
            loop_turn(master->loop, TURN_MS);
            (void)logpipe_writer_flush(master->log_writer);
        }
        status = master->status;
    }
    if (master)
        master_free(master);
    return status;
}
