/*
 * fuzz_ipc: whatever a process sends, a message or a question, is within its bounds or is refused, and what is accepted
 * is encoded to the same bytes. The input is cut into frames at its length prefixes (2 bytes each); a generation is
 * collected from those that are items of one, as master, control and workers do.
 */
#include <stdint.h>
#include <string.h>

#include "app/generation.h"
#include "base/err.h"
#include "ipc/ask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_packet(struct slice bytes) {
    static char again[ASK_FRAME_MAX];
    struct ask_packet packet;
    if (!ask_decode(bytes, &packet))
        return;
    INVARIANT(packet.type > 0 && packet.type < ASK_PACKET_END && packet.kind > 0 && packet.kind < ASK_KIND_END);
    INVARIANT(packet.text.len <= ASK_TEXT_MAX && (packet.id == 0) == (packet.type == ASK_PACKET_NOTICE));
    INVARIANT(ask_encode(&packet, again) == bytes.len && memcmp(again, bytes.ptr, bytes.len) == 0);
}

static bool take_frame(struct slice frame, struct generation *generation) {
    static char again[IPC_FRAME_MAX];
    struct ipc_message message;
    take_packet(frame);
    if (!ipc_decode(frame, &message))
        return false;
    INVARIANT(message.type > IPC_NONE && message.type < IPC_TYPE_COUNT && message.fd_count == 0);
    INVARIANT(message.text.len <= IPC_TEXT_MAX && ipc_type_name(message.type)[0] != '\0');
    INVARIANT(ipc_encode(&message, again) == frame.len && memcmp(again, frame.ptr, frame.len) == 0);
    (void)generation_take(generation, &message);
    INVARIANT(generation->crl_count + generation->listener_count <= GENERATION_ITEMS_MAX);
    INVARIANT(generation->fault[0] != '\0' || generation->number == 0 ||
              (generation->workers >= 1 && generation->workers <= GENERATION_WORKERS_MAX));
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct generation generation;
    struct slice rest = slice_make(data, size);
    generation_init(&generation);
    (void)take_frame(rest, &generation);
    while (rest.len >= 2) {
        size_t len = (uint8_t)rest.ptr[0] | (size_t)(uint8_t)rest.ptr[1] << 8;
        rest = slice_after(rest, 2);
        (void)take_frame(slice_first(rest, len), &generation);
        rest = slice_after(rest, len);
    }
    generation_fini(&generation);
    return 0;
}
