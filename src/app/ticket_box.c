/* ticket_box: see the header. Called by master only; wiped at the end. */
#include "app/ticket_box.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/memfd.h"

#define ROTATION_MS (12LL * 3600 * 1000)

static int add_key(struct ticket_box *box, int64_t now_ms, struct err *err) {
    size_t kept = box->count < TICKET_KEYS_MAX ? box->count : TICKET_KEYS_MAX - 1;
    memmove(box->keys + TICKET_KEY_SIZE, box->keys, kept * TICKET_KEY_SIZE);
    /* Whole: 256 bytes and less are never cut short. */
    if (getrandom(box->keys, TICKET_KEY_SIZE, 0) != TICKET_KEY_SIZE)
        return err_set(err, "no random bytes: %s", strerror(errno));
    box->count = kept + 1;
    box->made_ms = now_ms;
    return 0;
}

static int seal(struct ticket_box *box, struct err *err) {
    int fd = memfd_seal("ticket-keys", slice_make(box->keys, box->count * TICKET_KEY_SIZE), err);
    if (fd < 0)
        return -1;
    if (box->fd >= 0)
        (void)close(box->fd);
    box->fd = fd;
    return 0;
}

static int take_over(struct ticket_box *box, int fd, int64_t now_ms, struct err *err) {
    struct slice content;
    if (memfd_map_sealed(fd, sizeof box->keys, &content, err) != 0)
        return err_context(err, "the predecessor's ticket keys");
    bool is_whole = content.len > 0 && content.len % TICKET_KEY_SIZE == 0;
    if (is_whole) {
        memcpy(box->keys, content.ptr, content.len);
        box->count = content.len / TICKET_KEY_SIZE;
        box->made_ms = now_ms;
    }
    memfd_unmap(&content);
    return is_whole ? 0 : err_set(err, "the predecessor's ticket keys are cut short");
}

int ticket_box_init(struct ticket_box *box, int inherited, int64_t now_ms, struct err *err) {
    *box = (struct ticket_box){.fd = -1};
    int status = inherited >= 0 ? take_over(box, inherited, now_ms, err) : add_key(box, now_ms, err);
    if (inherited >= 0)
        (void)close(inherited);
    return status == 0 ? seal(box, err) : -1;
}

bool ticket_box_rotate(struct ticket_box *box, int64_t now_ms) {
    struct err err;
    if (now_ms - box->made_ms < ROTATION_MS)
        return false;
    if (add_key(box, now_ms, &err) == 0 && seal(box, &err) == 0)
        return true;
    log_error("session tickets keep their keys: %s", err.text);
    return false;
}

void ticket_box_fini(struct ticket_box *box) {
    if (box->fd >= 0)
        (void)close(box->fd);
    mem_wipe(box, sizeof *box);
    box->fd = -1;
}
