/*
 * llhttp_oracle: callbacks that note down what llhttp says, and the comparison with our own parser. Without llhttp it
 * says so, and the tests decide what that means.
 */
#include "support/llhttp_oracle.h"

#include "http/h1_parse.h"

#ifdef HAVE_LLHTTP

#include <llhttp.h>

struct run {
    llhttp_t parser; /* first: the callbacks get nothing else */
    struct llhttp_opinion *opinion;
    struct sbuf *body;
    bool is_complete, head_request;
};

static struct run *of(llhttp_t *parser) { return (struct run *)(void *)parser; }

static int on_headers_complete(llhttp_t *parser) {
    struct llhttp_opinion *opinion = of(parser)->opinion;
    opinion->is_chunked = parser->flags & F_CHUNKED;
    opinion->has_length = parser->flags & F_CONTENT_LENGTH;
    opinion->length = parser->content_length;
    opinion->upgrades = parser->upgrade;
    opinion->keep_alive = llhttp_should_keep_alive(parser);
    /* 1: "no body"; that HEAD, 204 and 304 have none is for llhttp's caller to say */
    bool has_body = parser->type == HTTP_REQUEST || status_has_body(parser->status_code, of(parser)->head_request);
    return has_body ? 0 : 1;
}

static int on_body(llhttp_t *parser, const char *at, size_t len) {
    sbuf_append(of(parser)->body, slice_make(at, len));
    return 0;
}

static int on_message_complete(llhttp_t *parser) {
    of(parser)->is_complete = true;
    return HPE_PAUSED;
}

static void run(struct slice message, llhttp_type_t type, bool head_request, struct llhttp_opinion *opinion,
                struct sbuf *body) {
    llhttp_settings_t settings;
    struct run state = {.opinion = opinion, .body = body, .head_request = head_request};
    llhttp_settings_init(&settings);
    settings.on_headers_complete = on_headers_complete;
    settings.on_body = on_body;
    settings.on_message_complete = on_message_complete;
    llhttp_init(&state.parser, type, &settings);

    *opinion = (struct llhttp_opinion){0};
    llhttp_errno_t result = llhttp_execute(&state.parser, message.ptr, message.len);
    if (result == HPE_OK && !state.is_complete) {
        result = llhttp_finish(&state.parser);
    }
    opinion->accepted = state.is_complete;
    opinion->error = llhttp_errno_name(result);
    opinion->status = state.parser.status_code;
    const char *stop = llhttp_get_error_pos(&state.parser);
    opinion->taken =
        stop && (result == HPE_PAUSED || result == HPE_PAUSED_UPGRADE) ? (size_t)(stop - message.ptr) : message.len;
    if (type == HTTP_REQUEST) {
        const char *method = llhttp_method_name((llhttp_method_t)state.parser.method);
        strncpy(opinion->method, method, sizeof opinion->method - 1);
    }
}

bool llhttp_oracle_is_there(void) { return true; }

void llhttp_oracle_request(struct slice message, struct llhttp_opinion *opinion_out, struct sbuf *body) {
    run(message, HTTP_REQUEST, false, opinion_out, body);
}

void llhttp_oracle_response(struct slice message, bool head_request, struct llhttp_opinion *opinion_out,
                            struct sbuf *body) {
    run(message, HTTP_RESPONSE, head_request, opinion_out, body);
}

#else

bool llhttp_oracle_is_there(void) { return false; }

void llhttp_oracle_request(struct slice message, struct llhttp_opinion *opinion_out, struct sbuf *body) {
    (void)message, (void)body;
    *opinion_out = (struct llhttp_opinion){0};
}

void llhttp_oracle_response(struct slice message, bool head_request, struct llhttp_opinion *opinion_out,
                            struct sbuf *body) {
    (void)head_request;
    llhttp_oracle_request(message, opinion_out, body);
}

#endif

/* ---- our own reading of the same bytes ---- */

struct reading {
    bool accepted;
    struct slice method;
    int status;
    struct headers headers;
    enum body_framing framing;
    uint64_t length;
    bool keep_alive, upgrades;
    size_t taken;
};

static bool read_head(struct slice head, bool is_response, struct arena *arena, struct reading *reading) {
    const struct h1_limits limits = {32 * 1024, 100};
    struct request_head request;
    struct response_head response;
    struct h1_fault fault;
    if (is_response) {
        if (!h1_parse_response(head, &limits, false, arena, &response, &fault)) {
            return false;
        }
        *reading = (struct reading){.status = response.status,
                                    .headers = response.headers,
                                    .framing = response.framing,
                                    .length = response.content_length,
                                    .keep_alive = response.keep_alive};
        return true;
    }
    if (!h1_parse_request(head, &limits, arena, &request, &fault)) {
        return false;
    }
    *reading = (struct reading){.method = request.method,
                                .headers = request.headers,
                                .framing = request.framing,
                                .length = request.content_length,
                                .keep_alive = request.keep_alive};
    return true;
}

static bool read_chunked(struct slice rest, struct arena *arena, struct sbuf *body, size_t *taken_out) {
    const struct h1_limits limits = {32 * 1024, 100};
    struct chunk_decoder decoder;
    struct headers trailers;
    struct h1_fault fault;
    struct slice input = rest, data;
    chunk_decoder_init(&decoder, &limits);
    while (input.len && decoder.state != CHUNK_DONE && decoder.state != CHUNK_BAD) {
        chunk_decode(&decoder, &input, &data);
        sbuf_append(body, data);
    }
    bool done = decoder.state == CHUNK_DONE && chunk_trailers(&decoder, arena, &trailers, &fault);
    *taken_out = rest.len - input.len;
    chunk_decoder_fini(&decoder);
    return done;
}

static void read_message(struct slice message, bool is_response, struct arena *arena, struct reading *reading,
                         struct sbuf *body) {
    size_t scanned = 0, head_len = 0, body_len = 0;
    *reading = (struct reading){0};
    if (h1_scan_head(message, &scanned, 32 * 1024, &head_len) != H1_COMPLETE ||
        !read_head(slice_first(message, head_len), is_response, arena, reading)) {
        return;
    }
    struct slice rest = slice_after(message, head_len);
    switch (reading->framing) {
    case BODY_NONE:
        break;
    case BODY_LENGTH:
        if (rest.len < reading->length)
            return;
        body_len = (size_t)reading->length;
        sbuf_append(body, slice_first(rest, body_len));
        break;
    case BODY_CHUNKED:
        if (!read_chunked(rest, arena, body, &body_len))
            return;
        break;
    case BODY_UNTIL_CLOSE:
        body_len = rest.len;
        sbuf_append(body, rest);
        break;
    }
    reading->accepted = true;
    reading->taken = head_len + body_len;
}

/* ---- the comparison ---- */

static bool has_header(const struct reading *ours, const char *name) {
    return headers_find(&ours->headers, slice_of(name)) != NULL;
}

/* A white space after the number is OWS to RFC 9110 and to us, an error to llhttp. The value has been trimmed: look at
 * the bytes. */
static bool has_blank_in_framing(const struct reading *ours) {
    static const char *const names[] = {"Content-Length", "Transfer-Encoding", "Connection", "Proxy-Connection",
                                        "Upgrade"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct header *header = headers_find(&ours->headers, slice_of(names[i]));
        if (header && header->value.ptr[header->value.len] != '\r')
            return true;
    }
    return false;
}

/* What llhttp 8.1 refuses, and we have reasons to accept. Each is harmless because nothing is passed through. */
static bool is_known_refusal(const struct reading *ours, const struct llhttp_opinion *theirs) {
    const char *error = theirs->error ? theirs->error : "";
    if (strcmp(error, "HPE_INVALID_METHOD") == 0)
        return true; /* it has a list of methods; any token is one to RFC 9110 */
    if (strcmp(error, "HPE_INVALID_CHUNK_SIZE") == 0 || strcmp(error, "HPE_STRICT") == 0)
        return ours->framing == BODY_CHUNKED; /* chunk extensions: quoted strings and BWS are in RFC 9112 7.1.1 */
    return has_blank_in_framing(ours);
}

const char *llhttp_disagreement(struct slice message, bool is_response) {
    struct arena *arena = arena_new(4096);
    struct sbuf our_body, their_body;
    struct reading ours;
    struct llhttp_opinion theirs;
    const char *difference = NULL;
    sbuf_init(&our_body, SIZE_MAX / 4);
    sbuf_init(&their_body, SIZE_MAX / 4);

    read_message(message, is_response, arena, &ours, &our_body);
    if (ours.accepted) {
        (is_response ? llhttp_oracle_response(message, false, &theirs, &their_body)
                     : llhttp_oracle_request(message, &theirs, &their_body));
        bool switches = theirs.upgrades || has_header(&ours, "Upgrade");
        if (!theirs.accepted)
            difference = is_known_refusal(&ours, &theirs) ? NULL : theirs.error;
        else if (!is_response && !slice_eq_str(ours.method, theirs.method))
            difference = "the method";
        else if (is_response && ours.status != theirs.status)
            difference = "the status";
        else if (switches)
            difference = NULL; /* llhttp ends an upgrade at its head, answer or none; we wait for the 101 */
        else if ((ours.framing == BODY_CHUNKED) != theirs.is_chunked && ours.framing != BODY_NONE)
            difference = "chunked or not";
        else if (ours.framing == BODY_LENGTH && (!theirs.has_length || ours.length != theirs.length))
            difference = "the content length";
        else if (!slice_eq(sbuf_slice(&our_body), sbuf_slice(&their_body)))
            difference = "the body";
        else if (ours.taken != theirs.taken)
            difference = "where the message ends";
        else if (ours.keep_alive != theirs.keep_alive)
            difference = "keep-alive";
    }
    sbuf_fini(&our_body);
    sbuf_fini(&their_body);
    arena_free(arena);
    return difference;
}
