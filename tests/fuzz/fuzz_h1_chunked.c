/* fuzz_h1_chunked: a chunked body, cut in several ways, is always the same; written again it is the same body. */
#include "base/err.h"
#include "http/h1_write.h"
#include "support/h1_probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct h1_limits limits = {.head_size = 512, .field_count = 8};

static void check_same(struct slice bytes, const struct probe_plan *plan, struct slice whole) {
    struct sbuf transcript;
    sbuf_init(&transcript, 1 << 22);
    probe_chunked(bytes, plan, &transcript);
    INVARIANT(slice_eq(sbuf_slice(&transcript), whole));
    sbuf_fini(&transcript);
}

/* The data of the body, if it is whole. */
static bool decode(struct slice bytes, struct sbuf *body, struct arena *arena, struct headers *trailers) {
    struct chunk_decoder decoder;
    struct h1_fault fault;
    struct slice piece;
    chunk_decoder_init(&decoder, &limits);
    while (bytes.len && decoder.state != CHUNK_DONE && decoder.state != CHUNK_BAD) {
        chunk_decode(&decoder, &bytes, &piece);
        sbuf_append(body, piece);
    }
    bool done = decoder.state == CHUNK_DONE && chunk_trailers(&decoder, arena, trailers, &fault);
    chunk_decoder_fini(&decoder);
    return done;
}

static void check_round_trip(struct slice bytes) {
    struct arena *arena = arena_new(1024);
    struct sbuf once, twice, wire;
    struct headers trailers, again;
    sbuf_init(&once, 1 << 22);
    sbuf_init(&twice, 1 << 22);
    sbuf_init(&wire, 1 << 22);
    if (decode(bytes, &once, arena, &trailers)) {
        struct slice all = sbuf_slice(&once);
        h1_write_chunk(&wire, slice_first(all, all.len / 2));
        h1_write_chunk(&wire, slice_after(all, all.len / 2));
        h1_write_last_chunk(&wire, NULL);
        INVARIANT(decode(sbuf_slice(&wire), &twice, arena, &again));
        INVARIANT(slice_eq(sbuf_slice(&once), sbuf_slice(&twice)) && again.count == 0);
    }
    sbuf_fini(&once);
    sbuf_fini(&twice);
    sbuf_fini(&wire);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice bytes = slice_make(data, size);
    struct sbuf whole;
    sbuf_init(&whole, 1 << 22);
    probe_chunked(bytes, &(struct probe_plan){.limits = limits}, &whole);
    check_same(bytes, &(struct probe_plan){.limits = limits, .piece = 1}, sbuf_slice(&whole));
    check_same(bytes, &(struct probe_plan){.limits = limits, .piece = 7, .seed = (unsigned)size + 1},
               sbuf_slice(&whole));
    if (size > 1)
        check_same(bytes, &(struct probe_plan){.limits = limits, .first_cut = 1 + data[0] % (size - 1)},
                   sbuf_slice(&whole));
    check_round_trip(bytes);
    sbuf_fini(&whole);
    return 0;
}
