/*
 * ticket_data: what a session ticket carries of ours, as bytes and back. Pure. The bytes come back sealed by our own
 * key, and are read with the same distrust as any others: exact lengths, nothing left over.
 */
#include "handshake_priv.h"

#define TICKET_VERSION 1

bool ticket_has_room(const struct cert *leaf, const struct cert_list *sent) {
    size_t total = 0;
    for (size_t i = 0; i < sent->count; i++) {
        total += cert_der(sent->items[i]).len;
    }
    return sent->count <= TICKET_SENT_COUNT_MAX && total <= TICKET_SENT_BYTES_MAX &&
           cert_der(leaf).len <= TICKET_LEAF_BYTES_MAX;
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t len) {
    memcpy(at, bytes, len);
    return at + len;
}

static uint8_t *put_number(uint8_t *at, uint64_t value, int size) {
    for (int i = size - 1; i >= 0; i--) {
        *at++ = (uint8_t)(value >> (8 * i));
    }
    return at;
}

size_t ticket_data_encode(const struct ticket_data *data, uint8_t out[TICKET_DATA_MAX]) {
    size_t total = 0;
    for (size_t i = 0; i < data->sent_count; i++) {
        total += data->sent[i].len;
    }
    if (total > TICKET_SENT_BYTES_MAX) {
        return 0;
    }
    uint8_t *at = out;
    *at++ = TICKET_VERSION;
    at = put(at, data->binding, SHA256_SIZE);
    at = put(at, data->anchor, SHA256_SIZE);
    at = put_number(at, (uint64_t)data->first_authenticated, 8);
    at = put_number(at, (uint64_t)data->not_after, 8);
    *at++ = (uint8_t)data->sent_count;
    for (size_t i = 0; i < data->sent_count; i++) {
        at = put_number(at, data->sent[i].len, 2);
        at = put(at, data->sent[i].ptr, data->sent[i].len);
    }
    return (size_t)(at - out);
}

/* A reader that turns bad for good at the first byte that is not there. */
struct reader {
    struct slice rest;
    bool is_bad;
};

static struct slice take(struct reader *reader, size_t len) {
    if (reader->is_bad || reader->rest.len < len) {
        reader->is_bad = true;
        return SLICE_NONE;
    }
    struct slice taken = slice_first(reader->rest, len);
    reader->rest = slice_after(reader->rest, len);
    return taken;
}

static uint64_t take_number(struct reader *reader, size_t size) {
    struct slice bytes = take(reader, size);
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        value = value << 8 | (uint8_t)bytes.ptr[i];
    }
    return value;
}

static void take_digest(struct reader *reader, uint8_t out[SHA256_SIZE]) {
    struct slice bytes = take(reader, SHA256_SIZE);
    if (bytes.ptr) {
        memcpy(out, bytes.ptr, SHA256_SIZE);
    }
}

bool ticket_data_decode(struct slice bytes, struct ticket_data *data_out) {
    *data_out = (struct ticket_data){0};
    struct reader reader = {.rest = bytes};
    if (take_number(&reader, 1) != TICKET_VERSION) {
        return false;
    }
    take_digest(&reader, data_out->binding);
    take_digest(&reader, data_out->anchor);
    data_out->first_authenticated = (int64_t)take_number(&reader, 8);
    data_out->not_after = (int64_t)take_number(&reader, 8);
    size_t count = (size_t)take_number(&reader, 1);
    if (count > TICKET_SENT_COUNT_MAX) {
        return false;
    }
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        data_out->sent[i] = take(&reader, (size_t)take_number(&reader, 2));
        total += data_out->sent[i].len;
    }
    data_out->sent_count = count;
    return !reader.is_bad && reader.rest.len == 0 && total <= TICKET_SENT_BYTES_MAX;
}
