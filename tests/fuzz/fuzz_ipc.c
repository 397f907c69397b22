/* fuzz_ipc: whatever a worker sends is a message within its bounds or is refused; what is accepted is encoded to the
 * same bytes. */
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "ipc/channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct ipc_message message;
    static char again[IPC_FRAME_MAX];
    if (!ipc_decode(slice_make(data, size), &message))
        return 0;
    INVARIANT(message.type > IPC_NONE && message.type < IPC_TYPE_COUNT && message.fd_count == 0);
    INVARIANT(message.text.len <= IPC_TEXT_MAX && ipc_type_name(message.type)[0] != '\0');
    INVARIANT(ipc_encode(&message, again) == size && memcmp(again, data, size) == 0);
    return 0;
}
