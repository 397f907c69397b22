/*
 * channel_frame: a message as bytes and back, without any descriptor: what the fuzzer drives.
 *
 *   type (4) | size of the text (4) | number (8) | value (8) | text        in the byte order of the machine: both ends
 * are one program
 */
#include <string.h>

#include "channel_priv.h"

static const char *const names[IPC_TYPE_COUNT] = {[IPC_NONE] = "NONE",
#define X(name, help) [IPC_##name] = #name,
                                                  IPC_TYPES(X)
#undef X
};

struct frame_head {
    uint32_t type, text_size;
    uint64_t number;
    int64_t value;
};
_Static_assert(sizeof(struct frame_head) + IPC_TEXT_MAX == IPC_FRAME_MAX,
               "IPC_FRAME_MAX is a frame with the longest text");

const char *ipc_type_name(enum ipc_type type) { return type < IPC_TYPE_COUNT ? names[type] : "?"; }

bool ipc_decode(struct slice frame, struct ipc_message *message_out) {
    struct frame_head head;
    *message_out = (struct ipc_message){.type = IPC_NONE};
    if (frame.len < sizeof head || frame.len > IPC_FRAME_MAX)
        return false;
    memcpy(&head, frame.ptr, sizeof head);
    if (head.type == IPC_NONE || head.type >= IPC_TYPE_COUNT || head.text_size != frame.len - sizeof head)
        return false;
    message_out->type = (enum ipc_type)head.type;
    message_out->number = head.number;
    message_out->value = head.value;
    message_out->text = slice_after(frame, sizeof head);
    return true;
}

size_t ipc_encode(const struct ipc_message *message, char frame_out[IPC_FRAME_MAX]) {
    INVARIANT(message->type > IPC_NONE && message->type < IPC_TYPE_COUNT && message->text.len <= IPC_TEXT_MAX);
    struct frame_head head = {.type = (uint32_t)message->type,
                              .text_size = (uint32_t)message->text.len,
                              .number = message->number,
                              .value = message->value};
    memcpy(frame_out, &head, sizeof head);
    if (message->text.len > 0)
        memcpy(frame_out + sizeof head, message->text.ptr, message->text.len);
    return sizeof head + message->text.len;
}

int channel_fds_of(enum ipc_type type) {
    switch (type) {
    case IPC_DOCUMENT:
    case IPC_SECRETS:
    case IPC_CONTROLS_SECRETS:
    case IPC_CRL:
    case IPC_LISTENER:
    case IPC_TICKET_KEYS:
    case IPC_LIMITS:
    case IPC_SESSIONS:
    case IPC_LOG_PIPE:
    case IPC_METRICS:
    case IPC_ASK:
        return 1;
    default:
        return 0;
    }
}
