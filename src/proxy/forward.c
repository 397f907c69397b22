/*
 * forward: the heads and trailers that leave sallyport, built from empty lists by exchange.c's steps and relay. It
 * copies what may pass out of the head that came in and then adds what only sallyport says, in this order, so that
 * neither a client's header nor its Connection list can touch our own (sec-12, sec-13). What is added was either
 * checked when it came in (authority, addresses) or is base64 and hex (sec-14).
 */
#include "proxy/forward.h"

#include "base/clock.h"
#include "http/hop.h"
#include "proxy/dialects.h"
#include "proxy/templates.h"
#include "session/cookie.h"

struct certificate_headers {
    struct headers headers; /* in an arena of their own */
    unsigned revision;      /* of the peer's report they were rendered from */
    unsigned dialects;
};

static void add(struct headers *headers, const char *name, struct slice value) {
    headers_add(headers, slice_of(name), value);
}

/* The headers if their Connection may nominate one of them, else NULL. "keep-alive", which many servers send,
 * nominates what is hop-by-hop anyway. */
static const struct headers *connection_options(const struct headers *headers) {
    const struct header *connection = headers_find(headers, SLICE("Connection"));
    bool is_usual = connection && slice_eq_nocase(connection->value, SLICE("keep-alive")) &&
                    headers_count(headers, SLICE("Connection")) == 1;
    return connection && !is_usual ? headers : NULL;
}

static bool is_name(const struct header *header, const char *name) {
    return slice_eq_nocase(header->name, slice_of(name));
}

/* ---- towards the upstream ---- */

/* Stops here, or is written anew below. options: what Connection nominates; NULL when there is none. */
static bool request_header_stops(const struct headers *options, const struct header *header) {
    return is_name(header, "Host") || is_name(header, "Via") || header_is_hop_by_hop(header->name) ||
           header_is_reserved(header->name) || (options && header_is_nominated(options, header->name));
}

/* A session of ours that a client made up could be believed by the origin; ours goes in its place. */
static void add_cookie(const struct exchange *exchange, struct slice value, struct headers *out) {
    struct slice kept = cookie_strip(value, out->arena), ours = exchange->cookie;
    if (ours.len > 0 && headers_count(out, SLICE("Cookie")) == 0) {
        kept = kept.len == 0
                   ? ours
                   : slice_of(arena_printf(out->arena, SLICE_FMT "; " SLICE_FMT, SLICE_ARG(kept), SLICE_ARG(ours)));
    }
    if (kept.len > 0) {
        add(out, "Cookie", kept);
    }
}

static void copy_request_headers(const struct exchange *exchange, struct headers *out) {
    const struct headers *received = &exchange->request->headers;
    const struct headers *options = connection_options(received);
    for (size_t i = 0; i < received->count; i++) {
        const struct header *header = &received->items[i];
        if (request_header_stops(options, header)) {
            continue;
        }
        if (is_name(header, "Cookie")) {
            add_cookie(exchange, header->value, out);
        } else {
            headers_add(out, header->name, header->value);
        }
    }
}

static void add_assertion(const struct exchange *exchange, struct headers *out) {
    if (exchange->assertion.len == 0) {
        return;
    }
    add(out, "Cf-Access-Jwt-Assertion", exchange->assertion);
    if (headers_count(out, SLICE("Cookie")) == 0) {
        add_cookie(exchange, SLICE_NONE, out);
    }
}

/* Via = #( received-protocol RWS received-by ): who passed it on before us, then us, in one line (RFC 9110 7.6.3). */
static struct slice via(const struct headers *received, enum http_version version, struct arena *arena) {
    const char *own = version == HTTP_1_0 ? "1.0 sallyport" : "1.1 sallyport";
    bool is_received = headers_find(received, SLICE("Via")) && !header_is_nominated(received, SLICE("Via"));
    struct slice before = is_received ? headers_join(received, SLICE("Via"), arena) : SLICE_NONE;
    return slice_of(before.ptr ? arena_printf(arena, SLICE_FMT ", %s", SLICE_ARG(before), own) : own);
}

static void add_forwarding(const struct exchange *exchange, struct slice authority, struct headers *out) {
    add(out, "X-Forwarded-For", slice_of(exchange->client->host_text));
    add(out, "X-Forwarded-Proto", SLICE("https"));
    add(out, "X-Forwarded-Host", authority);
    add(out, "Via", via(&exchange->request->headers, exchange->request->version, exchange->arena));
    add(out, "cf-ray", slice_of(exchange->ray_id));
}

/* Whether this request is one that carries the certificate. */
static bool forwards_certificate(const struct exchange *exchange) {
    switch (exchange->hostname->forwarding) {
    case CONF_FORWARDING_OFF:
        return false;
    case CONF_FORWARDING_FIRST_REQUEST:
        return exchange->client->requests == 1;
    case CONF_FORWARDING_EVERY_REQUEST:
        return true;
    }
    return false;
}

void certificate_headers_free(struct certificate_headers **headers) {
    if (*headers) {
        arena_free((*headers)->headers.arena);
    }
    *headers = NULL;
}

/* In an arena of its own, because it is rendered anew when trust or the configuration changes. */
static struct certificate_headers *render_certificate(struct peer *peer, unsigned dialects) {
    struct arena *arena = arena_new(512);
    struct certificate_headers *rendered = ARENA_NEW(arena, struct certificate_headers);
    struct presented_certificate presented = {peer_identity(peer), &peer->report, &peer->sent};
    *rendered = (struct certificate_headers){.revision = peer->revision, .dialects = dialects};
    headers_init(&rendered->headers, arena);
    dialects_render(&presented, dialects, &rendered->headers);
    return rendered;
}

static void add_certificate(const struct exchange *exchange, struct headers *out) {
    struct client *client = exchange->client;
    struct certificate_headers *rendered = client->certificate_headers;
    unsigned dialects = exchange->hostname->dialects;
    if (!dialects || !forwards_certificate(exchange) || !peer_identity(client->peer)) {
        return;
    }
    if (!rendered || rendered->revision != client->peer->revision || rendered->dialects != dialects) {
        certificate_headers_free(&client->certificate_headers);
        rendered = client->certificate_headers = render_certificate(client->peer, dialects);
    }
    for (size_t i = 0; i < rendered->headers.count; i++) {
        headers_add(out, rendered->headers.items[i].name, rendered->headers.items[i].value);
    }
}

struct request_head *forward_request(struct exchange *exchange) {
    const struct request_head *request = exchange->request;
    struct arena *arena = exchange->arena;
    struct request_head *out = ARENA_NEW(arena, struct request_head);
    struct slice authority =
        request->has_host ? request->target.authority : slice_of(exchange->client->peer->server_name);

    *out = (struct request_head){.version = HTTP_1_1,
                                 .method = request->method,
                                 .target = request->target,
                                 .has_host = true,
                                 .framing = request->framing,
                                 .content_length = request->content_length,
                                 .keep_alive = true,
                                 .expect_continue = request->expect_continue};
    if (request->framing == BODY_NONE) {
        out->upgrade = request->upgrade;
    }
    headers_init(&out->headers, arena);
    add(&out->headers, "Host", authority);
    copy_request_headers(exchange, &out->headers);
    /* The origin decides whether it wants the body; relay answers for one that says nothing. */
    if (request->expect_continue) {
        add(&out->headers, "Expect", SLICE("100-continue"));
    }
    add_forwarding(exchange, authority, &out->headers);
    add_assertion(exchange, &out->headers);
    add_certificate(exchange, &out->headers);
    templates_apply(exchange, &exchange->hostname->request_headers, &out->headers);
    return out;
}

/* ---- towards the client ---- */

static bool starts_with_folded(struct slice name, const char *prefix) {
    return slice_starts_with_nocase(name, slice_of(prefix));
}

/* What only the gateway says about itself. */
static bool response_header_stops(const struct headers *options, const struct header *header) {
    return is_name(header, "Via") || is_name(header, "cf-ray") || starts_with_folded(header->name, "x-sallyport-") ||
           starts_with_folded(header->name, "cf-access-") || header_is_hop_by_hop(header->name) ||
           (options && header_is_nominated(options, header->name));
}

static void add_date(struct exchange *exchange, struct headers *out) {
    if (headers_find(out, SLICE("Date"))) {
        return;
    }
    char text[CLOCK_TEXT_SIZE];
    clock_format_http(clock_wall(), text);
    add(out, "Date", arena_dup(exchange->arena, slice_of(text)));
}

struct response_head *forward_response(struct exchange *exchange, const struct response_head *upstream) {
    struct response_head *out = ARENA_NEW(exchange->arena, struct response_head);
    *out = (struct response_head){.version = HTTP_1_1,
                                  .status = upstream->status,
                                  .phrase = upstream->phrase,
                                  .framing = upstream->framing,
                                  .content_length = upstream->content_length,
                                  .keep_alive = true};
    headers_init(&out->headers, exchange->arena);
    const struct headers *options = connection_options(&upstream->headers);
    for (size_t i = 0; i < upstream->headers.count; i++) {
        const struct header *header = &upstream->headers.items[i];
        if (!response_header_stops(options, header)) {
            headers_add(&out->headers, header->name, header->value);
        }
    }
    if (upstream->status == 101) {
        const struct header *upgrade = headers_find(&upstream->headers, SLICE("Upgrade"));
        add(&out->headers, "Upgrade", upgrade ? upgrade->value : exchange->request->upgrade);
    }
    if (upstream->status == 101 || upstream->status >= 200) {
        add_date(exchange, &out->headers);
        add(&out->headers, "Via", via(&upstream->headers, upstream->version, exchange->arena));
        add(&out->headers, "cf-ray", slice_of(exchange->ray_id));
        if (exchange->set_cookie.len > 0) {
            add(&out->headers, "Set-Cookie", exchange->set_cookie);
        }
        templates_apply(exchange, &exchange->hostname->response_headers, &out->headers);
    }
    return out;
}

/* ---- both ways ---- */

/* Fields that mean something for framing, routing, authentication or the handling of the content are worth nothing
 * behind it, and dangerous where somebody merges them into the head (RFC 9110 6.5.1). */
static bool trailer_stops(struct slice name) {
    static const char *const names[] = {"host",
                                        "authorization",
                                        "cookie",
                                        "set-cookie",
                                        "cache-control",
                                        "content-type",
                                        "content-range",
                                        "range",
                                        "content-encoding",
                                        "max-forwards",
                                        "authentication-info",
                                        "expires",
                                        "age",
                                        "date",
                                        "location",
                                        "vary",
                                        "retry-after",
                                        "www-authenticate",
                                        "pragma",
                                        "via"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (slice_eq_nocase(name, slice_of(names[i]))) {
            return true;
        }
    }
    return starts_with_folded(name, "if-") || header_is_hop_by_hop(name) || header_is_reserved(name);
}

void forward_trailers(const struct headers *trailers, const conf_headers *rules, struct headers *out) {
    for (size_t i = 0; i < trailers->count; i++) {
        struct slice name = trailers->items[i].name;
        if (!trailer_stops(name) && !templates_have(rules, name)) {
            headers_add(out, name, trailers->items[i].value);
        }
    }
}
