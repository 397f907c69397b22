/*
 * h1_parse: complete heads to values (RFC 9112 3, 4 and 6). Called by h1c for requests and by h1_client for responses.
 * The head is copied into the arena once; everything returned points into that copy. What two readers could
 * understand in two ways is refused, never repaired (sec-42).
 */
#include "h1_grammar_priv.h"

#define METHOD_MAX 32
#define CONNECTION_OPTIONS_MAX 64

static bool refuse(struct h1_fault *fault_out, const char *detail) {
    return h1_refuse(fault_out, REASON_BAD_REQUEST, detail);
}

/* ---- what requests and responses share ---- */

/* HTTP-version = "HTTP" "/" DIGIT "." DIGIT      of which two are spoken here */
static bool parse_version(struct slice text, enum http_version *version_out) {
    if (slice_eq_str(text, "HTTP/1.1")) {
        *version_out = HTTP_1_1;
        return true;
    }
    *version_out = HTTP_1_0;
    return slice_eq_str(text, "HTTP/1.0");
}

struct body_frame {
    enum body_framing framing; /* NONE: neither field is there */
    uint64_t length;
};

/* Transfer-Encoding = #transfer-coding      of which exactly one "chunked" is understood (RFC 9112 6.1) */
static bool parse_transfer_encoding(const struct headers *headers, enum http_version version,
                                    struct h1_fault *fault_out) {
    if (version != HTTP_1_1) {
        return refuse(fault_out, "Transfer-Encoding in HTTP/1.0");
    }
    if (headers_find(headers, SLICE("Content-Length"))) {
        return refuse(fault_out, "Content-Length together with Transfer-Encoding");
    }
    if (headers_count(headers, SLICE("Transfer-Encoding")) != 1) {
        return refuse(fault_out, "more than one Transfer-Encoding");
    }
    if (!slice_eq_nocase(headers_find(headers, SLICE("Transfer-Encoding"))->value, SLICE("chunked"))) {
        return refuse(fault_out, "a Transfer-Encoding other than chunked");
    }
    return true;
}

/* Content-Length = 1*DIGIT      at most 18 (RFC 9110 8.6) */
static bool parse_content_length(const struct headers *headers, const struct header *field, uint64_t *length_out,
                                 struct h1_fault *fault_out) {
    unsigned long long length;
    if (headers_count(headers, SLICE("Content-Length")) != 1) {
        return refuse(fault_out, "more than one Content-Length");
    }
    if (!slice_to_u64(field->value, &length)) {
        return refuse(fault_out, "a malformed Content-Length");
    }
    *length_out = length;
    return true;
}

/* RFC 9112 6.3, without its repairs */
static bool parse_framing(const struct headers *headers, enum http_version version, struct body_frame *frame_out,
                          struct h1_fault *fault_out) {
    *frame_out = (struct body_frame){.framing = BODY_NONE};
    if (headers_find(headers, SLICE("Transfer-Encoding"))) {
        frame_out->framing = BODY_CHUNKED;
        return parse_transfer_encoding(headers, version, fault_out);
    }
    const struct header *length = headers_find(headers, SLICE("Content-Length"));
    if (length) {
        frame_out->framing = BODY_LENGTH;
        return parse_content_length(headers, length, &frame_out->length, fault_out);
    }
    return true;
}

/* Connection = #connection-option      each header is held against each of them, so there must not be many (sec-41) */
static bool has_few_options(const struct headers *headers, struct h1_fault *fault_out) {
    size_t count = 0;
    for (size_t i = 0; i < headers->count; i++) {
        struct slice option, list = headers->items[i].value;
        if (!slice_eq_nocase(headers->items[i].name, SLICE("Connection"))) {
            continue;
        }
        for (; list.ptr && count <= CONNECTION_OPTIONS_MAX; count++) {
            list = slice_cut(list, ',', &option);
        }
    }
    return count <= CONNECTION_OPTIONS_MAX ||
           h1_refuse(fault_out, REASON_HEADER_TOO_LARGE, "too many options in Connection");
}

/* RFC 9112 9.3 */
static bool connection_persists(const struct headers *headers, enum http_version version) {
    if (headers_has_token(headers, SLICE("Connection"), SLICE("close"))) {
        return false;
    }
    return version == HTTP_1_1 || headers_has_token(headers, SLICE("Connection"), SLICE("keep-alive"));
}

/* ---- requests ---- */

/* method = token      at most 32 characters, case-sensitive */
const char *h1_method_fault(struct slice method) {
    static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"};
    if (!h1_is_token(method) || method.len > METHOD_MAX) {
        return "a malformed method";
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (slice_eq_nocase(method, slice_of(known[i])) && !slice_eq_str(method, known[i])) {
            return "a well-known method in another case";
        }
    }
    return NULL;
}

static bool parse_method(struct slice method, struct h1_fault *fault_out) {
    const char *wrong = h1_method_fault(method);
    if (wrong) {
        return refuse(fault_out, wrong);
    }
    if (slice_eq_str(method, "CONNECT")) {
        return h1_refuse(fault_out, REASON_METHOD_NOT_ALLOWED, "CONNECT is not served here");
    }
    return true;
}

/* request-line = method SP request-target SP HTTP-version      single spaces, nothing else (RFC 9112 3) */
static bool parse_request_line(struct slice line, struct request_head *request, struct h1_fault *fault_out) {
    struct slice rest = slice_cut(line, ' ', &request->method);
    if (!rest.ptr || !parse_method(request->method, fault_out)) {
        return rest.ptr ? false : refuse(fault_out, "a malformed request line");
    }
    struct slice version = slice_cut(rest, ' ', &request->raw_target);
    if (!version.ptr) {
        return refuse(fault_out, "a request line without a version");
    }
    if (!parse_version(version, &request->version)) {
        return refuse(fault_out, "an HTTP version other than 1.0 and 1.1");
    }
    return true;
}

/* Host = uri-host [ ":" port ]      exactly one in HTTP/1.1, at most one in HTTP/1.0 (RFC 9112 3.2) */
static bool parse_host(struct request_head *request, struct arena *arena, struct h1_fault *fault_out) {
    size_t count = headers_count(&request->headers, SLICE("Host"));
    if (count > 1) {
        return refuse(fault_out, "more than one Host");
    }
    if (count == 0) {
        return request->version == HTTP_1_0 || refuse(fault_out, "no Host");
    }
    const char *wrong =
        target_parse_authority(headers_find(&request->headers, SLICE("Host"))->value, arena, &request->target);
    if (wrong) {
        return refuse(fault_out, wrong);
    }
    request->has_host = true;
    return true;
}

/* The port that is meant, given the scheme of a URL. */
static uint16_t effective_port(uint16_t port, bool is_https) { return port ? port : is_https ? 443 : 80; }

/* absolute-form = absolute-URI      whose authority must be the one of Host (RFC 9112 3.2.2) */
static bool parse_absolute_form(struct request_head *request, struct arena *arena, struct h1_fault *fault_out) {
    struct target url;
    const char *wrong = target_parse_url(request->raw_target, arena, &url);
    if (wrong) {
        return refuse(fault_out, wrong);
    }
    bool is_https = slice_starts_with_nocase(request->raw_target, SLICE("https:"));
    const struct target *host = &request->target;
    if (request->has_host && (!slice_eq(host->host, url.host) ||
                              effective_port(host->port, is_https) != effective_port(url.port, is_https))) {
        return refuse(fault_out, "an absolute target that names another host than Host");
    }
    if (request->has_host) {
        url.authority = host->authority;
    }
    request->target = url;
    request->has_host = true;
    return true;
}

/* request-target = origin-form / absolute-form / asterisk-form      (authority-form is for CONNECT only) */
static bool parse_target(struct request_head *request, struct arena *arena, struct h1_fault *fault_out) {
    struct slice raw = request->raw_target;
    if (slice_starts_with_nocase(raw, SLICE("http://")) || slice_starts_with_nocase(raw, SLICE("https://"))) {
        return parse_absolute_form(request, arena, fault_out);
    }
    const char *wrong = target_parse_path(raw, slice_eq_str(request->method, "OPTIONS"), arena, &request->target);
    return !wrong || refuse(fault_out, wrong);
}

/* Expect = #expectation      of which "100-continue" is known; HTTP/1.0 has none (RFC 9110 10.1.1) */
static bool parse_expect(struct request_head *request, struct h1_fault *fault_out) {
    if (request->version == HTTP_1_0) {
        return true;
    }
    bool is_asked = false;
    for (size_t i = 0; i < request->headers.count; i++) {
        const struct header *header = &request->headers.items[i];
        if (!slice_eq_nocase(header->name, SLICE("Expect"))) {
            continue;
        }
        if (!slice_eq_nocase(header->value, SLICE("100-continue"))) {
            return refuse(fault_out, "an expectation other than 100-continue");
        }
        is_asked = true;
    }
    bool has_body = request->framing == BODY_CHUNKED || request->content_length > 0;
    request->expect_continue = is_asked && has_body;
    return true;
}

/* protocol = protocol-name [ "/" protocol-version ]      both tokens (RFC 9110 7.8) */
static bool is_protocol(struct slice text) {
    struct slice name;
    struct slice version = slice_cut(text, '/', &name);
    return h1_is_token(name) && (!version.ptr || h1_is_token(version));
}

/* Another HTTP or another TLS inside this connection would be a way past every check (sec-08). */
static bool is_layer_below(struct slice protocol) {
    return slice_eq_nocase(protocol, SLICE("h2c")) || slice_eq_nocase(protocol, SLICE("h2")) ||
           slice_starts_with_nocase(protocol, SLICE("HTTP/")) || slice_starts_with_nocase(protocol, SLICE("TLS/"));
}

/* Upgrade = #protocol      one, nominated by Connection, in HTTP/1.1; otherwise it is as if it were not there */
static struct slice find_upgrade(const struct request_head *request) {
    if (request->version != HTTP_1_1 || headers_count(&request->headers, SLICE("Upgrade")) != 1 ||
        !headers_has_token(&request->headers, SLICE("Connection"), SLICE("upgrade"))) {
        return SLICE_NONE;
    }
    struct slice protocol = headers_find(&request->headers, SLICE("Upgrade"))->value;
    return is_protocol(protocol) && !is_layer_below(protocol) ? protocol : SLICE_NONE;
}

/* HTTP-message = start-line CRLF *( field-line CRLF ) CRLF      start-line and the rest, copied into the arena */
static bool split_head(struct slice head, const struct h1_limits *limits, struct arena *arena, struct slice *line_out,
                       struct slice *fields_out, struct h1_fault *fault_out) {
    if (head.len > limits->head_size) {
        return h1_refuse(fault_out, REASON_HEADER_TOO_LARGE, "the head is too large");
    }
    *fields_out = arena_dup(arena, head);
    return h1_take_line(fields_out, line_out) || refuse(fault_out, "a bare CR or LF in the start line");
}

bool h1_parse_request(struct slice head, const struct h1_limits *limits, struct arena *arena,
                      struct request_head *request_out, struct h1_fault *fault_out) {
    struct request_head *request = request_out;
    struct slice line, fields;
    struct body_frame frame;

    *request = (struct request_head){.version = HTTP_1_1};
    headers_init(&request->headers, arena);
    if (!split_head(head, limits, arena, &line, &fields, fault_out) || !parse_request_line(line, request, fault_out) ||
        !h1_parse_fields(fields, limits, &request->headers, fault_out) ||
        !has_few_options(&request->headers, fault_out) ||
        !parse_framing(&request->headers, request->version, &frame, fault_out) ||
        !parse_host(request, arena, fault_out) || !parse_target(request, arena, fault_out)) {
        return false;
    }
    request->framing = frame.framing;
    request->content_length = frame.length;
    request->keep_alive = connection_persists(&request->headers, request->version);
    request->upgrade = find_upgrade(request);
    return parse_expect(request, fault_out);
}

/* ---- responses ---- */

/* status-code = 3DIGIT */
static bool parse_status(struct slice digits, int *status_out) {
    unsigned long long value;
    if (digits.len != 3 || !slice_to_u64(digits, &value) || value < 100) {
        return false;
    }
    *status_out = (int)value;
    return true;
}

/* status-line = HTTP-version SP status-code [ SP [ reason-phrase ] ]
 * RFC 9112 4 has the second SP always; many servers leave it out with the phrase, and nothing hangs on it. */
static bool parse_status_line(struct slice line, struct response_head *response, struct h1_fault *fault_out) {
    struct slice version, status;
    struct slice rest = slice_cut(line, ' ', &version);
    if (!parse_version(version, &response->version)) {
        return refuse(fault_out, "an HTTP version other than 1.0 and 1.1");
    }
    response->phrase = slice_cut(rest, ' ', &status);
    if (!parse_status(status, &response->status)) {
        return refuse(fault_out, "a malformed status code");
    }
    return h1_is_field_value(response->phrase) || refuse(fault_out, "a control character in the reason phrase");
}

bool h1_parse_response(struct slice head, const struct h1_limits *limits, bool is_head, struct arena *arena,
                       struct response_head *response_out, struct h1_fault *fault_out) {
    struct response_head *response = response_out;
    struct slice line, fields;
    struct body_frame frame;

    *response = (struct response_head){.version = HTTP_1_1};
    headers_init(&response->headers, arena);
    if (!split_head(head, limits, arena, &line, &fields, fault_out) || !parse_status_line(line, response, fault_out) ||
        !h1_parse_fields(fields, limits, &response->headers, fault_out) ||
        !has_few_options(&response->headers, fault_out) ||
        !parse_framing(&response->headers, response->version, &frame, fault_out)) {
        return false;
    }
    response->content_length = frame.length;
    response->keep_alive = connection_persists(&response->headers, response->version);
    if (!status_has_body(response->status, is_head)) {
        response->framing = BODY_NONE;
    } else if (frame.framing != BODY_NONE) {
        response->framing = frame.framing;
    } else {
        response->framing = BODY_UNTIL_CLOSE;
        response->keep_alive = false;
    }
    return true;
}
