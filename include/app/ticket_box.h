/*
 * ticket_box: the keys of session tickets as master keeps them: random bytes, new ones every 12 hours, handed to all
 * workers and to a successor, in sealed memory.
 */
#ifndef SALLYPORT_APP_TICKET_BOX_H
#define SALLYPORT_APP_TICKET_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tls/tls_profile.h"

struct ticket_box {
    char keys[TICKET_KEYS_MAX * TICKET_KEY_SIZE]; /* newest first */
    size_t count;
    int fd; /* sealed: what is handed out */
    int64_t made_ms;
};

/* inherited: a predecessor's sealed keys (taken over), or -1. */
MUST_CHECK int ticket_box_init(struct ticket_box *box, int inherited, int64_t now_ms, struct err *err);
/* Makes a new key when the newest is 12 hours old. Returns whether fd has changed. */
bool ticket_box_rotate(struct ticket_box *box, int64_t now_ms);
void ticket_box_fini(struct ticket_box *box);

#endif
