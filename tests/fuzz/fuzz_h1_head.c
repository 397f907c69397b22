/*
 * fuzz_h1_head: bytes as a request and as a response, head and body. What is accepted is found in the same way
 * whatever the cut; llhttp agrees on its framing; written again and parsed again it is the same request.
 */
#include "base/err.h"
#include "http/h1_write.h"
#include "support/h1_probe.h"
#include "support/llhttp_oracle.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct h1_limits limits = {.head_size = 16 * 1024, .field_count = 64};

static enum h1_scan scan_bytewise(struct slice bytes, size_t *len_out) {
    enum h1_scan scan = H1_INCOMPLETE;
    size_t scanned = 0;
    for (size_t n = 1; n <= bytes.len && scan == H1_INCOMPLETE; n++)
        scan = h1_scan_head(slice_first(bytes, n), &scanned, limits.head_size, len_out);
    return scan;
}

static void check_round_trip(const struct request_head *once, struct arena *arena) {
    struct request_head outbound = *once, twice;
    struct h1_fault fault;
    struct sbuf out;
    sbuf_init(&out, 1 << 20);
    headers_init(&outbound.headers, arena);
    headers_add(&outbound.headers, SLICE("Host"), once->has_host ? once->target.authority : SLICE("a.test"));
    for (size_t i = 0; i < once->headers.count; i++) {
        struct slice name = once->headers.items[i].name;
        static const char *const dropped[] = {"Host",       "Content-Length", "Transfer-Encoding",
                                              "Connection", "Keep-Alive",     "Upgrade",
                                              "TE",         "Trailer",        "Expect"};
        bool keeps = true;
        for (size_t j = 0; j < sizeof dropped / sizeof dropped[0]; j++)
            keeps &= !slice_eq_nocase(name, slice_of(dropped[j]));
        if (keeps)
            headers_add(&outbound.headers, name, once->headers.items[i].value);
    }
    h1_write_request(&out, &outbound, true);
    const struct h1_limits wide = {64 * 1024, 200};
    INVARIANT(h1_parse_request(sbuf_slice(&out), &wide, arena, &twice, &fault));
    INVARIANT(slice_eq(once->method, twice.method));
    INVARIANT(slice_eq(once->target.path_and_query, twice.target.path_and_query));
    INVARIANT(!once->has_host || slice_eq(once->target.host, twice.target.host));
    INVARIANT(once->framing == twice.framing && once->content_length == twice.content_length);
    INVARIANT(slice_eq(once->upgrade, twice.upgrade));
    INVARIANT(twice.headers.count >= outbound.headers.count);
    for (size_t i = 0; i < outbound.headers.count; i++) {
        INVARIANT(slice_eq(outbound.headers.items[i].name, twice.headers.items[i].name));
        INVARIANT(slice_eq(outbound.headers.items[i].value, twice.headers.items[i].value));
    }
    sbuf_fini(&out);
}

static void check_opinion(struct slice bytes, bool is_response) {
    const char *difference = llhttp_oracle_is_there() ? llhttp_disagreement(bytes, is_response) : NULL;
    if (difference) {
        fprintf(stderr, "llhttp differs: %s\n", difference);
        INVARIANT(!difference);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice bytes = slice_make(data, size);
    struct arena *arena = arena_new(4096);
    struct request_head request;
    struct response_head response;
    struct h1_fault fault;
    size_t scanned = 0, len = 0, len_bytewise = 0;

    enum h1_scan scan = h1_scan_head(bytes, &scanned, limits.head_size, &len);
    INVARIANT(scan == scan_bytewise(bytes, &len_bytewise) && len == len_bytewise);
    if (scan == H1_COMPLETE) {
        if (h1_parse_request(slice_first(bytes, len), &limits, arena, &request, &fault))
            check_round_trip(&request, arena);
        else
            INVARIANT(fault.detail && fault.reason != REASON_NONE);
        if (!h1_parse_response(slice_first(bytes, len), &limits, false, arena, &response, &fault))
            INVARIANT(fault.detail && fault.reason != REASON_NONE);
        check_opinion(bytes, false);
        check_opinion(bytes, true);
    }
    /* The parser is to stand on its own: it gets whatever is there, complete or not. */
    (void)!h1_parse_request(bytes, &limits, arena, &request, &fault);
    (void)!h1_parse_response(bytes, &limits, true, arena, &response, &fault);
    arena_free(arena);
    return 0;
}
