/*
 * generation: one generation of the configuration as it crosses the channels: descriptors of sealed memory (document,
 * secrets, CRL indexes) and a few words. Control seals it; master keeps the one in force and hands it to every child,
 * without looking inside; workers, and a control that was restarted, open it.
 *
 *   control --generation_seal--> items --> master: generation_take
 *                                            `--> items --> worker: generation_take, generation_open
 *                                                             `--> struct resolved
 */
#ifndef SALLYPORT_APP_GENERATION_H
#define SALLYPORT_APP_GENERATION_H

#include "ipc/channel.h"
#include "snapshot/resolve.h"

#define GENERATION_ITEMS_MAX 3000 /* lists and listeners: all messages of a generation fit in a channel's queue */
#define GENERATION_WORKERS_MAX 64

struct generation_crl {
    char digest[65];
    int fd;          /* -1 once a worker has mapped it */
    uint64_t memory; /* which one this is (control says): equal for the same list in two generations */
    struct crl *crl; /* after generation_open and generation_seal: a reference; else NULL */
};

struct generation_listener {
    char *address;   /* as configured */
    unsigned socket; /* index of the socket among those of its address */
    int fd;          /* to a worker: the socket; else -1 */
};

struct generation {
    uint64_t number; /* 0: empty */
    unsigned workers;
    int64_t shutdown_timeout_ms;
    char level[16];
    int document, secrets, controls_secrets;
    struct generation_crl *crls;
    size_t crl_count;
    struct generation_listener *listeners;
    size_t listener_count;
    bool is_complete; /* GENERATION_END or PREPARE has come */
    char fault[256];  /* the first thing that is wrong with it; "" */
};

void generation_init(struct generation *generation);
void generation_fini(struct generation *generation);
/* Takes an item in; GENERATION_BEGIN starts afresh. What is wrong is kept in fault. Returns false for a message that is
 * no item. */
bool generation_take(struct generation *generation, struct ipc_message *message);
/* To a worker: BEGIN, document, its secrets and CRLs; false: the channel is full. */
MUST_CHECK bool generation_send(const struct generation *generation, struct channel *channel);
/* The same with control's secrets, the listeners' addresses and END: between master and control. */
MUST_CHECK bool generation_send_whole(const struct generation *generation, struct channel *channel);

/* Control: seals what was resolved. A list that previous (the generation in force, or NULL) has too is the same memory
 * again; the others' indexes in resolved move into their sealed memory. */
MUST_CHECK int generation_seal(struct generation *generation, struct resolved *resolved, const struct conf *conf,
                               const struct generation *previous, struct err *err);
/* Maps everything. Lists that previous has open are not mapped again. */
MUST_CHECK int generation_open(struct generation *generation, const struct generation *previous,
                               struct resolved *resolved_out, struct err *err);
/* A worker needs the descriptors no more (the sockets stay). */
void generation_close_fds(struct generation *generation);

#endif
