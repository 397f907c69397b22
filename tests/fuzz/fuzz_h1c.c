/*
 * fuzz_h1c: the server codec with an exchange that answers. The first byte chooses how; the rest is what a client
 * sends, in one piece, byte by byte and in random pieces: requests, answers and the end of the connection are the same.
 */
#include "base/err.h"
#include "support/h1_probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(struct slice bytes, const struct probe_plan *plan, const struct sbuf *transcript,
                       const struct sbuf *output) {
    struct sbuf other, other_output;
    sbuf_init(&other, 1 << 24);
    sbuf_init(&other_output, 1 << 24);
    probe_server(bytes, plan, &other, &other_output);
    INVARIANT(slice_eq(sbuf_slice(transcript), sbuf_slice(&other)));
    INVARIANT(slice_eq(sbuf_slice(output), sbuf_slice(&other_output)));
    sbuf_fini(&other);
    sbuf_fini(&other_output);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    struct slice bytes = slice_make(data + 1, size - 1);
    struct probe_plan plan = {
        .answer = (enum probe_answer)(data[0] % 3),
        .switches = data[0] & 4,
        .no_eof = data[0] & 8,
        .max_body = data[0] & 16 ? 8 : 0,
        .limits = {.head_size = data[0] & 32 ? 128 : 4096, .field_count = 16},
    };
    struct sbuf transcript, output;
    sbuf_init(&transcript, 1 << 24);
    sbuf_init(&output, 1 << 24);
    probe_server(bytes, &plan, &transcript, &output);

    plan.consume_later = true;
    plan.piece = 1;
    check_same(bytes, &plan, &transcript, &output);
    plan.piece = 40;
    plan.seed = (unsigned)size * 7919 + data[0];
    check_same(bytes, &plan, &transcript, &output);
    sbuf_fini(&transcript);
    sbuf_fini(&output);
    return 0;
}
