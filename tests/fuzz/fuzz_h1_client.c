/*
 * fuzz_h1_client: what an upstream may send. The first byte chooses the request that it answers; the rest comes in one
 * piece, byte by byte and in random pieces: the events are the same, but for bytes after the end of a response, which
 * spoil the connection either with it or alone.
 */
#include "base/err.h"
#include "support/h1_probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const requests[] = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
};

/* Up to the end of the response: what comes after depends on the cut. */
static struct slice until_end(const struct sbuf *transcript) {
    struct slice all = sbuf_slice(transcript);
    for (size_t i = 0; i + 5 <= all.len; i++) {
        if ((i == 0 || all.ptr[i - 1] == '\n') && memcmp(all.ptr + i, "end\nl", 5) == 0)
            return slice_first(all, i + 4);
        if ((i == 0 || all.ptr[i - 1] == '\n') && memcmp(all.ptr + i, "end\ni", 5) == 0)
            return slice_first(all, i + 4);
    }
    return all;
}

static void check_same(struct slice request, struct slice bytes, const struct probe_plan *plan,
                       const struct sbuf *transcript) {
    struct sbuf other;
    sbuf_init(&other, 1 << 24);
    probe_client(request, bytes, plan, &other);
    INVARIANT(slice_eq(until_end(transcript), until_end(&other)));
    INVARIANT(slice_ends_with(sbuf_slice(transcript), SLICE("not reusable\n")) ==
              slice_ends_with(sbuf_slice(&other), SLICE("not reusable\n")));
    sbuf_fini(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    struct slice bytes = slice_make(data + 1, size - 1);
    struct slice request = slice_of(requests[data[0] & 3]);
    struct probe_plan plan = {.no_eof = data[0] & 8,
                              .limits = {.head_size = data[0] & 32 ? 128 : 4096, .field_count = 16}};
    struct sbuf transcript;
    sbuf_init(&transcript, 1 << 24);
    probe_client(request, bytes, &plan, &transcript);
    plan.piece = 1;
    check_same(request, bytes, &plan, &transcript);
    plan.piece = 40;
    plan.seed = (unsigned)size * 7919 + data[0];
    check_same(request, bytes, &plan, &transcript);
    sbuf_fini(&transcript);
    return 0;
}
