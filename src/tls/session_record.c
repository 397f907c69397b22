/*
 * session_record: a session that is kept in the store, as bytes and back. Pure. What comes out of the store was sealed
 * by us, and is read with the same distrust as any other bytes.
 *
 *   version (1) | cipher (2) | length (1), secret | length (2), leaf | ticket data
 */
#include "session_priv.h"

#define RECORD_VERSION 1
#define FIXED_SIZE 6 /* all but secret, leaf and data */

_Static_assert(FIXED_SIZE + SESSION_SECRET_MAX + TICKET_LEAF_BYTES_MAX + TICKET_DATA_MAX <= SESSION_RECORD_MAX,
               "every session that gets a ticket can be kept");

static uint8_t *put(uint8_t *at, struct slice bytes) {
    memcpy(at, bytes.len ? bytes.ptr : "", bytes.len);
    return at + bytes.len;
}

size_t session_record_encode(const struct session_record *record, uint8_t out[SESSION_RECORD_MAX]) {
    if (record->secret.len > SESSION_SECRET_MAX || record->leaf.len > TICKET_LEAF_BYTES_MAX) {
        return 0;
    }
    uint8_t *at = out;
    *at++ = RECORD_VERSION;
    *at++ = record->cipher[0];
    *at++ = record->cipher[1];
    *at++ = (uint8_t)record->secret.len;
    at = put(at, record->secret);
    *at++ = (uint8_t)(record->leaf.len >> 8);
    *at++ = (uint8_t)record->leaf.len;
    at = put(at, record->leaf);
    size_t data_len = ticket_data_encode(&record->data, at);
    return data_len > 0 ? (size_t)(at - out) + data_len : 0;
}

/* The first len bytes of rest go to part_out. */
static bool take(struct slice *rest, size_t len, struct slice *part_out) {
    if (rest->len < len) {
        return false;
    }
    *part_out = slice_first(*rest, len);
    *rest = slice_after(*rest, len);
    return true;
}

bool session_record_decode(struct slice bytes, struct session_record *record_out) {
    struct slice rest = bytes, head, length;
    *record_out = (struct session_record){.leaf = SLICE_NONE};
    if (!take(&rest, 4, &head) || head.ptr[0] != RECORD_VERSION) {
        return false;
    }
    memcpy(record_out->cipher, head.ptr + 1, sizeof record_out->cipher);
    size_t secret_len = (uint8_t)head.ptr[3];
    if (secret_len > SESSION_SECRET_MAX || !take(&rest, secret_len, &record_out->secret) || !take(&rest, 2, &length)) {
        return false;
    }
    size_t leaf_len = (size_t)((uint8_t)length.ptr[0] << 8 | (uint8_t)length.ptr[1]);
    if (leaf_len > TICKET_LEAF_BYTES_MAX || !take(&rest, leaf_len, &record_out->leaf)) {
        return false;
    }
    if (leaf_len == 0) {
        record_out->leaf = SLICE_NONE;
    }
    return ticket_data_decode(rest, &record_out->data);
}
