/*
 * gate_worker: one worker in one process, for counting instructions: everything of sallyport that is busy in traffic,
 * without master, control and sandbox. Started by gate.py, under callgrind; clients and upstream run outside.
 *
 *   gate_worker CONFIG [KEYS] prints the port; then obeys lines of its standard input, and answers each with "ok":
 *     begin                   counting begins
 *     end NAME                when no client is left, counting ends: a dump of that name
 *
 * KEYS: a directory in which the keys of tokens are kept; without it nothing is signed. What control does otherwise, to
 * answer for a token, is done here too, but only once for a client.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "app/signer.h"
#include "base/clock.h"
#include "base/logpipe.h"
#include "instructions.h"
#include "io/acceptor.h"
#include "ipc/ask.h"
#include "ipc/channel.h"
#include "proxy/tokens.h"
#include "proxy/worker.h"
#include "session/jwt.h"

struct gate {
    struct loop *loop;
    struct worker *worker;
    struct worker_listener listener;
    struct acceptor *acceptor;
    struct logpipe_writer *log;
    struct signer *signer; /* as everything here up to ending: with KEYS */
    struct asker *asker;
    struct answerer *answerer;
    char ending[128]; /* "end" was said, with this name */
    bool is_over;
};

static void die(const char *what, const char *why) {
    fprintf(stderr, "gate_worker: %s: %s\n", what, why);
    exit(2);
}

static void answer(void) {
    puts("ok");
    (void)fflush(stdout);
}

static void take_line(struct gate *gate, char *line) {
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(line, "begin") == 0) {
        instructions_begin();
        answer();
    } else if (strncmp(line, "end ", 4) == 0) {
        (void)snprintf(gate->ending, sizeof gate->ending, "%s", line + 4);
    } else {
        die("not a command", line);
    }
}

/* Lines come one at a time: the next one after the answer. */
static void on_input(void *arg, int ready) {
    struct gate *gate = arg;
    char line[128];
    (void)ready;
    ssize_t size = read(STDIN_FILENO, line, sizeof line - 1);
    line[size > 0 ? size : 0] = '\0';
    if (size <= 0)
        gate->is_over = true;
    else
        take_line(gate, line);
}

static void on_connection(void *owner, int fd, const struct addr *peer) {
    struct gate *gate = owner;
    worker_accept(gate->worker, &gate->listener, fd, peer);
}

/* What workers otherwise share. */
static void *map(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap", "no memory");
    return memory;
}

static struct snapshot *open_snapshot(const char *path) {
    struct conf_messages messages;
    struct resolved resolved;
    struct err err = {""};
    conf_messages_init(&messages, path);
    if (resolve_file(path, NULL, &messages, NULL, &resolved) != 0)
        die(path, messages.count ? messages.items[0].text : "refused");
    conf_messages_fini(&messages);
    struct ticket_keys *keys = ticket_keys_new();
    ticket_keys_keep_sessions(keys, map(session_store_size()));
    struct snapshot *snapshot = snapshot_new(&resolved, 1, keys, &err);
    if (!snapshot)
        die(path, err.text);
    return snapshot;
}

/* ---- tokens ---- */

static void on_asked(void *arg, struct ask_question *question) {
    const struct gate *gate = arg;
    struct claims claims;
    struct sbuf token;
    struct err err = {"not understood"};
    sbuf_init(&token, JWT_SIZE_MAX);
    if (!claims_read(question->text, &claims) || !signer_knows(gate->signer, claims.audience) ||
        signer_sign(gate->signer, &claims, clock_wall(), &token, &err) != 0)
        die("a token", err.text);
    ask_question_answer(&question, sbuf_slice(&token));
    sbuf_fini(&token);
}

static void on_closed(void *arg, const char *fault) { (void)arg, (void)fault; }

static void on_told(void *arg, enum ask_kind kind, struct slice text) { (void)arg, (void)kind, (void)text; }

static void open_signer(struct gate *gate, const struct conf *conf, const char *directory) {
    struct err err = {""};
    int ours, its;
    gate->signer = signer_new(conf, directory);
    if (signer_open(gate->signer, clock_wall(), &err) != 0 || channel_pair(&ours, &its, &err) != 0)
        die("tokens", err.text);
    asker_connect(gate->asker, ours);
    gate->answerer = answerer_open(gate->loop, its, on_asked, on_closed, gate);
}

static void open_worker(struct gate *gate, const char *config, const char *keys) {
    struct err err = {""};
    gate->loop = loop_new(&err);
    if (!gate->loop)
        die("loop", err.text);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    gate->log = logpipe_writer_new(null);
    gate->asker = asker_new(gate->loop, on_told, gate);
    struct worker_source source = {.loop = gate->loop,
                                   .snapshot = open_snapshot(config),
                                   .access = logpipe_writer_sink(gate->log, LOGPIPE_ACCESS),
                                   .audit = logpipe_writer_sink(gate->log, LOGPIPE_AUDIT),
                                   .limits = limit_table_open(map(limit_table_size())),
                                   .asker = gate->asker};
    gate->worker = worker_new(&source);
    if (keys)
        open_signer(gate, gate->worker->snapshot->conf, keys);
}

static void open_listener(struct gate *gate) {
    struct addr address;
    struct err err = {""};
    if (addr_parse(SLICE("127.0.0.1:0"), &address, &err) != 0)
        die("address", err.text);
    int fd = acceptor_bind(&address, &err);
    if (fd < 0)
        die("listen", err.text);
    gate->listener = (struct worker_listener){.address = "127.0.0.1:0"};
    gate->acceptor = acceptor_open(gate->loop, fd, "gate", on_connection, gate);
    acceptor_address(gate->acceptor, &address);
    printf("%u\n", addr_port(&address));
    (void)fflush(stdout);
}

int main(int argc, char **argv) {
    static struct gate gate;
    if (argc != 2 && argc != 3)
        die("usage", "gate_worker CONFIG [KEYS]");
    (void)signal(SIGPIPE, SIG_IGN);
    open_worker(&gate, argv[1], argv[2]);
    open_listener(&gate);
    struct loop_watch *input = loop_watch_new(gate.loop, STDIN_FILENO, on_input, &gate);
    loop_watch_set(input, LOOP_READ);
    while (!gate.is_over) {
        loop_turn(gate.loop, 100);
        (void)logpipe_writer_flush(gate.log);
        if (gate.ending[0] && gate.worker->client_count == 0) {
            instructions_end();
            instructions_dump(gate.ending);
            gate.ending[0] = '\0';
            answer();
        }
    }
    return 0;
}
