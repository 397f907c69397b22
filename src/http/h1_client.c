/*
 * h1_client: the client side of HTTP/1.1 towards an upstream, one request at a time. upstream/link feeds it and empties
 * `out`. It owns what it has collected of a head and the chunk decoder. It holds upstreams to the same grammar as
 * clients: an answer with two readings is worth nothing to anybody behind us (sec-42).
 *
 *   REST --request--> HEAD --1xx--> HEAD --final--> BODY --last byte--> REST     (HEAD --no body--> REST)
 *                     HEAD --101--> TUNNEL          any fault --> INVALID
 */
#include "http/h1_client.h"

#include "base/err.h"
#include "base/mem.h"
#include "h1_reader_priv.h"
#include "http/h1_write.h"

#define INFORMATIONAL_MAX 16

static const struct headers no_trailers;

enum response_state {
    RESPONSE_REST, /* no request is open, or its response is complete */
    RESPONSE_HEAD,
    RESPONSE_BODY,
    RESPONSE_TUNNEL,
    RESPONSE_INVALID, /* or stopped: no more events */
};

struct h1_client {
    const struct h1_client_events *events;
    void *owner;
    struct h1_limits limits;
    struct sbuf *out;
    /* the request */
    bool is_head, request_done;
    struct slice upgrade; /* lives in the arena of the request */
    enum body_framing out_framing;
    uint64_t out_remaining;
    /* the response */
    enum response_state state;
    struct arena *arena;
    struct h1_reader reader;
    struct chunk_decoder decoder;
    enum body_framing framing;
    uint64_t remaining;
    int informational_count;
    bool has_begun;
    bool persists; /* the upstream has not said otherwise, and has sent nothing unasked */
};

struct h1_client *h1_client_new(const struct h1_client_events *events, void *owner, const struct h1_limits *limits,
                                struct sbuf *out) {
    struct h1_client *client = NEW(struct h1_client);
    client->events = events;
    client->owner = owner;
    client->limits = *limits;
    client->out = out;
    client->request_done = true;
    client->persists = true;
    h1_reader_init(&client->reader, limits->head_size);
    return client;
}

void h1_client_free(struct h1_client *client) {
    if (!client) {
        return;
    }
    h1_reader_fini(&client->reader);
    chunk_decoder_fini(&client->decoder);
    mem_free(client);
}

static void invalidate(struct h1_client *client, const char *detail) {
    client->state = RESPONSE_INVALID;
    client->persists = false;
    client->events->invalid(client->owner, detail);
}

/* ---- the request ---- */

void h1_client_request(struct h1_client *client, const struct request_head *head, struct arena *arena) {
    INVARIANT(h1_client_is_reusable(client));
    client->is_head = slice_eq_str(head->method, "HEAD");
    client->upgrade = arena_dup(arena, head->upgrade);
    client->out_framing = head->framing;
    client->out_remaining = head->framing == BODY_LENGTH ? head->content_length : 0;
    client->request_done = false;
    client->arena = arena;
    client->state = RESPONSE_HEAD;
    client->informational_count = 0;
    client->has_begun = false;
    h1_reader_reset(&client->reader);
    h1_write_request(client->out, head, true);
    INVARIANT(!client->out->overflow);
}

void h1_client_body(struct h1_client *client, struct slice data) {
    INVARIANT(!client->request_done);
    if (client->out_framing == BODY_CHUNKED) {
        h1_write_chunk(client->out, data);
    } else {
        INVARIANT(data.len <= client->out_remaining);
        bool goes_past = client->events->write && client->out->len == 0 && data.len >= H1_CLIENT_BULK;
        size_t written = goes_past ? client->events->write(client->owner, data) : 0;
        client->out_remaining -= data.len;
        sbuf_append(client->out, slice_after(data, written));
    }
    INVARIANT(!client->out->overflow);
}

void h1_client_end(struct h1_client *client, const struct headers *trailers) {
    INVARIANT(!client->request_done && client->out_remaining == 0);
    if (client->out_framing == BODY_CHUNKED) {
        h1_write_last_chunk(client->out, trailers);
        INVARIANT(!client->out->overflow);
    }
    client->request_done = true;
}

/* ---- the response ---- */

/* left: the bytes that came with the last one, which nobody asked for. The connection is spoilt before the owner hears
 * of the end. */
static void complete_response(struct h1_client *client, const struct headers *trailers, size_t left) {
    client->state = RESPONSE_REST;
    if (left) {
        client->persists = false;
    }
    chunk_decoder_fini(&client->decoder);
    client->events->end(client->owner, trailers);
}

/* 101 is an answer only to a complete request that asked for just this protocol (RFC 9110 15.2.2). */
static const char *judge_switch(const struct h1_client *client, const struct response_head *head) {
    if (slice_is_empty(client->upgrade)) {
        return "101 Switching Protocols that was not asked for";
    }
    if (!client->request_done) {
        return "101 Switching Protocols before the request was complete";
    }
    const struct header *upgrade = headers_find(&head->headers, SLICE("Upgrade"));
    if (!upgrade || !slice_eq_nocase(upgrade->value, client->upgrade)) {
        return "101 Switching Protocols to a protocol that was not asked for";
    }
    return NULL;
}

static void accept_switch(struct h1_client *client, const struct response_head *head) {
    const char *wrong = judge_switch(client, head);
    if (wrong) {
        invalidate(client, wrong);
        return;
    }
    client->state = RESPONSE_TUNNEL;
    client->persists = false;
    client->events->head(client->owner, head);
}

static void accept_informational(struct h1_client *client, const struct response_head *head) {
    if (++client->informational_count > INFORMATIONAL_MAX) {
        invalidate(client, "too many informational responses");
        return;
    }
    client->events->informational(client->owner, head);
}

/* left: the bytes that came with the head, after it. */
static void accept_final(struct h1_client *client, const struct response_head *head, size_t left) {
    client->persists &= head->keep_alive;
    client->framing = head->framing;
    client->remaining = head->content_length;
    bool has_body = head->framing == BODY_CHUNKED || head->framing == BODY_UNTIL_CLOSE ||
                    (head->framing == BODY_LENGTH && head->content_length > 0);
    if (head->framing == BODY_CHUNKED) {
        chunk_decoder_init(&client->decoder, &client->limits);
    }
    client->state = RESPONSE_BODY;
    if (!has_body && left) {
        client->persists = false;
    }
    client->events->head(client->owner, head);
    if (!has_body && client->state == RESPONSE_BODY) {
        complete_response(client, &no_trailers, left);
    }
}

static void parse_head(struct h1_client *client, struct slice raw_head, size_t left) {
    struct response_head *head = ARENA_NEW(client->arena, struct response_head);
    struct h1_fault fault;
    if (!h1_parse_response(raw_head, &client->limits, client->is_head, client->arena, head, &fault)) {
        invalidate(client, fault.detail);
        return;
    }
    h1_reader_reset(&client->reader);
    if (head->status == 101) {
        accept_switch(client, head);
    } else if (head->status < 200) {
        accept_informational(client, head);
    } else {
        accept_final(client, head, left);
    }
}

static size_t take_head(struct h1_client *client, struct slice bytes) {
    struct slice head;
    size_t taken;
    client->has_begun = true;
    switch (h1_reader_take(&client->reader, bytes, &taken, &head)) {
    case H1_COMPLETE:
        parse_head(client, head, bytes.len - taken);
        break;
    case H1_INCOMPLETE:
        break;
    case H1_BAD:
        invalidate(client, "a control character, a bare CR or a bare LF in the head");
        break;
    case H1_TOO_LARGE:
        invalidate(client, "the head is too large");
        break;
    }
    return taken;
}

static size_t take_length(struct h1_client *client, struct slice bytes) {
    size_t take = bytes.len < client->remaining ? bytes.len : (size_t)client->remaining;
    client->remaining -= take;
    client->events->body(client->owner, slice_first(bytes, take));
    if (client->remaining == 0 && client->state == RESPONSE_BODY) {
        complete_response(client, &no_trailers, bytes.len - take);
    }
    return take;
}

static void complete_chunked(struct h1_client *client, size_t left) {
    struct headers *trailers = ARENA_NEW(client->arena, struct headers);
    struct h1_fault fault;
    if (chunk_trailers(&client->decoder, client->arena, trailers, &fault)) {
        complete_response(client, trailers, left);
    } else {
        invalidate(client, fault.detail);
    }
}

static size_t take_chunked(struct h1_client *client, struct slice bytes) {
    struct slice input = bytes, data;
    enum chunk_state chunk = chunk_decode(&client->decoder, &input, &data);
    if (data.len) {
        client->events->body(client->owner, data);
    } else if (chunk == CHUNK_DONE) {
        complete_chunked(client, input.len);
    } else if (chunk == CHUNK_BAD) {
        invalidate(client, client->decoder.detail);
    }
    return bytes.len - input.len;
}

static size_t take_body(struct h1_client *client, struct slice bytes) {
    switch (client->framing) {
    case BODY_LENGTH:
        return take_length(client, bytes);
    case BODY_CHUNKED:
        return take_chunked(client, bytes);
    default:
        client->events->body(client->owner, bytes);
        return bytes.len;
    }
}

size_t h1_client_receive(struct h1_client *client, struct slice bytes) {
    size_t taken = 0;
    if (client->state == RESPONSE_REST && bytes.len) {
        invalidate(client, "bytes that no request asked for");
        return 0;
    }
    while (taken < bytes.len && (client->state == RESPONSE_HEAD || client->state == RESPONSE_BODY)) {
        struct slice rest = slice_after(bytes, taken);
        taken += client->state == RESPONSE_HEAD ? take_head(client, rest) : take_body(client, rest);
    }
    return taken;
}

bool h1_client_receive_eof(struct h1_client *client) {
    bool is_at_rest = client->state == RESPONSE_REST;
    client->persists = false;
    if (is_at_rest || !client->has_begun) {
        return false;
    }
    if (client->state == RESPONSE_BODY && client->framing == BODY_UNTIL_CLOSE) {
        complete_response(client, &no_trailers, 0);
    } else if (client->state == RESPONSE_HEAD || client->state == RESPONSE_BODY) {
        invalidate(client, "the connection ended in mid-response");
    }
    return true;
}

void h1_client_stop(struct h1_client *client) {
    client->state = RESPONSE_INVALID;
    client->persists = false;
}

bool h1_client_has_begun(const struct h1_client *client) { return client->has_begun; }

bool h1_client_is_reusable(const struct h1_client *client) {
    return client->state == RESPONSE_REST && client->request_done && client->persists;
}
